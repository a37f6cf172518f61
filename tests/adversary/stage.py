"""A short story of a chain, told to a watcher by several nodes over real HTTP, one of which lies."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from gateway.chain.terms import ChainTerms
from gateway.chain.watcher import Did, Progress
from gateway.chain.wire import NodeFault
from tests.adversary.exchange import Rule
from tests.adversary.proxy import Proxy, serve
from tests.integration.chain.desk import Desk
from tests.sim.expected import Credit, credits_of
from tests.sim.watching import Watch, watch_urls
from tests.unit.chain.fake_chain import USDC, FakeChain, address, terms, transfer

OURS, OTHER_OURS, STRANGER = address("ours"), address("other ours"), address("stranger")
FINAL_AFTER = 4
STEPS_MOST = 80
STEP_TIME = timedelta(seconds=5)
PATIENCE_S = 5.0
HASH = re.compile(r"0x[0-9a-f]{64}")


@dataclass
class Stage:
    """`liar` is one of `proxies`; the others pass on what the chain says."""

    desk: Desk
    chain: FakeChain
    proxies: Sequence[Proxy]
    liar: Proxy
    terms: ChainTerms
    patience_s: float
    watch: Watch
    ever: set[Credit] = field(default_factory=set)
    """Every credit that the chain gave a reason for, at any time."""
    demoted: set[str] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)
    strict: bool = True
    """Whether what stands in the books must be true; where all nodes lie, it can only be well-formed."""

    async def story(self, rules: Sequence[Rule], *, early: bool = False) -> None:
        """Catch up; then deposits, a fork, a long absence, and rest. The lies begin after the first part, or at once."""
        if early:
            self.liar.rules = list(rules)
        await self.catch_up()
        self.liar.rules = list(rules)
        self.pay(OURS, STRANGER, OTHER_OURS)
        self.pay(OURS)
        await self.catch_up()
        await self.restart()
        self.chain.reorg(2)
        self.pay(STRANGER, OURS)
        self.pay(OURS, OTHER_OURS)
        self.mine()
        await self.catch_up()
        await self.restart()
        for _ in range(3):
            self.pay(OURS, STRANGER)
            self.mine(blocks=5)
        await self.catch_up()
        self.mine(blocks=FINAL_AFTER + 1)
        await self.catch_up()

    async def restart(self) -> None:
        """A new process, which trusts all nodes at first."""
        await self.watch.quorum.settle()
        self.note()
        await self.watch.close()
        self.watch = watch_urls(
            terms=self.terms, engine=self.desk.engine, clock=lambda: self.desk.now, patience_s=self.patience_s
        )

    def note(self) -> None:
        """Remember who is demoted now."""
        self.demoted |= {provider.name for provider in self.watch.quorum.providers if provider.reason is not None}

    def pay(self, *holders: str) -> None:
        """A block with a transfer to each."""
        self.mine(*(transfer(to=holder, units=1_000_000 + 7 * place) for place, holder in enumerate(holders)))

    def mine(self, *logs: dict[str, Any], blocks: int = 1) -> None:
        self.chain.mine(*logs, blocks=blocks)
        self.ever |= set(self.expected())

    def expected(self) -> list[Credit]:
        logs = [log for block in self.chain.blocks for log in block["logs"]]
        return credits_of(logs, ours=[OURS, OTHER_OURS])

    async def catch_up(self) -> None:
        """Step until the cursor is at the head and the final block, and nothing is left to do. Raises `TimeoutError`."""
        for _ in range(STEPS_MOST):
            progress = await self.step()
            at_rest = progress is not None and progress.did in {Did.IDLE, Did.FINALIZED}
            if at_rest and await self.is_at_head():
                return
        raise TimeoutError(f"no rest after {STEPS_MOST} steps: {self.faults[-3:]}")

    async def step(self) -> Progress | None:
        """One step, after which nothing may be credited that the chain never said."""
        self.desk.now += STEP_TIME
        progress = None
        try:
            progress = await self.watch.step()
        except NodeFault as fault:
            self.faults.append(str(fault))
        self.note()
        await self.check()
        return progress

    async def is_at_head(self) -> bool:
        cursor, head = await self.desk.cursor(), self.chain.blocks[-1]["hash"]
        final = max(self.chain.head - FINAL_AFTER, 0)
        return bool(cursor.hash == head and cursor.finalized_number >= final)

    async def check(self) -> None:
        state = await self.desk.state()
        rows = state.deposits
        if self.strict:
            assert {_credit(row) for row in rows} <= self.ever
        for row in rows:
            assert HASH.fullmatch(row.tx_hash)
            assert HASH.fullmatch(row.block_hash)
            assert (row.asset, row.address in (OURS, OTHER_OURS)) == (USDC.code, True)
            assert 0 < row.units < 2**256
            assert row.log_index >= 0
        if state.cursor is not None:
            state.check()

    async def check_end(self) -> None:
        """Credits are those of the chain, and no lie has been met by the proxy that it wasn't made for."""
        rows = await self.desk.deposits()
        final = max(self.chain.head - FINAL_AFTER, 0)
        standing = {_credit(row): row.status for row in rows if row.status != "orphaned"}
        assert standing == {credit: "final" if credit[2] <= final else "seen" for credit in self.expected()}
        assert [proxy.unprepared for proxy in self.proxies] == [[]] * len(self.proxies)


def _credit(row: Any) -> Credit:
    return row.tx_hash, row.log_index, row.block_number, row.block_hash, row.address, int(row.units)


@asynccontextmanager
async def stage(
    desk: Desk, *, nodes: int = 3, quorum: int = 2, liar: int = 0, patience_s: float = PATIENCE_S, **changes: Any
) -> AsyncIterator[Stage]:
    """`nodes` proxies before one chain in memory, a watcher that asks them all, and a liar at place `liar`."""
    await desk.know([USDC], [OURS, OTHER_OURS])
    chain = FakeChain(blocks=10, final_after=FINAL_AFTER)
    proxies: list[Proxy] = []
    async with _all(chain, nodes, proxies):
        told: ChainTerms = replace(terms(rpc=tuple(proxy.url for proxy in proxies)), quorum=quorum, **changes)
        watch = watch_urls(terms=told, engine=desk.engine, clock=lambda: desk.now, patience_s=patience_s)
        made = Stage(desk, chain, proxies, proxies[liar], told, patience_s, watch)
        try:
            yield made
        finally:
            await made.watch.close()


@asynccontextmanager
async def _all(chain: FakeChain, nodes: int, proxies: list[Proxy]) -> AsyncIterator[None]:
    if len(proxies) == nodes:
        yield
        return
    async with serve(chain.ask) as proxy:
        proxies.append(proxy)
        async with _all(chain, nodes, proxies):
            yield
