"""`lastmile tokens`. The coins that we take: what is known of each, and which are frozen."""
# ruff: noqa: PLC0415, FBT002 - commands import what they need when they run; options are keywords on the command line

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.commands.place import AsJson, By, Config, Data, Reason, in_transaction, place_of

if TYPE_CHECKING:
    from gateway.chain.tokendesk import TokenView

app = typer.Typer(no_args_is_help=True, help="The coins that we take: what is known of each, and which are frozen.")
AssetCode = Annotated[str, typer.Argument(metavar="ASSET", help='The coin and its chain\'s number, as in "USDC@8453".')]


@app.command("list")
def tokens_list(as_json: AsJson = False, config: Config = None, data: Data = None) -> None:
    """List every coin: its contract, what the registry knows of it, what the last look found, since when and why frozen."""
    from gateway.chain.tokendesk import token_views

    settings, folder = place_of(config, data)
    tokens = [(token.address, chain.asset(token=token)) for chain in settings.chains for token in chain.tokens]
    for view in in_transaction(settings, folder, lambda connection: token_views(connection, tokens=tokens)):
        typer.echo(json.dumps(asdict(view), default=str) if as_json else _lines(view))


@app.command("freeze")
def tokens_freeze(asset: AssetCode, by: By, reason: Reason, config: Config = None, data: Data = None) -> None:
    """Stop a coin: no new quotes and orders, deposits are held, nothing is swept or sent back until the freeze is lifted."""
    from gateway.chain.tokendesk import freeze_by_hand
    from gateway.clock import system_clock

    new = in_transaction(
        *place_of(config, data),
        lambda connection: freeze_by_hand(connection, asset=asset, operator=by, reason=reason, now=system_clock()),
    )
    typer.echo(f"{asset} is frozen." if new else f"{asset} was frozen by hand before; the decision is noted.", err=True)


@app.command("lift")
def tokens_lift(asset: AssetCode, by: By, reason: Reason, config: Config = None, data: Data = None) -> None:
    """Lift a coin's freezes. What the last look found of its contract counts as right from now on.

    Orders that the freeze held stay held: a person leads each on.
    """
    from gateway.chain.tokendesk import lift_by_hand
    from gateway.clock import system_clock

    in_transaction(
        *place_of(config, data),
        lambda connection: lift_by_hand(connection, asset=asset, operator=by, reason=reason, now=system_clock()),
    )
    typer.echo(f"{asset} is taken again. Orders that were held for it wait for a person.", err=True)


def _lines(view: TokenView) -> str:
    looked = "never looked at" if view.looked_at is None else f"looked at {view.looked_at:%Y-%m-%d %H:%M:%S} UTC"
    first = f"{view.asset}  {view.address or 'not configured'}  {view.kind or 'not in the registry'}  {looked}"
    freezes = [f"    frozen since {one.frozen_at:%Y-%m-%d %H:%M} UTC ({one.kind}): {one.reason}" for one in view.freezes]
    findings = [f"    at the last look: {sentence}" for sentence in view.findings]
    return "\n".join([first, *freezes, *findings])
