"""`lastmile agents`. Our own network of cash agents: clients, agents, their floats and claims."""
# ruff: noqa: PLC0415, FBT002 - commands import what they need when they run; options are keywords on the command line

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.commands.desk import in_transaction
from gateway.commands.place import AsJson, By, Config, Data, Reason

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from gateway.agents.accounts import AgentView, NewAgent, NewClient
    from gateway.agents.claims import ClaimView
    from gateway.main import Gateway
    from gateway.money import Money

app = typer.Typer(no_args_is_help=True, help="Our own network of cash agents: clients, agents, floats, claims.")
Name = Annotated[str, typer.Argument(help='The agent\'s name, as in "kiosk.4".')]
Amount = Annotated[str, typer.Argument(help='A plain decimal, as in "50000".')]
Currency = Annotated[str, typer.Argument(help="ISO 4217, as in KES.")]
Reference = Annotated[str, typer.Option("--reference", help="The bank's own id of the payment, so that it counts once.")]


@app.command("client")
def client_add(
    name: Annotated[str, typer.Argument(help="The client's name: a gateway that makes codes, our own among them.")],
    as_json: AsJson = False,
    config: Config = None,
    data: Data = None,
) -> None:
    """Add a client of the network. Its key is shown this once."""
    from gateway.agents.accounts import add_client

    async def act(connection: AsyncConnection, gateway: Gateway) -> NewClient:
        return await add_client(connection, name=name, now=gateway.clock())

    _show(in_transaction(config, data, act)._asdict(), as_json=as_json)
    typer.echo("The key is not kept here and can't be shown again. Store it now.", err=True)


@app.command("fund")
def client_fund(
    client: Annotated[str, typer.Argument(help="The client's name.")],
    amount: Amount,
    currency: Currency,
    reference: Reference,
    as_json: AsJson = False,
    config: Config = None,
    data: Data = None,
) -> None:
    """Book what a client has paid in, and show his account's id. The account is made with its first payment."""
    from gateway.agents.accounts import fund

    async def act(connection: AsyncConnection, gateway: Gateway) -> str:
        money = _money(amount, currency)
        return await fund(connection, client=client, money=money, reference=reference, now=gateway.clock())

    _show({"account": in_transaction(config, data, act)}, as_json=as_json)


@app.command("add")
def agent_add(
    name: Name,
    shop: Annotated[str, typer.Option("--shop", help="Where it is, as recipients know it.")],
    as_json: AsJson = False,
    config: Config = None,
    data: Data = None,
) -> None:
    """Add an agent, who can then sign in to /agent. Password and key are shown this once; `float` lets him pay out."""
    from gateway.agents.accounts import add_agent
    from gateway.operators.passwords import Passwords, new_password

    password = new_password()
    password_hash = Passwords().hashed(password)

    async def act(connection: AsyncConnection, gateway: Gateway) -> NewAgent:
        now = gateway.clock()
        return await add_agent(connection, name=name, shop=shop, password_hash=password_hash, now=now)

    _show(in_transaction(config, data, act)._asdict() | {"password": password}, as_json=as_json)
    typer.echo("Password and key are not kept here and can't be shown again. Store them now.", err=True)


@app.command("list")
def agent_list(as_json: AsJson = False, config: Config = None, data: Data = None) -> None:
    """List every agent, what we owe him, what he has reserved, and how far that may go."""
    from gateway.agents.accounts import list_agents

    async def act(connection: AsyncConnection, _gateway: Gateway) -> list[AgentView]:
        return await list_agents(connection)

    for one in in_transaction(config, data, act):
        if as_json:
            typer.echo(json.dumps(one._asdict(), default=str))
            continue
        state = "" if one.disabled_at is None else f"  disabled since {one.disabled_at:%Y-%m-%d}"
        money = "no float" if one.asset is None else f"owed {one.owed}, reserved {one.reserved}, at most {one.most}"
        typer.echo(f"{one.name}  {one.shop}  {money}{state}")


@app.command("float")
def agent_float(
    name: Name,
    amount: Amount,
    currency: Currency,
    config: Config = None,
    data: Data = None,
) -> None:
    """How much we may owe an agent in a currency before we settle; 0 stops him."""
    from gateway.agents.accounts import set_limit

    async def act(connection: AsyncConnection, _gateway: Gateway) -> None:
        await set_limit(connection, name=name, most=_money(amount, currency))

    in_transaction(config, data, act)
    typer.echo(f"{name} may pay out {amount} {currency} before we settle.", err=True)


@app.command("settle")
def agent_settle(
    name: Name,
    amount: Amount,
    currency: Currency,
    reference: Reference,
    by: By,
    reason: Reason,
    config: Config = None,
    data: Data = None,
) -> None:
    """Book that an agent was paid what we owed him."""
    from gateway.agents.accounts import settle

    async def act(connection: AsyncConnection, gateway: Gateway) -> bool:
        return await settle(
            connection,
            name=name,
            money=_money(amount, currency),
            reference=reference,
            operator=by,
            reason=reason,
            now=gateway.clock(),
        )

    new = in_transaction(config, data, act)
    typer.echo("Booked." if new else "That payment was booked before; nothing was done.", err=True)


@app.command("disable")
def agent_disable(name: Name, by: By, reason: Reason, config: Config = None, data: Data = None) -> None:
    """Let an agent claim nothing more. His sign-ins end at once; his claims are ours to confirm or release."""
    from gateway.agents.accounts import disable_agent

    async def act(connection: AsyncConnection, gateway: Gateway) -> None:
        await disable_agent(connection, name=name, operator=by, reason=reason, now=gateway.clock())

    in_transaction(config, data, act)
    typer.echo(f"{name} is disabled.", err=True)


@app.command("claims")
def claims(
    everything: Annotated[bool, typer.Option("--all", help="Those that are closed too.")] = False,
    most: Annotated[int, typer.Option("--most", min=1, max=1000, help="How many at most.")] = 100,
    as_json: AsJson = False,
    config: Config = None,
    data: Data = None,
) -> None:
    """List claims that wait for their confirmation: reserved by an agent who has not said that the cash is given."""
    from gateway.agents.claims import list_claims

    async def act(connection: AsyncConnection, _gateway: Gateway) -> list[ClaimView]:
        return await list_claims(connection, everything=everything, most=most)

    for one in in_transaction(config, data, act):
        facts = {"claim": one.id, "state": one.state, "money": str(one.money), "shop": one.shop, "since": one.reserved_at}
        typer.echo(json.dumps(facts, default=str) if as_json else "  ".join(str(each) for each in facts.values()))


@app.command("confirm")
def confirm(
    claim_id: Annotated[str, typer.Argument(metavar="CLAIM", help="The claim's id (wdr_…).")],
    document: Annotated[str, typer.Option("--document", help="Kind and number of what the recipient showed; it is kept.")],
    by: By,
    reason: Annotated[str, typer.Option("--reason", help="How we know that the cash was given, in a sentence; it is kept.")],
    config: Config = None,
    data: Data = None,
) -> None:
    """Confirm a claim for an agent who gave the cash and can't say so himself."""
    from gateway.agents.confirm import confirm_for_agent

    async def act(connection: AsyncConnection, gateway: Gateway) -> None:
        values: dict[str, Any] = {"operator": by, "reason": reason, "now": gateway.clock()}
        await confirm_for_agent(connection, claim_id=claim_id, document=document, **values)

    in_transaction(config, data, act)
    typer.echo(f"{claim_id} is confirmed.", err=True)


@app.command("release")
def release(
    subject: Annotated[str, typer.Argument(metavar="CLAIM", help="A claim (wdr_…), or a locked code (cod_…).")],
    by: By,
    reason: Annotated[str, typer.Option("--reason", help="How we know that no cash was given, in a sentence; it is kept.")],
    config: Config = None,
    data: Data = None,
) -> None:
    """Let a code wait again: its agent gave no cash, or it is locked. Ask him first; the recipient may have the cash."""
    from gateway.agents.confirm import release as release_claim
    from gateway.agents.confirm import unlock

    async def act(connection: AsyncConnection, gateway: Gateway) -> None:
        values: dict[str, Any] = {"operator": by, "reason": reason, "now": gateway.clock()}
        if subject.startswith("cod_"):
            await unlock(connection, code_id=subject, **values)
        else:
            await release_claim(connection, claim_id=subject, **values)

    in_transaction(config, data, act)
    typer.echo(f"{subject} is released.", err=True)


def _money(amount: str, currency: str) -> Money:
    """Raises `NoSuch` for what is no amount."""
    from babel.numbers import get_currency_precision

    from gateway.commands.desk import NoSuch
    from gateway.money import Asset, Money, MoneyError

    try:
        return Money.parse(amount, Asset(currency, get_currency_precision(currency)))
    except MoneyError as error:
        raise NoSuch(str(error)) from None


def _show(facts: dict[str, Any], *, as_json: bool) -> None:
    typer.echo(json.dumps(facts) if as_json else "\n".join(f"{key:<10}  {value}" for key, value in facts.items()))
