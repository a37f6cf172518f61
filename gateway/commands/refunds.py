"""`lastmile refunds`. Money that goes back to who sent it."""

from __future__ import annotations

import typer

app = typer.Typer(no_args_is_help=True, help="Money that goes back to who sent it.")
