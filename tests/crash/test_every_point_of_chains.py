"""Every point of the loops that read chains and sign: killed there, on a real node, and every coin goes its way once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from gateway.config import parse
from gateway.devchain.rpc import RpcRefused
from gateway.orders.accept import Accepted
from tests.chain_tools import mine
from tests.crash.harbour import Harbour
from tests.crash.lives import Lives, Mother, free_port, lives, tree
from tests.crash.points import points_of
from tests.crash.rail import rail
from tests.crash.world import before

WITHIN_S = 400
"""How long nothing may come: a busy machine may take long for all of it."""
SPEED, BUSY, BUSY_S = 20, 6, 60
"""A plan of sweeps that was begun is begun anew after two minutes."""
GROUPS = ("chains", "keys", "rates", "orders", "payouts", "treasury")
LAST = ("watcher.halt", "lease.give_up")
"""After these nothing goes on: a person has to clear the chain, and a worker has ended."""


@pytest.fixture
def sailors(harbour: Harbour, database_url: str, tmp_path: Path, mother: Mother) -> Iterator[Lives]:
    with rail() as book:
        chain = harbour.settings_of_chain(tmp_path)
        settings = tree(rail_url=book.url, port=free_port(), rates=tmp_path / "rates.json", now=harbour.now, **chain)
        given = {"tree": settings, "database": database_url, "now": harbour.now.isoformat(), "speed": SPEED}
        with lives(given, tmp_path, mother) as made:
            yield made


SOME = ("watcher.write", "submit.sign", "submit:", "sweeper.launch", "sweeper.book", "refunds.hand_over", "settle.record")
"""Where money is on its way, for every run of the tests; all of them by name."""


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("names", [SOME, pytest.param(("",), marks=pytest.mark.slow)])
async def test_every_point_of_chains_is_survived(harbour: Harbour, sailors: Lives, names: tuple[str, ...]) -> None:
    todo = [point for point in points_of("chains") if point.startswith(names)]
    voyage = Voyage(harbour, sailors)
    await voyage.begin()
    await voyage.until_hit([point for point in todo if not point.startswith(LAST)])
    await voyage.rest()
    await harbour.check()
    await voyage.end_badly([point for point in todo if point.startswith(LAST)])
    assert set(sailors.deaths()) == set(todo)
    assert sailors.nameless() == []


class Voyage:
    """What happens, in its order."""

    def __init__(self, harbour: Harbour, sailors: Lives) -> None:
        self.harbour = harbour
        self.sailors = sailors
        self.late: list[Accepted] = []
        self.rounds = 0
        self.taken = False
        self.first = ""

    async def begin(self) -> None:
        """Two orders paid and one too late, and a stranger's transaction under way before the gas key has done anything."""
        orders = [await self.harbour.order(), await self.harbour.order()]
        self.late = [await self.harbour.order(late=True)]
        await self.harbour.pay(*orders, *self.late)
        self.first = await self.harbour.address_of(orders[0])
        await asyncio.to_thread(self.harbour.stray, self.first)
        await asyncio.to_thread(mine, self.harbour.chain, 3)
        self.harbour.rival(0)

    async def until_hit(self, todo: list[str]) -> None:
        """Workers that die at the first point at which none has died, until there is no such point."""
        ends = before(WITHIN_S)
        worker = person = died = 0
        while left := sorted(set(todo) - set(self.sailors.deaths())):
            if len(self.sailors.deaths()) > died:
                died, ends = len(self.sailors.deaths()), before(WITHIN_S)
            assert before(0) < ends, f"nobody came to {left}\n{self.sailors.log.read_text()[-3000:]}"
            if not self.sailors.lives(worker):
                worker = self.sailors.work(points=left, only=GROUPS)
            if _open(left, "reconcile.begin") and not self.sailors.lives(person):
                person = self.sailors.compare(points=left)
            await self._round(left)
            await asyncio.sleep(0.05)
        self.sailors.kill(worker)

    async def _round(self, left: list[str]) -> None:
        harbour = self.harbour
        self.rounds += 1
        await self._refund()
        if _open(left, "submit.stranger"):
            return
        if not _open(left, "submit.afford") and not _open(left, "submit.wait"):
            await asyncio.to_thread(harbour.enrich)
        if _open(left, "submit.gone") or _open(left, "sweeper.close"):
            await self._rival()
        await asyncio.to_thread(mine, harbour.chain, 1)
        if _open(left, "submit.unplace"):
            await harbour.unplace()
        elif self.rounds % 5 == 0 and _open(left, "watcher.rewind"):
            await harbour.fork()
        if self.rounds % 20 == 0 and _open(left, "strays.keep"):
            await asyncio.to_thread(harbour.stray, self.first)
        if _open(left, "sweeper.alarm") and not _open(left, "sweeper.book") and not self.taken:
            self.taken = True
            await harbour.taken_by_somebody(await harbour.order())
        if self.rounds % 40 == 0:
            self.late.append(await harbour.order(late=True))
            await harbour.pay(await harbour.order(), self.late[-1])

    async def _refund(self) -> None:
        """As soon as late orders are held, a person sends their money back."""
        states = await self.harbour.states()
        for order in [order for order in self.late if states[order.order_id] == "held"]:
            await self.harbour.give_back(order, parse(tree=self.sailors.settings))
            self.late.remove(order)

    async def _rival(self) -> None:
        """Somebody else takes the nonce of a sweep that isn't mined yet."""
        nonce = await self.harbour.value(
            "SELECT min(nonce) FROM chain_transactions JOIN sweeps USING (reference) WHERE state = 'sending'"
        )
        if nonce:
            with suppress(RpcRefused):  # ours was mined before
                await asyncio.to_thread(self.harbour.rival, int(nonce))

    async def rest(self) -> None:
        """Wait until all is done, while blocks come; with a slower clock if it takes long, for then the machine is busy."""
        if not await self._rests(within_s=BUSY_S):
            self.sailors.calm_down(BUSY)
            rests = await self._rests(within_s=WITHIN_S)
            assert rests, f"{await self.harbour.unlike()}\n{self.sailors.log.read_text()[-3000:]}"

    async def _rests(self, *, within_s: float) -> bool:
        ends = before(within_s)
        await self.harbour.ring()
        worker = self.sailors.work(only=GROUPS)
        while not (done := await self._done()) and before(0) < ends:
            await self._refund()
            await asyncio.to_thread(mine, self.harbour.chain, 1)
            await asyncio.sleep(0.05)
        self.sailors.kill(worker)
        return done

    async def _done(self) -> bool:
        return await self.harbour.states() == self.harbour.ends and not await self.harbour.unswept()

    async def end_badly(self, todo: list[str]) -> None:
        """Workers that are told to end, and at last a chain that takes back what was final."""
        if not todo:
            return
        for point in [point for point in todo if point.startswith("lease.give_up")]:
            worker = self.sailors.work(points=[point], only=("chains",))
            await self._until_watched()
            self.sailors.stop(worker)
        final = int(await self.harbour.value("SELECT finalized_number FROM chain_cursors"))
        await asyncio.to_thread(self.harbour.undo, final)
        for point in sorted((point for point in todo if point.startswith("watcher.halt")), reverse=True):
            worker = self.sailors.work(points=[point], only=("chains",))
            ends = before(WITHIN_S)
            while self.sailors.lives(worker):
                assert before(0) < ends, f"nobody came to {point}\n{self.sailors.log.read_text()[-3000:]}"
                await asyncio.to_thread(mine, self.harbour.chain, 1)
                await asyncio.sleep(0.05)
        assert await self.harbour.value("SELECT halted IS NOT NULL FROM chain_cursors")

    async def _until_watched(self) -> None:
        """Until the new worker has the chain's lease: that of the one before runs out."""
        ends = before(10)
        before_ = await self.harbour.value("SELECT holder FROM chain_leases")
        while before(0) < ends and await self.harbour.value("SELECT holder FROM chain_leases") == before_:
            await asyncio.sleep(0.02)


def _open(left: list[str], name: str) -> bool:
    return any(point.startswith(name + ":") for point in left)
