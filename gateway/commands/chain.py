"""`lastmile chain`. Watched chains: where each stands, what a halt needs, blocks to scan again."""

from __future__ import annotations

import typer

app = typer.Typer(no_args_is_help=True, help="Watched chains: where each stands, what a halt needs, blocks to scan again.")
