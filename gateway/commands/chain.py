"""`lastmile chain`. Watched chains: where each stands, what a halt needs, blocks to scan again."""
# ruff: noqa: PLC0415, FBT002 - commands import what they need when they run; options are keywords on the command line

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from gateway.commands.place import AsJson, By, Config, Data, Reason, database, place_of
from gateway.errors import Refusal

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from gateway.chain.queries import ChainState, ProviderState
    from gateway.chain.quorum import Quorum
    from gateway.chain.resume import Resumed, Vanished
    from gateway.chain.terms import ChainTerms

T = TypeVar("T")

app = typer.Typer(no_args_is_help=True, help="Watched chains: where each stands, what a halt needs, blocks to scan again.")
Name = Annotated[str, typer.Argument(help='The chain\'s name in the settings, as in "base".')]
From = Annotated[int, typer.Option("--from", help="The first block to scan.")]
To = Annotated[int, typer.Option("--to", help="The last block to scan; it has to be final.")]


class UnknownChain(Refusal):
    """The settings have no chain by that name."""

    code = "unknown_chain"

    def __init__(self, name: str, *, known: Sequence[str]) -> None:
        super().__init__(f'no chain is named "{name}"; there are: {", ".join(known)}')


class ProvidersDisagree(Refusal):
    """Too few providers answer or agree."""

    code = "no_quorum"


@app.command("status")
def chain_status(as_json: AsJson = False, config: Config = None, data: Data = None) -> None:
    """Show each chain's cursor, how far it is behind, why it waits or is halted, and what we think of its providers."""
    from gateway.chain.queries import chain_states, provider_states
    from gateway.db.session import make_engine, transaction

    async def read(url: str) -> tuple[list[ChainState], list[ProviderState]]:
        engine = make_engine(url)
        try:
            async with transaction(engine) as connection:
                return await chain_states(connection), await provider_states(connection)
        finally:
            await engine.dispose()

    settings, folder = place_of(config, data)
    with database(settings, folder) as url:
        chains, providers = asyncio.run(read(url))
    states = {state.chain_id: state for state in chains}
    for chain in settings.chains:
        of_chain = [provider for provider in providers if provider.chain_id == chain.chain_id]
        show = _as_json if as_json else _as_text
        typer.echo(show(chain.name, states.get(chain.chain_id), of_chain))


@app.command("scan")
def chain_scan(name: Name, first: From, last: To, as_json: AsJson = False, config: Config = None, data: Data = None) -> None:
    """Scan final blocks once more, by a quorum: missing deposits are added, differences are named, nothing is changed.

    Can be run beside the watcher, and again if it was interrupted. Ends with code 1 if there are differences.
    """
    from gateway.chain.backfill import Backfill
    from gateway.chain.watchlist import Watchlist
    from gateway.clock import system_clock

    differences: list[str] = []
    counts = {"found": 0, "added": 0}

    async def scan(terms: ChainTerms, quorum: Quorum, engine: AsyncEngine) -> None:
        backfill = Backfill(terms=terms, quorum=quorum, engine=engine, clock=system_clock, watched=Watchlist(engine))
        async for stretch in backfill.scan(first=first, last=last):
            counts["found"] += stretch.found
            counts["added"] += stretch.added
            differences.extend(stretch.differences)
            done = (stretch.last - first + 1) * 100 // (last - first + 1)
            typer.echo(f"{name}: up to block {stretch.last} ({done} %), {counts['added']} added", err=True)

    _with_chain(name, config, data, scan)
    if as_json:
        typer.echo(json.dumps({"chain": name, "from": first, "to": last, **counts, "differences": differences}))
    else:
        typer.echo("\n".join([f"{name}: {counts['found']} deposits found, {counts['added']} of them added", *differences]))
    if differences:
        raise typer.Exit(1)


@app.command("resume")
def chain_resume(
    name: Name, by: By, reason: Reason, as_json: AsJson = False, config: Config = None, data: Data = None
) -> None:
    """Go on with a halted chain, from the last block that all that we booked still stands on.

    Deposits that were final and are gone keep their booking: each opens an incident, and its order is held if nothing has
    been paid out. Compare several providers first.
    """
    from gateway.chain.resume import resume
    from gateway.clock import system_clock
    from gateway.orders.vanished import hold_vanished

    async def stop(connection: AsyncConnection, deposits: Sequence[Vanished]) -> None:
        await hold_vanished(connection, deposits, now=system_clock())

    async def go_on(terms: ChainTerms, quorum: Quorum, engine: AsyncEngine) -> Resumed:
        return await resume(
            terms=terms, quorum=quorum, engine=engine, clock=system_clock, operator=by, reason=reason, stop=stop
        )

    done = _with_chain(name, config, data, go_on)
    if as_json:
        typer.echo(json.dumps(asdict(done)))
        return
    typer.echo(
        f"{name}: block {done.was.number} was final as {done.was.hash}; now block {done.now.number} is {done.now.hash}."
    )
    typer.echo(
        f"It goes on after block {done.anchor.number}; {done.orphaned} deposits that weren't final are looked for again."
    )
    for gone in done.vanished:
        typer.echo(f"Gone: {gone.units} units of {gone.asset} for {gone.owner}, in transaction {gone.tx_hash}")


def _with_chain(
    name: str, config: Path | None, data: Path | None, act: Callable[[ChainTerms, Quorum, AsyncEngine], Awaitable[T]]
) -> T:
    """Connect to a chain's providers and the database for one piece of work."""
    from gateway.chain.quorum import connect_all
    from gateway.chain.wire import NodeFault
    from gateway.db.session import make_engine
    from gateway.wiring import chain_terms

    settings, folder = place_of(config, data)
    terms = next((chain_terms(chain) for chain in settings.chains if chain.name == name), None)
    if terms is None:
        raise UnknownChain(name, known=[chain.name for chain in settings.chains])

    async def go(url: str) -> T:
        engine, quorum = make_engine(url), connect_all(terms)
        try:
            return await act(terms, quorum, engine)
        except NodeFault as fault:
            raise ProvidersDisagree(
                f"{fault} Nothing more was done; try again, or look at `lastmile chain status`."
            ) from None
        finally:
            await quorum.close()
            await engine.dispose()

    with database(settings, folder) as url:
        return asyncio.run(go(url))


def _as_json(name: str, state: ChainState | None, providers: Sequence[ProviderState]) -> str:
    described = None if state is None else {**asdict(state), "lag": state.lag}
    document = {"name": name, "state": described, "providers": [asdict(provider) for provider in providers]}
    return json.dumps(document, default=str)


def _progress(name: str, state: ChainState) -> list[str]:
    far = "nobody trusted says how far the chain is" if state.lag is None else f"{state.lag} blocks behind"
    lines = [f"{name}: scanned up to block {state.cursor}, final up to {state.final}; {far}"]
    lines += [f"  HALTED: {state.halted}"] * (state.halted is not None)
    lines += [f"  waiting: {state.waiting}"] * (state.waiting is not None)
    return lines


def _as_text(name: str, state: ChainState | None, providers: Sequence[ProviderState]) -> str:
    lines = [f"{name}: {'nothing scanned' if providers else 'not watched'} yet"] if state is None else _progress(name, state)
    for provider in providers:
        trust = "trusted" if provider.trusted else f"demoted: {provider.reason}"
        lines.append(
            f"  {provider.name}: {trust} since {provider.since:%Y-%m-%d %H:%M:%S} UTC; "
            f"newest block {provider.head}, final {provider.final}, {provider.faults} faults"
        )
    return "\n".join(lines)
