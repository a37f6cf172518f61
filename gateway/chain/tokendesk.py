"""What people see of our tokens and do to them: freeze one, lift a freeze."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.chain.registry import coin_at
from gateway.chain.tokenwatch import Finding, judge, last_look
from gateway.errors import Refusal
from gateway.ledger.freezes import Freeze, FreezeKind, freeze_asset, lift_freezes, open_freezes
from gateway.money import Asset
from gateway.operators.actions import record_action


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenView:
    """One coin as operators see it."""

    asset: str
    address: str | None
    """None: no configured token is that asset any more."""
    kind: str | None
    """The registry's; None: the registry doesn't know the contract."""
    freezes: tuple[Freeze, ...]
    """Those that are open."""
    looked_at: datetime | None
    """When its contract was last looked at."""
    findings: tuple[str, ...]
    """What was wrong then, in sentences."""


class StillWrong(Refusal):
    """A freeze can't be lifted while its cause stands: the next look would freeze the asset again."""

    code = "still_wrong"

    def __init__(self, asset: str, findings: Sequence[Finding], *, found_at: datetime) -> None:
        sentences = " ".join(finding.sentence for finding in findings)
        super().__init__(
            f"{asset} can't be thawed. The last look, at {found_at:%H:%M:%S} UTC, still found: {sentences} "
            "Once that has changed, wait for the next look and try again."
        )


_ACCEPT = text("UPDATE token_looks SET baseline = found WHERE asset = :asset")
_DECIMALS = text("SELECT decimals FROM assets WHERE code = :asset")


async def token_views(connection: AsyncConnection, *, tokens: Iterable[tuple[str, Asset]]) -> list[TokenView]:
    """The configured tokens, given as (address, asset), and whatever else is frozen."""
    freezes: dict[str, list[Freeze]] = {}
    for freeze in await open_freezes(connection):
        freezes.setdefault(freeze.asset, []).append(freeze)
    views = [await _view(connection, address, asset, freezes.pop(asset.code, ())) for address, asset in tokens]
    others = [
        TokenView(asset=code, address=None, kind=None, freezes=tuple(open_), looked_at=None, findings=())
        for code, open_ in freezes.items()
    ]
    return [*views, *others]


async def lift_by_hand(connection: AsyncConnection, *, asset: str, operator: str, reason: str, now: datetime) -> None:
    """End an asset's freezes by a person's word; what the last look found is what later ones are compared with.

    Raises `NotFrozen`, `StillWrong` and what `record_action` raises.
    """
    decimals = (await connection.execute(_DECIMALS, {"asset": asset})).scalar_one_or_none()
    look = None if decimals is None else await last_look(connection, asset=Asset(asset, decimals), lock=True)
    if look is not None:
        stands = judge(asset=look.asset, found=look.found, baseline=look.found)
        if stands:
            raise StillWrong(asset, stands, found_at=look.found_at)
        await connection.execute(_ACCEPT, {"asset": asset})
    await record_action(
        connection,
        operator=operator,
        action="asset.lift",
        subject=f"asset:{asset}",
        reason=reason,
        detail={} if look is None else look.found,
        now=now,
    )
    await lift_freezes(connection, asset=asset, operator=operator, now=now)


async def freeze_by_hand(connection: AsyncConnection, *, asset: str, operator: str, reason: str, now: datetime) -> bool:
    """Freeze an asset by a person's word; False: somebody has done so before. Raises what it is made of raises."""
    await record_action(
        connection, operator=operator, action="asset.freeze", subject=f"asset:{asset}", reason=reason, now=now
    )
    sentence = f"{operator} stopped it: {reason.strip()}"
    made = await freeze_asset(connection, asset=asset, kind=FreezeKind.BY_HAND, reason=sentence, now=now)
    return made is not None


async def _view(connection: AsyncConnection, address: str, asset: Asset, freezes: Sequence[Freeze]) -> TokenView:
    coin = coin_at(chain_id=int(asset.code.partition("@")[2]), address=address)
    look = await last_look(connection, asset=asset)
    return TokenView(
        asset=asset.code,
        address=address,
        kind=None if coin is None else coin.kind,
        freezes=tuple(freezes),
        looked_at=None if look is None else look.found_at,
        findings=() if look is None else tuple(finding.sentence for finding in look.findings),
    )
