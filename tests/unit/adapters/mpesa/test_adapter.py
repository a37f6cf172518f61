"""The adapter without a rail: its addresses, its limits, its events."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib.metadata import entry_points
from typing import Any

import pytest

from adapters.mpesa import Mpesa
from adapters.mpesa.settings import KES
from adapters.mpesa.verdict import NotTold
from adapters.mpesa.wire import msisdn
from gateway.money import Money
from gateway.offramp import (
    AdapterContext,
    AttemptRef,
    BadSettings,
    CallbackRequest,
    Destination,
    ForgedCallback,
    Instruction,
    Method,
    NotSent,
    Outcome,
    OutsideLimits,
    Resend,
)
from gateway.railkit.http import NotAsked

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
ATTEMPT = "att_01JD0000000000000000000001"


def context(settings: dict[str, Any]) -> AdapterContext:
    return AdapterContext(
        name="kenya",
        settings=settings,
        callback_address=lambda id_, label: f"https://x.invalid/{id_}/{label}",
        clock=lambda: NOW,
    )


@pytest.fixture
async def adapter(settings: dict[str, Any]) -> AsyncIterator[Mpesa]:
    made = Mpesa(context({**settings, "base_url": "http://127.0.0.1:9"}))
    yield made
    await made.close()


def arrived(label: str, body: bytes) -> CallbackRequest:
    return CallbackRequest(attempt_id=ATTEMPT, label=label, headers={}, body=body, received_at=NOW)


FAILURE = b'{"Result":{"ResultCode":2001,"ConversationID":"AG_1"}}'


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("result", (Outcome.FAILED, False)),
        ("timeout", (Outcome.UNKNOWN, False)),
        ("status", (Outcome.UNKNOWN, True)),
        ("status_timeout", (Outcome.UNKNOWN, True)),
    ],
)
def test_only_what_answers_our_question_is_proof(adapter: Mpesa, label: str, expected: tuple[Outcome, bool]):
    callback = adapter.read_callback(arrived(label, FAILURE))
    assert (callback.report.outcome, callback.proof) == expected
    assert callback.attempt_id == ATTEMPT


def test_an_address_that_was_never_given_is_refused(adapter: Mpesa):
    with pytest.raises(ForgedCallback):
        adapter.read_callback(arrived("elsewhere", FAILURE))


def test_an_event_is_the_same_bytes_at_the_same_address(adapter: Mpesa):
    def event(request: CallbackRequest) -> str:
        return adapter.read_callback(request).event_id

    request = arrived("result", FAILURE)
    assert event(request) == event(replace(request, received_at=NOW + timedelta(hours=1), headers={"date": "x"}))
    others = [
        replace(request, label="timeout"),
        replace(request, attempt_id=ATTEMPT + "2"),
        replace(request, body=FAILURE + b" "),
    ]
    assert len({event(each) for each in [request, *others]}) == 4


@pytest.mark.parametrize(
    "account",
    ["+254712345678", "+254112345678"],
)
def test_kenyan_mobile_numbers_go_out_without_the_plus(account: str):
    assert msisdn(account) == account[1:]


@pytest.mark.parametrize(
    "account",
    [
        "254712345678",
        "+254202345678",
        "+25471234567",
        "+2547123456789",
        "0712345678",
        "+254712345678\n",
        "+25471234567٨",
        "",
    ],
)
async def test_other_numbers_are_outside_the_limits(adapter: Mpesa, account: str):
    to = Destination(country="KE", method=Method.MOBILE_MONEY, account=account, holder="A", institution="mpesa")
    with pytest.raises(OutsideLimits, match="Kenyan mobile number"):
        await adapter.pay(Instruction(attempt_id=ATTEMPT, deliver=Money(1000, KES), to=to))


async def test_a_question_that_does_not_arrive_is_never_taken_for_an_unsent_payment(adapter: Mpesa):
    with pytest.raises(NotAsked) as refused:
        await adapter.status(AttemptRef(attempt_id=ATTEMPT, provider_ref=None, deliver=Money(1000, KES), sent_at=NOW))
    assert not isinstance(refused.value, NotSent)


async def test_the_settings_reach_the_capabilities(settings: dict[str, Any]):
    made = Mpesa(context({**settings, "resend_within_s": 60, "settles_within_s": 120, "answer_within_s": 5}))
    capabilities = made.capabilities
    assert (capabilities.name, capabilities.resend) == ("kenya", Resend.DEDUPED)
    assert capabilities.resend_within == timedelta(seconds=60)
    assert capabilities.settles_within == timedelta(seconds=120)
    assert capabilities.answer_within == timedelta(seconds=5)
    await made.close()


def test_wrong_settings_are_refused_when_the_adapter_is_made():
    with pytest.raises(BadSettings):
        Mpesa(context({}))


def test_adapter_and_simulator_are_found_by_their_entry_points():
    assert entry_points(group="lastmile.adapters")["mpesa"].load() is Mpesa
    assert callable(entry_points(group="lastmile.simulators")["mpesa"].load())


def test_daraja_gets_the_answer_it_expects(adapter: Mpesa):
    status, document = adapter.callback_answer()
    assert (status, str(document["ResultCode"]), document["ResultDesc"]) == (200, "0", "Accepted")


def test_the_balance_is_what_the_utility_account_has_available(adapter: Mpesa):
    text = (
        "Working Account|KES|700000.00|700000.00|0.00|0.00&Utility Account|KES|228037.00|228036.50|0.50|0.00"
        "&Charges Paid Account|KES|-1540.00|-1540.00|0.00|0.00"
    )
    assert adapter.read_balance(arrived("balance", balance(text))) == (Money(228_036_50, KES),)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Working Account|KES|700000.00|700000.00|0.00|0.00",
        "Utility Account|KES|1.00",
        "Utility Account|USD|1.00|1.00|0.00|0.00",
        "Utility Account|KES|1.00|-1.00|0.00|0.00",
        "Utility Account|KES|1.00|lots|0.00|0.00",
        "Utility Account|KES|1.00|1.00|0.00|0.00&Utility Account|KES|2.00|2.00|0.00|0.00",
    ],
)
def test_a_balance_that_is_not_told_exactly_is_not_made_up(adapter: Mpesa, text: str):
    with pytest.raises(NotTold):
        adapter.read_balance(arrived("balance", balance(text)))


def test_a_question_about_the_balance_that_failed_or_expired_tells_none(adapter: Mpesa):
    with pytest.raises(NotTold, match="failed with 2001"):
        adapter.read_balance(arrived("balance", FAILURE))
    with pytest.raises(NotTold, match="expired"):
        adapter.read_balance(arrived("balance_timeout", balance("Utility Account|KES|1.00|1.00|0.00|0.00")))
    with pytest.raises(ForgedCallback):
        adapter.read_balance(arrived("balance", b"{}"))


def test_what_answers_a_question_about_the_balance_says_nothing_of_a_payment(adapter: Mpesa):
    callback = adapter.read_callback(arrived("balance", balance("Utility Account|KES|1.00|1.00|0.00|0.00")))
    assert (callback.report.outcome, callback.proof) == (Outcome.UNKNOWN, False)


async def test_the_mark_for_top_ups_is_a_setting(settings: dict[str, Any]):
    marks = []
    for changes in ({}, {"top_up_below": 500_000}, {"top_up_below": "1.50"}):
        made = Mpesa(context({**settings, **changes}))
        marks.append(made.top_up_below)
        await made.close()
    assert marks == [(), (Money(500_000_00, KES),), (Money(1_50, KES),)]


async def test_a_question_about_the_balance_that_does_not_arrive_is_not_asked(adapter: Mpesa):
    with pytest.raises(NotAsked):
        await adapter.ask_balance("ask_1")


def balance(text: str) -> bytes:
    parameters = [{"Key": "AccountBalance", "Value": text}, {"Key": "BOCompletedTime", "Value": 20261122150000}]
    return json.dumps({"Result": {"ResultCode": 0, "ResultParameters": {"ResultParameter": parameters}}}).encode()
