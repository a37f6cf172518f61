"""What an anchor says is believed only as far as it is exact, ours, and adds up."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from adapters.sep24 import verdict, wire
from adapters.sep24.settings import Sep24Settings
from gateway.legs import LegReport
from gateway.money import Money
from gateway.offramp import Fault, NotSent, OfframpError, Outcome
from gateway.railkit.http import Answer

from .conftest import ANCHOR, COIN, ISSUER, KES, NOW, ORDER, OURS, PAY_BY, QUOTE, READ, SETTINGS, leg

HASH = "ab" * 32
REFUNDS = {"amount_refunded": "7.236944", "amount_fee": "1", "payments": []}


def answer(status: int, document: object) -> Answer:
    return Answer(status, {}, json.dumps(document).encode())


def quoted(changes: dict[str, Any] | None = None, *, settings: Sep24Settings = READ, now: datetime = NOW) -> LegReport:
    return verdict.of_quote(answer(201, {**QUOTE, **(changes or {})}), leg("quote"), settings=settings, now=now)


def unpaid(now: datetime = NOW, **changes: Any) -> LegReport:
    shown = wire.Transaction.of({**ORDER, **changes})
    assert shown is not None
    return verdict.of_unpaid(shown, leg("ready"), settings=READ, now=now)


def cash(**changes: Any) -> LegReport:
    shown = wire.Transaction.of({**ORDER, **changes})
    assert shown is not None
    return verdict.of_cash(shown, leg("deliver"), settings=READ)


# -- quote ---------------------------------------------------------------------------------------------------------------


def test_a_quote_for_exactly_the_ordered_cash_is_taken():
    report = quoted()
    assert (report.outcome, report.provider_ref) == (Outcome.PAID, "quote-1")
    assert report.facts == {"quote": "quote-1", "sell": "8.2369440", "expires_at": "2026-11-23T12:30:00+00:00"}


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"buy_amount": "999.99"}, Fault.RAIL),
        ({"buy_amount": "1000.001"}, Fault.RAIL),
        ({"buy_asset": "iso4217:UGX"}, Fault.RAIL),
        ({"sell_asset": f"stellar:USDC:{ANCHOR.public_key}"}, Fault.RAIL),
        ({"expires_at": "2026-11-23T12:01:00Z"}, Fault.TRANSIENT),
    ],
)
def test_a_quote_for_anything_else_is_not(changes: dict[str, Any], fault: Fault):
    report = quoted(changes)
    assert (report.outcome, report.fault) == (Outcome.FAILED, fault)


@pytest.mark.parametrize(
    "changes", [{"id": None}, {"id": "a/b"}, {"sell_amount": "0"}, {"sell_amount": "x"}, {"expires_at": 5}]
)
def test_a_quote_that_cannot_be_read_is_unknown(changes: dict[str, Any]):
    assert quoted(changes).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize(("least", "outcome"), [("121.40", Outcome.PAID), ("121.41", Outcome.FAILED)])
def test_a_quote_below_our_least_rate_is_not_taken(least: str, outcome: Outcome):
    settings = Sep24Settings.read({**SETTINGS, "least_rates": {"KES": least}})
    assert quoted(settings=settings).outcome is outcome


def test_a_refused_quote_is_nobodys_fault_and_a_refused_order_the_recipients():
    refused = answer(400, {"error": "no"})
    assert verdict.of_refusal(refused, is_about_person=False).fault is Fault.TRANSIENT
    assert verdict.of_refusal(refused).fault is Fault.RECIPIENT
    assert verdict.of_refusal(answer(500, {})).outcome is Outcome.UNKNOWN
    with pytest.raises(NotSent):
        verdict.of_refusal(answer(429, {}))


# -- order ---------------------------------------------------------------------------------------------------------------


def test_an_order_that_waits_for_exactly_our_coins_is_paid_for_in_time():
    report = unpaid()
    assert report.outcome is Outcome.PAID
    named = {"anchor_account": ANCHOR.public_key, "memo": "186384", "memo_type": "id"}
    assert report.facts == {**named, "amount": "8.2369440", "pay_by": str(PAY_BY)}


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "deposit"},
        {"quote_id": "quote-2"},
        {"amount_in": "8.236945"},
        {"amount_in": None},
        {"amount_in_asset": f"stellar:USDC:{ANCHOR.public_key}"},
        {"amount_out": "999"},
        {"amount_out_asset": "iso4217:UGX"},
        {"from": ISSUER.public_key},
        {"withdraw_anchor_account": OURS.public_key},
        {"withdraw_anchor_account": "GABC"},
        {"withdraw_memo": None},
        {"withdraw_memo": "x"},
        {"withdraw_memo_type": None},
    ],
)
def test_an_order_that_is_anything_else_is_never_paid_for(changes: dict[str, Any]):
    report = unpaid(**changes)
    assert (report.outcome, report.fault) == (Outcome.FAILED, Fault.RAIL)


@pytest.mark.parametrize("required_by", [None, "2026-11-23T13:00:00Z"])
def test_a_transaction_ends_before_the_quote_does(required_by: str | None):
    late = datetime(2026, 11, 23, 12, 27, tzinfo=UTC)
    report = unpaid(late, user_action_required_by=required_by)
    assert report.facts["pay_by"] == str(int(datetime(2026, 11, 23, 12, 29, tzinfo=UTC).timestamp()))


def test_what_ends_too_soon_is_not_paid_for():
    for now, status in ((NOW + timedelta(minutes=19), ORDER["status"]), (NOW + timedelta(minutes=30), "incomplete")):
        report = unpaid(now, status=status)
        assert (report.outcome, report.fault) == (Outcome.FAILED, Fault.TRANSIENT)


def test_an_order_that_waits_for_a_person_shows_the_page():
    report = unpaid(status="incomplete")
    assert report.outcome is Outcome.PENDING
    assert report.evidence["interactive_url"].startswith("https://anchor.invalid/page")
    assert "interactive_url" not in unpaid(status="pending_anchor").evidence


# -- payment -------------------------------------------------------------------------------------------------------------


def test_only_horizons_own_word_for_this_transaction_is_a_payment():
    means, report = verdict.of_submission(answer(200, {"hash": HASH, "successful": True}), HASH)
    assert (means.kind.name, report.outcome, report.provider_ref) == ("PAID", Outcome.PAID, HASH)
    for other in ({"hash": "cd" * 32, "successful": True}, {"hash": HASH, "successful": False}, {}):
        _, report = verdict.of_submission(answer(200, other), HASH)
        assert (report.outcome, report.provider_ref) == (Outcome.UNKNOWN, HASH)


@pytest.mark.parametrize("status", [500, 502, 503, 504, 302])
def test_an_answer_that_proves_nothing_is_unknown_whatever_codes_it_has(status: int):
    body = {"extras": {"result_codes": {"transaction": "tx_too_late"}}}
    assert verdict.of_submission(answer(status, body), HASH)[1].outcome is Outcome.UNKNOWN


def test_a_refusal_is_told_by_its_operations_code():
    body = {"extras": {"result_codes": {"transaction": "tx_failed", "operations": ["op_success", "op_underfunded"]}}}
    _, report = verdict.of_submission(answer(400, body), HASH)
    assert (report.outcome, report.fault) == (Outcome.FAILED, Fault.FLOAT)
    malformed = {"type": "https://stellar.org/horizon-errors/transaction_malformed"}
    assert verdict.of_submission(answer(400, malformed), HASH)[1].fault is Fault.RAIL
    assert verdict.of_submission(answer(400, {}), HASH)[1].outcome is Outcome.UNKNOWN
    with pytest.raises(NotSent):
        verdict.of_submission(answer(429, {}), HASH)


def test_a_used_sequence_number_proves_only_what_its_transaction_says():
    doubt = verdict.unknown("tx_bad_seq")
    assert verdict.of_used({"hash": HASH, "successful": True}, HASH, otherwise=doubt).outcome is Outcome.PAID
    assert verdict.of_used({"hash": HASH, "successful": False}, HASH, otherwise=doubt).outcome is Outcome.FAILED
    assert verdict.of_used({"hash": HASH}, HASH, otherwise=doubt) is doubt
    assert verdict.of_used({}, HASH, otherwise=doubt) is doubt
    assert verdict.of_used(None, HASH, otherwise=doubt) is doubt
    with pytest.raises(NotSent):
        verdict.of_used({"hash": "cd" * 32}, HASH, otherwise=doubt)


def test_a_payment_that_is_not_there_is_void_only_a_minute_after_its_end_by_the_networks_clock():
    order = verdict.order_of(leg("pay"), COIN)
    ends = datetime.fromtimestamp(PAY_BY, UTC)
    assert not verdict.is_void(order, closed_at=ends + timedelta(seconds=60))
    assert verdict.is_void(order, closed_at=ends + timedelta(seconds=61))


def test_without_the_facts_of_the_legs_before_nothing_is_paid():
    whole = leg("pay")
    for name in ("open", "ready"):
        with pytest.raises(OfframpError):
            verdict.order_of(replace(whole, done={key: each for key, each in whole.done.items() if key != name}), COIN)
    with pytest.raises(OfframpError):
        verdict.quoted(leg("quote"), COIN)


# -- cash ----------------------------------------------------------------------------------------------------------------


def test_cash_that_waits_comes_with_number_place_and_end_which_show_nowhere_else():
    report = cash(status="pending_user_transfer_complete", external_transaction_id="87654321")
    assert report.outcome is Outcome.AVAILABLE
    assert report.pickup is not None
    assert (report.pickup.code, report.pickup.where) == ("87654321", "https://anchor.invalid/tx/1")
    assert report.pickup.expires_at == datetime(2026, 11, 23, 12, 20, tzinfo=UTC)
    assert "87654321" not in repr(report) + str(report.evidence)


@pytest.mark.parametrize("number", [None, "", "8765 4321", "x" * 101, "<b>1</b>"])
def test_without_a_number_a_person_is_shown_the_anchors_page(number: str | None):
    report = cash(status="pending_user_transfer_complete", external_transaction_id=number)
    assert (report.outcome, report.pickup) == (Outcome.AVAILABLE, None)
    assert report.evidence["more_info_url"] == "https://anchor.invalid/tx/1"


@pytest.mark.parametrize("url", ["javascript:alert(1)", "https://a b", "https://a\n", "ftp://a", "https://" + "a" * 4_000])
def test_what_is_no_address_of_a_page_is_shown_to_nobody(url: str):
    report = cash(status="pending_user_transfer_complete", external_transaction_id="87654321", more_info_url=url)
    assert report.pickup is not None
    assert report.pickup.where is None


def test_cash_that_was_taken_is_what_the_anchor_says_and_not_what_we_ordered():
    fees = {"total": "0.5", "asset": QUOTE["sell_asset"]}
    report = cash(status="completed", amount_out="990.00", fee_details=fees, external_transaction_id="87654321")
    assert (report.outcome, report.got, report.receipt) == (Outcome.PAID, Money(990_00, KES), "87654321")
    assert (report.gave, report.fee) == (Money(82_369_440, COIN), Money(5_000_000, COIN))


@pytest.mark.parametrize(
    "changes",
    [
        {"amount_out": None},
        {"amount_out": "1000.001"},
        {"amount_out_asset": "iso4217:UGX"},
        {"amount_out": "8.23", "amount_out_asset": None},
    ],
)
def test_an_amount_that_is_not_clear_is_unknown(changes: dict[str, Any]):
    assert cash(status="completed", **changes).outcome is Outcome.UNKNOWN


def test_an_amount_without_its_currency_counts_if_it_is_just_what_was_quoted():
    assert cash(status="completed", amount_out_asset=None).outcome is Outcome.PAID


@pytest.mark.parametrize(("number", "fault"), [("87654321", Fault.RECIPIENT), (None, Fault.TRANSIENT)])
def test_coins_that_are_back_make_a_failure_and_whose_it_is_depends_on_whether_the_cash_was_there(
    number: str | None, fault: Fault
):
    report = cash(status="refunded", refunds=REFUNDS, external_transaction_id=number)
    assert (report.outcome, report.fault) == (Outcome.FAILED, fault)
    assert report.facts == {"amount_refunded": "7.236944", "amount_fee": "1"}


@pytest.mark.parametrize("refunds", [None, {}, {**REFUNDS, "amount_refunded": "7"}, {**REFUNDS, "amount_fee": "x"}])
def test_a_refund_that_does_not_add_up_is_unknown(refunds: object):
    assert cash(status="refunded", refunds=refunds).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("status", ["expired", "error", "incomplete", "too_small", "PAID"])
def test_no_other_word_releases_the_money_once_our_coins_are_sent(status: str):
    assert cash(status=status).outcome is Outcome.UNKNOWN
