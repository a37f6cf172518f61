"""A load generator in a process of its own: keep-alive connections, one thread, and no more Python than it takes.

    python -m tests.bench.load        reads a JSON line for each run, answers each with a JSON line

Closed loop (no `rate`): every connection sends its next request as soon as the last one is answered. Open loop: requests are
due at fixed times, whatever the server does; each is timed from when it was due, also if it had to wait for a connection.
"""

from __future__ import annotations

import json
import select
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

RECEIVED_MOST = 1 << 16


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a run came to: answers a second, and how long they took in milliseconds, in rising order."""

    rate: float
    took_ms: list[float]

    def at(self, percent: float) -> float:
        return self.took_ms[min(int(len(self.took_ms) * percent / 100), len(self.took_ms) - 1)]


class Connection:
    """One request at a time."""

    def __init__(self, port: int, request: bytes) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.fd = self.socket.fileno()
        self._request = request
        self._answer = b""
        self.due = 0.0

    def send(self, due: float) -> None:
        self.due = due
        self.socket.sendall(self._request)

    def answered(self) -> bool:
        """Take what has come; whether it is the whole answer. Anything but 200 or 201 ends the run."""
        self._answer += self.socket.recv(RECEIVED_MOST)
        head, found, body = self._answer.partition(b"\r\n\r\n")
        if not found:
            assert self._answer, "the server hung up"
            return False
        assert head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 201")), self._answer
        length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        if len(body) < int(length):
            return False
        self._answer = b""
        return True


def run(*, port: int, request: bytes, connections: int, seconds: float, rate: float | None) -> Found:
    """One run."""
    everybody = [Connection(port, request) for _ in range(connections)]
    try:
        return _run(everybody, seconds=seconds, rate=rate)
    finally:
        for connection in everybody:
            connection.socket.close()


def _run(everybody: list[Connection], *, seconds: float, rate: float | None) -> Found:
    idle, busy, waiting = deque(everybody), dict[int, Connection](), deque[float]()
    clock, took, number = time.perf_counter, list[float](), 0
    begun = clock()
    ends = begun + seconds
    while (now := clock()) < ends or busy:
        if rate is None:
            waiting.extend([now] * (len(idle) if now < ends else 0))
        else:
            while (due := begun + number / rate) <= min(now, ends):
                waiting.append(due)
                number += 1
        while waiting and idle:
            connection = idle.popleft()
            connection.send(waiting.popleft())
            busy[connection.fd] = connection
        pause = 0.1 if rate is None or now >= ends else max(begun + number / rate - clock(), 0)
        for fd in select.select(list(busy), [], [], pause)[0]:
            connection = busy[fd]
            if connection.answered():
                took.append((clock() - connection.due) * 1_000)
                idle.append(busy.pop(fd))
    return Found(rate=len(took) / (clock() - begun), took_ms=sorted(took))


class Generator:
    """The other process's end."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(self, *, port: int, request: str, connections: int, seconds: float, rate: float | None = None) -> Found:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        asked = {"port": port, "request": request, "connections": connections, "seconds": seconds, "rate": rate}
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return Found(**answer)


@contextmanager
def generator() -> Iterator[Generator]:
    """A process that makes load for as long as this lasts."""
    command = [sys.executable, "-m", "tests.bench.load"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Generator(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()


def main() -> None:
    for line in sys.stdin:
        asked = json.loads(line)
        found = run(**asked | {"request": asked["request"].encode()})
        print(json.dumps({"rate": found.rate, "took_ms": found.took_ms}), flush=True)


if __name__ == "__main__":
    main()
