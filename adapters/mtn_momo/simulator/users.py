"""API users, product keys and access tokens: the sandbox's provisioning, and one user that exists from the first start."""

from __future__ import annotations

import base64
import re
import secrets
from datetime import datetime, timedelta
from urllib.parse import urlsplit
from uuid import uuid4

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ValidationError

from adapters.mtn_momo.simulator.refusals import BAD_KEY, BAD_TOKEN, Refused, TurnedAway
from gateway.railsim import Desk, RailApp

UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.IGNORECASE)
LIFE_S = 3600
EVERYWHERE = "every country"
"""The target environment of the user that exists from the start; MTN's own users have one country, or the sandbox."""


class User(BaseModel):
    """An API user. Without `callback_host` it may be called back anywhere."""

    id: str
    target_environment: str
    api_key: str | None = None
    callback_host: str | None = None


class Keys(BaseModel):
    """The subscription's keys, one per product, and the user that exists from the start."""

    disbursement: str
    collection: str
    user: str


class _NewUser(BaseModel):
    providerCallbackHost: str  # noqa: N815 - MTN's word


class Users:
    """Who may call, and with which token."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._tokens: dict[str, tuple[str, datetime]] = {}
        self.keys = self._keys()

    def mount(self, app: RailApp) -> None:
        """Add the endpoints."""
        app.post("/v1_0/apiuser")(self.create)
        app.post("/v1_0/apiuser/{id}/apikey")(self.make_key)
        app.get("/v1_0/apiuser/{id}")(self.show)
        app.post("/disbursement/token/")(self.issue)

    def first(self) -> User:
        """The user that exists from the start."""
        return self._find(self.keys.user)

    def of(self, request: Request) -> User:
        """Who sends this request. Raises `TurnedAway`."""
        self._check_key(request, self.keys.disbursement)
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        id_, ends = self._tokens.get(token, ("", self._desk.clock()))
        if scheme != "Bearer" or self._desk.clock() >= ends:
            raise TurnedAway(BAD_TOKEN)
        return self._find(id_)

    def expire(self) -> None:
        """End all tokens before their time."""
        self._tokens.clear()

    async def create(self, request: Request) -> Response:
        """POST /v1_0/apiuser: the caller chooses the id."""
        self._check_key(request, self.keys.disbursement, self.keys.collection)
        id_ = request.headers.get("x-reference-id", "")
        try:
            host = _NewUser.model_validate_json(await request.body()).providerCallbackHost
        except ValidationError:
            raise Refused("BAD_REQUEST") from None
        if not UUID4.fullmatch(id_) or urlsplit(f"//{host}").hostname != host.lower():
            raise Refused("BAD_REQUEST")
        if self._desk.shelf.get("user", id_) is not None:
            raise Refused("RESOURCE_ALREADY_EXIST")
        self._keep(User(id=id_, target_environment="sandbox", callback_host=host))
        return Response(status_code=201)

    async def make_key(self, request: Request, id: str) -> Response:  # noqa: A002 - the name in MTN's address
        """POST /v1_0/apiuser/{id}/apikey: a new key ends the old one."""
        self._check_key(request, self.keys.disbursement, self.keys.collection)
        user = self._find(id).model_copy(update={"api_key": secrets.token_hex(16)})
        self._keep(user)
        return JSONResponse({"apiKey": user.api_key}, status_code=201)

    async def show(self, request: Request, id: str) -> Response:  # noqa: A002
        """GET /v1_0/apiuser/{id}."""
        self._check_key(request, self.keys.disbursement, self.keys.collection)
        user = self._find(id)
        shown = {"providerCallbackHost": user.callback_host, "targetEnvironment": user.target_environment}
        return JSONResponse(shown)

    async def issue(self, request: Request) -> Response:
        """POST /disbursement/token/ with Basic authentication. Older tokens live on."""
        self._check_key(request, self.keys.disbursement)
        id_ = self._basic(request.headers.get("authorization", ""))
        if id_ is None:
            return JSONResponse({"error": "login_failed"}, status_code=401)
        token = secrets.token_urlsafe(40)
        self._tokens[token] = (id_, self._desk.clock() + timedelta(seconds=LIFE_S))
        return JSONResponse({"access_token": token, "token_type": "access_token", "expires_in": LIFE_S})

    def _basic(self, header: str) -> str | None:
        """The user whose id and key are in the header; None if they are nobody's."""
        try:
            id_, _, key = base64.b64decode(header.removeprefix("Basic "), validate=True).decode().partition(":")
        except ValueError:
            return None
        kept = self._desk.shelf.get("user", id_)
        right = kept and kept["api_key"]
        return id_ if right and key == right else None

    def _check_key(self, request: Request, *products: str) -> None:
        if request.headers.get("ocp-apim-subscription-key") not in products:
            raise TurnedAway(BAD_KEY)

    def _find(self, id_: str) -> User:
        kept = self._desk.shelf.get("user", id_)
        if kept is None:
            raise Refused("RESOURCE_NOT_FOUND")
        return User.model_validate(kept)

    def _keep(self, user: User) -> None:
        self._desk.shelf.put(("user", user.id, user.model_dump()))

    def _keys(self) -> Keys:
        kept = self._desk.shelf.get("secrets", "mtn_momo")
        if kept is not None:
            return Keys.model_validate(kept)
        made = Keys(disbursement=secrets.token_hex(16), collection=secrets.token_hex(16), user=str(uuid4()))
        self._desk.shelf.put(("secrets", "mtn_momo", made.model_dump()))
        self._keep(User(id=made.user, target_environment=EVERYWHERE, api_key=secrets.token_hex(16)))
        return made
