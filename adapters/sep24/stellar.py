"""What is signed: the anchor's challenge, once it has proven genuine, and one payment. No network.

Sources: SEP-10 ("Response", "Verifying"), Stellar's transactions (memo, time bounds, sequence number).
"""

from __future__ import annotations

import base64
from datetime import datetime
from typing import NamedTuple

from stellar_sdk import Account, Asset, HashMemo, IdMemo, Keypair, Memo, TextMemo, TransactionBuilder, TransactionEnvelope
from stellar_sdk.sep.stellar_web_authentication import read_challenge_transaction

from adapters.sep24.settings import Sep24Settings
from gateway.money import Money
from gateway.offramp import Fault, NotSent

TEXT_MOST, HASH_LENGTH, ID_MOST = 28, 32, 2**64 - 1


class Order(NamedTuple):
    """The payment that an anchor waits for."""

    account: str
    """The anchor's."""
    memo: str
    memo_type: str
    """id, text or hash, as SEP-24 and Horizon both have it; a hash is base64."""
    amount: Money
    pay_by: int
    """The second of Unix time after which the transaction is void."""
    opened_at: datetime


class Signed(NamedTuple):
    """A transaction that can be submitted."""

    envelope: str
    """Base64 of its XDR."""
    hash: str
    sequence: int


def answer_challenge(xdr: str, *, settings: Sep24Settings, home_domain: str, web_auth_domain: str, memo: int) -> str:
    """The anchor's challenge with our signature. Raises `NotSent` for one that isn't the anchor's, or isn't for us."""
    ours = settings.keypair
    try:
        read = read_challenge_transaction(
            xdr, settings.signing_key, home_domain, web_auth_domain, settings.network_passphrase
        )
    except Exception as error:  # noqa: BLE001 - whatever a hostile envelope breaks, it isn't signed
        raise NotSent(f"the anchor's challenge isn't genuine ({type(error).__name__})", fault=Fault.RAIL) from None
    if (read.client_account_id, read.memo) != (ours.public_key, memo):
        raise NotSent("the anchor's challenge is for another account", fault=Fault.RAIL)
    read.transaction.sign(ours)
    return read.transaction.to_xdr()


def memo_of(kind: str, text: str) -> Memo | None:
    """The memo of a transaction; None for what is none, and for what Horizon would show in other letters."""
    if kind == "id" and text.isascii() and text.isdigit() and int(text) <= ID_MOST and str(int(text)) == text:
        return IdMemo(int(text))
    if kind == "text" and 0 < len(text.encode()) <= TEXT_MOST:
        return TextMemo(text)
    if kind == "hash":
        try:
            raw = base64.b64decode(text, validate=True)
        except ValueError:
            return None
        return HashMemo(raw) if len(raw) == HASH_LENGTH and base64.b64encode(raw).decode() == text else None
    return None


def signed_payment(order: Order, *, sequence: int, settings: Sep24Settings) -> Signed:
    """The transaction that pays an order: always the same bytes for the same order and sequence number."""
    memo = memo_of(order.memo_type, order.memo)
    assert memo is not None, "an order without a good memo is never made"
    ours = settings.keypair
    made: TransactionEnvelope = (
        TransactionBuilder(Account(ours.public_key, sequence), settings.network_passphrase, base_fee=settings.fee_most)
        .append_payment_op(order.account, Asset(settings.asset_code, settings.asset_issuer), order.amount.decimal())
        .add_memo(memo)
        .add_time_bounds(0, order.pay_by)
        .build()
    )
    made.sign(ours)
    return Signed(made.to_xdr(), made.hash_hex(), sequence + 1)


def is_signed_by(account: str, payload: bytes, signature: bytes) -> bool:
    """Whether a signature (ed25519) of these bytes is that account's."""
    try:
        Keypair.from_public_key(account).verify(payload, signature)
    except Exception:  # noqa: BLE001 - whatever is wrong with a signature, it is none
        return False
    return True
