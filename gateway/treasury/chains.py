"""Chains: what our addresses hold at one final block, by the word of a quorum, and what the books say.

Coins are asked for where the books have some, and where a transfer of the time since the last comparison went: addresses
that are empty by both are left alone, however many there are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.chain.forwarders import NO_ADDRESS
from gateway.chain.queries import read_cursor
from gateway.chain.quorum import Quorum
from gateway.chain.terms import ChainTerms
from gateway.chain.watchlist import Watchlist
from gateway.chain.wire import NodeFault
from gateway.db.session import reading
from gateway.treasury import onchain
from gateway.treasury.books import Held
from gateway.treasury.chainbreaks import Ground, deposit_otherwise, difference, moved, vanished
from gateway.treasury.holdings import read_holdings
from gateway.treasury.movements import Movement, MovementScan, Stretch, deposits_not_there, unknown_movements
from gateway.treasury.report import FOUND_MOST, JOINED, SHOWN_MOST, Break, Comparison, Findings, Item, NotMade

BLOCKS_MOST = 1_000_000
"""Blocks whose transfers one run reads; a longer time without a reconciliation leaves a gap, and the report says so."""

Progress = Callable[[str], None]
Place = tuple[str, str]
"""An account of the ledger, and an asset's code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainSide:
    """One chain to compare: its nodes, and the addresses that the books speak of."""

    terms: ChainTerms
    quorum: Quorum
    watched: Watchlist
    wallet: str | None
    """The refund wallet, unless it is the treasury itself."""
    keys: frozenset[str]
    """Who pays gas."""

    @property
    def contracts(self) -> dict[str, str]:
        """Contracts by asset code; `NO_ADDRESS` for the native coin."""
        listed = {asset.code: token for token, asset in self.terms.tokens.items()}
        return listed | {self.terms.native.code: NO_ADDRESS}


@dataclass(slots=True, kw_only=True)
class Seen:
    """What the chain says, at the end of `block`."""

    block: int
    totals: dict[str, int] = field(default_factory=dict[str, int])
    """Units at deposit addresses that were asked, by asset code."""
    odd: dict[Place, int] = field(default_factory=dict[Place, int])
    """Where something else lies than should: units by (asset, address)."""
    own: dict[Place, int] = field(default_factory=dict[Place, int])
    """Units by (account, asset) at treasury, wallet and keys."""
    moves: list[Movement] = field(default_factory=list[Movement])
    """Transfers that were unknown when they were read."""
    otherwise: list[tuple[Row[Any], Movement | None]] = field(default_factory=list[tuple[Row[Any], Movement | None]])
    """Deposits of ours that the chain has otherwise, or not."""
    notes: list[str] = field(default_factory=list[str])


async def look_at_chain(
    engine: AsyncEngine,
    *,
    side: ChainSide,
    held: Mapping[Place, Held],
    since: int | None,
    carried: Sequence[Movement],
    progress: Progress,
) -> Seen | NotMade:
    """Ask the chain, with nothing open in the database meanwhile. `since`: the block of the last comparison."""
    check = f"chain:{side.terms.chain_id}"
    async with reading(engine) as connection:
        cursor = await read_cursor(connection, chain_id=side.terms.chain_id)
    if cursor is None:
        return NotMade(check=check, why="nobody has begun to watch this chain; `lastmile work` does")
    if cursor.halted is not None:
        return NotMade(check=check, why=f"the chain is halted: {cursor.halted}")
    try:
        block = min((await side.quorum.ends(beyond=0)).final, cursor.final.number)
        progress(f"chain {side.terms.name}: block {block}")
        seen = Seen(block=block)
        await _read_movements(engine, side, seen, since=since, carried=carried, progress=progress)
        await _read_addresses(engine, side, seen)
        await _read_own(side, seen, held)
    except NodeFault as fault:
        return NotMade(check=check, why=str(fault))
    return seen


async def compare_chain(connection: AsyncConnection, *, side: ChainSide, seen: Seen, held: Mapping[Place, Held]) -> Findings:
    """Compare what the chain said with the books, in the caller's snapshot."""
    chain_id, findings = side.terms.chain_id, Findings(notes=list(seen.notes))
    ground = Ground(terms=side.terms, block=seen.block, treasury=side.terms.treasury.lower(), wallet=side.wallet)
    flights = await onchain.in_flight(connection, chain_id=chain_id, block=seen.block, native=side.terms.native.code)
    gone = await onchain.vanished(connection, chain_id=chain_id, most=FOUND_MOST)
    unknown, ours = await unknown_movements(connection, chain_id=chain_id, moves=seen.moves)
    breaks = [vanished(ground, row) for row in gone]
    breaks += [deposit_otherwise(ground, row, move) for row, move in seen.otherwise]
    at_addresses = _changes_at_addresses(side, seen, unknown)
    breaks += await _odd_addresses(connection, ground, seen, at_addresses)
    explained: Counter[Place] = Counter()
    for one in breaks:
        explained[one.place, one.asset or ""] += one.effect
    for move in unknown[:FOUND_MOST]:
        one, by_place = moved(ground, move, ours=ours)
        breaks.append(one)
        explained.update(by_place)
    for comparison in _comparisons(side, seen, held, flights):
        findings.comparisons.append(comparison)
        place = comparison.place.partition(JOINED)[0]
        if rest := comparison.beyond(explained[place, comparison.asset.code]):
            breaks.append(difference(ground, comparison, rest))
    findings.found(f"chain:{chain_id}", breaks, all_of_them=max(len(unknown), len(gone) + 1) <= FOUND_MOST)
    findings.blocks[str(chain_id)] = seen.block
    return findings


def _changes_at_addresses(side: ChainSide, seen: Seen, unknown: Sequence[Movement]) -> Counter[Place]:
    """What the unknown transfers and the deposits that are otherwise changed, by (asset, address)."""
    changes: Counter[Place] = Counter()
    for move in unknown:
        code = side.terms.tokens[move.token].code
        changes[code, move.sender] -= move.units
        changes[code, move.recipient] += move.units
    for row, instead in seen.otherwise:
        changes[row.asset, row.address] -= int(row.units)
        if instead is not None:
            changes[side.terms.tokens[instead.token].code, instead.recipient] += instead.units
    return changes


async def _read_movements(
    engine: AsyncEngine, side: ChainSide, seen: Seen, *, since: int | None, carried: Sequence[Movement], progress: Progress
) -> None:
    chain_id, last = side.terms.chain_id, seen.block
    async with reading(engine) as connection:
        first = await onchain.first_deposit(connection, chain_id=chain_id) if since is None else since + 1
    if first is None or first > last:
        first = last + 1
    if last - first >= BLOCKS_MOST:
        seen.notes.append(f"chain:{chain_id}: transfers in blocks {first} to {last - BLOCKS_MOST} were not looked at")
        first = last - BLOCKS_MOST + 1
    own = {side.terms.treasury.lower(), *([side.wallet.lower()] if side.wallet else [])}
    scan = MovementScan(terms=side.terms, quorum=side.quorum, watched=side.watched, own=own)
    moves = {move.identity: move for move in carried}
    if first <= last:
        async for stretch in scan.read(first=first, last=last, progress=progress):
            for move in await _unknown(engine, side, seen, stretch):
                moves[move.identity] = move
    seen.moves = list(moves.values())


async def _unknown(engine: AsyncEngine, side: ChainSide, seen: Seen, stretch: Stretch) -> list[Movement]:
    both = {move.identity: move for move in (*stretch.deposits, *stretch.moves)}
    async with reading(engine) as connection:
        unknown, _ = await unknown_movements(connection, chain_id=side.terms.chain_id, moves=list(both.values()))
        seen.otherwise += await deposits_not_there(connection, terms=side.terms, stretch=stretch)
    return unknown


async def _read_addresses(engine: AsyncEngine, side: ChainSide, seen: Seen) -> None:
    """Ask for what lies at each deposit address that should have something, and where an unknown transfer went."""
    async with reading(engine) as connection:
        contracts = await onchain.stray_coins(connection, chain_id=side.terms.chain_id) | side.contracts
    asked: set[Place] = set()
    extra = {
        (side.terms.tokens[move.token].code, address) for move in seen.moves for address in (move.sender, move.recipient)
    }
    async for page in onchain.pages(engine, chain_id=side.terms.chain_id, block=seen.block):
        await _ask(side, seen, contracts, page)
        asked |= {(due.asset, due.address) for due in page} & extra
    async with reading(engine) as connection:
        ours = await onchain.owners(connection, addresses=[address for _, address in extra])
    rest = [onchain.Due(asset, address, 0) for asset, address in sorted(extra - asked) if address in ours]
    await _ask(side, seen, contracts, rest)


async def _ask(side: ChainSide, seen: Seen, contracts: Mapping[str, str], page: Sequence[onchain.Due]) -> None:
    by_asset: dict[str, list[onchain.Due]] = {}
    for due in page:
        by_asset.setdefault(due.asset, []).append(due)
    for asset, dues in by_asset.items():
        if asset not in contracts:
            raise NodeFault(f"{asset} isn't among the chain's coins in the settings, so nobody knows its contract")
        holders = [due.address for due in dues]
        found = await read_holdings(side.quorum, token=contracts[asset], holders=holders, block=seen.block)
        seen.totals[asset] = seen.totals.get(asset, 0) + sum(found)
        seen.odd |= {(due.asset, due.address): units for due, units in zip(dues, found, strict=True) if units != due.units}


async def _read_own(side: ChainSide, seen: Seen, held: Mapping[Place, Held]) -> None:
    """Ask for what treasury and wallet hold of each coin, and the keys of the native one."""
    chain_id, native = side.terms.chain_id, side.terms.native.code
    treasury = side.terms.treasury.lower()
    keys = sorted(key.lower() for key in side.keys)
    for asset, contract in side.contracts.items():
        places = {f"treasury:{chain_id}": [treasury], f"wallet:{chain_id}": [side.wallet.lower()] if side.wallet else []}
        if asset == native:
            # What a key holds of the native coin can't be told apart by accounts; a treasury is compared once it has one.
            places = {f"gas:{chain_id}": keys}
            if treasury not in keys and (f"treasury:{chain_id}", native) in held:
                places[f"treasury:{chain_id}"] = [treasury]
        for place, holders in places.items():
            if holders:
                found = await read_holdings(side.quorum, token=contract, holders=holders, block=seen.block)
                seen.own[place, asset] = sum(found)


async def _odd_addresses(
    connection: AsyncConnection, ground: Ground, seen: Seen, effects: Mapping[Place, int]
) -> list[Break]:
    """Addresses with another amount than the rows and the transfers that were found explain."""
    addresses = sorted({address for _, address in seen.odd})
    due = await onchain.due_at(connection, chain_id=ground.terms.chain_id, block=ground.block, addresses=addresses)
    owners = await onchain.owners(connection, addresses=addresses)
    breaks = []
    for (asset, address), units in sorted(seen.odd.items()):
        ours, sweeping = due.get((asset, address), (0, False))
        rest = units - ours - effects.get((asset, address), 0)
        if rest and not (sweeping and -ours <= rest < 0):
            breaks.append(ground.address_differs(asset, address, ours, units, rest, owners.get(address)))
    return breaks[:FOUND_MOST]


def _comparisons(
    side: ChainSide, seen: Seen, held: Mapping[Place, Held], flights: Sequence[onchain.Flight]
) -> list[Comparison]:
    chain_id, native = side.terms.chain_id, side.terms.native
    assets = {asset.code: asset for asset in (*side.terms.tokens.values(), native)}
    chain = f"chain:{chain_id}"
    assets |= {code: one.asset for (place, code), one in held.items() if place == chain}
    outside = {(chain, code): seen.totals.get(code, 0) for code in assets} | seen.own
    made = []
    for (place, code), units in sorted(outside.items()):
        accounts = [place]
        if code == native.code and place == f"gas:{chain_id}":
            accounts.append(f"wallet:{chain_id}")
            if side.terms.treasury.lower() in {key.lower() for key in side.keys}:
                accounts.append(f"treasury:{chain_id}")
        ledger = sum(held[account, code].units for account in accounts if (account, code) in held)
        here = [one for one in flights if one.asset == code and one.place in accounts]
        if units or ledger or here:
            made.append(_comparison(JOINED.join(accounts), assets[code], ledger, units, here))
    return made


def _comparison(place: str, asset: Any, ledger: int, outside: int, here: Sequence[onchain.Flight]) -> Comparison:
    return Comparison(
        place=place,
        asset=asset,
        ledger=ledger,
        outside=outside,
        low=sum(one.low for one in here),
        high=sum(one.high for one in here),
        items=tuple(Item(what=one.what, low=one.low, high=one.high) for one in here[:SHOWN_MOST]),
        count=len(here),
    )
