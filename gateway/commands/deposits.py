"""`lastmile deposits`. What arrived and fits no order: kept, listed, and resolved by a named person."""

from __future__ import annotations

import typer

app = typer.Typer(no_args_is_help=True, help="What arrived and fits no order: kept, listed, and resolved by a named person.")
