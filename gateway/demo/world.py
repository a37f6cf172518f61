"""The demo's parts, started in the right order and stopped in the reverse."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import httpx

from gateway.clock import system_clock
from gateway.db.embedded import Server
from gateway.db.embedded import start as start_postgres
from gateway.demo.children import Child
from gateway.devchain.chain import DevChain
from gateway.devchain.chain import start as start_chain
from gateway.errors import Refusal

Progress = Callable[[str], None]
HOST = "127.0.0.1"
BLOCK_TIME_S = 1.0
START_WITHIN_S = 90.0
INSTALL_WITHIN_S = 1800.0
"""The chain's tools may have to come over a slow line first."""
CHILDREN = ("gateway", "mpesa", "open_exchange_rates")
OPENING_FLOAT = "10000000.00"
"""What the operator has in the M-Pesa account at first, in KES; the simulator starts with the same."""
FOLDERS = ("demo", *(f"demo-{number}" for number in range(2, 21)))


class TooManyDemos(Refusal):
    """Every folder is in use."""

    code = "too_many_demos"

    def __init__(self, data: Path) -> None:
        super().__init__(f"{len(FOLDERS)} demos run under {data} already. Stop one, or give another --data folder.")


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A running demo."""

    folder: Path
    url: str
    postgres: Server
    chain: DevChain
    gateway: Child

    def state(self) -> dict[str, Any]:
        """What another process needs to act in this demo."""
        return {
            "url": self.url,
            "database": self.postgres.url,
            "rpc": self.chain.rpc_url,
            "usdc": self.chain.usdc,
            "sender": self.chain.sender,
        }


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


def start_world(*, data: Path, folder: Path, port: int, stack: ExitStack, progress: Progress) -> World:
    """Start everything; the stack stops it. Nearly all of a start is imports and installation, so all start at once."""
    for name in CHILDREN:
        Child(name, folder, ()).end_leftover()
    ports = _ports(folder, wanted=port)
    gateway, *simulators = children = _children(folder, ports)
    (folder / "lastmile.toml").unlink(missing_ok=True)  # the gateway waits for the one that is written below
    for child in children:
        stack.callback(child.stop)
        child.start()
    postgres, chain = _start_servers(data=data, folder=folder, stack=stack, progress=progress)
    progress("simulators: waiting for M-Pesa and the rate source")
    for child, path in zip(simulators, ("_sim/settings", "_sim/rates"), strict=True):
        at = f"http://{HOST}:{ports[child.name]}/{path}"
        child.wait_until(partial(_answers, at), within_s=START_WITHIN_S)
    _write_settings(folder, ports=ports, postgres=postgres, chain=chain)
    progress("gateway: waiting for it")
    stack.callback(gateway.stop)  # before the servers that it uses
    url = f"http://{HOST}:{ports['gateway']}"
    gateway.wait_until(lambda: _answers(f"{url}/readyz") and _has_rates(postgres.url), within_s=START_WITHIN_S)
    world = World(folder=folder, url=url, postgres=postgres, chain=chain, gateway=gateway)
    _replace(folder / "demo.json", json.dumps(world.state()))
    return world


def _children(folder: Path, ports: dict[str, int]) -> list[Child]:
    settings = ["--config", str(folder / "lastmile.toml"), "--data", str(folder)]
    environments = {"mpesa": {"LASTMILE_SIMULATOR_STATE": str(folder / "mpesa.state")}}
    return [
        Child("gateway", folder, ["up", *settings, "--wait-for-config", str(INSTALL_WITHIN_S)]),
        *(
            Child(name, folder, ["simulator", name, "--port", str(ports[name])], environments.get(name, {}))
            for name in CHILDREN[1:]
        ),
    ]


def _start_servers(*, data: Path, folder: Path, stack: ExitStack, progress: Progress) -> tuple[Server, DevChain]:
    """Database and chain, side by side. What was started is stopped by the stack, whatever became of the other."""
    with ThreadPoolExecutor() as pool:
        progress("database: starting PostgreSQL")
        database = pool.submit(start_postgres, folder=folder / "postgres")
        chain = pool.submit(
            start_chain,
            folder=folder / "chain",
            tools_folder=data / "tools",
            progress=progress,
            block_time=BLOCK_TIME_S,
        )
        try:
            database.result()
            progress("database: ready")
            chain.result()
        finally:
            if database.exception() is None:
                stack.callback(database.result().stop)
            if chain.exception() is None:
                stack.callback(chain.result().node.stop)
        return database.result(), chain.result()


def _ports(folder: Path, *, wanted: int) -> dict[str, int]:
    """The ports of last time where they are still free (rails keep our callback addresses), else new ones."""
    file = folder / "ports.json"
    before: dict[str, int] = json.loads(file.read_text()) if file.exists() else {}
    if wanted:
        before["gateway"] = wanted
    ports: dict[str, int] = {}
    for name in CHILDREN:
        ports[name] = _free_port(before.get(name, 0), taken=set(ports.values()))
    if wanted and ports["gateway"] != wanted:
        raise PortInUse(wanted)
    _replace(file, json.dumps(ports))
    return ports


class PortInUse(Refusal):
    """The port that was asked for is in use."""

    code = "port_in_use"

    def __init__(self, port: int) -> None:
        super().__init__(f"Port {port} is in use. Choose another --port, or leave it out to get a free one.")


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


def _write_settings(folder: Path, *, ports: dict[str, int], postgres: Server, chain: DevChain) -> None:
    adapter = httpx.get(f"http://{HOST}:{ports['mpesa']}/_sim/settings", timeout=10).raise_for_status().json()
    keys = folder / "keys"
    keys.mkdir(mode=0o700, exist_ok=True)
    for name in ("consumer_key", "consumer_secret", "initiator_password", "certificate"):
        _replace(keys / name, adapter.pop(name))
        adapter[name] = str(keys / name) if name == "certificate" else {"file": str(keys / name)}
    _replace(keys / "app_id", secrets.token_hex(16))
    rates = {"as_of": system_clock().isoformat(), "base": "USD", "rates": {"KES": "129.50"}}
    _replace(folder / "rates.json", json.dumps(rates))
    values = "\n".join(f"{key} = {_toml(value)}" for key, value in adapter.items())
    text = _SETTINGS.format(
        url=f"http://{HOST}:{ports['gateway']}",
        port=ports["gateway"],
        database=_toml(postgres.url),
        rpc=chain.rpc_url,
        chain_id=chain.chain_id,
        treasury=chain.treasury,
        usdc=chain.usdc,
        rates_url=f"http://{HOST}:{ports['open_exchange_rates']}",
        app_id=_toml({"file": str(keys / "app_id")}),
        rates_file=_toml(str(folder / "rates.json")),
        adapter=values,
    )
    _replace(folder / "lastmile.toml", text)


_SETTINGS = """\
# Written by `lastmile demo` at each start.
[server]
public_url = "{url}"
port = {port}

[database]
url = {database}

[[chains]]
name = "devchain"
chain_id = {chain_id}
rpc = ["{rpc}"]
quorum = 1
finality = {{ tag = "finalized" }}
start_block = 0
treasury = "{treasury}"
poll_s = 0.25

[[chains.tokens]]
symbol = "USDC"
address = "{usdc}"
decimals = 6
peg = "USD"
least = "0.01"

[[corridors]]
country = "KE"
currency = "KES"
methods = ["mobile_money"]
spread_bps = 75
fee = "20"
min = "50"
max = "250000"

[pricing]
max_age_s = 604800
max_spread_bps = 200
quote_ttl_s = 900
min_sources = 2

[[pricing.sources]]
name = "exchange-rates"
kind = "open_exchange_rates"
base_url = "{rates_url}"
app_id = {app_id}

[[pricing.sources]]
name = "desk"
kind = "file"
path = {rates_file}

[adapters.mpesa]
kind = "mpesa"
answer_within_s = 5
{adapter}
"""


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    # JSON's strings and numbers are TOML's.
    return json.dumps(value)


def _replace(path: Path, text: str) -> None:
    """Write a file whole or not at all, readable by us only."""
    draft = path.with_name(f".{path.name}.new")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).is_success
    except httpx.HTTPError:
        return False


def _has_rates(database_url: str) -> bool:
    import psycopg  # noqa: PLC0415 - not needed before

    with psycopg.connect(database_url) as connection:
        row = connection.execute("SELECT count(*) FROM rate_observations").fetchone()
    return bool(row and row[0])
