"""Write down what was found at deposit addresses: once each, and on the ledger where somebody vouches for the coin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.chain.forwarders import NO_ADDRESS
from gateway.ledger.post import Entry, Transfer, post, register_assets
from gateway.money import Asset, Money
from gateway.operators.incidents import Alarm, open_incidents
from gateway.orders.postings import UNALLOCATED

STRAY = "stray"
"""Template of the entries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Something that arrived. Hex in lower case."""

    identity: str
    """Of this thing on its chain: found again, it is the same."""
    address: str
    token: str
    """The contract; the zero address for the native coin."""
    sender: str | None
    """None: the native coin doesn't say."""
    units: int
    block_number: int


class Counted(NamedTuple):
    """The native coin of one address, as known here, in its smallest unit."""

    swept: int
    """What sweeps took from it up to the block in question."""
    booked: int
    """All that was ever found to have arrived."""
    last: int
    """The block at which something was last found."""


_PUT = text("""
WITH found AS (
    SELECT * FROM unnest(CAST(:identities AS text[]), CAST(:addresses AS text[]), CAST(:tokens AS text[]),
        CAST(:assets AS text[]), CAST(:senders AS text[]), CAST(CAST(:units AS text[]) AS numeric[]),
        CAST(:blocks AS bigint[]))
        AS f (identity, address, token, asset, sender, units, block_number)
), put AS (
    INSERT INTO strays (chain_id, identity, address, token, asset, sender, units, block_number, found_at)
    SELECT :chain_id, identity, address, token, asset, sender, units, block_number, :now FROM found
    ON CONFLICT (chain_id, identity) DO NOTHING
    RETURNING identity, address, asset, units
)
SELECT put.identity, put.asset, put.units, w.owner FROM put JOIN deposit_addresses AS w USING (address) ORDER BY identity
""")
_LOCK_ORDERS = text("SELECT FROM orders WHERE id = ANY(CAST(:ids AS text[])) ORDER BY id FOR UPDATE")
# Two that count at once would each book the difference to what is booked.
_LOCK_COUNTING = text("SELECT FROM stray_cursors WHERE chain_id = :chain_id FOR UPDATE")
_COUNTED = text("""
SELECT a.address, COALESCE(s.booked, 0) AS booked, COALESCE(s.last, 0) AS last,
    COALESCE((SELECT sum(sent) FROM sweep_items AS i WHERE i.chain_id = :chain_id AND i.address = a.address
              AND i.token = :native AND i.state = 'flushed' AND i.block_number <= :block), 0) AS swept
FROM unnest(CAST(:addresses AS text[])) AS a (address)
LEFT JOIN LATERAL (SELECT sum(units) AS booked, max(block_number) AS last FROM strays
                   WHERE chain_id = :chain_id AND address = a.address AND token = :native) AS s ON true
WHERE NOT EXISTS (SELECT FROM sweep_items AS i WHERE i.chain_id = :chain_id AND i.address = a.address
                  AND i.token = :native AND i.state = 'open')
""")


async def keep(
    connection: AsyncConnection, *, chain_id: int, found: Sequence[Found], known: Mapping[str, Asset], now: datetime
) -> int:
    """Write down what is new, and book it where `known`, by contract, has its asset. Returns how many were new."""
    if not found:
        return 0
    assets = [known.get(one.token) for one in found]
    coins = {asset.code: asset for asset in assets if asset}
    await register_assets(connection, assets=coins.values())
    columns = {
        "identities": [one.identity for one in found],
        "addresses": [one.address for one in found],
        "tokens": [one.token for one in found],
        "assets": [asset and asset.code for asset in assets],
        "senders": [one.sender for one in found],
        "units": [str(one.units) for one in found],
        "blocks": [one.block_number for one in found],
    }
    rows = (await connection.execute(_PUT, {**columns, "chain_id": chain_id, "now": now})).all()
    booked = [row for row in rows if row.asset is not None]
    # Whoever changes an order's money locks the order first.
    await connection.execute(_LOCK_ORDERS, {"ids": sorted({row.owner for row in booked})})
    entries = [
        # The cause that a deposit has: should the coin be taken one day and its blocks scanned again, it isn't booked twice.
        Entry(
            f"deposit:{chain_id}:{row.identity}",
            STRAY,
            (Transfer(f"chain:{chain_id}", f"order:{row.owner}:{UNALLOCATED}", Money(int(row.units), coins[row.asset])),),
            row.owner,
        )
        for row in booked
    ]
    await post(connection, entries=entries, now=now)
    return len(rows)


async def count_natives(
    connection: AsyncConnection, *, chain_id: int, present: Mapping[str, int], block: int
) -> dict[str, Counted]:
    """What is known of the native coin at the addresses of `present`, which was read at `block` before this is asked.

    An address that is being swept is left out: what was taken from it is known only when that is over. Nobody else counts
    on this chain until the caller's transaction ends.
    """
    await connection.execute(_LOCK_COUNTING, {"chain_id": chain_id})
    values = {"chain_id": chain_id, "addresses": list(present), "native": NO_ADDRESS, "block": block}
    rows = await connection.execute(_COUNTED, values)
    return {row.address: Counted(swept=int(row.swept), booked=int(row.booked), last=row.last) for row in rows}


def native_arrival(*, address: str, present: int, counted: Counted, block: int) -> Found | None:
    """What has arrived of the native coin since it was last booked: what is there and what was swept, less what is booked.

    Its identity is the sum of all that ever arrived, so that the same look taken twice finds one thing.
    """
    ever = present + counted.swept
    if ever <= counted.booked:
        return None
    return Found(
        identity=f"native:{address}:{ever}",
        address=address,
        token=NO_ADDRESS,
        sender=None,
        units=ever - counted.booked,
        block_number=block,
    )


async def alarm_missing(
    connection: AsyncConnection,
    *,
    chain_id: int,
    present: Mapping[str, int],
    counted: Mapping[str, Counted],
    block: int,
    now: datetime,
) -> None:
    """Where less is than should be, tell a person: only the treasury can have got it, but by somebody else's hand."""
    missing = {
        address: known.booked - known.swept - present[address] for address, known in counted.items() if known.last <= block
    }
    alarms = [
        Alarm(
            f"native_gone:{chain_id}:{address}:{counted[address].booked}:{units}",
            "native_coin_gone",
            None,
            {"chain_id": str(chain_id), "address": address, "units": str(units)},
        )
        for address, units in missing.items()
        if units > 0
    ]
    await open_incidents(connection, alarms=alarms, now=now)
