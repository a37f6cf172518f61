"""From a node's bytes to committed deposits, beside `orjson.loads` of the same bytes and web3.py's `get_logs()`.

    uv run python -m tests.bench.chain

The node is a C program with canned answers (canned_node.c), PostgreSQL is the one that the product brings along, with fsync
and synchronous_commit on; the watcher is the real one and watches a million addresses. Rates are logs per second, of which
one in a thousand is a deposit of ours (sparse) or every one (dense). Beside each round of ours stands one of floors.py.
Then anvil: from the request to mine a block to the committed deposit.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.chain.logs import ADDRESS_PADDING
from gateway.chain.quorum import connect_all
from gateway.chain.rpc import connect
from gateway.chain.terms import ChainTerms, FinalizedTag
from gateway.chain.watcher import Watcher
from gateway.chain.watchlist import Watchlist
from gateway.clock import system_clock
from gateway.db.embedded import start
from gateway.db.migrate import migrate
from gateway.db.session import make_engine, transaction
from gateway.ledger.post import register_assets
from gateway.main import tune_collector
from gateway.money import Asset
from tests.bench import canned
from tests.bench.detect import Latency, detect
from tests.bench.floors import SPAN, floors
from tests.bench.report import report

ROUNDS = 5
ADDRESSES = 1_000_000
FEW_ADDRESSES = 10_000
SPARSE_BLOCKS, SPARSE_EVERY = 4_000, 1_000
DENSE_BLOCKS = 1_000
TRANSFER_BLOCKS = 1_000
USDC = Asset(f"USDC@{canned.CHAIN_ID}", 6)

MAKE_ADDRESSES = """
INSERT INTO deposit_addresses (address, factory, salt, owner, created_at)
SELECT '0x' || left(encode(sha256(convert_to(n::text, 'UTF8')), 'hex'), 40), '0x', '', 'o' || n, now()
FROM generate_series(0, {n} - 1) AS n
"""
CLEAR = "TRUNCATE deposits, chain_cursors, chain_blocks, chain_providers"


def terms(urls: Sequence[str]) -> ChainTerms:
    return ChainTerms(
        name="canned",
        chain_id=canned.CHAIN_ID,
        rpc=tuple(urls),
        quorum=len(urls),
        finality=FinalizedTag(),
        start_block=1,
        tokens={canned.TOKEN: USDC},
        poll_s=1,
        native=Asset(f"ETH@{canned.CHAIN_ID}", 18),
        treasury="0x" + "7e" * 20,
    )


class Contender:
    """One watcher with its nodes, used for all rounds: what is measured is a process that has been running for a while."""

    def __init__(self, urls: Sequence[str], *, blocks: int, every: int, engine: AsyncEngine, watched: Watchlist) -> None:
        self.quorum = connect_all(terms(urls))
        self.watcher = Watcher(terms=terms(urls), quorum=self.quorum, engine=engine, clock=system_clock, watched=watched)
        self.logs = blocks * canned.LOGS_PER_BLOCK
        self.deposits = len(range(0, self.logs, every))

    async def logs_per_second(self, database: str) -> float:
        """Scan the whole chain into an empty database."""
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute(CLEAR)
        await self.watcher.step()
        started = time.perf_counter()
        while (await self.watcher.step()).more:
            pass
        seconds = time.perf_counter() - started
        with psycopg.connect(database) as connection:
            found = connection.execute("SELECT count(*), count(*) FILTER (WHERE status = 'final') FROM deposits").fetchone()
        assert found == (self.deposits, self.deposits), (found, self.deposits)
        return self.logs / seconds

    async def close(self) -> None:
        await self.watcher.close()
        await self.quorum.close()


async def cost_per_log(url: str, watched: Watchlist) -> float:
    """Our processor's nanoseconds per log, from the socket to the transfers of ours."""
    node = connect(url)
    started, count = time.process_time_ns(), 0
    for first in range(1, TRANSFER_BLOCKS + 1, SPAN):
        where = {"fromBlock": hex(first), "toBlock": hex(first + SPAN - 1)}
        count += (await node.transfers(where, tokens={canned.TOKEN}, watched=watched)).logs
    spent = time.process_time_ns() - started
    await node.disconnect()
    return spent / count


async def load(engine: AsyncEngine) -> tuple[Watchlist, float, float]:
    """The watchlist of the whole database; bytes per address, and nanoseconds per look-up of strangers."""
    tracemalloc.start()
    watched = Watchlist(engine)
    await watched.refresh()
    size = tracemalloc.get_traced_memory()[0] / len(watched)
    tracemalloc.stop()
    assert len(watched) >= ADDRESSES
    topics = watched.topics()
    strangers = [ADDRESS_PADDING + canned.word(f"stranger {number}")[2:42] for number in range(200_000)]
    started = time.perf_counter_ns()
    hits = [topic for topic in strangers if topic in topics]
    spent = time.perf_counter_ns() - started
    assert not hits
    return watched, size, spent / len(strangers)


def few(engine: AsyncEngine) -> Watchlist:
    watched = Watchlist(engine)
    watched._add(canned.our_address(number) for number in range(FEW_ADDRESSES))
    return watched


async def rates(database: str, sparse: Sequence[str], dense: str) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Rounds in turn, and what the watchlist costs."""
    tune_collector()
    engine = make_engine(database)
    async with transaction(engine) as connection:
        await register_assets(connection, assets=[USDC])
    watched, size, look_up = await load(engine)
    small = few(engine)
    shared: dict[str, Any] = {"engine": engine, "watched": watched}
    contenders = {
        "sparse": Contender(sparse[:1], blocks=SPARSE_BLOCKS, every=SPARSE_EVERY, **shared),
        "sparse, quorum 2": Contender(sparse, blocks=SPARSE_BLOCKS, every=SPARSE_EVERY, **shared),
        "dense": Contender([dense], blocks=DENSE_BLOCKS, every=1, **shared),
    }
    for contender in contenders.values():
        await contender.logs_per_second(database)
    figures: dict[str, list[float]] = {}
    for number in range(ROUNDS):
        print(f"round {number + 1} of {ROUNDS}", file=sys.stderr)
        done = floors(sparse[0])
        for name, contender in contenders.items():
            done[name] = await contender.logs_per_second(database)
        done["ns per log, 10,000 addresses"] = await cost_per_log(sparse[0], small)
        done["ns per log, 1,000,000 addresses"] = await cost_per_log(sparse[0], watched)
        for name, figure in done.items():
            figures.setdefault(name, []).append(figure)
    for contender in contenders.values():
        await contender.close()
    await engine.dispose()
    return figures, {"bytes_per_address": round(size, 1), "ns_per_look_up": round(look_up, 1)}


def measure(folder: Path, program: Path, database: str) -> tuple[dict[str, list[float]], dict[str, float]]:
    print("rendering the chains", file=sys.stderr)
    sparse, dense = folder / "sparse", folder / "dense"
    canned.write_chain(sparse, blocks=SPARSE_BLOCKS, ours_every=SPARSE_EVERY, addresses=ADDRESSES)
    canned.write_chain(dense, blocks=DENSE_BLOCKS, ours_every=1, addresses=ADDRESSES)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(MAKE_ADDRESSES.format(n=ADDRESSES).encode())
        connection.execute("VACUUM ANALYZE")
    with ExitStack() as stack:
        nodes = [stack.enter_context(canned.serve(program, chain)) for chain in (sparse, sparse, dense)]
        return asyncio.run(rates(database, nodes[:2], nodes[2]))


def ratios(figures: dict[str, list[float]], latency: Latency) -> dict[str, float]:
    def median(one: str, other: str) -> float:
        return statistics.median(a / b for a, b in zip(figures[one], figures[other], strict=True))

    found = {
        "sparse_to_get_logs": median("sparse", "web3.py get_logs()"),
        "sparse_to_orjson": median("sparse", "orjson.loads"),
        "dense_to_get_logs": median("dense", "web3.py get_logs()"),
        "sparse_quorum2_to_get_logs": median("sparse, quorum 2", "web3.py get_logs()"),
        "million_addresses_cost": median("ns per log, 1,000,000 addresses", "ns per log, 10,000 addresses"),
        "detect_to_mine": latency.hinted_p95_s / latency.mining_p95_s,
        "detect_to_poll": latency.polled_p95_s / latency.poll_s,
    }
    return {name: round(ratio, 2) for name, ratio in found.items()}


def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        program = canned.compile_node(Path(home))
        server = start(folder=Path(home) / "postgres")
        try:
            migrate(server.url)
            latency = detect(folder=Path(home) / "devchain", database=server.url)
            figures, watching = measure(Path(home), program, server.url)
        finally:
            server.stop()
    beside = {
        name: round(statistics.median(figures[name])) for name in ("web3.py get_logs()", "orjson.loads", "download only")
    }
    report(
        bench="chain",
        rows={**figures, **latency.rows()},
        ratios=ratios(figures, latency),
        floors={**beside, **watching, "mining_ms": round(latency.mining_p95_s * 1_000, 1)},
    )


if __name__ == "__main__":
    main()
