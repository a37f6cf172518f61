"""Rails' balances: what each says that we can pay out there, and what the books say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.clock import Clock
from gateway.money import Money
from gateway.offramp import KeepsStatement
from gateway.payouts.rails import Rails
from gateway.treasury.books import Held
from gateway.treasury.floats import balance_of, tells_balance
from gateway.treasury.report import SHOWN_MOST, Break, Comparison, Findings, Item, NotMade

_OPEN = text("""
SELECT adapter, deliver_asset AS asset, count(*) AS attempts, sum(deliver_units) AS units,
    (array_agg(jsonb_build_array(id, outcome, deliver_units\\:\\:text) ORDER BY id))[1:200] AS listed
FROM attempts WHERE closed_at IS NULL GROUP BY adapter, deliver_asset
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a rail said of our account there. The books were read as `before` before it was asked."""

    rail: str
    balances: Sequence[Money]
    before: Mapping[tuple[str, str], Held]


async def ask_balances(
    engine: AsyncEngine, *, rails: Rails, before: Mapping[tuple[str, str], Held], clock: Clock
) -> tuple[list[Told], list[NotMade]]:
    """The balances of the rails that tell them."""
    told, not_made = [], []
    for rail, adapter in rails.items():
        if not tells_balance(adapter):
            continue
        try:
            balances = await balance_of(engine, rail=rail, adapter=adapter, clock=clock)
        except Exception as error:  # noqa: BLE001 - whatever an adapter raises, the other places are compared all the same
            why = f"the rail didn't tell its balance ({type(error).__name__})"
            not_made.append(NotMade(check=f"rail:{rail}", why=why))
        else:
            told.append(Told(rail=rail, balances=balances, before=before))
    return told, not_made


def not_compared(rails: Rails, *, files: Sequence[str]) -> list[NotMade]:
    """Rails of which this run learns nothing: they tell neither balance nor statement, and no file was given."""
    sentence = "this rail tells neither its balance nor its statement by itself; download its statement and give it: "
    return [
        NotMade(check=f"rail:{rail}", why=f"{sentence}--statement {rail}=FILE")
        for rail, adapter in rails.items()
        if not (tells_balance(adapter) or isinstance(adapter, KeepsStatement)) and rail not in files
    ]


async def compare_balances(
    connection: AsyncConnection,
    *,
    told: Sequence[Told],
    held: Mapping[tuple[str, str], Held],
    lines: Sequence[Break],
) -> Findings:
    """Compare balances with the books, in the caller's snapshot. `lines`: what the statements' comparison found."""
    findings = Findings()
    open_attempts = {(row.adapter, row.asset): row for row in await connection.execute(_OPEN)}
    for answer in told:
        breaks = []
        for money in answer.balances:
            key = f"rail:{answer.rail}", money.asset.code
            flying = open_attempts.get((answer.rail, money.asset.code))
            if key not in held and flying is None:
                findings.not_made += _never_booked(answer.rail, money)
                continue
            comparison = _comparison(answer, money, held.get(key), flying)
            findings.comparisons.append(comparison)
            explained = sum(one.effect for one in lines if (one.place, one.asset) == key)
            if rest := comparison.beyond(explained):
                breaks.append(_differs(answer.rail, comparison, rest))
        findings.found(f"rail:{answer.rail}", breaks)
        untold = {asset for place, asset in held if place == f"rail:{answer.rail}" and held[place, asset].units}
        untold -= {money.asset.code for money in answer.balances}
        findings.not_made += [
            NotMade(check=f"rail:{answer.rail}:{asset}", why=f"the rail's balance says nothing of {asset}")
            for asset in sorted(untold)
        ]
    return findings


def _never_booked(rail: str, money: Money) -> list[NotMade]:
    """Of a rail at which the books never had anything, the balance is only what somebody put in before we began."""
    why = f"the rail holds {money}, and nothing was ever booked there: `lastmile rails top-up {rail}` books what you put in"
    return [NotMade(check=f"rail:{rail}:{money.asset.code}", why=why)] if money.units else []


def _comparison(answer: Told, money: Money, after: Held | None, flying: object) -> Comparison:
    """What was settled or opened while the rail was being asked may be in its balance or not, as may what is open."""
    asset = money.asset
    now = after or Held(asset, 0, 0)
    was = answer.before.get((f"rail:{answer.rail}", asset.code), Held(asset, 0, 0))
    attempts = [] if flying is None else flying.listed  # type: ignore[attr-defined]
    items = [Item(what=f"attempt {attempt} is {outcome}", low=-int(units), high=0) for attempt, outcome, units in attempts]
    came, went = now.entered - was.entered, now.gone - was.gone
    if came or went:
        items.append(Item(what="booked while the rail was asked", low=-came, high=went))
    return Comparison(
        place=f"rail:{answer.rail}",
        asset=asset,
        ledger=now.units,
        outside=money.units,
        low=-came - (0 if flying is None else int(flying.units)),  # type: ignore[attr-defined]
        high=went,
        items=tuple(items[:SHOWN_MOST]),
        count=(0 if flying is None else flying.attempts) + bool(came or went),  # type: ignore[attr-defined]
    )


def _differs(rail: str, comparison: Comparison, rest: int) -> Break:
    amount = f"{comparison.money(abs(rest))} {'more' if rest > 0 else 'less'}"
    return Break(
        cause=f"balance:rail:{rail}:{comparison.asset.code}",
        checked_by=f"rail:{rail}",
        kind="balance_differs",
        place=f"rail:{rail}",
        said=f"the rail holds {comparison.money(comparison.outside)}, {amount} than the books, what is in flight and the "
        "lines of its statement explain",
        next_step="compare the rail's statement line by line; what you put in: `lastmile reconcile book {id} --as top-up`, "
        "what the rail took: --as fee or claim, what you took out: --as capital",
        asset=comparison.asset.code,
        ours=comparison.ledger,
        theirs=comparison.outside,
        effect=rest,
        rail=rail,
    )
