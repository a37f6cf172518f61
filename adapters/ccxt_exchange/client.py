"""Requests to an exchange: ccxt knows how each signs and counts, and our own HTTP sends.

ccxt's own HTTP gives one error for what was never sent and for what was lost, and may repeat; here every byte that leaves is
sent once. The library takes seconds and 80 MB to import: only a process that sends or asks does that, at the first request.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Literal

from adapters.ccxt_exchange.settings import ExchangeSettings
from gateway.offramp import BadSettings, NotSent
from gateway.railkit.http import Answer, RailHttp

Verb = Literal["GET", "POST"]
PUBLIC, PRIVATE = "public", "private"
PATIENCE = 3
"""This part of the time for one call may be spent waiting for our own sake: what isn't sent by then wasn't sent."""


class Client:
    """One API key at one exchange. Its repr shows nothing. Signed requests go one after the other: a nonce only grows."""

    def __init__(self, settings: ExchangeSettings, *, provider: str) -> None:
        """Raises `BadSettings` if ccxt isn't installed."""
        if find_spec("ccxt") is None:
            raise BadSettings({"exchange": 'needs ccxt: install the extra "exchanges"'})
        self._settings = settings
        self._http = RailHttp(base_url=settings.base_url, answer_within_s=settings.answer_within_s, provider=provider)
        self._exchange: Any = None
        self._loading: asyncio.Task[Any] | None = None
        self._one_by_one = asyncio.Lock()
        self._patience_s = settings.answer_within_s / PATIENCE

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def public(self, path: str, params: Mapping[str, str]) -> Answer:
        """Ask for what everybody may know. Raises `NotSent` and `NoAnswer`."""
        signed = (await self._ccxt()).sign(path, [PUBLIC], "GET", dict(params))
        return await self._send(signed)

    async def private(
        self,
        verb: Verb,
        path: str,
        params: Mapping[str, Any] | None = None,
        *,
        version: str | None = None,
        body: str | None = None,
        stale: Callable[[Answer], bool] = lambda _: False,
    ) -> Answer:
        """A signed request; once more, with a new nonce, if the answer is `stale`: then nothing of it was taken.

        `body`: JSON, at Coins.ph only; at Bitso the `params` of a POST are its body.

        Raises `NotSent` and `NoAnswer`.
        """
        exchange = await self._ccxt()
        try:
            async with asyncio.timeout(self._patience_s):
                await self._one_by_one.acquire()
        except TimeoutError:
            raise NotSent("too many requests wait for their turn") from None
        try:
            answer = await self._send(self._sign(exchange, verb, path, params or {}, version, body))
            if not stale(answer):
                return answer
            return await self._send(self._sign(exchange, verb, path, params or {}, version, body))
        finally:
            self._one_by_one.release()

    def _sign(
        self, exchange: Any, verb: Verb, path: str, params: Mapping[str, Any], version: str | None, body: str | None
    ) -> Any:
        usual = exchange.version
        exchange.version = version or usual
        try:
            signed = exchange.sign(path, [PRIVATE], verb, dict(params))
        finally:
            exchange.version = usual
        if self._settings.exchange == "bitso":
            self._sign_prefix(signed)
        elif body is not None:
            self._sign_body(signed, body)
        return signed

    def _sign_body(self, signed: dict[str, Any], body: str) -> None:
        """Carry a JSON body, which ccxt doesn't know at Coins.ph: a person's data stands in no address, hence in no log."""
        query = signed["url"].partition("?")[2].partition("&signature=")[0]
        text = query + body if self._settings.signs_body else query
        signed["url"] = f"{signed['url'].partition('&signature=')[0]}&signature={self._hmac(text)}"
        signed["body"] = body

    def _sign_prefix(self, signed: dict[str, Any]) -> None:
        """Sign the path that the settings say: Bitso's documents and ccxt differ in what stands before it."""
        key, nonce, _ = signed["headers"]["Authorization"].removeprefix("Bitso ").split(":")
        path = self._settings.signed_prefix + signed["url"].removeprefix(self._settings.base_url)
        text = nonce + signed["method"] + path + (signed["body"] or "")
        signed["headers"]["Authorization"] = f"Bitso {key}:{nonce}:{self._hmac(text)}"

    def _hmac(self, text: str) -> str:
        secret = self._settings.api_secret.get_secret_value().encode()
        return hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()

    async def _send(self, signed: Mapping[str, Any]) -> Answer:
        headers = dict(signed["headers"] or {})
        request: dict[str, Any] = {"headers": headers}
        if signed["body"] is not None:
            headers["Content-Type"] = "application/json"
            request["content"] = signed["body"]
        return await self._http.call(signed["method"], signed["url"].removeprefix(self._settings.base_url), **request)

    async def _ccxt(self) -> Any:
        if self._exchange is None:
            if self._loading is None:
                self._loading = asyncio.create_task(asyncio.to_thread(import_module, "ccxt"))
            done, _ = await asyncio.wait({self._loading}, timeout=self._patience_s)
            if not done:
                raise NotSent("ccxt is still being loaded")
            library = self._loading.result()
        if self._exchange is None:
            settings = self._settings
            exchange = getattr(library, settings.exchange)(
                {
                    "apiKey": settings.api_key.get_secret_value(),
                    "secret": settings.api_secret.get_secret_value(),
                    "options": {"maxRetriesOnFailure": 0},
                }
            )
            exchange.number = str
            exchange.urls["api"] = dict.fromkeys(("rest", PUBLIC, PRIVATE), settings.base_url)
            self._exchange = exchange
        return self._exchange
