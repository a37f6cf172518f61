"""`lastmile sweep`. Coins at deposit addresses and the treasury that they go to."""
# ruff: noqa: PLC0415, FBT002 - commands import what they need when they run; options are keywords on the command line

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from gateway.commands.place import AsJson, By, Config, Data, Reason, database, place_of
from gateway.errors import Refusal

if TYPE_CHECKING:
    from gateway.chain.sweep import Flush, Holding
    from gateway.chain.sweeper import Plan, Sweeper
    from gateway.config import Chain, Settings

T = TypeVar("T")

app = typer.Typer(no_args_is_help=True, help="Coins at deposit addresses and the treasury that they go to.")

ChainName = Annotated[str, typer.Argument(metavar="CHAIN", help="A chain's name, as the settings have it.")]
STATUS_MOST = 50


class NoSuchChain(Refusal):
    """The settings don't say how to sweep this chain."""

    code = "no_such_chain"


@app.command()
def plan(chain: ChainName, as_json: AsJson = False, config: Config = None, data: Data = None) -> None:
    """Show what lies at deposit addresses, what is worth sweeping now and why."""
    made = _sweeping(config, data, chain, lambda sweeper: sweeper.plan())
    if as_json:
        typer.echo(json.dumps(_plan_document(chain, made)))
        return
    for one in made.judged:
        mark = "sweep" if one.worth_it else "leave"
        typer.echo(f"{mark}  {one.holding.address}  {_held(one.holding)}  {one.holding.owner}  {one.why}")
    typer.echo(f"{made.said}.", err=True)


@app.command()
def run(  # noqa: PLR0913, PLR0917 - typer's options
    chain: ChainName,
    by: By,
    reason: Reason,
    order: Annotated[list[str] | None, typer.Option("--order", help="An order's deposit address. Repeatable.")] = None,
    address: Annotated[list[str] | None, typer.Option("--address", help="A deposit address of ours. Repeatable.")] = None,
    token: Annotated[str | None, typer.Option("--token", help='A token\'s contract, or "native"; else all listed.')] = None,
    as_json: AsJson = False,
    config: Config = None,
    data: Data = None,
) -> None:
    """Sweep now, worth it or not: any coin from any deposit address of ours. Without --order and --address: all with money.

    The worker sends it (`lastmile work`); `lastmile sweep status` shows what came of it.
    """
    from gateway.chain.forwarders import NO_ADDRESS

    coin = NO_ADDRESS if token == "native" else token  # noqa: S105 - not that kind of token

    def act(sweeper: Sweeper) -> Awaitable[dict[str, list[Holding]]]:
        return sweeper.order(addresses=address or [], owners=order or [], token=coin, operator=by, reason=reason)

    ordered = _sweeping(config, data, chain, act)
    if as_json:
        typer.echo(json.dumps({sweep: [_holding_document(one) for one in taken] for sweep, taken in ordered.items()}))
        return
    for sweep, taken in ordered.items():
        for one in taken:
            typer.echo(f"{sweep}  {one.address}  {_held(one)}")
    typer.echo("The worker sends it; `lastmile sweep status` shows what came of it." if ordered else _TAKEN, err=True)


_TAKEN = "Another sweep is taking all of it already; see `lastmile sweep status`."


@app.command()
def adopt(
    chain: ChainName,
    transaction: Annotated[str, typer.Argument(help="The transaction's hash.")],
    by: By,
    reason: Reason,
    config: Config = None,
    data: Data = None,
) -> None:
    """Book a final transaction in which somebody else swept addresses of ours: anyone may, and only the treasury gets it."""

    def act(sweeper: Sweeper) -> Awaitable[list[Flush]]:
        return sweeper.adopt(tx_hash=transaction, operator=by, reason=reason)

    for flush in _sweeping(config, data, chain, act):
        typer.echo(f"{flush.address}  {flush.token}  sent {flush.sent}, arrived {flush.arrived}")


@app.command()
def status(as_json: AsJson = False, config: Config = None, data: Data = None) -> None:
    """Show sweeps, open ones first, and what the last look at each chain said."""
    swept, schedules = _status(*place_of(config, data))
    if as_json:
        typer.echo(json.dumps({"sweeps": swept, "chains": schedules}, default=str))
        return
    for row in schedules:
        typer.echo(f"chain {row['chain_id']}: {row['said']}; next look {row['due_at']:%Y-%m-%d %H:%M}")
    for row in swept:
        state = row["outcome"] or row["state"] or "waits for the factory"
        told = [f"{row['items']} holdings", *([f"{row['failed']} refused"] if row["failed"] else [])]
        told += [str(row[name]) for name in ("hash", "reason") if row[name]]
        typer.echo(f"{row['id']}  chain {row['chain_id']}  {state}  {', '.join(told)}")


def _status(settings: Settings, folder: Path) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    from gateway.chain.sweeps import read_status
    from gateway.db.session import make_engine, transaction

    async def go(url: str) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
        engine = make_engine(url)
        try:
            async with transaction(engine) as connection:
                return await read_status(connection, most=STATUS_MOST)
        finally:
            await engine.dispose()

    with database(settings, folder) as url:
        return asyncio.run(go(url))


def _sweeping(config: Path | None, data: Path | None, name: str, act: Callable[[Sweeper], Awaitable[T]]) -> T:
    """Do something with a chain's sweeper."""
    from gateway.chain.quorum import connect_all
    from gateway.chain.sweeper import Sweeper
    from gateway.clock import system_clock
    from gateway.db.session import make_engine
    from gateway.wiring import chain_terms, sweep_rules

    settings, folder = place_of(config, data)
    chain = _chain(settings, name)
    rules = sweep_rules(chain)

    async def go(url: str) -> T:
        engine, quorum = make_engine(url), connect_all(chain_terms(chain))
        sweeper = Sweeper(terms=chain_terms(chain), rules=rules, quorum=quorum, engine=engine, clock=system_clock)
        try:
            return await act(sweeper)
        finally:
            await quorum.close()
            await engine.dispose()

    with database(settings, folder) as url:
        return asyncio.run(_telling(go(url)))


async def _telling(work: Awaitable[T]) -> T:
    """Nodes that can't be believed are a sentence to the person who asked."""
    from gateway.chain.wire import NodeFault

    try:
        return await work
    except NodeFault as fault:
        sentence = f"nothing was done, because the chain's nodes can't be believed at the moment: {fault}"
    raise Refusal(sentence)


def _chain(settings: Settings, name: str) -> Chain:
    found = next((chain for chain in settings.chains if chain.name == name), None)
    if found is None:
        raise NoSuchChain(f'no chain is named "{name}"; there are: {", ".join(chain.name for chain in settings.chains)}')
    if found.sweep is None:
        raise NoSuchChain(f"{name} has no key that pays for sweeps: give it a [chains.sweep] table")
    return found


def _held(holding: Holding) -> str:
    from gateway.money import Money

    if holding.asset is None:
        return f"{holding.held} units of {holding.token}"
    return f"{Money(holding.held, holding.asset).decimal()} {holding.asset.code}"


def _holding_document(holding: Holding) -> dict[str, object]:
    return {
        "address": holding.address,
        "order": holding.owner,
        "token": holding.token,
        "asset": holding.asset and holding.asset.code,
        "held_units": str(holding.held),
        "booked_units": str(holding.booked),
    }


def _plan_document(chain: str, made: Plan) -> dict[str, object]:
    holdings: Sequence[dict[str, object]] = [
        _holding_document(one.holding) | {"worth_it": one.worth_it, "why": one.why} for one in made.judged
    ]
    return {"chain": chain, "factory": made.stands, "said": made.said, "holdings": holdings}
