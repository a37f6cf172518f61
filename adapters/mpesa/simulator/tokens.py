"""The token endpoint: one valid token at a time."""

from __future__ import annotations

import base64
import secrets
from datetime import datetime, timedelta

from fastapi import Request
from fastapi.responses import JSONResponse

from adapters.mpesa.simulator.checks import Refused
from adapters.mpesa.simulator.credentials import Credentials
from gateway.clock import Clock

LIFE_S = 3599


class Tokens:
    """Issues and checks access tokens. A new one kills the old one."""

    def __init__(self, *, credentials: Credentials, clock: Clock) -> None:
        self._basic = base64.b64encode(f"{credentials.consumer_key}:{credentials.consumer_secret}".encode()).decode()
        self._clock = clock
        self._token = secrets.token_urlsafe(21)
        self._ends = clock()

    async def issue(self, request: Request) -> JSONResponse:
        """GET /oauth/v1/generate?grant_type=client_credentials with Basic authentication."""
        if request.headers.get("authorization") != f"Basic {self._basic}":
            raise Refused(400, "400.008.01", "Invalid Authentication passed")
        if request.query_params.get("grant_type") != "client_credentials":
            raise Refused(400, "400.008.02", "Invalid grant type passed")
        self.expire()
        self._ends = self._later()
        return JSONResponse({"access_token": self._token, "expires_in": str(LIFE_S)})

    def check(self, request: Request) -> None:
        """Raise `Refused` unless the request has the living token."""
        given = request.headers.get("authorization")
        if given is None:
            raise Refused(401, "401.002.01", "Error Occurred - Invalid Access Token")
        if not given.startswith("Bearer "):
            raise Refused(400, "400.003.01", "Invalid Access Token")
        token = given.removeprefix("Bearer ")
        if token != self._token or self._clock() >= self._ends:
            raise Refused(404, "404.001.03", f"Invalid Access Token - {token}")

    def expire(self) -> None:
        """End the living token before its time."""
        self._token = secrets.token_urlsafe(21)
        self._ends = self._clock()

    def _later(self) -> datetime:
        return self._clock() + timedelta(seconds=LIFE_S)
