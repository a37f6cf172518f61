"""A small Horizon: accounts, ledgers, payments, and transactions that are decoded and verified before they are applied."""

from __future__ import annotations

import base64
from datetime import datetime
from typing import Any, NamedTuple

from stellar_sdk import Asset, HashMemo, IdMemo, Keypair, Memo, Payment, TextMemo, TransactionEnvelope

from adapters.sep24.simulator.books import COIN, PASSPHRASE, Keys
from adapters.sep24.simulator.checks import horizon, rejected
from gateway.money import Money
from gateway.railsim import Desk

FIRST = 4_294_967_296
"""The sequence number of a new account."""
LEAST_FEE = 100


class Decoded(NamedTuple):
    """A transaction that may be applied."""

    envelope: TransactionEnvelope
    hash: str
    payment: Payment
    amount: Money

    @property
    def memo(self) -> tuple[str, str]:
        """Its type and text, as Horizon shows them."""
        return shown_memo(self.envelope.transaction.memo)


class Ledger:
    """Our account and what happened on it, on the desk's shelf."""

    def __init__(self, desk: Desk, keys: Keys) -> None:
        self._desk = desk
        self._keys = keys
        self._ours = keys.public("ours")

    @property
    def sequence(self) -> int:
        """Our account's."""
        kept = self._desk.shelf.get("ledger", "sequence")
        return FIRST if kept is None else int(kept["number"])

    def account(self) -> dict[str, Any]:
        """GET /accounts/{id}, of ours."""
        coin = {"asset_type": "credit_alphanum4", "asset_code": "USDC", "asset_issuer": self._keys.public("issuer")}
        held = {"balance": self._desk.held(COIN.code).decimal(), "limit": "922337203685.4775807", **coin}
        lumens = {"balance": "100.0000000", "asset_type": "native"}
        return {"id": self._ours, "account_id": self._ours, "sequence": str(self.sequence), "balances": [held, lumens]}

    def decode(self, xdr: str, *, now: datetime) -> Decoded:
        """The transaction in an envelope, with all that Stellar checks before it applies it. Raises `Refused`."""
        try:
            read = TransactionEnvelope.from_xdr(xdr, PASSPHRASE)
        except Exception as error:
            raise horizon(400, "transaction_malformed", "Transaction Malformed", envelope_xdr=xdr[:20]) from error
        inside = read.transaction
        if inside.source.account_id != self._ours:
            raise rejected("tx_no_source_account")
        if not _is_signed(read, self._ours):
            raise rejected("tx_bad_auth")
        bounds = inside.preconditions.time_bounds if inside.preconditions else None
        if bounds is None or (bounds.max_time and now.timestamp() > bounds.max_time):
            raise rejected("tx_too_late")
        if inside.fee < LEAST_FEE * len(inside.operations):
            raise rejected("tx_insufficient_fee")
        if inside.sequence != self.sequence + 1:
            raise rejected("tx_bad_seq")
        return self._one_payment(read)

    def _one_payment(self, read: TransactionEnvelope) -> Decoded:
        operations = read.transaction.operations
        if len(operations) != 1 or not isinstance(operations[0], Payment):
            raise rejected("tx_missing_operation")
        payment = operations[0]
        amount = Money.parse(payment.amount, COIN)
        coin = Asset("USDC", self._keys.public("issuer"))
        problems = {
            "op_src_no_trust": payment.asset != coin,
            "op_no_destination": payment.destination.account_id != self._keys.public("anchor"),
            "op_underfunded": self._desk.held(COIN.code) < amount,
        }
        if (wrong := next((code for code, there in problems.items() if there), None)) is not None:
            self._use_sequence(read.hash_hex(), successful=False)
            raise rejected("tx_failed", wrong)
        return Decoded(read, read.hash_hex(), payment, amount)

    def apply(self, decoded: Decoded, *, now: datetime) -> None:
        """The coins go to the anchor."""
        self._use_sequence(decoded.hash, successful=True)
        self._desk.hold(self._desk.held(COIN.code) - decoded.amount)
        sides = (self._ours, decoded.payment.destination.account_id)
        self._record(sides, decoded.amount, decoded.memo, decoded.hash, now=now)

    def give_back(self, amount: Money, memo: tuple[str, str], tx_hash: str, *, now: datetime) -> None:
        """The anchor sends coins back."""
        self._desk.hold(self._desk.held(COIN.code) + amount)
        self._record((self._keys.public("anchor"), self._ours), amount, memo, tx_hash, now=now)

    def payments(self, *, cursor: str | None, limit: int) -> list[dict[str, Any]]:
        """GET /accounts/{id}/payments?order=desc&join=transactions, of ours."""
        found = self._desk.shelf.all("moved")[::-1]
        return [each for each in found if cursor is None or int(each["paging_token"]) < int(cursor)][:limit]

    def transactions(self) -> list[dict[str, Any]]:
        """GET /accounts/{id}/transactions?order=desc&include_failed=true, of ours."""
        return self._desk.shelf.all("applied")[::-1]

    def _use_sequence(self, tx_hash: str, *, successful: bool) -> None:
        number = str(self.sequence + 1)
        record = {"hash": tx_hash, "successful": successful, "source_account_sequence": number, "ledger": 1}
        self._desk.shelf.put(("ledger", "sequence", {"number": number}), ("applied", number, record))

    def _record(self, sides: tuple[str, str], amount: Money, memo: tuple[str, str], tx_hash: str, *, now: datetime) -> None:
        number = len(self._desk.shelf.all("moved")) + 1
        record = {
            "id": str(number),
            "paging_token": str(number),
            "transaction_successful": True,
            "source_account": sides[0],
            "type": "payment",
            "type_i": 1,
            "created_at": now.isoformat(),
            "transaction_hash": tx_hash,
            "asset_type": "credit_alphanum4",
            "asset_code": "USDC",
            "asset_issuer": self._keys.public("issuer"),
            "from": sides[0],
            "to": sides[1],
            "amount": amount.decimal(),
            "transaction": {"hash": tx_hash, "successful": True, "memo_type": memo[0], "memo": memo[1]},
        }
        self._desk.shelf.put(("moved", f"{number:012}", record))


def _is_signed(read: TransactionEnvelope, account: str) -> bool:
    """Whether it has exactly one signature, and that is the account's."""
    if len(read.signatures) != 1:
        return False
    try:
        Keypair.from_public_key(account).verify(read.hash(), read.signatures[0].signature)
    except Exception:  # noqa: BLE001 - a signature that can't be verified is none
        return False
    return True


def shown_memo(memo: Memo) -> tuple[str, str]:
    """Type and text of a memo, as Horizon shows them."""
    if isinstance(memo, IdMemo):
        return "id", str(memo.memo_id)
    if isinstance(memo, TextMemo):
        return "text", memo.memo_text.decode()
    if isinstance(memo, HashMemo):
        return "hash", base64.b64encode(memo.memo_hash).decode()
    return "none", ""
