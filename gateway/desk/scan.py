"""Look at one deposit address on a chain now: for who says "I sent it, but on the wrong network"."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.chain.forwarders import NO_ADDRESS
from gateway.chain.queries import read_cursor
from gateway.chain.quorum import Quorum, connect_all
from gateway.chain.strays import native_balances, token_balances
from gateway.chain.terms import ChainTerms
from gateway.clock import Clock
from gateway.db.session import transaction
from gateway.desk.strays import StraySearch, known_coins
from gateway.errors import Refusal
from gateway.money import Money

BLOCKS = 20_000
"""How far back is looked for transfers unless told otherwise; what lies there is seen however old it is."""


class NotOurs(Refusal):
    """Nobody was ever told to pay there."""

    code = "not_ours"

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} is neither an order of ours nor a deposit address; copy it from the order's page.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What was seen of an address on one chain."""

    chain: str
    block: int | None
    """The final block that was looked at; None: the chain's watcher hasn't begun, so nothing is known to be final."""
    new: int = 0
    """Things found that weren't known; `lastmile deposits unmatched` lists them now."""
    holds: tuple[Money, ...] = ()
    """Coins that lie there, of those with a name: taken ones too, whose deposits the watcher books."""


_ADDRESS = text("""
SELECT address FROM deposit_addresses WHERE address = lower(:what) OR owner = :what
""")


async def address_of(connection: AsyncConnection, *, what: str) -> str:
    """The deposit address (lower case) that an order's id or an address stands for. Raises `NotOurs`."""
    found = (await connection.execute(_ADDRESS, {"what": what})).scalar_one_or_none()
    if found is None:
        raise NotOurs(what)
    return str(found)


async def look_at(
    engine: AsyncEngine,
    *,
    terms: ChainTerms,
    address: str,
    clock: Clock,
    blocks: int = BLOCKS,
    connect: Callable[[ChainTerms], Quorum] = connect_all,
) -> Look:
    """Look at an address (lower case) on one chain, up to its last final block. Raises `NodeFault`."""
    async with transaction(engine) as connection:
        cursor = await read_cursor(connection, chain_id=terms.chain_id)
    if cursor is None:
        return Look(chain=terms.name, block=None)
    last = cursor.final.number
    quorum = await asyncio.to_thread(connect, terms)
    try:
        search = StraySearch(terms=terms, quorum=quorum, engine=engine, clock=clock)
        new = await search.look(address=address, first=max(last - blocks + 1, 0), last=last)
        named = {**terms.tokens, **known_coins(terms)}
        tokens = [contract for contract in named if contract != NO_ADDRESS]
        held = dict(await token_balances(quorum, holder=address, tokens=tokens, block=last))
        held[NO_ADDRESS] = (await native_balances(quorum, of=[address], block=last))[address]
    finally:
        await quorum.close()
    holds = tuple(Money(units, named[contract]) for contract, units in held.items() if units)
    return Look(chain=terms.name, block=last, new=new, holds=holds)
