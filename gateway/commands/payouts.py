"""`lastmile payouts`. Payouts that need a person: unknown outcomes, holds, evidence."""

from __future__ import annotations

import typer

app = typer.Typer(no_args_is_help=True, help="Payouts that need a person: unknown outcomes, holds, evidence.")


@app.callback()
def payouts() -> None:
    """Payouts that need a person: unknown outcomes, holds, evidence."""
