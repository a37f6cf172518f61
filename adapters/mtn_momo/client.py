"""HTTP to MTN MoMo: one API user, one token, nothing sent twice that may have been taken."""

from __future__ import annotations

from collections.abc import Mapping

import httpx

from adapters.mtn_momo import wire
from adapters.mtn_momo.codes import refusal
from adapters.mtn_momo.settings import MtnMomoSettings
from gateway.clock import Clock
from gateway.offramp import Fault, NotSent
from gateway.railkit.documents import document_or_empty, text_of
from gateway.railkit.http import Answer, NoAnswer, RailHttp
from gateway.railkit.meanings import Kind
from gateway.railkit.tokens import Token, TokenCache

LIFE_S = 3600
"""How long a token lives if MTN doesn't say so, in seconds."""


class Momo:
    """One API user in one country. Secrets stay inside: they are in no repr, no exception and no log line."""

    def __init__(self, *, settings: MtnMomoSettings, clock: Clock) -> None:
        self._settings = settings
        self._http = RailHttp(base_url=settings.base_url, answer_within_s=settings.answer_within_s, provider="MTN MoMo")
        self._tokens = TokenCache(fetch=self._fetch_token, clock=clock)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def call(self, method: str, path: str, *, headers: Mapping[str, str] | None = None, json: object = None) -> Answer:
        """Send once; once more, with a new token, if MTN says that the token was wrong and so nothing was taken.

        The second sending has the same reference id. Raises `NotSent` if no request left us, `NoAnswer` if one may have
        arrived.
        """
        token = await self._tokens.current()
        answer = await self._send(method, path, token, headers, json)
        if answer.status < httpx.codes.BAD_REQUEST or refusal("", answer.status).kind is not Kind.BAD_TOKEN:
            return answer
        return await self._send(method, path, await self._tokens.current(instead_of=token), headers, json)

    async def _send(self, method: str, path: str, token: str, headers: Mapping[str, str] | None, json: object) -> Answer:
        everywhere = {
            "authorization": f"Bearer {token}",
            "ocp-apim-subscription-key": self._settings.subscription_key.get_secret_value(),
            "x-target-environment": self._settings.target_environment,
        }
        return await self._http.call(method, path, headers={**everywhere, **(headers or {})}, json=json)

    async def _fetch_token(self) -> Token:
        """POST /disbursement/token/ with Basic authentication. Raises `NotSent`: without a token nothing is sent."""
        settings = self._settings
        try:
            answer = await self._http.call(
                "POST",
                wire.TOKEN_PATH,
                auth=httpx.BasicAuth(settings.api_user, settings.api_key.get_secret_value()),
                headers={"ocp-apim-subscription-key": settings.subscription_key.get_secret_value()},
            )
        except NoAnswer as error:
            raise NotSent(f"no access token: {error}") from None
        read = document_or_empty(answer.body)
        token, life = text_of(read.get("access_token")), text_of(read.get("expires_in", LIFE_S)) or ""
        if answer.status == wire.OK and token and token.isascii() and token.isprintable() and life.isdecimal():
            return Token(value=token, life_s=int(life))
        means = refusal("", answer.status)
        sentence = f"no access token from MTN MoMo: HTTP {answer.status}, {means.text}"
        raise NotSent(sentence, fault=means.fault or Fault.TRANSIENT)
