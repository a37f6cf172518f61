"""`lastmile reconcile`: the books against chains, rails and statements; `book` enters what a person can explain."""
# ruff: noqa: PLC0415, FBT002 - commands import what they need when they run; options are keywords on the command line

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.commands.desk import in_transaction, run
from gateway.commands.place import AsJson, By, Config, Data, Reason
from gateway.errors import Refusal

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from gateway.main import Gateway
    from gateway.treasury.booking import Booked
    from gateway.treasury.queries import BreakView
    from gateway.treasury.report import Comparison, Report

LISTED_MOST = 1_000
SAID_MOST = 20
"""Items in flight that the table lists of one place; `--json` has more."""

app = typer.Typer()
reconcile_app = typer.Typer(help="Compare the books with chains, rails and statements.")
app.add_typer(reconcile_app, name="reconcile")


class BadStatementOption(Refusal):
    """A statement file can't be found or has no rail."""

    code = "bad_statement"


class BadSince(Refusal):
    """No moment."""

    code = "bad_since"


@reconcile_app.callback(invoke_without_command=True)
def reconcile_command(
    context: typer.Context,
    statement: Annotated[
        list[str] | None,
        typer.Option("--statement", metavar="RAIL=FILE", help="A statement that you downloaded. Repeatable."),
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", help="Ask rails for their statements from then on again, as in 2026-11-01.")
    ] = None,
    as_json: AsJson = False,
    config: Config = None,
    data: Data = None,
) -> None:
    """Compare the books with chains, rails and their statements, and name every difference down to the row.

    Ends with 0 if all is equal, with 1 if something differs, with 2 if nothing differs but something could not be compared.
    """
    if context.invoked_subcommand is not None:
        return
    from gateway.chains import chain_sides
    from gateway.treasury.reconcile import reconcile

    files = [_file(one) for one in statement or []]
    begin = None if since is None else _moment(since)

    async def act(gateway: Gateway) -> Report:
        async with AsyncExitStack() as stack:
            return await reconcile(
                gateway.engine,
                rails=gateway.rails,
                chains=await chain_sides(gateway.settings, stack, engine=gateway.engine, wallets=gateway.wallets),
                clock=gateway.clock,
                since=begin,
                statements=files,
                progress=lambda line: typer.echo(line, err=True),
            )

    report = run(config, data, act)
    _show(report, as_json=as_json)
    raise typer.Exit(report.exit_code)


@reconcile_app.command("book")
def reconcile_book(
    break_id: Annotated[str, typer.Argument(metavar="BREAK", help="Its number, as in brk_01JD…")],
    as_: Annotated[str, typer.Option("--as", help="What it was: fee, claim, top-up, capital or loss.")],
    by: By,
    reason: Reason,
    config: Config = None,
    data: Data = None,
) -> None:
    """Book a difference that you can explain: one entry, after which the books say what the outside says."""
    from gateway.treasury.booking import As, CannotBook, book_break

    if as_ not in list(As):
        raise CannotBook(f"--as {as_}: write one of {', '.join(As)}")

    async def act(connection: AsyncConnection, gateway: Gateway) -> Booked:
        return await book_break(connection, break_id=break_id, as_=As(as_), operator=by, reason=reason, now=gateway.clock())

    booked = in_transaction(config, data, act)
    typer.echo(f"{booked.money} from {booked.source} to {booked.destination}: {booked.cause}")


@reconcile_app.command("breaks")
def reconcile_breaks(as_json: AsJson = False, config: Config = None, data: Data = None) -> None:
    """List the differences that are open, the oldest first, without comparing anything."""
    from gateway.treasury.queries import open_breaks

    async def act(connection: AsyncConnection, _gateway: Gateway) -> list[BreakView]:
        return await open_breaks(connection, most=LISTED_MOST)

    found = in_transaction(config, data, act)
    if as_json:
        typer.echo(json.dumps([_document(one) for one in found]))
        return
    for one in found:
        typer.echo(_told(one.id, one.kind, one.place, one.said, one.next_step))


def _file(option: str) -> tuple[str, bytes]:
    rail, equals, name = option.partition("=")
    if not (rail and equals and name):
        raise BadStatementOption(f'--statement {option}: write the rail and the file, as in "mpesa=statement.csv"')
    try:
        return rail, Path(name).read_bytes()
    except OSError as error:
        raise BadStatementOption(f"--statement {option}: {name} can't be read: {error.strerror}") from None


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadSince(f'--since {text}: write a date or a time, as in "2026-11-01" or "2026-11-01T12:00+03:00"') from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _show(report: Report, *, as_json: bool) -> None:
    if as_json:
        from gateway.treasury.runs import as_document

        typer.echo(json.dumps(as_document(report)))
        return
    _table(report.comparisons)
    for one in report.breaks:
        break_id = report.ids.get(one.cause, "")
        typer.echo(_told(break_id, one.kind, one.place, one.said, one.next_step.replace("{id}", break_id)))
    for missing in report.not_made:
        typer.echo(f"not compared: {missing.check}: {missing.why}")
    for note in report.notes:
        typer.echo(note)
    breaks = f"{len(report.breaks)} break{'' if len(report.breaks) == 1 else 's'}"
    closed = f", {report.closed} of earlier runs over" if report.closed else ""
    not_made = f", {len(report.not_made)} not compared" if report.not_made else ""
    typer.echo(f"{report.outcome}: {breaks}{closed}{not_made}")


def _table(comparisons: Sequence[Comparison]) -> None:
    """Ledger, outside, in flight and difference of each place, with what is in flight below it."""
    head = ("place", "asset", "ledger", "outside", "in flight", "difference")
    rows = [head, *(_row(one) for one in comparisons)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for number, row in enumerate(rows):
        left, right = row[:2], row[2:]
        cells = [text.ljust(width) for text, width in zip(left, widths, strict=False)]
        cells += [text.rjust(width) for text, width in zip(right, widths[2:], strict=True)]
        typer.echo("  ".join(cells).rstrip())
        for item in comparisons[number - 1].items[:SAID_MOST] if number else ():
            typer.echo(f"    in flight: {item.what}")


def _row(one: Comparison) -> tuple[str, ...]:
    amounts = (one.ledger, one.outside, one.difference)
    ledger, outside, difference = (one.money(units).decimal() for units in amounts)
    return one.place, one.asset.code, ledger, outside, _range(one), difference


def _range(one: Comparison) -> str:
    low, high = one.money(one.low).decimal(), one.money(one.high).decimal()
    return low if one.low == one.high else f"{low} to {high}"


def _told(break_id: str, kind: str, place: str, said: str, next_step: str) -> str:
    return f"{break_id}  {kind}  {place}\n    {said}\n    next: {next_step}"


def _document(one: BreakView) -> dict[str, object]:
    return {
        "id": one.id,
        "kind": one.kind,
        "place": one.place,
        "said": one.said,
        "next_step": one.next_step,
        "effect_units": one.effect and str(one.effect.units),
        "asset": one.effect and one.effect.asset.code,
        "order": one.order_id,
        "attempt": one.attempt_id,
        "rail": one.rail,
        "line": one.line_id,
        "detail": dict(one.detail),
        "since": one.since and one.since.isoformat(),
        "found_at": one.found_at.isoformat(),
    }
