"""Outlooks and plans for readers: lines for people, documents for programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gateway.money import Money
from gateway.treasury.forecast import Demand
from gateway.treasury.levels import Level, percent
from gateway.treasury.moves import WORDS, MoveView, Stage
from gateway.treasury.outlook import BAD_CASE, Outlook, Standing
from gateway.treasury.plan import Move, Plan
from gateway.treasury.stockout import HORIZONS, HOUR

BEST_CASE = 100 - BAD_CASE


def outlook_lines(outlook: Outlook) -> Iterator[str]:
    """A few lines per float, then one per currency."""
    if not outlook.standings:
        yield "No float is known: no rail has told its balance yet, and no top-up was booked."
    for one in outlook.standings:
        yield from _standing_lines(one, outlook)
    for asset, model in outlook.currencies.items():
        day = model.over(outlook.now, outlook.now + 24 * HOUR)
        low, high = day.quantile(BEST_CASE), day.quantile(BAD_CASE)
        days = f"{model.days} day{'' if model.days == 1 else 's'}"
        yield f"{asset.code}  24 h need {day.money}, from {low.decimal()} to {high.decimal()} in 9 of 10 cases; {days} seen"


def _standing_lines(one: Standing, outlook: Outlook) -> Iterator[str]:
    level = one.level
    available = "nobody knows" if level.available is None else str(level.money(level.available))
    yield f"{level.rail}  {level.asset.code}  available {available}"
    if level.told is not None and level.told_at is not None:
        yield f"    the rail says {level.money(level.told)}, at {level.told_at:%Y-%m-%d %H:%M} UTC"
    if level.held is not None:
        yield f"    the books say {level.money(level.held)}"
    yield from (f"    {words} {level.money(number)}" for words, number in _moving(level) if number)
    if level.difference:
        unexplained = level.unexplained or 0
        yield f"    difference {level.money(level.difference)}, of it unexplained {level.money(unexplained)}"
    for name, units in _marks(one).items():
        if units is not None:
            under = "" if level.available is None or level.available >= units or name == "reserve" else "  <- below"
            yield f"    {name} {level.money(units)}{under}"
    if one.forecast is not None:
        day = one.forecast.over(outlook.now, outlook.now + 24 * HOUR)
        yield f"    24 h need {day.money}, {day.quantile(BAD_CASE)} in a bad case; {one.forecast.days} days seen"
    if one.chances is not None:
        said = ", ".join(f"{hours} h {percent(one.chances.within[hours])}" for hours in HORIZONS)
        before = one.chances.before_top_up
        yield f"    runs dry within {said}" + ("" if before is None else f"; before money can come {percent(before)}")


def _moving(level: Level) -> tuple[tuple[str, int], ...]:
    return (
        ("promised to open payments", level.promised),
        ("reserved for approved moves", level.reserved),
        ("on its way by approved moves", level.incoming),
    )


def _marks(one: Standing) -> dict[str, int | None]:
    return {"low": one.low, "critical": one.critical, "target": one.target, "reserve": one.reserve}


def outlook_document(outlook: Outlook) -> dict[str, Any]:
    """For programs: amounts are decimal strings, chances percent with two digits."""
    return {
        "now": outlook.now.isoformat(),
        "floats": [_standing_document(one, outlook) for one in outlook.standings],
        "demand": [
            {"currency": asset.code, "days_seen": model.days, "terms_percent": model.factors()}
            | {"next_24_h": _demand(model.over(outlook.now, outlook.now + 24 * HOUR))}
            for asset, model in outlook.currencies.items()
        ],
    }


def _standing_document(one: Standing, outlook: Outlook) -> dict[str, Any]:
    level = one.level

    def amount(units: int | None) -> str | None:
        return None if units is None else level.money(units).decimal()

    chances = one.chances
    return {
        "rail": level.rail,
        "currency": level.asset.code,
        "told": amount(level.told),
        "told_at": level.told_at and level.told_at.isoformat(),
        "held": amount(level.held),
        "promised": amount(level.promised),
        "reserved": amount(level.reserved),
        "incoming": amount(level.incoming),
        "available": amount(level.available),
        "difference": amount(level.difference),
        "unexplained": amount(level.unexplained),
        **{name: amount(units) for name, units in _marks(one).items()},
        "demand_24_h": one.forecast and _demand(one.forecast.over(outlook.now, outlook.now + 24 * HOUR)),
        "days_seen": one.forecast.days if one.forecast else 0,
        "dry_percent": chances and {f"{hours}h": _percent(chances.within[hours]) for hours in HORIZONS},
        "dry_before_top_up_percent": chances and _percent(chances.before_top_up),
    }


def _demand(demand: Demand) -> dict[str, str]:
    cases = {"expected": demand.money, "low": demand.quantile(BEST_CASE), "high": demand.quantile(BAD_CASE)}
    return {name: money.decimal() for name, money in cases.items()}


def _percent(chance: int | None) -> str | None:
    return None if chance is None else f"{chance // 100}.{chance % 100:02d}"


def plan_lines(plan: Plan) -> Iterator[str]:
    """A move is three lines; then what can't be done, and what all of it costs."""
    if not plan.moves:
        yield "Nothing has to be moved now."
    for move in plan.moves:
        who = move.by or "a person"
        after = f" after {move.after}" if move.after else ""
        yield f"{move.id}  {move.money} to {move.to_rail}, by {who}, from {move.from_} ({move.give})"
        yield f"    begin {move.at:%Y-%m-%d %H:%M} UTC{after}, there {move.arrives_at:%Y-%m-%d %H:%M} UTC, costs {move.cost}"
        yield f"    {move.why}"
    for note in plan.notes:
        yield f"note: {note}"
    if plan.moves:
        yield f"cost of all: {', '.join(map(str, plan.costs.values()))}; good until {plan.valid_until:%Y-%m-%d %H:%M} UTC"
        yield "to have one made: lastmile float approve MOVE --by NAME --reason …"


def plan_document(plan: Plan) -> dict[str, Any]:
    """For programs."""
    return {
        "id": plan.id,
        "made_at": plan.made_at.isoformat(),
        "valid_until": plan.valid_until.isoformat(),
        "moves": [_move_document(move) for move in plan.moves],
        "costs": [_money(money) for money in plan.costs.values()],
        "notes": list(plan.notes),
    }


def _move_document(move: Move) -> dict[str, Any]:
    return {
        "id": move.id,
        "from": move.from_,
        "give": _money(move.give),
        "by": move.by,
        "to_rail": move.to_rail,
        "money": _money(move.money),
        "at": move.at.isoformat(),
        "arrives_at": move.arrives_at.isoformat(),
        "cost": _money(move.cost),
        "why": move.why,
        "account": move.to.account if move.to else move.address,
        "after": move.after,
    }


def view_lines(view: MoveView) -> Iterator[str]:
    """How a move stands: two lines, and what can be done about it."""
    move = view.move
    who = move.by or "a person"
    yield f"{move.id}  {WORDS[view.stage]}  {move.money} to {move.to_rail}, by {who}, from {move.from_} ({move.give})"
    said = [
        f"proposed by {view.proposed_by}" if view.stage is Stage.PROPOSED else None,
        f"approved by {view.approved_by}, {view.approved_at:%Y-%m-%d %H:%M} UTC" if view.approved_at else None,
        f"lastmile payouts show {view.order_id}" if view.order_id else None,
        view.reason,
    ]
    if any(said):
        yield f"    {'; '.join(filter(None, said))}"
    if view.stage is Stage.APPROVED and view.by_person:
        yield f"    send {move.give} to {move.address}, then: lastmile float arrived {move.id} --reference TRANSACTION"


def view_document(view: MoveView) -> dict[str, Any]:
    """For programs."""
    moments = {"proposed_at": view.proposed_at, "approved_at": view.approved_at, "ended_at": view.ended_at}
    return {
        **_move_document(view.move),
        "state": view.stage,
        "persons": view.persons,
        "proposed_by": view.proposed_by,
        "approved_by": view.approved_by,
        **{name: moment and moment.isoformat() for name, moment in moments.items()},
        "order": view.order_id,
        "reason": view.reason,
    }


def _money(money: Money) -> dict[str, str]:
    return {"amount": money.decimal(), "asset": money.asset.code}
