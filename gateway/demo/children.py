"""Child processes that end with the demo, and that the next demo finds and ends if this one was killed."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gateway.devchain.locks import is_held
from gateway.errors import Refusal

STOP_WITHIN_S = 10.0
POLL_S = 0.05


class ChildFailed(Refusal):
    """A part of the demo didn't come up."""

    code = "child_failed"

    def __init__(self, name: str, log: Path) -> None:
        last = log.read_text(errors="replace").strip().splitlines()[-3:] if log.exists() else []
        super().__init__(f"The {name} did not start. Its log {log} ends with: {' | '.join(last) or '(nothing)'}")


@dataclass(slots=True)
class Child:
    """One process running `lastmile …`. While it lives it holds a lock, so a stale pid can't deceive us."""

    name: str
    folder: Path
    arguments: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """Where its output goes."""
        return self.folder / f"{self.name}.log"

    def start(self) -> None:
        """Start it; one left over from a demo that was killed is ended first."""
        self.end_leftover()
        lock = self._lock.open("ab")
        fcntl.flock(lock, fcntl.LOCK_EX)
        with lock, self.log.open("ab") as log:
            # The child inherits the lock and holds it as long as it lives.
            self._process = subprocess.Popen(  # noqa: S603 - our own command line
                [sys.executable, "-m", "gateway.cli", *self.arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**_clean_environment(), **self.environment},
                pass_fds=(lock.fileno(),),
                start_new_session=True,  # Ctrl-C is ours to handle, in order
            )
        self._pid_file.write_text(str(self._process.pid))

    def running(self) -> bool:
        """Whether it lives."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """Ask it to end, and wait; kill it if it doesn't."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def end_leftover(self) -> None:
        """End a process of this name that an earlier demo left behind."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if not is_held(self._lock):
                return
            os.kill(int(self._pid_file.read_text()), number)
            wait_until(lambda: not is_held(self._lock), within_s=STOP_WITHIN_S)

    def wait_until(self, ready: Callable[[], bool], *, within_s: float) -> None:
        """Wait until it is ready. Raises `ChildFailed` if it ends before or takes too long."""
        if not wait_until(lambda: not self.running() or ready(), within_s=within_s) or not self.running():
            raise ChildFailed(self.name, self.log)

    @property
    def _lock(self) -> Path:
        return self.folder / f"{self.name}.lock"

    @property
    def _pid_file(self) -> Path:
        return self.folder / f"{self.name}.pid"


def wait_until(condition: Callable[[], bool], *, within_s: float) -> bool:
    """Look again and again until it holds; whether it did in time."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def _clean_environment() -> dict[str, str]:
    """Ours, without settings meant for a real gateway and without proxies, which have no business on this machine."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("LASTMILE_") and not name.lower().endswith("_proxy")
    }
