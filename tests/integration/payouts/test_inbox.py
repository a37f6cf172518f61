"""Callbacks: a doorbell is stored once and makes us ask; only proof moves money."""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest
from sqlalchemy import text

from gateway.db.session import transaction
from gateway.money import Money
from gateway.offramp import Asked, Callback, CallbackRequest, Fault, ForgedCallback, Outcome, Report
from gateway.orders.funding import book_deposits
from gateway.payouts.dispatch import dispatch
from gateway.payouts.inbox import handle_callbacks, store
from gateway.payouts.poll import poll
from gateway.payouts.rails import Rails
from tests.factories import KES, NOW, PENDING, FakeRail, make_deposit, make_orders


@dataclass
class CallingRail(FakeRail):
    """A rail that answers questions by callback, as Daraja does. Bodies are {"outcome", "units"?, "fault"?}."""

    def read_callback(self, request):
        try:
            said = json.loads(request.body)
            outcome = Outcome(said["outcome"])
        except (ValueError, KeyError) as error:
            raise ForgedCallback(str(error)) from None
        report = Report(
            outcome=outcome,
            provider_ref="AG_1",
            delivered=Money(said["units"], KES) if "units" in said else None,
            fault=Fault(said["fault"]) if "fault" in said else None,
            reason=said.get("reason"),
        )
        digest = hashlib.sha256(request.label.encode() + request.body).hexdigest()
        proof = request.label == "status"
        return Callback(event_id=digest, attempt_id=request.attempt_id, report=report, proof=proof)

    def callback_answer(self):
        return 200, {}


@pytest.fixture
def rail():
    return CallingRail(answers=[PENDING], statuses=[Asked(question="q")] * 20)


@pytest.fixture
async def paying(engine, rail):
    """One order whose payment is pending at the rail; gives the attempt's id."""
    [order] = await make_orders(engine)
    await make_deposit(engine, order)
    await book_deposits(engine, least={}, now=NOW)
    await dispatch(engine, rails=Rails({"fake": rail}), clock=lambda: NOW)
    return await scalar(engine, "SELECT id FROM attempts")


async def scalar(engine, sql):
    async with transaction(engine) as connection:
        return (await connection.execute(text(sql))).scalar()


async def call(engine, rail, attempt_id, label, **said):
    request = CallbackRequest(
        attempt_id=attempt_id, label=label, headers={}, body=json.dumps(said).encode(), received_at=NOW
    )
    try:
        event_id = rail.read_callback(request).event_id
    except ForgedCallback:
        event_id = "unreadable"
    async with transaction(engine) as connection:
        return await store(connection, adapter="fake", event_id=event_id, request=request)


async def handle(engine, rail, *, now=NOW):
    total = 0
    while done := await handle_callbacks(engine, rails=Rails({"fake": rail}), clock=lambda: now):
        total += done
    return total


PAID = {"outcome": "paid", "units": 124_900}


async def test_a_doorbell_makes_us_ask_and_moves_nothing(engine, rail, paying):
    assert await call(engine, rail, paying, "result", **PAID)
    assert await handle(engine, rail) == 1
    assert await scalar(engine, "SELECT state FROM orders") == "paying"
    assert await poll(engine, rails=Rails({"fake": rail}), clock=lambda: NOW) == 1
    assert rail.calls[-1] == f"status {paying}"
    assert await scalar(engine, "SELECT state FROM orders") == "paying"


@pytest.mark.parametrize(
    "said", [PAID, {"outcome": "failed", "fault": "recipient"}, {"outcome": "returned", "fault": "rail"}]
)
async def test_a_forged_callback_changes_no_money(engine, rail, paying, said):
    await call(engine, rail, paying, "result", **said)
    await handle(engine, rail)
    assert await scalar(engine, "SELECT state FROM orders") == "paying"
    assert await scalar(engine, "SELECT outcome FROM attempts") == "pending"


async def test_the_answer_to_our_question_is_proof(engine, rail, paying):
    await call(engine, rail, paying, "status", **PAID)
    await handle(engine, rail)
    assert await scalar(engine, "SELECT state FROM orders") == "paid"
    assert await scalar(engine, "SELECT result FROM callbacks") == "proof:paid"


async def test_a_hundred_deliveries_at_once_are_one(engine, rail, paying):
    new = await asyncio.gather(*(call(engine, rail, paying, "status", **PAID) for _ in range(100)))
    assert new.count(True) == 1
    await asyncio.gather(*(handle(engine, rail) for _ in range(3)))
    assert await scalar(engine, "SELECT count(*) FROM order_events WHERE event = 'outcome_paid'") == 1
    assert await scalar(engine, "SELECT count(*) FROM callbacks WHERE handled_at IS NULL") == 0


async def test_news_out_of_order_takes_no_step_back(engine, rail, paying):
    await call(engine, rail, paying, "status", **PAID)
    await call(engine, rail, paying, "status", outcome="pending")
    await handle(engine, rail)
    await call(engine, rail, paying, "status", outcome="unknown")
    await handle(engine, rail)
    assert await scalar(engine, "SELECT state FROM orders") == "paid"
    assert await scalar(engine, "SELECT count(*) FROM incidents") == 0


async def test_a_failure_after_the_success_is_an_incident(engine, rail, paying):
    await call(engine, rail, paying, "status", **PAID)
    await handle(engine, rail)
    await call(engine, rail, paying, "status", outcome="failed", fault="recipient")
    await handle(engine, rail)
    assert await scalar(engine, "SELECT state FROM orders") == "paid"
    assert await scalar(engine, "SELECT kind FROM incidents") == "failed_after_paid"


async def test_a_proven_failure_takes_its_reason_from_the_rails_own_words(engine, rail, paying):
    await call(engine, rail, paying, "result", outcome="failed", fault="float", reason="1 low balance")
    await handle(engine, rail)
    assert await scalar(engine, "SELECT state FROM orders") == "paying"
    await call(engine, rail, paying, "status", outcome="failed", fault="recipient", reason="Failed")
    await handle(engine, rail)
    assert await scalar(engine, "SELECT fault FROM attempts") == "float"
    assert await scalar(engine, "SELECT reason FROM attempts") == "Failed; the rail said: 1 low balance"
    assert await scalar(engine, "SELECT state FROM orders") == "funded"
    assert await scalar(engine, "SELECT due_at > updated_at FROM orders")


async def test_what_cannot_be_read_is_kept_and_does_no_harm(engine, rail, paying):
    await call(engine, rail, paying, "status", nonsense=True)
    assert await handle(engine, rail) == 1
    assert await scalar(engine, "SELECT result FROM callbacks") == "unreadable"
    assert await scalar(engine, "SELECT state FROM orders") == "paying"


@pytest.mark.usefixtures("paying")
async def test_news_of_an_attempt_that_nobody_knows_is_kept(engine, rail):
    await call(engine, rail, "att_of_another_life", "status", **PAID)
    assert await handle(engine, rail) == 1
    assert await scalar(engine, "SELECT state FROM orders") == "paying"


async def test_a_callback_before_the_answer_to_our_request(engine, rail):
    [order] = await make_orders(engine)
    await make_deposit(engine, order)
    await book_deposits(engine, least={}, now=NOW)

    async def pay(instruction):
        await call(engine, rail, instruction.attempt_id, "status", **PAID)
        await handle(engine, rail)
        return PENDING

    rail.pay = pay
    await dispatch(engine, rails=Rails({"fake": rail}), clock=lambda: NOW)
    assert await scalar(engine, "SELECT state FROM orders") == "paid"
    assert await scalar(engine, "SELECT outcome FROM attempts") == "paid"
    assert await poll(engine, rails=Rails({"fake": rail}), clock=lambda: NOW + timedelta(hours=1)) == 0


async def test_one_callback_that_breaks_its_adapter_does_not_keep_the_others(engine, rail, paying, monkeypatch):
    await call(engine, rail, paying, "result", outcome="pending")
    await call(engine, rail, paying, "status", **PAID)
    read = CallingRail.read_callback

    def broken(self, request):
        if request.label == "result":
            raise RuntimeError("a bug")
        return read(self, request)

    monkeypatch.setattr(CallingRail, "read_callback", broken)
    assert await handle(engine, rail) == 2
    assert await scalar(engine, "SELECT state FROM orders") == "paid"


async def test_news_goes_to_the_attempt_of_its_address(engine, rail, paying, monkeypatch):
    await call(engine, rail, "att_other", "status", **PAID)
    read = CallingRail.read_callback
    monkeypatch.setattr(CallingRail, "read_callback", lambda self, request: replace(read(self, request), attempt_id=paying))
    await handle(engine, rail)
    assert await scalar(engine, "SELECT state FROM orders") == "paying"
