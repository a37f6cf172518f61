"""`lastmile partner`. Partner exchanges that use the API, what they take on the orders that they make, and get of it."""
# ruff: noqa: PLC0415, FBT002 - commands import what they need when they run; options are keywords on the command line

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.commands.place import AsJson, By, Config, Data, Reason, in_transaction, place_of

if TYPE_CHECKING:
    from gateway.partners.settlements import AccountLine, PartnerAccount

app = typer.Typer(no_args_is_help=True, help="Partner exchanges that use the API.")
MOMENTS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M"]
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


@app.command()
def balances(as_json: AsJson = False, config: Config = None, data: Data = None) -> None:
    """List all partners: id, name, own fee, and what each has earned by it, was paid, and is owed."""
    from gateway.partners.settlements import partner_accounts

    for one in in_transaction(*place_of(config, data), partner_accounts):
        typer.echo(json.dumps(_document(one)) if as_json else _told(one))


@app.command()
def settle(
    name: Name,
    amount: Annotated[str, typer.Option("--amount", help='What you paid to it, as in "250.00".')],
    currency: Annotated[str, typer.Option("--currency", help="ISO 4217 code of the currency in which it earned that.")],
    reference: Annotated[str, typer.Option("--reference", help="The payment's, at your bank or wallet; it counts once.")],
    by: By,
    reason: Reason,
    config: Config = None,
    data: Data = None,
) -> None:
    """Book a payment that you made to a partner, of what it has earned. Never more than it is owed."""
    from gateway.clock import system_clock
    from gateway.partners.settlements import settle_partner

    paid = in_transaction(
        *place_of(config, data),
        lambda connection: settle_partner(
            connection,
            name=name,
            amount=amount,
            currency=currency,
            reference=reference,
            operator=by,
            reason=reason,
            now=system_clock(),
        ),
    )
    said = f'The reference "{reference}" was booked before; nothing was changed.'
    typer.echo(said if paid is None else f"Booked {paid} paid to {name}.", err=True)


@app.command()
def statement(
    name: Name,
    since: Annotated[datetime, typer.Option("--since", help="From when on (UTC).", formats=MOMENTS)],
    until: Annotated[
        datetime | None, typer.Option("--until", help="Until when (UTC); else until now.", formats=MOMENTS)
    ] = None,
    as_json: AsJson = False,
    config: Config = None,
    data: Data = None,
) -> None:
    """List what a partner earned and was paid, entry by entry, the oldest first."""
    from gateway.clock import system_clock
    from gateway.partners.settlements import partner_statement

    end = system_clock() if until is None else until.replace(tzinfo=UTC)
    lines = in_transaction(
        *place_of(config, data),
        lambda connection: partner_statement(connection, name=name, since=since.replace(tzinfo=UTC), until=end),
    )
    for line in lines:
        typer.echo(json.dumps(_entry(line)) if as_json else _entry_told(line))


def _document(one: PartnerAccount) -> dict[str, object]:
    money = {"earned": one.earned, "paid": one.paid, "owed": one.owed}
    return {
        "id": one.partner_id,
        "name": one.name,
        "fee_bps": one.fee_bps,
        "active": one.active,
        "currency": None if one.earned is None else one.earned.asset.code,
        **{name: None if each is None else each.decimal() for name, each in money.items()},
    }


def _told(one: PartnerAccount) -> str:
    money = "nothing earned" if one.earned is None else f"earned {one.earned}, paid {one.paid}, owed {one.owed}"
    return f"{one.partner_id}  {one.name}  {one.fee_bps} bps{'' if one.active else ', disabled'}  {money}"


def _entry(line: AccountLine) -> dict[str, object]:
    return {
        "at": line.at.isoformat(),
        "kind": line.kind,
        "currency": line.money.asset.code,
        "amount": line.money.decimal(),
        "order_id": line.order_id,
        "cause": line.cause,
    }


def _entry_told(line: AccountLine) -> str:
    return f"{line.at:%Y-%m-%d %H:%M:%S}  {line.money!s:>20}  {line.kind}  {line.order_id or line.cause}"
