"""Real watcher processes that can be killed: one that has imported everything forks others at once.

`python -m tests.sim.process` reads a JSON line of settings, then a line for each process it shall start, and answers with
its pid. Each watches and books without end. The kernel takes what was killed away.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from contextlib import suppress
from typing import Any

from gateway.chain.terms import ChainTerms, Depth, FinalizedTag
from gateway.chain.wire import NodeFault
from gateway.clock import system_clock
from gateway.db.session import make_engine
from gateway.money import Asset, Money
from gateway.orders.funding import book_deposits
from tests.factories import NOW
from tests.sim.watching import watch_urls

IDLE_S = 0.02
FAULT_S = 0.05


def terms_of(settings: dict[str, Any]) -> ChainTerms:
    depth = settings.get("depth")
    return ChainTerms(
        name="killed",
        chain_id=settings["chain_id"],
        rpc=tuple(settings["rpc"]),
        quorum=settings["quorum"],
        finality=FinalizedTag() if depth is None else Depth(depth),
        start_block=settings.get("start_block"),
        tokens={settings["token"]: Asset(settings["asset"], 6)},
        poll_s=1,
        native=Asset(f"ETH@{settings['chain_id']}", 18),
        treasury="0x" + "7e" * 20,
    )


async def run(settings: dict[str, Any]) -> None:
    """Watch and book until killed."""
    engine = make_engine(settings["database"])
    watch = watch_urls(terms=terms_of(settings), engine=engine, clock=system_clock)
    least = {settings["asset"]: Money(settings.get("least", 0), Asset(settings["asset"], 6))}
    while True:
        more = False
        with suppress(NodeFault):
            more = (await watch.step()).more
        # By the tests' clock: orders of a moment ago must not be late.
        booked = await book_deposits(engine, least=least, now=NOW) if settings.get("book", True) else 0
        if not more and not booked:
            await asyncio.sleep(IDLE_S)


def main() -> None:
    settings = json.loads(sys.stdin.readline())
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            asyncio.run(run(settings))
        print(child, flush=True)


if __name__ == "__main__":
    main()
