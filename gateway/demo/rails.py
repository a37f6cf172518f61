"""The rails of a demo: their settings out of their simulators, the corridors that they can serve, their webhooks."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import httpx

from gateway.clock import system_clock
from gateway.demo.parts import SETTINGS, replace
from gateway.devchain.chain import DevChain
from gateway.offramp import AdapterContext, Corridor

PRICES: Mapping[str, str] = {
    "AED": "3.67", "BRL": "5.40", "CAD": "1.38", "CDF": "2280", "EUR": "0.92", "GBP": "0.78", "GHS": "15.30",
    "KES": "129.20", "MWK": "1734", "MXN": "18.40", "MZN": "63.9", "NGN": "1540.50", "PHP": "56.80", "RWF": "1440",
    "SGD": "1.33", "TZS": "2480", "UGX": "3650", "USD": "1", "XAF": "604", "XOF": "604", "ZAR": "18.15", "ZMW": "24.90",
}  # fmt: skip
"""Units of a currency for one US dollar, for a demo: plausible, not true."""

MPESA = """\
[[corridors]]
country = "KE"
currency = "KES"
methods = ["mobile_money"]
spread_bps = 75
fee = "20"
min = "50"
max = "250000"
"""
"""The demo's corridor when it is told no rail."""


def in_files(rail: str, settings: Mapping[str, Any], keys: Path) -> dict[str, Any]:
    """The settings with everything that may be a secret moved into files, as the configuration wants it."""
    moved = {}
    for name, value in settings.items():
        if isinstance(value, str) and not value.startswith("http"):
            file = keys / f"{rail}.{name}"
            replace(file, value)
            moved[name] = {"file": str(file)}
        else:
            moved[name] = value
    return moved


def corridors_of(adapters: Mapping[str, Mapping[str, Any]]) -> str:
    """The [[corridors]] tables of all that these rails can pay, at prices of the demo."""
    if list(adapters) == ["mpesa"]:
        return MPESA
    places: dict[tuple[str, str], list[Corridor]] = {}
    for corridor in _able(adapters):
        places.setdefault((corridor.country, corridor.asset.code), []).append(corridor)
    return "\n".join(_table(country, currency, able) for (country, currency), able in places.items())


def _able(adapters: Mapping[str, Mapping[str, Any]]) -> Iterator[Corridor]:
    points = {point.name: point for point in entry_points(group="lastmile.adapters")}
    for rail, settings in adapters.items():
        context = AdapterContext(
            name=rail, settings=settings, callback_address=lambda *_: "http://127.0.0.1/", clock=system_clock
        )
        adapter = points[rail].load()(context)
        yield from (corridor for corridor in adapter.capabilities.corridors if corridor.asset.code in PRICES)


def _table(country: str, currency: str, able: list[Corridor]) -> str:
    methods = json.dumps(sorted({str(corridor.method) for corridor in able}))
    least, most = min(one.least for one in able), max(one.most for one in able)
    return f"""[[corridors]]
country = "{country}"
currency = "{currency}"
methods = {methods}
spread_bps = 75
fee = "0"
min = "{least.decimal()}"
max = "{most.decimal()}"
"""


def show_chain(simulator: str, *, chain: DevChain) -> None:
    """Tell a simulator whose rail is paid on chain which chain that is; others know no such address."""
    body = {"rpc": chain.rpc_url, "chain_id": chain.chain_id, "token": chain.usdc}
    answer = httpx.put(f"{simulator}/_sim/chain", json=body, timeout=10)
    if answer.status_code != HTTPStatus.NOT_FOUND:
        answer.raise_for_status()


def enter_webhooks(folder: Path, *, at: Callable[[str], str]) -> None:
    """Enter our one address at each simulator whose rail has only one, as an operator does at the provider."""
    place = ["--config", str(folder / SETTINGS), "--data", str(folder)]
    command = [sys.executable, "-m", "gateway.cli", "rails", "webhooks", "--json", *place]
    told = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - our own command line
    for one in map(json.loads, told.stdout.splitlines()):
        httpx.put(f"{at(one['rail'])}/_sim/webhook", json={"url": one["address"]}, timeout=10).raise_for_status()
