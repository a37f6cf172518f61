"""`lastmile float`: what we hold at rails, what will be needed, and what to move."""
# ruff: noqa: PLC0415, FBT002 - commands import what they need when they run; options are keywords on the command line

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.commands import floats_moves
from gateway.commands.desk import run
from gateway.commands.place import AsJson, Config, Data

if TYPE_CHECKING:
    from gateway.main import Gateway
    from gateway.treasury.outlook import Outlook
    from gateway.treasury.plan import Plan

app = typer.Typer(invoke_without_command=True, help="Floats: what we hold at rails, what will be needed, what to move.")
app.add_typer(floats_moves.app)
Ask = Annotated[bool, typer.Option("--ask", help="Ask the rails now; else what they said last counts.")]


@app.callback()
def floats(
    context: typer.Context, ask: Ask = False, as_json: AsJson = False, config: Config = None, data: Data = None
) -> None:
    """Show each float by the rail and by the books, what of it is promised, and how likely it runs dry."""
    if context.invoked_subcommand is not None:
        return
    from gateway.treasury.tables import outlook_document, outlook_lines

    async def act(gateway: Gateway) -> Outlook:
        from gateway.db.session import transaction
        from gateway.treasury.outlook import read_outlook

        await _refresh(gateway, ask=ask)
        async with transaction(gateway.engine) as connection:
            return await read_outlook(connection, book=gateway.floats, now=gateway.clock())

    outlook = run(config, data, act)
    if as_json:
        typer.echo(json.dumps(outlook_document(outlook)))
        return
    for line in outlook_lines(outlook):
        typer.echo(line)


@app.command("plan")
def plan(ask: Ask = False, as_json: AsJson = False, config: Config = None, data: Data = None) -> None:
    """Say what to move where, when, at what cost and why. Nothing is moved before `approve`; the last plan is void."""
    from gateway.treasury.tables import plan_document, plan_lines

    async def act(gateway: Gateway) -> Plan:
        from gateway.db.session import transaction
        from gateway.treasury.outlook import make_plan, read_outlook
        from gateway.treasury.plans import keep_plan

        await _refresh(gateway, ask=ask)
        async with transaction(gateway.engine, point="floats.plan") as connection:
            outlook = await read_outlook(connection, book=gateway.floats, now=gateway.clock())
            made = await make_plan(connection, outlook=outlook, book=gateway.floats)
            await keep_plan(connection, plan=made)
            return made

    made = run(config, data, act)
    if as_json:
        typer.echo(json.dumps(plan_document(made)))
        return
    for line in plan_lines(made):
        typer.echo(line)


async def _refresh(gateway: Gateway, *, ask: bool) -> None:
    """What was paid since the workers last looked, and, if asked for, what the rails say now."""
    from gateway.treasury.demand import sum_demand
    from gateway.treasury.floats import watch_floats

    if ask:
        await watch_floats(gateway.engine, rails=gateway.rails, clock=gateway.clock)
    await sum_demand(gateway.engine, rules=gateway.floats.rules, now=gateway.clock())
