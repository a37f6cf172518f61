"""HTTP to Daraja: one token at a time, one connection pool, no retry of anything that may have been taken."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
from datetime import datetime, timedelta

import httpx
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

from adapters.mpesa import verdict, wire
from adapters.mpesa.codes import Kind
from adapters.mpesa.settings import MpesaSettings, public_key
from gateway.clock import Clock
from gateway.offramp import Fault, NotSent

RENEW_BEFORE_S = 60
"""A token is renewed this long before it ends, or at half its life if that is later."""

BAD_REQUEST, UNAUTHORIZED, FORBIDDEN = 400, 401, 403

CONNECTIONS = httpx.Limits(max_connections=100, max_keepalive_connections=40, keepalive_expiry=60)
"""Enough for what is sent and asked at once; kept for a minute, because a new one costs a handshake."""
NEVER_CONNECTED = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
"""After these no byte of the request has left."""


class Daraja:
    """One Daraja app. Secrets stay inside: they are in no repr, no exception and no log line."""

    def __init__(self, *, settings: MpesaSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._key = public_key(settings.certificate)
        # Money goes the configured way: proxies from the environment have no say.
        self._http = httpx.AsyncClient(timeout=settings.answer_within_s, trust_env=False, limits=CONNECTIONS)
        self._renewing = asyncio.Lock()
        self._token: str | None = None
        self._renew_at: datetime | None = None

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    def credential(self) -> str:
        """The SecurityCredential: the initiator's password under Safaricom's key, RSA with PKCS#1 v1.5, in base64."""
        password = self._settings.initiator_password.get_secret_value().encode()
        return base64.b64encode(self._key.encrypt(password, PKCS1v15())).decode()

    async def post(self, path: str, body: Mapping[str, str]) -> wire.Answer:
        """Send once; once more, with a new token, if Daraja says that the token was wrong and so nothing was taken.

        The second sending has the same id, so that Daraja would refuse it had the first one been taken after all.
        Raises `NotSent` if no request left us, and httpx's errors for one that may have arrived.
        """
        token = await self._current_token()
        answer = await self._send(path, body, token)
        means = verdict.refusal(answer)
        bad_token = answer.status == UNAUTHORIZED or (means is not None and means.kind is Kind.BAD_TOKEN)
        if not bad_token:
            return answer
        return await self._send(path, body, await self._current_token(instead_of=token))

    async def _send(self, path: str, body: Mapping[str, str], token: str) -> wire.Answer:
        headers = {"authorization": f"Bearer {token}"}
        try:
            response = await self._http.post(self._settings.base_url + path, json=dict(body), headers=headers)
        except NEVER_CONNECTED as error:
            raise NotSent(f"no connection to Daraja ({type(error).__name__})") from None
        return wire.Answer(response.status_code, response.content)

    async def _current_token(self, *, instead_of: str | None = None) -> str:
        """The shared token. A new one kills the old one at Daraja, so only one caller fetches while the others wait."""
        async with self._renewing:
            if self._token is None or self._renew_at is None or self._token == instead_of or self._clock() >= self._renew_at:
                asked_at = self._clock()
                token = await self._fetch_token()
                self._token = token.access_token
                self._renew_at = asked_at + timedelta(seconds=max(token.expires_in - RENEW_BEFORE_S, token.expires_in // 2))
            return self._token

    async def _fetch_token(self) -> wire.Token:
        settings = self._settings
        key, secret = settings.consumer_key.get_secret_value(), settings.consumer_secret.get_secret_value()
        try:
            response = await self._http.get(
                settings.base_url + wire.TOKEN_PATH,
                params={"grant_type": "client_credentials"},
                auth=httpx.BasicAuth(key, secret),
            )
        except httpx.HTTPError as error:
            raise NotSent(f"no access token from Daraja ({type(error).__name__})") from None
        answer = wire.Answer(response.status_code, response.content)
        token = wire.Token.read(answer)
        if token is None:
            means = verdict.refusal(answer)
            refused = (means is not None and means.fault is Fault.RAIL) or answer.status in (
                BAD_REQUEST,
                UNAUTHORIZED,
                FORBIDDEN,
            )
            fault = Fault.RAIL if refused else Fault.TRANSIENT
            raise NotSent(f"no access token from Daraja: {verdict.refusal_sentence(answer)}", fault=fault)
        return token
