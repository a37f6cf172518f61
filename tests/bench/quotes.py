"""`POST /v1/quotes` beside a bare FastAPI route: answers a second, and how long they take at half of each one's peak.

    uv run python -m tests.bench.quotes

Three processes beside a real PostgreSQL on disk with fsync: the product's own application as `lastmile serve` makes it (all
pages, all middlewares, a verified token, an exposure cap, the quote committed before it is answered); a FastAPI application
with a single route, which takes the same JSON and answers the same document, under the same server with the same settings;
and what makes the load (tests/bench/load.py). Turn by turn: the peak of each with as many connections, then each at half of
its own peak in open loop.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import uvicorn
from fastapi import FastAPI

from gateway.clock import system_clock
from gateway.config import Settings, parse
from gateway.db.embedded import start
from gateway.db.migrate import migrate
from gateway.db.session import transaction
from gateway.logs import configure
from gateway.main import make_worker, open_gateway, run, tune_collector
from gateway.partners.clients import add_partner
from tests.bench.load import Generator, generator
from tests.bench.report import report
from tests.crash.lives import free_port

ROUNDS = 5
PEAK_CONNECTIONS, PACED_CONNECTIONS = 64, 256
PEAK_S, PACED_S = 3, 5
ASK = {
    "send": {"chain": "devchain", "asset": "USDC", "amount": "10"},
    "receive": {"country": "KE", "currency": "KES", "method": "mobile_money"},
}
BARE, QUOTES = "bare route", "POST /v1/quotes"


class Side(NamedTuple):
    """One of the two that are compared."""

    name: str
    port: int
    request: str
    pid: int


def settings_tree(folder: Path, *, port: int) -> dict[str, Any]:
    """Of a gateway that sends USDC to M-Pesa by a rail that nobody asks here."""
    prices = {"as_of": system_clock().isoformat(), "base": "USD", "rates": {"KES": "129.20"}}
    rates = [folder / "one.json", folder / "two.json"]
    for path in rates:
        path.write_text(json.dumps(prices))
    return {
        "server": {"public_url": f"http://127.0.0.1:{port}", "port": port},
        "chains": [
            {
                "name": "devchain",
                "chain_id": 31337,
                "rpc": ["http://127.0.0.1:9"],
                "quorum": 1,
                "finality": {"tag": "finalized"},
                "start_block": 0,
                "treasury": "0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65",
                "tokens": [{"symbol": "USDC", "address": "0x" + "a0" * 20, "decimals": 6, "peg": "USD", "least": "0.01"}],
            }
        ],
        "corridors": [
            {
                "country": "KE",
                "currency": "KES",
                "methods": ["mobile_money"],
                "spread_bps": 100,
                "fee": "30",
                "min": "100",
                "max": "150000",
            }
        ],
        "pricing": {
            "max_age_s": 86_400,
            "max_spread_bps": 200,
            "quote_ttl_s": 900,
            "min_sources": 2,
            "exposure_cap": "1000000000",
            "sources": [{"name": path.stem, "kind": "file", "path": str(path)} for path in rates],
        },
        "adapters": {
            "paystack": {"kind": "paystack", "base_url": "http://127.0.0.1:9", "secret_key": "sk_test_" + "a" * 40}
            | {"countries": ["KE"]}
        },
    }


def serve_quotes(asked: dict[str, Any]) -> None:
    """What `lastmile serve` does."""
    configure()

    async def go(settings: Settings) -> None:
        async with open_gateway(settings, data=Path(asked["data"]), database_url=asked["url"]) as gateway:
            await run(gateway, serve=True, work=False)

    asyncio.run(go(parse(tree=asked["tree"])))


def serve_bare(asked: dict[str, Any]) -> None:
    """A route that does nothing, under the server that the product uses."""
    app = FastAPI()

    @app.post("/v1/quotes", status_code=201)
    async def bare(body: dict[str, Any]) -> dict[str, Any]:
        assert body
        return asked["document"]

    tune_collector()
    uvicorn.run(app, port=asked["port"], log_config=None, access_log=False, server_header=False, loop="none")


SERVERS = {"quotes": serve_quotes, "bare": serve_bare}


@contextmanager
def served(kind: str, **asked: Any) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.bench.quotes", kind, json.dumps(asked)]
    with subprocess.Popen(command, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()


def request(port: int, *, token: str = "") -> str:
    body = json.dumps(ASK, separators=(",", ":"))
    authorization = f"Authorization: Bearer {token}\r\n" if token else ""
    return (
        f"POST /v1/quotes HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{authorization}"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    )


async def prepare(settings: Settings, *, url: str, data: Path) -> str:
    """Rates in the database, and a partner's access token."""
    async with open_gateway(settings, data=data, database_url=url) as gateway:
        for loop in make_worker(gateway, only=frozenset({"rates"})).loops:
            await loop.step()
        async with transaction(gateway.engine) as connection:
            partner = await add_partner(connection, name="Nairobi Exchange", now=gateway.clock())
        return gateway.issuer.issue(partner_id=partner.partner_id, client_id=partner.client_id, now=gateway.clock())


def answering(port: int, **asked: Any) -> httpx.Response:
    """The first answer of a server that is starting."""
    while True:
        try:
            return httpx.post(f"http://127.0.0.1:{port}/v1/quotes", json=ASK, **asked)
        except httpx.ConnectError:
            time.sleep(0.05)


def used_s(pid: int) -> float:
    """CPU that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def turn(load: Generator, side: Side, *, peak_s: float = PEAK_S, paced_s: float = PACED_S) -> dict[str, float]:
    """The peak of one side, then its times at half of that."""
    before = used_s(side.pid)
    peak = load.run(port=side.port, request=side.request, connections=PEAK_CONNECTIONS, seconds=peak_s)
    used = used_s(side.pid) - before
    half = peak.rate / 2
    paced = load.run(port=side.port, request=side.request, connections=PACED_CONNECTIONS, seconds=paced_s, rate=half)
    return {
        "a second": peak.rate,
        "µs of its CPU each": used / len(peak.took_ms) * 1e6,
        "µs at half, p50": paced.at(50) * 1e3,
        "µs at half, p99": paced.at(99) * 1e3,
    }


def measure(load: Generator, sides: Sequence[Side]) -> dict[str, list[float]]:
    for side in sides:
        turn(load, side, peak_s=2, paced_s=1)
    rows: defaultdict[str, list[float]] = defaultdict(list)
    for _ in range(ROUNDS):
        for side in sides:
            for name, figure in turn(load, side).items():
                rows[f"{side.name}, {name}"].append(figure)
    return rows


def run_all(folder: Path, *, url: str) -> dict[str, list[float]]:
    migrate(url)
    port, bare_port = free_port(), free_port()
    tree = settings_tree(folder, port=port)
    token = asyncio.run(prepare(parse(tree=tree), url=url, data=folder / "data"))
    with generator() as load, served("quotes", tree=tree, url=url, data=str(folder / "data")) as ours:
        answer = answering(port, headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == httpx.codes.CREATED, answer.text
        with served("bare", document=answer.json(), port=bare_port) as bare:
            assert answering(bare_port).json() == answer.json()
            sides = [
                Side(BARE, bare_port, request(bare_port), bare.pid),
                Side(QUOTES, port, request(port, token=token), ours.pid),
            ]
            return measure(load, sides)


def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        server = start(folder=Path(home) / "postgres")
        try:
            rows = run_all(Path(home), url=server.url)
        finally:
            server.stop()
    median = {name: statistics.median(figures) for name, figures in rows.items()}
    report(
        bench="quotes",
        rows=rows,
        ratios={
            "p99_to_bare": round(median[f"{QUOTES}, µs at half, p99"] / median[f"{BARE}, µs at half, p99"], 2),
            "rate_to_bare": round(median[f"{QUOTES}, a second"] / median[f"{BARE}, a second"], 2),
        },
        floors={
            "bare_per_s": round(median[f"{BARE}, a second"]),
            "bare_p99_ms": round(median[f"{BARE}, µs at half, p99"] / 1e3, 2),
        },
    )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        SERVERS[sys.argv[1]](json.loads(sys.argv[2]))
    else:
        main()
