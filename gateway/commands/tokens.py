"""`lastmile tokens`. The coins that we take: what is known of each, and which are frozen."""

from __future__ import annotations

import typer

app = typer.Typer(no_args_is_help=True, help="The coins that we take: what is known of each, and which are frozen.")
