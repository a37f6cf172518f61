"""`lastmile fills`. Payouts that partner exchanges fill: who may offer them, and what a person has to judge."""
# ruff: noqa: PLC0415, FBT002 - commands import what they need when they run; options are keywords on the command line

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.commands.desk import NoSuch, in_transaction
from gateway.commands.place import AsJson, By, Config, Data, Reason

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from gateway.fills.clients import NewFillClient
    from gateway.fills.offers import FillView
    from gateway.main import Gateway

app = typer.Typer(no_args_is_help=True, help="Payouts that partner exchanges fill for us.")
clients = typer.Typer(no_args_is_help=True, help="Gateways that may offer payouts to partners, our own among them.")
app.add_typer(clients, name="clients")
Name = Annotated[str, typer.Argument(help="The client's name.")]


@clients.command("add")
def client_add(name: Name, as_json: AsJson = False, config: Config = None, data: Data = None) -> None:
    """Add a client, and show its id and secret."""
    from gateway.fills.clients import add_client

    async def act(connection: AsyncConnection, gateway: Gateway) -> NewFillClient:
        assert gateway.fills is not None
        return await add_client(connection, name=name, key=gateway.fills, now=gateway.clock())

    _show(in_transaction(config, data, act), as_json=as_json)


@clients.command("rotate")
def client_rotate(name: Name, as_json: AsJson = False, config: Config = None, data: Data = None) -> None:
    """Give a client a new secret. The old one ends at once."""
    from gateway.fills.clients import rotate

    async def act(connection: AsyncConnection, gateway: Gateway) -> NewFillClient:
        assert gateway.fills is not None
        return await rotate(connection, name=name, key=gateway.fills)

    _show(in_transaction(config, data, act), as_json=as_json)


@app.command("list")
def fill_list(
    state: Annotated[str, typer.Option("--state", help="offered, accepted, declined, expired, fulfilled …")] = "accepted",
    most: Annotated[int, typer.Option("--most", min=1, max=1000, help="How many at most.")] = 100,
    after: Annotated[str, typer.Option("--after", help="Go on after this fill.")] = "",
    as_json: AsJson = False,
    config: Config = None,
    data: Data = None,
) -> None:
    """List fills of a state; by default those that a partner has accepted and not answered since."""
    from gateway.clock import system_clock
    from gateway.fills.offers import STATES, list_fills

    if state not in STATES:
        raise NoSuch(f"there is no such state; there are {', '.join(STATES)}")

    async def act(connection: AsyncConnection, gateway: Gateway) -> list[FillView]:
        return await list_fills(connection, state=state, after=after, most=most, now=gateway.clock())

    for one in in_transaction(config, data, act):
        overdue = "overdue" if one.overdue(now=system_clock()) else ""
        claimed = "" if one.late_proof is None else "claims to have paid"
        facts = [one.id, one.reference, one.partner_id, one.state, str(one.money), overdue, claimed]
        typer.echo(json.dumps(facts) if as_json else "  ".join(each for each in facts if each))


@app.command("declined")
def declined(
    fill_id: Annotated[str, typer.Argument(metavar="FILL", help="The fill's id.")],
    by: By,
    reason: Reason,
    config: Config = None,
    data: Data = None,
) -> None:
    """Close an accepted fill on the partner's written word that he has not paid it and never will."""
    from gateway.fills.answers import declined_in_writing

    async def act(connection: AsyncConnection, gateway: Gateway) -> None:
        await declined_in_writing(connection, fill_id=fill_id, operator=by, reason=reason, now=gateway.clock())

    in_transaction(config, data, act)
    typer.echo(f"{fill_id} is declined.", err=True)


def _show(made: NewFillClient, *, as_json: bool) -> None:
    facts = made._asdict()
    typer.echo(json.dumps(facts) if as_json else "\n".join(f"{key:<13}  {value}" for key, value in facts.items()))
