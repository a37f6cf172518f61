"""`lastmile stuck`."""
# ruff: noqa: PLC0415, FBT002 - commands import what they need when they run; options are keywords on the command line

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import typer

from gateway.commands.desk import in_transaction
from gateway.commands.place import AsJson, Config, Data

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from gateway.main import Gateway
    from gateway.payouts.stuck import Stuck

app = typer.Typer()


@app.command("stuck")
def stuck_command(as_json: AsJson = False, config: Config = None, data: Data = None) -> None:
    """List what is past its deadline or waits for a person: how much money, since when, whose it is and what to do.

    Ends with code 1 if there is anything.
    """
    from gateway.clock import system_clock
    from gateway.payouts.stuck import stuck

    now = system_clock()

    async def act(connection: AsyncConnection, gateway: Gateway) -> list[Stuck]:
        return await stuck(connection, capabilities=gateway.rails.capabilities, drops=gateway.offer.drops(), now=now)

    found = in_transaction(config, data, act)
    if as_json:
        typer.echo(json.dumps([_document(one) for one in found]))
    else:
        for one in found:
            typer.echo(_line(one))
    if found:
        raise typer.Exit(1)
    typer.echo("Nothing is stuck.", err=True)


def _document(one: Stuck) -> dict[str, Any]:
    return {
        "what": one.what,
        "id": one.id,
        "order_id": one.order_id,
        "state": one.state,
        "amount": one.amount and one.amount.decimal(),
        "asset": one.amount and one.amount.asset.code,
        "since": one.since.isoformat(),
        "due_at": one.due_at and one.due_at.isoformat(),
        "owner": one.owner,
        "action": one.action,
    }


def _line(one: Stuck) -> str:
    of = "" if one.order_id in (None, one.id) else f" of {one.order_id}"
    amount = "" if one.amount is None else f", {one.amount}"
    since = f", since {one.since:%Y-%m-%d %H:%M} UTC"
    late = ", waits for a person" if one.due_at is None else f", due {one.due_at:%Y-%m-%d %H:%M}"
    return f"{one.what} {one.id}{of}: {one.state}{amount}{since}{late}; {one.owner}: {one.action}"
