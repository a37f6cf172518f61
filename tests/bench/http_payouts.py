"""Orders per second from FUNDED to PAID through an adapter that speaks HTTP, beside that adapter's own HTTP client.

    uv run python -m tests.bench.http_payouts

The rail is another process and answers each payment synchronously. The floor is the same adapter called by as many tasks as
it has connections, with no database: the same client library, connections, requests and rail, in the same run, in turn with
the whole life of as many orders.
"""

from __future__ import annotations

import asyncio
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg

from gateway.clock import system_clock
from gateway.db.embedded import Server, start
from gateway.db.migrate import migrate
from gateway.db.session import make_engine, transaction
from gateway.ledger.post import register_assets
from gateway.main import DISPATCHERS, tune_collector
from gateway.money import Money
from gateway.offramp import (
    AttemptRef,
    Capabilities,
    Corridor,
    Destination,
    Instruction,
    Method,
    NotSent,
    Outcome,
    Report,
    Resend,
)
from gateway.payouts.dispatch import dispatch
from gateway.payouts.rails import Rails
from gateway.worker.loops import Loop, Worker
from tests.bench.orders import make_orders
from tests.bench.report import report
from tests.factories import KES, USDC

ROUNDS = 5
ORDERS = 1_500
CONNECTIONS = 32
TAKES = 256
"""Calls at once that the rail says it takes. The client has fewer connections, so that none is without work while what was
answered on it is recorded."""
DATABASE = "http_payouts"


class HttpRail:
    """An adapter such as a provider's: one POST per payment, answered at once."""

    def __init__(self, url: str) -> None:
        limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
        self.http = httpx.AsyncClient(base_url=url, limits=limits, timeout=30, trust_env=False)
        # httpx's pool looks through all that wait for a connection each time that one becomes free: nothing waits there.
        self.connections = asyncio.Semaphore(CONNECTIONS)
        self.answered = 0
        corridor = Corridor(
            country="KE",
            method=Method.MOBILE_MONEY,
            asset=KES,
            least=Money(1_000, KES),
            most=Money(25_000_000, KES),
            step=Money(100, KES),
        )
        self.capabilities = Capabilities(
            name="http",
            corridors=(corridor,),
            resend=Resend.DEDUPED,
            settles_within=timedelta(minutes=5),
            resend_within=timedelta(hours=24),
            concurrency=TAKES,
        )

    async def pay(self, instruction: Instruction) -> Report:
        deliver = instruction.deliver
        body = {
            "id": instruction.attempt_id,
            "amount": str(deliver.units),
            "currency": deliver.asset.code,
            "account": instruction.to.account,
        }
        try:
            async with self.connections:
                answer = await self.http.post("/payouts", json=body)
        except httpx.ConnectError as error:
            raise NotSent(type(error).__name__) from None
        self.answered += 1
        said = answer.json()
        if answer.status_code != httpx.codes.OK or said["status"] != "paid":
            return Report(outcome=Outcome.UNKNOWN, reason=f"answered {answer.status_code}")
        return Report(
            outcome=Outcome.PAID,
            provider_ref=said["reference"],
            receipt=said["reference"],
            delivered=Money(int(said["amount"]), deliver.asset),
            evidence={"answer": answer.text},
        )

    async def status(self, attempt: AttemptRef) -> Report:
        return Report(outcome=Outcome.UNKNOWN, reason=f"{attempt.attempt_id} isn't asked about here")

    async def close(self) -> None:
        await self.http.aclose()


@contextmanager
def rail_process() -> Iterator[str]:
    """The URL of a rail that runs as long as this does."""
    command = [sys.executable, "-m", "tests.bench.http_rail"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.stdin.close()


async def bare_client(rail: HttpRail, *, name: str) -> float:
    """Payments per second of the adapter alone, by as many tasks as it has connections."""
    to = Destination(country="KE", method=Method.MOBILE_MONEY, account="+254712345678", holder="Wanjiku Kamau")
    waiting = [Instruction(attempt_id=f"att_{name}_{n:020}", deliver=Money(124_900, KES), to=to) for n in range(ORDERS)]

    async def work() -> None:
        while waiting:
            answer = await rail.pay(waiting.pop())
            assert answer.outcome is Outcome.PAID

    started = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(CONNECTIONS)))
    return ORDERS / (time.perf_counter() - started)


async def whole_life(rail: HttpRail, *, url: str, first: int) -> float:
    """Orders per second from FUNDED to PAID, by the loops of one worker."""
    make_orders(url, first=first, number=ORDERS)
    engine, rails = make_engine(url), Rails({"http": rail})
    loops = [Loop(f"dispatch:{n}", lambda: dispatch(engine, rails=rails, clock=system_clock)) for n in range(DISPATCHERS)]
    answered = rail.answered
    started = time.perf_counter()
    working = asyncio.create_task(Worker(loops=tuple(loops), database_url=url).run())
    try:
        while rail.answered - answered < ORDERS or _unpaid(url):
            await asyncio.sleep(0.005)
            if working.done():
                working.result()
        return ORDERS / (time.perf_counter() - started)
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        await engine.dispose()


def _unpaid(url: str) -> int:
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT count(*) FROM orders WHERE state <> 'paid'").fetchone()
        return 0 if found is None else found[0]


def _own_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def _rounds(url: str, rail_url: str) -> dict[str, list[float]]:
    engine = make_engine(url)
    async with transaction(engine) as connection:
        await register_assets(connection, assets=[USDC, KES])
    await engine.dispose()
    rail = HttpRail(rail_url)
    rows: dict[str, list[float]] = {"bare client": [], "http orders": [], "µs bare client": [], "µs http orders": []}
    for number in range(ROUNDS + 1):
        begun = _own_seconds()
        bare = await bare_client(rail, name=f"b{number}")
        between = _own_seconds()
        whole = await whole_life(rail, url=url, first=(number + 1) * 10_000_000)
        ended = _own_seconds()
        if number:  # the first round opens connections and warms everything
            rows["bare client"].append(bare)
            rows["http orders"].append(whole)
            rows["µs bare client"].append((between - begun) / ORDERS * 1_000_000)
            rows["µs http orders"].append((ended - between) / ORDERS * 1_000_000)
    await rail.close()
    return rows


def measure(server: Server) -> dict[str, Any]:
    """`rows` name to the rounds' figures (a second; of this process's own time per order), `ratios`, `floors`."""
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {DATABASE}".encode())
    url = server.url_for(DATABASE)
    migrate(url)
    with rail_process() as rail_url:
        rows = asyncio.run(_rounds(url, rail_url))
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {DATABASE}".encode())
    return {"rows": rows, **_judged(rows)}


def _judged(rows: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    bare = statistics.median(rows["bare client"])
    return {
        "ratios": {"http_to_bare_client": round(statistics.median(rows["http orders"]) / bare, 2)},
        "floors": {"bare_client_per_s": round(bare)},
    }


def main() -> None:
    tune_collector()
    with tempfile.TemporaryDirectory() as home:
        server = start(folder=Path(home) / "postgres")
        try:
            found = measure(server)
        finally:
            server.stop()
    report(bench="http_payouts", rows=found["rows"], ratios=found["ratios"], floors=found["floors"])


if __name__ == "__main__":
    main()
