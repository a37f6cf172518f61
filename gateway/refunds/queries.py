"""Reads: refunds for people."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from eth_utils.address import to_checksum_address
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.money import Asset, Money
from gateway.refunds.errors import OrderNotFound, RefundsOff
from gateway.refunds.wallets import Wallet

LISTED_MOST = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundDetails:
    """A refund as operators see it."""

    id: str
    order_id: str
    of: str
    amount: Money
    chain_id: int
    address: str
    """EIP-55."""
    owner: str
    reason: str
    outcome: str
    note: str | None
    tx_hash: str | None
    evidence: dict[str, str]
    created_at: datetime
    due_at: datetime | None
    closed_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stock:
    """What a wallet has of a coin by our books, and what open refunds want of it."""

    held: Money
    wanted: Money


_STOCK = text("""
SELECT COALESCE((SELECT held FROM wallet_balances WHERE account = :account AND asset = :asset), 0) AS held,
       COALESCE((SELECT sum(units) FROM refunds WHERE asset = :asset AND closed_at IS NULL), 0) AS wanted
""")
_ASSET = text("""
SELECT s.code, s.decimals FROM orders AS o JOIN quotes AS q ON q.id = o.quote_id
JOIN assets AS s ON s.code = COALESCE(CAST(:asset AS text), q.send_asset) WHERE o.id = :order_id
""")
_REFUNDS = """
SELECT r.*, s.decimals FROM refunds AS r JOIN assets AS s ON s.code = r.asset
"""
_ONE = text(f"{_REFUNDS} WHERE r.id = :refund_id")
_ALL = text(f"""{_REFUNDS}
WHERE CAST(:order_id AS text) IS NULL OR r.order_id = :order_id
ORDER BY r.closed_at IS NOT NULL, r.id DESC LIMIT :most
""")


async def find_refund(connection: AsyncConnection, *, refund_id: str) -> RefundDetails | None:
    """One refund; None if there is none."""
    row = (await connection.execute(_ONE, {"refund_id": refund_id})).one_or_none()
    return None if row is None else _view(row)


async def list_refunds(
    connection: AsyncConnection, *, order_id: str | None = None, most: int = LISTED_MOST
) -> list[RefundDetails]:
    """Refunds, of one order or of all: the open ones first, the newest first."""
    rows = await connection.execute(_ALL, {"order_id": order_id, "most": most})
    return [_view(row) for row in rows]


async def asset_of(connection: AsyncConnection, *, order_id: str, asset: str | None) -> Asset:
    """The asset by this code, or else what the order asks for. Raises `OrderNotFound` and `RefundsOff`."""
    row = (await connection.execute(_ASSET, {"order_id": order_id, "asset": asset})).one_or_none()
    if row is not None:
        return Asset(row.code, row.decimals)
    raise OrderNotFound if asset is None else RefundsOff.of_coin(asset)


async def read_stock(connection: AsyncConnection, *, wallet: Wallet) -> list[Stock]:
    """Of each coin that the wallet refunds. Below zero where more was sent than was booked into it."""
    stock = []
    for coin in wallet.coins.values():
        asked = {"account": wallet.account, "asset": coin.asset.code}
        row = (await connection.execute(_STOCK, asked)).one()
        stock.append(Stock(held=Money(int(row.held), coin.asset), wanted=Money(int(row.wanted), coin.asset)))
    return stock


def _view(row: Row[tuple[Any, ...]]) -> RefundDetails:
    return RefundDetails(
        id=row.id,
        order_id=row.order_id,
        of=row.taken_from,
        amount=Money(int(row.units), Asset(row.asset, row.decimals)),
        chain_id=row.chain_id,
        address=to_checksum_address(row.address),
        owner=row.owner,
        reason=row.reason,
        outcome=row.outcome,
        note=row.note,
        tx_hash=row.tx_hash,
        evidence=row.evidence,
        created_at=row.created_at,
        due_at=row.due_at,
        closed_at=row.closed_at,
    )
