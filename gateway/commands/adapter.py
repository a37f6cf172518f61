"""`lastmile adapter`. For authors of adapters: check one against the contract, write the room of a new one."""
# ruff: noqa: PLC0415, FBT002 - commands import what they need when they run; options are keywords on the command line

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.commands.place import AsJson

if TYPE_CHECKING:
    from gateway.contract.scorecard import Check, Scorecard

LINE = 120
"""Width of the line of progress."""

app = typer.Typer(no_args_is_help=True, help="Adapters, for those who write them: check one, begin one.")


Which = Annotated[
    str | None, typer.Argument(metavar="[NAME|PACKAGE:CLASS|all]", help="Which one; without it every installed one.")
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Name the checks that passed, too.")]


@app.command()
def check(adapter: Which = None, as_json: AsJson = False, verbose: Verbose = False) -> None:
    """Run the contract suite on an adapter, over real HTTP against its simulator, and print its scorecard."""
    from gateway.contract.scorecard import check_all, wanted_contracts

    contracts = wanted_contracts(adapter)
    cards = check_all(contracts, progress=_tell)
    _tell("", None)
    if as_json:
        documents = [card.document() for card in cards]
        typer.echo(json.dumps(documents if adapter in (None, "all") else documents[0]))
    else:
        typer.echo("\n\n".join("\n".join(_lines(card, verbose=verbose)) for card in cards))
    if not all(card.ok for card in cards):
        raise SystemExit(1)


Name = Annotated[str, typer.Argument(metavar="NAME", help="In lower case, as in blue_bank.")]
Folder = Annotated[Path | None, typer.Option(help="Where to write: a package of adapters (./adapters), or any place (.).")]
Package = Annotated[bool, typer.Option("--package", help="Write a whole package of its own, with entry points.")]


@app.command()
def new(name: Name, folder: Folder = None, package: Package = False) -> None:
    """Write the room of a new adapter: a small rail that keeps the contract, with simulator, test and runbook. Edit it."""
    from gateway.contract.room import write_package, write_room

    room = write_package(name, folder=folder or Path()) if package else write_room(name, folder=folder or Path("adapters"))
    for path in room.files:
        typer.echo(os.path.relpath(path))
    if not package:
        typer.echo(f"\nDeclare it in pyproject.toml:\n\n{room.entry_points}")
    place = f"in {room.files[-1].parent.parent}, " if package else ""
    typer.echo(f"\nNow, {place}lastmile adapter check {room.reference}", err=True)


def _tell(adapter: str, done: Check | None) -> None:
    """Progress, on a terminal only: a line that is written over, and wiped out in the end."""
    if sys.stderr.isatty():
        line = f"{adapter}: {done.title}" if done else ""
        typer.echo(f"\r{line[:LINE].ljust(LINE)}\r", err=True, nl=False)


def _lines(card: Scorecard, *, verbose: bool) -> Iterator[str]:
    """The scorecard in words: per level what happened, below it what did not pass and why."""
    from gateway.contract.levels import LEVELS

    yield f"{card.adapter} ({card.contract})"
    if card.error is not None:
        yield f"  No check could be made: {card.error}"
        return
    for level, promise in (*LEVELS.items(), (None, "the adapter's own checks")):
        checks = [each for each in card.checks if each.level == level]
        if not checks:
            continue
        counted = Counter(each.verdict for each in checks)
        sums = ", ".join(f"{counted[verdict]} {verdict.words}" for verdict in counted)
        yield f"  {level or '+'}  {promise}: {sums}"
        yield from _details(checks, verbose=verbose)
    if card.ok:
        yield f"  Level {card.level} of {len(LEVELS)}: it keeps the whole contract."
    else:
        yield f"  Level {card.level} of {len(LEVELS)}. Level {card.level + 1} lacks what failed or is missing above."


def _details(checks: list[Check], *, verbose: bool) -> Iterator[str]:
    """What is bad, one by one; what doesn't apply, by its reason; what passed, if asked for."""
    from gateway.contract.scorecard import Verdict

    shown = {Verdict.FAILED, Verdict.MISSING, *([Verdict.PASSED] if verbose else [])}
    for each in checks:
        if each.verdict in shown:
            yield f"       {each.verdict.words:8} {each.title}" + (f": {each.reason}" if each.reason else "")
    reasons = Counter(each.reason for each in checks if each.verdict is Verdict.NOT_APPLICABLE)
    for reason, times in reasons.items():
        yield f"       n/a      {reason}" + (f" ({times} checks)" if times > 1 else "")
