"""A person books a break that they can explain: one entry, which makes the books say what the outside says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.errors import Refusal
from gateway.ledger.post import Entry, Transfer, post
from gateway.money import Asset, Money
from gateway.operators.actions import record_action
from gateway.treasury.breaks import close_incidents


class As(StrEnum):
    """What a difference turned out to be."""

    FEE = "fee"
    """The rail's charge: our cost."""
    CLAIM = "claim"
    """Taken without right, so that the rail owes it to us; or such a debt paid back."""
    TOP_UP = "top-up"
    """What we put into our account at the rail."""
    CAPITAL = "capital"
    """What the operator put in or took out."""
    LOSS = "loss"
    """Gone: a deposit that was final and vanished, a coin that shrank."""


AGAINST: Mapping[As, str] = {
    As.FEE: "cost:rail_fees",
    As.CLAIM: "claims:{rail}",
    As.TOP_UP: "capital",
    As.CAPITAL: "capital",
    As.LOSS: "cost:reorg_loss",
}
"""The other account of the entry."""
AT_RAILS = frozenset({As.FEE, As.CLAIM, As.TOP_UP, As.CAPITAL})
ON_CHAINS = frozenset({As.CAPITAL, As.LOSS})
HAS_ITS_OWN = frozenset({"sweep_unbooked", "deposit_missed", "deposit_differs", "funding_unbooked", "return_unbooked"})
"""Kinds that another command or the gateway itself sets right, with all that belongs to them."""


class NoSuchBreak(Refusal):
    """There is none of that number."""

    code = "no_such_break"

    def __init__(self, break_id: str) -> None:
        super().__init__(f'there is no break "{break_id}"; `lastmile reconcile` lists what is open')


class BreakClosed(Refusal):
    """Nothing is left to book."""

    code = "break_closed"

    def __init__(self, break_id: str, because: str) -> None:
        said = "it was booked before" if because == "booked" else "a later run didn't find it any more"
        super().__init__(f"{break_id} is closed: {said}")


class CannotBook(Refusal):
    """This break isn't booked in this way."""

    code = "cannot_book"


@dataclass(frozen=True, slots=True, kw_only=True)
class Booked:
    """The entry that was posted."""

    cause: str
    source: str
    destination: str
    money: Money


_BREAK = text("""
SELECT b.*, a.decimals FROM reconciliation_breaks AS b LEFT JOIN assets AS a ON a.code = b.asset WHERE b.id = :id
FOR UPDATE OF b
""")
_CLOSE = text("""
UPDATE reconciliation_breaks
SET closed_at = :now, closed_because = 'booked', closed_by = :operator, booked_cause = :cause WHERE id = :id
""")
_FEES = text("""
INSERT INTO statement_bookings (rail, line_id, cause)
SELECT l.rail, l.line_id, :cause FROM statement_lines AS l
WHERE l.rail = :rail AND l.asset = :asset AND l.kind = 'fee' AND l.units > 0 AND l.imported_at <= :seen_at
AND NOT EXISTS (SELECT FROM statement_bookings AS b WHERE b.rail = l.rail AND b.line_id = l.line_id)
RETURNING line_id
""")
_FEE_SUM = text("""
SELECT COALESCE(sum(l.units), 0) FROM statement_bookings AS b JOIN statement_lines AS l USING (rail, line_id)
WHERE b.cause = :cause
""")
_LINE = text("INSERT INTO statement_bookings (rail, line_id, cause) VALUES (:rail, :line_id, :cause)")


async def book_break(
    connection: AsyncConnection, *, break_id: str, as_: As, operator: str, reason: str, now: datetime
) -> Booked:
    """Post the entry, close the break and its incident, and record who decided, in the caller's transaction.

    Raises `NoSuchBreak`, `BreakClosed`, `CannotBook`, and as `record_action` does.
    """
    row = (await connection.execute(_BREAK, {"id": break_id})).one_or_none()
    if row is None:
        raise NoSuchBreak(break_id)
    if row.closed_at is not None:
        raise BreakClosed(break_id, row.closed_because)
    _refuse(row, as_)
    cause = _cause(row, as_)
    money = Money(abs(int(row.effect)), Asset(row.asset, row.decimals))
    other = AGAINST[as_].format(rail=row.rail)
    source, destination = (row.place, other) if row.effect > 0 else (other, row.place)
    entry = Entry(cause, "reconciled", (Transfer(source, destination, money),), row.order_id)
    detail = {"as": as_, "entry": cause, "amount": str(money), "break": row.cause}
    subject = f"break:{break_id}"
    await record_action(
        connection, operator=operator, action="reconcile.book", subject=subject, reason=reason, detail=detail, now=now
    )
    if not await post(connection, entries=[entry], now=now):
        raise CannotBook(f"it is booked already, under {cause}; run `lastmile reconcile` again")
    await _explain_lines(connection, row, cause=cause)
    await connection.execute(_CLOSE, {"id": break_id, "operator": operator, "cause": cause, "now": now})
    await close_incidents(connection, break_ids=[break_id], closer=operator, now=now)
    return Booked(cause=cause, source=source, destination=destination, money=money)


def _refuse(row: Row[Any], as_: As) -> None:
    if row.kind in HAS_ITS_OWN or row.effect == 0:
        raise CannotBook(f"a break of kind {row.kind} isn't booked by hand. {row.next_step.replace('{id}', row.id)}")
    allowed = AT_RAILS if row.place.startswith("rail:") else ON_CHAINS
    if as_ not in allowed:
        raise CannotBook(f"at {row.place} a difference is booked as {', '.join(sorted(allowed))}, not as {as_}")
    if as_ is As.TOP_UP and row.effect < 0:
        raise CannotBook("money left the account, so it was no top-up; what you took out is booked as capital")
    if as_ in (As.FEE, As.LOSS) and row.effect > 0:
        raise CannotBook(f"there is more than the books say, so it was no {as_}")


def _cause(row: Row[Any], as_: As) -> str:
    """What names the entry for ever, so that neither this break nor the row behind it is booked twice."""
    if as_ is As.TOP_UP and row.line_id is not None:
        # As `lastmile rails top-up` does with the line's id as its reference.
        return f"top_up:{row.rail}:{row.line_id}"
    if row.cause.startswith(("log:", "deposit:")):
        return f"booked:{row.cause}"
    # The attempt's name lets the next comparison count the entry with the attempt's others.
    of_attempt = "" if row.attempt_id is None else f":attempt:{row.attempt_id}"
    return f"booked:{row.id}{of_attempt}:{row.cause}"


async def _explain_lines(connection: AsyncConnection, row: Row[Any], *, cause: str) -> None:
    if row.kind == "fees_unbooked":
        await connection.execute(_FEES, {"rail": row.rail, "asset": row.asset, "seen_at": row.seen_at, "cause": cause})
        if int((await connection.execute(_FEE_SUM, {"cause": cause})).scalar_one()) != abs(int(row.effect)):
            raise CannotBook("other fees have come since; run `lastmile reconcile` again and book what it shows")
    elif row.line_id is not None and row.attempt_id is None:
        await connection.execute(_LINE, {"rail": row.rail, "line_id": row.line_id, "cause": cause})
