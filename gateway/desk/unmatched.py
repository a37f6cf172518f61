"""What arrived and fits no order: read from ledger, deposits and orders, never kept a second time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from eth_utils.address import to_checksum_address
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.chain.forwarders import NO_ADDRESS
from gateway.chain.terms import ChainTerms
from gateway.desk.judge import Facts, Kind, Lies, Place, Way, kind_of, ways_of
from gateway.desk.strays import known_coins
from gateway.money import Asset, Money
from gateway.orders.states import S
from gateway.pricing.offer import Offer

PAGE = 100
"""Listed at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskRules:
    """What the desk has to know of the configuration."""

    least: Mapping[str, Money] = field(default_factory=dict)
    """The smallest amount that counts as a deposit, by asset code."""
    taken: Collection[str] = ()
    """Codes of the assets that prices are made for."""
    natives: Collection[str] = ()
    """Codes of the coins that pay gas."""
    coins: Mapping[tuple[int, str], Asset] = field(default_factory=dict)
    """The assets that may be on the ledger, by chain id and contract in lower case, all zero for the native coin."""
    swept: Collection[int] = ()
    """Ids of the chains that have a key for sweeping."""

    @classmethod
    def of(
        cls, *, chains: Sequence[ChainTerms], offer: Offer, least: Mapping[str, Money], swept: Collection[int]
    ) -> DeskRules:
        """From what the gateway runs with."""
        return cls(
            least=least,
            swept=swept,
            taken=frozenset(token.asset.code for token in offer.tokens.values()),
            natives=frozenset(terms.native.code for terms in chains),
            coins={
                (terms.chain_id, contract): asset
                for terms in chains
                for contract, asset in {**terms.tokens, **known_coins(terms)}.items()
            },
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmatched:
    """Money that waits for a decision. The gateway holds it, wherever it lies."""

    key: str
    """Its place in the list: pass it as `after` to go on from here."""
    kind: Kind
    order_id: str
    state: S
    """Of the order."""
    place: Place
    amount: Money | None
    """None: a contract that nobody vouches for; then only `units` are known, of what is for it to say."""
    units: int
    chain_id: int
    token: str | None
    """The contract (EIP-55), where one is known: of what is not a listed coin."""
    tx_hash: str | None
    log_index: int | None
    """The deposit that it arrived with; None: the native coin, or what came back from a failed refund."""
    address: str
    """Where it arrived (EIP-55)."""
    sender: str | None
    """The address that sent it (EIP-55), where the chain says; it may be an exchange's."""
    since: datetime
    """When it arrived, by its block, or when it was found."""
    lies: Lies
    ways: tuple[Way, ...]
    """What can be done with it."""

    def age(self, *, now: datetime) -> timedelta:
        """How long it has waited."""
        return now - self.since


# What is left of an account is what arrived last: what was used before was the oldest of it.
_UNALLOCATED = """
SELECT c.order_id || '/u/' || c.asset || '/' || lpad(CAST(c.id AS text), 20, '0') AS key, c.order_id, 'unallocated' AS place,
    c.asset, least(c.units, c.there - (c.running - c.units)) AS units, c.template, c.ref, c.posted_at
FROM (
    SELECT p.journal_id AS id, p.order_id, p.template, p.posted_at, p.asset, p.units, b.unallocated AS there,
        substring(p.cause FROM
            'deposit\\:([0-9]+\\:0x[0-9a-f]{64}\\:[0-9]+|[0-9]+\\:native\\:0x[0-9a-f]{40}\\:[0-9]+)') AS ref,
        sum(p.units) OVER (PARTITION BY b.order_id, b.asset ORDER BY p.journal_id DESC, p.line DESC) AS running
    FROM order_balances AS b
    JOIN postings AS p ON p.order_id = b.order_id AND p.destination = 'order\\:' || b.order_id || '\\:unallocated'
        AND p.asset = b.asset
    WHERE b.unallocated > 0
) AS c
WHERE c.running - c.units < c.there
"""
_HELD = """
SELECT o.id || '/f', o.id, 'funds', b.asset, b.funds, h.data ->> 'reason', substring(e.data ->> 'deposit' FROM 9), h.at
FROM waiting_orders AS v
JOIN orders AS o ON o.id = v.order_id
JOIN order_balances AS b ON b.order_id = o.id AND b.funds > 0
JOIN LATERAL (SELECT data, at FROM order_events WHERE order_id = o.id AND to_state = 'held'
              ORDER BY version DESC LIMIT 1) AS h ON true
LEFT JOIN LATERAL (SELECT data FROM order_events WHERE order_id = o.id AND data ? 'deposit'
                   ORDER BY version DESC LIMIT 1) AS e ON true
WHERE v.state = 'held' AND v.state IN ('held', 'uncertain', 'refunding')
"""
_STRAYS = """
SELECT w.owner || '/s/' || s.chain_id || '/' || s.identity, w.owner, 'stray', NULL, s.units, '',
    s.chain_id || '\\:' || s.identity, s.found_at
FROM strays AS s JOIN deposit_addresses AS w USING (address) WHERE s.asset IS NULL AND s.closed_at IS NULL
"""
_LIST = text(f"""
SELECT u.*, o.state, o.deposit_address, q.send_asset, q.expires_at, a.decimals,
    d.tx_hash, d.log_index, d.block_time, COALESCE(d.sender, s.sender) AS sender, s.chain_id AS stray_chain, s.token,
    s.identity, EXISTS (
        SELECT FROM sweep_items AS i WHERE i.address = o.deposit_address AND i.state = 'flushed'
        AND (i.asset = u.asset OR (i.chain_id, i.token) = (s.chain_id, s.token))
        AND i.block_number >= COALESCE(d.block_number, s.block_number, 0)
    ) AS swept
FROM ({_UNALLOCATED} UNION ALL {_HELD} UNION ALL {_STRAYS}) AS u (key, order_id, place, asset, units, why, ref, since)
JOIN orders AS o ON o.id = u.order_id
JOIN quotes AS q ON q.id = o.quote_id
LEFT JOIN assets AS a ON a.code = u.asset
LEFT JOIN deposits AS d ON d.address = o.deposit_address
    AND u.ref = d.chain_id || '\\:' || d.tx_hash || '\\:' || d.log_index
LEFT JOIN strays AS s ON s.address = o.deposit_address AND u.ref = s.chain_id || '\\:' || s.identity
WHERE u.key COLLATE "C" > :after AND (CAST(:order_id AS text) IS NULL OR u.order_id = :order_id)
ORDER BY u.key COLLATE "C" LIMIT :most
""")  # noqa: S608 - composed of the texts above only


async def unmatched(
    connection: AsyncConnection,
    *,
    rules: DeskRules,
    order_id: str | None = None,
    kind: Kind | None = None,
    after: str = "",
    limit: int = PAGE,
) -> list[Unmatched]:
    """A page of what waits for a decision: the oldest orders first, of one order or of one kind if named.

    `after`: the key of the last one of the page before.
    """
    found = []
    async for one in _all(connection, rules=rules, order_id=order_id, after=after):
        if kind in (None, one.kind):
            found.append(one)
        if len(found) == limit:
            break
    return found


async def _all(
    connection: AsyncConnection, *, rules: DeskRules, order_id: str | None, after: str
) -> AsyncIterator[Unmatched]:
    full = True
    while full:
        rows = (await connection.execute(_LIST, {"after": after, "order_id": order_id, "most": PAGE})).all()
        for row in rows:
            yield _view(row, rules)
            after = row.key
        full = len(rows) == PAGE


def _view(row: Row[tuple[Any, ...]], rules: DeskRules) -> Unmatched:
    amount = None if row.asset is None else Money(int(row.units), Asset(row.asset, row.decimals))
    facts = Facts(
        place=Place(row.place),
        why=row.why or "",
        asset=row.asset,
        quoted=row.send_asset,
        native=row.token == NO_ADDRESS or row.asset in rules.natives,
        dust=amount is not None and row.asset in rules.least and amount < rules.least[row.asset],
        taken=row.asset in rules.taken,
        held=S(row.state) is S.HELD,
        late=row.block_time is not None and row.block_time >= row.expires_at,
        lies=Lies.TREASURY if row.swept else Lies.DEPOSIT_ADDRESS,
    )
    kind = kind_of(facts)
    tx_hash, log_index = _log(row)
    return Unmatched(
        key=row.key,
        kind=kind,
        order_id=row.order_id,
        state=S(row.state),
        place=facts.place,
        amount=amount,
        units=int(row.units),
        chain_id=row.stray_chain if row.asset is None else int(row.asset.rpartition("@")[2]),
        token=None if row.token in (None, NO_ADDRESS) else to_checksum_address(row.token),
        tx_hash=tx_hash,
        log_index=log_index,
        address=to_checksum_address(row.deposit_address),
        sender=row.sender and to_checksum_address(row.sender),
        since=row.block_time or row.since,
        lies=facts.lies,
        ways=ways_of(kind, facts),
    )


def _log(row: Row[tuple[Any, ...]]) -> tuple[str | None, int | None]:
    """The log that it arrived with; the native coin has none."""
    if row.tx_hash is not None:
        return row.tx_hash, row.log_index
    if row.identity is None or row.token == NO_ADDRESS:
        return None, None
    tx_hash, _, log_index = row.identity.partition(":")
    return tx_hash, int(log_index)
