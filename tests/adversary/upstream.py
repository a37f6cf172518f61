"""The honest node behind the proxy."""

from __future__ import annotations

from itertools import count
from typing import Any

from aiohttp import ClientSession, ClientTimeout

from tests.adversary.exchange import RpcError

UPSTREAM_MOST_S = 30


class HttpUpstream:
    """A real node at a URL."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session: ClientSession | None = None
        self._ids = count(1)

    async def ask(self, method: str, params: list[Any]) -> Any:
        if self._session is None:
            self._session = ClientSession(timeout=ClientTimeout(total=UPSTREAM_MOST_S))
        question = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params}
        async with self._session.post(self._url, json=question) as response:
            answer = await response.json(content_type=None)
        if (error := answer.get("error")) is not None:
            raise RpcError(error.get("code", -32000), error.get("message", ""), error.get("data"))
        return answer["result"]

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None
