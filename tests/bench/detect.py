"""From a mined block to the committed deposit, on anvil: woken by its websocket, and by polling alone.

The watcher runs as a loop of the worker in a process of its own, as `lastmile work` runs it. Here blocks are mined, and the
database's own notification, which it sends at the commit, is waited for.
"""

from __future__ import annotations

import asyncio
import random
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import psycopg

from gateway.chain.terms import ChainTerms, FinalizedTag
from gateway.chain.watching import Watching
from gateway.chain.watchlist import Watchlist
from gateway.chain.wire import NodeFault
from gateway.clock import system_clock
from gateway.db.session import WAKE_CHANNEL, make_engine
from gateway.devchain import chain as devchain
from gateway.devchain.chain import DevChain
from gateway.devchain.rpc import Rpc
from gateway.main import tune_collector
from gateway.money import Asset
from gateway.worker.loops import Loop, Worker
from tests.solidity import tools_cache

HINTED, POLLED = 200, 60
POLL_S = 0.5
SELDOM_S = 30.0
"""Polling interval where the websocket does the waking."""
PATIENCE_S = 90
WARM_UP = 10
OURS = "0x" + "0d" * 20


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds, one figure per block."""

    mining: Sequence[float]
    hinted: Sequence[float]
    polled: Sequence[float]
    poll_s: float = POLL_S

    @property
    def mining_p95_s(self) -> float:
        return p95(self.mining)

    @property
    def hinted_p95_s(self) -> float:
        return p95(self.hinted)

    @property
    def polled_p95_s(self) -> float:
        return p95(self.polled)

    def rows(self) -> dict[str, list[float]]:
        names = {"us, evm_mine": self.mining, "us, mined to committed, hint": self.hinted}
        names[f"us, mined to committed, {POLL_S} s polls"] = self.polled
        return {name: [figure * 1e6 for figure in figures] for name, figures in names.items()}


def p95(figures: Sequence[float]) -> float:
    return statistics.quantiles(figures, n=20)[-1]


def detect(*, folder: Path, database: str) -> Latency:
    """Mine a few hundred blocks with one transfer to us each."""

    def progress(line: str) -> None:
        print(line, file=sys.stderr)

    chain = devchain.start(folder=folder, tools_folder=tools_cache(), progress=progress)
    try:
        with psycopg.connect(database, autocommit=True) as connection, Rpc(chain.rpc_url) as rpc:
            connection.execute("INSERT INTO assets VALUES ('USDC@31337', 6) ON CONFLICT DO NOTHING")
            connection.execute(
                "INSERT INTO deposit_addresses (address, factory, salt, owner, created_at) VALUES (%s, '0x', '', '', now())",
                [OURS],
            )
            connection.execute(f"LISTEN {WAKE_CHANNEL}")
            rpc("evm_setAutomine", False)
            with watching(chain, database, poll_s=SELDOM_S, heads=chain.rpc_url.replace("http", "ws")):
                pairs = [one_block(chain, rpc, connection, apart_s=0.1) for _ in range(WARM_UP + HINTED)][WARM_UP:]
            with watching(chain, database, poll_s=POLL_S, heads=""):
                polled = [one_block(chain, rpc, connection, apart_s=POLL_S)[1] for _ in range(WARM_UP + POLLED)][WARM_UP:]
            return Latency([mining for mining, _ in pairs], [hinted for _, hinted in pairs], polled)
    finally:
        chain.node.stop()


def one_block(chain: DevChain, rpc: Rpc, connection: psycopg.Connection, *, apart_s: float) -> tuple[float, float]:
    """How long the mining call took, and from its beginning how long until the deposit was committed."""
    time.sleep(random.uniform(0.1, 0.1 + apart_s))  # so that polls and blocks don't fall into step
    tx_hash = chain.transfer(to=OURS, units=1_000_000)
    started = time.perf_counter()
    rpc("evm_mine")
    mined = time.perf_counter()
    while list(connection.notifies(timeout=PATIENCE_S, stop_after=1)):
        heard = time.perf_counter()
        if connection.execute("SELECT FROM deposits WHERE tx_hash = %s", [tx_hash]).fetchone() is not None:
            return mined - started, heard - started
    raise TimeoutError("the deposit wasn't found")


@contextmanager
def watching(chain: DevChain, database: str, *, poll_s: float, heads: str) -> Iterator[None]:
    arguments = [chain.rpc_url, chain.usdc.lower(), database, str(poll_s), heads]
    with subprocess.Popen([sys.executable, "-m", "tests.bench.detect", *arguments]) as worker:
        try:
            yield
        finally:
            worker.send_signal(signal.SIGTERM)
            worker.wait(PATIENCE_S)


async def work(url: str, token: str, database: str, poll_s: str, heads: str) -> None:
    """What the child process does: the chain's loop, until it is told to stop."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    terms = ChainTerms(
        name="anvil",
        chain_id=31337,
        rpc=(url,),
        heads=(heads,) if heads else (),
        finality=FinalizedTag(),
        start_block=None,
        tokens={token: Asset("USDC@31337", 6)},
        poll_s=float(poll_s),
        native=Asset("ETH@31337", 18),
        treasury="0x" + "7e" * 20,
    )
    engine = make_engine(database)
    tune_collector()
    loop = Watching(terms=terms, engine=engine, clock=system_clock, watched=Watchlist(engine))
    idle = timedelta(seconds=terms.poll_s)
    loops = (Loop("chain", loop.step, idle=idle, wakes=False, foreseen=(NodeFault,), beside=loop.attend),)
    try:
        await Worker(loops=loops, database_url=database).run()
    except asyncio.CancelledError:
        await engine.dispose()


if __name__ == "__main__":
    asyncio.run(work(*sys.argv[1:]))
