"""HTTP to a provider: one connection pool, and a plain answer to the one question that counts: may it have arrived?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import httpx

from gateway.offramp import NotSent, OfframpError
from gateway.trust import tls_trust

CONNECTIONS = httpx.Limits(max_connections=100, max_keepalive_connections=40, keepalive_expiry=60)
"""Enough for what is sent and asked at once; kept for a minute, because a new one costs a handshake."""
NEVER_CONNECTED = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
"""After these no byte of the request has left."""
BODY_MOST = 4_194_304
"""Longest answer read, in bytes."""


class Answer(NamedTuple):
    """An HTTP answer: status, headers with names in lower case, whole body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class NoAnswer(OfframpError):
    """The request may have arrived, and no whole answer came back."""


class NotAsked(OfframpError):
    """A question was not answered: we know as much of the payment as before. Never `NotSent`, which speaks of a payment."""


class RailHttp:
    """The connections to one provider. Its repr shows nothing."""

    def __init__(self, *, base_url: str, answer_within_s: float, provider: str) -> None:
        """`provider` is its name in our sentences."""
        self._base_url = base_url
        self._provider = provider
        # Money goes the configured way: proxies from the environment have no say.
        self._http = httpx.AsyncClient(timeout=answer_within_s, trust_env=False, limits=CONNECTIONS, verify=tls_trust())

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def call(self, method: str, target: str, **request: Any) -> Answer:
        """One request, never repeated. `request` is what httpx takes: headers, content, json, data, params, auth.

        Raises `NotSent` if no byte has left us, and `NoAnswer` for one that may have arrived.
        """
        try:
            async with self._http.stream(method, self._base_url + target, **request) as response:
                body = b""
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > BODY_MOST:
                        raise NoAnswer(f"{self._provider} answered with more than {BODY_MOST} bytes")
                return Answer(response.status_code, dict(response.headers), body)
        except NEVER_CONNECTED as error:
            raise NotSent(f"no connection to {self._provider} ({type(error).__name__})") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise NoAnswer(f"no answer from {self._provider} ({type(error).__name__})") from None
