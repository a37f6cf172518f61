"""Orders that people hold, release and stop: of a person and the automatic flow one comes first, the other is told."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from gateway.db.session import transaction
from gateway.desk.errors import NotHeld
from gateway.desk.resolve import release_hold
from gateway.ledger.freezes import AssetFrozen, FreezeKind, freeze_asset
from gateway.money import Money
from gateway.offramp import AttemptRef, Fault, Outcome, Report
from gateway.operators.actions import ReasonMissing, UnknownOperator
from gateway.orders.vanished import DepositVanished
from gateway.payouts.cancel import cancel
from gateway.payouts.dispatch import dispatch
from gateway.payouts.errors import AlreadySent, AttemptClosed, CannotCancel, HoldStands, NothingToHold
from gateway.payouts.holds import REDIRECT, RELEASE, held_orders, hold_order
from gateway.payouts.rails import Rails
from tests.factories import KES, PENDING, UNKNOWN, USDC, FakeRail, failed, make_orders, paid
from tests.integration.payouts.people import Bureau, open_bureau

ORDERED = Money(124_900, KES)


@pytest.fixture
async def bureau(engine):
    return await open_bureau(engine)


async def hold(bureau, order_id, *, by="amina", reason="the sender called"):
    async with transaction(bureau.engine) as connection:
        await hold_order(connection, order_id=order_id, operator=by, reason=reason, now=bureau.now)


async def release(bureau, order_id):
    async with transaction(bureau.engine) as connection:
        await release_hold(connection, order_id=order_id, operator="brian", reason="all is well", now=bureau.now)


async def send(bureau):
    return await dispatch(bureau.engine, rails=bureau.rails, clock=bureau.clock)


async def order_state(bureau, order_id):
    return await bureau.one("SELECT state FROM orders WHERE id = :id", id=order_id)


async def test_what_a_person_holds_is_not_sent_until_it_is_released(bureau: Bureau):
    [order_id] = await bureau.funded()
    await hold(bureau, order_id)
    bureau.pass_(hours=5)
    await send(bureau)
    assert bureau.rail.calls == []
    async with transaction(bureau.engine) as connection:
        [held] = await held_orders(connection)
    assert (held.order_id, held.reason, held.funds, held.deliver) == (order_id, "by_hand", Money(10_000_000, USDC), ORDERED)
    assert held.ways[0] == RELEASE
    await release(bureau, order_id)
    await send(bureau)
    assert await order_state(bureau, order_id) == "paid"
    assert await bureau.actions() == [("amina", "payouts.hold"), ("brian", "deposits.release")]
    with pytest.raises(NotHeld):
        await release(bureau, order_id)


async def test_what_was_sent_already_is_told_with_where_it_is(bureau: Bureau):
    attempt = await bureau.attempt(PENDING)
    order_id = await bureau.one("SELECT id FROM orders")
    with pytest.raises(AlreadySent, match=f"{attempt} is at fake"):
        await hold(bureau, order_id)
    await bureau.hear(attempt, paid("x", ORDERED))
    with pytest.raises(NothingToHold, match="is paid"):
        await hold(bureau, order_id)
    [new] = await make_orders(bureau.engine)
    with pytest.raises(NothingToHold, match="awaiting_deposit"):
        await hold(bureau, new.order_id)
    assert await bureau.actions() == []


async def test_a_hold_has_a_name_and_a_reason(bureau: Bureau):
    [order_id] = await bureau.funded()
    with pytest.raises(UnknownOperator):
        await hold(bureau, order_id, by="nobody")
    with pytest.raises(ReasonMissing):
        await hold(bureau, order_id, reason="")
    assert await order_state(bureau, order_id) == "funded"


async def test_an_order_is_either_held_or_sent_and_the_person_is_told_which(bureau: Bureau):
    orders = await bureau.funded(20)
    told: dict[str, str] = {}

    async def person(order_id: str) -> None:
        try:
            await hold(bureau, order_id)
            told[order_id] = "held"
        except (AlreadySent, NothingToHold):
            told[order_id] = "paid"

    await asyncio.gather(
        *(person(order_id) for order_id in orders[::2]), send(bureau), send(bureau), *map(person, orders[1::2])
    )
    while await send(bureau):
        pass
    assert {order_id: await order_state(bureau, order_id) for order_id in orders} == told
    assert len(bureau.rail.calls) == list(told.values()).count("paid")


async def test_a_released_order_is_tried_again_whatever_rails_said_of_it_before(bureau: Bureau):
    attempt = await bureau.attempt(failed(Fault.RAIL))
    order_id = await bureau.one("SELECT id FROM orders")
    await send(bureau)
    assert await bureau.state(attempt) == ("held", "failed")
    bureau.pass_(minutes=5)
    await release(bureau, order_id)
    await send(bureau)
    assert await order_state(bureau, order_id) == "paid"


@pytest.mark.parametrize("reason", ["recipient_refused", "returned"])
async def test_a_recipient_who_was_refused_is_redirected_not_tried_again(bureau: Bureau, reason):
    [order_id] = await bureau.funded()
    await bureau.hold(order_id, reason)
    with pytest.raises(HoldStands, match=REDIRECT):
        await release(bureau, order_id)
    async with transaction(bureau.engine) as connection:
        [held] = await held_orders(connection)
    assert held.ways[0] == REDIRECT
    assert RELEASE not in held.ways


async def test_a_frozen_coin_and_a_vanished_deposit_keep_their_orders_held(bureau: Bureau):
    first, second = await bureau.funded(2)
    await hold(bureau, first)
    async with transaction(bureau.engine) as connection:
        await freeze_asset(connection, asset=USDC.code, kind=FreezeKind.PAUSED, reason="paused", now=bureau.now)
    with pytest.raises(AssetFrozen):
        await release(bureau, first)
    await bureau.run("UPDATE asset_freezes SET lifted_at = now(), lifted_by = 'amina'")
    await release(bureau, first)
    await hold(bureau, second)
    await bureau.run(
        """
        INSERT INTO incidents (cause, kind, order_id, detail, opened_at)
        VALUES ('c', 'final_deposit_vanished', :order, '{}', now())
        """,
        order=second,
    )
    with pytest.raises(DepositVanished):
        await release(bureau, second)


async def test_held_orders_are_listed_in_pages(bureau: Bureau):
    orders = sorted(await bureau.funded(5))
    for order_id in orders:
        await hold(bureau, order_id)
    async with transaction(bureau.engine) as connection:
        first = await held_orders(connection, most=3)
        rest = await held_orders(connection, most=3, after=first[-1].order_id)
    assert [one.order_id for one in first + rest] == orders


@dataclass
class StoppingRail(FakeRail):
    """A rail that stops what it hasn't paid yet."""

    stops: list[Report | Exception] = field(default_factory=list)
    before: object = None

    async def cancel(self, attempt: AttemptRef) -> Report:
        self.calls.append(f"cancel {attempt.attempt_id}")
        if callable(self.before):
            await self.before()
        answer = self.stops.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


STOPPED = Report(outcome=Outcome.FAILED, fault=Fault.TRANSIENT, reason="cancelled")


@pytest.fixture
async def stopping(bureau: Bureau):
    bureau.rail = StoppingRail()
    return bureau


async def stop(bureau, attempt, *, by="amina", rails=None):
    return await cancel(
        bureau.engine,
        attempt_id=attempt,
        rails=bureau.rails if rails is None else rails,
        operator=by,
        reason="the sender changed their mind",
        clock=bureau.clock,
    )


async def test_what_a_rail_stops_is_held_and_not_sent_again(stopping: Bureau):
    attempt = await stopping.attempt(PENDING)
    stopping.rail.stops = [STOPPED]
    assert await stop(stopping, attempt) == (attempt, "failed", True)
    assert await stopping.state(attempt) == ("held", "failed")
    stopping.pass_(hours=1)
    await send(stopping)
    assert len([call for call in stopping.rail.calls if call.startswith("pay")]) == 1
    assert await stopping.actions() == [("amina", "payouts.cancel")]
    assert await stopping.one("SELECT count(*) FROM order_stops") == 0
    await release(stopping, await stopping.one("SELECT id FROM orders"))
    await send(stopping)
    assert await stopping.one("SELECT state FROM orders") == "paid"


async def test_too_late_is_paid(stopping: Bureau):
    attempt = await stopping.attempt(PENDING)
    stopping.rail.stops = [paid("x", ORDERED)]
    assert (await stop(stopping, attempt)).outcome == "paid"
    assert await stopping.state(attempt) == ("paid", "paid")


@pytest.mark.parametrize("answer", [TimeoutError(), RuntimeError("a bug"), UNKNOWN, None, "yes"])
async def test_an_answer_that_tells_nothing_leaves_it_as_it_was_and_holds_it_should_it_fail(stopping: Bureau, answer):
    attempt = await stopping.attempt(PENDING)
    stopping.rail.stops = [answer]
    assert await stop(stopping, attempt) == (attempt, "pending", False)
    assert await stopping.state(attempt) == ("paying", "pending")
    await stopping.hear(attempt, failed(Fault.TRANSIENT))
    stopping.pass_(hours=1)
    await send(stopping)
    assert len([call for call in stopping.rail.calls if call.startswith("pay")]) == 1
    assert await stopping.one("SELECT count(*) FROM order_stops") == 0
    assert await stopping.state(attempt) == ("held", "failed")


async def test_no_transaction_is_open_while_the_rail_is_asked(stopping: Bureau):
    attempt = await stopping.attempt(PENDING)

    async def meanwhile() -> None:
        assert await stopping.one("SELECT count(*) FROM order_stops") == 1
        async with asyncio.timeout(5):
            await stopping.hear(attempt, paid("x", ORDERED))

    stopping.rail.stops, stopping.rail.before = [STOPPED], meanwhile
    assert (await stop(stopping, attempt)).outcome == "paid"
    assert await stopping.state(attempt) == ("paid", "paid")
    assert await stopping.incidents() == ["failed_after_paid"]


async def test_only_what_the_rail_is_known_to_have_is_stopped(stopping: Bureau):
    attempt = await stopping.attempt(UNKNOWN)
    with pytest.raises(CannotCancel, match="is unknown"):
        await stop(stopping, attempt)
    await stopping.hear(attempt, PENDING)
    with pytest.raises(CannotCancel, match="can't stop a payment"):
        await stop(stopping, attempt, rails=Rails({"fake": FakeRail()}))
    with pytest.raises(CannotCancel, match="can't stop a payment"):
        await stop(stopping, attempt, rails=Rails({}))
    with pytest.raises(UnknownOperator):
        await stop(stopping, attempt, by="nobody")
    await stopping.hear(attempt, paid("x", ORDERED))
    with pytest.raises(AttemptClosed, match="is paid since"):
        await stop(stopping, attempt)
    assert not [call for call in stopping.rail.calls if call.startswith("cancel")]
    assert await stopping.one("SELECT count(*) FROM order_stops") == 0


async def test_a_rail_that_never_answers_is_not_waited_for(stopping: Bureau, monkeypatch):
    attempt = await stopping.attempt(PENDING)

    async def long() -> None:
        await asyncio.sleep(60)

    able = stopping.rail.capabilities
    monkeypatch.setattr(
        StoppingRail,
        "capabilities",
        property(
            lambda _: type(able)(
                name=able.name,
                corridors=able.corridors,
                resend=able.resend,
                settles_within=able.settles_within,
                resend_within=able.resend_within,
                answer_within=timedelta(seconds=0.1),
            )
        ),
    )
    stopping.rail.stops, stopping.rail.before = [STOPPED], long
    async with asyncio.timeout(10):
        assert await stop(stopping, attempt) == (attempt, "pending", False)
