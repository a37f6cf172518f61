"""HTTP to Daraja: one token at a time, one connection pool, no retry of anything that may have been taken."""

from __future__ import annotations

import base64
from collections.abc import Mapping

import httpx
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

from adapters.mpesa import verdict, wire
from adapters.mpesa.settings import MpesaSettings, public_key
from gateway.clock import Clock
from gateway.offramp import Fault, NotSent
from gateway.railkit.http import Answer, NoAnswer, RailHttp
from gateway.railkit.meanings import Kind
from gateway.railkit.tokens import Token, TokenCache

BAD_REQUEST, UNAUTHORIZED, FORBIDDEN = 400, 401, 403


class Daraja:
    """One Daraja app. Secrets stay inside: they are in no repr, no exception and no log line."""

    def __init__(self, *, settings: MpesaSettings, clock: Clock) -> None:
        self._settings = settings
        self._key = public_key(settings.certificate)
        self._http = RailHttp(base_url=settings.base_url, answer_within_s=settings.answer_within_s, provider="Daraja")
        # A new token kills the old one at Daraja: only one caller fetches while the others wait.
        self._tokens = TokenCache(fetch=self._fetch_token, clock=clock)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    def credential(self) -> str:
        """The SecurityCredential: the initiator's password under Safaricom's key, RSA with PKCS#1 v1.5, in base64."""
        password = self._settings.initiator_password.get_secret_value().encode()
        return base64.b64encode(self._key.encrypt(password, PKCS1v15())).decode()

    async def post(self, path: str, body: Mapping[str, str]) -> Answer:
        """Send once; once more, with a new token, if Daraja says that the token was wrong and so nothing was taken.

        The second sending has the same id, so that Daraja would refuse it had the first one been taken after all.
        Raises `NotSent` if no request left us, and `NoAnswer` for one that may have arrived.
        """
        token = await self._tokens.current()
        answer = await self._send(path, body, token)
        means = verdict.refusal(answer)
        bad_token = answer.status == UNAUTHORIZED or (means is not None and means.kind is Kind.BAD_TOKEN)
        if not bad_token:
            return answer
        return await self._send(path, body, await self._tokens.current(instead_of=token))

    async def _send(self, path: str, body: Mapping[str, str], token: str) -> Answer:
        return await self._http.call("POST", path, json=dict(body), headers={"authorization": f"Bearer {token}"})

    async def _fetch_token(self) -> Token:
        settings = self._settings
        key, secret = settings.consumer_key.get_secret_value(), settings.consumer_secret.get_secret_value()
        grant = {"grant_type": "client_credentials"}
        try:
            answer = await self._http.call("GET", wire.TOKEN_PATH, params=grant, auth=httpx.BasicAuth(key, secret))
        except NoAnswer as error:
            raise NotSent(f"no access token: {error}") from None
        token = wire.AccessToken.read(answer)
        if token is not None:
            return Token(value=token.access_token, life_s=token.expires_in)
        means = verdict.refusal(answer)
        refused = answer.status in (BAD_REQUEST, UNAUTHORIZED, FORBIDDEN)
        fault = Fault.RAIL if refused or (means is not None and means.fault is Fault.RAIL) else Fault.TRANSIENT
        raise NotSent(f"no access token from Daraja: {verdict.refusal_sentence(answer)}", fault=fault)
