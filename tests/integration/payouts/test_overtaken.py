"""A payment that came back, and older news that it was made: nobody has the money, so the order isn't paid."""

from __future__ import annotations

from datetime import timedelta

from gateway.db.session import transaction
from gateway.offramp import Fault, Outcome, Report
from gateway.payouts.dispatch import dispatch
from gateway.payouts.poll import poll
from gateway.payouts.record import News, record
from tests.factories import FakeRail, paid
from tests.integration.payouts.people import Bureau, open_bureau

CAME_BACK = Report(outcome=Outcome.RETURNED, fault=Fault.TRANSIENT, reason="came back")


class QuickRail(FakeRail):
    """Tells that the money came back before its answer to the sending is recorded."""

    bureau: Bureau

    async def pay(self, instruction):
        report = await super().pay(instruction)
        if len(self.paid) == 1:
            async with transaction(self.bureau.engine) as connection:
                news = News(attempt_id=instruction.attempt_id, report=CAME_BACK)
                await record(connection, news=[news], now=self.bureau.now)
        return report


async def returned(engine) -> Bureau:
    bureau = await open_bureau(engine)
    bureau.rail = QuickRail()
    bureau.rail.bureau = bureau
    await bureau.funded()
    await dispatch(engine, rails=bureau.rails, clock=bureau.clock)
    return bureau


async def test_the_answer_to_a_sending_is_older_than_the_news_of_its_return(engine):
    bureau = await returned(engine)
    assert await bureau.run("SELECT state FROM orders") == [("funded",)]
    assert await bureau.run("SELECT outcome FROM attempts") == [("returned",)]
    assert await bureau.run("SELECT outcome FROM attempt_reports") == [("paid",)]
    assert await bureau.run("SELECT kind FROM incidents") == []


async def test_what_the_rail_says_unasked_may_be_older_too(engine):
    bureau = await returned(engine)
    attempt = await bureau.one("SELECT id FROM attempts")
    async with transaction(engine) as connection:
        report = paid(attempt, bureau.rail.paid[attempt])
        await record(connection, news=[News(attempt_id=attempt, report=report)], now=bureau.now)
    assert await bureau.run("SELECT state FROM orders") == [("funded",)]


async def test_the_answer_to_a_question_after_the_return_counts(engine):
    bureau = await returned(engine)
    await bureau.run("UPDATE attempts SET due_at = :now", now=bureau.now)
    bureau.now += timedelta(seconds=1)
    await poll(engine, rails=bureau.rails, clock=bureau.clock)
    assert await bureau.run("SELECT state FROM orders") == [("paid",)]
    assert await bureau.run("SELECT kind FROM incidents") == [("paid_after_returned",)]
