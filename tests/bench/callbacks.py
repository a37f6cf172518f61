"""How soon a callback is answered while the same process pays out, beside a bare route that commits one row.

    uv run python -m tests.bench.callbacks

The server is a process of its own, as `lastmile up` is one: the route and all payout loops in one event loop. The other side
is this process: one connection, a callback every twentieth of a second, each timed from its first byte to its answer's end.
"""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import psycopg
import structlog
import uvicorn
from fastapi import FastAPI
from sqlalchemy import text

from gateway.api.callbacks import callback_router
from gateway.clock import system_clock
from gateway.db.embedded import start
from gateway.db.migrate import migrate
from gateway.db.session import make_engine, transaction
from gateway.ledger.post import register_assets
from gateway.main import DISPATCHERS, tune_collector
from gateway.offramp import Callback, Outcome, Report
from gateway.payouts.addresses import CallbackAddresses, Callee
from gateway.payouts.arrivals import make_inbox_engine
from gateway.payouts.dispatch import dispatch
from gateway.payouts.inbox import handle_callbacks
from gateway.payouts.poll import poll
from gateway.payouts.rails import Rails
from gateway.worker.loops import Loop, Worker
from tests.bench.orders import make_orders
from tests.bench.report import report
from tests.factories import KES, USDC, FakeRail

URL = "http://127.0.0.1"
PACE_S = 0.05
SECONDS = 10
ORDERS = 40_000
BURST = 100
BODY_BYTES = 1_000


class CallingRail(FakeRail):
    """Answers at once and calls back."""

    def read_callback(self, request: Any) -> Callback:
        said = json.loads(request.body)
        return Callback(event_id=said["id"], attempt_id=request.attempt_id, report=Report(outcome=Outcome.PENDING))

    def callback_answer(self) -> tuple[int, dict[str, object]]:
        return 200, {}


class Services:
    """What the callback's route reads."""

    def __init__(self, url: str) -> None:
        self.engine = make_engine(url)
        self.inbox = make_inbox_engine(url)
        self.rails = Rails({"fake": CallingRail()})
        self.addresses = CallbackAddresses(public_url=URL, key=bytes(32))
        self.clock = system_clock


async def serve(url: str) -> None:
    """The route, the floor and the loops. Loops begin to pay when there are orders."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    services = Services(url)
    app = FastAPI()
    app.include_router(callback_router(services))  # type: ignore[arg-type]

    @app.post("/floor")
    async def floor() -> dict[str, str]:
        async with transaction(services.engine) as connection:
            await connection.execute(text("INSERT INTO floor (body) VALUES (:body)"), {"body": "x" * BODY_BYTES})
        return {}

    engine, rails = services.engine, services.rails
    async with transaction(engine) as connection:
        await connection.execute(text("CREATE TABLE floor (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body text)"))
        await register_assets(connection, assets=[USDC, KES])
    loops = (
        *(Loop(f"dispatch:{n}", lambda: dispatch(engine, rails=rails, clock=system_clock)) for n in range(DISPATCHERS)),
        Loop("poll", lambda: poll(engine, rails=rails, clock=system_clock)),
        Loop("callbacks", lambda: handle_callbacks(engine, rails=rails, clock=system_clock)),
    )
    tune_collector()
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, access_log=False, ws="none"))
    worker = asyncio.create_task(Worker(loops=loops, database_url=url).run())
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    print(server.servers[0].sockets[0].getsockname()[1], flush=True)
    await serving
    worker.cancel()


@contextmanager
def served(url: str) -> Iterator[int]:
    command = [sys.executable, "-m", "tests.bench.callbacks", url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while not (line := process.stdout.readline()).strip().isdecimal():
            assert line, "the server ended"
        yield int(line)
        process.terminate()


class Caller:
    """A keep-alive connection that posts."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()

    async def post(self, path: str, body: bytes) -> float:
        """Milliseconds until the answer's end."""
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        started = time.perf_counter()
        self._writer.write(head.encode() + body)
        answer = await self._reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200"), answer
        length = next(line for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await self._reader.readexactly(int(length.split(b":")[1]))
        return (time.perf_counter() - started) * 1_000


def body(event_id: str) -> bytes:
    return json.dumps({"id": event_id, "fill": "x" * BODY_BYTES}).encode()


async def paced(port: int, path: str, *, name: str, seconds: float = SECONDS) -> list[float]:
    figures = []
    async with Caller(port) as caller:
        for number in range(int(seconds / PACE_S)):
            figures.append(await caller.post(path, body(f"{name}:{number}")))
            await asyncio.sleep(max(PACE_S - figures[-1] / 1_000, 0))
    return sorted(figures)


async def burst(port: int, path: str, *, name: str) -> list[float]:
    """A hundred deliveries of one event at once."""

    async def one() -> float:
        async with Caller(port) as caller:
            gate.release()
            await begin.wait()
            return await caller.post(path, body(name))

    gate, begin = asyncio.Semaphore(0), asyncio.Event()
    tasks = [asyncio.create_task(one()) for _ in range(BURST)]
    for _ in tasks:
        await gate.acquire()
    begin.set()
    return sorted(await asyncio.gather(*tasks))


def at(figures: list[float], percent: int) -> float:
    return figures[min(len(figures) * percent // 100, len(figures) - 1)]


def measure(url: str) -> dict[str, list[float]]:
    path = CallbackAddresses(public_url=URL, key=bytes(32)).address(Callee("fake", "att_1", "result")).removeprefix(URL)
    with served(url) as port:
        run = asyncio.run
        run(paced(port, path, name="warm", seconds=2))
        run(paced(port, "/floor", name="warm", seconds=2))
        found = {"bare route, idle": run(paced(port, "/floor", name="floor"))}
        found["callback, idle"] = run(paced(port, path, name="idle"))
        found["callback, a hundred at once, idle"] = run(burst(port, path, name="burst"))
        make_orders(url, first=1_000_001, number=ORDERS)
        found["bare route, paying out"] = run(paced(port, "/floor", name="floor", seconds=5))
        found["callback, paying out"] = run(paced(port, path, name="busy", seconds=5))
        found["callback, a hundred at once, paying out"] = run(burst(port, path, name="busy burst"))
        with psycopg.connect(url) as connection:
            left = connection.execute("SELECT count(*) FROM orders WHERE state = 'funded'").fetchone()
        print(f"orders left: {left}")
    return found


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        server = start(folder=Path(folder) / "postgres")
        try:
            migrate(server.url)
            found = measure(server.url)
        finally:
            server.stop()
    report(
        bench="callbacks",
        rows={f"{name}, microseconds": [figure * 1_000 for figure in figures] for name, figures in found.items()},
        ratios={
            "idle_to_bare_route": round(at(found["callback, idle"], 50) / at(found["bare route, idle"], 50), 2),
            "paying_p99_to_100_ms": round(at(found["callback, paying out"], 99) / 100, 2),
            "burst_most_to_100_ms": round(found["callback, a hundred at once, idle"][-1] / 100, 2),
        },
        floors={"bare_route_ms": round(at(found["bare route, idle"], 50), 2)},
    )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        asyncio.run(serve(sys.argv[1]))
    else:
        main()
