"""HTTP to Paycrest's sender API, and the signature of its webhooks. No retry of anything."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping

from adapters.paycrest.settings import PaycrestSettings
from gateway.offramp import NotSent
from gateway.railkit.http import Answer, NotAsked, RailHttp


def webhook_signature(*, secret: str, body: bytes) -> str:
    """The signature of a webhook over its raw bytes: lower-case hex (docs.paycrest.io, Verify Webhook Signatures)."""
    return hmac.new(secret.strip().encode(), body, hashlib.sha256).hexdigest()


class Client:
    """One sender. Its key stays inside."""

    def __init__(self, *, settings: PaycrestSettings) -> None:
        self._http = RailHttp(base_url=settings.base_url, answer_within_s=settings.answer_within_s, provider="Paycrest")
        self._headers = {"api-key": settings.api_key.get_secret_value(), "accept": "application/json"}

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def post(self, path: str, document: Mapping[str, object]) -> Answer:
        """Send once. Raises `NotSent` if no byte has left us, and `NoAnswer` for what may have arrived."""
        body = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
        headers = {**self._headers, "content-type": "application/json"}
        return await self._http.call("POST", path, headers=headers, content=body)

    async def ask(self, path: str, document: Mapping[str, object] | None = None) -> Answer:
        """Ask something that moves nothing. Raises `NotAsked` or `NoAnswer`, never `NotSent`: that speaks of a payment."""
        try:
            if document is not None:
                return await self.post(path, document)
            return await self._http.call("GET", path, headers=self._headers)
        except NotSent as error:
            raise NotAsked(str(error)) from None
