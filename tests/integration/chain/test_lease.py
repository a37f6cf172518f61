"""One process watches a chain at a time; what decides is the row, and in the end the cursor."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from datetime import timedelta

import pytest

from gateway.chain import watching
from gateway.chain.lease import RENEW_AFTER, TERM, Lease
from gateway.chain.quorum import Quorum
from gateway.chain.terms import ChainTerms
from gateway.chain.watching import Watching
from gateway.chain.watchlist import Watchlist
from tests.integration.chain.desk import Desk
from tests.unit.chain.fake_chain import CHAIN_ID, FakeChain, quorum_of, terms
from tests.unit.chain.test_check import Contracts


def lease(desk: Desk, chain_id: int = CHAIN_ID) -> Lease:
    return Lease(engine=desk.engine, chain_id=chain_id, clock=lambda: desk.now)


async def test_one_of_many_has_it(desk: Desk) -> None:
    held = await asyncio.gather(*(lease(desk).held() for _ in range(8)))
    assert held.count(True) == 1


async def test_it_is_kept_by_renewing_and_lost_by_not(desk: Desk) -> None:
    mine, other = lease(desk), lease(desk)
    assert await mine.held()
    for _ in range(5):
        desk.now += TERM - timedelta(seconds=1)
        assert await mine.held()
        assert not await other.held()
    desk.now += TERM
    assert await other.held()
    assert not await mine.held()


async def test_a_lease_of_a_clock_that_was_days_ahead_does_not_leave_the_chain_unwatched(desk: Desk) -> None:
    desk.now += timedelta(days=3)
    assert await lease(desk).held()
    desk.now -= timedelta(days=3)
    assert await lease(desk).held()


async def test_each_chain_has_its_own(desk: Desk) -> None:
    assert await lease(desk, 1).held()
    assert await lease(desk, 2).held()


async def test_given_up_it_is_free_at_once_for_whoever_has_it(desk: Desk) -> None:
    mine, other = lease(desk), lease(desk)
    await mine.held()
    await other.give_up()
    assert not await other.held()
    await mine.give_up()
    assert await other.held()


async def test_it_costs_no_query_until_half_of_it_is_over(desk: Desk) -> None:
    mine = lease(desk)
    await mine.held()
    await desk.run("DELETE FROM chain_leases")
    desk.now += RENEW_AFTER - timedelta(seconds=1)
    assert await mine.held()
    assert await lease(desk).held()
    desk.now += timedelta(seconds=1)
    assert not await mine.held()


@pytest.fixture
def chain(monkeypatch: pytest.MonkeyPatch) -> FakeChain:
    chain = Contracts(blocks=10)

    def connect(_terms: ChainTerms) -> Quorum:
        return quorum_of(chain, quorum=1)

    monkeypatch.setattr(watching, "connect_all", connect)
    return chain


def watch(desk: Desk) -> Watching:
    return Watching(terms=terms(), engine=desk.engine, clock=lambda: desk.now, watched=Watchlist(desk.engine))


async def test_only_the_holder_asks_nodes_and_the_next_goes_on_where_it_stopped(desk: Desk, chain: FakeChain) -> None:
    first, second = watch(desk), watch(desk)
    assert await first.step() == 1
    chain.calls.clear()
    assert await second.step() == 0
    assert chain.calls == []
    beside = asyncio.create_task(first.attend(asyncio.Event()))
    await asyncio.sleep(0)
    beside.cancel()
    await asyncio.gather(beside, return_exceptions=True)
    while await second.step():
        pass
    assert (await desk.cursor()).number == 9


async def test_the_lease_of_a_killed_process_is_taken_over_when_it_ends(
    desk: Desk, chain: FakeChain, database_url: str
) -> None:
    """Another process takes it and is killed without a word."""
    take = (
        "import asyncio, os, sys\n"
        "from datetime import datetime\n"
        "from gateway.chain.lease import Lease\n"
        "from gateway.db.session import make_engine\n"
        "async def main():\n"
        "    now = datetime.fromisoformat(sys.argv[2])\n"
        f"    held = await Lease(engine=make_engine(sys.argv[1]), chain_id={CHAIN_ID}, clock=lambda: now).held()\n"
        "    os._exit(7 if held else 1)\n"
        "asyncio.run(main())\n"
    )
    command = [sys.executable, "-c", take, database_url, desk.now.isoformat()]
    assert (await asyncio.to_thread(subprocess.run, command, check=False)).returncode == 7
    ours = watch(desk)
    assert await ours.step() == 0
    assert chain.calls == []
    desk.now += TERM
    assert await ours.step() == 1
