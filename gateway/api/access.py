"""Access tokens: handing them out (RFC 6749 section 4.4) and asking for them (RFC 6750)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qsl, unquote_plus

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from gateway.api.services import ApiServices
from gateway.db.session import transaction
from gateway.errors import Refusal
from gateway.partners.clients import InvalidClient, authenticate, is_active
from gateway.partners.tokens import LIFETIME, Claims, InvalidToken


class InvalidTokenRequest(Refusal):
    """The token request isn't one."""

    code = "invalid_request"


class UnsupportedGrantType(Refusal):
    """Only client credentials are taken."""

    code = "unsupported_grant_type"

    def __init__(self) -> None:
        super().__init__("Send grant_type=client_credentials.", field="grant_type")


def access_router(services: ApiServices) -> APIRouter:
    """POST /oauth/token and the public keys."""
    router = APIRouter(tags=["access"])

    @router.post("/oauth/token", openapi_extra=_TOKEN_REQUEST)
    async def token(request: Request) -> JSONResponse:
        """Exchange client id and secret for an access token of 15 minutes."""
        client_id, client_secret = _credentials(request, dict(parse_qsl((await request.body()).decode("latin-1"))))
        async with transaction(services.engine) as connection:
            partner_id = await authenticate(connection, client_id=client_id, client_secret=client_secret)
        text = services.issuer.issue(partner_id=partner_id, client_id=client_id, now=services.clock())
        document = {"access_token": text, "token_type": "Bearer", "expires_in": int(LIFETIME.total_seconds())}
        return JSONResponse(document, headers={"Cache-Control": "no-store"})

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


def bearer(services: ApiServices) -> Callable[[Request], Awaitable[Claims]]:
    """A dependency: the verified claims of the request's token. Raises `InvalidToken`."""

    async def verified(request: Request) -> Claims:
        headers = request.headers.getlist("authorization")
        scheme, _, text = (headers[0] if len(headers) == 1 else "").partition(" ")
        if scheme.lower() != "bearer":
            raise InvalidToken("no bearer token")
        claims = services.verifier.verify(text, now=services.clock())
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
    scheme, _, text = request.headers.get("authorization", "").partition(" ")
    if not scheme:
        if not form.get("client_id") or not form.get("client_secret"):
            raise InvalidTokenRequest("Send client_id and client_secret, in the form or as HTTP Basic.")
        return form["client_id"], form["client_secret"]
    if scheme.lower() != "basic" or "client_secret" in form:
        raise InvalidTokenRequest("Send the client id and secret one way: in the form, or as HTTP Basic.")
    try:
        client_id, _, client_secret = base64.b64decode(text, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise InvalidClient from None
    client_id, client_secret = unquote_plus(client_id), unquote_plus(client_secret)
    if "\0" in client_id + client_secret:  # no such text can be stored, hence none can be ours
        raise InvalidClient
    return client_id, client_secret
