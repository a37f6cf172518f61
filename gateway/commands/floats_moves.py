"""`lastmile float moves`, `approve`, `refuse`, `arrived`: what people decide about a plan's moves."""
# ruff: noqa: PLC0415, FBT002 - commands import what they need when they run; options are keywords on the command line

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.commands.desk import in_transaction
from gateway.commands.place import AsJson, By, Config, Data, Reason

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from gateway.main import Gateway
    from gateway.treasury.moves import MoveView

app = typer.Typer()
MoveId = Annotated[str, typer.Argument(metavar="MOVE", help="The move's id, as `lastmile float plan` gives it.")]


@app.command("moves")
def moves(
    most: Annotated[int, typer.Option("--most", min=1, max=1000, help="How many at most.")] = 100,
    as_json: AsJson = False,
    config: Config = None,
    data: Data = None,
) -> None:
    """List the newest plan's moves and those that somebody decided about, and how each stands."""
    from gateway.treasury.moves import list_moves
    from gateway.treasury.tables import view_document, view_lines

    async def act(connection: AsyncConnection, _: Gateway) -> list[MoveView]:
        return await list_moves(connection, most=most)

    found = in_transaction(config, data, act)
    if as_json:
        typer.echo(json.dumps([view_document(one) for one in found]))
        return
    for one in found:
        for line in view_lines(one):
            typer.echo(line)
    if not found:
        typer.echo("No move was planned yet: `lastmile float plan` makes a plan.", err=True)


@app.command("approve")
def approve(move_id: MoveId, by: By, reason: Reason, config: Config = None, data: Data = None) -> None:
    """Approve a move, or agree to what another proposed. It begins by itself when its time has come."""
    from gateway.treasury.approvals import approve_move
    from gateway.treasury.moves import Stage

    async def act(connection: AsyncConnection, gateway: Gateway) -> MoveView:
        return await approve_move(
            connection,
            move_id=move_id,
            operator=by,
            reason=reason,
            rules=gateway.resolutions,
            book=gateway.floats,
            now=gateway.clock(),
        )

    view = in_transaction(config, data, act)
    move = view.move
    if view.stage is Stage.PROPOSED:
        typer.echo(f"It waits for a second person: lastmile float approve {move_id}", err=True)
    elif view.order_id is None:
        typer.echo(f"Approved. Send {move.give} to {move.address}, then: lastmile float arrived {move_id}", err=True)
    else:
        typer.echo(view.order_id)
        typer.echo(f"Approved. It begins at {move.at:%Y-%m-%d %H:%M} UTC, or now if that is over.", err=True)


@app.command("refuse")
def refuse(move_id: MoveId, by: By, reason: Reason, config: Config = None, data: Data = None) -> None:
    """Refuse a move, or cancel one that is approved and hasn't begun: what it reserved is free again."""
    from gateway.treasury.approvals import refuse_move

    async def act(connection: AsyncConnection, gateway: Gateway) -> None:
        await refuse_move(connection, move_id=move_id, operator=by, reason=reason, now=gateway.clock())

    in_transaction(config, data, act)
    typer.echo(f"{move_id} won't be made.", err=True)


@app.command("arrived")
def arrived(
    move_id: MoveId,
    reference: Annotated[
        str,
        typer.Option("--reference", help="The line of the rail's statement; of coins that you sent: the transaction."),
    ],
    by: By,
    reason: Reason,
    config: Config = None,
    data: Data = None,
) -> None:
    """Say that a move's money is at its rail, where neither statement nor balance shows it by itself."""
    from gateway.treasury.approvals import book_arrival

    async def act(connection: AsyncConnection, gateway: Gateway) -> None:
        await book_arrival(connection, move_id=move_id, reference=reference, operator=by, reason=reason, now=gateway.clock())

    in_transaction(config, data, act)
    typer.echo(f"{move_id} has arrived.", err=True)
