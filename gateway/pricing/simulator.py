"""Open Exchange Rates' latest.json on this machine, for the demo and the tests.

Shape and errors as on docs.openexchangerates.org (latest.json, authentication, errors). Any app_id of 32 hexadecimal
digits passes. Under `/_sim` it is told what to say:

    PUT /_sim/rates   {"KES": "129.20"}          these prices from now on; GET reads all
    PUT /_sim/faults  {"frozen": true}           the time of the prices stands still from now on
                      {"status": 500}            this status with an error document
                      {"body": "<html>"}         this text instead of the document
                      {"delay_ms": 5000}         wait before the answer
                      {}                         all well again
"""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated

from fastapi import FastAPI, Header, Response
from pydantic import BaseModel, ConfigDict, Field

from gateway.clock import Clock, system_clock

_APP_ID = re.compile(r"[0-9a-fA-F]{32}")
_AUTHORIZATION = "Token "
_BASE = "USD"
_ERRORS = {
    "missing_app_id": (401, "No App ID provided."),
    "invalid_app_id": (401, "Invalid App ID provided."),
    "not_allowed": (429, "Changing the base currency is not part of this plan."),
}

DecimalText = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?$")]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]


class Faults(BaseModel):
    """What goes wrong with the next answers."""

    model_config = ConfigDict(extra="forbid")

    frozen: bool = False
    status: int = Field(default=200, ge=200, le=599)
    body: str | None = None
    delay_ms: int = Field(default=0, ge=0, le=60_000)


@dataclass(slots=True)
class _State:
    clock: Clock
    rates: dict[str, str] = field(
        default_factory=lambda: {"GHS": "15.30", "KES": "129.20", "NGN": "1540.50", "UGX": "3650", "ZAR": "18.15"}
    )
    faults: Faults = field(default_factory=Faults)
    frozen_at: datetime | None = None

    def script(self, faults: Faults) -> None:
        self.frozen_at = self.clock() if faults.frozen else None
        self.faults = faults

    def document(self, symbols: str | None) -> str:
        """The answer, with the prices as they were written: a float would change them."""
        wanted = self.rates if symbols is None else [one for one in symbols.split(",") if one in self.rates]
        rates = ", ".join(f'"{currency}": {self.rates[currency]}' for currency in sorted(wanted))
        timestamp = int((self.frozen_at or self.clock()).timestamp())
        return (
            f'{{"disclaimer": "simulated", "license": "simulated", "timestamp": {timestamp}, '
            f'"base": "{_BASE}", "rates": {{{rates}}}}}'
        )


def app(*, clock: Clock = system_clock) -> FastAPI:
    """The simulator, ready to serve."""
    state = _State(clock=clock)
    api = FastAPI(title="Open Exchange Rates simulator", docs_url=None, redoc_url=None, openapi_url=None)

    @api.get("/api/latest.json")
    async def latest(
        app_id: str | None = None,
        base: str = _BASE,
        symbols: str | None = None,
        authorization: Annotated[str | None, Header()] = None,
    ) -> Response:
        await asyncio.sleep(state.faults.delay_ms / 1000)
        given = app_id or (authorization or "").removeprefix(_AUTHORIZATION)
        if problem := _problem(given, base):
            return _error(problem)
        if state.faults.status != 200:  # noqa: PLR2004 - HTTP OK
            return _json(_error_document(state.faults.status, "simulated", "As scripted."), state.faults.status)
        return _json(state.faults.body if state.faults.body is not None else state.document(symbols))

    @api.get("/_sim/rates")
    async def rates() -> dict[str, str]:
        return state.rates

    @api.put("/_sim/rates")
    async def set_rates(changes: dict[Currency, DecimalText]) -> dict[str, str]:
        state.rates.update(changes)
        return state.rates

    @api.put("/_sim/faults")
    async def set_faults(faults: Faults) -> Faults:
        state.script(faults)
        return faults

    return api


def _problem(app_id: str, base: str) -> str | None:
    if not app_id:
        return "missing_app_id"
    if not _APP_ID.fullmatch(app_id):
        return "invalid_app_id"
    return None if base == _BASE else "not_allowed"


def _error(message: str) -> Response:
    status, description = _ERRORS[message]
    return _json(_error_document(status, message, description), status)


def _error_document(status: int, message: str, description: str) -> str:
    return json.dumps({"error": True, "status": status, "message": message, "description": description})


def _json(body: str, status: int = 200) -> Response:
    return Response(body, status_code=status, media_type="application/json")
