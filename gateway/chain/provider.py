"""web3's HTTP provider with guards: one kept-alive session, limits on time and size, and no URL in any text.

web3's own `make_request` reads bodies without limit, doesn't compare ids and puts the URL, key and all, into errors and
logs. `AsyncWeb3(GuardedProvider(url))` works for everything but batches.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar, cast
from urllib.parse import unquote, urlsplit

import msgspec
from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, ServerDisconnectedError, TCPConnector
from aiohttp.client_exceptions import ClientConnectorError, ClientOSError, ClientPayloadError
from msgspec import UNSET
from pydantic_core import from_json
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, wait_random_exponential
from web3.providers.rpc import AsyncHTTPProvider
from web3.types import RPCEndpoint, RPCResponse

from gateway.chain.limits import refusal
from gateway.chain.wire import Answer, NodeFault, Throttled, TooMuchAsked, shown

# py_ecc, which web3 brings along, raises Python's recursion limit to 100,000. Under that limit a deeply nested JSON text, in
# an answer or in a request to our API, overflows the C stack and kills the process instead of raising RecursionError.
sys.setrecursionlimit(1_000)

T = TypeVar("T")

ANSWER_MOST = 32 * 2**20
"""Longest answer that is read, in bytes after decompression; some 50,000 logs."""
ERROR_MOST = 2**16
"""How much of an answer with an HTTP status of failure is read, in bytes."""
TIMEOUT_S = 20
"""Seconds for a whole call with its retries, however slowly it drips."""
ATTEMPTS = 3
PAUSE_S = 0.2
"""Seconds before the first retry at most; twice as many before each further one."""
PATIENCE_S = 5
"""Longest `Retry-After` that is waited for, in seconds; what asks for more is left to the watcher."""
READ_BYTES = 2**20
"""How much may wait to be taken from the socket."""
SECRET_LEAST = 6
"""Shortest part of a URL that is taken for a key, in characters."""

_OK, _TOO_MANY = 200, 429
_REFUSES = {400, 408, 413}
_FAILS = {500, 502, 503, 504}
"""With both kinds of HTTP status providers refuse a wide `eth_getLogs`; the second kind may also pass by itself."""
_CUT = (ServerDisconnectedError, ClientPayloadError, ClientOSError)


class _Passing(NodeFault):
    """What the next attempt may not meet. `lasting`: what it is if it stays."""

    def __init__(self, lasting: NodeFault) -> None:
        super().__init__(str(lasting))
        self.lasting = lasting


class GuardedProvider(AsyncHTTPProvider):
    """A `Transport` over HTTP. Every failure is a `NodeFault`; what a retry can cure has been retried."""

    def __init__(
        self, url: str, *, timeout_s: float = TIMEOUT_S, answer_most: int = ANSWER_MOST, pause_s: float = PAUSE_S
    ) -> None:
        super().__init__(url, exception_retry_configuration=None)
        self._url = url
        self._timeout_s = timeout_s
        self._answer_most = answer_most
        self._backoff = wait_random_exponential(multiplier=pause_s, max=PATIENCE_S)
        self._session: ClientSession | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    __str__ = __repr__

    async def ask(self, method: str, params: Sequence[object]) -> object:
        """The `result` of one call. Raises `NodeFault`, `Throttled` or `TooMuchAsked`."""
        result, _ = await self.fetch(method, params, _read_any)
        return result

    async def fetch(self, method: str, params: Sequence[object], read: Callable[[bytes], Answer[T]]) -> tuple[T, int]:
        """The same with a reader of the caller's, and the answer's length in bytes."""
        request = self.form_request(RPCEndpoint(method), params)
        asked = _blocks_asked(method, params)

        async def attempt() -> tuple[T, int]:
            body = await self._post(method, self.encode_rpc_dict(request), asked)
            return self._result(method, read(body), request["id"], asked), len(body)

        return await self._patiently(method, attempt)

    async def fetch_all(
        self, method: str, each: Sequence[Sequence[object]], read: Callable[[bytes], Sequence[Answer[T]]]
    ) -> list[T]:
        """Several calls in one batch, their results in order. `TooMuchAsked`: the node takes no batch of this length."""
        requests = [self.form_request(RPCEndpoint(method), params) for params in each]
        ids = [request["id"] for request in requests]

        async def attempt() -> list[T]:
            answers = read(await self._post(method, self.encode_batch_request_dicts(requests), len(each)))
            if len(answers) == 1 and answers[0].error is not None:
                fault = self._refusal(method, answers[0].error, len(each))
                # Whatever its words are: one error for all says nothing about single questions.
                raise fault if isinstance(fault, Throttled) or len(each) == 1 else TooMuchAsked(str(fault))
            by_id: dict[object, Answer[T]] = {answer.id: answer for answer in answers if type(answer.id) is int}
            if len(answers) != len(ids) or by_id.keys() != set(ids):
                raise TooMuchAsked(f"{method}: {len(ids)} questions in one batch, and the answers aren't theirs")
            return [self._result(method, by_id[number], number, len(each)) for number in ids]

        return await self._patiently(method, attempt)

    async def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        """One JSON-RPC call of web3's, with its answer's id compared."""
        request = self.form_request(method, params)

        async def attempt() -> RPCResponse:
            answer = _object(await self._post(method, self.encode_rpc_dict(request), None), method)
            # An error may come without an id: a node that can't read a request doesn't know it.
            if answer.get("error") is None:
                _check_id(method, answer.get("id"), request["id"])
            return cast("RPCResponse", answer)

        return await self._patiently(method, attempt)

    async def disconnect(self) -> None:
        """Close the session; a later call opens a new one."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _result(self, method: str, answer: Answer[T], wanted_id: object, asked: int | None) -> T:
        if answer.error is not None:
            raise self._refusal(method, answer.error, asked)
        _check_id(method, answer.id, wanted_id)
        if answer.result is UNSET:
            raise NodeFault(f"{method}: the node's answer has no result")
        return answer.result

    def _refusal(self, method: str, error: object, asked: int | None) -> NodeFault:
        sentence = f"{method}: the node answers {shown(self._scrubbed(str(error)))}"
        return refusal(error, sentence=sentence, asked=asked)

    async def _patiently(self, method: str, attempt: Callable[[], Awaitable[T]]) -> T:
        """A few attempts within the time limit. What sends a transaction is tried once: a second answer would mislead."""
        retrying = AsyncRetrying(
            retry=retry_if_exception(_may_pass),
            stop=stop_after_attempt(1 if method.startswith("eth_send") else ATTEMPTS),
            wait=self._pause,
            reraise=True,
        )
        try:
            async with asyncio.timeout(self._timeout_s):
                return await retrying(attempt)
        except _Passing as fault:
            lasting = fault.lasting
        except TimeoutError:
            lasting = TooMuchAsked(f"{method}: no whole answer in {self._timeout_s} s")
        raise lasting

    def _pause(self, state: RetryCallState) -> float:
        fault = state.outcome.exception() if state.outcome else None
        wait_s = fault.wait_s if isinstance(fault, Throttled) else None
        return self._backoff(state) + (wait_s or 0)

    async def _post(self, method: str, body: bytes, asked: int | None) -> bytes:
        try:
            async with self._open().post(
                self._url, data=body, headers=self.get_request_headers(), allow_redirects=False
            ) as response:
                if response.status == _OK:
                    return await self._read(response, method, self._answer_most)
                raise await self._failure(response, method, asked)
        except ClientConnectorError as error:
            fault = NodeFault(f"{method}: no answer ({type(error).__name__})")
        except _CUT as error:
            fault = _Passing(NodeFault(f"{method}: no answer ({type(error).__name__})"))
        except (ClientError, OSError, ValueError) as error:
            # aiohttp's sentences hold the URL, so only the kind of failure is passed on.
            fault = NodeFault(f"{method}: no answer ({type(error).__name__})")
        raise fault

    async def _read(self, response: ClientResponse, method: str, most: int) -> bytes:
        chunks, length = [], 0
        async for chunk in response.content.iter_any():
            chunks.append(chunk)
            length += len(chunk)
            if length > most:
                raise TooMuchAsked(f"{method}: an answer of more than {most} bytes")
        return b"".join(chunks)

    async def _failure(self, response: ClientResponse, method: str, asked: int | None) -> NodeFault:
        """What an HTTP status other than 200 means; providers may say more in its body."""
        status = response.status
        sentence = f"{method}: HTTP status {status}"
        if status == _TOO_MANY:
            return Throttled(sentence, wait_s=_seconds(response.headers.get("Retry-After")))
        if status not in _REFUSES | _FAILS:
            return NodeFault(sentence)
        error = await self._error(response, method)
        if error is not None:
            fault = self._refusal(method, error, asked)
        else:
            fault = NodeFault(sentence) if asked is None else TooMuchAsked(sentence)
        plain = not (isinstance(fault, TooMuchAsked) and fault.suggested)
        return _Passing(fault) if status in _FAILS and plain else fault

    async def _error(self, response: ClientResponse, method: str) -> object:
        """The JSON-RPC error in a failure's body; None: there is none."""
        try:
            return _read_any(await self._read(response, method, ERROR_MOST)).error
        except NodeFault:
            return None

    def _open(self) -> ClientSession:
        if self._session is None:
            self._session = ClientSession(
                connector=TCPConnector(limit=16), timeout=ClientTimeout(total=None), read_bufsize=READ_BYTES
            )
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


_ANY = msgspec.json.Decoder(Answer[Any])


def _read_any(body: bytes) -> Answer[Any]:
    try:
        return _ANY.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise NodeFault(f"the answer is no JSON object: {shown(body[:60])}") from None


def _may_pass(fault: BaseException) -> bool:
    if isinstance(fault, Throttled):
        return fault.wait_s is None or fault.wait_s <= PATIENCE_S
    return isinstance(fault, _Passing)


def _check_id(method: str, found: object, wanted: object) -> None:
    if type(found) is not int or found != wanted:
        raise NodeFault(f"{method}: the answer is for request {shown(found)}, not {wanted}")


def _blocks_asked(method: str, params: Sequence[object]) -> int | None:
    """How many blocks of logs a question is about; None: it's about something else."""
    if method != "eth_getLogs":
        return None
    wanted = cast("dict[str, str]", params[0])
    if "fromBlock" not in wanted:
        return 1
    return int(wanted["toBlock"], 16) - int(wanted["fromBlock"], 16) + 1


def _seconds(header: str | None) -> float | None:
    """Of a `Retry-After`, where it states seconds and no date."""
    return int(header) if header is not None and header.isascii() and header.isdigit() else None


def _object(body: bytes, method: str) -> dict[str, Any]:
    try:
        answer = from_json(body, allow_inf_nan=False)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise NodeFault(f"{method}: the answer is no JSON object: {shown(body[:60])}")
    return answer
