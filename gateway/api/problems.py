"""Errors for programs: problem documents by RFC 9457 for everything under the API's paths.

Every document has `code` (stable, for programs), `detail` (one sentence for people) and `errors`: which field, and what
would be right. What a client sent is not repeated, and nothing of our own inside shows: no stack, no class, no SQL.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from http import HTTPStatus
from inspect import isawaitable
from typing import Any

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionFree
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.api.headers import CLOSED
from gateway.errors import Refusal

log = structlog.get_logger()

PROGRAM_PATHS = ("/v1/", "/oauth/", "/callbacks/", "/.well-known/")
"""Where programs talk to us. People's pages are elsewhere and have error pages of their own."""
MEDIA_TYPE = "application/problem+json"
ERRORS_MOST = 20
RETRY_AFTER_S = 30
"""When to ask again while the database is away, in seconds."""
SENTENCE_MOST = 300
"""Longest sentence or field name in a document, in characters: some of them hold a piece of what the client sent."""

STATUS: Mapping[str, int] = {
    "malformed_request": 400,
    "invalid_request": 400,
    "unsupported_grant_type": 400,
    "invalid_client": 401,
    "invalid_token": 401,
    "quote_not_found": 404,
    "order_not_found": 404,
    "requote_not_found": 404,
    "idempotency_key_missing": 400,
    "bad_idempotency_key": 400,
    "rate_unavailable": 503,
    "rate_disputed": 503,
    "rate_jumped": 503,
    "coin_unpriced": 503,
    "coin_depegged": 409,
    "coin_halted": 409,
    "corridor_halted": 409,
    "exposure_full": 429,
    "body_too_slow": 408,
    "quote_expired": 409,
    "quote_used": 409,
    "recipient_fixed": 409,
    "too_many_redirects": 409,
    "not_now": 409,
    "deposit_vanished": 409,
    "requote_replaced": 409,
    "requote_expired": 409,
    "order_changed": 409,
    "asset_frozen": 409,
    "refund_not_possible": 409,
    "refund_open": 409,
    "nothing_to_refund": 409,
    "refund_limit": 409,
    "refunds_off": 409,
    "invalid_signature": 401,
    "stale_signature": 401,
    "fill_not_found": 404,
    "fill_partner_not_found": 404,
    "fill_reference_reused": 409,
    "fill_not_cancellable": 409,
    "fill_ended": 409,
    "fill_too_late": 409,
    "body_too_large": 413,
    "unsupported_media_type": 415,
}
"""HTTP status of each `Refusal.code`. A code that is not here is a request we understood and won't do: 422."""

_CHALLENGES = {
    "invalid_token": 'Bearer error="invalid_token"',
    "invalid_client": 'Basic realm="lastmile"',
    "invalid_signature": "HMAC",
    "stale_signature": "HMAC",
}
_OAUTH_CODES = frozenset({"invalid_request", "invalid_client", "unsupported_grant_type"})
# Where API documents keep the fields that the core knows by a short name.
_PLACES = {
    "phone": "/recipient/phone",
    "account": "/recipient/account",
    "institution": "/recipient/institution",
    "name": "/recipient/name",
    "method": "/recipient/method",
    "Idempotency-Key": "Idempotency-Key",
}
_SENTENCES = {
    HTTPStatus.BAD_REQUEST: "The request can't be read.",
    HTTPStatus.NOT_FOUND: "There is nothing at this address.",
    HTTPStatus.METHOD_NOT_ALLOWED: "This address doesn't take this method; the header Allow lists those it takes.",
}
# Sentences for pydantic's error types, with its own variables. For types that aren't here its own sentence is clear enough.
_FAULTS = {
    "missing": "This is required.",
    "extra_forbidden": "There is no such field here; leave it out.",
    "string_type": "Write this as text, in quotes.",
    "string_too_short": "Write at least {min_length} characters.",
    "string_too_long": "Write at most {max_length} characters.",
    "string_pattern_mismatch": "Write this in the form {pattern}.",
    "literal_error": "Write one of {expected}.",
    "enum": "Write one of {expected}.",
    "union_tag_invalid": "Write one of {expected_tags} in {discriminator}.",
    "int_type": "Write a whole number, without quotes.",
    "int_parsing": "Write a whole number.",
    "dict_type": "Send a JSON object here.",
    "model_type": "Send a JSON object here.",
    "model_attributes_type": "Send a JSON object here.",
    "list_type": "Send a JSON array here.",
    "value_error": "{error}",
}


class FieldFault(BaseModel):
    """One field, and what would be right."""

    field: str
    """A JSON pointer (RFC 6901) into the body; the name of a parameter or header that stands outside it."""
    message: str


class Problem(BaseModel):
    """A problem document (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: list[FieldFault]
    error: str | None = None
    """Where OAuth clients look for the code: one of those in RFC 6749 section 5.2."""


def install_problems(app: FastAPI) -> None:
    """Answer errors under `PROGRAM_PATHS` with problem documents, and say so in the OpenAPI document.

    Handlers that are installed already stay in charge of all other paths: install those of the pages before.
    """
    for kind, answer in _ANSWERS.items():
        app.add_exception_handler(kind, _for_programs(answer, otherwise=app.exception_handlers.get(kind)))
    _document(app)


def refusal_problem(refusal: Refusal, *, oauth_error: str | None = None) -> JSONResponse:
    """The answer to a refusal of ours: the code's status, the refusal's sentence.

    `oauth_error` is its name at the token endpoint, where the code isn't one of RFC 6749's.
    """
    faults = [] if refusal.field is None else [FieldFault(field=_short(_place(refusal.field)), message=_short(str(refusal)))]
    challenge = _CHALLENGES.get(refusal.code)
    headers = {} if challenge is None else {"WWW-Authenticate": challenge}
    if refusal.retry_after is not None:
        headers["Retry-After"] = str(-(-refusal.retry_after // timedelta(seconds=1)))
    return _response(
        status=STATUS.get(refusal.code, HTTPStatus.UNPROCESSABLE_ENTITY),
        code=refusal.code,
        detail=_short(str(refusal)),
        errors=faults,
        headers=headers,
        oauth_error=refusal.code if refusal.code in _OAUTH_CODES else oauth_error,
    )


def _http_problem(error: HTTPException) -> JSONResponse:
    """What the framework refuses: no such address, no such method."""
    status = HTTPStatus(error.status_code)
    return _response(
        status=status,
        code=status.name.lower(),
        detail=_SENTENCES.get(status, f"{status.phrase}."),
        headers=error.headers or {},
    )


def _validation_problem(error: RequestValidationError) -> JSONResponse:
    """A request whose form is right and whose fields are not."""
    faults = [_fault(fault) for fault in error.errors()[:ERRORS_MOST]]
    detail = f"{faults[0].field}: {faults[0].message}" if len(faults) == 1 else "Several fields are wrong; see errors."
    return _response(status=HTTPStatus.UNPROCESSABLE_ENTITY, code="invalid_fields", detail=detail, errors=faults)


def _crash_problem(_error: Exception) -> JSONResponse:
    """Our own fault. The server logs it; the client learns nothing but that."""
    detail = "Something went wrong on our side. Send the same request with the same Idempotency-Key again in a minute."
    return _response(status=HTTPStatus.INTERNAL_SERVER_ERROR, code="internal_error", detail=detail)


def _database_problem(error: Exception) -> JSONResponse:
    """The database is away, or too busy for this request. What it has kept, the Idempotency-Key finds again."""
    log.error("database_failed", error=type(error).__name__, cause=type(getattr(error, "orig", None)).__name__)
    detail = "Our database does not answer. Send the same request with the same Idempotency-Key again in a minute."
    return _response(
        status=HTTPStatus.SERVICE_UNAVAILABLE,
        code="unavailable",
        detail=detail,
        headers={"Retry-After": str(RETRY_AFTER_S)},
    )


_ANSWERS: Mapping[type[Exception], Callable[[Any], JSONResponse]] = {
    Refusal: refusal_problem,
    HTTPException: _http_problem,
    RequestValidationError: _validation_problem,
    OperationalError: _database_problem,
    NoConnectionFree: _database_problem,
    Exception: _crash_problem,
}


def _for_programs(
    answer: Callable[[Any], JSONResponse], *, otherwise: Callable[..., Any] | None
) -> Callable[[Any, Exception], Awaitable[Response]]:
    async def handle(request: Request, error: Exception) -> Response:
        if is_program_path(path=request.scope["path"]):
            return answer(error)
        if otherwise is None:
            raise error
        response = otherwise(request, error)
        result: Response = await response if isawaitable(response) else response
        return result

    return handle


def is_program_path(*, path: str) -> bool:
    """Whether programs and not people ask for this path."""
    return f"{path}/".startswith(PROGRAM_PATHS)


def _response(
    *,
    status: int,
    code: str,
    detail: str,
    errors: Sequence[FieldFault] = (),
    headers: Mapping[str, str] | None = None,
    oauth_error: str | None = None,
) -> JSONResponse:
    problem = Problem(
        type=f"urn:lastmile:problem:{code}",
        title=code.replace("_", " ").capitalize(),
        status=status,
        detail=detail,
        code=code,
        errors=list(errors),
        error=oauth_error,
    )
    return JSONResponse(problem.model_dump(exclude_none=True), status, {**CLOSED, **(headers or {})}, MEDIA_TYPE)


def _fault(error: Mapping[str, Any]) -> FieldFault:
    """One error of pydantic, in our words."""
    part, *path = error["loc"]
    if path[-1:] == ["[key]"]:  # the name of a member is wrong: point to the member
        path.pop()
    field = "".join(f"/{_escaped(step)}" for step in path) if part == "body" else ".".join(map(str, path))
    sentence = _FAULTS.get(error["type"])
    message = f"{error['msg']}." if sentence is None else sentence.format_map(error.get("ctx", {}))
    return FieldFault(field=_short(field), message=_short(message))


def _escaped(step: str | int) -> str:
    return str(step).replace("~", "~0").replace("/", "~1")


def _place(field: str) -> str:
    return _PLACES.get(field, f"/{field.replace('.', '/')}")


def _short(text: str) -> str:
    """Printable and of limited length: a lone surrogate, for one, could not even be encoded into our answer."""
    return "".join(c if c.isprintable() else "?" for c in text[:SENTENCE_MOST])


def _document(app: FastAPI) -> None:
    """Describe errors in the OpenAPI document as what they are, in place of FastAPI's own form of them."""
    generate = app.openapi
    reference = {"$ref": "#/components/responses/Problem"}

    def openapi() -> dict[str, Any]:
        document = generate()
        components = document.setdefault("components", {})
        schemas = components.setdefault("schemas", {})
        schemas.pop("HTTPValidationError", None)
        schemas.pop("ValidationError", None)
        schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(schema.pop("$defs"), Problem=schema)
        content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
        components["responses"] = {"Problem": {"description": "A problem (RFC 9457)", "content": content}}
        for operations in document["paths"].values():
            for operation in operations.values():
                operation["responses"].pop("422", None)
                operation["responses"]["default"] = reference
        return document

    app.openapi = openapi  # type: ignore[method-assign]
