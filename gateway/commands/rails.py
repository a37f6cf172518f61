"""`lastmile rails`. The payment services that adapters speak to: how each is doing, what we hold there, stop and start."""
# ruff: noqa: PLC0415, FBT002 - commands import what they need when they run; options are keywords on the command line

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.commands.desk import NoSuch, in_transaction
from gateway.commands.place import AsJson, By, Config, Data, Reason, database, place_of

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from gateway.main import Gateway
    from gateway.payouts.standing import RailStanding

app = typer.Typer(invoke_without_command=True)
RailName = Annotated[str, typer.Argument(metavar="RAIL", help="The adapter's name in the settings.")]


@app.callback()
def rails(context: typer.Context) -> None:
    """Rails: the payment services that adapters speak to. Without a command: lists the installed adapters."""
    if context.invoked_subcommand is None:
        from importlib.metadata import entry_points

        for point in sorted(entry_points(group="lastmile.adapters"), key=lambda point: point.name):
            typer.echo(f"{point.name}  {point.value}")


@app.command()
def status(as_json: AsJson = False, config: Config = None, data: Data = None) -> None:
    """Show how each configured rail is doing: its breaker, what is under way, what we hold there and what is promised."""
    from gateway.payouts.standing import rail_standings

    async def act(connection: AsyncConnection, gateway: Gateway) -> list[RailStanding]:
        return await rail_standings(connection, rails=gateway.rails)

    for standing in in_transaction(config, data, act):
        typer.echo(json.dumps(standing.document()) if as_json else standing.text())


@app.command()
def webhooks(as_json: AsJson = False, config: Config = None, data: Data = None) -> None:
    """Show the addresses to enter at providers which call one address about all payments, and where to enter them there."""
    from gateway.payouts.addresses import Webhook
    from gateway.payouts.addresses import webhooks as addresses_of

    async def act(_connection: AsyncConnection, gateway: Gateway) -> list[Webhook]:
        return addresses_of(gateway.rails, gateway.addresses)

    for one in in_transaction(config, data, act):
        text = f"{one.rail}  {one.label}  {one.address}\n  {one.where}"
        typer.echo(json.dumps(one._asdict()) if as_json else text)


@app.command()
def stop(rail: RailName, by: By, reason: Reason, config: Config = None, data: Data = None) -> None:
    """Send nothing more to a rail until a person starts it again. What was sent is asked about as before."""
    from gateway.payouts.breakers import open_breaker

    async def act(connection: AsyncConnection, gateway: Gateway) -> None:
        await open_breaker(connection, rail=_known(gateway, rail), operator=by, reason=reason, now=gateway.clock())

    in_transaction(config, data, act)
    typer.echo(f"Nothing more is sent to {rail}.", err=True)


@app.command()
def start(rail: RailName, by: By, reason: Reason, config: Config = None, data: Data = None) -> None:
    """Send to a rail again that a person or its breaker stopped."""
    from gateway.payouts.breakers import close_breaker

    async def act(connection: AsyncConnection, gateway: Gateway) -> None:
        await close_breaker(connection, rail=_known(gateway, rail), operator=by, reason=reason, now=gateway.clock())

    in_transaction(config, data, act)
    typer.echo(f"Payments go to {rail} again.", err=True)


@app.command("top-up")
def top_up(
    rail: RailName,
    amount: Annotated[str, typer.Argument(help='How much, as in "250000.00".')],
    currency: Annotated[str, typer.Argument(help="ISO 4217 code of a corridor's currency.")],
    reference: Annotated[str, typer.Option(help="The provider's reference of the transfer; it counts once.")],
    config: Config = None,
    data: Data = None,
) -> None:
    """Book money that you moved into your account at a rail. From the first one on, no more is promised than is there."""
    from gateway.check import top_up_rail

    settings, folder = place_of(config, data)
    with database(settings, folder) as url:
        said = asyncio.run(top_up_rail(settings, url, rail=rail, amount=amount, currency=currency, reference=reference))
    typer.echo(said, err=True)


def _known(gateway: Gateway, rail: str) -> str:
    if rail not in gateway.rails:
        raise NoSuch(f'No rail is named "{rail}"; there are: {", ".join(gateway.rails)}.')
    return rail
