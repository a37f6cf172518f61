"""Plans as rows: kept as they were made, found again by the number of one move, and refused when they are stale."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.errors import Refusal
from gateway.ledger.post import register_assets
from gateway.money import Asset, Money
from gateway.offramp import Destination, Method
from gateway.treasury.plan import Move, Plan


class NoSuchMove(Refusal):
    """No plan has it."""

    code = "no_such_move"

    def __init__(self, move_id: str) -> None:
        super().__init__(f'no plan has a move "{move_id}"; `lastmile float plan` makes a plan and lists its moves')


class PlanStale(Refusal):
    """The world has changed since the plan was made."""

    code = "plan_stale"

    def __init__(self, move_id: str, *, because: str) -> None:
        super().__init__(f"{move_id} is stale: {because}; `lastmile float plan` makes a new one")


_PLAN = text(
    "INSERT INTO float_plans (id, made_at, valid_until, notes) VALUES (:id, :made_at, :valid_until, CAST(:notes AS jsonb))"
)
_COLUMNS = """number, source, give_asset, give_units, by, to_rail, asset, units, cost_units, at, arrives_at, why, country,
    method, account, holder, institution, after"""
_MOVES = text(f"""
INSERT INTO float_moves (id, plan_id, {_COLUMNS})
SELECT id, :plan, {_COLUMNS} FROM jsonb_to_recordset(CAST(:moves AS jsonb)) AS m (id text, number int, source text,
    give_asset text, give_units numeric, by text, to_rail text, asset text, units numeric, cost_units numeric,
    at timestamptz, arrives_at timestamptz, why text, country text, method text, account text, holder text,
    institution text, after text)
ORDER BY number
""")  # noqa: S608 - the column list is ours
_NEWEST = text("SELECT * FROM float_plans ORDER BY made_at DESC, id DESC LIMIT 1")
_OF_PLAN = text("""
SELECT m.*, g.decimals AS give_decimals, a.decimals FROM float_moves AS m
JOIN assets AS g ON g.code = m.give_asset JOIN assets AS a ON a.code = m.asset
WHERE m.plan_id = :plan ORDER BY m.number
""")
_FIND = text("SELECT plan_id FROM float_moves WHERE id = :id")
_ONE = text("""
SELECT m.*, g.decimals AS give_decimals, a.decimals FROM float_moves AS m
JOIN assets AS g ON g.code = m.give_asset JOIN assets AS a ON a.code = m.asset WHERE m.id = :id
""")


async def keep_plan(connection: AsyncConnection, *, plan: Plan) -> None:
    """Write it down, in the caller's transaction. From then on it is the one that counts."""
    values = {"id": plan.id, "made_at": plan.made_at, "valid_until": plan.valid_until}
    await connection.execute(_PLAN, {**values, "notes": json.dumps(plan.notes)})
    if plan.moves:
        await register_assets(
            connection, assets=[asset for move in plan.moves for asset in (move.give.asset, move.money.asset)]
        )
        rows = [_document(number, move) for number, move in enumerate(plan.moves, start=1)]
        await connection.execute(_MOVES, {"plan": plan.id, "moves": json.dumps(rows)})


async def newest_plan(connection: AsyncConnection) -> Plan | None:
    """The plan that counts, stale or not; None: none was made yet."""
    row = (await connection.execute(_NEWEST)).one_or_none()
    if row is None:
        return None
    moves = [move_of(one) for one in await connection.execute(_OF_PLAN, {"plan": row.id})]
    return Plan(id=row.id, made_at=row.made_at, valid_until=row.valid_until, moves=tuple(moves), notes=tuple(row.notes))


async def find_move(connection: AsyncConnection, *, move_id: str, now: datetime) -> Move:
    """A move of the plan that counts. Raises `NoSuchMove`, and `PlanStale` for one of an older plan or one too old."""
    plan_id = (await connection.execute(_FIND, {"id": move_id})).scalar_one_or_none()
    plan = await newest_plan(connection)
    if plan_id is None or plan is None:
        raise NoSuchMove(move_id)
    if plan.id != plan_id:
        raise PlanStale(move_id, because=f"a newer plan was made at {plan.made_at:%H:%M} UTC")
    if now >= plan.valid_until:
        raise PlanStale(move_id, because=f"its plan was good until {plan.valid_until:%H:%M UTC on %d %B}")
    return next(move for move in plan.moves if move.id == move_id)


async def read_move(connection: AsyncConnection, *, move_id: str) -> Move:
    """A move of any plan. Raises `NoSuchMove`."""
    row = (await connection.execute(_ONE, {"id": move_id})).one_or_none()
    if row is None:
        raise NoSuchMove(move_id)
    return move_of(row)


def _document(number: int, move: Move) -> dict[str, Any]:
    to = move.to
    return {
        "id": move.id,
        "number": number,
        "source": move.from_,
        "give_asset": move.give.asset.code,
        "give_units": str(move.give.units),
        "by": move.by,
        "to_rail": move.to_rail,
        "asset": move.money.asset.code,
        "units": str(move.money.units),
        "cost_units": str(move.cost.units),
        "at": move.at.isoformat(),
        "arrives_at": move.arrives_at.isoformat(),
        "why": move.why,
        "country": to and to.country,
        "method": to and str(to.method),
        "account": to.account if to else move.address,
        "holder": to and to.holder,
        "institution": to and to.institution,
        "after": move.after,
    }


def move_of(row: Row[Any]) -> Move:
    """A move as it was planned. `row` has the decimals of both assets."""
    asset = Asset(row.asset, row.decimals)
    to = None
    if row.by is not None:
        to = Destination(
            country=row.country,
            method=Method(row.method),
            account=row.account,
            holder=row.holder,
            institution=row.institution,
        )
    return Move(
        id=row.id,
        from_=row.source,
        give=Money(int(row.give_units), Asset(row.give_asset, row.give_decimals)),
        by=row.by,
        to_rail=row.to_rail,
        money=Money(int(row.units), asset),
        at=row.at,
        arrives_at=row.arrives_at,
        cost=Money(int(row.cost_units), asset),
        why=row.why,
        to=to,
        address=row.account if to is None else None,
        after=row.after,
    )
