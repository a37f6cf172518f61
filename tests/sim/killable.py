"""The test's side of `tests.sim.process`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


class Processes:
    """Starts watcher processes and kills them."""

    def __init__(self, settings: dict[str, Any]) -> None:
        command = [sys.executable, "-m", "tests.sim.process"]
        self._mother = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self._say(json.dumps(settings))
        self._alive: list[int] = []

    def start(self) -> int:
        """A new process; gives its pid."""
        assert self._mother.stdout is not None
        self._say("start")
        pid = int(self._mother.stdout.readline())
        self._alive.append(pid)
        return pid

    def kill(self, pid: int) -> None:
        """As the kernel does it: at once, wherever it is."""
        self._alive.remove(pid)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def memory(self, pid: int) -> int:
        """Most memory that the process has ever had, in bytes."""
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024

    def close(self) -> None:
        for pid in list(self._alive):
            self.kill(pid)
        assert self._mother.stdin is not None
        assert self._mother.stdout is not None
        self._mother.stdin.close()
        self._mother.wait(timeout=10)
        self._mother.stdout.close()

    def _say(self, line: str) -> None:
        assert self._mother.stdin is not None
        self._mother.stdin.write(line + "\n")
        self._mother.stdin.flush()


@contextmanager
def processes(settings: dict[str, Any]) -> Iterator[Processes]:
    made = Processes(settings)
    try:
        yield made
    finally:
        made.close()
