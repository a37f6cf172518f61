"""The whole demo, brought together from its servers and its processes."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
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
from gateway.demo.parts import HOST, RATES, SETTINGS, SIMULATORS, STATES, Progress, replace
from gateway.demo.rails import PRICES, corridors_of, enter_webhooks, in_files, show_chain
from gateway.devchain.chain import DevChain
from gateway.devchain.chain import start as start_chain

BLOCK_TIME_S = 1.0
ADAPTERS = "adapters.json"
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
    rails: tuple[str, ...]

    def state(self) -> dict[str, Any]:
        """What another process needs to act in this demo."""
        return {
            "url": self.url,
            "database": self.postgres.url,
            "rpc": self.chain.rpc_url,
            "usdc": self.chain.usdc,
            "sender": self.chain.sender,
            "rails": self.rails,
        }


def start_world(
    *,
    data: Path,
    folder: Path,
    rails: Sequence[str],
    children: Mapping[str, Child],
    ports: Mapping[str, int],
    stack: ExitStack,
    progress: Progress,
) -> World:
    """Start the servers beside the children that are starting, and bring all together; the stack stops it."""
    postgres, chain = _start_servers(data=data, folder=folder, stack=stack, progress=progress)
    adapters = _kept_adapters(folder, rails)
    for rail in rails:
        if rail not in adapters:
            progress(f"simulators: waiting for {rail}")
            children[SIMULATORS].wait_until(partial(_answers, _at(ports, rail, "/_sim/settings")), within_s=START_WITHIN_S)
            show_chain(_at(ports, rail), chain=chain)
            adapters[rail] = httpx.get(_at(ports, rail, "/_sim/settings"), timeout=10).raise_for_status().json()
        adapters[rail]["base_url"] = _at(ports, rail, urlsplit(adapters[rail]["base_url"]).path.rstrip("/"))
        if "refund_address" in adapters[rail]:
            adapters[rail]["refund_address"] = chain.treasury
    replace(folder / ADAPTERS, json.dumps(adapters))
    _write_settings(folder, adapters, ports=ports, postgres=postgres, chain=chain)
    progress("simulators: waiting for the rails and the rate source")
    for name, path in [*((rail, "/_sim/settings") for rail in rails), (RATES, "/_sim/rates")]:
        children[SIMULATORS].wait_until(partial(_answers, _at(ports, name, path)), within_s=START_WITHIN_S)
    httpx.put(_at(ports, RATES, "/_sim/rates"), json=PRICES, timeout=10).raise_for_status()
    progress("gateway: waiting for it")
    gateway = children["gateway"]
    stack.callback(gateway.stop)  # before the servers that it uses
    url = _at(ports, "gateway")
    gateway.wait_until(lambda: _answers(f"{url}/readyz"), within_s=START_WITHIN_S)
    if list(rails) != ["mpesa"]:
        for rail in rails:
            show_chain(_at(ports, rail), chain=chain)
        progress("simulators: entering the addresses for their callbacks")
        enter_webhooks(folder, at=partial(_at, ports))
    world = World(folder=folder, url=url, postgres=postgres, chain=chain, gateway=gateway, rails=tuple(rails))
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


def _kept_adapters(folder: Path, rails: Sequence[str]) -> dict[str, Any]:
    """The settings of last time of rails whose simulators still have their credentials: nobody has to wait for these."""
    file = folder / ADAPTERS
    kept: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    return {rail: kept[rail] for rail in rails if rail in kept and (folder / STATES / f"{rail}.state").exists()}


def _write_settings(
    folder: Path, adapters: Mapping[str, Any], *, ports: Mapping[str, int], postgres: Server, chain: DevChain
) -> None:
    keys = folder / "keys"
    keys.mkdir(mode=0o700, exist_ok=True)
    replace(keys / "app_id", secrets.token_hex(16))
    rates = {"as_of": system_clock().isoformat(), "base": "USD", "rates": PRICES}
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
        corridors=corridors_of(adapters),
        adapters="\n".join(
            f"[adapters.{rail}]\n{_lines({'kind': rail, 'answer_within_s': 5, **in_files(rail, given, keys)})}\n"
            for rail, given in adapters.items()
        ),
    )
    replace(folder / SETTINGS, text)


def _lines(table: Mapping[str, Any]) -> str:
    return "\n".join(f"{key} = {_toml(value)}" for key, value in table.items() if value is not None)


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

[chains.legs]
{refund_key}

[[chains.tokens]]
symbol = "USDC"
address = "{usdc}"
decimals = 6
peg = "USD"
least = "0.01"
refund_per_day = "1000"

{corridors}
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

{adapters}"""


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    # JSON's strings, numbers and words are TOML's.
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
