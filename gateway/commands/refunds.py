"""`lastmile refunds`. Money that goes back to who sent it."""
# ruff: noqa: PLC0415, FBT002 - commands import what they need when they run; options are keywords on the command line

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from gateway.commands.place import AsJson, By, Config, Data, Reason, in_transaction, place_of
from gateway.errors import Refusal

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from gateway.config import Settings
    from gateway.money import Asset, Money
    from gateway.refunds.queries import RefundDetails, Stock
    from gateway.refunds.wallets import Wallet, Wallets

T = TypeVar("T")

app = typer.Typer(no_args_is_help=True, help="Money that goes back to who sent it.")

OrderId = Annotated[str, typer.Argument(metavar="ORDER", help="The order's id.")]
ChainName = Annotated[str, typer.Argument(metavar="CHAIN", help='The chain\'s name in the settings, as in "base".')]


class NoSuch(Refusal):
    """What was named isn't there."""

    code = "not_found"


class BadAmount(Refusal):
    """The amount can't be read."""

    code = "bad_amount"


@app.command()
def order(
    order_id: OrderId,
    by: By,
    reason: Reason,
    of: Annotated[str, typer.Option("--of", help="funds: what arrived for the order; unallocated: what came beyond.")],
    amount: Annotated[str | None, typer.Option("--amount", help="How much; without it, all there is.")] = None,
    asset: Annotated[
        str | None, typer.Option("--asset", help='As in "USDC@8453"; without it, what the order asks for.')
    ] = None,
    config: Config = None,
    data: Data = None,
) -> None:
    """Send money back to the order's confirmed address, from the refund wallet, on the chain on which it came."""
    from gateway.clock import system_clock
    from gateway.refunds.order import Of, RefundWish, order_refund

    if of not in list(Of):
        raise NoSuch(f"--of {of}: write one of {', '.join(Of)}.")

    async def act(connection: AsyncConnection, wallets: Wallets) -> str:
        units = None if amount is None else await _units(connection, order_id=order_id, asset=asset, amount=amount)
        wish = RefundWish(order_id=order_id, of=Of(of), reason=reason, units=units, asset=asset, operator=by)
        return await order_refund(connection, wish=wish, wallets=wallets, now=system_clock())

    typer.echo(_with_wallets(config, data, act))
    typer.echo("It is on its way; `lastmile refunds show` tells how far it is.", err=True)


@app.command("list")
def list_command(
    order_id: Annotated[str | None, typer.Option("--order", help="Of this order only.")] = None,
    as_json: AsJson = False,
    config: Config = None,
    data: Data = None,
) -> None:
    """List refunds: the open ones first, the newest first."""
    from gateway.refunds.queries import list_refunds

    async def act(connection: AsyncConnection) -> list[RefundDetails]:
        return await list_refunds(connection, order_id=order_id)

    found = _with_database(config, data, act)
    if as_json:
        typer.echo(json.dumps([_document(refund) for refund in found]))
        return
    for refund in found:
        typer.echo(
            f"{refund.id}  {refund.outcome:8}  {refund.amount}  order {refund.order_id}  {refund.note or ''}".rstrip()
        )


@app.command()
def show(
    refund_id: Annotated[str, typer.Argument(metavar="ID", help="The refund's id.")],
    as_json: AsJson = False,
    config: Config = None,
    data: Data = None,
) -> None:
    """Show all that is known of one refund."""
    from gateway.refunds.queries import find_refund

    async def act(connection: AsyncConnection) -> RefundDetails | None:
        return await find_refund(connection, refund_id=refund_id)

    refund = _with_database(config, data, act)
    if refund is None:
        raise NoSuch(f"There is no refund {refund_id}; `lastmile refunds list` lists them.")
    document = _document(refund)
    if as_json:
        typer.echo(json.dumps(document))
        return
    for name, value in document.items():
        typer.echo(f"{name:11}  {value}")


@app.command()
def address(
    order_id: OrderId,
    where: Annotated[str, typer.Argument(metavar="ADDRESS", help="Where the money may go back to.")],
    by: By,
    reason: Reason,
    evidence: Annotated[str, typer.Option("--evidence", help="What shows that it is the sender's address; it is kept.")],
    config: Config = None,
    data: Data = None,
) -> None:
    """Confirm where an order's money may go back to. Refunds that are ordered already keep their address."""
    from gateway.clock import system_clock
    from gateway.refunds.addresses import Confirmation, Source, confirm_address

    async def act(connection: AsyncConnection, wallets: Wallets) -> str:
        confirmation = Confirmation(
            order_id=order_id,
            address=where,
            source=Source.OPERATOR,
            confirmed_by=by,
            evidence={"said": evidence},
            reason=reason,
        )
        return await confirm_address(connection, confirmation=confirmation, wallets=wallets, now=system_clock())

    typer.echo(f"Money of {order_id} may go back to {_with_wallets(config, data, act)} now.", err=True)


@app.command()
def wallet(chain: ChainName, as_json: AsJson = False, config: Config = None, data: Data = None) -> None:
    """Show a chain's refund wallet: the address to fill, what it has by our books, and what open refunds want of it."""
    from gateway.refunds.queries import read_stock

    async def act(connection: AsyncConnection, wallets: Wallets) -> tuple[Wallet, list[Stock]]:
        found = _wallet(wallets, chain, settings)
        return found, await read_stock(connection, wallet=found)

    settings, folder = place_of(config, data)
    found, stock = _act(settings, folder, act)
    if as_json:
        coins = [{"asset": one.held.asset.code, "held": one.held.decimal(), "wanted": one.wanted.decimal()} for one in stock]
        typer.echo(json.dumps({"chain": chain, "address": found.address, "account": found.account, "coins": coins}))
        return
    typer.echo(f"{found.address}  ({found.account} in the books)")
    for one in stock:
        typer.echo(f"{one.held}, of which open refunds want {one.wanted}")


@app.command()
def fund(
    chain: ChainName,
    amount: Annotated[str, typer.Argument(help='How much arrived, as in "500.00".')],
    symbol: Annotated[str, typer.Argument(help='Of which coin, as in "USDC".')],
    by: By,
    reason: Reason,
    reference: Annotated[str, typer.Option("--reference", help="The hash of the transaction; it counts once.")],
    config: Config = None,
    data: Data = None,
) -> None:
    """Book coins that you moved from the treasury into a chain's refund wallet."""
    from gateway.clock import system_clock
    from gateway.refunds.fund import fund_wallet

    async def act(connection: AsyncConnection, wallets: Wallets) -> str:
        found = _wallet(wallets, chain, settings)
        _, coin = wallets.usable(f"{symbol}@{found.chain_id}", halted={})
        money = _money(amount, coin.asset)
        new = await fund_wallet(
            connection, wallet=found, money=money, reference=reference, operator=by, reason=reason, now=system_clock()
        )
        return f"{money} booked into the refund wallet of {chain}." if new else "This transaction was booked before."

    settings, folder = place_of(config, data)
    typer.echo(_act(settings, folder, act), err=True)


async def _units(connection: AsyncConnection, *, order_id: str, asset: str | None, amount: str) -> int:
    from gateway.refunds.queries import asset_of

    return _money(amount, await asset_of(connection, order_id=order_id, asset=asset)).units


def _money(amount: str, asset: Asset) -> Money:
    from gateway.money import Money, MoneyError

    try:
        return Money.parse(amount, asset)
    except MoneyError as error:
        raise BadAmount(str(error)) from None


def _wallet(wallets: Wallets, name: str, settings: Settings) -> Wallet:
    found = next((chain for chain in settings.chains if chain.name == name), None)
    if found is None:
        raise NoSuch(f'No chain is named "{name}"; there are: {", ".join(chain.name for chain in settings.chains)}.')
    if found.chain_id not in wallets.by_chain:
        raise NoSuch(f"{name} has no refund wallet: give it a [chains.refunds] table.")
    return wallets.by_chain[found.chain_id]


def _with_wallets(config: Path | None, data: Path | None, act: Callable[[AsyncConnection, Wallets], Awaitable[T]]) -> T:
    return _act(*place_of(config, data), act)


def _act(settings: Settings, folder: Path, act: Callable[[AsyncConnection, Wallets], Awaitable[T]]) -> T:
    """Do it in one transaction, with the wallets of the settings."""
    from gateway.wiring import make_wallets

    wallets = make_wallets(settings)
    return in_transaction(settings, folder, lambda connection: act(connection, wallets))


def _with_database(config: Path | None, data: Path | None, act: Callable[[AsyncConnection], Awaitable[T]]) -> T:
    return in_transaction(*place_of(config, data), act)


def _document(refund: RefundDetails) -> dict[str, Any]:
    return {
        "id": refund.id,
        "order": refund.order_id,
        "of": refund.of,
        "asset": refund.amount.asset.code,
        "amount": refund.amount.decimal(),
        "address": refund.address,
        "outcome": refund.outcome,
        "note": refund.note,
        "transaction": refund.tx_hash,
        "evidence": refund.evidence,
        "owner": refund.owner,
        "reason": refund.reason,
        "created_at": refund.created_at.isoformat(),
        "due_at": refund.due_at and refund.due_at.isoformat(),
        "closed_at": refund.closed_at and refund.closed_at.isoformat(),
    }
