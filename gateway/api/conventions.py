"""What the API's routes have in common: how they are guarded, and how a POST that moves money is done once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import OAuth2
from pydantic import BaseModel, ValidationError
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.api.access import TOKEN_PATH
from gateway.api.services import ApiServices
from gateway.db.session import transaction
from gateway.partners.idempotency import KEY_MOST, Answer, check_key, once

M = TypeVar("M", bound=BaseModel)

# Only describes: `bearer` asks for the token.
SCHEME = OAuth2(
    flows={"clientCredentials": {"tokenUrl": TOKEN_PATH, "scopes": {}}},
    scheme_name="ClientCredentials",
    description=f"Send the access token from POST {TOKEN_PATH} as Authorization: Bearer.",
    auto_error=False,
)
IDEMPOTENCY_KEY = {
    "parameters": [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": True,
            "description": "A text of your own: new for each order, the same when you repeat one.",
            "schema": {"type": "string", "minLength": 1, "maxLength": KEY_MOST},
        }
    ]
}
"""Addition to a route's OpenAPI operation."""


def read_document(model: type[M], body: bytes) -> M:
    """A request's body, as FastAPI would read it. Raises `RequestValidationError`."""
    if not body:
        raise RequestValidationError([{"type": "missing", "loc": ("body",), "msg": "Field required", "input": None}])
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise RequestValidationError([fault | {"loc": ("body", *fault["loc"])} for fault in error.errors()]) from None


async def answer_once(
    services: ApiServices, request: Request, *, partner_id: str, act: Callable[[AsyncConnection], Awaitable[Answer]]
) -> JSONResponse:
    """Do `act` in a transaction of its own, once per Idempotency-Key; whoever repeats the request gets the same answer.

    The key stands for method, path and body. Raises `KeyMissing`, `BadKey` and `KeyReused`.
    """
    key = check_key(request.headers.getlist("Idempotency-Key"))
    asked = f"{request.method} {request.url.path}\n".encode() + await request.body()
    async with transaction(services.engine) as connection:
        answer = await once(
            connection, partner_id=partner_id, key=key, request=asked, act=lambda: act(connection), now=services.clock()
        )
    headers = {"Idempotency-Replayed": "true"} if answer.replayed else {}
    return JSONResponse(answer.body, status_code=answer.status, headers=headers)
