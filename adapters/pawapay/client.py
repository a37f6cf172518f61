"""HTTP to pawaPay: the token, the signature of requests where it is wanted, pawaPay's public keys."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from adapters.pawapay import wire
from adapters.pawapay.settings import PawaPaySettings, private_key, public_key
from adapters.pawapay.signatures import Message, sign
from gateway.clock import Clock
from gateway.offramp import NotSent
from gateway.railkit.documents import Unreadable, read_json
from gateway.railkit.http import Answer, NoAnswer, NotAsked, RailHttp

KEYS_ASKED_AGAIN = timedelta(minutes=1)
"""Public keys are fetched at most once in this time, whatever ids strangers write into callbacks."""
KEYS_WITHIN_S = 5
"""How long the keys may take, in seconds: the payment that is asked about meanwhile matters more."""
KEYS_MOST = 20


class Merchant:
    """One account at pawaPay. Secrets stay inside: they are in no repr, no exception and no log line."""

    def __init__(self, settings: PawaPaySettings, *, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._http = RailHttp(base_url=settings.base_url, answer_within_s=settings.answer_within_s, provider="pawaPay")
        key = settings.signing_key
        self._signing_key = None if key is None else private_key(key.get_secret_value())

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def send(self, path: str, body: bytes) -> Answer:
        """POST once, signed where we have a key. Raises `NotSent` and `NoAnswer`."""
        headers = {"Content-Type": "application/json"}
        if self._signing_key is not None:
            message = Message("POST", self._settings.base_url + path, headers)
            headers = sign(message, body, key=self._signing_key, key_id=self._settings.signing_key_id, now=self._clock())
        return await self._http.call("POST", path, headers={**headers, **self._authorization()}, content=body)

    async def ask(self, path: str, *, method: str = "GET") -> Answer:
        """A question that moves no money: HTTP 200. Raises `NotAsked`."""
        try:
            answer = await self._http.call(method, path, headers=self._authorization())
        except (NoAnswer, NotSent) as error:
            # Not as NotSent: that speaks of a payment, and this one may well have been made.
            raise NotAsked(f"no answer to a question ({error})") from None
        if answer.status != wire.OK:
            raise NotAsked(f"a question was answered with HTTP {answer.status}")
        return answer

    def _authorization(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._settings.api_token.get_secret_value()}"}


class KeyRing:
    """pawaPay's public keys: those of the settings, and those that it publishes."""

    def __init__(self, settings: PawaPaySettings, merchant: Merchant, *, clock: Clock) -> None:
        self._given = {name: public_key(pem) for name, pem in settings.callback_keys.items()}
        self._fetched: dict[str, EllipticCurvePublicKey] = {}
        self._wanted = settings.signed_callbacks and not self._given
        self._merchant = merchant
        self._clock = clock
        self._asked_at: datetime | None = None
        self._asking = asyncio.Lock()

    @property
    def keys(self) -> Mapping[str, EllipticCurvePublicKey]:
        """All that are known now; those of the settings have the last word."""
        return {**self._fetched, **self._given}

    def want(self) -> None:
        """A callback names a key that isn't known: fetch them with the next call."""
        self._wanted = True

    async def renew(self) -> None:
        """Fetch the keys if one is missing: GET /v2/public-key/http. What can't be had is missing as before."""
        async with self._asking:
            now = self._clock()
            early = self._asked_at is not None and now < self._asked_at + KEYS_ASKED_AGAIN
            if not self._wanted or early:
                return
            self._asked_at = now
            try:
                async with asyncio.timeout(KEYS_WITHIN_S):
                    self._fetched = _published(await self._merchant.ask(wire.KEYS))
            except (NotAsked, TimeoutError):
                return
            self._wanted = False


def _published(answer: Answer) -> dict[str, EllipticCurvePublicKey]:
    """[{"id": "HTTP_EC_P256_KEY:1", "key": "-----BEGIN PUBLIC KEY-----..."}]; what is no key of ours is left out."""
    try:
        listed = read_json(answer.body)
    except Unreadable:
        return {}
    found: dict[str, EllipticCurvePublicKey] = {}
    for each in listed[:KEYS_MOST] if isinstance(listed, list) else []:
        if isinstance(each, dict) and isinstance(each.get("id"), str) and isinstance(each.get("key"), str):
            try:
                found[each["id"]] = public_key(each["key"])
            except ValueError:
                continue
    return found
