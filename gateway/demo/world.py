"""The whole demo, brought together from its servers and its processes."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from gateway.clock import system_clock
from gateway.db.embedded import Server
from gateway.db.embedded import start as start_postgres
from gateway.demo.children import Child
from gateway.demo.keys import GAS, REFUNDS, keystore
from gateway.demo.parts import HOST, MPESA_STATE, SETTINGS, SIMULATED, SIMULATORS, Progress, replace
from gateway.devchain.chain import DevChain
from gateway.devchain.chain import start as start_chain

BLOCK_TIME_S = 1.0
ADAPTER = "adapter.json"
START_WITHIN_S = 90.0
OPENING_FLOAT = "10000000.00"
"""What the operator has in the M-Pesa account at first, in KES; the simulator starts with the same."""
OPENING_WALLET = 1_000_000_000
"""What the operator puts into the refund wallet at first, in millionths of a USDC."""


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


def start_world(
    *,
    data: Path,
    folder: Path,
    children: Mapping[str, Child],
    ports: Mapping[str, int],
    stack: ExitStack,
    progress: Progress,
) -> World:
    """Start the servers beside the children that are starting, and bring all together; the stack stops it."""
    postgres, chain = _start_servers(data=data, folder=folder, stack=stack, progress=progress)
    adapter = _kept_adapter(folder)
    if adapter is None:
        progress("simulators: waiting for M-Pesa")
        children[SIMULATORS].wait_until(lambda: _answers(_at(ports, "mpesa", "/_sim/settings")), within_s=START_WITHIN_S)
        adapter = httpx.get(_at(ports, "mpesa", "/_sim/settings"), timeout=10).raise_for_status().json()
        replace(folder / ADAPTER, json.dumps(adapter))
    adapter["base_url"] = _at(ports, "mpesa")
    _write_settings(folder, adapter, ports=ports, postgres=postgres, chain=chain)
    progress("simulators: waiting for M-Pesa and the rate source")
    for name, path in zip(SIMULATED, ("/_sim/settings", "/_sim/rates"), strict=True):
        children[SIMULATORS].wait_until(partial(_answers, _at(ports, name, path)), within_s=START_WITHIN_S)
    progress("gateway: waiting for it")
    gateway = children["gateway"]
    stack.callback(gateway.stop)  # before the servers that it uses
    url = _at(ports, "gateway")
    gateway.wait_until(lambda: _answers(f"{url}/readyz"), within_s=START_WITHIN_S)
    world = World(folder=folder, url=url, postgres=postgres, chain=chain, gateway=gateway)
    replace(folder / "demo.json", json.dumps(world.state()))
    return world


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


def _at(ports: Mapping[str, int], name: str, path: str = "") -> str:
    return f"http://{HOST}:{ports[name]}{path}"


def _kept_adapter(folder: Path) -> dict[str, Any] | None:
    """The adapter's settings of last time, if the simulator still has its credentials: then nobody has to wait for it."""
    file = folder / ADAPTER
    if not file.exists() or not (folder / MPESA_STATE).exists():
        return None
    kept: dict[str, Any] = json.loads(file.read_text())
    return kept


def _write_settings(
    folder: Path, adapter: Mapping[str, Any], *, ports: Mapping[str, int], postgres: Server, chain: DevChain
) -> None:
    adapter = dict(adapter)
    keys = folder / "keys"
    keys.mkdir(mode=0o700, exist_ok=True)
    for name in ("consumer_key", "consumer_secret", "initiator_password", "certificate"):
        replace(keys / name, adapter.pop(name))
        adapter[name] = str(keys / name) if name == "certificate" else {"file": str(keys / name)}
    replace(keys / "app_id", secrets.token_hex(16))
    rates = {"as_of": system_clock().isoformat(), "base": "USD", "rates": {"KES": "129.50"}}
    replace(folder / "rates.json", json.dumps(rates))
    text = _SETTINGS.format(
        url=_at(ports, "gateway"),
        port=ports["gateway"],
        database=_toml(postgres.url),
        rpc=chain.rpc_url,
        chain_id=chain.chain_id,
        treasury=chain.treasury,
        gas_key=_lines(keystore(GAS, folder=keys)),
        refund_key=_lines(keystore(REFUNDS, folder=keys)),
        usdc=chain.usdc,
        rates_url=_at(ports, "open_exchange_rates"),
        app_id=_toml({"file": str(keys / "app_id")}),
        rates_file=_toml(str(folder / "rates.json")),
        adapter=_lines(adapter),
    )
    replace(folder / SETTINGS, text)


def _lines(table: Mapping[str, Any]) -> str:
    return "\n".join(f"{key} = {_toml(value)}" for key, value in table.items())


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

[chains.sweep]
{gas_key}
native_usd = "3000"
cost_most_bps = 2500
every_s = 30

[chains.refunds]
{refund_key}

[[chains.tokens]]
symbol = "USDC"
address = "{usdc}"
decimals = 6
peg = "USD"
least = "0.01"
refund_per_day = "1000"

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


def _answers(url: str) -> bool:
    # Asked many times a second while everything starts, so by the bare library: a client of httpx costs 40 ms to make.
    parts = urlsplit(url)
    connection = HTTPConnection(str(parts.hostname), parts.port, timeout=2)
    try:
        connection.request("GET", parts.path)
        return connection.getresponse().status == HTTPStatus.OK
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
