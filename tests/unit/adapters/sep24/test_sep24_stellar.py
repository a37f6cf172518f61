"""Nothing is signed but a genuine challenge for us, and one payment, always in the same bytes."""

from __future__ import annotations

import base64
import time
from datetime import timedelta
from typing import Any

import pytest
from stellar_sdk import Account, Asset, HashMemo, IdMemo, Payment, TextMemo, TransactionBuilder, TransactionEnvelope
from stellar_sdk.sep.stellar_web_authentication import (
    build_challenge_transaction,
    verify_challenge_transaction_signed_by_client_master_key,
)

from adapters.sep24.stellar import answer_challenge, memo_of, signed_payment
from adapters.sep24.verdict import order_of
from gateway.offramp import Fault, NotSent

from .conftest import ANCHOR, COIN, ISSUER, OURS, PAY_BY, READ, SIGNING, leg

HOME, AUTH, MEMO = "anchor.invalid", "auth.anchor.invalid", 4711
GENUINE: dict[str, Any] = {
    "server_secret": SIGNING.secret,
    "client_account_id": OURS.public_key,
    "home_domain": HOME,
    "web_auth_domain": AUTH,
    "network_passphrase": READ.network_passphrase,
    "memo": MEMO,
}


def answer(xdr: str) -> str:
    return answer_challenge(xdr, settings=READ, home_domain=HOME, web_auth_domain=AUTH, memo=MEMO)


def test_a_genuine_challenge_is_signed_with_our_key():
    signed = answer(build_challenge_transaction(**GENUINE))
    facts = (signed, SIGNING.public_key, HOME, AUTH, READ.network_passphrase)
    verify_challenge_transaction_signed_by_client_master_key(*facts)


@pytest.mark.parametrize(
    "changes",
    [
        {"server_secret": ANCHOR.secret},
        {"home_domain": "evil.invalid"},
        {"web_auth_domain": "evil.invalid"},
        {"network_passphrase": "Public Global Stellar Network ; September 2015"},
        {"client_account_id": ISSUER.public_key},
        {"memo": MEMO + 1},
        {"memo": None},
    ],
)
def test_any_other_challenge_is_not_signed(changes: dict[str, Any]):
    with pytest.raises(NotSent) as refused:
        answer(build_challenge_transaction(**{**GENUINE, **changes}))
    assert refused.value.fault is Fault.RAIL


def test_a_challenge_that_has_ended_is_not_signed(monkeypatch: pytest.MonkeyPatch):
    began = time.time() - 1000
    with monkeypatch.context() as earlier:
        earlier.setattr(time, "time", lambda: began)
        xdr = build_challenge_transaction(**GENUINE)
    with pytest.raises(NotSent):
        answer(xdr)


def test_a_payment_that_poses_as_a_challenge_is_not_signed():
    hostile = (
        TransactionBuilder(Account(OURS.public_key, 7), READ.network_passphrase, base_fee=100)
        .append_payment_op(ANCHOR.public_key, Asset.native(), "100")
        .add_time_bounds(0, PAY_BY)
        .build()
    )
    hostile.sign(SIGNING)
    for xdr in (hostile.to_xdr(), "", "AAAA", "not base64", "A" * 10_000):
        with pytest.raises(NotSent):
            answer(xdr)


def test_the_payment_is_exactly_the_order_and_always_the_same_bytes():
    order = order_of(leg("pay"), COIN)
    one, two = (signed_payment(order, sequence=41, settings=READ) for _ in range(2))
    assert one == two
    read = TransactionEnvelope.from_xdr(one.envelope, READ.network_passphrase)
    inside, (paying,) = read.transaction, read.transaction.operations
    assert isinstance(paying, Payment)
    assert (paying.amount, paying.asset) == ("8.236944", Asset("USDC", ISSUER.public_key))
    assert (paying.destination.account_id, inside.source.account_id) == (ANCHOR.public_key, OURS.public_key)
    assert (inside.memo, inside.sequence, one.sequence) == (IdMemo(186384), 42, 42)
    assert inside.preconditions is not None
    assert inside.preconditions.time_bounds is not None
    assert (inside.preconditions.time_bounds.min_time, inside.preconditions.time_bounds.max_time) == (0, PAY_BY)
    OURS.verify(read.hash(), read.signatures[0].signature)
    assert (one.hash, len(read.signatures)) == (read.hash_hex(), 1)
    later = signed_payment(order._replace(opened_at=order.opened_at + timedelta(1)), sequence=42, settings=READ)
    assert later.hash != one.hash


HASH = base64.b64encode(b"h" * 32).decode()


@pytest.mark.parametrize(
    ("kind", "text", "memo"),
    [
        ("id", "186384", IdMemo(186384)),
        ("id", str(2**64 - 1), IdMemo(2**64 - 1)),
        ("text", "GBP-Überweisung", TextMemo("GBP-Überweisung")),
        ("hash", HASH, HashMemo(b"h" * 32)),
        ("id", str(2**64), None),
        ("id", "-1", None),
        ("id", "007", None),
        ("id", "١٢", None),
        ("id", "", None),
        ("text", "x" * 29, None),
        ("text", "", None),
        ("hash", "h" * 64, None),
        ("hash", HASH + "\n", None),
        ("return", HASH, None),
    ],
)
def test_a_memo_is_taken_only_in_the_letters_in_which_it_is_found_again(kind: str, text: str, memo: object):
    assert memo_of(kind, text) == memo
