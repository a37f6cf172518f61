"""Writing to the ledger outside of an order's steps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.errors import Refusal
from gateway.money import Asset, Money


class Transfer(NamedTuple):
    """Move `money` from account `source` to account `destination`."""

    source: str
    destination: str
    money: Money


class Entry(NamedTuple):
    """Transfers that belong together. `cause` names what happened, for ever: it is written once."""

    cause: str
    template: str
    transfers: tuple[Transfer, ...]
    order_id: str | None = None


class DecimalsChanged(Refusal):
    """The configuration gives an asset other decimals than the ledger has: every stored amount would change its worth."""

    code = "decimals_changed"

    def __init__(self, code: str, stored: int, configured: int) -> None:
        super().__init__(
            f"{code} has {stored} decimals in the ledger but {configured} in the configuration. "
            "Correct the configuration; a token that changed its decimals needs a symbol of its own."
        )


_POST = text("""
WITH line AS (
    SELECT cause, array_agg(CAST(ROW(source, destination, asset, units) AS posting) ORDER BY number) AS postings
    FROM unnest(CAST(:line_causes AS text[]), CAST(:sources AS text[]), CAST(:destinations AS text[]),
                CAST(:assets AS text[]), CAST(:units AS numeric[])) WITH ORDINALITY
        AS l (cause, source, destination, asset, units, number)
    GROUP BY cause
), journaled AS (
    INSERT INTO journal_entries (cause, template, order_id, posted_at, postings)
    SELECT cause, template, order_id, :now, COALESCE(postings, '{}')
    FROM unnest(CAST(:causes AS text[]), CAST(:templates AS text[]), CAST(:order_ids AS text[]))
        AS e (cause, template, order_id) LEFT JOIN line USING (cause)
    ON CONFLICT (cause) DO NOTHING
    RETURNING id
)
SELECT count(*) FROM journaled
""")


async def post(connection: AsyncConnection, *, entries: Sequence[Entry], now: datetime) -> int:
    """Write entries in one statement; those whose cause is already written are left out. Returns how many were new."""
    if not entries:
        return 0
    lines = [(entry.cause, transfer) for entry in entries for transfer in entry.transfers if transfer.money.units]
    result = await connection.execute(
        _POST,
        {
            "now": now,
            "causes": [entry.cause for entry in entries],
            "templates": [entry.template for entry in entries],
            "order_ids": [entry.order_id for entry in entries],
            "line_causes": [cause for cause, _ in lines],
            "sources": [transfer.source for _, transfer in lines],
            "destinations": [transfer.destination for _, transfer in lines],
            "assets": [transfer.money.asset.code for _, transfer in lines],
            "units": [transfer.money.units for _, transfer in lines],
        },
    )
    return int(result.scalar_one())


_REGISTER = text("INSERT INTO assets VALUES (:code, :decimals) ON CONFLICT DO NOTHING")
_DECIMALS = text("SELECT decimals FROM assets WHERE code = :code")


async def register_assets(connection: AsyncConnection, *, assets: Iterable[Asset]) -> None:
    """Make assets known to the ledger. Raises `DecimalsChanged` for one that is known with other decimals."""
    for asset in sorted(set(assets), key=str):
        await connection.execute(_REGISTER, {"code": asset.code, "decimals": asset.decimals})
        # A statement of its own: the first one waits for another's row without seeing it.
        stored = (await connection.execute(_DECIMALS, {"code": asset.code})).scalar_one()
        if stored != asset.decimals:
            raise DecimalsChanged(asset.code, stored, asset.decimals)


def top_up(*, rail: str, money: Money, reference: str) -> Entry:
    """The operator put `money` into our account at a rail. `reference` is the provider's own, so that it counts once."""
    return Entry(f"top_up:{rail}:{reference}", "top_up", (Transfer(f"rail:{rail}", "capital", money),))
