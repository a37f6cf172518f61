"""What the commands of `lastmile deposits` share."""
# ruff: noqa: PLC0415 - commands import what they need when they run

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from gateway.commands.place import database, gateway_at, place_of
from gateway.errors import Refusal

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from gateway.chain.terms import ChainTerms
    from gateway.main import Gateway

T = TypeVar("T")

OrderId = Annotated[str, typer.Argument(metavar="ORDER", help="The order's id.")]


class NoSuch(Refusal):
    """What was named isn't there."""

    code = "not_found"


def chains_of(gateway: Gateway, name: str | None) -> list[ChainTerms]:
    """The chain of that name, or all of them. Raises `NoSuch`."""
    found = [terms for terms in gateway.chains if name in (None, terms.name)]
    if not found:
        raise NoSuch(f'No chain is named "{name}"; there are: {", ".join(terms.name for terms in gateway.chains)}.')
    return found


def run(config: Path | None, data: Path | None, act: Callable[[Gateway], Awaitable[T]]) -> T:
    """Do it with everything a process works with."""

    async def go(url: str) -> T:
        async with gateway_at(settings, folder, url) as gateway:
            return await act(gateway)

    settings, folder = place_of(config, data)
    with database(settings, folder) as url:
        return asyncio.run(go(url))


def in_transaction(config: Path | None, data: Path | None, act: Callable[[AsyncConnection, Gateway], Awaitable[T]]) -> T:
    """Do it in one transaction."""

    async def go(gateway: Gateway) -> T:
        from gateway.db.session import transaction

        async with transaction(gateway.engine) as connection:
            return await act(connection, gateway)

    return run(config, data, go)
