"""Callbacks: a doorbell is stored once and makes us ask; only proof moves money."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from gateway.db.session import transaction
from gateway.money import Money
from gateway.offramp import Asked, Callback, CallbackRequest, Fault, ForgedCallback, Outcome, Report
from gateway.orders.funding import book_deposits
from gateway.payouts import inbox
from gateway.payouts.dispatch import dispatch
from gateway.payouts.inbox import handle_callbacks, store, store_all
from gateway.payouts.poll import poll
from gateway.payouts.rails import Rails
from gateway.payouts.record import record
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


async def call(engine, rail, attempt_id, label, *, at=NOW, **said):
    request = CallbackRequest(attempt_id=attempt_id, label=label, headers={}, body=json.dumps(said).encode(), received_at=at)
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


async def results(engine):
    async with transaction(engine) as connection:
        return list((await connection.execute(text("SELECT result FROM callbacks ORDER BY id"))).scalars())


async def kinds(engine):
    async with transaction(engine) as connection:
        return list((await connection.execute(text("SELECT kind FROM incidents ORDER BY id"))).scalars())


async def several(engine, rail, number):
    """Attempts whose payments are pending."""
    for order in await make_orders(engine, number):
        await make_deposit(engine, order)
    await book_deposits(engine, least={}, now=NOW)
    rail.answers = [PENDING] * number
    await dispatch(engine, rails=Rails({"fake": rail}), clock=lambda: NOW)
    async with transaction(engine) as connection:
        return list((await connection.execute(text("SELECT id FROM attempts ORDER BY id"))).scalars())


async def test_a_callback_that_breaks_its_adapter_is_parked_and_makes_us_ask(engine, rail, paying, monkeypatch):
    await call(engine, rail, paying, "result", outcome="pending")

    def broken(_self, _request):
        raise RuntimeError("a bug")

    monkeypatch.setattr(CallingRail, "read_callback", broken)
    with capture_logs():
        assert await handle(engine, rail) == 1
    assert await results(engine) == ["parked: RuntimeError"]
    assert await kinds(engine) == ["callback_parked"]
    assert await poll(engine, rails=Rails({"fake": rail}), clock=lambda: NOW) == 1


@pytest.mark.parametrize("fault", ["SELECT 1 / 0", "SELECT CAST('{' AS jsonb)", "INSERT INTO assets VALUES ('KES', 2)"])
async def test_one_that_the_database_refuses_is_parked_and_keeps_none_of_the_others(engine, rail, monkeypatch, fault):
    attempts = await several(engine, rail, 4)
    for attempt in attempts:
        await call(engine, rail, attempt, "status", **PAID, reason=attempt)

    async def poisoned(connection, *, news, **keywords):
        if any(item.attempt_id == attempts[1] for item in news):
            await connection.execute(text(fault))
        return await record(connection, news=news, **keywords)

    monkeypatch.setattr(inbox, "record", poisoned)
    with capture_logs():
        assert await handle(engine, rail) == 4
    parked = (await results(engine))[1]
    assert parked.startswith("parked: ")
    assert await results(engine) == ["proof:paid", parked, "proof:paid", "proof:paid"]
    assert await kinds(engine) == ["callback_parked"]
    assert await scalar(engine, "SELECT count(*) FROM orders WHERE state = 'paid'") == 3
    assert await scalar(engine, "SELECT order_id IS NOT NULL FROM incidents")


async def test_an_adapter_that_never_ends_reading_one_keeps_none_of_the_others(engine, rail, monkeypatch):
    attempts = await several(engine, rail, 3)
    for attempt in attempts:
        await call(engine, rail, attempt, "status", **PAID, reason=attempt)
    done = threading.Event()
    read = rail.read_callback

    def endless(request):
        if request.attempt_id == attempts[1]:
            done.wait()
        return read(request)

    monkeypatch.setattr(rail, "read_callback", endless)
    monkeypatch.setattr(inbox, "READ_WITHIN_S", 0.2)
    try:
        with capture_logs():
            assert await handle(engine, rail) == 3
    finally:
        done.set()
    assert await results(engine) == ["proof:paid", "parked: TimeoutError", "proof:paid"]
    assert await kinds(engine) == ["callback_parked"]


async def test_a_text_that_the_database_cannot_keep_is_made_fit_for_it(engine, rail, paying):
    await call(engine, rail, paying, "status", outcome="failed", fault="recipient", reason="no\0such \ud800 number")
    assert await handle(engine, rail) == 1
    assert await scalar(engine, "SELECT outcome FROM attempts") == "failed"
    assert await results(engine) == ["proof:failed"]


async def test_what_somebody_holds_locked_waits_and_keeps_none_of_the_others(engine, rail, monkeypatch):
    monkeypatch.setattr(inbox, "_PATIENCE", text("SET LOCAL lock_timeout = '100ms'"))
    attempts = await several(engine, rail, 3)
    for attempt in attempts:
        await call(engine, rail, attempt, "status", **PAID, reason=attempt)
    async with transaction(engine) as connection:
        await connection.execute(text("SELECT FROM attempts WHERE id = :id FOR UPDATE"), {"id": attempts[0]})
        assert await handle(engine, rail) == 2
        assert await results(engine) == [None, "proof:paid", "proof:paid"]
    assert await handle(engine, rail) == 1
    assert await kinds(engine) == []
    assert await scalar(engine, "SELECT count(*) FROM orders WHERE state = 'paid'") == 3


async def test_a_database_that_is_away_parks_nothing(engine, rail, paying, monkeypatch):
    await call(engine, rail, paying, "status", **PAID)

    calls = []

    async def cut(connection, **_keywords):
        calls.append(1)
        await connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    monkeypatch.setattr(inbox, "record", cut)
    with pytest.raises(OperationalError):
        await handle(engine, rail)
    assert (await results(engine), len(calls)) == ([None], 1)
    monkeypatch.undo()
    assert await handle(engine, rail) == 1
    assert await results(engine) == ["proof:paid"]


async def test_a_database_that_goes_away_while_they_are_handled_apart_parks_nothing(engine, rail, paying, monkeypatch):
    await call(engine, rail, paying, "status", **PAID)
    faults = ["SELECT 1 / 0", "SELECT pg_terminate_backend(pg_backend_pid())"]

    async def failing(connection, **_keywords):
        await connection.execute(text(faults.pop(0)))

    monkeypatch.setattr(inbox, "record", failing)
    with pytest.raises(OperationalError):
        await handle(engine, rail)
    assert (await results(engine), faults) == ([None], [])


async def test_of_an_attempt_that_nobody_knows_a_person_is_told_once(engine, rail):
    for number in range(3):
        await call(engine, rail, "att_gone", "status", **PAID, reason=f"{number}")
    assert await handle(engine, rail) == 3
    assert set(await results(engine)) == {"callback_for_unknown_attempt"}
    assert await kinds(engine) == ["callback_for_unknown_attempt"]


async def test_an_old_callback_at_another_attempts_address_proves_nothing_of_it(engine, rail, monkeypatch):
    old, new = await several(engine, rail, 2)
    read = CallingRail.read_callback
    monkeypatch.setattr(CallingRail, "read_callback", lambda self, request: replace(read(self, request), attempt_id=old))
    await call(engine, rail, new, "status", **PAID)
    assert await handle(engine, rail) == 1
    assert await results(engine) == ["callback_for_other_attempt"]
    assert await kinds(engine) == ["callback_for_other_attempt"]
    assert await scalar(engine, "SELECT count(*) FROM orders WHERE state = 'paid'") == 0
    assert await poll(engine, rails=Rails({"fake": rail}), clock=lambda: NOW) == 1
    assert rail.calls[-1] == f"status {new}"


async def pay_it(engine, rail, attempt):
    await call(engine, rail, attempt, "status", **PAID)
    await handle(engine, rail)
    assert await scalar(engine, "SELECT outcome FROM attempts") == "paid"


@pytest.mark.parametrize(
    ("said", "asks"),
    [
        (PAID, 0),
        ({"outcome": "pending"}, 0),
        ({"outcome": "available"}, 0),
        ({"outcome": "unknown"}, 1),
        ({"outcome": "failed", "fault": "recipient"}, 1),
        ({"outcome": "returned", "fault": "recipient"}, 1),
    ],
)
async def test_a_closed_attempt_is_asked_about_if_its_rail_says_something_else(engine, rail, paying, said, asks):
    await pay_it(engine, rail, paying)
    await call(engine, rail, paying, "result", **said)
    await handle(engine, rail)
    assert await results(engine) == ["proof:paid", "rang" if asks else "known"]
    assert await poll(engine, rails=Rails({"fake": rail}), clock=lambda: NOW) == asks
    assert await scalar(engine, "SELECT state FROM orders") == "paid"


async def test_what_a_rail_insists_on_makes_us_ask_again_though_the_same_words_rang_before(engine, rail, paying):
    await call(engine, rail, paying, "status", outcome="failed", fault="recipient")
    await handle(engine, rail)
    assert await call(engine, rail, paying, "result", **PAID)
    await handle(engine, rail)
    soon, later = NOW + timedelta(minutes=10), NOW + timedelta(minutes=11)
    assert not await call(engine, rail, paying, "result", at=soon, **PAID)
    assert await call(engine, rail, paying, "result", at=later, **PAID)
    assert not await call(engine, rail, paying, "result", at=later, **PAID), "it waits to be handled"
    await handle(engine, rail, now=later)
    assert await scalar(engine, "SELECT due_at FROM attempts") == later
    assert not await call(engine, rail, paying, "status", at=later, outcome="failed", fault="recipient"), "it was proof"
    assert await results(engine) == ["proof:failed", "rang"]


async def test_a_failure_that_is_paid_after_all_is_found_out_by_asking(engine, rail, paying):
    await call(engine, rail, paying, "status", outcome="failed", fault="recipient")
    await handle(engine, rail)
    await call(engine, rail, paying, "result", **PAID)
    await handle(engine, rail)
    rail.statuses = []
    assert await poll(engine, rails=Rails({"fake": rail}), clock=lambda: NOW) == 1
    assert await kinds(engine) == ["paid_after_failed"]
    assert await scalar(engine, "SELECT outcome FROM attempts") == "paid"
    assert await scalar(engine, "SELECT due_at FROM attempts") is None


async def test_the_answer_to_a_question_about_a_closed_attempt_ends_the_asking(engine, rail, paying):
    await pay_it(engine, rail, paying)
    await call(engine, rail, paying, "result", outcome="unknown")
    await handle(engine, rail)
    assert await poll(engine, rails=Rails({"fake": rail}), clock=lambda: NOW) == 1  # answered by callback
    assert await scalar(engine, "SELECT due_at FROM attempts") is not None
    await call(engine, rail, paying, "status", **PAID, reason="again")
    await handle(engine, rail)
    assert await scalar(engine, "SELECT due_at FROM attempts") is None
    assert await kinds(engine) == []


async def test_a_header_that_signs_is_kept_and_one_that_opens_is_not(engine, paying):
    headers = {
        "x-rail-signature": "t=1,v1=" + "ab" * 900,
        "authorization": "Basic c2VjcmV0",
        "cookie": "s=1",
        "date": "now\0",
    }
    request = CallbackRequest(attempt_id=paying, label="status", headers=headers, body=b"{}", received_at=NOW)
    async with transaction(engine) as connection:
        assert await store(connection, adapter="fake", event_id="e", request=request)
    kept = await scalar(engine, "SELECT headers FROM callbacks")
    assert sorted(kept) == ["date", "x-rail-signature"]
    assert (kept["date"], len(kept["x-rail-signature"])) == ("now", 1_000)


async def test_a_set_of_arrivals_knows_which_were_new(engine, paying):
    def arrival(event_id):
        request = CallbackRequest(attempt_id=paying, label="status", headers={}, body=b"{}", received_at=NOW)
        return inbox.Arrival(adapter="fake", event_id=event_id, request=request)

    async with transaction(engine) as connection:
        assert await store_all(connection, arrivals=[arrival("a"), arrival("b"), arrival("a")]) == [True, True, False]
        assert await store_all(connection, arrivals=[arrival("b"), arrival("c")]) == [False, True]
    assert await scalar(engine, "SELECT count(*) FROM callbacks") == 3


async def test_a_rail_proves_nothing_of_an_attempt_that_another_rail_pays(engine, rail, paying):
    request = CallbackRequest(attempt_id=paying, label="status", headers={}, body=json.dumps(PAID).encode(), received_at=NOW)
    async with transaction(engine) as connection:
        assert await store(connection, adapter="other", event_id="e", request=request)
    assert await handle_callbacks(engine, rails=Rails({"fake": rail, "other": rail}), clock=lambda: NOW) == 1
    assert await results(engine) == ["callback_for_unknown_attempt"]
    assert await kinds(engine) == ["callback_for_unknown_attempt"]
    assert await scalar(engine, "SELECT state FROM orders") == "paying"


async def test_a_signature_of_http_messages_is_kept_whole(engine, paying):
    names = ["signature", "signature-input", "signature-date", "content-digest", "x-rail-timestamp"]
    headers = dict.fromkeys([*names, "verif-hash", "x-api-key"], "v")
    request = CallbackRequest(attempt_id=paying, label="status", headers=headers, body=b"{}", received_at=NOW)
    async with transaction(engine) as connection:
        assert await store(connection, adapter="fake", event_id="e", request=request)
    assert sorted(await scalar(engine, "SELECT headers FROM callbacks")) == sorted(names)
