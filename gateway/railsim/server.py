"""The HTTP side of a simulated rail: the record of requests, callbacks over real HTTP, cut connections, `/_sim`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Any

import httpx
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.types import Message, Receive, Scope, Send

from gateway.money import Money, MoneyError
from gateway.railsim.desk import Desk, Movement, Payment
from gateway.railsim.scenario import SENTENCES, Script
from gateway.trust import tls_trust

CONTROL = "/_sim"
BODY_MOST = 1_048_576
"""Longest request body taken, in bytes."""

log = logging.getLogger(__name__)


class Cut(Response):
    """An answer that is none: the TCP connection ends without one byte."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        """Abort the transport and wait until the server has noticed."""
        scope["railsim.transport"].abort()
        while (await receive())["type"] != "http.disconnect":
            pass


class RailApp(FastAPI):
    """A FastAPI application that records what it is sent. Served by uvicorn, whose transport `Cut` aborts."""

    desk: Desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Record the request byte for byte, then handle it. The simulator's own endpoints are not recorded."""
        if scope["type"] != "http" or scope["path"].startswith(CONTROL):
            return await super().__call__(scope, receive, send)
        body = await _whole_body(receive)
        self.desk.requests.append(_record(scope, body, at=self.desk.clock().isoformat()))
        # Only the server's own send knows the connection; below this line Starlette wraps it.
        scope["railsim.transport"] = getattr(getattr(send, "__self__", None), "transport", None)
        return await super().__call__(scope, _replay(body, receive), send)


async def _whole_body(receive: Receive) -> bytes:
    body = b""
    more = True
    while more and len(body) <= BODY_MOST:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


def _replay(body: bytes, receive: Receive) -> Receive:
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return messages.pop() if messages else await receive()

    return again


def _record(scope: Scope, body: bytes, *, at: str) -> dict[str, Any]:
    query = b"?" + scope["query_string"] if scope["query_string"] else b""
    return {
        "method": scope["method"],
        "target": (scope["raw_path"] + query).decode("latin-1"),
        "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]],
        "body": body.decode("latin-1"),
        "at": at,
    }


def rail_app(
    desk: Desk,
    *,
    title: str,
    settings: Callable[[str], dict[str, Any]],
    resume: Callable[[Payment], Coroutine[Any, Any, None]],
) -> RailApp:
    """An application with the `/_sim` endpoints, to which a rail adds its protocol.

    `settings` makes, from the simulator's own base URL, the settings with which the rail's adapter can use it. `resume` is
    called at start for every payment that a killed process left pending.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with httpx.AsyncClient(trust_env=False, timeout=10, verify=tls_trust()) as client:
            app.state.client = client
            app.state.tasks = set[asyncio.Task[None]]()
            for payment in desk.payments():
                if payment.final_at is None:
                    start(app, resume(payment))
            yield
            for task in app.state.tasks:
                task.cancel()
            await asyncio.gather(*app.state.tasks, return_exceptions=True)
        desk.shelf.close()

    app = RailApp(title=title, lifespan=lifespan)
    app.desk = desk
    app.state.settings = settings
    app.include_router(control)
    return app


def start(app: FastAPI, work: Coroutine[Any, Any, None]) -> None:
    """Let the simulator do something beside answering; cancelled when it stops."""
    task = asyncio.create_task(work)
    app.state.tasks.add(task)
    task.add_done_callback(lambda done: _finished(app, done))


def _finished(app: FastAPI, task: asyncio.Task[None]) -> None:
    app.state.tasks.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("the simulator could not finish its work", exc_info=error)


async def post_later(
    app: RailApp,
    *,
    url: str,
    body: bytes,
    after_s: float = 0,
    headers: Mapping[str, str] | None = None,
    method: str = "POST",
) -> None:
    """Call back once, as JSON, after some seconds. What came of it is in `/_sim/callbacks`."""
    await asyncio.sleep(after_s)
    try:
        sent_with = {"content-type": "application/json", **(headers or {})}
        answer = await app.state.client.request(method, url, content=body, headers=sent_with)
        outcome = str(answer.status_code)
    except httpx.HTTPError as error:
        outcome = type(error).__name__
    sent = {"url": url, "body": body.decode(), "outcome": outcome, "at": app.desk.clock().isoformat()}
    app.desk.callbacks.append(sent)


def _desk_of(request: Request) -> Desk:
    app: RailApp = request.app
    return app.desk


DeskHere = Annotated[Desk, Depends(_desk_of)]
control = APIRouter(prefix=CONTROL, tags=["simulator"])


class Amount(BaseModel):
    """An amount of float, as a plain decimal of one currency."""

    model_config = ConfigDict(extra="forbid")

    currency: str
    amount: str

    def money(self, desk: Desk) -> Money:
        """The amount. Raises HTTP 422 for a currency that isn't held here or a text that is no amount."""
        asset = desk.assets.get(self.currency)
        if asset is None:
            raise HTTPException(422, f"currency: one of {', '.join(desk.assets)}")
        try:
            return Money.parse(self.amount, asset)
        except MoneyError as error:
            raise HTTPException(422, f"amount: {error}") from error


@control.get("/scenarios")
async def scenarios(desk: DeskHere) -> dict[str, str]:
    """What this rail can be scripted to do."""
    return {scenario.value: sentence for scenario, sentence in SENTENCES.items() if scenario in desk.offers}


@control.get("/faults")
async def waiting_faults(desk: DeskHere) -> list[Script]:
    """The scripts still to be played, the next first."""
    return list(desk.scripts)


@control.post("/faults", status_code=201)
async def add_fault(script: Script, desk: DeskHere) -> list[Script]:
    """Queue a script for the next payments that match it."""
    if unknown := [each.value for each in script.scenarios if each not in desk.offers]:
        raise HTTPException(422, f"this rail has no {', '.join(unknown)}; see {CONTROL}/scenarios")
    desk.scripts.add(script)
    return list(desk.scripts)


@control.delete("/faults", status_code=204)
async def clear_faults(desk: DeskHere) -> None:
    """Forget the scripts that have not been played."""
    desk.scripts.clear()


@control.get("/payouts")
async def payouts(desk: DeskHere) -> list[Payment]:
    """Who was paid what: every payment taken, oldest first."""
    return desk.payments()


@control.get("/requests")
async def requests(desk: DeskHere) -> list[dict[str, Any]]:
    """Every request, oldest first. Texts have one character for each byte (ISO 8859-1)."""
    return list(desk.requests)


@control.get("/callbacks")
async def callbacks(desk: DeskHere) -> list[dict[str, Any]]:
    """Every callback sent, oldest first, with the HTTP status it was answered with or the error it met."""
    return list(desk.callbacks)


@control.get("/balance")
async def balance(desk: DeskHere) -> dict[str, str]:
    """The float, per currency."""
    return {currency: desk.held(currency).decimal() for currency in desk.assets}


@control.post("/balance")
async def top_up(amount: Amount, desk: DeskHere) -> dict[str, str]:
    """Add to the float."""
    desk.top_up(amount.money(desk))
    return await balance(desk)


@control.get("/statement")
async def statement(desk: DeskHere) -> list[Movement]:
    """Every movement on the account that pays, oldest first. A float that was set, and not added to, is none."""
    return desk.movements()


@control.put("/balance")
async def set_balance(amount: Amount, desk: DeskHere) -> dict[str, str]:
    """Set the float."""
    desk.hold(amount.money(desk))
    return await balance(desk)


class Webhook(BaseModel):
    """The one address that a rail calls about all payments, as a person enters it at the provider."""

    model_config = ConfigDict(extra="forbid")

    url: str = Field(pattern=r"^https?://")


@control.put("/webhook")
async def enter_webhook(webhook: Webhook, desk: DeskHere) -> Webhook:
    """Enter the address for callbacks about all payments; of no effect at a rail that is told an address per payment."""
    desk.enter_webhook(webhook.url)
    return webhook


@control.get("/settings")
async def settings(request: Request) -> dict[str, Any]:
    """The settings with which this rail's adapter can use this simulator."""
    made: dict[str, Any] = request.app.state.settings(str(request.base_url).rstrip("/"))
    return made
