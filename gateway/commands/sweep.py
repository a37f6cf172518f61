"""`lastmile sweep`. Coins at deposit addresses and the treasury that they go to."""

from __future__ import annotations

import typer

app = typer.Typer(no_args_is_help=True, help="Coins at deposit addresses and the treasury that they go to.")
