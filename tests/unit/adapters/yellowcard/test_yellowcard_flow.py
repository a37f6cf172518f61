"""Submit, compare, accept; and what every answer means."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from adapters.yellowcard import adapter as module
from adapters.yellowcard.adapter import YellowCard
from adapters.yellowcard.client import webhook_signature
from gateway.money import Asset, Money
from gateway.offramp import (
    RAILS_OWN,
    AttemptRef,
    CallbackRequest,
    Destination,
    Fault,
    ForgedCallback,
    Instruction,
    Method,
    NotSent,
    OfframpError,
    Outcome,
)

from .conftest import NOW, Scripted, make

NGN = Asset("NGN", 2)
TO = Destination(country="NG", method=Method.BANK, account="0123456789", holder="Héloïse D'arban", institution="044")
ORDER = Instruction(attempt_id="att_1", deliver=Money(10_000_00, NGN), to=TO)
ASKED = AttemptRef(attempt_id="att_1", provider_ref=None, deliver=ORDER.deliver, sent_at=NOW)
LOCKED: dict[str, Any] = {
    "id": "yc-1", "sequenceId": "att_1", "status": "created", "currency": "NGN", "convertedAmount": 10000, "rate": 1500,
    "amount": 6.67, "expiresAt": "2026-11-22T12:10:00.000Z",
}  # fmt: skip
UNHAPPY = {"code": "PaymentInvalidState", "message": "Payment is in an invalid state"}
GONE = (404, {"code": "PaymentNotFound", "message": ""})


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SETTLE_S", 0)


async def test_a_payment_is_submitted_unaccepted_and_then_accepted(adapter: YellowCard, rail: Scripted) -> None:
    rail.will((200, LOCKED), (200, {**LOCKED, "status": "process"}))
    report = await adapter.pay(ORDER)
    assert (report.outcome, report.provider_ref) == (Outcome.PENDING, "yc-1")
    assert rail.paths == ["POST /business/payments", "POST /business/payments/yc-1/accept"]
    assert json.loads(rail.seen[0][2]) == {
        "channelId": "channel-1",
        "sequenceId": "att_1",
        "localAmount": 10000,
        "reason": "other",
        "sender": {"businessName": "Lastmile Limited", "businessId": "C-1"},
        "destination": {
            "accountName": "Héloïse D'arban",
            "accountNumber": "0123456789",
            "accountType": "bank",
            "networkId": "network-1",
        },
        "forceAccept": False,
        "customerType": "institution",
        "customerUID": "us",
    }
    assert rail.seen[1][2] == b""


async def test_the_new_naming_is_a_setting(url: str, rail: Scripted, settings: dict[str, Any]) -> None:
    adapter = make({**settings, "base_url": url, "naming": "send"})
    rail.will((200, LOCKED), (200, {**LOCKED, "status": "process"}))
    await adapter.pay(ORDER)
    assert rail.paths == ["POST /business/send", "POST /business/send/yc-1/accept"]
    await adapter.close()


@pytest.mark.parametrize(
    "other",
    [
        {"convertedAmount": 9999},
        {"convertedAmount": 10000.5},
        {"convertedAmount": None},
        {"currency": "KES"},
        {"sequenceId": "att_2"},
        {"expiresAt": "2026-11-22T12:00:00.000Z"},
        {"expiresAt": "soon"},
        {"expiresAt": "2026-11-22T12:10:00.000"},
    ],
)
async def test_what_is_not_exactly_ours_or_not_locked_any_more_is_denied_and_never_accepted(
    adapter: YellowCard, rail: Scripted, other: dict[str, Any]
) -> None:
    rail.will((200, LOCKED | other), (200, {**LOCKED, "status": "denied"}), (200, {**LOCKED, "status": "denied"}))
    report = await adapter.pay(ORDER)
    assert (report.outcome, report.fault) == (Outcome.FAILED, Fault.TRANSIENT)
    assert rail.paths[1:] == ["POST /business/payments/yc-1/deny", "GET /business/payments/yc-1"]


async def test_a_payment_that_is_already_under_way_is_told_as_it_is(adapter: YellowCard, rail: Scripted) -> None:
    under_way = {**LOCKED, "status": "PROCESSING"}
    rail.will((200, under_way), (400, UNHAPPY), (200, under_way))
    assert (await adapter.pay(ORDER)).outcome is Outcome.PENDING


async def test_a_denial_that_fails_leaves_it_unknown(adapter: YellowCard, rail: Scripted) -> None:
    rail.will((200, {**LOCKED, "convertedAmount": 1}), (500, b""), (500, b""))
    assert (await adapter.pay(ORDER)).outcome is Outcome.UNKNOWN


async def test_a_rate_that_ran_out_is_a_plain_failure(adapter: YellowCard, rail: Scripted) -> None:
    rail.will((200, LOCKED), (400, {"code": "PaymentExpired", "message": "expired"}))
    report = await adapter.pay(ORDER)
    assert (report.outcome, report.fault) == (Outcome.FAILED, Fault.TRANSIENT)


async def test_an_acceptance_that_came_too_early_is_made_once_more(adapter: YellowCard, rail: Scripted) -> None:
    rail.will(
        (200, LOCKED),
        (400, UNHAPPY),
        (200, {**LOCKED, "status": "pending_approval"}),
        (200, {**LOCKED, "status": "process"}),
    )
    assert (await adapter.pay(ORDER)).outcome is Outcome.PENDING
    assert rail.paths.count("POST /business/payments/yc-1/accept") == 2


@pytest.mark.parametrize("seen", [(200, {**LOCKED, "status": "process"}), (500, b"x")])
async def test_an_acceptance_that_may_have_counted_is_not_repeated(adapter: YellowCard, rail: Scripted, seen: Any) -> None:
    rail.will((200, LOCKED), (400, UNHAPPY), seen)
    assert (await adapter.pay(ORDER)).outcome is Outcome.UNKNOWN
    assert rail.paths.count("POST /business/payments/yc-1/accept") == 1


async def test_an_acceptance_is_never_made_a_third_time(adapter: YellowCard, rail: Scripted) -> None:
    rail.will((200, LOCKED), (400, UNHAPPY), (200, LOCKED), (400, UNHAPPY))
    assert (await adapter.pay(ORDER)).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize(
    "answer", [(401, {"code": "AuthenticationError"}), (429, {}), (500, b""), (200, b"<html>"), (400, {})]
)
async def test_no_other_answer_to_an_acceptance_proves_anything(adapter: YellowCard, rail: Scripted, answer: Any) -> None:
    rail.will((200, LOCKED), answer)
    assert (await adapter.pay(ORDER)).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize(
    ("status", "code", "fault"),
    [(401, "AuthenticationError", Fault.RAIL), (403, "PermissionError", Fault.RAIL), (429, "TooMany", Fault.TRANSIENT)],
)
async def test_a_submission_that_was_not_taken_is_not_sent(adapter: YellowCard, rail: Scripted, status, code, fault) -> None:
    rail.will((status, {"code": code, "message": "no"}))
    with pytest.raises(NotSent) as refused:
        await adapter.pay(ORDER)
    assert refused.value.fault is fault


async def test_a_refused_submission_is_not_sent_only_if_the_id_is_unknown(adapter: YellowCard, rail: Scripted) -> None:
    refusal = (400, {"code": "PaymentValidationError", "message": "no"})
    rail.will(refusal, GONE)
    with pytest.raises(NotSent) as refused:
        await adapter.pay(ORDER)
    assert refused.value.fault is Fault.RECIPIENT
    for found in ((200, {**LOCKED, "status": "process"}), (500, b""), (404, b"")):
        rail.will(refusal, found)
        assert (await adapter.pay(ORDER)).outcome is Outcome.UNKNOWN
    assert rail.paths[1] == "GET /business/payments/sequence-id/att_1"


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b"{", b"\xff", b"[" * 100_000, b'{"id":1}', b'{"id":"../x","sequenceId":"a","status":"b"}']
)
async def test_a_hostile_answer_is_unknown(adapter: YellowCard, rail: Scripted, body: bytes) -> None:
    rail.will((200, body))
    assert (await adapter.pay(ORDER)).outcome is Outcome.UNKNOWN
    assert rail.paths == ["POST /business/payments"]


@pytest.mark.parametrize(
    ("fields", "outcome", "fault"),
    [
        ({"status": "created"}, Outcome.PENDING, None),
        ({"status": "PENDING_APPROVAL"}, Outcome.PENDING, None),
        ({"status": "PENDING_LIQUIDITY"}, Outcome.PENDING, None),
        ({"status": "complete"}, Outcome.PAID, None),
        ({"status": "complete", "currency": "KES"}, Outcome.UNKNOWN, None),
        ({"status": "complete", "convertedAmount": "many"}, Outcome.UNKNOWN, None),
        ({"status": "complete", "sequenceId": "att_2"}, Outcome.UNKNOWN, None),
        ({"status": "failed"}, Outcome.FAILED, Fault.RECIPIENT),
        ({"status": "failed", "errorCode": "POOR"}, Outcome.FAILED, Fault.FLOAT),
        ({"status": "failed", "errorCode": "ODD"}, Outcome.FAILED, Fault.RECIPIENT),
        ({"status": "expired"}, Outcome.FAILED, Fault.TRANSIENT),
        ({"status": "denied"}, Outcome.FAILED, Fault.TRANSIENT),
        ({"status": "refunded"}, Outcome.UNKNOWN, None),
    ],
)
async def test_each_status_means_what_the_table_says(url: str, rail: Scripted, settings, fields, outcome, fault) -> None:
    adapter = make({**settings, "base_url": url, "failures": {"POOR": "float"}})
    rail.will((200, {**LOCKED, "sessionId": "0192", **fields}))
    report = await adapter.status(ASKED)
    assert (report.outcome, report.fault) == (outcome, fault)
    if outcome is Outcome.PAID:
        assert (report.delivered, report.provider_ref, report.receipt) == (ORDER.deliver, "yc-1", "0192")
    await adapter.close()


async def test_a_payment_that_is_not_found_is_unknown_unless_a_person_has_set_when_it_is_final(
    url: str, rail: Scripted, settings: dict[str, Any]
) -> None:
    late = make({**settings, "base_url": url}, clock=lambda: NOW + timedelta(days=9))
    rail.will(GONE)
    assert (await late.status(ASKED)).outcome is Outcome.UNKNOWN
    for hours, outcome in ((1, Outcome.UNKNOWN), (2, Outcome.FAILED)):
        told = make(
            {**settings, "base_url": url, "final_when_missing_s": 7200},
            clock=lambda hours=hours: NOW + timedelta(hours=hours),
        )
        rail.will(GONE, (404, b""))
        assert (await told.status(ASKED)).outcome is outcome
        assert (await told.status(ASKED)).outcome is Outcome.UNKNOWN
        await told.close()
    await late.close()


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ("pending_approval", "/business/payments/yc-1/deny"),
        ("PENDING_LIQUIDITY", "/business/payments/yc-1/fail-pending-liquidity"),
    ],
)
async def test_what_waits_is_cancelled_in_its_own_way(adapter: YellowCard, rail: Scripted, status: str, told: str) -> None:
    rail.will((200, {**LOCKED, "status": status}), (200, {}), (200, {**LOCKED, "status": "failed"}))
    assert (await adapter.cancel(ASKED)).outcome is Outcome.FAILED
    assert rail.paths[1] == f"POST {told}"


async def test_what_is_under_way_cannot_be_cancelled(adapter: YellowCard, rail: Scripted) -> None:
    rail.will((200, {**LOCKED, "status": "processing"}), (200, {**LOCKED, "status": "processing"}))
    assert (await adapter.cancel(ASKED)).outcome is Outcome.PENDING
    assert [each.split()[0] for each in rail.paths] == ["GET", "GET"]


async def test_a_dead_rail_never_says_not_sent_but_for_a_submission(settings: dict[str, Any]) -> None:
    adapter = make({**settings, "base_url": "http://127.0.0.1:9"})
    for question in (adapter.status(ASKED), adapter.cancel(ASKED), adapter.balance(), adapter.look_up(TO)):
        with pytest.raises(OfframpError) as failed:
            await question
        assert not isinstance(failed.value, NotSent)
    await adapter.close()


async def test_the_balance_is_cut_to_cents_and_unknown_currencies_are_left_out(adapter: YellowCard, rail: Scripted) -> None:
    accounts = [
        {"available": 1234.5678, "currency": "USD", "currencyType": "fiat"},
        {"available": 7, "currency": "UGX"},
        {"available": 1, "currency": "XXX"},
        {"available": None, "currency": "KES"},
        {"available": -1, "currency": "NGN"},
        "odd",
    ]
    rail.will((200, {"accounts": accounts}), (200, {}))
    assert [str(each) for each in await adapter.balance()] == ["1234.56 USD", "7 UGX"]
    with pytest.raises(OfframpError):
        await adapter.balance()


async def test_names_are_told_of_bank_accounts_only(adapter: YellowCard, rail: Scripted) -> None:
    wallet = replace(TO, country="KE", method=Method.MOBILE_MONEY, account="+254712345678", institution="mpesa")
    nothing = await adapter.look_up(wallet)
    assert (nothing.name, nothing.can_receive, rail.seen) == (None, None, [])
    rail.will((200, {"accountName": "ADA"}), (400, {"code": "ResolveAccountError"}), (500, {}))
    assert (await adapter.look_up(TO)).name == "ADA"
    assert (await adapter.look_up(TO)).can_receive is False
    with pytest.raises(OfframpError):
        await adapter.look_up(TO)


def webhook(body: dict[str, Any] | bytes, *, secret: str = "secret-canary", attempt: str = "att_1", label: str = "webhook"):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"x-yc-signature": webhook_signature(secret=secret, body=raw)}
    return CallbackRequest(attempt_id=attempt, label=label, headers=headers, body=raw, received_at=NOW)


EVENT = {"id": "yc-1", "sequenceId": "att_1", "status": "complete", "event": "PAYMENT.COMPLETE", "apiKey": "key-canary"}


@pytest.mark.parametrize(
    ("event", "named"),
    [
        (EVENT, "att_1"),
        ({**EVENT, "event": "SEND.COMPLETE"}, "att_1"),
        ({**EVENT, "event": "COLLECTION.COMPLETE"}, None),
        ({**EVENT, "sequenceId": None}, None),
    ],
)
def test_a_webhook_names_the_attempt(settings, event, named) -> None:
    assert make(settings).attempt_of(webhook(event, attempt=RAILS_OWN)) == named


def test_a_webhook_tells_no_amount_and_is_a_doorbell(settings: dict[str, Any]) -> None:
    paid = make(settings).read_callback(webhook(EVENT))
    assert (paid.report.outcome, paid.proof) == (Outcome.UNKNOWN, False)
    failed = make(settings).read_callback(webhook({**EVENT, "status": "failed"}))
    assert (failed.report.outcome, failed.proof) == (Outcome.FAILED, False)


@pytest.mark.parametrize(
    "request_",
    [
        webhook(EVENT, secret="another"),
        webhook(EVENT, label="elsewhere"),
        webhook(EVENT, attempt="att_2"),
        webhook({**EVENT, "status": None}),
        webhook(b"[]"),
        replace(webhook(EVENT), headers={}),
        replace(webhook(EVENT), body=json.dumps(EVENT).encode() + b" "),
    ],
)
def test_a_webhook_that_cannot_be_believed_is_refused(settings, request_) -> None:
    with pytest.raises(ForgedCallback):
        make(settings).read_callback(request_)
