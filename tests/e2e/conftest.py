"""A running demo, started as a person starts it, by the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from eth_account import Account

from gateway.demo.children import wait_until
from gateway.devchain import stablecoin
from gateway.devchain.chain import SENDER_KEY
from gateway.devchain.rpc import Rpc
from tests.solidity import tools_cache

UP_WITHIN_S = 240


def lastmile(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "gateway.cli", *arguments]


def clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("LASTMILE_")}


def data_with_tools(folder: Path) -> Path:
    """A data folder of its own that shares the installed tools, as a newcomer's second demo would."""
    folder.mkdir(parents=True, exist_ok=True)
    cache = tools_cache()
    cache.mkdir(parents=True, exist_ok=True)
    (folder / "tools").symlink_to(cache)
    return folder


@dataclass
class Demo:
    """The running demo."""

    data: Path
    process: subprocess.Popen[bytes]
    url: str
    rpc: str
    usdc: str
    sender: str
    database: str

    @property
    def folder(self) -> Path:
        return self.data / "demo"

    def send(self, address: str, units: int) -> str:
        """Pay as an outside wallet does: a transaction signed with the demo's test key, handed to the node."""
        wallet = Account.from_key(SENDER_KEY)
        with Rpc(self.rpc) as rpc:
            signed = wallet.sign_transaction(
                {
                    "to": self.usdc,
                    "data": stablecoin.call("transfer(address,uint256)", address, units),
                    "value": 0,
                    "gas": 200_000,
                    "maxFeePerGas": 10**11,
                    "maxPriorityFeePerGas": 10**9,
                    "nonce": int(rpc("eth_getTransactionCount", wallet.address, "pending"), 16),
                    "chainId": 31337,
                    "type": 2,
                }
            )
            return str(rpc("eth_sendRawTransaction", "0x" + signed.raw_transaction.hex().removeprefix("0x")))

    def payouts(self) -> list[dict[str, object]]:
        """Who was paid what, by the rail's own account."""
        return httpx.get(f"{self.simulator('mpesa')}/_sim/payouts").json()

    def simulator(self, rail: str) -> str:
        """The address of a rail's simulator."""
        ports = json.loads((self.folder / "ports.json").read_text())
        return f"http://127.0.0.1:{ports[rail]}"

    def run(self, *arguments: str) -> str:
        """A command of the command line, on this demo's settings."""
        command = lastmile(*arguments, "--config", str(self.folder / "lastmile.toml"), "--data", str(self.folder))
        return subprocess.run(command, env=clean_environment(), check=True, capture_output=True, text=True).stdout


def start_demo(data: Path, *, rails: str = "mpesa") -> Demo:
    command = lastmile("demo", "--data", str(data), "--rails", rails)
    with (data / "demo.log").open("ab") as log:
        process = subprocess.Popen(command, env=clean_environment(), stdout=log, stderr=log, start_new_session=True)
    known = data / "demo" / "demo.json"
    known.unlink(missing_ok=True)
    wait_until(lambda: known.exists() or process.poll() is not None, within_s=UP_WITHIN_S)
    assert known.exists(), (data / "demo.log").read_text()
    state = json.loads(known.read_text())
    return Demo(data=data, process=process, **{k: state[k] for k in ("url", "rpc", "usdc", "sender", "database")})


def stop_demo(running: Demo) -> None:
    running.process.send_signal(signal.SIGINT)
    try:
        running.process.wait(60)
    except subprocess.TimeoutExpired:
        running.process.kill()
        running.process.wait()
        raise


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those that share the demo stand together, so that it runs for no longer than they do: it's never idle."""
    places = [place for place, item in enumerate(items) if item.path.parent == Path(__file__).parent]
    ordered = sorted((items[place] for place in places), key=lambda item: "demo" in getattr(item, "fixturenames", ()))
    for place, item in zip(places, ordered, strict=True):
        items[place] = item


@pytest.fixture(scope="package")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    running = start_demo(data_with_tools(tmp_path_factory.mktemp("demo")))
    yield running
    stop_demo(running)
