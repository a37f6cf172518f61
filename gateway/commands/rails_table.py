"""`lastmile rails table`. The installed rails as a Markdown table, generated from what their adapters declare.

Capabilities depend on settings; taken are those with which each adapter speaks to its own simulator, and it is not called.
"""
# ruff: noqa: PLC0415 - commands import what they need when they run

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

import typer

from gateway.errors import Refusal
from gateway.offramp import AdapterContext, AdapterFactory, CallsBack, Capabilities, Corridor, Offramp, Resend

if TYPE_CHECKING:
    from gateway.money import Asset, Money

app = typer.Typer()

HEAD = ("rail", "countries", "methods", "one payment", "sent twice", "settles within", "callbacks")
NAMED_MOST = 4
"""How many currencies' limits are named."""
NOWHERE = "http://127.0.0.1:9"
SENT_TWICE = {
    Resend.DEDUPED: "pays once",
    Resend.FINDABLE: "never sent twice: found by our id",
    Resend.BLIND: "never sent twice: a person looks",
}


class RailUnusable(Refusal):
    """An installed adapter can't be made with the settings of its own simulator."""

    code = "rail_unusable"

    def __init__(self, rail: str, error: Exception) -> None:
        super().__init__(f"The adapter {rail} can't be made with its simulator's settings: {type(error).__name__}: {error}")


@app.command("table")
def print_table() -> None:
    """Print the installed rails as a Markdown table, from what their adapters declare."""
    typer.echo(rails_table())


def rails_table() -> str:
    """The table. Raises `RailUnusable`."""
    rows = [HEAD, tuple("---" for _ in HEAD), *asyncio.run(_rows())]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


async def _rows() -> list[tuple[str, ...]]:
    simulators = {point.name: point for point in entry_points(group="lastmile.simulators")}
    rows = []
    for point in sorted(entry_points(group="lastmile.adapters"), key=lambda point: point.name):
        try:
            adapter = _made(point.name, factory=point.load(), simulator=simulators[point.name].load())
        except Exception as error:
            raise RailUnusable(point.name, error) from error
        rows.append(_row(adapter))
        await adapter.close()
    return rows


def _made(name: str, *, factory: AdapterFactory, simulator: Callable[..., Any]) -> Offramp:
    from gateway.clock import system_clock
    from gateway.railsim import Options

    simulated = simulator(Options())
    settings = simulated.state.settings(NOWHERE)
    simulated.desk.shelf.close()

    def address(attempt_id: str, label: str) -> str:
        return f"{NOWHERE}/{attempt_id}/{label}"

    return factory(AdapterContext(name=name, settings=settings, callback_address=address, clock=system_clock))


def _row(adapter: Offramp) -> tuple[str, ...]:
    known = adapter.capabilities
    return (
        f"`{known.name}`",
        ", ".join(sorted({each.country for each in known.corridors})),
        ", ".join(sorted({each.method.value.replace("_", " ") for each in known.corridors})),
        _limits(known.corridors),
        _resend(known),
        _time(known.settles_within),
        _callbacks(adapter),
    )


def _limits(corridors: Sequence[Corridor]) -> str:
    """Per currency, the widest that any corridor takes."""
    assets: dict[Asset, list[Corridor]] = {}
    for each in corridors:
        assets.setdefault(each.asset, []).append(each)
    said = [
        f"{_amount(min(each.least for each in ways))} to {_amount(max(each.most for each in ways))} {asset.symbol}"
        for asset, ways in assets.items()
    ]
    more = len(said) - NAMED_MOST
    return "; ".join([*said[:NAMED_MOST], *([f"and {more} more currencies"] if more > 0 else [])])


def _amount(money: Money) -> str:
    """With thousands apart, and a fraction only if there is one: "250,000", "0.50"."""
    whole, _, fraction = money.decimal().partition(".")
    return f"{int(whole):,}" + (f".{fraction}" if fraction.strip("0") else "")


def _resend(known: Capabilities) -> str:
    within = f" within {_time(known.resend_within)}" if known.resend is Resend.DEDUPED else ""
    return SENT_TWICE[known.resend] + within


def _callbacks(adapter: Offramp) -> str:
    if not isinstance(adapter, CallsBack):
        return "none: it is asked"
    return "signed: trusted" if adapter.capabilities.callbacks_are_proof else "make us ask"


def _time(span: timedelta) -> str:
    """The longest unit that says it exactly: "90 min", "2 h", "3 d"."""
    seconds = int(span.total_seconds())
    units: Iterable[tuple[int, str]] = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
    size, unit = next((size, unit) for size, unit in units if seconds % size == 0 and seconds >= size)
    return f"{seconds // size} {unit}"
