"""Coins that the operator moves from the treasury into a refund wallet: booked by hand, once per transaction."""

from __future__ import annotations

import re
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.errors import Refusal
from gateway.ledger.post import Entry, Transfer, post
from gateway.money import Money
from gateway.operators.actions import record_action
from gateway.refunds.errors import BadRefundAmount
from gateway.refunds.wallets import Wallet

_HASH = re.compile("0x[0-9a-f]{64}")
# An entry's first line is its only one here.
_BOOKED = text("""
SELECT p.destination, p.asset, p.units FROM journal_entries AS j CROSS JOIN LATERAL unnest(j.postings) AS p
WHERE j.cause = :cause
""")


class BadReference(Refusal):
    """The reference names no transaction, or one that was booked as something else."""

    code = "bad_reference"


class NoWalletOfItsOwn(Refusal):
    """Nothing has to be moved."""

    code = "wallet_is_treasury"

    def __init__(self) -> None:
        super().__init__("This refund wallet is the treasury itself, so there is nothing to book: what is swept is there.")


async def fund_wallet(
    connection: AsyncConnection,
    *,
    wallet: Wallet,
    money: Money,
    reference: str,
    operator: str,
    reason: str,
    now: datetime,
) -> bool:
    """Book that `money` went from the treasury to the wallet in transaction `reference`. False: it was booked before.

    Raises `BadReference`, `BadRefundAmount`, `NoWalletOfItsOwn`, `UnknownOperator` and `ReasonMissing`.
    """
    if wallet.account == wallet.treasury_account:
        raise NoWalletOfItsOwn
    if money.units == 0:
        raise BadRefundAmount("Give an amount of more than 0.", field="amount")
    tx_hash = reference.lower()
    if not _HASH.fullmatch(tx_hash):
        raise BadReference('Give the hash of the transaction that moved the coins: "0x" and 64 hexadecimal digits.')
    transfer = Transfer(wallet.account, wallet.treasury_account, money)
    cause = f"wallet_funded:{wallet.chain_id}:{tx_hash}"
    if not await post(connection, entries=[Entry(cause, "wallet_funded", (transfer,))], now=now):
        booked = (await connection.execute(_BOOKED, {"cause": cause})).one_or_none()
        if booked != (transfer.destination, money.asset.code, money.units):
            raise BadReference("This transaction is booked already, with another amount or coin. Look at both again.")
        return False
    await record_action(
        connection,
        operator=operator,
        action="refund.fund",
        subject=f"chain:{wallet.chain_id}",
        reason=reason,
        detail={"amount": str(money), "transaction": tx_hash},
        now=now,
    )
    return True
