"""HTTP to Yellow Card: every request signed anew. No retry of anything.

Source: docs.yellowcard.engineering/docs/authentication-api. What is signed is the timestamp, the path without its query
(with it the server answers 401), the method, and of a request with a body the base64 of the body's SHA-256.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from adapters.yellowcard.settings import YellowCardSettings
from gateway.clock import Clock
from gateway.offramp import NotSent
from gateway.railkit.http import Answer, NotAsked, RailHttp


def timestamp(now: datetime) -> str:
    """A moment as Yellow Card writes it: ISO 8601 in UTC with milliseconds."""
    return now.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def signature(*, secret: str, at: str, path: str, method: str, body: bytes) -> str:
    """The signature of a request, in base64."""
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode() if body else ""
    return _hmac(secret, (at + path + method + digest).encode())


def webhook_signature(*, secret: str, body: bytes) -> str:
    """The signature of a webhook, in base64 (docs.yellowcard.engineering/docs/webhooks-api)."""
    return _hmac(secret, body)


def _hmac(secret: str, message: bytes) -> str:
    return base64.b64encode(hmac.new(secret.encode(), message, hashlib.sha256).digest()).decode()


def _written(document: Mapping[str, object] | None) -> bytes:
    return b"" if document is None else json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


class Client:
    """One business account. Secrets stay inside."""

    def __init__(self, *, settings: YellowCardSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._http = RailHttp(base_url=settings.base_url, answer_within_s=settings.answer_within_s, provider="Yellow Card")

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def post(self, path: str, document: Mapping[str, object] | None = None) -> Answer:
        """Send once. Raises `NotSent` if no byte has left us, and `NoAnswer` for what may have arrived."""
        return await self._call("POST", path, body=_written(document))

    async def ask(self, path: str, *, query: str = "") -> Answer:
        """Ask something. Raises `NotAsked` or `NoAnswer`, never `NotSent`: that speaks of a payment."""
        return await self._unpaid("GET", path, query=query)

    async def tell(self, path: str, document: Mapping[str, object] | None = None) -> Answer:
        """Send something that pays nobody. Raises as `ask` does."""
        return await self._unpaid("POST", path, body=_written(document))

    async def _unpaid(self, method: str, path: str, **request: Any) -> Answer:
        try:
            return await self._call(method, path, **request)
        except NotSent as error:
            raise NotAsked(str(error)) from None

    async def _call(self, method: str, path: str, *, query: str = "", body: bytes = b"") -> Answer:
        at = timestamp(self._clock())
        secret, key = self._settings.secret_key.get_secret_value(), self._settings.api_key.get_secret_value()
        signed = signature(secret=secret, at=at, path=path, method=method, body=body)
        headers = {"x-yc-timestamp": at, "authorization": f"YcHmacV1 {key}:{signed}", "accept": "application/json"}
        if body:
            headers["content-type"] = "application/json"
        return await self._http.call(method, path + query, headers=headers, content=body)
