"""Fills as they are offered, read, cancelled and run out. Every change is made under the fill's row lock."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.db.session import reading, transaction
from gateway.fills.errors import FillNotCancellable, FillNotFound, FillPartnerNotFound, FillReferenceReused
from gateway.ids import new_id
from gateway.money import Asset, Money

OFFERED, ACCEPTED, DECLINED, EXPIRED, CANCELLED = "offered", "accepted", "declined", "expired", "cancelled"
FULFILLED, RETURNED = "fulfilled", "returned"
STATES = (OFFERED, ACCEPTED, DECLINED, EXPIRED, CANCELLED, FULFILLED, RETURNED)
EXPIRED_AT_ONCE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A payout to be filled by one partner."""

    client_id: str
    reference: str
    request_hash: bytes
    """Of the whole request: the same reference with another one is refused."""
    partner_id: str
    money: Money
    country: str
    method: str
    institution: str | None
    account: str = field(repr=False)
    holder: str = field(repr=False)
    offered_for: timedelta
    fulfil_within: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class FillView:
    """A fill as it stands."""

    id: str
    client_id: str
    reference: str
    request_hash: bytes
    partner_id: str
    state: str
    money: Money
    country: str
    method: str
    institution: str | None
    account: str = field(repr=False)
    holder: str = field(repr=False)
    offered_until: datetime
    fulfil_within: timedelta
    fulfil_by: datetime | None
    reason: str | None
    proof: str | None
    late_proof: str | None
    created_at: datetime
    updated_at: datetime

    def overdue(self, *, now: datetime) -> bool:
        """Accepted, and not fulfilled in time: only the partner knows whether he paid."""
        return self.state == ACCEPTED and self.fulfil_by is not None and now > self.fulfil_by


_COLUMNS = """
id, client_id, reference, request_hash, partner_id, state, asset, decimals, units, country, method, institution, account,
holder, offered_until, fulfil_within, fulfil_by, reason, proof, late_proof, created_at, updated_at
"""
_PARTNER = text("SELECT FROM partners WHERE id = :partner AND disabled_at IS NULL")
_MAKE = text("""
INSERT INTO fills (id, client_id, reference, request_hash, partner_id, state, asset, decimals, units, country, method,
    institution, account, holder, offered_until, fulfil_within, created_at, updated_at)
VALUES (:id, :client, :reference, :request_hash, :partner, 'offered', :asset, :decimals, :units, :country, :method,
    :institution, :account, :holder, :offered_until, :fulfil_within, :now, :now)
ON CONFLICT (client_id, reference) DO NOTHING RETURNING id
""")
_BY_REFERENCE = text("SELECT id FROM fills WHERE client_id = :client AND reference = :reference FOR UPDATE")
_OF_PARTNER = text("SELECT id FROM fills WHERE id = :id AND partner_id = :partner FOR UPDATE")
_BY_ID = text("SELECT id FROM fills WHERE id = :id FOR UPDATE")
_READ = text(f"SELECT {_COLUMNS} FROM fills WHERE id = :id")  # noqa: S608 - the column list is ours
_LIST = text(f"""SELECT {_COLUMNS} FROM fills
WHERE :partner IN ('', partner_id) AND :state IN ('', state) AND id > :after
    AND (state <> 'offered' OR :partner = '' OR offered_until > :now)
ORDER BY id LIMIT :most""")  # noqa: S608
_SET = text("UPDATE fills SET state = :state, updated_at = :now WHERE id = :id")
_DUE = text("SELECT id FROM fills WHERE state = 'offered' AND offered_until <= :now ORDER BY offered_until LIMIT :most")


async def make_offer(connection: AsyncConnection, *, offer: Offer, now: datetime) -> tuple[FillView, bool]:
    """Offer it, or find what was offered under this reference by the same request before; whether it is new.

    Raises `FillPartnerNotFound` and `FillReferenceReused`.
    """
    if (await connection.execute(_PARTNER, {"partner": offer.partner_id})).first() is None:
        raise FillPartnerNotFound
    values = {
        "id": new_id("fil", now=now),
        "client": offer.client_id,
        "reference": offer.reference,
        "request_hash": offer.request_hash,
        "partner": offer.partner_id,
        "asset": offer.money.asset.code,
        "decimals": offer.money.asset.decimals,
        "units": offer.money.units,
        "country": offer.country,
        "method": offer.method,
        "institution": offer.institution,
        "account": offer.account,
        "holder": offer.holder,
        "offered_until": now + offer.offered_for,
        "fulfil_within": offer.fulfil_within,
        "now": now,
    }
    new = (await connection.execute(_MAKE, values)).first() is not None
    found = await find_by_reference(connection, client_id=offer.client_id, reference=offer.reference, now=now)
    if found.request_hash != offer.request_hash:
        raise FillReferenceReused
    return found, new


async def find_by_reference(connection: AsyncConnection, *, client_id: str, reference: str, now: datetime) -> FillView:
    """A client's fill, locked; run out if its time has come. Raises `FillNotFound`."""
    return await _settled(connection, _BY_REFERENCE, {"client": client_id, "reference": reference}, now=now)


async def find_for_partner(connection: AsyncConnection, *, partner_id: str, fill_id: str, now: datetime) -> FillView:
    """A partner's fill, locked; run out if its time has come. Raises `FillNotFound`."""
    return await _settled(connection, _OF_PARTNER, {"id": fill_id, "partner": partner_id}, now=now)


async def find_fill(connection: AsyncConnection, *, fill_id: str, now: datetime) -> FillView:
    """Anybody's fill, locked; run out if its time has come. Raises `FillNotFound`."""
    return await _settled(connection, _BY_ID, {"id": fill_id}, now=now)


async def list_fills(
    connection: AsyncConnection, *, now: datetime, partner_id: str = "", state: str = "", after: str = "", most: int = 50
) -> list[FillView]:
    """Fills, oldest first, those after `after`; a partner's own, without offers that have run out."""
    values = {"partner": partner_id, "state": state, "after": after, "most": most, "now": now}
    return [_view(row) for row in await connection.execute(_LIST, values)]


async def cancel_offer(connection: AsyncConnection, *, client_id: str, reference: str, now: datetime) -> FillView:
    """Take an offer back that nobody has accepted. Again is the same. Raises `FillNotFound`, `FillNotCancellable`."""
    fill = await find_by_reference(connection, client_id=client_id, reference=reference, now=now)
    if fill.state == CANCELLED:
        return fill
    if fill.state != OFFERED:
        raise FillNotCancellable(fill.state)
    await connection.execute(_SET, {"id": fill.id, "state": CANCELLED, "now": now})
    return await read(connection, fill.id)


async def expire_offers(engine: AsyncEngine, *, now: datetime) -> int:
    """Let offers run out that nobody accepted in time. How many. What was accepted never runs out."""
    async with reading(engine) as connection:
        due = [row.id for row in await connection.execute(_DUE, {"now": now, "most": EXPIRED_AT_ONCE})]
    for fill_id in due:
        async with transaction(engine, point="offers.expire") as connection:
            await find_fill(connection, fill_id=fill_id, now=now)
    return len(due)


async def read(connection: AsyncConnection, fill_id: str) -> FillView:
    """A fill under a lock that the caller has."""
    return _view((await connection.execute(_READ, {"id": fill_id})).one())


async def _settled(connection: AsyncConnection, statement: Any, values: dict[str, str], *, now: datetime) -> FillView:
    locked = (await connection.execute(statement, values)).scalar_one_or_none()
    if locked is None:
        raise FillNotFound
    fill = await read(connection, locked)
    if fill.state != OFFERED or now < fill.offered_until:
        return fill
    await connection.execute(_SET, {"id": fill.id, "state": EXPIRED, "now": now})
    return await read(connection, fill.id)


def _view(row: Any) -> FillView:
    values = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for it
    money = Money(int(values.pop("units")), Asset(values.pop("asset"), values.pop("decimals")))
    return FillView(money=money, **values | {"request_hash": bytes(values["request_hash"])})
