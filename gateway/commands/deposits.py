"""`lastmile deposits`. What arrived and fits no order: kept, listed, and resolved by a named person."""
# ruff: noqa: PLC0415, FBT002 - commands import what they need when they run; options are keywords on the command line

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.commands import resolutions
from gateway.commands.desk import NoSuch, OrderId, chains_of, in_transaction, run
from gateway.commands.place import AsJson, Config, Data, place_of

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from gateway.desk.unmatched import Unmatched
    from gateway.main import Gateway

app = typer.Typer(no_args_is_help=True, help="What arrived and fits no order: kept, listed, and resolved by a named person.")
app.add_typer(resolutions.app)


@app.command("unmatched")
def unmatched_command(
    order: Annotated[str | None, typer.Option("--order", help="Of this order only.")] = None,
    kind: Annotated[str | None, typer.Option("--kind", help='Of this kind only, as in "late" or "wrong_chain".')] = None,
    most: Annotated[int, typer.Option("--most", min=1, max=1000, help="How many at most.")] = 100,
    after: Annotated[str, typer.Option("--after", help="Go on after the one with this key.")] = "",
    as_json: AsJson = False,
    config: Config = None,
    data: Data = None,
) -> None:
    """List what waits for a decision, the oldest orders first, and what can be done with each."""
    from gateway.clock import system_clock
    from gateway.desk.judge import Kind
    from gateway.desk.unmatched import unmatched

    if kind not in (None, *Kind):
        raise NoSuch(f"--kind {kind}: write one of {', '.join(Kind)}.")
    wanted = None if kind is None else Kind(kind)

    async def act(connection: AsyncConnection, gateway: Gateway) -> list[Unmatched]:
        return await unmatched(connection, rules=gateway.desk, order_id=order, kind=wanted, after=after, limit=most)

    found, now = in_transaction(config, data, act), system_clock()
    if as_json:
        typer.echo(json.dumps([_document(one, now=now) for one in found]))
        return
    for one in found:
        typer.echo(_line(one, now=now))
    if len(found) == most:
        typer.echo(f"There may be more: --after {found[-1].key}", err=True)


@app.command()
def show(order_id: OrderId, as_json: AsJson = False, config: Config = None, data: Data = None) -> None:
    """Show all of an order's money that waits for a decision, its newest offer, and what was decided so far."""
    from gateway.clock import system_clock
    from gateway.desk.history import decisions_about
    from gateway.desk.requote import newest_requote, open_requote
    from gateway.desk.unmatched import unmatched

    async def act(connection: AsyncConnection, gateway: Gateway) -> dict[str, Any]:
        now = system_clock()
        standing = await open_requote(connection, order_id=order_id, offer=gateway.offer, now=now)
        newest = await newest_requote(connection, order_id=order_id, offer=gateway.offer)
        waiting = await unmatched(connection, rules=gateway.desk, order_id=order_id)
        offered = newest and {
            "id": newest.id,
            "send": str(newest.quote.send),
            "receive": str(newest.quote.receive),
            "until": newest.quote.expires_at.isoformat(),
            "open": standing is not None,
            "agreed_at": newest.consent_at and newest.consent_at.isoformat(),
            "new_order": newest.new_order_id,
        }
        return {
            "order": order_id,
            "waiting": [_document(one, now=now) for one in waiting],
            "offer": offered,
            "decisions": [one._asdict() for one in await decisions_about(connection, subject=order_id)],
        }

    document = in_transaction(config, data, act)
    typer.echo(json.dumps(document, default=str, indent=None if as_json else 2))


@app.command()
def scan(
    what: Annotated[str, typer.Argument(metavar="ADDRESS|ORDER", help="A deposit address, or the order that has it.")],
    chain: Annotated[str | None, typer.Option("--chain", help="On this chain only; else on all of them.")] = None,
    blocks: Annotated[
        int, typer.Option("--blocks", min=1, max=5_000_000, help="How far back to look for transfers.")
    ] = 20_000,
    config: Config = None,
    data: Data = None,
) -> None:
    """Look at one address on all configured chains now: coins sent on a wrong network, or in a coin that isn't taken."""
    from gateway.chain.wire import NodeFault
    from gateway.db.session import transaction
    from gateway.desk.scan import address_of, look_at

    async def act(gateway: Gateway) -> bool:
        async with transaction(gateway.engine) as connection:
            address = await address_of(connection, what=what)
        whole = True
        for terms in chains_of(gateway, chain):
            try:
                look = await look_at(gateway.engine, terms=terms, address=address, clock=gateway.clock, blocks=blocks)
            except NodeFault as fault:
                typer.echo(f"{terms.name}: {fault}")
                whole = False
                continue
            if look.block is None:
                typer.echo(f"{terms.name}: not watched yet, so nothing is known to be final; start `lastmile work` first")
                whole = False
                continue
            there = ", ".join(map(str, look.holds)) or "nothing of a coin that we know"
            typer.echo(f"{terms.name}: {there} at final block {look.block}; {look.new} new")
        return whole

    if not run(config, data, act):
        raise SystemExit(1)


@app.command()
def prove(
    order_id: OrderId,
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="Where the money should go back to.")],
    until: Annotated[str | None, typer.Option("--until", help="The end that the signed text names.")] = None,
    signature: Annotated[str | None, typer.Option("--signature", help="The sender's signature, in hex with 0x.")] = None,
    config: Config = None,
    data: Data = None,
) -> None:
    """Print the text that the sending address has to sign for a refund address; with its signature, confirm the address."""
    from gateway.clock import system_clock
    from gateway.db.session import transaction
    from gateway.desk.ownership import Proof, prepare, prove_address
    from gateway.wiring import make_wallets

    if (until is None) != (signature is None):
        raise NoSuch("--until and --signature go together: both are of one text.")
    settings, _ = place_of(config, data)
    wallets = make_wallets(settings)

    async def ask(gateway: Gateway) -> None:
        async with transaction(gateway.engine) as connection:
            text, proof = await prepare(
                connection,
                order_id=order_id,
                address=address,
                gateway=gateway.settings.server.public_url,
                wallets=wallets,
                least=gateway.desk.least,
                now=system_clock(),
            )
        typer.echo(text)
        typer.echo(f"Hand the signature in with --until {proof.until.isoformat()}", err=True)

    async def check(gateway: Gateway) -> None:
        from gateway.chain.ownership import Contracts

        contracts = Contracts(gateway.chains)
        try:
            confirmed = await prove_address(
                gateway.engine,
                order_id=order_id,
                proof=Proof(address=address, until=_moment(until or ""), signature=signature or ""),
                gateway=gateway.settings.server.public_url,
                contracts=contracts,
                wallets=wallets,
                least=gateway.desk.least,
                now=system_clock(),
            )
        finally:
            await contracts.close()
        typer.echo(f"Money of {order_id} may go back to {confirmed} now.", err=True)

    run(config, data, ask if signature is None else check)


def _moment(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise NoSuch(f'"{text}" is no time: copy it from what this command printed with the text.') from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _line(one: Unmatched, *, now: datetime) -> str:
    amount = str(one.amount) if one.amount is not None else f"unsupported token {one.token}"
    days = one.age(now=now) // timedelta(days=1)
    return (
        f"{one.kind:17}  {amount}  chain {one.chain_id}  {one.order_id} ({one.state})  {days} days  "
        f"at the {one.lies.replace('_', ' ')}  can: {', '.join(one.ways)}"
    )


def _document(one: Unmatched, *, now: datetime) -> dict[str, Any]:
    return {
        "key": one.key,
        "kind": one.kind,
        "order": one.order_id,
        "state": one.state,
        "of": one.place,
        "amount": one.amount and one.amount.decimal(),
        "asset": one.amount and one.amount.asset.code,
        "units": str(one.units),
        "chain_id": one.chain_id,
        "token": one.token,
        "tx_hash": one.tx_hash,
        "log_index": one.log_index,
        "address": one.address,
        "sender": one.sender,
        "since": one.since.isoformat(),
        "age_s": int(one.age(now=now).total_seconds()),
        "lies_at": one.lies,
        "held_by": "gateway",
        "can": list(one.ways),
    }
