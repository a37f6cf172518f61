"""Which orders are funded, with what, and what becomes of them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from adapters.paycrest import verdict, wire
from adapters.paycrest.settings import PaycrestSettings
from gateway.legs import LegReport
from gateway.money import Asset, Money
from gateway.offramp import Fault, OfframpError, Outcome
from gateway.railkit.http import Answer

from .conftest import COIN, FACTS, KES, NOW, ORDER, OURS, PAYMENT, PLACED, THEIRS, TOKEN, leg


@pytest.fixture
def checked(settings: dict[str, Any]) -> PaycrestSettings:
    return PaycrestSettings.read({**settings, "least_rates": {"KES": "120"}})


def order(**changes: Any) -> wire.Order:
    made = wire.Order.of({**ORDER, **changes})
    assert made is not None
    return made


def account(**changes: Any) -> dict[str, Any]:
    return {"providerAccount": {**ORDER["providerAccount"], **changes}}


def test_an_order_that_is_exact_may_be_funded(checked: PaycrestSettings) -> None:
    report = verdict.of_order(order(), leg("order"), settings=checked, now=NOW)
    assert (report.outcome, report.provider_ref, dict(report.facts)) == (Outcome.PAID, "order-1", FACTS)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"orderType": "otc"}, Fault.TRANSIENT),
        (account(network="polygon"), Fault.RAIL),
        (account(network=None), Fault.RAIL),
        (account(currency="USDT"), Fault.RAIL),
        ({"source": {**ORDER["source"], "currency": "USDT"}}, Fault.RAIL),
        (account(memo="12"), Fault.RAIL),
        (account(receiveAddress="0x12"), Fault.RAIL),
        (account(receiveAddress="0x" + "0" * 40), Fault.RAIL),
        (account(receiveAddress=None), Fault.RAIL),
        ({"source": {**ORDER["source"], "refundAddress": THEIRS}}, Fault.RAIL),
        ({"amount": "7.736800"}, Fault.RAIL),
        ({"amount": "7.737100"}, Fault.RAIL),
        ({"amount": None}, Fault.RAIL),
        ({"amount": "7.7369440001"}, Fault.RAIL),
        ({"rate": "129.24"}, Fault.RAIL),
        ({"rate": 0}, Fault.RAIL),
        ({"senderFee": None}, Fault.RAIL),
        (account(amountToTransfer="7.756945"), Fault.RAIL),
        (account(amountToTransfer="many"), Fault.RAIL),
        ({"transactionFee": "1.000001"}, Fault.TRANSIENT),
        ({"amount": "10", "rate": "100"}, Fault.TRANSIENT),
        (account(validUntil="2026-11-22T12:01:00Z"), Fault.TRANSIENT),
        (account(validUntil="2026-11-22T12:05:00"), Fault.TRANSIENT),
        (account(validUntil="soon"), Fault.TRANSIENT),
    ],
)
def test_an_order_that_is_not_what_was_ordered_is_never_funded(checked, changes, fault) -> None:
    report = verdict.of_order(order(**changes), leg("order"), settings=checked, now=NOW)
    assert (report.outcome, report.fault) == (Outcome.FAILED, fault)


@pytest.mark.parametrize(
    "changes",
    [
        account(amountToTransfer="7.756944", currency="USDC"),
        {"source": {**ORDER["source"], "refundAddress": OURS.lower()}},
        {"source": {}},
        {"senderFee": "0.5"},
        {"status": "deposited"},
    ],
)
def test_what_is_told_less_or_in_other_letters_is_funded_all_the_same(checked, changes) -> None:
    assert verdict.of_order(order(**changes), leg("order"), settings=checked, now=NOW).outcome is Outcome.PAID


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"reference": "leg_2_1"}, Outcome.UNKNOWN),
        ({"reference": None}, Outcome.UNKNOWN),
        ({"status": "expired"}, Outcome.FAILED),
        ({"status": "cancelled"}, Outcome.UNKNOWN),
        ({"status": "PROCESSING2"}, Outcome.UNKNOWN),
    ],
)
def test_an_order_in_another_state_or_of_another_leg_is_not_funded(checked, changes, outcome) -> None:
    assert verdict.of_order(order(**changes), leg("order"), settings=checked, now=NOW).outcome is outcome


def test_exactly_the_orders_coins_are_sent_before_it_ends(checked: PaycrestSettings) -> None:
    wanted = verdict.transfer_of(leg("fund"), settings=checked)
    assert (wanted.chain_id, wanted.contract, wanted.to) == (8453, TOKEN, THEIRS)
    assert wanted.amount == Money(7_756_944, COIN)
    assert wanted.before == datetime(2026, 11, 22, 12, 4, tzinfo=UTC)


@pytest.mark.parametrize("facts", [{}, {**FACTS, "transfer": "x"}, {**FACTS, "valid_until": "x"}])
def test_coins_are_never_guessed(checked: PaycrestSettings, facts: dict[str, str]) -> None:
    placed = LegReport(outcome=Outcome.PAID, provider_ref="order-1", facts=facts)
    fund = leg("fund")
    fund.done["order"] = placed  # type: ignore[index]
    with pytest.raises(OfframpError):
        verdict.transfer_of(fund, settings=checked)


@pytest.mark.parametrize("status", ["validated", "settling", "settled"])
def test_a_delivery_says_how_much_arrived_and_what_it_took(checked: PaycrestSettings, status: str) -> None:
    report = verdict.of_delivery(order(status=status, txHash="0x1"), leg("deliver"), settings=checked)
    assert (report.outcome, report.got, report.receipt) == (Outcome.PAID, PAYMENT.deliver, "0x1")
    assert (report.gave, report.fee) == (Money(7_756_944, COIN), Money(20_000, COIN))


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        *(({"status": each}, Outcome.PENDING) for each in ("initiated", "deposited", "pending", "fulfilling", "fulfilled")),
        ({"status": "refunding"}, Outcome.PENDING),
        ({"status": "expired"}, Outcome.UNKNOWN),
        ({"status": "cancelled"}, Outcome.UNKNOWN),
        ({"status": "PROCESSING2"}, Outcome.UNKNOWN),
        ({"status": "settled", "rate": None}, Outcome.UNKNOWN),
        ({"status": "settled", "reference": "leg_2_1"}, Outcome.UNKNOWN),
        ({"status": "settled", "reference": None}, Outcome.UNKNOWN),
        ({"status": "refunded"}, Outcome.FAILED),
        ({"status": "refunded", "source": {**ORDER["source"], "refundAddress": THEIRS}}, Outcome.UNKNOWN),
        ({"status": "refunded", "source": {}}, Outcome.UNKNOWN),
    ],
)
def test_what_becomes_of_a_funded_order(checked, changes, outcome) -> None:
    assert verdict.of_delivery(order(**changes), leg("deliver"), settings=checked).outcome is outcome


def test_a_refund_says_what_came_back_and_where(checked: PaycrestSettings) -> None:
    report = verdict.of_delivery(order(status="refunded", amountReturned="7.736944"), leg("deliver"), settings=checked)
    assert report.fault is Fault.TRANSIENT
    assert dict(report.facts) == {"refund_address": OURS, "returned": "7.736944", "asset": "USDC@8453"}


def test_less_than_ordered_is_told_as_it_is(checked: PaycrestSettings) -> None:
    report = verdict.of_delivery(order(status="settled", amount="7"), leg("deliver"), settings=checked)
    assert report.got == Money(904_75, KES)


@pytest.mark.parametrize(
    ("amount", "rate", "asset", "delivered"),
    [
        ("7.736944", "129.25", KES, "1000.00"),
        ("7.736943", "129.25", KES, "1000.00"),
        ("7.736800", "129.25", KES, "999.98"),
        ("0.659905", "1515.37", Asset("NGN", 2), "1000.00"),
        ("0.538721", "3712.5", Asset("UGX", 0), "2000"),
        ("1", 1500, Asset("NGN", 2), "1500.00"),
    ],
)
def test_what_arrives_is_amount_times_rate_to_the_nearest_unit(amount, rate, asset, delivered) -> None:
    assert order(amount=amount, rate=rate).delivers(asset) == Money.parse(delivered, asset)


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"field": "Reference", "message": "m"}, "Reference"),
        ([{"field": "Rate", "message": "m"}], "Rate"),
        ([], None),
        (None, None),
        ("x", None),
        ([1], None),
    ],
)
def test_a_refusal_names_its_field_in_either_form(data: Any, field: str | None) -> None:
    body = json.dumps({"status": "error", "message": "no", "data": data}).encode()
    assert wire.refused_field(Answer(400, {}, body))[0] == field


def test_what_is_kept_of_an_order_holds_nobody(checked: PaycrestSettings) -> None:
    recipient = {"recipient": {"accountName": "Ada Canary", "accountIdentifier": "254712345678"}}
    report = verdict.of_delivery(order(status="settled", destination=recipient), leg("deliver"), settings=checked)
    assert "Ada" not in repr(report)
    assert "254712345678" not in repr(report)
    assert PLACED.provider_ref == report.provider_ref
