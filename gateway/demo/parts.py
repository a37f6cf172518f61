"""What a demo has on disk and on this machine: its folder, its ports, its processes. Light to import: it comes first."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from importlib.metadata import entry_points
from pathlib import Path
from typing import IO

from gateway.demo.children import Child
from gateway.devchain.locks import is_held
from gateway.errors import Refusal

Progress = Callable[[str], None]
HOST = "127.0.0.1"
INSTALL_WITHIN_S = 1800.0
"""The chain's tools may have to come over a slow line first."""
SETTINGS = "lastmile.toml"
STATES = "simulators"
"""The folder in which each simulator keeps its state."""
GATEWAY, SIMULATORS = CHILDREN = "gateway", "simulators"
RATES = "open_exchange_rates"
FOLDERS = ("demo", *(f"demo-{number}" for number in range(2, 21)))


class TooManyDemos(Refusal):
    """Every folder is in use."""

    code = "too_many_demos"

    def __init__(self, data: Path) -> None:
        super().__init__(f"{len(FOLDERS)} demos run under {data} already. Stop one, or give another --data folder.")


class PortInUse(Refusal):
    """The port that was asked for is in use."""

    code = "port_in_use"

    def __init__(self, port: int) -> None:
        super().__init__(f"Port {port} is in use. Choose another --port, or leave it out to get a free one.")


class UnknownRail(Refusal):
    """No installed adapter has this name, or it brings no simulator."""

    code = "unknown_rail"

    def __init__(self, name: str, known: Sequence[str]) -> None:
        super().__init__(f'There is no rail "{name}" with a simulator. There are: {", ".join(known)}; or "all".')


def chosen_rails(wanted: str) -> tuple[str, ...]:
    """The rails that a person named, with commas between. Raises `UnknownRail`."""
    groups = ("lastmile.adapters", "lastmile.simulators")
    adapters, simulators = ({point.name for point in entry_points(group=group)} for group in groups)
    known = sorted(adapters & simulators)
    names = known if wanted == "all" else [name.strip() for name in wanted.split(",")]
    for name in names:
        if name not in known:
            raise UnknownRail(name, known)
    return tuple(dict.fromkeys(names))


def take_folder(data: Path, stack: ExitStack) -> Path:
    """The first demo folder that no living demo uses; ours until the stack closes. Raises `TooManyDemos`."""
    for name in FOLDERS:
        folder = data / name
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock: IO[bytes] = (folder / "demo.lock").open("ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            continue
        stack.enter_context(lock)
        return folder
    raise TooManyDemos(data)


def running_demo(data: Path) -> Path | None:
    """The folder of the demo that runs under `data`; None if none does, or more than one."""
    running = [data / name for name in FOLDERS if is_held(data / name / "demo.lock") and (data / name / SETTINGS).exists()]
    return running[0] if len(running) == 1 else None


def start_children(
    folder: Path, *, rails: Sequence[str], port: int, stack: ExitStack
) -> tuple[dict[str, Child], dict[str, int]]:
    """Start the demo's own processes, after ending those that a killed demo left behind; the stack stops them.

    Returns them and their ports by name. The gateway waits for the settings file, which needs the others' addresses.
    """
    for name in CHILDREN:
        Child(name, folder, ()).end_leftover()
    ports = _ports(folder, rails, wanted=port)
    (folder / SETTINGS).unlink(missing_ok=True)
    children = _children(folder, rails, ports)
    for child in children.values():
        stack.callback(child.stop)
        child.start()
    return children, ports


def _children(folder: Path, rails: Sequence[str], ports: dict[str, int]) -> dict[str, Child]:
    settings = ["--config", str(folder / SETTINGS), "--data", str(folder), "--wait-for-config", str(INSTALL_WITHIN_S)]
    places = [f"{name}:{ports[name]}" for name in (*rails, RATES)]
    states = folder / STATES
    states.mkdir(mode=0o700, exist_ok=True)
    kept = {"LASTMILE_SIMULATOR_STATE": str(states)}
    return {
        GATEWAY: Child(GATEWAY, folder, ["up", *settings]),
        SIMULATORS: Child(SIMULATORS, folder, ["simulator", *places], kept),
    }


def _ports(folder: Path, rails: Sequence[str], *, wanted: int) -> dict[str, int]:
    """The ports of last time where they are still free (rails keep our callback addresses), else new ones."""
    file = folder / "ports.json"
    before: dict[str, int] = json.loads(file.read_text()) if file.exists() else {}
    if wanted:
        before["gateway"] = wanted
    ports: dict[str, int] = {}
    for name in (GATEWAY, *rails, RATES):
        ports[name] = _free_port(before.get(name, 0), taken=set(ports.values()))
    if wanted and ports["gateway"] != wanted:
        raise PortInUse(wanted)
    replace(file, json.dumps(ports))
    return ports


def _free_port(wanted: int, *, taken: set[int]) -> int:
    for port in (wanted, 0, 0, 0):
        try:
            with socket.create_server((HOST, port)) as probe:
                found = int(probe.getsockname()[1])
        except OSError:
            continue
        if found not in taken:
            return found
    raise PortInUse(wanted)


def replace(path: Path, text: str) -> None:
    """Write a file whole or not at all, readable by us only."""
    draft = path.with_name(f".{path.name}.new")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)
