"""Looks at the contracts of our tokens again and again: one that isn't as it was, or can't be moved, freezes its asset.

What enough nodes say of a contract is compared with its baseline: what the first look found, or the last one before a person
lifted a freeze. A freeze opens an incident and stays until a person lifts it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.chain.quorum import Quorum, connect_all
from gateway.chain.registry import coin_at
from gateway.chain.terms import ChainTerms
from gateway.chain.tokens import QUESTIONS, SLOTS, Facts, is_contract, read_facts
from gateway.chain.wire import NodeFault
from gateway.clock import Clock
from gateway.db.session import reading, transaction
from gateway.ledger.freezes import FreezeKind, freeze_asset
from gateway.money import Asset
from gateway.operators.incidents import Alarm, open_incidents

RECEIVING_MOST = 5
"""Deposit addresses asked about in one look, of those that money is arriving at."""

_JUDGED_APART = {"decimals", "paused", "deprecated"}
"""Facts whose value is judged by itself; only that they are answered at all is compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Why an asset can't be worked with, in a sentence for operators."""

    kind: FreezeKind
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What the last look at a token found, beside what it is compared with."""

    asset: Asset
    baseline: Facts
    found: Facts
    found_at: datetime

    @property
    def findings(self) -> list[Finding]:
        """What is wrong with it."""
        return judge(asset=self.asset, found=self.found, baseline=self.baseline)


class TokenWatch:
    """The tokens of one chain. Any number of them, in any number of processes, may look at the same time."""

    def __init__(
        self,
        *,
        terms: ChainTerms,
        engine: AsyncEngine,
        clock: Clock,
        ours: Sequence[str],
        quorum: Quorum | None = None,
    ) -> None:
        """`ours`: our addresses that hold or move coins, at least one. `quorum`: absent, the chain's nodes are connected."""
        self._terms = terms
        self._engine = engine
        self._clock = clock
        self._ours = tuple(dict.fromkeys(address.lower() for address in ours))
        self._quorum = quorum

    async def step(self) -> int:
        """Look at every token once. Returns how many freezes that made. Raises `NodeFault` if the nodes don't agree.

        One that they don't agree on keeps no other from being looked at.
        """
        if self._quorum is None:
            # web3 takes a second to import: in a thread, so that pages and API answer meanwhile.
            self._quorum = await asyncio.to_thread(connect_all, self._terms)
        frozen, faults = 0, []
        for address, asset in self._terms.tokens.items():
            try:
                frozen += await self._look(self._quorum, address, asset)
            except NodeFault as fault:
                faults.append(fault)
        if faults:
            raise faults[0]
        return frozen

    async def attend(self, _bell: asyncio.Event) -> None:
        """Run beside the steps; when cancelled, close the connections."""
        try:
            await asyncio.Event().wait()
        finally:
            if self._quorum is not None:
                await self._quorum.close()

    async def _look(self, quorum: Quorum, address: str, asset: Asset) -> int:
        async with reading(self._engine) as connection:
            before = await last_look(connection, asset=asset)
            receiving = await _receiving(connection, chain_id=self._terms.chain_id)
        ours = [*self._ours, *receiving]
        slots = list(SLOTS) if before is None or before.findings else [slot for slot in SLOTS if slot in before.baseline]
        found = await quorum.agreed(lambda node: read_facts(node, address=address, ours=ours, slots=slots))
        async with transaction(self._engine, point="tokenwatch.take") as connection:
            return await _take(connection, asset=asset, found=found, now=self._clock())


def judge(*, asset: Asset, found: Facts, baseline: Facts) -> list[Finding]:
    """What is wrong with a token, without I/O: one finding of a kind at most."""
    sentences: dict[FreezeKind, list[str]] = {}
    for kind, sentence in _wrong(asset, found, baseline):
        sentences.setdefault(kind, []).append(sentence)
    return [Finding(kind=kind, sentence=" ".join(lines)) for kind, lines in sentences.items()]


def _wrong(asset: Asset, found: Facts, baseline: Facts) -> Iterator[tuple[FreezeKind, str]]:
    contract = f"the contract of {asset.code} at {found['address']}"
    if not is_contract(found):
        yield FreezeKind.CHANGED, f"There is no contract at {found['address']}, where {asset.code} should be."
        return
    if found.get("decimals") != str(asset.decimals):
        says = found.get("decimals", "no number")
        yield FreezeKind.CHANGED, f"Asked for its decimals, {contract} says {says}; the ledger counts {asset.decimals}."
    if _is_set(found, "paused"):
        yield FreezeKind.PAUSED, f"Its issuer has paused {contract}: nobody can move the coin."
    if _is_set(found, "deprecated"):
        yield FreezeKind.REPLACED, f"Its issuer has replaced {contract} by {found.get('replaced by', 'another')}."
    for address in found["blocked"].split():
        if address not in baseline["blocked"].split():
            yield FreezeKind.BLOCKED, f"Its issuer has blocked our address {address} in {contract}."
    yield from ((FreezeKind.CHANGED, f"Of {contract}, {change}.") for change in _changes(found, baseline))
    yield from (
        (FreezeKind.CHANGED, f"As {kind}, {contract} should answer {lacks}.") for kind, lacks in _lacks(asset, found)
    )


def _changes(found: Facts, baseline: Facts) -> Iterator[str]:
    for name in sorted({*found, *baseline} - {"blocked"}):
        was, now = baseline.get(name), found.get(name)
        if was != now and (name not in _JUDGED_APART or None in (was, now)):
            yield f"{name} was {was or 'nothing'} and is {now or 'nothing'}"


def _lacks(asset: Asset, found: Facts) -> Iterator[tuple[str, str]]:
    """(kind, function) for each function that the registry promises of the coin and that isn't answered."""
    coin = coin_at(chain_id=int(asset.code.partition("@")[2]), address=found["address"])
    answered = {QUESTIONS[name] for name in found if name in QUESTIONS} | set(found["blocklist"].split())
    for signature in () if coin is None else coin.answers:
        if coin is not None and signature not in answered:
            yield coin.kind, signature


def _is_set(facts: Facts, name: str) -> bool:
    return facts.get(name, "0") != "0"


_LAST = "SELECT baseline, found, found_at FROM token_looks WHERE asset = :asset"
_READ, _READ_LOCKED = text(_LAST), text(f"{_LAST} FOR UPDATE")
_FIRST = text("""
INSERT INTO token_looks (asset, baseline, found, found_at)
VALUES (:asset, CAST(:baseline AS jsonb), CAST(:found AS jsonb), :now) ON CONFLICT (asset) DO NOTHING
""")
_NEXT = text("UPDATE token_looks SET found = CAST(:found AS jsonb), found_at = :now WHERE asset = :asset")
_RECEIVING = text("""
SELECT address FROM deposits WHERE chain_id = :chain_id AND status = 'seen' ORDER BY block_number DESC LIMIT :most
""")


async def last_look(connection: AsyncConnection, *, asset: Asset, lock: bool = False) -> Look | None:
    """What the last look at a token found; None: there was none. `lock`: nobody else changes it in this transaction."""
    row = (await connection.execute(_READ_LOCKED if lock else _READ, {"asset": asset.code})).one_or_none()
    return None if row is None else Look(asset=asset, baseline=row.baseline, found=row.found, found_at=row.found_at)


async def _take(connection: AsyncConnection, *, asset: Asset, found: Facts, now: datetime) -> int:
    """Keep what a look found and freeze the asset for what is wrong. Returns how many freezes are new."""
    # Nothing blocked is taken for good unseen, not even at the first look.
    first = {"baseline": json.dumps({**found, "blocked": ""})}
    row = {"asset": asset.code, "found": json.dumps(dict(found)), "now": now}
    await connection.execute(_FIRST, {**row, **first})
    # Judged under the row's lock: a person may have lifted the freeze while the nodes were asked.
    look = await last_look(connection, asset=asset, lock=True)
    assert look is not None
    await connection.execute(_NEXT, row)
    frozen = 0
    for finding in judge(asset=asset, found=found, baseline=look.baseline):
        made = await freeze_asset(connection, asset=asset.code, kind=finding.kind, reason=finding.sentence, now=now)
        if made is not None:
            frozen += 1
            await open_incidents(connection, alarms=[_alarm(made, asset, finding)], now=now)
    return frozen


def _alarm(freeze: int, asset: Asset, finding: Finding) -> Alarm:
    detail: Mapping[str, str] = {"asset": asset.code, "freeze": finding.kind, "reason": finding.sentence}
    return Alarm(f"freeze:{freeze}", "asset_frozen", None, detail)


async def _receiving(connection: AsyncConnection, *, chain_id: int) -> list[str]:
    """A few of our deposit addresses that money is arriving at: some tokens let it in and never out again."""
    rows = await connection.execute(_RECEIVING, {"chain_id": chain_id, "most": RECEIVING_MOST})
    return sorted(set(rows.scalars()))
