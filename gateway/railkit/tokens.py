"""An access token that all calls share: fetched once while the others wait, renewed before it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import NamedTuple

from gateway.clock import Clock

RENEW_BEFORE_S = 60
"""A token is renewed this long before it ends, or at half its life if that is later."""


class Token(NamedTuple):
    """An access token and its life in seconds from the moment that it was asked for."""

    value: str
    life_s: int


class TokenCache:
    """The token of one account. Many providers end the old token when they issue a new one, so only one caller fetches."""

    def __init__(self, *, fetch: Callable[[], Awaitable[Token]], clock: Clock) -> None:
        """`fetch` asks the provider; what it raises reaches the caller of `current`."""
        self._fetch = fetch
        self._clock = clock
        self._renewing = asyncio.Lock()
        self._token: str | None = None
        self._renew_at: datetime | None = None

    async def current(self, *, instead_of: str | None = None) -> str:
        """The shared token; another one if it is `instead_of`, which the provider has just refused."""
        async with self._renewing:
            late = self._renew_at is None or self._clock() >= self._renew_at
            if self._token is None or late or self._token == instead_of:
                asked_at = self._clock()
                token = await self._fetch()
                self._token = token.value
                self._renew_at = asked_at + timedelta(seconds=max(token.life_s - RENEW_BEFORE_S, token.life_s // 2))
            return self._token
