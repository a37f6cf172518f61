"""The test's side of `tests.crash.life`."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tests.factories import NOW, USDC

ROOT = Path(__file__).parents[2]
SPEED = 5
"""How much faster the children's clock runs: leases end sooner, and a busy machine still has a second to send in."""
PATIENT = 3
"""The same where time doesn't matter."""
PLUGIN = "[lastmile.adapters]\ncrash = tests.crash.adapter:make\nrelay = tests.crash.relay:make\n"


class Mother:
    """The process that has imported everything and forks the others. One for all tests: to import takes seconds."""

    def __init__(self, folder: Path) -> None:
        plugin = folder / "crash_rail-1.dist-info"
        plugin.mkdir()
        (plugin / "METADATA").write_text("Metadata-Version: 2.1\nName: crash-rail\nVersion: 1\n")
        (plugin / "entry_points.txt").write_text(PLUGIN)
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.life"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def start(self, settings: dict[str, Any], how: dict[str, Any]) -> int:
        """A new process; its pid."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"settings": settings, "how": how}) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        self._process.communicate(timeout=60)


class Lives:
    """Starts processes of the product and sees them die."""

    def __init__(self, settings: dict[str, Any], folder: Path, mother: Mother) -> None:
        self.book, self.log = folder / "book", folder / "log"
        self.book.touch()
        made = {"book": str(self.book), "log": str(self.log), "monotonic": time.monotonic()}
        self._told = {"data": str(folder / "data"), "now": NOW.isoformat(), "speed": SPEED} | settings | made
        self._mother = mother
        self.alive: set[int] = set()
        self.settings: dict[str, Any] = settings["tree"]

    def work(
        self, *, points: Sequence[str] = (), only: Sequence[str] = ("orders", "payouts"), loops: Sequence[str] = ()
    ) -> int:
        """A new worker with the loops of these groups, or `loops` of them; it dies at the first of `points`. Its pid."""
        return self._start({"does": "work", "only": list(only), "loops": list(loops), "points": list(points)})

    def freeze(self, *, at: str, only: Sequence[str] = ("orders", "payouts")) -> int:
        """A new worker that stands still at a point until it is thawed."""
        return self._start({"does": "work", "only": list(only), "loops": [], "points": [at], "by": signal.SIGSTOP})

    def thaw(self, pid: int) -> None:
        """Let a frozen process go on."""
        os.kill(pid, signal.SIGCONT)

    def serve(self, *, points: Sequence[str] = ()) -> int:
        """A new server of pages, API and callbacks."""
        return self._start({"does": "serve", "points": list(points)})

    def stop_payment(self, attempt_id: str, *, points: Sequence[str] = ()) -> int:
        """A process in which a person has the rail stop a payment."""
        return self._start({"does": "cancel", "attempt": attempt_id, "points": list(points)})

    def compare(self, *, points: Sequence[str] = ()) -> int:
        """A process in which a person compares the books with the outside."""
        return self._start({"does": "reconcile", "points": list(points)})

    def approve(self) -> int:
        """A process in which two persons agree to what the newest plan moves between floats."""
        return self._start({"does": "approve", "points": []})

    def command(self, *arguments: str, points: Sequence[str] = ()) -> int:
        """A process in which a person gives a command."""
        return self._start({"does": "command", "arguments": list(arguments), "points": list(points)})

    def calm_down(self, speed: float) -> None:
        """From now on the clock of new processes runs at this speed: a busy machine sends too late by a fast one."""
        past = (time.monotonic() - self._told["monotonic"]) * self._told["speed"]
        now = datetime.fromisoformat(self._told["now"]) + timedelta(seconds=past)
        self._told |= {"now": now.isoformat(), "monotonic": time.monotonic(), "speed": speed}

    def skip(self, span: timedelta) -> None:
        """For new processes it is so much later."""
        self._told["now"] = (datetime.fromisoformat(self._told["now"]) + span).isoformat()

    def lives(self, pid: int) -> bool:
        """Whether it runs still."""
        with suppress(OSError):
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX":
                return True
        self.alive.discard(pid)
        return False

    def kill(self, pid: int) -> None:
        """As the kernel does it: at once, wherever it is. 0 is nobody."""
        if pid:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        while pid and self.lives(pid):
            time.sleep(0.001)

    def stop(self, pid: int) -> None:
        """As an operator does it: told to end, it ends in good order."""
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        while self.lives(pid):
            time.sleep(0.001)

    def deaths(self) -> list[str]:
        """The points at which processes have died, in their order."""
        return [line for line in self.book.read_text().splitlines() if not line.startswith("nameless")]

    def nameless(self) -> list[str]:
        """Transactions of loops that wrote and have no name."""
        return [line for line in self.book.read_text().splitlines() if line.startswith("nameless")]

    def close(self) -> None:
        for pid in list(self.alive):
            self.kill(pid)

    def _start(self, how: dict[str, Any]) -> int:
        pid = self._mother.start(self._told, how)
        self.alive.add(pid)
        return pid


@contextmanager
def lives(settings: dict[str, Any], folder: Path, mother: Mother) -> Iterator[Lives]:
    """Processes of one gateway, which end with the block."""
    made = Lives(settings, folder, mother)
    try:
        yield made
    finally:
        made.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def tree(*, rail_url: str, port: int, rates: Path, now: datetime = NOW, **chain: Any) -> dict[str, Any]:
    """The settings of a gateway that pays by the small rail, with rates of `now`."""
    rates.write_text(json.dumps({"as_of": now.isoformat(), "base": "USD", "rates": {"KES": "129.20"}}))
    name, chain_id = USDC.code.split("@")
    return {
        "server": {"public_url": f"http://127.0.0.1:{port}", "port": port},
        "chains": [
            {
                "name": "devchain",
                "chain_id": int(chain_id),
                "rpc": ["http://127.0.0.1:9"],
                "quorum": 1,
                "finality": {"tag": "finalized"},
                "start_block": 0,
                "treasury": "0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65",
                "poll_s": 0.05,
                "tokens": [{"symbol": name, "address": "0x" + "a0" * 20, "decimals": 6, "peg": "USD", "least": "0.01"}],
            }
            | chain
        ],
        "corridors": [
            {
                "country": "KE",
                "currency": "KES",
                "methods": ["mobile_money"],
                "spread_bps": 100,
                "fee": "30",
                "min": "100",
                "max": "250000",
            }
        ],
        "pricing": {
            "max_age_s": 604_800,
            "max_spread_bps": 200,
            "quote_ttl_s": 604_800,
            "min_sources": 1,
            "sources": [{"name": "desk", "kind": "file", "path": str(rates)}],
        },
        "treasury": {"reconcile_every_s": 20},
        "adapters": {"crash": {"kind": "crash", "base_url": rail_url}},
    }
