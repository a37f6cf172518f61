"""Orders whose recipient was refused, made through the product's own writers as far as they go."""

from __future__ import annotations

from itertools import count

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.db.session import transaction
from gateway.offramp import Fault, Outcome
from gateway.orders.accept import Accepted
from gateway.orders.advance import Move, Verdict, advance
from gateway.orders.funding import book_deposits
from gateway.orders.states import E
from tests.factories import NOW, make_deposit, make_orders

_numbers = count()
_ATTEMPT = text("""
INSERT INTO attempts (id, order_id, adapter, deliver_asset, deliver_units, outcome, fault, evidence, asks, lease_token, way,
    created_at, updated_at, closed_at)
SELECT :id, o.id, 'fake', q.receive_asset, q.receive_units, :outcome, :fault, '{}', 0, 0, :way, :now, :now, :closed_at
FROM orders AS o JOIN quotes AS q ON q.id = o.quote_id WHERE o.id = :order_id
""")


async def fund(engine: AsyncEngine, order: Accepted) -> Accepted:
    await make_deposit(engine, order)
    await book_deposits(engine, least={}, now=NOW)
    return order


async def step(connection: AsyncConnection, order_id: str, event: E, **data: object) -> None:
    move = Move(order_id=order_id, event=event, cause=f"test:{next(_numbers)}", data=data, due_at=NOW)
    [advanced] = await advance(connection, moves=[move], now=NOW)
    assert advanced.verdict is Verdict.STEPPED


async def attempt(
    connection: AsyncConnection, order_id: str, outcome: str = Outcome.FAILED, *, way: int = 0, fault: str | None = None
) -> str:
    """A row of an attempt, without its order's steps."""
    closed = outcome in (Outcome.FAILED, Outcome.RETURNED)
    attempt_id = f"att_{next(_numbers):026}"
    values = {"id": attempt_id, "order_id": order_id, "outcome": outcome, "way": way, "now": NOW}
    fault = fault or (Fault.RECIPIENT if closed else None)
    await connection.execute(_ATTEMPT, {**values, "fault": fault, "closed_at": NOW if closed else None})
    return attempt_id


async def refuse(engine: AsyncEngine, order_id: str, *, way: int = 0, reason: str = "recipient_refused") -> None:
    """A funded order's way is refused and the order held: the question to its recipient."""
    outcome = Outcome.RETURNED if reason == "returned" else Outcome.FAILED
    async with transaction(engine) as connection:
        await attempt(connection, order_id, outcome, way=way)
        await step(connection, order_id, E.HOLD_PLACED, reason=reason)


async def refused(engine: AsyncEngine, *, reason: str = "recipient_refused", **quote: object) -> Accepted:
    [order] = await make_orders(engine, 1, **quote)  # type: ignore[arg-type]
    await fund(engine, order)
    await refuse(engine, order.order_id, reason=reason)
    return order
