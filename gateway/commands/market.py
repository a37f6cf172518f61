"""`lastmile rates` and `lastmile corridor`: what coins are worth, what stops quotes, and stopping them by hand."""
# ruff: noqa: PLC0415, FBT002 - commands import what they need when they run; options are keywords on the command line

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from gateway.commands.place import AsJson, By, Config, Data, Reason, database, gateway_at, in_transaction, place_of

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from gateway.pricing.halts import Stop
    from gateway.pricing.offer import Offer
    from gateway.pricing.rates import Rates, Stopped

T = TypeVar("T")

rates_app = typer.Typer(invoke_without_command=True, help="What each coin is worth in each currency, and what stops quotes.")
app = typer.Typer(no_args_is_help=True, help="Stop quotes by hand: of a corridor, a coin, or all of them.")

Corridor = Annotated[
    list[str] | None, typer.Argument(metavar="[COUNTRY CURRENCY METHOD]", help='A corridor, as in "KE KES mobile_money".')
]
Coin = Annotated[str | None, typer.Option("--coin", help='A coin on all chains instead, as in "USDC".')]
Everything = Annotated[bool, typer.Option("--all", help="Everything instead.")]


@rates_app.callback()
def rates(context: typer.Context, as_json: AsJson = False, config: Config = None, data: Data = None) -> None:
    """Print what each coin is worth in each currency, by whom, what we apply, and what is stopped since when and why."""
    if context.invoked_subcommand is not None:
        return
    from gateway.api.rates import rates_document
    from gateway.clock import system_clock
    from gateway.pricing.market import read_market
    from gateway.pricing.rates import rates_of

    async def look(connection: AsyncConnection, offer: Offer) -> Rates:
        now = system_clock()
        return rates_of(await read_market(connection, offer=offer, now=now), now=now)

    found = _with_offer(config, data, look)
    if as_json:
        typer.echo(json.dumps({**rates_document(found).model_dump(mode="json"), "stops": list(_stops(found))}))
        return
    for line in _lines(found):
        typer.echo(line)


@rates_app.command("accept")
def rates_accept(
    base: Annotated[str, typer.Argument(help='The peg, as in "USD".')],
    quote: Annotated[str, typer.Argument(help='The currency, as in "KES".')],
    by: By,
    reason: Reason,
    config: Config = None,
    data: Data = None,
) -> None:
    """Believe a rate that jumped, without waiting for more rounds of prices."""
    from gateway.clock import system_clock
    from gateway.pricing.halts import accept_jump

    now = system_clock()
    in_transaction(
        *place_of(config, data),
        lambda connection: accept_jump(connection, base=base, quote=quote, operator=by, reason=reason, now=now),
    )
    typer.echo(f"{base}/{quote} is quoted again at what its sources say.", err=True)


@app.command("halt")
def corridor_halt(
    by: By,
    reason: Reason,
    corridor: Corridor = None,
    coin: Coin = None,
    everything: Everything = False,
    config: Config = None,
    data: Data = None,
) -> None:
    """Stop quotes and new orders. Accepted orders are paid; deposits of a halted coin that come now are held."""
    from gateway.pricing.halts import halt, told

    async def stop(connection: AsyncConnection, offer: Offer) -> str:
        from gateway.clock import system_clock

        subject = _subject(offer, corridor or [], coin=coin, everything=everything)
        await halt(connection, subject=subject, operator=by, reason=reason, now=system_clock())
        return subject

    typer.echo(f"{told(_with_offer(config, data, stop))} is halted: no quotes, no new orders.", err=True)


@app.command("resume")
def corridor_resume(
    by: By,
    reason: Reason,
    corridor: Corridor = None,
    coin: Coin = None,
    everything: Everything = False,
    config: Config = None,
    data: Data = None,
) -> None:
    """End a halt by hand; of a coin, also its depeg. Orders that were held for a coin go on."""
    from gateway.pricing.halts import resume, told

    async def start(connection: AsyncConnection, offer: Offer) -> str:
        from gateway.clock import system_clock

        subject = _subject(offer, corridor or [], coin=coin, everything=everything, halted=True)
        await resume(connection, subject=subject, operator=by, reason=reason, now=system_clock())
        return subject

    typer.echo(f"{told(_with_offer(config, data, start))} is quoted again.", err=True)


@app.command("list")
def corridor_list(as_json: AsJson = False, config: Config = None, data: Data = None) -> None:
    """List what stops quotes now: by hand, and tripped breakers."""
    from gateway.pricing.halts import open_stops, told

    stops = in_transaction(*place_of(config, data), open_stops)
    if as_json:
        typer.echo(json.dumps([_stop_document(stop) for stop in stops]))
        return
    for stop in stops:
        by = f" by {stop.stopped_by}" if stop.stopped_by else ""
        typer.echo(f"{told(stop.subject)}  {stop.breaker}{by} since {stop.since:%Y-%m-%d %H:%M:%S} UTC: {stop.reason}")
    if not stops:
        typer.echo("Nothing is stopped.", err=True)


def _subject(offer: Offer, corridor: Sequence[str], *, coin: str | None, everything: bool, halted: bool = False) -> str:
    """What was named, and one thing only. `halted`: it needn't be offered any more. Raises `BadSubject`."""
    from gateway.pricing.halts import EVERYTHING, BadSubject, corridor_subject

    if bool(corridor) + (coin is not None) + everything != 1 or len(corridor) not in {0, 3}:
        raise BadSubject("name one thing: COUNTRY CURRENCY METHOD, or --coin SYMBOL, or --all")
    if everything:
        return EVERYTHING
    if coin is not None:
        coins = sorted({token.asset.symbol for token in offer.tokens.values()})
        if coin not in coins and not halted:
            raise BadSubject(f'no coin is called "{coin}"; there are: {", ".join(coins)}')
        return coin
    offered = sorted(corridor_subject(*key) for key in offer.corridors)
    subject = corridor_subject(*corridor)
    if subject not in offered and not halted:
        raise BadSubject(f"nothing is paid this way; there are: {', '.join(offered)}")
    return subject


def _lines(found: Rates) -> Iterator[str]:
    from gateway.money import decimal_of

    for coin in found.coins:
        price = "no source prices it" if coin.price is None else decimal_of(coin.price.price, digits=6)
        state = _state(coin.stopped) or ("counts as worth its peg" if coin.par_assumed else "open")
        yield f"{coin.symbol}  {price} {coin.peg}  {state}"
    for pair in found.pairs:
        mid = pair.mid
        told = "no rate" if mid is None else f"{decimal_of(mid.price, digits=6)} of {mid.as_of:%Y-%m-%d %H:%M:%S} UTC"
        by = "" if mid is None else f"  {', '.join(mid.sources) or 'par'}  confidence {decimal_of(mid.confidence, digits=2)}"
        yield f"{pair.symbol} in {pair.currency}  {told}{by}  {_state(pair.stopped) or 'open'}"
        yield from (f"    left out: {sentence}" for sentence in (() if mid is None else mid.out))
        for way in pair.corridors:
            applied = "" if way.applied is None else f"{decimal_of(way.applied, digits=6)} for {way.holds}"
            yield f"    {way.country} {way.method}  {applied or _state(way.stopped)}"


def _state(stopped: Stopped | None) -> str:
    if stopped is None:
        return ""
    since = "" if stopped.since is None else f" since {stopped.since:%Y-%m-%d %H:%M:%S} UTC"
    return f"STOPPED ({stopped.breaker}){since}: {stopped.detail}"


def _stops(found: Rates) -> Iterator[dict[str, str | None]]:
    yield from (_stop_document(stop) for stop in found.stops)


def _stop_document(stop: Stop) -> dict[str, str | None]:
    return {
        "subject": stop.subject,
        "breaker": stop.breaker,
        "since": stop.since.isoformat(),
        "by": stop.stopped_by,
        "reason": stop.reason,
    }


def _with_offer(config: Path | None, data: Path | None, action: Callable[[AsyncConnection, Offer], Awaitable[T]]) -> T:
    """What `action` gives with what this place offers, in one transaction on its database."""
    from gateway.db.session import transaction

    settings, folder = place_of(config, data)

    async def run(url: str) -> T:
        async with gateway_at(settings, folder, url) as gateway, transaction(gateway.engine) as connection:
            return await action(connection, gateway.offer)

    with database(settings, folder) as url:
        return asyncio.run(run(url))
