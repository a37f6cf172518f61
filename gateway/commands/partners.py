"""`lastmile partner`. Partner exchanges that use the API, and what they take on the orders that they make."""
# ruff: noqa: PLC0415, FBT002 - commands import what they need when they run; options are keywords on the command line

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.commands.place import By, Config, Data, Reason, in_transaction, place_of

if TYPE_CHECKING:
    pass

app = typer.Typer(no_args_is_help=True, help="Partner exchanges that use the API.")
Name = Annotated[str, typer.Argument(help="The partner's name.")]
FeeBps = Annotated[
    int, typer.Option("--fee-bps", help="Its own fee on its orders, in hundredths of a percent, as in 50 for 0.5 %.")
]


@app.command("add")
def partner_add(
    name: Name,
    fee_bps: FeeBps = 0,
    config: Config = None,
    data: Data = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Make a partner and its first client. The secret is shown this once."""
    from gateway.clock import system_clock
    from gateway.partners.clients import add_partner

    now = system_clock()
    made = in_transaction(
        *place_of(config, data), lambda connection: add_partner(connection, name=name, now=now, fee_bps=fee_bps)
    )
    if as_json:
        typer.echo(json.dumps(made._asdict()))
        return
    typer.echo(f"client_id      {made.client_id}\nclient_secret  {made.client_secret}")
    typer.echo("The secret is not kept here and can't be shown again. Store it now.", err=True)


@app.command("fee")
def partner_fee(name: Name, fee_bps: FeeBps, by: By, reason: Reason, config: Config = None, data: Data = None) -> None:
    """Change a partner's own fee, from the next quote on. What is quoted already stays as it is."""
    from gateway.clock import system_clock
    from gateway.partners.fees import set_fee

    now = system_clock()
    before = in_transaction(
        *place_of(config, data),
        lambda connection: set_fee(connection, name=name, fee_bps=fee_bps, operator=by, reason=reason, now=now),
    )
    typer.echo(f"{name} takes {fee_bps} basis points of its orders from now on; before it took {before}.", err=True)
