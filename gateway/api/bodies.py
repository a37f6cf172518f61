"""What may come in: the size, type and form of every request's body, judged before any route sees it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, ClassVar
from urllib.parse import parse_qsl

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.api.headers import told
from gateway.api.problems import refusal_problem
from gateway.errors import Refusal

BODY_MOST = 64 * 1024
"""Largest body, in bytes."""
BODY_WITHIN_S = 20
"""How long a client may take to send a body, in seconds."""
DEPTH_MOST = 16
"""Deepest nesting of JSON that we read; our own documents have four levels."""

_JSON = "application/json"
_FORM = "application/x-www-form-urlencoded"
_OAUTH = "/oauth/"
# Other paths take what they like: rails choose how they call back, pages read their own forms.
_TYPES = (("/v1/", _JSON), (_OAUTH, _FORM))
_ESCAPED = b"\\u"  # only so can JSON bring NUL or half of a surrogate pair
_EXPONENT_MOST = 307  # every number of that size fits a 64-bit float, which is what most parsers make of it
_EXPONENT_DIGITS = 3
_DIGITS_MOST = 100
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")  # neither PostgreSQL nor UTF-8 takes them


class BodyTooLarge(Refusal):
    """The body has more than `BODY_MOST` bytes."""

    code: ClassVar[str] = "body_too_large"


class BodyTooSlow(Refusal):
    """The body did not arrive within `BODY_WITHIN_S`."""

    code: ClassVar[str] = "body_too_slow"


class UnsupportedMediaType(Refusal):
    """The body is compressed or of another type than this path takes."""

    code: ClassVar[str] = "unsupported_media_type"


class MalformedRequest(Refusal):
    """The request can be read in more than one way, or in none."""

    code: ClassVar[str] = "malformed_request"


class ClientGone(Exception):
    """The client went away while it sent."""


class BodyLimit:
    """ASGI middleware that reads each body whole, refuses what no route should see, and hands on the rest.

    Bodies are small here, so reading them first costs little, and no route can forget a check.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            body = await _checked(scope, receive)
        except Refusal as refusal:
            oauth_error = "invalid_request" if scope["path"].startswith(_OAUTH) else None
            await refusal_problem(refusal, oauth_error=oauth_error)(scope, receive, send)
        except ClientGone:
            return
        else:
            await self._app(scope, _replay(body, then=receive), send)


async def _checked(scope: Scope, receive: Receive) -> bytes:
    """The whole body. Raises a `Refusal` for what is wrong with the request, `ClientGone` if it ends early."""
    if scope["query_string"]:
        _check_parameters(scope["query_string"].decode("latin-1"))
    if "\0" in scope["path"]:
        raise MalformedRequest("The address contains the character NUL; leave it out.")
    for announced in told(scope, b"content-length"):
        _check_length(announced)
    try:
        async with asyncio.timeout(BODY_WITHIN_S):
            body = await _read(receive)
    except TimeoutError:
        raise BodyTooSlow(f"The body did not arrive within {BODY_WITHIN_S} seconds. Send it again.") from None
    if body:
        _check_body(body, scope)
    return body


def _check_length(announced: str) -> None:
    """Refuse by its announced length what need not even be sent; a client that expects "100 Continue" then never does."""
    if announced.isdecimal() and int(announced[:20]) > BODY_MOST:
        raise _too_large()


async def _read(receive: Receive) -> bytes:
    """The body as it arrives; counted, whatever length was announced."""
    body = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        body += message.get("body", b"")
        if len(body) > BODY_MOST:
            raise _too_large()
        more = message.get("more_body", False)
    return bytes(body)


def _check_body(body: bytes, scope: Scope) -> None:
    if any(encoding.lower() != "identity" for encoding in told(scope, b"content-encoding")):
        raise UnsupportedMediaType("Send the body uncompressed, without Content-Encoding.")
    wanted = next((kind for prefix, kind in _TYPES if scope["path"].startswith(prefix)), None)
    if wanted is None:
        return
    if [_media_type(content_type) for content_type in told(scope, b"content-type")] != [wanted]:
        raise UnsupportedMediaType(f"Send the body as Content-Type: {wanted}.")
    if wanted == _JSON:
        check_json(body=body)
    else:
        _check_parameters(body.decode("latin-1"))


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def check_json(*, body: bytes) -> None:
    """Refuse JSON that two parsers may read differently, or that a parser, a database or a log chokes on.

    That is: no UTF-8, a name twice in an object, NaN, Infinity, numbers beyond a 64-bit float, deep nesting, NUL and lone
    surrogates in texts. Raises `MalformedRequest`.
    """
    try:
        document = _decoded(body.decode())
    except UnicodeDecodeError:
        raise MalformedRequest("The body is not JSON in UTF-8.") from None
    except json.JSONDecodeError as error:
        raise MalformedRequest(f"The body is not JSON: {error.msg}, line {error.lineno} column {error.colno}.") from None
    except RecursionError:
        raise _too_deep() from None
    # Most bodies show at a glance that there is nothing to find.
    if _ESCAPED in body or body.count(b"{") + body.count(b"[") >= DEPTH_MOST:
        _check_values(document)


def _decoded(text: str) -> Any:
    if text.startswith("\ufeff"):
        raise json.JSONDecodeError("Unexpected UTF-8 BOM", text, 0)
    return _DECODER.decode(text)


def _check_values(document: Any) -> None:
    """Level by level and not by recursion, which is what deep nesting attacks."""
    level = [document]
    for _ in range(DEPTH_MOST):
        if any(isinstance(value, str) and _UNSTORABLE.search(value) for value in level):
            raise MalformedRequest("A text in the body contains NUL or half of a surrogate pair; leave it out.")
        level = [part for value in level for part in _parts(value)]
        if not level:
            return
    raise _too_deep()


def _parts(value: Any) -> Iterable[Any]:
    match value:
        case dict():
            return [*value.keys(), *value.values()]
        case list():
            return value
        case _:
            return ()


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise MalformedRequest("An object in the body has the same name twice; give each name once.")
    return members


def _refuse_constant(_name: str) -> None:
    raise MalformedRequest("NaN and Infinity are not JSON.")


def _finite(text: str) -> str:
    exponent = text.lower().partition("e")[2].lstrip("+-0")
    if len(exponent) > _EXPONENT_DIGITS or Decimal(text).adjusted() > _EXPONENT_MOST:
        raise MalformedRequest("A number in the body doesn't fit 64 bits. Write amounts as text, in quotes.")
    return text


def _whole(text: str) -> int:
    if len(text) > _DIGITS_MOST:
        raise MalformedRequest(f"A number in the body has more than {_DIGITS_MOST} digits.")
    return int(text)


# Made once: making it takes as long as reading a short document.
_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_float=_finite, parse_int=_whole
)


def _check_parameters(text: str) -> None:
    """Refuse parameters, of a query or a posted form, that come twice: which one counts depends on who reads."""
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=100)
    except ValueError:
        raise MalformedRequest("There are more than 100 parameters.") from None
    if len(dict(pairs)) != len(pairs):
        raise MalformedRequest("A parameter comes twice; send it once.")
    if any("\0" in name + value for name, value in pairs):
        raise MalformedRequest("A parameter contains the character NUL; leave it out.")


def _too_deep() -> MalformedRequest:
    return MalformedRequest(f"The body is nested more than {DEPTH_MOST} levels deep.")


def _too_large() -> BodyTooLarge:
    return BodyTooLarge(f"The body may have at most {BODY_MOST} bytes.")


def _replay(body: bytes, *, then: Receive) -> Receive:
    """A `receive` that gives the body once, then what the server has to say: in the end that the client went away."""
    unread = [body]

    async def receive() -> Message:
        if unread:
            return {"type": "http.request", "body": unread.pop(), "more_body": False}
        return await then()

    return receive
