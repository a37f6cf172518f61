"""`lastmile simulate`: the real code on the real database, in a world in which everything goes wrong."""
# ruff: noqa: PLC0415 - commands import what they need when they run

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from typing import Annotated

import typer

from gateway.commands.place import AsJson

TOLD_EVERY_S = 2.0
"""Between two lines of progress."""
app = typer.Typer()


@app.command()
def simulate(
    seed: Annotated[int, typer.Option("--seed", min=0, help="Which history: the same seed is the same one again.")] = 1,
    orders: Annotated[int, typer.Option("--orders", min=1, help="How many orders.")] = 1_000,
    database: Annotated[
        str | None,
        typer.Option("--database", help="A PostgreSQL server to make a database on; else one is started for the purpose."),
    ] = None,
    as_json: AsJson = False,  # noqa: FBT002 - an option on the command line
) -> None:
    """Run the product against simulated customers, chain, rails and crashes, and check its books after every step.

    Ends with exit code 1 and the failing step if an invariant is broken; the same seed and number come there again.
    """
    from gateway.simulation.database import prepare, simulated_database
    from gateway.simulation.report import table
    from gateway.simulation.run import simulate as run
    from gateway.simulation.scheduler import Broken

    with simulated_database(database or os.environ.get("LASTMILE_SIMULATION_DATABASE")) as url:
        prepare(url)
        try:
            result = run(seed=seed, orders=orders, database_url=url, progress=_progress())
        except Broken as broken:
            typer.echo(f"An invariant is broken. {broken}", err=True)
            raise typer.Exit(1) from None
    typer.echo(json.dumps(result.as_dict()) if as_json else table(result))


def _progress() -> Callable[[int, int, str], None]:
    last_s = time.monotonic()

    def tell(made: int, wanted: int, what: str) -> None:
        nonlocal last_s
        if time.monotonic() - last_s >= TOLD_EVERY_S:
            last_s = time.monotonic()
            typer.echo(f"{made} of {wanted} orders, {what}", err=True)

    return tell
