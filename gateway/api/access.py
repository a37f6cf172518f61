"""Access tokens: handing them out (RFC 6749 section 4.4) and asking for them (RFC 6750)."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qsl, unquote_plus

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from gateway.api.headers import told
from gateway.api.schemas import TokenOut
from gateway.api.services import ApiServices
from gateway.db.session import transaction
from gateway.errors import Refusal
from gateway.partners.clients import InvalidClient, authenticate, is_active
from gateway.partners.tokens import LIFETIME, Claims, InvalidToken

TOKEN_PATH = "/oauth/token"  # noqa: S105 - an address


class InvalidTokenRequest(Refusal):
    """The token request isn't one."""

    code = "invalid_request"


class UnsupportedGrantType(Refusal):
    """Only client credentials are taken."""

    code = "unsupported_grant_type"

    def __init__(self) -> None:
        super().__init__("Send grant_type=client_credentials.", field="grant_type")


class MissingClient(Refusal):
    """The token request doesn't say who asks."""

    code = "invalid_client"

    def __init__(self) -> None:
        super().__init__("Send client_id and client_secret, in the form or as HTTP Basic.")


def access_router(services: ApiServices) -> APIRouter:
    """POST /oauth/token and the public keys."""
    router = APIRouter(tags=["access"])

    @router.post(TOKEN_PATH, response_model=TokenOut, openapi_extra=_TOKEN_REQUEST)
    async def token(request: Request) -> JSONResponse:
        """Exchange client id and secret for an access token of 15 minutes."""
        client_id, client_secret = _credentials(request, dict(parse_qsl((await request.body()).decode("latin-1"))))
        async with transaction(services.engine) as connection:
            partner_id = await authenticate(connection, client_id=client_id, client_secret=client_secret)
        text = services.issuer.issue(partner_id=partner_id, client_id=client_id, now=services.clock())
        document = {"access_token": text, "token_type": "Bearer", "expires_in": int(LIFETIME.total_seconds())}
        return JSONResponse(document, headers={"Cache-Control": "no-store", "Pragma": "no-cache"})

    @router.get("/.well-known/jwks.json")
    async def keys() -> JSONResponse:
        """The public keys that verify our signatures (RFC 7517)."""
        return JSONResponse(services.verifier.jwks(), headers={"Cache-Control": "public, max-age=300"})

    return router


_TOKEN_REQUEST = {
    "requestBody": {
        "required": True,
        "content": {
            "application/x-www-form-urlencoded": {
                "schema": {
                    "type": "object",
                    "required": ["grant_type"],
                    "properties": {
                        "grant_type": {"const": "client_credentials"},
                        "client_id": {"type": "string"},
                        "client_secret": {"type": "string"},
                    },
                }
            }
        },
    }
}


def verified_token(services: ApiServices) -> Callable[[Request], Awaitable[Claims]]:
    """A dependency: the claims of the request's token, whose client may have been revoked since. Raises `InvalidToken`."""

    async def verified(request: Request) -> Claims:
        headers = told(request.scope, b"authorization")
        scheme, _, text = (headers[0] if len(headers) == 1 else "").partition(" ")
        if scheme.lower() != "bearer":
            raise InvalidToken("no bearer token")
        return services.verifier.verify(text, now=services.clock())

    return verified


def bearer(services: ApiServices) -> Callable[[Request], Awaitable[Claims]]:
    """A dependency: the verified claims of the request's token. Raises `InvalidToken`."""
    token = verified_token(services)

    async def verified(request: Request) -> Claims:
        claims = await token(request)
        async with transaction(services.engine) as connection:
            if not await is_active(connection, client_id=claims.client_id):
                raise InvalidToken("the client was revoked")
        return claims

    return verified


def _credentials(request: Request, form: dict[str, str]) -> tuple[str, str]:
    """From the Authorization header or the form, not from both (RFC 6749 section 2.3)."""
    if "grant_type" not in form:
        raise InvalidTokenRequest("Send grant_type=client_credentials in the form.", field="grant_type")
    if form["grant_type"] != "client_credentials":
        raise UnsupportedGrantType
    headers = request.headers.getlist("authorization")
    if len(headers) > 1 or (headers and "client_secret" in form):
        raise InvalidTokenRequest("Send the client id and secret one way: in the form, or as HTTP Basic.")
    if headers:
        client_id, client_secret = _basic(headers[0])
        if form.get("client_id", client_id) != client_id:
            raise InvalidTokenRequest("The form names another client than the Authorization header.", field="client_id")
        return client_id, client_secret
    if "client_id" not in form or "client_secret" not in form:
        raise MissingClient
    return form["client_id"], form["client_secret"]


def _basic(header: str) -> tuple[str, str]:
    """Client id and secret of an Authorization header, each form-encoded in it (RFC 6749 section 2.3.1)."""
    scheme, _, text = header.partition(" ")
    if scheme.lower() != "basic":
        raise MissingClient
    try:
        client_id, _, client_secret = base64.b64decode(text, validate=True).decode().partition(":")
    except ValueError:
        raise InvalidClient from None
    client_id, client_secret = unquote_plus(client_id), unquote_plus(client_secret)
    if "\0" in client_id + client_secret:  # no such text can be stored, hence none can be ours
        raise InvalidClient
    return client_id, client_secret
