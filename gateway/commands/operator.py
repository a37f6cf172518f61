"""`lastmile operator`. The people who may decide things."""

from __future__ import annotations

import typer

app = typer.Typer(no_args_is_help=True, help="The people who may decide things.")
