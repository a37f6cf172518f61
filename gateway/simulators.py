"""Run a rail's simulator, found by entry point."""

from __future__ import annotations

import socket
from collections.abc import Callable
from importlib.metadata import entry_points

import uvicorn

from gateway.errors import Refusal

SIMULATORS = "lastmile.simulators"


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


def serve_simulator(name: str, *, host: str, port: int, say: Callable[[str], None]) -> None:
    """Serve until stopped. Raises `UnknownSimulator` or `PortTaken`."""
    known = {point.name: point for point in entry_points(group=SIMULATORS)}
    if name not in known:
        raise UnknownSimulator(name, sorted(known))
    try:
        listener = socket.create_server((host, port))
    except OSError as error:
        raise PortTaken(port, error.strerror or "unknown reason") from None
    say(f"{name} simulator at http://{host}:{listener.getsockname()[1]}")
    config = uvicorn.Config(known[name].load(), factory=True, log_level="warning", access_log=False)
    uvicorn.Server(config).run(sockets=[listener])
