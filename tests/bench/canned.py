"""A chain rendered beforehand, and the C program that serves it (canned_node.c): a bench's node must not be its limit."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.chain.logs import ADDRESS_PADDING, TRANSFER

CHAIN_ID = 31337
TOKEN = "0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48"
LOGS_PER_BLOCK = 100
START_TIME = 1_700_000_000
SOURCE = Path(__file__).with_name("canned_node.c")


def word(text: str) -> str:
    return "0x" + hashlib.sha256(text.encode()).hexdigest()


def our_address(number: int) -> str:
    """The deposit addresses are made by the server, from sha256 as here."""
    return "0x" + hashlib.sha256(str(number).encode()).hexdigest()[:40]


def write_chain(path: Path, *, blocks: int, ours_every: int, addresses: int) -> None:
    """Blocks 0 to `blocks`, all but the first with a hundred transfers; each `ours_every`th is to an address of ours."""
    with path.open("w") as file:
        file.write(f'"{hex(CHAIN_ID)}"\n')
        for number in range(blocks + 1):
            logs = (_log(number, index, ours_every, addresses) for index in range(LOGS_PER_BLOCK if number else 0))
            file.write(f"{_header(number)}\n{','.join(logs)}\n")


def _header(number: int) -> str:
    """With a bloom and the transactions' hashes, as long as real ones are."""
    block = {
        "number": hex(number),
        "hash": word(f"block {number}"),
        "parentHash": word(f"block {number - 1}"),
        "timestamp": hex(START_TIME + number),
        "logsBloom": "0x" + "00" * 256,
        "transactions": [word(f"tx {number} {index}") for index in range(LOGS_PER_BLOCK)],
    }
    return json.dumps(block, separators=(",", ":"))


def _log(number: int, index: int, ours_every: int, addresses: int) -> str:
    """As geth writes it, but without `blockTimestamp`, which not all nodes state: the header has to be asked for."""
    serial = number * LOGS_PER_BLOCK + index
    recipient = our_address(serial % addresses) if serial % ours_every == 0 else word(f"stranger {serial}")[:42]
    log = {
        "address": TOKEN,
        "topics": [TRANSFER, ADDRESS_PADDING + word(f"sender {serial % 1000}")[2:42], ADDRESS_PADDING + recipient[2:]],
        "data": f"0x{1_000_000 + serial:064x}",
        "blockHash": word(f"block {number}"),
        "blockNumber": hex(number),
        "transactionHash": word(f"tx {number} {index}"),
        "transactionIndex": hex(index),
        "logIndex": hex(index),
        "removed": False,
    }
    return json.dumps(log, separators=(",", ":"))


def compile_node(folder: Path) -> Path:
    """The program. Ends the process with a sentence where there is no C compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        sys.exit("This bench compiles its canned node: install a C compiler that answers to `cc` (Debian: gcc).")
    program = folder / "canned_node"
    subprocess.run([compiler, "-O2", "-pthread", "-o", str(program), str(SOURCE)], check=True)
    return program


@contextmanager
def serve(program: Path, chain: Path) -> Iterator[str]:
    """The node's URL. It ends with this process, however that ends."""
    with subprocess.Popen([program, chain], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as node:
        assert node.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(node.stdout.readline())}/"
        finally:
            node.terminate()
