"""Where a command works: settings, data folder, database."""
# ruff: noqa: PLC0415 - commands import what they need when they run

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from gateway.config import Settings
    from gateway.main import Gateway

T = TypeVar("T")

Config = Annotated[Path | None, typer.Option("--config", help="The settings; else LASTMILE_CONFIG, else ./lastmile.toml.")]
Data = Annotated[Path | None, typer.Option("--data", help="The data folder; else LASTMILE_DATA, else the platform's place.")]
By = Annotated[str, typer.Option("--by", help="Who decides: the name of an operator (`lastmile operator list`).")]
Reason = Annotated[str, typer.Option("--reason", help="Why, in a sentence; it is kept.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")]


def settings_of(config: Path | None) -> Settings:
    """The settings. Raises `ConfigError` with every problem that they have."""
    from gateway.config import load

    return load(path=config, environment=os.environ)


def folder_of(data: Path | None) -> Path:
    """The data folder."""
    from gateway.config import data_folder

    return data_folder(given=data, environment=os.environ)


def place_of(config: Path | None, data: Path | None) -> tuple[Settings, Path]:
    """Settings and data folder. Where no settings file is named or at hand, those of the demo that is running."""
    from gateway.config import FILE
    from gateway.demo.parts import SETTINGS, running_demo

    folder = folder_of(data)
    named = config or os.environ.get("LASTMILE_CONFIG") or FILE.exists()
    demo_folder = None if named else running_demo(folder)
    if demo_folder is None:
        return settings_of(config), folder
    typer.echo(f"Using the running demo in {demo_folder}", err=True)
    return settings_of(demo_folder / SETTINGS), demo_folder


@contextmanager
def database(settings: Settings, folder: Path) -> Iterator[str]:
    """The database's URL. Our own server is stopped afterwards unless another process still uses it."""
    from gateway.main import close_database, open_database

    url, server = open_database(settings, data=folder)
    try:
        yield url
    finally:
        if server is not None:
            close_database(server)


@asynccontextmanager
async def gateway_at(settings: Settings, folder: Path, url: str) -> AsyncIterator[Gateway]:
    """Everything a process works with, for a command that needs more than the database."""
    from gateway.main import open_gateway

    async with open_gateway(settings, data=folder, database_url=url) as gateway:
        yield gateway


def in_transaction(settings: Settings, folder: Path, act: Callable[[AsyncConnection], Awaitable[T]]) -> T:
    """What `act` gives, in one transaction on the database of that place."""
    from gateway.db.session import make_engine, transaction

    async def run(url: str) -> T:
        engine = make_engine(url)
        try:
            async with transaction(engine) as connection:
                return await act(connection)
        finally:
            await engine.dispose()

    with database(settings, folder) as url:
        return asyncio.run(run(url))
