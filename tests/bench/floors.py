"""What the chain's bench is measured beside, in a process of its own with Python as it comes.

    python -m tests.bench.floors URL        logs per second as one JSON object

Our worker tunes Python's garbage collector; tuned alike, `orjson.loads` gains more than we do, since it makes five objects
where we make one. That figure stands beside, and no ratio is made of it.
"""

from __future__ import annotations

import gc
import http.client
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from urllib.parse import urlsplit

import orjson

from tests.bench import canned

SPAN = 20
"""Blocks per question: 2,000 logs, 1.2 MB."""
BLOCKS, WEB3_BLOCKS = 1_000, 100


def floors(url: str) -> dict[str, float]:
    """All figures, measured by a fresh process."""
    command = [sys.executable, "-m", "tests.bench.floors", url]
    found: dict[str, float] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return found


def bodies(url: str) -> list[bytes]:
    """The answers to SPAN blocks at a time."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc)
    found = []
    for first in range(1, BLOCKS + 1, SPAN):
        where = {"fromBlock": hex(first), "toBlock": hex(first + SPAN - 1)}
        call = {"id": 1, "jsonrpc": "2.0", "method": "eth_getLogs", "params": [where]}
        connection.request("POST", "/", json.dumps(call))
        found.append(connection.getresponse().read())
    connection.close()
    return found


def download_only(url: str) -> float:
    started = time.perf_counter()
    bodies(url)
    return BLOCKS * canned.LOGS_PER_BLOCK / (time.perf_counter() - started)


def orjson_only(answers: Sequence[bytes]) -> float:
    started = time.perf_counter()
    count = sum(len(orjson.loads(answer)["result"]) for answer in answers)
    return count / (time.perf_counter() - started)


def web3_get_logs(url: str) -> float:
    """The usual way: the contract's event."""
    from web3 import Web3

    web3 = Web3(Web3.HTTPProvider(url))
    names = (("from", "address", True), ("to", "address", True), ("value", "uint256", False))
    inputs = [{"name": name, "type": kind, "indexed": indexed} for name, kind, indexed in names]
    abi = [{"type": "event", "name": "Transfer", "anonymous": False, "inputs": inputs}]
    contract = web3.eth.contract(address=Web3.to_checksum_address(canned.TOKEN), abi=abi)
    started, count = time.perf_counter(), 0
    for first in range(1, WEB3_BLOCKS + 1, SPAN):
        count += len(contract.events.Transfer().get_logs(from_block=first, to_block=first + SPAN - 1))
    assert count == WEB3_BLOCKS * canned.LOGS_PER_BLOCK
    return count / (time.perf_counter() - started)


def main(url: str) -> None:
    figures = {"web3.py get_logs()": web3_get_logs(url), "download only": download_only(url)}
    answers = bodies(url)
    figures["orjson.loads"] = orjson_only(answers)
    gc.set_threshold(20_000, 20, 50)
    figures["orjson.loads, collector tuned"] = orjson_only(answers)
    print(json.dumps(figures))


if __name__ == "__main__":
    main(sys.argv[1])
