"""`lastmile payouts`. Payouts that need a person: unknown outcomes, holds, evidence."""
# ruff: noqa: PLC0415, PLR0913, PLR0917, FBT002 - commands import what they need when they run; options are keywords on the command line

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.commands import evidence, payout_holds
from gateway.commands.desk import NoSuch, in_transaction
from gateway.commands.place import AsJson, Config, Data

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from gateway.main import Gateway
    from gateway.payouts.attention import AttemptLine
    from gateway.payouts.dossier import AttemptFile, Dossier

app = typer.Typer(no_args_is_help=True, help="Payouts that need a person: unknown outcomes, holds, evidence.")
app.add_typer(evidence.app)
app.add_typer(payout_holds.app)


@app.command("list")
def list_command(
    unknown: Annotated[bool, typer.Option("--unknown", help="Those of which nobody knows what became.")] = False,
    pending: Annotated[bool, typer.Option("--pending", help="Those that their rail has.")] = False,
    overdue: Annotated[bool, typer.Option("--overdue", help="Those that take longer than their rail does.")] = False,
    failed: Annotated[bool, typer.Option("--failed", help="Those that failed, the newest first.")] = False,
    proposed: Annotated[bool, typer.Option("--proposed", help="Those whose evidence waits for a second person.")] = False,
    owed: Annotated[bool, typer.Option("--owed", help="Those that were paid in part; the rest is owed.")] = False,
    most: Annotated[int, typer.Option("--most", min=1, max=1000, help="How many at most.")] = 100,
    after: Annotated[str, typer.Option("--after", help="Go on after this attempt.")] = "",
    as_json: AsJson = False,
    config: Config = None,
    data: Data = None,
) -> None:
    """List attempts that need a person: of unknown end, overdue, with evidence for a second person, or with a rest owed."""
    from gateway.clock import system_clock
    from gateway.payouts.attention import Which, list_attempts

    given = {
        Which.UNKNOWN: unknown,
        Which.PENDING: pending,
        Which.OVERDUE: overdue,
        Which.FAILED: failed,
        Which.PROPOSED: proposed,
        Which.OWED: owed,
    }
    wanted = [which for which, asked in given.items() if asked]
    if len(wanted) > 1:
        options = ", ".join(f"--{which}" for which in given)
        raise NoSuch(f"Choose one of {options}; without, all that need a person are listed.")
    which, now = next(iter(wanted), None), system_clock()

    async def act(connection: AsyncConnection, gateway: Gateway) -> list[AttemptLine]:
        rules = gateway.resolutions
        return await list_attempts(connection, rules=rules, now=now, which=which, after=after, most=most)

    found = in_transaction(config, data, act)
    if as_json:
        typer.echo(json.dumps([_line_document(one, now=now) for one in found]))
        return
    for one in found:
        typer.echo(_line(one, now=now))
    if not found:
        typer.echo("There are none.", err=True)
    if len(found) == most:
        typer.echo(f"There may be more: --after {found[-1].attempt_id}", err=True)


@app.command()
def show(
    subject: Annotated[str, typer.Argument(metavar="ATTEMPT|ORDER", help="An attempt's id, or an order's.")],
    as_json: AsJson = False,
    config: Config = None,
    data: Data = None,
) -> None:
    """Show all that is known of an order's payout: answers, callbacks, evidence, steps, ledger, decisions."""
    from gateway.desk.history import Decided, decisions_about
    from gateway.payouts.dossier import dossier

    async def act(connection: AsyncConnection, _: Gateway) -> tuple[Dossier, list[Decided]]:
        found = await dossier(connection, subject=subject)
        if found is None:
            raise NoSuch(f'There is no attempt and no order "{subject}".')
        return found, await decisions_about(connection, subject=found.order_id)

    found, decisions = in_transaction(config, data, act)
    document = _document(found) | {"decisions": [one._asdict() for one in decisions]}
    typer.echo(json.dumps(document, default=str, indent=None if as_json else 2))


def _line(one: AttemptLine, *, now: datetime) -> str:
    hours = (now - one.sent_at) // timedelta(hours=1)
    marks = [word for word, holds in (("overdue", one.overdue), (f"proposed: {one.proposal}", one.proposal)) if holds]
    return f"{one.attempt_id}  {one.outcome:9}  {one.deliver}  {one.adapter}  {one.order_id}  {hours} h  {', '.join(marks)}"


def _line_document(one: AttemptLine, *, now: datetime) -> dict[str, Any]:
    return {
        "attempt": one.attempt_id,
        "order": one.order_id,
        "adapter": one.adapter,
        "outcome": one.outcome,
        "fault": one.fault,
        "reason": one.reason,
        "provider_ref": one.provider_ref,
        "amount": one.deliver.decimal(),
        "asset": one.deliver.asset.code,
        "sent_at": one.sent_at.isoformat(),
        "age_s": int((now - one.sent_at).total_seconds()),
        "asks": one.asks,
        "overdue": one.overdue,
        "proposal": one.proposal,
        "proposed_by": one.proposed_by,
    }


def _document(found: Dossier) -> dict[str, Any]:
    return {
        "order": found.order_id,
        "state": found.state,
        "attempts": [_attempt(one) for one in found.attempts],
        "steps": [asdict(step) for step in found.steps],
        "ledger": [
            {
                "template": line.template,
                "source": line.source,
                "destination": line.destination,
                "amount": line.money.decimal(),
                "asset": line.money.asset.code,
                "at": line.at,
            }
            for line in found.ledger
        ],
        "incidents": [dict(incident) for incident in found.incidents],
    }


def _attempt(one: AttemptFile) -> dict[str, Any]:
    case = one.case
    return {
        "id": case.attempt_id,
        "adapter": case.adapter,
        "outcome": case.outcome,
        "fault": one.fault,
        "reason": case.reason,
        "provider_ref": case.provider_ref,
        "receipt": case.receipt,
        "amount": case.ordered.decimal(),
        "asset": case.ordered.asset.code,
        "delivered": one.delivered and one.delivered.decimal(),
        "owed": case.owed.decimal(),
        "claimed": one.claimed,
        "way": one.way,
        "batch": one.batch_id,
        "evidence": dict(one.evidence),
        "asks": one.asks,
        "sent_at": case.sent_at,
        "due_at": one.due_at,
        "closed_at": case.closed_at,
        "reports": [report._asdict() for report in one.reports],
        "callbacks": [asdict(callback) for callback in one.callbacks],
        "resolutions": [
            asdict(resolution) | {"delivered": resolution.delivered and resolution.delivered.decimal()}
            for resolution in one.resolutions
        ],
        "files": [kept._asdict() for kept in one.files],
        "legs": [asdict(leg) | {"gave": leg.gave and str(leg.gave), "got": leg.got and str(leg.got)} for leg in one.legs],
    }
