"""HTTP to an operator: the headers that its profile names, and a token where it wants one."""

from __future__ import annotations

import httpx
from pydantic import SecretStr

from adapters.gsma_mm import wire
from adapters.gsma_mm.codes import refusal
from adapters.gsma_mm.settings import Configuration
from gateway.clock import Clock
from gateway.offramp import Fault, NotSent
from gateway.railkit.documents import document_or_empty, text_of
from gateway.railkit.http import Answer, NoAnswer, RailHttp
from gateway.railkit.meanings import Kind
from gateway.railkit.tokens import Token, TokenCache

TOKEN_LIFE_S = 3600
"""Of a token whose answer doesn't say, in seconds."""
_REFUSED = (400, 401, 403)


class Operator:
    """One account at one operator. Secrets stay inside: they are in no repr, no exception and no log line."""

    def __init__(self, configuration: Configuration, *, clock: Clock) -> None:
        self._settings, self._profile = configuration
        self._clock = clock
        settings, name = self._settings, self._profile.operator
        self._http = RailHttp(base_url=settings.base_url, answer_within_s=settings.answer_within_s, provider=name)
        self._tokens = TokenCache(fetch=self._fetch_token, clock=clock)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def send(self, path: str, body: bytes, *, correlation: str, callback: str | None) -> Answer:
        """POST once; once more, with a new token and the same id, if the answer says that our token is bad.

        Nothing was taken then, and the second one has the same X-CorrelationID. Raises `NotSent` and `NoAnswer`.
        """
        headers = {"content-type": "application/json", "x-correlationid": correlation}
        if callback is not None and "X-Callback-URL" in self._profile.headers:
            headers["x-callback-url"] = callback
        if "X-Content-Hash" in self._profile.headers:
            headers["x-content-hash"] = wire.content_hash(body)
        return await self._call("POST", path, headers, body)

    async def ask(self, path: str) -> Answer:
        """GET. Raises `NotSent` and `NoAnswer`."""
        return await self._call("GET", path, {}, None)

    async def _call(self, method: str, path: str, headers: dict[str, str], body: bytes | None) -> Answer:
        target = self._profile.base_path + path
        if self._profile.auth != "oauth":
            return await self._http.call(method, target, headers={**self._headers(), **headers}, content=body)
        token = await self._tokens.current()
        answer = await self._http.call(method, target, headers=self._with(token, headers), content=body)
        if not self._is_bad_token(answer):
            return answer
        token = await self._tokens.current(instead_of=token)
        return await self._http.call(method, target, headers=self._with(token, headers), content=body)

    def _with(self, token: str, headers: dict[str, str]) -> dict[str, str]:
        return {**self._headers(), **headers, "authorization": f"Bearer {token}"}

    def _headers(self) -> dict[str, str]:
        """The headers of every request; in lower case, as HTTP/2 would have them."""
        settings, wanted = self._settings, self._profile.headers
        values: dict[str, str] = {
            "X-Date": wire.stamp(self._clock()),
            "X-Client-Id": settings.client_id,
            "X-API-Key": _shown(settings.api_key),
            "X-User-Credential-1": _shown(settings.user_credential_1),
            "X-User-Credential-2": _shown(settings.user_credential_2),
            **{str(name): value for name, value in self._profile.fixed.items()},
        }
        headers = {name.lower(): value for name, value in values.items() if name in wanted and value}
        if self._profile.auth == "basic":
            headers["authorization"] = self._basic()
        return headers

    def _basic(self) -> str:
        basic = httpx.BasicAuth(self._settings.client_id, _shown(self._settings.client_secret))
        return next(basic.auth_flow(httpx.Request("GET", self._settings.base_url))).headers["authorization"]

    def _is_bad_token(self, answer: Answer) -> bool:
        if answer.status < wire.UNAUTHORISED:
            return False
        code, category, _ = wire.error_of(document_or_empty(answer.body))
        means, _ = refusal(answer.status, code=code, category=category, unavailable_means_not_processed=False)
        return means.kind is Kind.BAD_TOKEN

    async def _fetch_token(self) -> Token:
        headers = {**self._headers(), "authorization": self._basic()}
        form = {"grant_type": "client_credentials"}
        try:
            answer = await self._http.call("POST", self._profile.token_path, headers=headers, data=form)
        except NoAnswer as error:
            raise NotSent(f"no access token: {error}") from None
        read = document_or_empty(answer.body)
        value, life = text_of(read.get("access_token")), text_of(read.get("expires_in")) or str(TOKEN_LIFE_S)
        if answer.status != wire.OK or value is None or not value.isascii() or not value.isprintable():
            fault = Fault.RAIL if answer.status in _REFUSED else Fault.TRANSIENT
            raise NotSent(f"no access token from {self._profile.operator} (HTTP {answer.status})", fault=fault)
        return Token(value, int(life) if wire.is_small(life) else TOKEN_LIFE_S)


def _shown(secret: SecretStr | None) -> str:
    return "" if secret is None else secret.get_secret_value()
