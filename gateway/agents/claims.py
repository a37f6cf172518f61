"""Claims as they are read."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.agents.errors import NotYours
from gateway.money import Asset, Money

RESERVED, CONFIRMED, RELEASED = "reserved", "confirmed", "released"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimView:
    """A claim, with all that an agent has to know of the recipient."""

    id: str
    code_id: str
    agent_id: str
    agent_reference: str
    state: str
    money: Money
    holder: str = field(repr=False)
    msisdn: str = field(repr=False)
    country: str
    shop: str
    reserved_at: datetime
    closed_at: datetime | None


_VIEW = """
SELECT w.id, w.code_id, w.agent_id, w.agent_reference, w.state, c.asset, s.decimals, c.units, c.holder, c.msisdn, c.country,
    a.shop, w.reserved_at, w.closed_at
FROM pickup_claims AS w JOIN pickup_codes AS c ON c.id = w.code_id JOIN assets AS s ON s.code = c.asset
    JOIN agents AS a ON a.id = w.agent_id
"""
_BY_ID = text(f"{_VIEW} WHERE w.id = :id")
_OF_CLIENT = text(f"{_VIEW} WHERE w.id = :id AND c.client_id = :client AND w.state = 'confirmed'")
_BY_REFERENCE = text(f"{_VIEW} WHERE w.agent_id = :agent AND w.agent_reference = :reference")
_LIST = text(f"""{_VIEW} WHERE :agent IN ('', w.agent_id) AND (:everything OR w.state = 'reserved')
ORDER BY w.reserved_at DESC, w.id DESC LIMIT :most""")


async def find_claim(connection: AsyncConnection, *, claim_id: str, agent_id: str | None = None) -> ClaimView:
    """A claim; with `agent_id` one of his only. Raises `NotYours`."""
    row = (await connection.execute(_BY_ID, {"id": claim_id})).one_or_none()
    if row is None or agent_id not in (None, row.agent_id):
        raise NotYours
    return _view(row)


async def find_withdrawal(connection: AsyncConnection, *, claim_id: str, client_id: str) -> ClaimView:
    """The confirmed claim of a client's code. Raises `NotYours`."""
    row = (await connection.execute(_OF_CLIENT, {"id": claim_id, "client": client_id})).one_or_none()
    if row is None:
        raise NotYours
    return _view(row)


async def find_by_reference(connection: AsyncConnection, *, agent_id: str, reference: str) -> ClaimView | None:
    """The claim that an agent made under his own id; None: he made none."""
    row = (await connection.execute(_BY_REFERENCE, {"agent": agent_id, "reference": reference})).one_or_none()
    return None if row is None else _view(row)


async def list_claims(
    connection: AsyncConnection, *, agent_id: str = "", everything: bool = False, most: int = 100
) -> list[ClaimView]:
    """Claims that wait for their confirmation, or all, the newest first."""
    rows = await connection.execute(_LIST, {"agent": agent_id, "everything": everything, "most": most})
    return [_view(row) for row in rows]


def _view(row: Any) -> ClaimView:
    values = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for it
    money = Money(int(values.pop("units")), Asset(values.pop("asset"), values.pop("decimals")))
    return ClaimView(money=money, **values)
