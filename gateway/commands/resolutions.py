"""The decisions of `lastmile deposits`: each by a named person, with the reason."""
# ruff: noqa: PLC0415 - commands import what they need when they run

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.commands.desk import NoSuch, OrderId, chains_of, in_transaction
from gateway.commands.place import By, Config, Data, Reason, place_of

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from gateway.desk.consent import Agreed
    from gateway.desk.requote import RequoteView
    from gateway.main import Gateway
    from gateway.money import Money

app = typer.Typer()

AssetCode = Annotated[str, typer.Option("--asset", help='The coin, as in "USDC@8453".')]
AnyAsset = Annotated[str | None, typer.Option("--asset", help='The coin, as in "USDC@8453"; else what the order asks for.')]
ChainName = Annotated[str, typer.Option("--chain", help="The chain's name in the settings.")]


@app.command()
def requote(
    order_id: OrderId,
    by: By,
    reason: Reason,
    asset: AnyAsset = None,
    minutes: Annotated[int | None, typer.Option("--minutes", min=1, max=1440, help="How long the offer holds.")] = None,
    config: Config = None,
    data: Data = None,
) -> None:
    """Offer a new price for what an order has; nothing moves unless the sender agrees."""
    from gateway.desk.requote import offer_requote

    async def act(connection: AsyncConnection, gateway: Gateway) -> RequoteView:
        return await offer_requote(
            connection,
            order_id=order_id,
            offer=gateway.offer,
            operator=by,
            reason=reason,
            now=gateway.clock(),
            asset=asset,
            holds_for=None if minutes is None else timedelta(minutes=minutes),
        )

    made = in_transaction(config, data, act)
    quote = made.quote
    typer.echo(made.id)
    typer.echo(f"{quote.send} for {quote.receive}, until {quote.expires_at:%H:%M UTC on %d %B}", err=True)


@app.command()
def accept(
    order_id: OrderId,
    requote_id: Annotated[str, typer.Argument(metavar="OFFER", help="The offer's id.")],
    by: By,
    reason: Annotated[str, typer.Option("--reason", help="What shows that the sender agreed; it is kept.")],
    config: Config = None,
    data: Data = None,
) -> None:
    """Write down that the sender agreed to an offer, and let it be paid out."""
    from gateway.desk.consent import accept_requote
    from gateway.desk.requote import Channel, Consent

    async def act(connection: AsyncConnection, gateway: Gateway) -> Agreed:
        return await accept_requote(
            connection,
            order_id=order_id,
            requote_id=requote_id,
            consent=Consent(channel=Channel.OPERATOR, name=by, evidence=reason),
            factories=gateway.factories,
            now=gateway.clock(),
        )

    agreed = in_transaction(config, data, act)
    typer.echo(agreed.order_id)
    typer.echo("It was agreed to before." if agreed.replayed else "It is paid out now.", err=True)


@app.command()
def release(order_id: OrderId, by: By, reason: Reason, config: Config = None, data: Data = None) -> None:
    """Let a held order go on at its own price, where all of its money is there and came in time."""
    from gateway.desk.resolve import release_hold

    async def act(connection: AsyncConnection, gateway: Gateway) -> None:
        await release_hold(connection, order_id=order_id, operator=by, reason=reason, now=gateway.clock())

    in_transaction(config, data, act)
    typer.echo(f"{order_id} goes on.", err=True)


@app.command()
def refund(
    order_id: OrderId,
    by: By,
    reason: Reason,
    of: Annotated[
        str, typer.Option("--of", help="unallocated: what came beside; funds: all of a held order.")
    ] = "unallocated",
    asset: AnyAsset = None,
    config: Config = None,
    data: Data = None,
) -> None:
    """Send all of it back to the confirmed address. For a part: `lastmile refunds order --amount`."""
    from gateway.refunds.order import Of, RefundWish, order_refund
    from gateway.wiring import make_wallets

    if of not in list(Of):
        raise NoSuch(f"--of {of}: write one of {', '.join(Of)}.")
    settings, _ = place_of(config, data)
    wallets = make_wallets(settings)
    wish = RefundWish(order_id=order_id, of=Of(of), reason=reason, asset=asset, operator=by)

    async def act(connection: AsyncConnection, gateway: Gateway) -> str:
        return await order_refund(connection, wish=wish, wallets=wallets, now=gateway.clock())

    typer.echo(in_transaction(config, data, act))


@app.command()
def recover(
    order_id: OrderId,
    by: By,
    reason: Reason,
    chain: ChainName,
    token: Annotated[str, typer.Option("--token", help='The contract\'s address, or "native" for the coin that pays gas.')],
    config: Config = None,
    data: Data = None,
) -> None:
    """Sweep a coin from an order's deposit address to the treasury, whatever coin it is and on whichever chain."""
    from gateway.chain.forwarders import NO_ADDRESS
    from gateway.desk.recover import recover as order_recovery

    async def act(connection: AsyncConnection, gateway: Gateway) -> str:
        return await order_recovery(
            connection,
            order_id=order_id,
            chain_id=chains_of(gateway, chain)[0].chain_id,
            token=NO_ADDRESS if token == "native" else token.lower(),  # noqa: S105 - no password
            rules=gateway.desk,
            operator=by,
            reason=reason,
            now=gateway.clock(),
        )

    typer.echo(in_transaction(config, data, act))


@app.command("write-off")
def write_off_command(
    order_id: OrderId,
    by: By,
    reason: Reason,
    asset: AssetCode,
    cost: Annotated[str, typer.Option("--cost", help='What sending it back would cost, in the same coin, as in "0.85".')],
    config: Config = None,
    data: Data = None,
) -> None:
    """Set aside what is worth less than its way back. It stays the sender's; `take-back` undoes it."""
    from gateway.desk.resolve import write_off

    async def act(connection: AsyncConnection, gateway: Gateway) -> Money:
        return await write_off(
            connection, order_id=order_id, asset=asset, cost=cost, operator=by, reason=reason, now=gateway.clock()
        )

    typer.echo(f"{in_transaction(config, data, act)} set aside.", err=True)


@app.command("take-back")
def take_back_command(
    order_id: OrderId, by: By, reason: Reason, asset: AssetCode, config: Config = None, data: Data = None
) -> None:
    """Give an order back what was written off of it."""
    from gateway.desk.resolve import take_back

    async def act(connection: AsyncConnection, gateway: Gateway) -> Money:
        return await take_back(connection, order_id=order_id, asset=asset, operator=by, reason=reason, now=gateway.clock())

    typer.echo(f"{in_transaction(config, data, act)} given back.", err=True)


@app.command()
def close(
    order_id: OrderId,
    by: By,
    reason: Reason,
    chain: ChainName,
    transfer: Annotated[str, typer.Option("--transfer", help="TX_HASH:LOG_INDEX, as `unmatched --json` has them.")],
    config: Config = None,
    data: Data = None,
) -> None:
    """Take coins of an unsupported contract off the list: there is nothing to them, or they were recovered."""
    from gateway.desk.recover import close_stray

    tx_hash, _, log_index = transfer.lower().rpartition(":")
    if not log_index.isdecimal():
        raise NoSuch(f"--transfer {transfer}: write TX_HASH:LOG_INDEX.")

    async def act(connection: AsyncConnection, gateway: Gateway) -> None:
        await close_stray(
            connection,
            order_id=order_id,
            chain_id=chains_of(gateway, chain)[0].chain_id,
            tx_hash=tx_hash,
            log_index=int(log_index),
            operator=by,
            reason=reason,
            now=gateway.clock(),
        )

    in_transaction(config, data, act)
    typer.echo("It is off the list.", err=True)
