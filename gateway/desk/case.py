"""An order and its money: what every resolution locks and looks at first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.desk.errors import UnknownAsset
from gateway.money import Asset, Money
from gateway.orders.postings import FUNDS, UNALLOCATED
from gateway.orders.recipients import Recipient
from gateway.orders.states import S
from gateway.refunds.errors import OrderNotFound


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """An order that somebody decides about, and what it has."""

    order_id: str
    state: S
    version: int
    partner_id: str | None
    quote_id: str
    due: Money
    """What its quote asks for."""
    currency: str
    country: str
    method: str
    lane: str
    """Where it waits for dispatch, as in "KE/KES/mobile_money/standard"."""
    recipient: Recipient
    refund_address: str | None
    reference: str | None
    details: Mapping[str, Any] = field(repr=False)
    accounts: Mapping[tuple[str, str], Money] = field(repr=False)
    """What it has, by (an account's last word, asset code); nothing that is empty."""

    @property
    def funds(self) -> Money:
        """What is there to pay out, in the quoted asset."""
        return self.accounts.get((FUNDS, self.due.asset.code), Money(0, self.due.asset))

    def beside(self, asset: Asset) -> Money:
        """What is kept for the sender, in one asset."""
        return self.accounts.get((UNALLOCATED, asset.code), Money(0, asset))

    def goes_on(self, asset: Asset) -> bool:
        """Whether a new price in `asset` would be the held order's own; else it makes a new order."""
        return self.state is S.HELD and asset == self.due.asset and self.funds.units > 0

    def usable(self, asset: Asset) -> Money:
        """What a new price in `asset` would be for: all that is beside, and a held order's own funds with it."""
        return self.funds + self.beside(asset) if self.goes_on(asset) else self.beside(asset)


# Whoever changes an order's money or price locks the order first. Read after the lock is held: in one statement, a row that
# has got another quote while it was waited for would fit its join no more, and be missing.
_LOCK = text("SELECT FROM orders WHERE id = :order_id FOR UPDATE")
_ORDER = text("""
SELECT o.*, q.send_asset, q.send_units, q.receive_asset, q.country, q.method, a.decimals, r.name, r.account
FROM orders AS o
JOIN quotes AS q ON q.id = o.quote_id
JOIN assets AS a ON a.code = q.send_asset
JOIN recipients AS r ON r.order_id = o.id
WHERE o.id = :order_id
""")
_MONEY = text("""
SELECT name, asset, units, decimals FROM balances JOIN assets ON code = asset
WHERE order_id = :order_id AND name IN ('funds', 'unallocated')
""")
_DECIMALS = text("SELECT decimals FROM assets WHERE code = :asset")


async def open_case(connection: AsyncConnection, *, order_id: str) -> Case:
    """Lock the order and read what it has. Raises `OrderNotFound`."""
    await connection.execute(_LOCK, {"order_id": order_id})
    return await read_case(connection, order_id=order_id)


async def read_case(connection: AsyncConnection, *, order_id: str) -> Case:
    """The same without the lock, to be shown. Raises `OrderNotFound`."""
    row = (await connection.execute(_ORDER, {"order_id": order_id})).one_or_none()
    if row is None:
        raise OrderNotFound
    money = (await connection.execute(_MONEY, {"order_id": order_id})).all()
    return Case(
        order_id=row.id,
        state=S(row.state),
        version=row.version,
        partner_id=row.partner_id,
        quote_id=row.quote_id,
        due=Money(int(row.send_units), Asset(row.send_asset, row.decimals)),
        currency=row.receive_asset,
        country=row.country,
        method=row.method,
        lane=row.lane,
        recipient=Recipient(name=row.name, account=row.account),
        refund_address=row.refund_address,
        reference=row.reference,
        details=row.details,
        accounts={(one.name, one.asset): Money(int(one.units), Asset(one.asset, one.decimals)) for one in money},
    )


async def asset_called(connection: AsyncConnection, *, code: str) -> Asset:
    """An asset of the ledger by its code, as in "USDC@8453". Raises `UnknownAsset`."""
    decimals = (await connection.execute(_DECIMALS, {"asset": code})).scalar_one_or_none()
    if decimals is None:
        raise UnknownAsset(code)
    return Asset(code, decimals)
