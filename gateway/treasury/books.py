"""The ledger against itself and against the rows that it speaks of: each check one statement over all of them.

The database's own guards make most of this impossible. It is asked all the same: a restored backup, a superuser's hand or a
bug in a guard would show here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.money import Asset, Money
from gateway.treasury.report import FOUND_MOST, Break, Findings


class Check(NamedTuple):
    """One check. Its statement gives rows (subject, place, order_id, asset, decimals, ours, theirs)."""

    name: str
    said: str
    """What differs; `ours` is what the ledger has, `theirs` what the rows say."""
    sql: str


_SHOW_ORDER = "`lastmile deposits show {order}` shows all of it; correct it by an entry, never by hand in a table"
_SHOW = "look at journal and postings of {subject}; correct it by an entry, never by hand in a table"

# The name of what was deposited, whichever way it was booked: "deposit:<chain>:<transaction>:<log>".
_DEPOSIT = "replace(substr(j.cause, strpos(j.cause, 'deposit:')), ':final', '')"
_ATTEMPT = "split_part(split_part(j.cause, 'attempt:', 2), ':', 1)"

CHECKS = (
    Check(
        "entry_not_whole",
        "journal entry {subject} has no postings",
        """
SELECT j.cause AS subject, 'journal' AS place, j.order_id, NULL AS asset, 0 AS decimals, 0 AS ours, 1 AS theirs
FROM journal AS j LEFT JOIN postings AS p ON p.journal_id = j.id WHERE p.journal_id IS NULL
""",
    ),
    Check(
        "balance_not_its_postings",
        "the running balance of {subject} is {ours}, its postings come to {theirs}",
        """
SELECT COALESCE(b.account, s.account) AS subject, COALESCE(b.account, s.account) AS place,
    split_part(COALESCE(b.account, s.account), ':', 2) AS order_id, COALESCE(b.asset, s.asset) AS asset, a.decimals,
    COALESCE(b.units, 0) AS ours, COALESCE(s.units, 0) AS theirs
FROM balances AS b
FULL JOIN (
    SELECT account, asset, sum(units) AS units FROM (
        SELECT destination AS account, asset, units FROM postings WHERE destination LIKE 'order:%'
        UNION ALL SELECT source, asset, -units FROM postings WHERE source LIKE 'order:%'
    ) AS moves GROUP BY account, asset
) AS s ON (s.account, s.asset) = (b.account, b.asset)
JOIN assets AS a ON a.code = COALESCE(b.asset, s.asset)
WHERE COALESCE(b.units, 0) <> COALESCE(s.units, 0)
""",
    ),
    Check(
        "rail_not_its_postings",
        "the running balance of {subject} is {ours}, its postings come to {theirs}",
        """
SELECT COALESCE(b.account, s.account) AS subject, COALESCE(b.account, s.account) AS place, NULL AS order_id,
    COALESCE(b.asset, s.asset) AS asset, a.decimals, COALESCE(b.units, 0) AS ours, COALESCE(s.units, 0) AS theirs
FROM (SELECT 'rail:' || rail AS account, asset, held AS units FROM rail_balances) AS b
FULL JOIN (
    SELECT account, asset, sum(units) AS units FROM (
        SELECT source AS account, asset, units FROM postings WHERE source LIKE 'rail:%'
        UNION ALL SELECT destination, asset, -units FROM postings WHERE destination LIKE 'rail:%'
    ) AS moves GROUP BY account, asset
) AS s ON (s.account, s.asset) = (b.account, b.asset)
JOIN assets AS a ON a.code = COALESCE(b.asset, s.asset)
WHERE COALESCE(b.units, 0) <> COALESCE(s.units, 0)
""",
    ),
    Check(
        "wallet_not_its_postings",
        "the running balance of {subject} is {ours}, its postings come to {theirs}",
        """
SELECT COALESCE(b.account, s.account) AS subject, COALESCE(b.account, s.account) AS place, NULL AS order_id,
    COALESCE(b.asset, s.asset) AS asset, a.decimals, COALESCE(b.held, 0) AS ours, COALESCE(s.units, 0) AS theirs
FROM wallet_balances AS b
FULL JOIN (
    SELECT account, asset, sum(units) AS units FROM (
        SELECT source AS account, asset, units FROM postings WHERE source LIKE 'wallet:%' OR source LIKE 'treasury:%'
        UNION ALL SELECT destination, asset, -units FROM postings
        WHERE destination LIKE 'wallet:%' OR destination LIKE 'treasury:%'
    ) AS moves GROUP BY account, asset
) AS s ON (s.account, s.asset) = (b.account, b.asset)
JOIN assets AS a ON a.code = COALESCE(b.asset, s.asset)
WHERE COALESCE(b.held, 0) <> COALESCE(s.units, 0)
""",
    ),
    Check(
        "order_not_its_accounts",
        "order {order} has {ours} in {place}, by its state it should have {theirs}",
        """
WITH held AS (
    SELECT split_part(account, ':', 2) AS order_id, split_part(account, ':', 3) AS word, asset, units
    FROM balances WHERE units <> 0 AND split_part(account, ':', 3) IN ('funds', 'payout', 'refund')
), due AS (
    SELECT o.id AS order_id, 'funds' AS word, q.send_asset AS asset, q.send_units AS units
    FROM orders AS o JOIN quotes AS q ON q.id = o.quote_id WHERE o.state = 'funded'
    UNION ALL
    SELECT o.id, 'payout', q.send_asset, q.send_units
    FROM orders AS o JOIN quotes AS q ON q.id = o.quote_id WHERE o.state IN ('paying', 'uncertain')
    UNION ALL
    SELECT order_id, 'refund', asset, sum(units) FROM refunds WHERE closed_at IS NULL GROUP BY order_id, asset
), both_sides AS (
    SELECT COALESCE(h.order_id, d.order_id) AS order_id, COALESCE(h.word, d.word) AS word,
        COALESCE(h.asset, d.asset) AS asset, COALESCE(h.units, 0) AS ours, COALESCE(d.units, 0) AS theirs
    FROM held AS h FULL JOIN due AS d ON (d.order_id, d.word, d.asset) = (h.order_id, h.word, h.asset)
)
SELECT b.order_id AS subject, 'order:' || b.order_id || ':' || b.word AS place, b.order_id, b.asset, a.decimals,
    b.ours, b.theirs
FROM both_sides AS b JOIN assets AS a ON a.code = b.asset LEFT JOIN orders AS o ON o.id = b.order_id
WHERE b.ours <> b.theirs
AND NOT COALESCE(o.state IN ('held', 'refunding') AND b.word = 'funds', false)
""",
    ),
    Check(
        "attempt_not_its_entry",
        "entries of the ledger have {ours} paid for attempt {subject}, by its outcome it should be {theirs}",
        f"""
WITH booked AS (
    SELECT {_ATTEMPT} AS attempt_id, p.asset, min(j.order_id) AS order_id,
        min(CASE WHEN p.destination LIKE 'rail:%' THEN p.destination ELSE p.source END) AS place,
        sum(CASE WHEN p.destination LIKE 'rail:%' THEN p.units ELSE -p.units END) AS units
    FROM journal AS j JOIN postings AS p ON p.journal_id = j.id
    WHERE (p.destination LIKE 'rail:%' OR p.source LIKE 'rail:%')
    AND j.cause LIKE '%attempt:%' AND j.cause NOT LIKE 'booked:%' AND j.cause NOT LIKE '%:stray:%'
    GROUP BY 1, 2
), due AS (
    SELECT id AS attempt_id, deliver_asset AS asset, order_id, 'rail:' || adapter AS place,
        CASE WHEN outcome = 'paid' THEN COALESCE(delivered_units, deliver_units) ELSE 0 END AS units
    FROM attempts
)
SELECT COALESCE(d.attempt_id, b.attempt_id) AS subject, COALESCE(d.place, b.place) AS place,
    COALESCE(d.order_id, b.order_id) AS order_id, COALESCE(d.asset, b.asset) AS asset, a.decimals,
    COALESCE(b.units, 0) AS ours, COALESCE(d.units, 0) AS theirs
FROM due AS d FULL JOIN booked AS b ON (b.attempt_id, b.asset, b.place) = (d.attempt_id, d.asset, d.place)
JOIN assets AS a ON a.code = COALESCE(d.asset, b.asset)
WHERE COALESCE(b.units, 0) <> COALESCE(d.units, 0)
""",  # noqa: S608 - composed of our own text only
    ),
    Check(
        "deposit_not_its_entry",
        "{subject} is booked with {ours}, the deposit is {theirs}",
        f"""
WITH arrived AS (
    SELECT concat_ws(':', 'deposit', d.chain_id, d.tx_hash, d.log_index) AS name, 'chain:' || d.chain_id AS place,
        w.owner, d.asset, d.units
    FROM deposits AS d JOIN deposit_addresses AS w ON w.address = d.address WHERE d.booked = 'final'
    UNION ALL
    SELECT concat_ws(':', 'deposit', s.chain_id, s.identity), 'chain:' || s.chain_id, w.owner, s.asset, s.units
    FROM strays AS s JOIN deposit_addresses AS w ON w.address = s.address
    WHERE s.asset IS NOT NULL AND NOT EXISTS (
        SELECT FROM deposits AS d WHERE d.chain_id = s.chain_id AND s.identity = concat_ws(':', d.tx_hash, d.log_index))
), booked AS (
    SELECT {_DEPOSIT} AS name, min(p.source) AS place, min(j.order_id) AS owner, p.asset, sum(p.units) AS units
    FROM journal AS j JOIN postings AS p ON p.journal_id = j.id
    WHERE p.source LIKE 'chain:%' AND j.cause LIKE '%deposit:%' AND j.cause NOT LIKE 'booked:%' GROUP BY 1, p.asset
)
SELECT COALESCE(d.name, b.name) AS subject, COALESCE(d.place, b.place) AS place, COALESCE(d.owner, b.owner) AS order_id,
    COALESCE(d.asset, b.asset) AS asset, a.decimals, COALESCE(b.units, 0) AS ours, COALESCE(d.units, 0) AS theirs
FROM arrived AS d FULL JOIN booked AS b ON (b.name, b.asset) = (d.name, d.asset)
JOIN assets AS a ON a.code = COALESCE(d.asset, b.asset)
WHERE COALESCE(b.units, 0) <> COALESCE(d.units, 0)
""",  # noqa: S608 - composed of our own text only
    ),
    Check(
        "refund_not_its_entry",
        "refund {subject} is booked with {ours}, it was {theirs}",
        """
SELECT r.id AS subject, r.wallet AS place, r.order_id, r.asset, s.decimals, COALESCE(sum(p.units), 0) AS ours,
    r.units AS theirs
FROM refunds AS r JOIN assets AS s ON s.code = r.asset
LEFT JOIN journal AS j ON j.cause IN ('order:' || r.order_id || ':refund:' || r.id || ':paid', 'refund:' || r.id || ':paid')
LEFT JOIN postings AS p ON p.journal_id = j.id AND p.destination = r.wallet
WHERE r.outcome = 'paid' GROUP BY r.id, s.decimals HAVING COALESCE(sum(p.units), 0) <> r.units
""",
    ),
    Check(
        "sweep_not_its_entry",
        "the sweep of {subject} is booked with {ours}, it was {theirs}",
        """
WITH swept AS (
    SELECT concat_ws(':', 'sweep', chain_id, tx_hash, log_index) AS name, chain_id, asset, sum(sent) AS units
    FROM sweep_items WHERE state = 'flushed' AND asset IS NOT NULL AND arrived <= sent AND arrived > 0 GROUP BY 1, 2, 3
), booked AS (
    SELECT j.cause AS name, p.asset, sum(p.units) AS units, min(p.destination) AS place
    FROM journal AS j JOIN postings AS p ON p.journal_id = j.id
    WHERE j.template = 'swept' AND p.destination LIKE 'chain:%' GROUP BY 1, 2
)
SELECT COALESCE(s.name, b.name) AS subject, COALESCE(b.place, 'chain:' || s.chain_id) AS place, NULL AS order_id,
    COALESCE(s.asset, b.asset) AS asset, a.decimals, COALESCE(b.units, 0) AS ours, COALESCE(s.units, 0) AS theirs
FROM swept AS s FULL JOIN booked AS b ON (b.name, b.asset) = (s.name, s.asset)
JOIN assets AS a ON a.code = COALESCE(s.asset, b.asset)
WHERE COALESCE(b.units, 0) <> COALESCE(s.units, 0)
""",
    ),
)


async def check_books(connection: AsyncConnection) -> Findings:
    """Make every check in the caller's snapshot."""
    findings = Findings()
    for check in CHECKS:
        name = f"ledger:{check.name}"
        limited = text(f"SELECT * FROM ({_escaped(check.sql)}) AS found ORDER BY subject, place LIMIT :most")  # noqa: S608
        rows = (await connection.execute(limited, {"most": FOUND_MOST + 1})).all()
        breaks = [_break(check, row) for row in rows[:FOUND_MOST]]
        findings.found(name, breaks, all_of_them=len(rows) <= FOUND_MOST)
    return findings


_HELD = text("""
SELECT account, asset, decimals, sum(entered) AS entered, sum(gone) AS gone FROM (
    SELECT source AS account, asset, units AS entered, 0 AS gone FROM postings
    WHERE split_part(source, '\\:', 1) IN ('chain', 'treasury', 'wallet', 'gas', 'rail')
    UNION ALL
    SELECT destination, asset, 0, units FROM postings
    WHERE split_part(destination, '\\:', 1) IN ('chain', 'treasury', 'wallet', 'gas', 'rail')
) AS moves JOIN assets ON assets.code = asset
GROUP BY account, asset, decimals ORDER BY account, asset
""")


class Held(NamedTuple):
    """What the books let enter a place and leave it, in smallest units."""

    asset: Asset
    entered: int
    gone: int

    @property
    def units(self) -> int:
        """What lies there by the books."""
        return self.entered - self.gone


async def read_held(connection: AsyncConnection) -> dict[tuple[str, str], Held]:
    """What the books say lies at each place, by account and asset code."""
    rows = await connection.execute(_HELD)
    return {(row.account, row.asset): Held(Asset(row.asset, row.decimals), int(row.entered), int(row.gone)) for row in rows}


def _escaped(sql: str) -> str:
    # In text() a colon before a word would be a parameter.
    return sql.replace(":", "\\:")


def _break(check: Check, row: Row[Any]) -> Break:
    values: Mapping[str, str] = {
        "subject": row.subject,
        "place": row.place,
        "order": row.order_id or "",
        "ours": _amount(row, int(row.ours)),
        "theirs": _amount(row, int(row.theirs)),
    }
    return Break(
        cause=f"ledger:{check.name}:{row.place}:{row.subject}:{row.asset}",
        checked_by=f"ledger:{check.name}",
        kind=check.name,
        place=row.place or "journal",
        said=check.said.format(**values),
        next_step=(_SHOW_ORDER if row.order_id else _SHOW).format(**values),
        asset=row.asset,
        ours=int(row.ours),
        theirs=int(row.theirs),
        order_id=row.order_id,
    )


def _amount(row: Row[Any], units: int) -> str:
    return str(units) if row.asset is None else str(Money(units, Asset(row.asset, row.decimals)))
