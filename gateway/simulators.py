"""Run simulators of rails and rate sources, found by entry point."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from pathlib import Path

import uvicorn

from gateway.errors import Refusal

SIMULATORS = "lastmile.simulators"
STATE = "LASTMILE_SIMULATOR_STATE"
"""A file in which a simulator keeps what must outlive a kill, or a folder with a file for each."""


class UnknownSimulator(Refusal):
    """No installed package brings it."""

    code = "unknown_simulator"

    def __init__(self, name: str, known: list[str]) -> None:
        super().__init__(f'There is no simulator "{name}". There are: {", ".join(known)}.')


class PortTaken(Refusal):
    """Something else listens there."""

    code = "port_taken"

    def __init__(self, port: int, reason: str) -> None:
        super().__init__(f"Can't listen on port {port}: {reason}. Choose another --port; 0 takes a free one.")


class BadPlace(Refusal):
    """A name with something behind the colon that is no port."""

    code = "bad_place"

    def __init__(self, wanted: str) -> None:
        super().__init__(f'"{wanted}" is no simulator and port. Write a name, or a name and a port, as in mpesa:7001.')


def serve_simulators(wanted: Sequence[str], *, host: str, port: int, say: Callable[[str], None]) -> None:
    """Serve each of `wanted`, "name" at `port` or "name:port", until stopped.

    Raises `UnknownSimulator`, `BadPlace` or `PortTaken`.
    """
    known = {point.name: point for point in entry_points(group=SIMULATORS)}
    places = [_place(each, port=port) for each in wanted]
    for name, _ in places:
        if name not in known:
            raise UnknownSimulator(name, sorted(known))
    listeners = [_listen(host, at) for _, at in places]
    folder = _state_folder()
    servers = []
    for (name, _), listener in zip(places, listeners, strict=True):
        say(f"{name} simulator at http://{host}:{listener.getsockname()[1]}")
        if folder is not None:
            os.environ[STATE] = str(folder / f"{name}.state")
        config = uvicorn.Config(known[name].load()(), log_level="warning", access_log=False)
        servers.append(uvicorn.Server(config).serve(sockets=[listener]))

    async def serve_all() -> None:
        await asyncio.gather(*servers)

    asyncio.run(serve_all())


def _state_folder() -> Path | None:
    """Where each simulator has a file of its own, if a folder was given; a file is for one simulator."""
    given = os.environ.get(STATE)
    return Path(given) if given and Path(given).is_dir() else None


def _place(wanted: str, *, port: int) -> tuple[str, int]:
    name, colon, own = wanted.partition(":")
    if not colon:
        return name, port
    if not own.isascii() or not own.isdigit():
        raise BadPlace(wanted)
    return name, int(own)


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port))
    except (OSError, OverflowError) as error:
        raise PortTaken(port, getattr(error, "strerror", None) or str(error)) from None
