"""What stands in the database, read beside the product, on a connection of its own, while nothing else runs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import psycopg
from psycopg import sql
from psycopg.rows import namedtuple_row

WORK_LEFT = """
SELECT (SELECT count(*) FROM orders WHERE state IN ('awaiting_deposit', 'confirming', 'funded', 'paying'))
    + (SELECT count(*) FROM refunds WHERE closed_at IS NULL)
"""


BELLS = "SELECT count(*) FROM callbacks WHERE handled_at IS NULL"
"""Callbacks that nobody has looked at yet."""


class AttemptRow(NamedTuple):
    """An attempt as it is committed now."""

    id: str
    order_id: str
    adapter: str
    outcome: str
    units: int
    open: bool
    due_at: datetime | None
    lease_until: datetime | None


class OrderRow(NamedTuple):
    """An order as it is committed now."""

    id: str
    state: str
    version: int
    due_at: datetime | None


class Eye:
    """Reads. Every statement sees what is committed by then."""

    def __init__(self, url: str) -> None:
        self.connection: psycopg.Connection[Any] = psycopg.connect(url, autocommit=True, row_factory=namedtuple_row)
        self._outbox = self._journal = 0
        self._last = 0

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    def attempt(self, attempt_id: str) -> AttemptRow | None:
        """One attempt."""
        row = self._rows(f"{_ATTEMPTS} WHERE id = %s", attempt_id)
        return AttemptRow(*row[0]) if row else None

    def attempts(self, order_ids: Sequence[str]) -> list[AttemptRow]:
        """All attempts of these orders."""
        return [AttemptRow(*row) for row in self._rows(f"{_ATTEMPTS} WHERE order_id = ANY(%s) ORDER BY id", list(order_ids))]

    def orders(self, order_ids: Sequence[str]) -> list[OrderRow]:
        """These orders."""
        rows = self._rows("SELECT id, state, version, due_at FROM orders WHERE id = ANY(%s) ORDER BY id", list(order_ids))
        return [OrderRow(*row) for row in rows]

    def all_states(self) -> dict[str, str]:
        """Every order's state."""
        return dict(self._rows("SELECT id, state FROM orders"))

    def undecided(self) -> list[tuple[str, str]]:
        """Attempts of which nobody knows what became of them, with their orders: a person's matter."""
        rows = self._rows("SELECT order_id, id FROM attempts WHERE closed_at IS NULL ORDER BY id")
        return [(row.order_id, row.id) for row in rows]

    def news(self) -> bool:
        """Whether any order took a step, or anything was posted, since both were asked last."""
        last, self._last = self._last, self._rows("SELECT last_value FROM journal_id_seq")[0].last_value
        return last != self._last

    def moved_orders(self) -> list[str]:
        """The orders that took a step since this was asked last, each once."""
        rows = self._rows("SELECT id, order_id FROM outbox WHERE id > %s ORDER BY id", self._outbox)
        if rows:
            self._outbox = rows[-1].id
        return list(dict.fromkeys(row.order_id for row in rows))

    def events(self, order_ids: Sequence[str]) -> list[Any]:
        """All steps of these orders, each order's in its sequence."""
        return self._rows(
            "SELECT order_id, version, event, from_state, to_state, cause, data FROM order_events"
            " WHERE order_id = ANY(%s) ORDER BY order_id, version",
            list(order_ids),
        )

    def new_postings(self) -> list[Any]:
        """What was posted since this was asked last."""
        rows = self._rows(
            "SELECT j.id, j.cause, j.template, j.order_id, p.source, p.destination, p.asset, p.units"
            " FROM journal AS j JOIN postings AS p ON p.journal_id = j.id WHERE j.id > %s ORDER BY j.id, p.line",
            self._journal,
        )
        if rows:
            self._journal = rows[-1].id
        return rows

    def balances(self) -> dict[tuple[str, str], int]:
        """Every account that isn't empty, from the postings."""
        rows = self._rows(
            "SELECT account, asset, sum(units)::numeric AS units FROM ("
            "SELECT destination AS account, asset, units FROM postings UNION ALL SELECT source, asset, -units FROM postings"
            ") AS p GROUP BY account, asset HAVING sum(units) <> 0"
        )
        return {(row.account, row.asset): int(row.units) for row in rows}

    def kept_balances(self) -> dict[tuple[str, str], int]:
        """The balances that the database keeps by itself."""
        rows = self._rows("SELECT account, asset, units FROM balances WHERE units <> 0")
        return {(row.account, row.asset): int(row.units) for row in rows}

    def covered(self) -> dict[tuple[str, str], int]:
        """What the books owe to recipients and nobody has to pay: a payment that was called failed has reached them."""
        rows = self._rows(
            "SELECT 'order:' || b.order_id || ':owed' AS account, b.asset, b.owed - COALESCE(w.units, 0) AS units"
            " FROM order_balances AS b LEFT JOIN owed_to_recipients AS w USING (order_id, asset)"
            " WHERE b.owed > COALESCE(w.units, 0)"
        )
        return {(row.account, row.asset): int(row.units) for row in rows}

    def held(self, reasons: Sequence[str]) -> list[str]:
        """The orders that are held for one of these reasons."""
        rows = self._rows(
            "SELECT o.id FROM orders AS o JOIN LATERAL (SELECT data ->> 'reason' AS reason FROM order_events"
            " WHERE order_id = o.id AND to_state = 'held' ORDER BY version DESC LIMIT 1) AS h ON h.reason = ANY(%s)"
            " WHERE o.state = 'held' ORDER BY o.id",
            list(reasons),
        )
        return [row.id for row in rows]

    def booked(self, address: str) -> int:
        """How many transfers to an address are booked for good."""
        return int(self._rows("SELECT count(*) FROM deposits WHERE address = %s AND booked = 'final'", address)[0][0])

    def refunding(self) -> set[str]:
        """The orders with a refund that isn't over."""
        return {row.order_id for row in self._rows("SELECT order_id FROM refunds WHERE closed_at IS NULL")}

    def quote(self, quote_id: str) -> Any:
        """A quote, as it stands."""
        return self._rows("SELECT * FROM quotes WHERE id = %s", quote_id)[0]

    def queued(self) -> list[Any]:
        """Transactions that wait to be sent."""
        return self._rows("SELECT id, reference, data FROM chain_transactions WHERE state = 'queued' ORDER BY id")

    def sent(self, transaction_id: str) -> None:
        """The stand-in of the product's submitter sends one."""
        self.connection.execute(
            "UPDATE chain_transactions SET state = 'sending', nonce = COALESCE(nonce,"
            " (SELECT count(*) FROM chain_transactions WHERE nonce IS NOT NULL)) WHERE id = %s",
            [transaction_id],
        )

    def mined(self, transaction_id: str, *, state: str, tx_hash: str | None, block: int | None) -> None:
        """It is over."""
        self.sent(transaction_id)
        self.connection.execute(
            "UPDATE chain_transactions SET state = %s, hash = %s, block_number = %s, fee_units = 0, due_at = NULL"
            " WHERE id = %s",
            [state, tx_hash, block, transaction_id],
        )

    def stopped_since(self) -> datetime | None:
        """Since when the coin has been stopped, if it is."""
        row = self._rows("SELECT min(since) AS since FROM market_stops WHERE breaker = 'depeg' AND lifted_at IS NULL")[0]
        since: datetime | None = row.since
        return since

    def next_due(self) -> datetime | None:
        """When the next row is due."""
        rows = self._rows(
            "SELECT least((SELECT min(due_at) FROM orders WHERE due_at IS NOT NULL),"
            " (SELECT min(due_at) FROM attempts WHERE due_at IS NOT NULL)) AS due"
        )
        due: datetime | None = rows[0].due
        return due

    def forget_statements(self) -> None:
        """Let the next reconciliation read all statements anew."""
        for table in ("statement_lines", "statement_periods"):
            for statement in ("ALTER TABLE {} DISABLE TRIGGER USER", "DELETE FROM {}", "ALTER TABLE {} ENABLE TRIGGER USER"):
                self.connection.execute(sql.SQL(statement).format(sql.Identifier(table)))

    def on_their_way(self) -> int:
        """How many orders go on without anybody's decision."""
        return int(self.one(WORK_LEFT))

    def work_left(self) -> int:
        """The same, and callbacks that nobody has handled yet."""
        return self.on_their_way() + int(self.one(BELLS))

    def one(self, statement: str) -> Any:
        """The single value of a statement."""
        return self._rows(statement)[0][0]

    def _rows(self, statement: str, *values: object) -> list[Any]:
        return self.connection.execute(statement.encode(), values or None).fetchall()


_ATTEMPTS = (
    "SELECT id, order_id, adapter, outcome, deliver_units::bigint, closed_at IS NULL, due_at, lease_until FROM attempts"
)
