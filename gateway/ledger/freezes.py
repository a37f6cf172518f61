"""Frozen assets: coins that nothing new is done with until a person lifts the freeze.

While an asset is frozen there are no new quotes and no new orders in it, its deposits are booked and held, and it is neither
swept nor refunded. What was instructed before goes on. Nothing thaws by itself, and what is held goes on by a person.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum, auto
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.errors import Refusal


class FreezeKind(StrEnum):
    """Why an asset is frozen. One freeze of a kind is open at a time."""

    PAUSED = auto()
    BLOCKED = auto()
    CHANGED = auto()
    REPLACED = auto()
    BY_HAND = auto()


TOLD: Mapping[FreezeKind, str] = {
    FreezeKind.PAUSED: "its issuer has paused it",
    FreezeKind.BLOCKED: "its issuer doesn't let us move it",
    FreezeKind.CHANGED: "its contract was changed and has to be looked at first",
    FreezeKind.REPLACED: "its issuer is replacing it by another coin",
    FreezeKind.BY_HAND: "we have stopped it for now",
}
"""The reasons in words for everybody; those kept with a freeze are for operators."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Freeze:
    """One open freeze."""

    id: int
    asset: str
    kind: FreezeKind
    reason: str
    frozen_at: datetime


class AssetFrozen(Refusal):
    """Nothing is quoted, promised, swept or sent back in a frozen asset."""

    code = "asset_frozen"

    def __init__(self, freeze: Freeze, *, field: str | None = None) -> None:
        super().__init__(
            f"{freeze.asset.partition('@')[0]} on this chain is not taken at the moment: {TOLD[freeze.kind]}. "
            "Choose another coin or chain, or come back later; don't send this one now.",
            field=field,
        )


class UnknownAssetCode(Refusal):
    """The ledger knows no asset by that code."""

    code = "unknown_asset_code"

    def __init__(self, asset: str) -> None:
        super().__init__(f'no asset is called "{asset}"; write SYMBOL@CHAIN_ID as `lastmile tokens list` shows it')


class NotFrozen(Refusal):
    """There is nothing to lift."""

    code = "not_frozen"

    def __init__(self, asset: str) -> None:
        super().__init__(f"{asset} is not frozen, so there is nothing to lift; `lastmile tokens list` shows what is")


OPEN_FREEZES = text(
    "SELECT id, asset, kind, reason, frozen_at FROM asset_freezes WHERE lifted_at IS NULL ORDER BY asset, frozen_at, id"
)
_FREEZE = text("""
INSERT INTO asset_freezes (asset, kind, reason, frozen_at)
SELECT code, :kind, :reason, :now FROM assets WHERE code = :asset
ON CONFLICT (asset, kind) WHERE lifted_at IS NULL DO NOTHING
RETURNING id
""")
_KNOWN = text("SELECT FROM assets WHERE code = :asset")
_LIFT = text("""
UPDATE asset_freezes SET lifted_at = :now, lifted_by = :operator WHERE asset = :asset AND lifted_at IS NULL
""")


async def open_freezes(connection: AsyncConnection) -> list[Freeze]:
    """Every open freeze, an asset's oldest first."""
    return read_freezes((await connection.execute(OPEN_FREEZES)).all())


def read_freezes(rows: Iterable[Any]) -> list[Freeze]:
    """What `OPEN_FREEZES` found."""
    return [
        Freeze(id=row.id, asset=row.asset, kind=FreezeKind(row.kind), reason=row.reason, frozen_at=row.frozen_at)
        for row in rows
    ]


async def frozen(connection: AsyncConnection) -> dict[str, str]:
    """The frozen assets by code, each with all its reasons in words for operators."""
    reasons: dict[str, str] = {}
    for freeze in await open_freezes(connection):
        before = reasons.get(freeze.asset)
        reasons[freeze.asset] = freeze.reason if before is None else f"{before} {freeze.reason}"
    return reasons


async def refuse_frozen(connection: AsyncConnection, *, asset: str, field: str | None = None) -> None:
    """Raise `AssetFrozen` if the asset of this code is; `field` names the client's field that chose it."""
    for freeze in await open_freezes(connection):
        if freeze.asset == asset:
            raise AssetFrozen(freeze, field=field)


async def freeze_asset(
    connection: AsyncConnection, *, asset: str, kind: FreezeKind, reason: str, now: datetime
) -> int | None:
    """Freeze an asset by code. The new freeze's id; None: it is frozen for that kind already.

    `reason`: sentences for operators. Raises `UnknownAssetCode`.
    """
    values = {"asset": asset, "kind": kind, "reason": reason, "now": now}
    made = (await connection.execute(_FREEZE, values)).scalar_one_or_none()
    if made is None and (await connection.execute(_KNOWN, {"asset": asset})).one_or_none() is None:
        raise UnknownAssetCode(asset)
    return made


async def lift_freezes(connection: AsyncConnection, *, asset: str, operator: str, now: datetime) -> int:
    """Lift every freeze of an asset by code, in the name of a known operator. How many. Raises `NotFrozen`."""
    lifted = (await connection.execute(_LIFT, {"asset": asset, "operator": operator, "now": now})).rowcount
    if not lifted:
        raise NotFrozen(asset)
    return lifted
