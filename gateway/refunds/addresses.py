"""Where money may go back to: an address that somebody confirmed, on evidence. Never the sending address unasked."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum, auto

from eth_utils.address import is_checksum_address, to_checksum_address
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.chain.queries import which_are_ours
from gateway.operators.actions import record_action
from gateway.refunds.errors import AddressNotProven, BadRefundAddress, OrderNotFound
from gateway.refunds.wallets import Wallets


class Source(StrEnum):
    """How we know that an address is the sender's."""

    ORDER = auto()
    """It came with the order: from an authenticated partner, or from who filled in the form. Not confirmed anew."""
    PARTNER = auto()
    """The order's own partner names it by the API."""
    SIGNATURE = auto()
    """Who owns the sending address signed for it."""
    OPERATOR = auto()
    """A named person vouches for it, on evidence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """Somebody confirms an order's refund address."""

    order_id: str
    address: str
    """With EIP-55 capitals, or all in lower case."""
    source: Source
    """Any but ORDER."""
    confirmed_by: str
    """PARTNER: the partner's id. SIGNATURE: the address that signed. OPERATOR: the operator who checked it, by name."""
    evidence: Mapping[str, str] = field(default_factory=dict)
    """What shows it, kept for ever; only a partner needs none. No secrets."""
    reason: str = ""
    """Of an OPERATOR's decision."""


_ADDRESS = re.compile("0x[0-9A-Fa-f]{40}")
_ORDER = text("SELECT partner_id FROM orders WHERE id = :order_id FOR UPDATE")
_CONFIRM = text("""
INSERT INTO refund_addresses (order_id, address, source, confirmed_by, evidence, at)
VALUES (:order_id, :address, :source, :confirmed_by, CAST(:evidence AS jsonb), :now)
""")
_CONFIRMED = text("""
SELECT COALESCE(
    (SELECT address FROM refund_addresses WHERE order_id = :order_id ORDER BY id DESC LIMIT 1),
    (SELECT refund_address FROM orders WHERE id = :order_id))
""")


async def confirm_address(
    connection: AsyncConnection, *, confirmation: Confirmation, wallets: Wallets, now: datetime
) -> str:
    """Write a confirmed address down, in the caller's transaction; gives it with EIP-55 capitals.

    The newest counts for refunds ordered from now on; those already ordered keep theirs. Raises `OrderNotFound` (also for
    another partner's order), `BadRefundAddress`, `AddressNotProven`, `UnknownOperator` and `ReasonMissing`.
    """
    order = (await connection.execute(_ORDER, {"order_id": confirmation.order_id})).one_or_none()
    by_partner = confirmation.source is Source.PARTNER
    if order is None or (by_partner and order.partner_id != confirmation.confirmed_by):
        raise OrderNotFound
    if not by_partner and not any(value.strip() for value in confirmation.evidence.values()):
        raise AddressNotProven
    address = await check_address(connection, address=confirmation.address, wallets=wallets)
    if confirmation.source is Source.OPERATOR:
        await record_action(
            connection,
            operator=confirmation.confirmed_by,
            action="refund.address",
            subject=confirmation.order_id,
            reason=confirmation.reason,
            detail={**confirmation.evidence, "address": address},
            now=now,
        )
    await connection.execute(
        _CONFIRM,
        {
            "order_id": confirmation.order_id,
            "address": address.lower(),
            "source": confirmation.source,
            "confirmed_by": confirmation.confirmed_by,
            "evidence": json.dumps(dict(confirmation.evidence)),
            "now": now,
        },
    )
    return address


async def confirmed_address(connection: AsyncConnection, *, order_id: str) -> str | None:
    """The address (EIP-55) that counts now: the newest confirmed one, else the one given with the order, else none."""
    address = (await connection.execute(_CONFIRMED, {"order_id": order_id})).scalar_one()
    return None if address is None else to_checksum_address(address)


async def check_address(connection: AsyncConnection, *, address: str, wallets: Wallets) -> str:
    """The address with EIP-55 capitals, if money may be sent to it. Raises `BadRefundAddress`."""
    checked = _well_formed(address)
    low = checked.lower()
    if low in wallets.ours or await which_are_ours(connection, addresses=[low]):
        raise BadRefundAddress(
            f"{checked} is an address of this gateway or a token's contract, so whoever should get the money wouldn't. "
            "Give an address that the sender holds the key of."
        )
    return checked


def _well_formed(address: str) -> str:
    if not _ADDRESS.fullmatch(address):
        raise BadRefundAddress('Write an EVM address: "0x" and 40 hexadecimal digits.')
    digits = address.removeprefix("0x")
    if digits not in (digits.lower(), digits.upper()) and not is_checksum_address(address):
        raise BadRefundAddress("The address's capital letters don't fit (EIP-55): a digit is wrong. Copy it again.")
    if not int(digits, 16):
        raise BadRefundAddress("Nobody holds the key of the zero address. Give an address that the sender holds the key of.")
    return to_checksum_address(address)
