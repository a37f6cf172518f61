"""M-PESA end to end: a simulator over HTTP pays wrongly behind our back, and its downloaded statement tells on it."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from adapters.mpesa import Mpesa
from adapters.mpesa.settings import ASSUMED_REASONS
from adapters.mpesa.simulator import app
from gateway.contract.harness import Inbox, eventually, running
from gateway.db.session import transaction
from gateway.ledger.post import post, register_assets, top_up
from gateway.money import Money
from gateway.offramp import AdapterContext, Asked, CallbackRequest
from gateway.orders.funding import book_deposits
from gateway.payouts.dispatch import dispatch
from gateway.payouts.inbox import handle_callbacks, store
from gateway.payouts.poll import poll
from gateway.payouts.rails import Rails
from gateway.payouts.record import News, record
from gateway.railsim import Options, Scenario
from gateway.treasury import floats
from gateway.treasury.floats import NotAnswered, balance_of, watch_floats
from gateway.treasury.reconcile import reconcile
from gateway.treasury.statements import NoStatementFiles, NoSuchRail, UnreadableStatement
from tests.factories import KES, FakeRail, make_deposit, make_orders

BEGIN = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


class Counter:
    """The M-PESA account, what it is told, and the time of all of us."""

    def __init__(self, engine, simulator, rail, inbox):
        self.engine, self.simulator, self.rail, self.inbox = engine, simulator, rail, inbox
        self.now = BEGIN
        simulator.desk.clock = lambda: self.now
        rail.hold(Money(0, KES))
        settings = rail.settings() | {
            "reasons": ASSUMED_REASONS | {"Organization Settlement of Funds": "top_up"},
            "top_up_below": "2000",
        }
        context = AdapterContext(name="mpesa", settings=settings, callback_address=inbox.address, clock=lambda: self.now)
        self.adapter = Mpesa(context)
        self.rails = Rails({"mpesa": self.adapter})

    def clock(self):
        return self.now

    async def put_in(self, amount):
        self.rail.client.post("/_sim/balance", json={"currency": "KES", "amount": amount}).raise_for_status()
        receipt = self.rail.client.get("/_sim/statement").json()[-1]["receipt"]
        async with transaction(self.engine) as connection:
            await register_assets(connection, assets=[KES])
            entry = top_up(rail="mpesa", money=Money.parse(amount, KES), reference=receipt)
            await post(connection, entries=[entry], now=self.now)

    async def pay(self, *scenarios):
        """One order, paid as far as M-PESA's own answers say."""
        self.rail.script(*(scenarios or [Scenario.HAPPY]))
        [order] = await make_orders(self.engine, now=self.now)
        async with transaction(self.engine) as connection:
            await connection.execute(text("UPDATE recipients SET institution = 'mpesa'"))
        await make_deposit(self.engine, order, at=self.now)
        await book_deposits(self.engine, least={}, now=self.now)
        await dispatch(self.engine, rails=self.rails, clock=self.clock)
        async with transaction(self.engine) as connection:
            found = await connection.execute(
                text("SELECT id FROM attempts WHERE order_id = :order_id"), {"order_id": order.order_id}
            )
            attempt = found.scalar_one()
        await eventually(lambda: self.rail.payouts(attempt)[0]["final_at"], what="the payment to be final")
        self.now += timedelta(seconds=30)
        await poll(self.engine, rails=self.rails, clock=self.clock)
        answer = await eventually(lambda: self._answer(attempt), what="the answer to our question")
        report = self.adapter.read_callback(answer).report
        async with transaction(self.engine) as connection:
            await record(connection, news=[News(attempt_id=attempt, report=report)], now=self.now)
        return attempt

    def _answer(self, attempt):
        return next((one for one in self.inbox.of(attempt) if one.label == "status"), None)

    async def reconcile(self, *files):
        content = self.rail.client.get("/_sim/statement.csv").content
        async with self.door_open():
            return await reconcile(
                self.engine, rails=self.rails, chains=(), clock=self.clock, statements=files or [("mpesa", content)]
            )

    @asynccontextmanager
    async def door_open(self):
        """Answers to our questions reach the inbox, as the API puts them there, and are handled as all callbacks are."""

        async def carry():
            carried = 0
            while True:
                for request in self.inbox.deliveries[carried:]:
                    carried += 1
                    if request.attempt_id.startswith("ask_"):
                        event_id = self.adapter.read_callback(request).event_id
                        async with transaction(self.engine) as connection:
                            await store(connection, adapter="mpesa", event_id=event_id, request=request)
                        await handle_callbacks(self.engine, rails=self.rails, clock=self.clock)
                await asyncio.sleep(0.01)

        carrying = asyncio.create_task(carry())
        try:
            yield
        finally:
            carrying.cancel()

    async def incidents(self):
        async with transaction(self.engine) as connection:
            return (await connection.execute(text("SELECT kind, cause, detail FROM incidents ORDER BY id"))).all()


@pytest.fixture
async def counter(engine):
    inbox = Inbox()
    simulator = app(Options(delay_s=0))
    with running(simulator) as rail:
        made = Counter(engine, simulator, rail, inbox)
        inbox.answer = made.adapter.callback_answer()
        yield made
        await made.adapter.close()
    inbox.close()


async def test_what_mpesa_did_wrong_is_named_from_its_downloaded_statement_in_one_run(counter):
    await counter.put_in("5000.00")
    counter.now += timedelta(minutes=1)
    await counter.pay()
    twice = await counter.pay(Scenario.MOVED_TWICE)
    nothing = await counter.pay(Scenario.MOVED_NOTHING)
    other = await counter.pay(Scenario.MOVED_OTHER_AMOUNT)
    counter.now += timedelta(hours=3)
    await counter.put_in("1.00")
    report = await counter.reconcile()
    assert sorted((one.kind, one.attempt_id, one.effect) for one in report.breaks) == sorted(
        [("paid_twice", twice, -124_900), ("missing", nothing, 124_900), ("wrong_amount", other, -100)]
    )
    again = await counter.reconcile()
    assert again.ids == report.ids
    assert {one.check for one in report.not_made} == {"chain:31337"}


async def test_the_balance_told_by_callback_is_compared_with_the_books(counter):
    await counter.put_in("5000.00")
    await counter.pay()
    counter.rail.client.put("/_sim/balance", json={"currency": "KES", "amount": "3700.00"}).raise_for_status()
    report = await counter.reconcile()
    assert [(one.kind, one.place, one.effect) for one in report.breaks] == [("balance_differs", "rail:mpesa", -51_00)]
    assert [one.kind for one in await counter.incidents()] == ["balance_differs"], "the answer itself is no alarm"


async def test_a_balance_where_nothing_was_ever_booked_is_told_with_the_way_to_book_it(counter):
    counter.rail.hold(Money(7_00, KES))
    report = await counter.reconcile()
    assert report.breaks == ()
    [said] = [one.why for one in report.not_made if one.check == "rail:mpesa:KES"]
    assert "holds 7.00 KES" in said
    assert "lastmile rails top-up mpesa" in said


async def test_an_answer_that_does_not_come_leaves_the_balance_uncompared(counter, monkeypatch):
    monkeypatch.setattr(floats, "ANSWERED_WITHIN_S", 0.3)
    report = await reconcile(counter.engine, rails=counter.rails, chains=(), clock=counter.clock)
    [said] = [one.why for one in report.not_made if one.check == "rail:mpesa"]
    assert "NotAnswered" in said


async def test_the_late_answer_to_another_question_is_not_taken_for_this_ones(counter, monkeypatch):
    text_ = "Utility Account|KES|9.00|9.00|0.00|0.00"
    parameters = {"ResultParameter": [{"Key": "AccountBalance", "Value": text_}]}
    body = json.dumps({"Result": {"ResultCode": 0, "ResultParameters": parameters}}).encode()
    late = CallbackRequest(attempt_id="ask_earlier", label="balance", headers={}, body=body, received_at=BEGIN)

    async def ask_balance(_question_id):
        async with transaction(counter.engine) as connection:
            await store(connection, adapter="mpesa", event_id="late", request=late)
        return Asked(question="AG_1")

    assert counter.adapter.read_balance(late) == (Money(9_00, KES),)
    monkeypatch.setattr(counter.adapter, "ask_balance", ask_balance)
    monkeypatch.setattr(floats, "ANSWERED_WITHIN_S", 0.3)
    with pytest.raises(NotAnswered):
        await balance_of(counter.engine, rail="mpesa", adapter=counter.adapter, clock=counter.clock)


async def test_a_low_float_is_told_once_a_day_while_it_is_low(counter):
    async def watched():
        async with counter.door_open():
            return await watch_floats(counter.engine, rails=counter.rails, clock=counter.clock)

    counter.rail.hold(Money(2_000_00, KES))
    assert (await watched(), await counter.incidents()) == (0, [])
    counter.rail.hold(Money(1_999_99, KES))
    assert (await watched(), await watched()) == (0, 0), "no reason for the loop to go round at once"
    [incident] = await counter.incidents()
    assert (incident.kind, incident.cause) == ("float_low", "float:mpesa:KES:2026-11-22")
    assert (incident.detail["held"], incident.detail["top_up_below"]) == ("1999.99 KES", "2000.00 KES")
    counter.now += timedelta(days=1)
    await watched()
    assert len(await counter.incidents()) == 2


async def test_a_rail_that_does_not_tell_keeps_no_other_from_being_watched(counter, monkeypatch):
    monkeypatch.setattr(floats, "ANSWERED_WITHIN_S", 0.3)
    counter.rail.hold(Money(0, KES))
    assert await watch_floats(counter.engine, rails=counter.rails, clock=counter.clock) == 0
    assert await counter.incidents() == []


async def test_a_rail_of_which_nothing_is_known_is_said_to_be_so_and_bad_files_are_refused(counter):
    report = await reconcile(counter.engine, rails=Rails({"fake": FakeRail()}), chains=(), clock=counter.clock)
    assert [one.check for one in report.not_made] == ["rail:fake"]
    assert "--statement fake=FILE" in report.not_made[0].why
    assert report.exit_code == 2
    with pytest.raises(UnreadableStatement, match="Nothing of it was taken"):
        await counter.reconcile(("mpesa", b"PK"))
    with pytest.raises(NoSuchRail, match="there are: mpesa"):
        await counter.reconcile(("airtel", b""))
    counter.rails = Rails({"fake": FakeRail()})
    with pytest.raises(NoStatementFiles):
        await counter.reconcile(("fake", b""))
