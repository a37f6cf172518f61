"""Accounts are read strictly, and so is what Stripe says of a transfer."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from adapters.stripe_connect.wire import Transfer, attempt_of_key, connected_payee, moment, payout_key, recipient_payee
from gateway.offramp import Destination, Fault, Method

BANK, CARD = Method.BANK, Method.CARD


def to(account: str, method: Method) -> Destination:
    return Destination(country="US", method=method, account=account, holder="Canary Holder")


@pytest.mark.parametrize(
    ("account", "method", "right"),
    [
        ("acct_1Abcdef/ba_1Abcdef", BANK, True),
        ("acct_1Abcdef/card_1Abcdef", CARD, True),
        ("acct_1Abcdef/card_1Abcdef", BANK, False),
        ("acct_1Abcdef/ba_1Abcdef", CARD, False),
        ("acct_1Abcdef/ba_1Abcdef", Method.MOBILE_MONEY, False),
        ("acct_1Abcdef", BANK, False),
        ("acct_1Abcdef/ba_1Abcdef/x", BANK, False),
        ("acct_1Abcdef/ba_1Abc\ndef", BANK, False),
        ("acct_1Abcdef/../ba_1Abcdef", BANK, False),
        ("acct_1Abcdef?x/ba_1Abcdef", BANK, False),
        ("ba_1Abcdef/acct_1Abcdef", BANK, False),
        ("", BANK, False),
    ],
)
def test_a_connected_account_and_where_it_is_paid_out(account: str, method: Method, right: bool) -> None:  # noqa: FBT001
    payee = connected_payee(to(account, method))
    assert (payee is not None) is right
    assert payee is None or "/".join(payee) == account


@pytest.mark.parametrize(
    ("account", "method", "right"),
    [
        ("acct_1Abcdef/usba_test_Abcdef", BANK, True),
        ("acct_1Abcdef/gbba_test_Abcdef", BANK, True),
        ("acct_1Abcdef/card_test_Abcdef", CARD, True),
        ("acct_1Abcdef/card_test_Abcdef", BANK, False),
        ("acct_1Abcdef/usba_test_Abcdef", CARD, False),
        ("acct_1Abcdef/usba_test_Abcdef", Method.CASH, False),
        ("acct_1Abcdef/USBA", BANK, False),
    ],
)
def test_a_recipient_and_a_payout_method(account: str, method: Method, right: bool) -> None:  # noqa: FBT001
    assert (recipient_payee(to(account, method)) is not None) is right


def test_a_key_of_ours_names_its_attempt() -> None:
    ours = "att_01BX5ZZKBKACTAV9WEVGEMMVS0"
    assert attempt_of_key(payout_key(ours)) == ours
    assert attempt_of_key(ours) == ours


@pytest.mark.parametrize(
    "key", [None, "", "att_1", "8d1f6a3e-9a53-4a0c-8a33-0e6d2a0a6f7e", "att_01BX5ZZKBKACTAV9WEVGEMMVS0 "]
)
def test_a_key_of_somebody_elses_names_nothing(key: str | None) -> None:
    assert attempt_of_key(key) is None


@pytest.mark.parametrize("value", [None, True, -1, 10**12, "1700000000", 1.5])
def test_what_is_no_time_is_none(value: object) -> None:
    assert moment(value) is None


def whole(**changes: Any) -> dict[str, Any]:
    metadata = {"lastmile_attempt": "att_1", "lastmile_payee": "ba_1", "lastmile_method": "standard"}
    why = {"lastmile_reason": "payouts_not_allowed", "lastmile_fault": "recipient"}
    return {
        "id": "tr_1",
        "object": "transfer",
        "amount": 1250,
        "amount_reversed": 1250,
        "currency": "usd",
        "created": 1_700_000_000,
        "destination": "acct_1",
        "metadata": metadata,
        "reversed": True,
        "reversals": {"data": [{"amount": 1250, "metadata": why}]},
        **changes,
    }


def test_a_transfer_is_read_whole() -> None:
    read = Transfer.read(whole(), attempt_id="att_1")
    assert read is not None
    assert (read.id, read.payee, read.speed, str(read.amount)) == ("tr_1", ("acct_1", "ba_1"), "standard", "12.50 USD")
    assert (read.back, read.reason, read.fault) == (True, "payouts_not_allowed", Fault.RECIPIENT)
    assert read.created == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)


@pytest.mark.parametrize(
    "changes",
    [
        {"object": "payout"},
        {"metadata": {}},
        {"metadata": None},
        {"metadata": {"lastmile_attempt": "att_1"}},
        {"id": None},
        {"destination": {"id": "acct_1"}},
        {"amount": "1250"},
        {"amount": -1},
        {"amount_reversed": None},
        {"currency": "USD$"[:0]},
        {"created": "now"},
    ],
)
def test_a_transfer_in_pieces_is_none(changes: dict[str, Any]) -> None:
    assert Transfer.read(whole(**changes), attempt_id="att_1") is None


def test_another_attempts_transfer_is_none_of_ours() -> None:
    assert Transfer.read(whole(), attempt_id="att_2") is None


@pytest.mark.parametrize(
    "changes",
    [
        {"reversed": False},
        {"amount_reversed": 1000},
        {"reversals": {"data": [{"amount": 1250, "status": "pending"}]}},
        {"reversals": {"data": [{"amount": 1250, "status": "failed"}]}},
    ],
)
def test_money_is_back_only_when_all_of_it_is(changes: dict[str, Any]) -> None:
    read = Transfer.read(whole(**changes), attempt_id="att_1")
    assert read is not None
    assert not read.back


def test_reversals_without_a_reason_are_reversals_all_the_same() -> None:
    for reversals in (None, {}, {"data": None}, {"data": [7]}):
        read = Transfer.read(whole(reversals=reversals), attempt_id="att_1")
        assert read is not None
        assert (read.back, read.reason, read.fault) == (True, None, None)
