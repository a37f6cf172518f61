"""Rows of sweeps: candidates, orders to sweep, what came of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.chain.accounts import Receipt
from gateway.chain.sweep import Flush, Holding
from gateway.db.session import wake
from gateway.ids import new_id
from gateway.ledger.post import Entry, Transfer, post
from gateway.money import Asset
from gateway.operators.incidents import Alarm, open_incidents

CANDIDATES = 500
"""Holdings that one plan looks at, the largest first."""
REFUSED_REST = timedelta(days=1)
"""How long a coin that refused to move is left alone; a person may try at any time."""
OPEN_MOST = 20

_CANDIDATES = text("""
SELECT d.address, w.salt, w.owner, d.asset, sum(d.units) AS units,
    EXISTS (SELECT FROM sweep_items AS i
        WHERE i.chain_id = :chain_id AND i.address = d.address AND i.state IN ('flushed', 'failed')) AS stands
FROM deposits AS d
JOIN deposit_addresses AS w ON w.address = d.address AND lower(w.factory) = :factory
JOIN assets AS a ON a.code = d.asset
WHERE d.chain_id = :chain_id AND d.status = 'final' AND d.vanished_at IS NULL
AND d.asset = ANY(CAST(:assets AS text[])) AND NOT EXISTS (
    SELECT FROM sweep_items AS i
    WHERE i.chain_id = d.chain_id AND i.address = d.address AND i.asset = d.asset AND (
        i.state = 'open'
        OR i.state = 'flushed' AND (i.block_number, i.log_index) > (d.block_number, d.log_index)
        OR i.state = 'failed' AND i.updated_at > :rested))
GROUP BY d.address, w.salt, w.owner, d.asset, a.decimals
ORDER BY sum(d.units) / power(10\\:\\:numeric, a.decimals) DESC, d.address
LIMIT :most
""")
_NAMED = text("""
SELECT address, salt, owner, factory, EXISTS (SELECT FROM sweep_items AS i
    WHERE i.chain_id = :chain_id AND i.address = w.address AND i.state IN ('flushed', 'failed')) AS stands
FROM deposit_addresses AS w WHERE address = ANY(CAST(:addresses AS text[])) OR owner = ANY(CAST(:owners AS text[]))
""")
_DUE = text("""
INSERT INTO sweep_schedules (chain_id, due_at, said) VALUES (:chain_id, :again, '')
ON CONFLICT (chain_id) DO UPDATE SET due_at = excluded.due_at WHERE sweep_schedules.due_at <= :now
""")
_SAID = text("UPDATE sweep_schedules SET due_at = :next, said = :said WHERE chain_id = :chain_id")
_PUT_SWEEP = text("""
INSERT INTO sweeps (id, chain_id, operator, created_at) VALUES (:id, :chain_id, :operator, :now)
""")
_DROP_SWEEP = text("DELETE FROM sweeps WHERE id = :id")
_PUT_ITEMS = text("""
INSERT INTO sweep_items (sweep_id, chain_id, address, token, state, asset, updated_at)
SELECT :id, :chain_id, address, token, 'open', asset, :now
FROM unnest(CAST(:addresses AS text[]), CAST(:tokens AS text[]), CAST(:assets AS text[])) AS h (address, token, asset)
ON CONFLICT (chain_id, address, token) WHERE state = 'open' DO NOTHING
""")
_WAITING = text("""
SELECT s.id, i.address, i.token, i.asset, w.salt, w.owner FROM sweeps AS s
JOIN sweep_items AS i ON i.sweep_id = s.id JOIN deposit_addresses AS w ON w.address = i.address
WHERE s.chain_id = :chain_id AND s.closed_at IS NULL AND s.reference IS NULL ORDER BY s.created_at, s.id, i.address
""")
_LAUNCHED = text("UPDATE sweeps SET reference = :reference WHERE id = :id AND reference IS NULL AND closed_at IS NULL")
_OVER = text("""
SELECT s.id, t.state, t.hash, t.reason FROM sweeps AS s JOIN chain_transactions AS t ON t.reference = s.reference
WHERE s.chain_id = :chain_id AND s.closed_at IS NULL AND t.state IN ('succeeded', 'reverted', 'displaced', 'refused')
ORDER BY s.created_at LIMIT :most
""")
_OURS = text("SELECT address FROM deposit_addresses WHERE address = ANY(CAST(:addresses AS text[]))")
_CLOSE = text("UPDATE sweeps SET closed_at = :now, outcome = :outcome WHERE id = :id AND closed_at IS NULL")
_NOTHING = text("UPDATE sweep_items SET state = 'nothing', updated_at = :now WHERE sweep_id = :id AND state = 'open'")
_FLUSHED = text("""
INSERT INTO sweep_items (sweep_id, chain_id, address, token, state, asset, sent, arrived, tx_hash, log_index, block_number,
    updated_at)
VALUES (:id, :chain_id, :address, :token, :state, :asset, :sent, :arrived, :tx_hash, :log_index, :block_number, :now)
ON CONFLICT (sweep_id, address, token) DO UPDATE
SET state = excluded.state, asset = excluded.asset, sent = excluded.sent, arrived = excluded.arrived,
    tx_hash = excluded.tx_hash, log_index = excluded.log_index, block_number = excluded.block_number,
    updated_at = excluded.updated_at
""")
_DEPLOYMENTS = text("SELECT state FROM chain_transactions WHERE chain_id = :chain_id AND starts_with(reference, :prefix)")
_STATUS = text("""
SELECT s.id, s.chain_id, s.created_at, s.operator, s.outcome, t.state, t.hash, t.reason,
    count(i.*) AS items, count(i.*) FILTER (WHERE i.state = 'failed') AS failed
FROM sweeps AS s
LEFT JOIN chain_transactions AS t ON t.reference = s.reference
LEFT JOIN sweep_items AS i ON i.sweep_id = s.id
GROUP BY s.id, t.id ORDER BY s.closed_at IS NOT NULL, s.created_at DESC, s.id LIMIT :most
""")
_SCHEDULES = text("SELECT chain_id, due_at, said FROM sweep_schedules ORDER BY chain_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A deposit address of ours."""

    address: str
    salt: bytes
    owner: str
    factory: str
    stands: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Over:
    """A sweep whose transaction is decided."""

    id: str
    state: str
    hash: str | None
    reason: str | None


async def candidates(
    connection: AsyncConnection, *, chain_id: int, factory: str, tokens: Mapping[str, Asset], now: datetime
) -> list[Holding]:
    """Final money at deposit addresses that no sweep has taken, the most first. `held` isn't known yet."""
    by_code = {asset.code: (token, asset) for token, asset in tokens.items()}
    parameters = {"chain_id": chain_id, "factory": factory.lower(), "assets": list(by_code), "most": CANDIDATES}
    rows = await connection.execute(_CANDIDATES, {**parameters, "rested": now - REFUSED_REST})
    return [
        Holding(
            address=row.address,
            salt=bytes.fromhex(row.salt),
            owner=row.owner,
            token=by_code[row.asset][0],
            asset=by_code[row.asset][1],
            booked=int(row.units),
            stands=row.stands,
        )
        for row in rows
    ]


async def named(
    connection: AsyncConnection, *, chain_id: int, addresses: Sequence[str], owners: Sequence[str]
) -> list[Named]:
    """Our deposit addresses among these, and those of these orders."""
    parameters = {"chain_id": chain_id, "addresses": [a.lower() for a in addresses], "owners": list(owners)}
    rows = await connection.execute(_NAMED, parameters)
    return [
        Named(address=row.address, salt=bytes.fromhex(row.salt), owner=row.owner, factory=row.factory, stands=row.stands)
        for row in rows
    ]


async def claim_plan(connection: AsyncConnection, *, chain_id: int, again: datetime, now: datetime) -> bool:
    """Whether it is our turn to plan now. If we die over it, it is due at `again`."""
    return (await connection.execute(_DUE, {"chain_id": chain_id, "again": again, "now": now})).rowcount == 1


async def planned(connection: AsyncConnection, *, chain_id: int, following: datetime, said: str) -> None:
    """Planned; next time at `following`."""
    await connection.execute(_SAID, {"chain_id": chain_id, "next": following, "said": said})


async def order_sweep(
    connection: AsyncConnection, *, chain_id: int, holdings: Sequence[Holding], operator: str | None, now: datetime
) -> str | None:
    """Order one sweep; gives its id. Holdings that another open sweep takes are left to it; None: all are."""
    sweep_id = new_id("swp", now=now)
    await connection.execute(_PUT_SWEEP, {"id": sweep_id, "chain_id": chain_id, "operator": operator, "now": now})
    rows = {
        "addresses": [holding.address for holding in holdings],
        "tokens": [holding.token for holding in holdings],
        "assets": [holding.asset and holding.asset.code for holding in holdings],
    }
    put = await connection.execute(_PUT_ITEMS, {"id": sweep_id, "chain_id": chain_id, "now": now, **rows})
    if put.rowcount == 0:
        await connection.execute(_DROP_SWEEP, {"id": sweep_id})
        return None
    await wake(connection, "sweeps")
    return sweep_id


async def put_adopted(connection: AsyncConnection, *, chain_id: int, operator: str, now: datetime) -> str:
    """A sweep for what somebody else has swept already; gives its id."""
    sweep_id = new_id("swp", now=now)
    await connection.execute(_PUT_SWEEP, {"id": sweep_id, "chain_id": chain_id, "operator": operator, "now": now})
    return sweep_id


async def waiting(connection: AsyncConnection, *, chain_id: int, tokens: Mapping[str, Asset]) -> dict[str, list[Holding]]:
    """Sweeps that have no transaction yet."""
    found: dict[str, list[Holding]] = {}
    for row in await connection.execute(_WAITING, {"chain_id": chain_id}):
        holding = Holding(
            address=row.address,
            salt=bytes.fromhex(row.salt),
            owner=row.owner,
            token=row.token,
            asset=tokens.get(row.token),
            booked=0,
        )
        found.setdefault(row.id, []).append(holding)
    return found


async def launched(connection: AsyncConnection, *, sweep_id: str, reference: str) -> bool:
    """Its transaction is queued. False: another worker did it."""
    return (await connection.execute(_LAUNCHED, {"id": sweep_id, "reference": reference})).rowcount == 1


async def deployments(connection: AsyncConnection, *, chain_id: int, prefix: str) -> list[str]:
    """The states of all transactions whose reference begins with `prefix`."""
    rows = await connection.execute(_DEPLOYMENTS, {"chain_id": chain_id, "prefix": prefix})
    return list(rows.scalars())


async def over(connection: AsyncConnection, *, chain_id: int) -> list[Over]:
    """Open sweeps whose transactions are decided."""
    rows = await connection.execute(_OVER, {"chain_id": chain_id, "most": OPEN_MOST})
    return [Over(id=row.id, state=row.state, hash=row.hash, reason=row.reason) for row in rows]


async def which_ours(connection: AsyncConnection, *, addresses: Sequence[str]) -> set[str]:
    """Those that are deposit addresses."""
    return set((await connection.execute(_OURS, {"addresses": list(addresses)})).scalars())


async def close_without(connection: AsyncConnection, *, sweep: Over, chain_id: int, now: datetime) -> None:
    """Its transaction didn't do anything: the coins are free for the next one."""
    if (await connection.execute(_CLOSE, {"id": sweep.id, "outcome": sweep.state, "now": now})).rowcount:
        await connection.execute(_NOTHING, {"id": sweep.id, "now": now})
        detail = {"chain_id": str(chain_id), "sweep": sweep.id, "state": sweep.state, "reason": sweep.reason or ""}
        await open_incidents(connection, alarms=[Alarm(f"sweep:{sweep.id}", "sweep_failed", None, detail)], now=now)


async def close_with(
    connection: AsyncConnection,
    *,
    sweep_id: str,
    chain_id: int,
    receipt: Receipt,
    found: Sequence[Flush],
    assets: Mapping[str, Asset],
    now: datetime,
) -> bool:
    """Write down and book what the transaction did. False: another worker has."""
    if (await connection.execute(_CLOSE, {"id": sweep_id, "outcome": "swept", "now": now})).rowcount == 0:
        return False
    for flush in found:
        asset = assets.get(flush.token)
        row = {
            "id": sweep_id,
            "chain_id": chain_id,
            "address": flush.address,
            "token": flush.token,
            "state": "failed" if flush.sent is None else "flushed",
            "asset": asset and asset.code,
            "sent": flush.sent,
            "arrived": flush.arrived,
            "tx_hash": receipt.hash,
            "log_index": flush.log_index,
            "block_number": receipt.block_number,
            "now": now,
        }
        await connection.execute(_FLUSHED, row)
    await connection.execute(_NOTHING, {"id": sweep_id, "now": now})
    await post(connection, entries=_entries(chain_id, receipt, found, assets), now=now)
    await open_incidents(connection, alarms=_alarms(chain_id, receipt, found), now=now)
    return True


async def read_status(connection: AsyncConnection, *, most: int) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """Sweeps, open ones first and then the newest; and what was last said of each chain."""
    rows = await connection.execute(_STATUS, {"most": most})
    schedules = await connection.execute(_SCHEDULES)
    return [dict(row) for row in rows.mappings()], [dict(row) for row in schedules.mappings()]


def _entries(chain_id: int, receipt: Receipt, found: Sequence[Flush], assets: Mapping[str, Asset]) -> list[Entry]:
    entries = []
    for flush in found:
        asset = assets.get(flush.token)
        if asset is None or flush.sent is None or _is_odd(flush):
            continue
        arrived, kept = flush.money(asset)
        chain = f"chain:{chain_id}"
        lines = (Transfer(f"treasury:{chain_id}", chain, arrived), Transfer("cost:token_fees", chain, kept))
        if flush.sent:
            entries.append(Entry(f"sweep:{chain_id}:{receipt.hash}:{flush.log_index}", "swept", lines))
    return entries


def _alarms(chain_id: int, receipt: Receipt, found: Sequence[Flush]) -> list[Alarm]:
    alarms = []
    for flush in found:
        detail = {"chain_id": str(chain_id), "address": flush.address, "token": flush.token, "transaction": receipt.hash}
        if flush.sent is None:
            cause = f"flush_failed:{chain_id}:{flush.address}:{flush.token}"
            alarms.append(Alarm(cause, "flush_failed", None, {**detail, "meaning": "the token refused; its coins stayed"}))
        elif _is_odd(flush):
            amounts = {"sent": str(flush.sent), "arrived": str(flush.arrived)}
            cause = f"odd_sweep:{chain_id}:{receipt.hash}:{flush.log_index}"
            alarms.append(Alarm(cause, "sweep_does_not_add_up", None, {**detail, **amounts}))
    return alarms


def _is_odd(flush: Flush) -> bool:
    """More arrived than was sent, or all of it vanished: a person has to look before anything is booked."""
    return flush.sent is not None and (flush.arrived > flush.sent or (flush.sent > 0 and flush.arrived == 0))
