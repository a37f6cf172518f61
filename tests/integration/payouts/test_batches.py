"""Payments of a drop go as one instruction; whatever becomes of it, each of them ends by itself and is paid once."""

from __future__ import annotations

from contextlib import aclosing
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from gateway import failpoints
from gateway.db.session import transaction
from gateway.money import Money
from gateway.offramp import Destination, Fault, Instruction, Method, Outcome, Report, Resend
from gateway.orders.advance import Move, advance
from gateway.orders.funding import book_deposits
from gateway.orders.states import E
from gateway.payouts.allowances import Allowance
from gateway.payouts.batches import open_batches
from gateway.payouts.dispatch import dispatch
from gateway.payouts.pace import lease_until
from gateway.payouts.poll import poll
from gateway.payouts.rails import Rails
from gateway.payouts.record import record
from gateway.payouts.send import Claimed, send_all
from tests.factories import KES, NOW, FakeRail, make_deposit, make_orders, paid
from tests.integration.payouts.claiming import Time

DELIVER = Money(124_900, KES)


class BulkRail(FakeRail):
    """FakeRail, which also takes bulk instructions: each payment in them is paid, unless `answer_bulk` says otherwise."""

    bulk_most = 3
    lost = False
    refused: tuple[int, ...] = ()
    unnamed: tuple[int, ...] = ()
    turned_down: frozenset[str] | set[str] = frozenset()

    async def pay_bulk(self, batch_id, instructions):
        self.calls.append(f"bulk {batch_id} of {len(instructions)}")
        answer = {}
        for number, one in enumerate(instructions):
            if number in self.refused:
                answer[one.attempt_id] = Report(outcome=Outcome.FAILED, fault=Fault.RECIPIENT, reason="no such number")
                continue
            assert one.attempt_id not in self.paid, "paid twice"
            self.paid[one.attempt_id] = one.deliver
            if number not in self.unnamed:
                answer[one.attempt_id] = paid(one.attempt_id, one.deliver)
        self.turned_down = {key for key, report in answer.items() if report.outcome is Outcome.FAILED}
        if self.lost:
            raise ConnectionResetError
        return answer

    async def status(self, attempt):
        self.calls.append(f"status {attempt.attempt_id}")
        if attempt.attempt_id in self.turned_down:
            return Report(outcome=Outcome.FAILED, fault=Fault.RECIPIENT, reason="no such number")
        if attempt.attempt_id in self.paid:
            return paid(attempt.attempt_id, attempt.deliver)
        return Report(outcome=Outcome.UNKNOWN, reason="not found")


@pytest.fixture
def rail():
    return BulkRail()


@pytest.fixture
def rails(rail):
    return Rails({"fake": rail})


async def batched(engine, rails, economy, *, allowances=None):
    async with transaction(engine) as connection:
        return await open_batches(connection, economy=economy, rails=rails, allowances=allowances or {}, now=NOW)


async def stored(engine, sql="SELECT rail, slot FROM batches ORDER BY id"):
    async with transaction(engine) as connection:
        return [tuple(row) for row in await connection.execute(text(sql))]


async def test_a_claims_economy_payments_share_batches_of_what_the_rail_takes(engine, rail):
    rails = Rails({"fake": rail, "other": BulkRail("other"), "plain": FakeRail("plain")})
    drop, earlier = NOW, NOW - timedelta(hours=1)
    economy = [
        ("fake", drop),
        ("plain", drop),
        ("fake", earlier),
        ("other", drop),
        ("fake", drop),
        ("fake", earlier),
    ]
    first, plain, second, other, third, fourth = await batched(engine, rails, economy)
    assert plain is None
    assert first == second == third
    assert len({first, other, fourth}) == 3
    assert await stored(engine) == [("fake", drop), ("other", drop), ("fake", earlier)]


async def test_no_batch_goes_where_one_payment_is_to_show_whether_the_rail_works(engine, rails):
    probing = {"fake": Allowance(most=1, in_bulk=False)}
    assert await batched(engine, rails, [("fake", NOW)], allowances=probing) == [None]
    assert await stored(engine) == []


async def test_a_rail_that_says_that_nothing_fits_gets_them_one_by_one(engine, rail, rails):
    rail.bulk_most = 0
    assert await batched(engine, rails, [("fake", NOW)] * 2) == [None, None]


async def test_what_was_a_batch_stays_one(engine, rails):
    await batched(engine, rails, [("fake", NOW)])
    with pytest.raises(DBAPIError):
        async with transaction(engine) as connection:
            await connection.execute(text("DELETE FROM batches"))


async def claim_batch(engine, rails, number=3):
    """Funded orders, each with an attempt of one batch, committed and not sent."""
    for order in await make_orders(engine, number):
        await make_deposit(engine, order)
    while await book_deposits(engine, least={}, now=NOW):
        pass
    async with transaction(engine) as connection:
        orders = (await connection.execute(text("SELECT id FROM orders ORDER BY id FOR UPDATE"))).scalars().all()
        ids = await open_batches(connection, economy=[("fake", NOW)] * number, rails=rails, allowances={}, now=NOW)
        claimed = []
        for order_id, batch_id in zip(orders, ids, strict=True):
            instruction = Instruction(
                attempt_id=order_id.replace("ord", "att"),
                deliver=DELIVER,
                to=Destination(country="KE", method=Method.MOBILE_MONEY, account="+254712345678", holder="W"),
            )
            until = lease_until(rails.capabilities["fake"], now=NOW)
            lease = await _open(connection, order_id, instruction.attempt_id, batch_id, until)
            claimed.append(
                Claimed(
                    adapter="fake", order_id=order_id, instruction=instruction, lease=lease, until=until, batch_id=batch_id
                )
            )
        moves = [
            Move(
                order_id=order_id,
                event=E.DISPATCHED,
                cause=f"attempt:{one.instruction.attempt_id}:dispatched",
                data={"attempt": one.instruction.attempt_id, "adapter": "fake"},
            )
            for order_id, one in zip(orders, claimed, strict=True)
        ]
        await advance(connection, moves=moves, now=NOW, locked=True)
    return claimed


async def _open(connection, order_id, attempt_id, batch_id, until):
    statement = text("""
    INSERT INTO attempts (id, order_id, adapter, deliver_asset, deliver_units, outcome, evidence, asks, due_at, lease_token,
        lease_until, created_at, updated_at, batch_id)
    VALUES (:id, :order_id, 'fake', 'KES', 124900, 'sending', '{}', 0, :until, nextval('lease_tokens'), :until, :now, :now,
        :batch_id) RETURNING lease_token
    """)
    values = {"id": attempt_id, "order_id": order_id, "until": until, "now": NOW, "batch_id": batch_id}
    return (await connection.execute(statement, values)).scalar_one()


async def send_and_record(engine, rails, claimed, clock):
    async with aclosing(send_all(claimed, rails=rails, clock=clock)) as answers:
        async for news in answers:
            async with transaction(engine) as connection:
                await record(connection, news=news, now=clock())


async def outcomes(engine):
    return [row[0] for row in await stored(engine, "SELECT outcome FROM attempts ORDER BY id")]


async def states(engine):
    return [row[0] for row in await stored(engine, "SELECT state FROM orders ORDER BY id")]


async def poll_until_settled(engine, rails, clock):
    for _ in range(20):
        if not {"sending", "pending", "unknown"} & set(await outcomes(engine)):
            return
        clock.pass_(minutes=1)
        await poll(engine, rails=rails, clock=clock)
    raise AssertionError(await outcomes(engine))


async def test_each_payment_keeps_its_own_status_and_a_half_processed_batch_ends(engine, rail, rails):
    clock = Time()
    rail.refused, rail.unnamed = (1,), (2,)
    await send_and_record(engine, rails, await claim_batch(engine, rails), clock)
    assert await outcomes(engine) == ["paid", "failed", "unknown"]
    assert await states(engine) == ["paid", "funded", "uncertain"]
    await poll_until_settled(engine, rails, clock)
    assert await outcomes(engine) == ["paid", "failed", "paid"]
    assert sum(call.startswith("bulk") for call in rail.calls) == 1
    assert len(rail.paid) == 2


async def test_a_batch_whose_answer_is_lost_is_asked_about_payment_by_payment(engine, rail, rails):
    clock = Time()
    rail.lost, rail.refused, rail.resend = True, (1,), Resend.FINDABLE
    await send_and_record(engine, rails, await claim_batch(engine, rails), clock)
    assert await states(engine) == ["uncertain"] * 3
    await poll_until_settled(engine, rails, clock)
    assert await outcomes(engine) == ["paid", "failed", "paid"]
    assert sum(call.startswith("bulk") for call in rail.calls) == 1
    assert sum(call.startswith("status") for call in rail.calls) == 3


@pytest.mark.parametrize("sent", [False, True])
async def test_after_a_crash_no_batch_is_sent_again_but_each_payment_ends(engine, rail, rails, sent):
    """The worker died between its commit and the sending, or between the sending and the record."""
    clock = Time()
    claimed = await claim_batch(engine, rails)
    if sent:
        await rail.pay_bulk(claimed[0].batch_id, [one.instruction for one in claimed])
        rail.calls.clear()
    await poll_until_settled(engine, rails, clock)
    assert await states(engine) == ["paid"] * 3
    assert not [call for call in rail.calls if call.startswith("bulk")]
    assert len(rail.paid) == 3


class Crash(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("point", ["dispatch.claim:after_commit", "send:before", "send:after_reply"])
async def test_a_drop_that_dispatch_did_not_finish_is_finished_without_its_batch(engine, rail, rails, point):
    for order in await make_orders(engine, 5, speed="economy"):
        await make_deposit(engine, order)
    while await book_deposits(engine, least={}, now=NOW):
        pass

    def crash(reached):
        if reached == point:
            raise Crash

    clock = Time()
    failpoints.arm(crash)
    try:
        with pytest.raises(Crash):
            await dispatch(engine, rails=rails, clock=clock)
    finally:
        failpoints.arm(None)
    assert await outcomes(engine) == ["sending"] * 5
    assert len({row[0] for row in await stored(engine, "SELECT batch_id FROM attempts")}) == 2
    sent = [call for call in rail.calls if call.startswith("bulk")]
    await poll_until_settled(engine, rails, clock)
    assert await states(engine) == ["paid"] * 5
    assert [call for call in rail.calls if call.startswith("bulk")] == sent
    assert len(rail.paid) == 5


async def test_a_drop_goes_as_batches_of_what_the_rail_takes(engine, rail, rails):
    for order in await make_orders(engine, 5, speed="economy"):
        await make_deposit(engine, order)
    while await book_deposits(engine, least={}, now=NOW):
        pass
    await dispatch(engine, rails=rails, clock=Time())
    assert await states(engine) == ["paid"] * 5
    assert [call.split()[-1] for call in rail.calls] == ["3", "2"]
