"""web3's HTTP provider with guards: one kept-alive session, limits on time and size, and no URL in any text.

web3's own `make_request` reads bodies without limit, doesn't compare ids and puts the URL, key and all, into errors and
logs. `AsyncWeb3(GuardedProvider(url))` works for everything but batches.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, cast
from urllib.parse import unquote, urlsplit

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, TCPConnector
from pydantic_core import from_json
from web3.providers.rpc import AsyncHTTPProvider
from web3.types import RPCEndpoint, RPCResponse

from gateway.chain.wire import NodeFault, TooMuchAsked, shown

# py_ecc, which web3 brings along, raises Python's recursion limit to 100,000. Under that limit a deeply nested JSON text, in
# an answer or in a request to our API, overflows the C stack and kills the process instead of raising RecursionError.
sys.setrecursionlimit(1_000)

ANSWER_MOST = 32 * 2**20
"""Longest answer that is read, in bytes after decompression; some 50,000 logs."""
TIMEOUT_S = 20
"""Seconds for a whole call, however slowly it drips."""
SECRET_LEAST = 6
"""Shortest part of a URL that is taken for a key, in characters."""

_LESS_MAY_DO = {400, 408, 413, 500, 502, 503, 504}
"""HTTP statuses with which providers refuse a wide `eth_getLogs`."""


class GuardedProvider(AsyncHTTPProvider):
    """A `Transport` over HTTP. Every failure is a `NodeFault`."""

    def __init__(self, url: str, *, timeout_s: float = TIMEOUT_S, answer_most: int = ANSWER_MOST) -> None:
        super().__init__(url, exception_retry_configuration=None)
        self._url = url
        self._timeout = ClientTimeout(total=timeout_s)
        self._answer_most = answer_most
        self._session: ClientSession | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    __str__ = __repr__

    async def ask(self, method: str, params: Sequence[object]) -> object:
        """The `result` of one call. Raises `NodeFault` or `TooMuchAsked`."""
        response = await self.make_request(RPCEndpoint(method), params)
        if (error := response.get("error")) is not None:
            raise TooMuchAsked(f"{method}: the node answers {shown(self._scrubbed(str(error)))}")
        if "result" not in response:
            raise NodeFault(f"{method}: the node's answer has no result")
        return response["result"]

    async def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        """One JSON-RPC call, with its answer's id compared."""
        request = self.form_request(method, params)
        answer = _object(await self._post(method, self.encode_rpc_dict(request)), method)
        # An error may come without an id: a node that can't read a request doesn't know it.
        if answer.get("error") is None and (type(answer.get("id")) is not int or answer["id"] != request["id"]):
            raise NodeFault(f"{method}: the answer is for request {shown(answer.get('id'))}, not {request['id']}")
        return cast("RPCResponse", answer)

    async def disconnect(self) -> None:
        """Close the session; a later call opens a new one."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _post(self, method: str, body: bytes) -> bytes:
        try:
            async with self._open().post(
                self._url, data=body, headers=self.get_request_headers(), timeout=self._timeout, allow_redirects=False
            ) as response:
                if response.status not in {200, *_LESS_MAY_DO}:
                    raise NodeFault(f"{method}: HTTP status {response.status}")
                if response.status in _LESS_MAY_DO:
                    raise TooMuchAsked(f"{method}: HTTP status {response.status}")
                return await self._read(response, method)
        except TimeoutError:
            fault: NodeFault = TooMuchAsked(f"{method}: no whole answer in {self._timeout.total} s")
        except (ClientError, OSError, ValueError) as error:
            # aiohttp's sentences hold the URL, so only the kind of failure is passed on.
            fault = NodeFault(f"{method}: no answer ({type(error).__name__})")
        raise fault

    async def _read(self, response: ClientResponse, method: str) -> bytes:
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > self._answer_most:
                raise TooMuchAsked(f"{method}: an answer of more than {self._answer_most} bytes")
        return bytes(body)

    def _open(self) -> ClientSession:
        if self._session is None:
            self._session = ClientSession(connector=TCPConnector(limit=16))
        return self._session

    def _scrubbed(self, text: str) -> str:
        """`text` without what may be a key in our URL: some providers repeat it."""
        parts = urlsplit(self._url)
        pieces = [parts.username, parts.password, *parts.path.split("/"), *parts.query.replace("=", "&").split("&")]
        for piece in pieces:
            for secret in {piece, unquote(piece or "")}:
                if secret and len(secret) >= SECRET_LEAST:
                    text = text.replace(secret, "***")
        return text


def _object(body: bytes, method: str) -> dict[str, Any]:
    try:
        answer = from_json(body, allow_inf_nan=False)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise NodeFault(f"{method}: the answer is no JSON object: {shown(body[:60])}")
    return answer
