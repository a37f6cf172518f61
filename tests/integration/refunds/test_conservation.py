"""Whatever is ordered, sent and decided, in any sequence: no unit appears or disappears, and none is sent twice."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db.session import make_engine
from gateway.errors import Refusal
from gateway.refunds.order import Of
from tests.factories import make_deposit, make_orders
from tests.integration.refunds.house import CHAIN, LATE, House, with_limit

EXTRA, OWN = 5_000_000, 10_000_000
ACTS = st.one_of(
    st.tuples(st.just("refund"), st.sampled_from(Of), st.sampled_from([None, 1, 2_000_000, EXTRA + 1])),
    st.tuples(st.just("send")),
    st.tuples(st.just("settle")),
    st.tuples(st.just("decide"), st.sampled_from(["sending", "mined", "succeeded", "reverted", "displaced", "refused"])),
    st.tuples(st.just("deposit"), st.sampled_from([1, 10_000_000])),
)


async def play(engine: AsyncEngine, acts: list[tuple]) -> None:
    house = House(engine, wallets=with_limit(10**15))
    [order] = await make_orders(engine)
    for units in (OWN, EXTRA):
        await make_deposit(engine, order, units=units, at=LATE)
    await house.book()
    await house.confirm(order)
    came = OWN + EXTRA
    wallet_before = await wallet(house)
    for act, *arguments in acts:
        house.now += timedelta(minutes=2)
        if act == "refund":
            with contextlib.suppress(Refusal):
                await house.refund(order, arguments[0], units=arguments[1])
        elif act == "decide":
            await decide(house, order, *arguments)
        elif act == "deposit":
            await make_deposit(engine, order, units=arguments[0], at=LATE)
            await house.book()
            came += arguments[0]
        else:
            await getattr(house, act)()
        await check(house, order, came, wallet_before)


async def decide(house: House, order, state: str) -> None:
    rows = await house.run(
        """SELECT r.id FROM refunds AS r JOIN chain_transactions AS t ON t.reference = r.id
        WHERE r.order_id = :id AND t.state IN ('queued', 'sending', 'mined') ORDER BY r.id LIMIT 1""",
        id=order.order_id,
    )
    for row in rows:
        await house.decide(row.id, state)


async def wallet(house: House) -> int:
    [row] = await house.run(
        "SELECT COALESCE(sum(units), 0) AS units FROM postings WHERE destination = :account", account=f"wallet:{CHAIN}"
    )
    return int(row.units)


async def check(house: House, order, came: int, wallet_before: int) -> None:
    rows = await house.run("SELECT * FROM balances WHERE account LIKE :own", own=f"order:{order.order_id}:%")
    own = {row.account.rpartition(":")[2]: int(row.units) for row in rows}
    gone = await wallet(house) - wallet_before
    assert sum(own.values()) + gone == came
    refunds = await house.run("SELECT * FROM refunds WHERE order_id = :id", id=order.order_id)
    assert gone == sum(int(refund.units) for refund in refunds if refund.outcome == "paid")
    waiting = [refund for refund in refunds if refund.closed_at is None]
    assert own.get("refund", 0) == sum(int(refund.units) for refund in waiting)
    assert len(waiting) <= 1
    sent = await house.run(
        """SELECT t.state, r.outcome, r.id FROM chain_transactions AS t JOIN refunds AS r ON r.id = t.reference
        WHERE r.order_id = :id""",
        id=order.order_id,
    )
    # What may still happen on the chain is never given back on the ledger.
    assert all(row.outcome != "failed" for row in sent if row.state in ("queued", "sending", "mined", "succeeded"))
    state = (await house.view(order)).state
    own_money = [refund for refund in waiting if refund.taken_from == "funds"]
    assert (state == "refunding") == bool(own_money)
    assert all(refund.due_at is not None and refund.owner for refund in waiting)


def test_money_is_conserved_in_every_sequence(database_url):
    @settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(st.lists(ACTS, min_size=3, max_size=14))
    def run(acts):
        async def one():
            engine = make_engine(database_url)
            try:
                await play(engine, acts)
            finally:
                await engine.dispose()

        asyncio.run(one())

    run()
