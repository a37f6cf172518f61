"""Orders between deposit and payout: `held`, `hold`, `release`, `redirect`, `cancel` of `lastmile payouts`."""
# ruff: noqa: PLC0415, FBT002 - commands import what they need when they run; options are keywords on the command line

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.commands.desk import NoSuch, OrderId, in_transaction, run
from gateway.commands.evidence import AttemptId
from gateway.commands.place import AsJson, By, Config, Data, Reason

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from gateway.main import Gateway
    from gateway.payouts.cancel import Cancelled
    from gateway.payouts.holds import HeldOrder
    from gateway.payouts.redirect import Redirected

app = typer.Typer()


@app.command()
def held(
    order: Annotated[str | None, typer.Option("--order", help="This order only.")] = None,
    most: Annotated[int, typer.Option("--most", min=1, max=1000, help="How many at most.")] = 100,
    after: Annotated[str, typer.Option("--after", help="Go on after this order.")] = "",
    as_json: AsJson = False,
    config: Config = None,
    data: Data = None,
) -> None:
    """List orders that are held: why, since when, how much, and by which command they go on."""
    from gateway.clock import system_clock
    from gateway.payouts.holds import held_orders

    async def act(connection: AsyncConnection, _: Gateway) -> list[HeldOrder]:
        return await held_orders(connection, order_id=order, after=after, most=most)

    found, now = in_transaction(config, data, act), system_clock()
    if as_json:
        typer.echo(json.dumps([_document(one, now=now) for one in found]))
        return
    for one in found:
        hours = (now - one.since) // timedelta(hours=1)
        said = f"  {one.rail} said: {one.said}" if one.said else ""
        typer.echo(f"{one.order_id}  {one.reason:17}  {one.funds} for {one.deliver}  {hours} h{said}")
        if one.advice:
            typer.echo(f"    {one.advice}")
        typer.echo(f"    can: {', '.join(one.ways)}")
    if not found:
        typer.echo("None is held.", err=True)
    if len(found) == most:
        typer.echo(f"There may be more: --after {found[-1].order_id}", err=True)


@app.command()
def hold(order_id: OrderId, by: By, reason: Reason, config: Config = None, data: Data = None) -> None:
    """Stop an order before it is sent. If it was sent already, say so."""
    from gateway.payouts.holds import hold_order

    async def act(connection: AsyncConnection, gateway: Gateway) -> None:
        await hold_order(connection, order_id=order_id, operator=by, reason=reason, now=gateway.clock())

    in_transaction(config, data, act)
    typer.echo(f"{order_id} is held.", err=True)


@app.command()
def release(order_id: OrderId, by: By, reason: Reason, config: Config = None, data: Data = None) -> None:
    """Try a held order again now, unless what made the hold is still so."""
    from gateway.desk.resolve import release_hold

    async def act(connection: AsyncConnection, gateway: Gateway) -> None:
        await release_hold(connection, order_id=order_id, operator=by, reason=reason, now=gateway.clock())

    in_transaction(config, data, act)
    typer.echo(f"{order_id} goes on.", err=True)


@app.command()
def redirect(
    order_id: OrderId,
    account: Annotated[str, typer.Option("--account", help="Where the recipient wants it: number, CLABE, IBAN.")],
    by: By,
    reason: Annotated[str, typer.Option("--reason", help="Who asked for it, and how we know that it was them; it is kept.")],
    method: Annotated[
        str | None, typer.Option("--method", help="mobile_money, bank, card, cash or exchange; else the order's own.")
    ] = None,
    institution: Annotated[
        str | None, typer.Option("--institution", help="Its bank or wallet, where there are several.")
    ] = None,
    config: Config = None,
    data: Data = None,
) -> None:
    """Pay a held order's recipient by another way than the one that was refused."""
    from gateway.desk.case import read_case
    from gateway.orders.recipients import GivenWay
    from gateway.payouts.redirect import Channel, Redirect
    from gateway.payouts.redirect import redirect as redirect_order

    async def act(connection: AsyncConnection, gateway: Gateway) -> Redirected:
        wish = Redirect(
            order_id=order_id,
            way=GivenWay(method or (await read_case(connection, order_id=order_id)).method, account, institution),
            channel=Channel.OPERATOR,
            name=by,
            reason=reason,
        )
        return await redirect_order(connection, wish=wish, offer=gateway.offer, now=gateway.clock())

    done = in_transaction(config, data, act)
    typer.echo(f"{order_id} goes to {done.account_masked} by {done.method} now.", err=True)


@app.command()
def cancel(attempt_id: AttemptId, by: By, reason: Reason, config: Config = None, data: Data = None) -> None:
    """Ask the rail to stop a payment that it has and hasn't made yet. If it stops it, the order is held."""
    from gateway.payouts.cancel import cancel as cancel_attempt

    async def act(gateway: Gateway) -> Cancelled:
        return await cancel_attempt(
            gateway.engine, attempt_id=attempt_id, rails=gateway.rails, operator=by, reason=reason, clock=gateway.clock
        )

    done = run(config, data, act)
    typer.echo(done.outcome)
    if not done.answered:
        raise NoSuch("The rail gave no answer. It is being asked what became of it; should it fail, the order is held.")


def _document(one: HeldOrder, *, now: datetime) -> dict[str, Any]:
    return {
        "order": one.order_id,
        "reason": one.reason,
        "since": one.since.isoformat(),
        "age_s": int((now - one.since).total_seconds()),
        "amount": one.funds.decimal(),
        "asset": one.funds.asset.code,
        "deliver": one.deliver.decimal(),
        "currency": one.deliver.asset.code,
        "rail": one.rail,
        "said": one.said,
        "can": list(one.ways),
    }
