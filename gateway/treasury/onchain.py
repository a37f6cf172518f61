"""What the rows of one chain say should lie where, at the end of one block."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.db.session import reading

PAGE = 100_000
"""Addresses in memory at once."""

# What a person booked of an address belongs there from then on. A stray may have become a deposit when its coin was listed
# and its blocks were scanned again.
_MOVES = """
    SELECT address, asset, units FROM deposits
    WHERE chain_id = :chain_id AND status IN ('seen', 'final') AND vanished_at IS NULL AND block_number <= :block
    UNION ALL
    SELECT s.address, s.asset, s.units FROM strays AS s
    WHERE s.chain_id = :chain_id AND s.asset IS NOT NULL AND s.block_number <= :block AND NOT EXISTS (
        SELECT FROM deposits AS d WHERE d.chain_id = s.chain_id AND s.identity = d.tx_hash || '\\:' || d.log_index)
    UNION ALL
    SELECT address, asset, -sent FROM sweep_items
    WHERE chain_id = :chain_id AND state = 'flushed' AND asset IS NOT NULL AND block_number <= :block
    UNION ALL
    SELECT detail ->> 'address', asset, effect FROM reconciliation_breaks
    WHERE kind = 'address_differs' AND closed_because = 'booked' AND place = 'chain\\:' || :chain_id
"""
_SWEEPING = """EXISTS (SELECT FROM sweep_items AS i JOIN sweeps AS w ON w.id = i.sweep_id
    WHERE i.chain_id = :chain_id AND i.address = m.address AND i.state = 'open' AND w.reference IS NOT NULL)"""
_PAGE = text(f"""
SELECT m.asset, m.address, sum(m.units) AS units FROM ({_MOVES}) AS m
WHERE (m.asset, m.address) > (:after_asset, :after_address)
GROUP BY m.asset, m.address HAVING sum(m.units) <> 0 ORDER BY m.asset, m.address LIMIT :most
""")  # noqa: S608 - composed of our own text only
_SOME = text(f"""
SELECT m.asset, m.address, sum(m.units) AS units, bool_or({_SWEEPING}) AS sweeping
FROM ({_MOVES}) AS m WHERE m.address = ANY(CAST(:addresses AS text[])) GROUP BY m.asset, m.address
""")  # noqa: S608 - composed of our own text only
_OWNERS = text("SELECT address, owner FROM deposit_addresses WHERE address = ANY(CAST(:addresses AS text[]))")
_ASSETS = text("""
SELECT DISTINCT asset, token FROM strays WHERE chain_id = :chain_id AND asset IS NOT NULL
""")
_FIRST = text("SELECT min(block_number) FROM deposits WHERE chain_id = :chain_id")

# Each row changes what the books say of a place, or will: between `low` and `high`, in units.
_PLACES = "unnest(ARRAY['chain\\:' || :chain_id, 'treasury\\:' || :chain_id])"
_FLIGHT = text(f"""
SELECT 'chain\\:' || :chain_id AS place, asset, 'deposit ' || tx_hash || ' log ' || log_index || ' isn''t booked' AS what,
    units AS low, units AS high
FROM deposits WHERE chain_id = :chain_id AND status IN ('seen', 'final') AND vanished_at IS NULL AND block_number <= :block
AND booked IS DISTINCT FROM 'final'
UNION ALL
SELECT 'chain\\:' || :chain_id, asset, 'deposit ' || tx_hash || ' log ' || log_index || ' came later', -units, -units
FROM deposits WHERE chain_id = :chain_id AND booked = 'final' AND vanished_at IS NULL AND block_number > :block
UNION ALL
SELECT 'chain\\:' || :chain_id, asset, 'stray ' || identity || ' came later', -units, -units
FROM strays WHERE chain_id = :chain_id AND asset IS NOT NULL AND block_number > :block
UNION ALL
SELECT {_PLACES}, asset, 'sweep ' || tx_hash || ' came later', unnest(ARRAY[sent, -arrived]), unnest(ARRAY[sent, -arrived])
FROM sweep_items WHERE chain_id = :chain_id AND state = 'flushed' AND asset IS NOT NULL AND block_number > :block
UNION ALL
SELECT {_PLACES}, m.asset, 'a sweep of ' || m.address || ' is under way',
    unnest(ARRAY[-sum(m.units), 0]), unnest(ARRAY[0, sum(m.units)])
FROM ({_MOVES}) AS m WHERE {_SWEEPING} GROUP BY m.asset, m.address HAVING sum(m.units) > 0
UNION ALL
SELECT r.wallet, r.asset, 'refund ' || r.id || ' is under way', -r.units, 0 FROM refunds AS r
WHERE r.chain_id = :chain_id AND r.closed_at IS NULL AND r.wallet IS NOT NULL
UNION ALL
SELECT r.wallet, r.asset, 'refund ' || r.id || ' came later', r.units, r.units
FROM refunds AS r JOIN chain_transactions AS t ON t.reference = r.id
WHERE r.chain_id = :chain_id AND r.outcome = 'paid' AND t.block_number > :block
UNION ALL
SELECT l.facts ->> 'wallet', l.gave_asset, 'leg ' || l.id || ' is under way', -l.gave_units, 0 FROM legs AS l
WHERE l.on_chain AND l.facts ->> 'chain' = CAST(:chain_id AS text) AND l.closed_at IS NULL
UNION ALL
SELECT l.facts ->> 'wallet', l.gave_asset, 'leg ' || l.id || ' came later', l.gave_units, l.gave_units
FROM legs AS l JOIN chain_transactions AS t ON t.reference = l.id
WHERE l.on_chain AND t.chain_id = :chain_id AND l.outcome = 'paid' AND t.block_number > :block
UNION ALL
SELECT 'gas\\:' || :chain_id, CAST(:native AS text), 'the fee of ' || hash || ' isn''t booked', -fee_units, -fee_units
FROM chain_transactions WHERE chain_id = :chain_id AND state = 'mined' AND block_number <= :block
UNION ALL
SELECT 'gas\\:' || :chain_id, CAST(:native AS text), 'the fee of ' || hash || ' came later', fee_units, fee_units
FROM chain_transactions WHERE chain_id = :chain_id AND state IN ('succeeded', 'reverted') AND block_number > :block
UNION ALL
SELECT 'gas\\:' || :chain_id, CAST(:native AS text), 'transaction ' || t.id || ' may be mined already',
    -t.gas_limit * max(s.fee_per_gas), 0
FROM chain_transactions AS t JOIN chain_transaction_sends AS s ON s.transaction_id = t.id
WHERE t.chain_id = :chain_id AND t.state = 'sending' GROUP BY t.id
""")  # noqa: S608 - composed of our own text only
_VANISHED = text("""
SELECT d.chain_id, d.tx_hash, d.log_index, d.asset, a.decimals, d.units, d.vanished_at, w.owner FROM deposits AS d
JOIN assets AS a ON a.code = d.asset JOIN deposit_addresses AS w ON w.address = d.address
WHERE d.chain_id = :chain_id AND d.booked = 'final' AND d.vanished_at IS NOT NULL AND NOT EXISTS (
    SELECT FROM journal_entries WHERE cause = concat_ws('\\:', 'booked\\:deposit', d.chain_id, d.tx_hash, d.log_index))
ORDER BY d.tx_hash, d.log_index LIMIT :most
""")


class Due(NamedTuple):
    """What should lie at one address."""

    asset: str
    address: str
    units: int


class Flight(NamedTuple):
    """Something in flight at a place."""

    place: str
    asset: str
    what: str
    low: int
    high: int


async def pages(engine: AsyncEngine, *, chain_id: int, block: int) -> AsyncIterator[list[Due]]:
    """What should lie at deposit addresses at the end of a final block, without those that should be empty."""
    asset = address = ""
    while True:
        values = {"chain_id": chain_id, "block": block, "after_asset": asset, "after_address": address, "most": PAGE}
        async with reading(engine) as connection:
            rows = (await connection.execute(_PAGE, values)).all()
        if rows:
            yield [Due(row.asset, row.address, int(row.units)) for row in rows]
            asset, address = rows[-1].asset, rows[-1].address
        if len(rows) < PAGE:
            return


async def due_at(
    connection: AsyncConnection, *, chain_id: int, block: int, addresses: Sequence[str]
) -> dict[tuple[str, str], tuple[int, bool]]:
    """What should lie at some addresses, by (asset, address), and whether a sweep of it is under way."""
    values = {"chain_id": chain_id, "block": block, "addresses": list(addresses)}
    rows = await connection.execute(_SOME, values)
    return {(row.asset, row.address): (int(row.units), row.sweeping) for row in rows}


async def owners(connection: AsyncConnection, *, addresses: Sequence[str]) -> dict[str, str]:
    """The orders that deposit addresses were made for."""
    return {row.address: row.owner for row in await connection.execute(_OWNERS, {"addresses": list(addresses)})}


async def stray_coins(connection: AsyncConnection, *, chain_id: int) -> dict[str, str]:
    """Contracts of coins that were booked without being listed, by asset code."""
    return {row.asset: row.token for row in await connection.execute(_ASSETS, {"chain_id": chain_id})}


async def first_deposit(connection: AsyncConnection, *, chain_id: int) -> int | None:
    """The block of the first deposit that we know of."""
    number: int | None = (await connection.execute(_FIRST, {"chain_id": chain_id})).scalar_one()
    return number


async def in_flight(connection: AsyncConnection, *, chain_id: int, block: int, native: str) -> list[Flight]:
    """All that is booked and wasn't there at the end of `block`, or was there, or may have been, and isn't booked."""
    rows = await connection.execute(_FLIGHT, {"chain_id": chain_id, "block": block, "native": native})
    return [Flight(row.place, row.asset, row.what, int(row.low), int(row.high)) for row in rows]


async def vanished(connection: AsyncConnection, *, chain_id: int, most: int) -> list[Row[Any]]:
    """Deposits that are booked as final, aren't in the chain any more, and whose loss isn't booked."""
    return list((await connection.execute(_VANISHED, {"chain_id": chain_id, "most": most})).all())
