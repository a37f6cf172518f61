"""The command line. Each command imports what it needs when it runs, so that `lastmile --help` is quick."""
# ruff: noqa: PLC0415, FBT002 - see above; and typer's options are keywords on the command line

from __future__ import annotations

import asyncio
import gc
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from gateway.commands import (
    adapter,
    agents,
    chain,
    costs,
    deposits,
    fills,
    floats,
    incidents,
    market,
    operator,
    partners,
    payouts,
    rails,
    rails_table,
    reconcile,
    refunds,
    route,
    simulate,
    stuck,
    sweep,
    tokens,
)
from gateway.commands.place import Config, Data, database, folder_of, place_of, settings_of
from gateway.errors import Refusal

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Turns stablecoins into local money on a phone, in a bank account, on a card or at the shop round the corner.",
)
demo = typer.Typer(invoke_without_command=True)
app.add_typer(demo, name="demo")
for name, group in (
    ("adapter", adapter.app),
    ("agents", agents.app),
    ("chain", chain.app),
    ("corridor", market.app),
    ("deposits", deposits.app),
    ("fills", fills.app),
    ("float", floats.app),
    ("incidents", incidents.app),
    ("operator", operator.app),
    ("partner", partners.app),
    ("payouts", payouts.app),
    ("rails", rails.app),
    ("rates", market.rates_app),
    ("refunds", refunds.app),
    ("route", route.app),
    ("sweep", sweep.app),
    ("tokens", tokens.app),
):
    app.add_typer(group, name=name)
rails.app.add_typer(rails_table.app)
for single in (costs.app, reconcile.app, simulate.app, stuck.app):
    app.add_typer(single)


def main() -> None:
    """The entry point `lastmile`. Anticipated errors end with one sentence and exit code 1, never with a stack."""
    # Imports make objects by the hundred thousand, which all stay: looking for garbage among them took a sixth of a start.
    gc.set_threshold(100_000, 50, 100)
    try:
        app()
    except Refusal as error:
        typer.echo(str(error), err=True)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def _run(
    config: Path | None,
    data: Path | None,
    *,
    serve: bool,
    work: bool,
    only: frozenset[str] = frozenset(),
    wait_s: float = 0,
) -> None:
    from gateway.failpoints import arm_from_environment
    from gateway.logs import configure
    from gateway.main import open_gateway, run

    configure()
    arm_from_environment()
    _await(config, seconds=wait_s)
    settings, folder = settings_of(config), folder_of(data)

    async def go(url: str) -> None:
        async with open_gateway(settings, data=folder, database_url=url) as gateway:
            if serve:
                typer.echo(f"Lastmile serves {settings.server.public_url}", err=True)
            await run(gateway, serve=serve, work=work, only=only)

    with database(settings, folder) as url:
        asyncio.run(go(url))


def _await(config: Path | None, *, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while config is not None and not config.exists() and time.monotonic() < deadline:
        time.sleep(0.02)


@app.command()
def serve(config: Config = None, data: Data = None) -> None:
    """Serve the API and the pages."""
    _run(config, data, serve=True, work=False)


@app.command()
def work(
    config: Config = None,
    data: Data = None,
    only: Annotated[str, typer.Option(help="Groups of loops, with commas: chains,keys,rates,orders,payouts,treasury.")] = "",
) -> None:
    """Watch the chains and move orders along. Any number of processes may do so at once."""
    groups = frozenset(name.strip() for name in only.split(",") if name.strip())
    _run(config, data, serve=False, work=True, only=groups)


@app.command()
def up(
    config: Config = None,
    data: Data = None,
    wait_for_config: Annotated[float, typer.Option(help="Seconds to wait for the settings file to appear.")] = 0,
) -> None:
    """Serve and work in one process."""
    _run(config, data, serve=True, work=True, wait_s=wait_for_config)


@app.command("migrate")
def migrate_command(config: Config = None, data: Data = None) -> None:
    """Bring the database to the newest schema."""
    from gateway.db.migrate import newest

    with database(*place_of(config, data)):
        typer.echo(f"The database is at revision {newest()}.", err=True)


@app.command()
def check(config: Config = None, data: Data = None) -> None:
    """Check settings, database, chains, tokens, rates and adapters; say what is wrong and what would be right."""
    from gateway.check import check_all

    settings, folder = place_of(config, data)
    problems = asyncio.run(check_all(settings, data=folder, progress=lambda line: typer.echo(line, err=True)))
    for problem in problems:
        typer.echo(problem)
    if problems:
        raise SystemExit(1)
    typer.echo("All is well.", err=True)


@app.command()
def simulator(
    names: Annotated[list[str], typer.Argument(help="Which, as in mpesa; several with their ports, as in mpesa:7001.")],
    port: Annotated[int, typer.Option(help="The port to listen on; 0 takes a free one.")] = 0,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
) -> None:
    """Run a rail's simulator: its protocol, and /_sim to script faults and to read who was paid what."""
    from gateway.simulators import serve_simulators

    serve_simulators(names, host=host, port=port, say=lambda line: typer.echo(line, err=True))


@demo.callback()
def demo_command(
    context: typer.Context,
    data: Data = None,
    once: Annotated[bool, typer.Option("--once", help="Send one remittance, print one JSON object, end.")] = False,
    rails: Annotated[
        str, typer.Option(help='Rails whose simulators take part, as in "mpesa,mtn_momo"; or "all".')
    ] = "mpesa",
    port: Annotated[int, typer.Option(help="The page's port; 0 takes a free one.")] = 0,
) -> None:
    """Everything on this machine: database, chain with a real USDC, simulated rails, gateway. Ctrl-C stops it all."""
    from gateway.demo import run_demo
    from gateway.demo.parts import chosen_rails

    context.obj = folder_of(data)
    if context.invoked_subcommand is None:
        raise SystemExit(run_demo(data=context.obj, once=once, rails=chosen_rails(rails), port=port, out=sys.stdout))


@demo.command("pay")
def demo_pay(
    context: typer.Context,
    address: Annotated[str, typer.Argument(help="The deposit address that the page shows.")],
) -> None:
    """Pay an order of the running demo from its own wallet."""
    from gateway.demo import pay_order

    typer.echo(pay_order(data=context.obj, address=address))


if __name__ == "__main__":
    main()
