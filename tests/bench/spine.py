"""Orders per second from FUNDED through PAYING to PAID, beside pgbench TPC-B on the same server in the same run.

    uv run python -m tests.bench.spine

The rail is in this process and answers at once, so that what is measured is ours: claim, attempt, state, events, ledger,
outbox, each order in two durable commits (before and after the call), two hundred orders to a set. The server is the one
that the product brings along, with fsync and synchronous_commit on.
"""

from __future__ import annotations

import asyncio
import re
import statistics
import subprocess
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import psycopg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.clock import system_clock
from gateway.db.embedded import Server, binary, start
from gateway.db.migrate import migrate
from gateway.db.session import make_engine, transaction
from gateway.ledger.post import register_assets
from gateway.main import DISPATCHERS, tune_collector
from gateway.payouts.dispatch import dispatch
from gateway.payouts.rails import Rails
from tests.bench.report import report
from tests.factories import KES, USDC, FakeRail

ROUNDS = 5
ORDERS = 5_000
TPC_B_S = 8
CLIENTS = 8
SCALE = 50

# Funded orders as booking leaves them, made by the server itself: it is not what is measured.
MAKE = """
INSERT INTO quotes SELECT '{p}q' || n, NULL, now(), now() + interval '1 hour', 31337, 'USDC@31337', 10000000, 'KES', 124900,
    'KE', 'mobile_money', 1292, 100000, 127908, 10000000, now(), '["a","b"]', 129200, 1292, 3000, 8
    FROM generate_series(1, {n}) AS n;
INSERT INTO deposit_addresses SELECT '0x' || lpad(to_hex({b} + n), 40, '0'), '0x', '', '{p}o' || n, now()
    FROM generate_series(1, {n}) AS n;
INSERT INTO orders SELECT '{p}o' || n, NULL, '{p}q' || n, '{p}t' || n, 'funded', 2, now(),
    '0x' || lpad(to_hex({b} + n), 40, '0'), NULL, NULL, '{{}}', now(), now() FROM generate_series(1, {n}) AS n;
INSERT INTO recipients SELECT '{p}o' || n, 'Wanjiku Kamau', '+254712345678' FROM generate_series(1, {n}) AS n;
INSERT INTO journal (cause, template, order_id, posted_at)
    SELECT 'deposit:{p}' || n, 'deposit_received', '{p}o' || n, now() FROM generate_series(1, {n}) AS n;
INSERT INTO postings SELECT j.id, 1, 'chain:31337', 'order:' || j.order_id || ':funds', 'USDC@31337', 10000000
    FROM journal AS j WHERE j.cause LIKE 'deposit:{p}%';
"""


def make_orders(url: str, *, prefix: str, number: int, base: int) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(MAKE.format(p=prefix, n=number, b=base).encode())
        connection.execute("ANALYZE")


def tpc_b(server: Server, *, seconds: int) -> float:
    """Transactions per second of pgbench's TPC-B-like script with 8 clients."""
    host = server.url.partition("host=")[2]
    command = [str(binary("pgbench")), "-h", psycopg.conninfo.conninfo_to_dict(server.url)["host"], "-U", "postgres"]
    command += ["-n", "-c", str(CLIENTS), "-j", "2", "-T", str(seconds), "tpcb"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = re.search(r"tps = ([0-9.]+)", done.stdout)
    assert found, (host, done.stdout)
    return float(found[1])


def prepare_tpc_b(server: Server) -> None:
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE tpcb")
    host = psycopg.conninfo.conninfo_to_dict(server.url)["host"]
    command = [str(binary("pgbench")), "-h", host, "-U", "postgres", "-i", "-q", "-s", str(SCALE), "tpcb"]
    subprocess.run(command, capture_output=True, check=True)


async def drain(engine: AsyncEngine) -> int:
    """Dispatch until nothing is due, with as many loops as one worker process runs."""
    rails = Rails({"fake": FakeRail()})
    clock = lambda: system_clock() + timedelta(seconds=1)  # noqa: E731

    async def loop() -> int:
        total = 0
        while done := await dispatch(engine, rails=rails, clock=clock):
            total += done
        return total

    return sum(await asyncio.gather(*(loop() for _ in range(DISPATCHERS))))


async def orders_per_second(engine: AsyncEngine, url: str, *, prefix: str, number: int, base: int) -> float:
    make_orders(url, prefix=prefix, number=number, base=base)
    started = time.perf_counter()
    done = await drain(engine)
    seconds = time.perf_counter() - started
    counting = text("SELECT count(*) FROM orders WHERE state = 'paid' AND id LIKE :prefix")
    async with transaction(engine) as connection:
        paid = (await connection.execute(counting, {"prefix": f"{prefix}%"})).scalar_one()
    assert done == paid == number, (done, paid, number)
    return number / seconds


async def measure(server: Server) -> tuple[list[float], list[float]]:
    """Rounds of ours and of TPC-B in turn, by one worker that has been running for a while."""
    tune_collector()
    engine = make_engine(server.url)
    async with transaction(engine) as connection:
        await register_assets(connection, assets=[USDC, KES])
    await orders_per_second(engine, server.url, prefix="warm", number=2_000, base=1 << 60)
    ours, floor = [], []
    for number in range(ROUNDS):
        floor.append(tpc_b(server, seconds=TPC_B_S))
        base = (number + 1) << 40
        ours.append(await orders_per_second(engine, server.url, prefix=f"r{number}", number=ORDERS, base=base))
    await engine.dispose()
    return ours, floor


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        server = start(folder=Path(folder) / "postgres")
        try:
            migrate(server.url)
            prepare_tpc_b(server)
            ours, floor = asyncio.run(measure(server))
        finally:
            server.stop()
    ratios = [mine / theirs for mine, theirs in zip(ours, floor, strict=True)]
    report(
        bench="spine",
        rows={"orders/s, FUNDED to PAID": ours, "pgbench TPC-B, 8 clients, tps": floor},
        ratios={"to_tpcb": round(statistics.median(ratios), 2)},
        floors={"tpcb_tps": round(statistics.median(floor), 1)},
    )


if __name__ == "__main__":
    main()
