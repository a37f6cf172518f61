"""`lastmile route`. Why orders go where they go, and what another policy would have done."""
# ruff: noqa: PLC0415, FBT002 - commands import what they need when they run; options are keywords on the command line

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.commands.desk import NoSuch, OrderId, run
from gateway.commands.place import AsJson, Config, Data
from gateway.errors import Refusal

if TYPE_CHECKING:
    from collections import Counter

    from gateway.api.route import NumbersOut, RouteDecisionOut, RouteOut
    from gateway.main import Gateway
    from gateway.money import Asset
    from gateway.payouts.replay import Change, Comparison, Side

app = typer.Typer(no_args_is_help=True, help="Why orders go where they go, and what another policy would have done.")
CONFIGURED = "configured"
MOVES_SHOWN = 10
_SPAN = re.compile(r"([1-9]\d{0,4})([hd])")


class BadMoment(Refusal):
    """What was given isn't a time."""

    code = "bad_moment"

    def __init__(self, given: str) -> None:
        super().__init__(f'"{given}" is no time; write 2026-11-20, 2026-11-20T08:00 (UTC), or how long ago: 12h, 7d.')


@app.command()
def show(order: OrderId, as_json: AsJson = False, config: Config = None, data: Data = None) -> None:
    """Show why an order's payments went by their rails: candidates, numbers, refusals; and what would be chosen now."""

    async def act(gateway: Gateway) -> RouteOut:
        from gateway.api.route import route_document
        from gateway.db.session import reading
        from gateway.payouts.explain import explain, foresee
        from gateway.payouts.queries import order_view
        from gateway.routing.decisions import Shelf

        now = gateway.clock()
        scene = await gateway.scenes.at(gateway.engine, now=now)
        async with reading(gateway.engine) as connection:
            if await order_view(connection, now=now, order_id=order) is None:
                raise NoSuch(f'There is no order "{order}".')
            decisions = await explain(connection, order_id=order, rails=gateway.rails, shelf=Shelf())
            waiting = await foresee(connection, order_id=order, rails=gateway.rails, scene=scene, now=now)
        return route_document(order, decisions, waiting, told_all=True)

    found = run(config, data, act)
    if as_json:
        typer.echo(found.model_dump_json())
        return
    for one in found.decisions:
        _tell(one)
    if found.now is not None:
        typer.echo("It waits. Chosen now, it would be:")
        _tell(found.now)
    if not found.decisions and found.now is None:
        typer.echo("No decision about it is kept.", err=True)


@app.command("replay")
def replay_command(
    policy: Annotated[
        str,
        typer.Option(
            "--policy",
            help="cheapest, fastest, surest, balanced, the name of a [routing.policies.NAME] table, configured (that of the "
            "settings), or a file that ends in .toml with a [routing] table.",
        ),
    ],
    since: Annotated[str, typer.Option("--since", help="From when on: 2026-11-20, 2026-11-20T08:00 (UTC), 12h, 7d.")],
    until: Annotated[str | None, typer.Option("--until", help="Until when, likewise; else until now.")] = None,
    as_json: AsJson = False,
    config: Config = None,
    data: Data = None,
) -> None:
    """Run past decisions through another policy: cost, speed and failures side by side, as experience then expected them.

    A policy by name brings weights and shares; the rules that held at each decision stay. `configured` and files bring their
    rules too.
    """

    async def act(gateway: Gateway) -> Comparison:
        from gateway.payouts.replay import Comparison, replay

        now = gateway.clock()
        start, end = _moment(since, now=now), _moment(until, now=now) if until else now
        found, change = Comparison(policy=Path(policy).name), _change(policy, gateway)
        async for progress in replay(gateway.engine, rails=gateway.rails, policy=change, since=start, until=end, into=found):
            typer.echo(f"\r{progress.decisions} decisions, up to {progress.upto:%Y-%m-%d %H:%M}", err=True, nl=False)
        typer.echo("", err=True)
        return found

    found = run(config, data, act)
    if as_json:
        typer.echo(json.dumps(_document(found)))
        return
    for line in _table(found):
        typer.echo(line)


def _change(given: str, gateway: Gateway) -> Change:
    """Raises `NoSuch` and `ConfigError`."""
    from gateway.config.trials import ENDING, policy_in, policy_named
    from gateway.routing.policy import NAMED

    settings, capabilities = gateway.settings, gateway.rails.capabilities
    if given == CONFIGURED:
        return lambda _: gateway.scenes.scene.policy
    if given.endswith(ENDING):
        whole = policy_in(Path(given), settings=settings, capabilities=capabilities)
        return lambda _: whole
    known = (*NAMED, *settings.routing.policies, CONFIGURED)
    if given not in known:
        raise NoSuch(f'No policy is called "{given}"; there are: {", ".join(known)}, or give a file that ends in {ENDING}.')
    named = policy_named(given, settings=settings, capabilities=capabilities)
    return lambda policy: replace(policy, name=given, weights=named.weights, shares=named.shares)


def _moment(given: str, *, now: datetime) -> datetime:
    """Raises `BadMoment`."""
    if span := _SPAN.fullmatch(given):
        return now - timedelta(**{{"h": "hours", "d": "days"}[span[2]]: int(span[1])})
    try:
        found = datetime.fromisoformat(given)
    except ValueError:
        raise BadMoment(given) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _tell(one: RouteDecisionOut) -> None:
    ends = {"pay": f"by {one.rail} ({one.why})", "wait": f"waits: {one.reason}", "hold": f"held: {one.reason}"}
    typer.echo(f"{one.at:%Y-%m-%d %H:%M:%S}  {one.policy}  {one.attempt or '-'}  {ends[one.verdict]}")
    for number, each in enumerate(one.candidates, start=1):
        typer.echo(f"  {number:2}. {each.rail:20} {each.method:12} {_said(each.numbers)}  {each.why}")
    for refused in one.refused:
        said = _said(refused.numbers) if refused.numbers else ""
        typer.echo(f"   -  {refused.rail:20} {refused.method:12} {refused.reason} {refused.detail or ''}  {said}".rstrip())


def _said(numbers: NumbersOut) -> str:
    hand, fee, score = numbers.in_hand, numbers.rail_fee, numbers.score
    return (
        f"in hand {hand.amount} {hand.asset}, rail {fee.amount}, {numbers.wait_s}+{numbers.p50_s}..{numbers.p95_s} s, "
        f"{numbers.success_percent} % (at least {numbers.success_low_percent} %, of {numbers.samples}), score {score.amount}"
    )


def _document(found: Comparison) -> dict[str, Any]:
    return {
        "policy": found.policy,
        "decisions": found.decisions,
        "compared": found.recorded.paid,
        "would_wait": found.waits,
        "would_go": found.freed,
        "changed": found.changed,
        "changed_by_guess": found.guessed,
        "recorded": _side(found.recorded) | {"really": _really(found)},
        "other": _side(found.other),
        "moves": [{"from": old, "to": new, "orders": number} for (old, new), number in found.moves.most_common()],
    }


def _really(found: Comparison) -> dict[str, Any]:
    from gateway.payouts.replay import median

    return {"failed": found.failed, "median_s": median(found.took_s)}


def _side(side: Side) -> dict[str, Any]:
    from gateway.payouts.replay import median

    return {
        "rail_fees": _amounts(side.rail_fees),
        "cash_out": _amounts(side.cash_outs),
        "p50_s": median(side.p50_s),
        "p95_s": median(side.p95_s),
        "failures": _number(side.failures_ppm),
        "failures_at_most": _number(side.failures_most_ppm),
        "rails": dict(side.rails.most_common()),
    }


def _amounts(counted: Counter[Asset]) -> dict[str, str]:
    from gateway.money import Money

    return {asset.code: Money(units, asset).decimal() for asset, units in counted.items()}


def _number(ppm: int) -> str:
    tenths = -(-ppm // 100_000)
    return f"{tenths // 10}.{tenths % 10}"


def _table(found: Comparison) -> list[str]:
    one, other = _side(found.recorded), _side(found.other)
    names = {
        "p50_s": "half are there within, s",
        "p95_s": "19 of 20 are there within, s",
        "failures": "expected failures",
        "failures_at_most": "expected failures, at most",
    }
    money = [
        (f"{said}, {code}", one[key].get(code, 0), other[key].get(code, 0))
        for key, said in (("rail_fees", "rails' fees"), ("cash_out", "recipients' cash-out"))
        for code in sorted({*one[key], *other[key]})
    ]
    lines = [("", "recorded", found.policy), *money, *((said, one[key], other[key]) for key, said in names.items())]
    moves = [f"  {number:8}  {old} -> {new}" for (old, new), number in found.moves.most_common(MOVES_SHOWN)]
    return [
        *(f"{said:40} {left!s:>16} {right!s:>16}" for said, left, right in lines),
        f"{found.decisions} decisions, {found.recorded.paid} compared: {found.changed} would go by another rail,",
        f"{found.guessed} of these by a rail of which little was known.",
        f"{found.waits} would wait or be held instead, {found.freed} held ones would go.",
        f"What really happened: {found.failed} failed; half of those paid took {_really(found)['median_s']} s.",
        "What another policy would have left over for later decisions isn't counted.",
        *moves,
    ]
