"""What the contract suite stands on: a simulator served for real, an inbox that rails call back, waiting with a deadline."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar

import httpx
import uvicorn
from fastapi import FastAPI

from gateway.clock import system_clock
from gateway.contract.requests import callback_path
from gateway.money import Money
from gateway.offramp import RAILS_OWN, CallbackRequest, ForgedCallback, NamesAttempt
from gateway.railsim import Scenario

DEADLINE_S = 10
T = TypeVar("T")


async def eventually(probe: Callable[[], T | None], *, what: str) -> T:
    """The probe's first answer that isn't None or False. Fails after the deadline."""
    ends = time.monotonic() + DEADLINE_S
    while True:
        if answer := probe():
            return answer
        assert time.monotonic() < ends, f"waited in vain for {what}"
        await asyncio.sleep(0.005)


def free_address() -> str:
    """An address at which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


class _Server(uvicorn.Server):
    """Ends when it is told to: uvicorn's own looks for that ten times a second, and then waits another tenth."""

    _loop: asyncio.AbstractEventLoop
    _told: asyncio.Event

    def end(self) -> None:
        """Stop serving; from any thread, once it has started."""
        self._loop.call_soon_threadsafe(self._told.set)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop, self._told = asyncio.get_running_loop(), asyncio.Event()
        await super().startup(sockets)

    async def main_loop(self) -> None:
        await self.on_tick(0)
        await self._told.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for listening in (*self.servers, *(sockets or ())):
            listening.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        while self.server_state.connections or self.server_state.tasks:  # noqa: ASYNC110 - of neither does uvicorn tell
            await asyncio.sleep(0.001)
        await self.lifespan.shutdown()


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """Serve an application on a free port, in a thread of its own, until the end of the block."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = _Server(uvicorn.Config(app, ws="none", log_level="critical", access_log=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        ends = time.monotonic() + DEADLINE_S
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            assert time.monotonic() < ends, "the server did not start"
            time.sleep(0.001)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        if thread.is_alive():
            server.end()
        thread.join(DEADLINE_S)
        listener.close()


@dataclass(frozen=True, slots=True)
class Rail:
    """A running simulator, by its `/_sim` endpoints."""

    url: str
    client: httpx.Client

    def settings(self) -> dict[str, Any]:
        """With which an adapter can use it."""
        return dict(self._get("settings"))

    def script(self, *scenarios: Scenario, **details: object) -> None:
        """What happens to the next payment."""
        body = {"scenarios": [each.value for each in scenarios], **details}
        self.client.post("/_sim/faults", json=body).raise_for_status()

    def forget_scripts(self) -> None:
        """Nothing special happens to the next payments."""
        self.client.delete("/_sim/faults").raise_for_status()

    def enter_webhook(self, url: str) -> None:
        """The address for callbacks about all payments, as a person enters it at the provider."""
        self.client.put("/_sim/webhook", json={"url": url}).raise_for_status()

    def hold(self, money: Money) -> None:
        """Set the float."""
        body = {"currency": money.asset.code, "amount": money.decimal()}
        self.client.put("/_sim/balance", json=body).raise_for_status()

    def balances(self) -> dict[str, str]:
        """The float per currency, as decimals."""
        return dict(self._get("balance"))

    def payouts(self, payment_id: str) -> list[dict[str, Any]]:
        """What was taken under an id."""
        return [each for each in self._get("payouts") if each["id"] == payment_id]

    def times_paid(self, payment_id: str) -> int:
        """How often money moved under an id."""
        return sum(each["times"] for each in self.payouts(payment_id))

    def movements(self, payment_id: str) -> list[dict[str, Any]]:
        """What moved on the account for an id."""
        return [each for each in self._get("statement") if each["payment_id"] == payment_id]

    def requests(self) -> list[dict[str, Any]]:
        """All that came in, byte for byte."""
        return list(self._get("requests"))

    def scenarios(self) -> set[Scenario]:
        """What it can be scripted to do."""
        return {Scenario(name) for name in self._get("scenarios")}

    def _get(self, name: str) -> Any:
        return self.client.get(f"/_sim/{name}").raise_for_status().json()


@contextmanager
def running(simulator: FastAPI) -> Iterator[Rail]:
    """A simulator, served until the end of the block."""
    with served(simulator) as url, httpx.Client(base_url=url, trust_env=False, verify=False) as client:
        yield Rail(url, client)


class Inbox:
    """A real HTTP server at which a rail's callbacks arrive."""

    def __init__(self) -> None:
        self.deliveries: list[CallbackRequest] = []
        self.answer: tuple[int, Mapping[str, object]] = (200, {})
        self.names: NamesAttempt | None = None
        """Who tells the attempt of what arrives at the rail's own address."""
        inbox = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                inbox._take(self)

            do_PUT = do_POST  # noqa: N815 - the name that http.server looks for

            def log_message(self, *_: object) -> None:
                """Keep silent."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def address(self, attempt_id: str, label: str) -> str:
        """Where a rail is to call about an attempt."""
        return f"http://127.0.0.1:{self._server.server_port}{callback_path(attempt_id, label)}"

    def of(self, attempt_id: str) -> list[CallbackRequest]:
        """What arrived about an attempt."""
        return [each for each in self.deliveries if each.attempt_id == attempt_id]

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _attempt_of(self, arrived: CallbackRequest) -> str:
        """As the gateway does: what names no attempt that can be believed stays at the rail's own address."""
        if arrived.attempt_id != RAILS_OWN or self.names is None:
            return arrived.attempt_id
        try:
            return self.names.attempt_of(arrived) or RAILS_OWN
        except ForgedCallback:
            return RAILS_OWN

    def _take(self, handler: BaseHTTPRequestHandler) -> None:
        attempt_id, label = (bytes.fromhex(part).decode() for part in handler.path.removeprefix("/").split("/"))
        body = handler.rfile.read(int(handler.headers.get("content-length", "0")))
        headers = {name.lower(): value for name, value in handler.headers.items()}
        arrived = CallbackRequest(attempt_id=attempt_id, label=label, headers=headers, body=body, received_at=system_clock())
        self.deliveries.append(replace(arrived, attempt_id=self._attempt_of(arrived)))
        status, document = self.answer
        handler.send_response(status)
        handler.send_header("content-type", "application/json")
        handler.end_headers()
        handler.wfile.write(json.dumps(dict(document)).encode())
