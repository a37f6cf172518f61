"""`lastmile incidents`. What must not happen and did: listed, and closed by a named person."""
# ruff: noqa: PLC0415, FBT002 - commands import what they need when they run; options are keywords on the command line

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.commands.desk import in_transaction
from gateway.commands.place import AsJson, By, Config, Data, Reason

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from gateway.main import Gateway
    from gateway.operators.incidents import IncidentView

LISTED_MOST = 1_000

app = typer.Typer(no_args_is_help=True, help="What must not happen and did: each stays until a person closes it.")


@app.command("list")
def list_command(as_json: AsJson = False, config: Config = None, data: Data = None) -> None:
    """List the open incidents, the oldest first."""
    from gateway.operators.incidents import list_open_incidents

    async def act(connection: AsyncConnection, _gateway: Gateway) -> list[IncidentView]:
        return await list_open_incidents(connection, most=LISTED_MOST)

    for incident in in_transaction(config, data, act):
        if as_json:
            typer.echo(json.dumps(incident._asdict(), default=str))
            continue
        said = ", ".join(f"{name} {value}" for name, value in incident.detail.items())
        order = f"  {incident.order_id}" if incident.order_id else ""
        typer.echo(f"{incident.id}  {incident.opened_at:%Y-%m-%d %H:%M UTC}  {incident.kind}{order}\n  {said}")


@app.command()
def close(
    incident_id: Annotated[int, typer.Argument(metavar="INCIDENT", help="Its number.", min=1, max=2**63 - 1)],
    by: By,
    reason: Reason,
    config: Config = None,
    data: Data = None,
) -> None:
    """Close an incident that you have looked into. It is kept, with your name and reason."""
    from gateway.operators.incidents import close_incident

    async def act(connection: AsyncConnection, gateway: Gateway) -> None:
        await close_incident(connection, incident_id=incident_id, operator=by, reason=reason, now=gateway.clock())

    in_transaction(config, data, act)
    typer.echo(f"Incident {incident_id} is closed.", err=True)
