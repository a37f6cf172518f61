"""Open Exchange Rates' latest.json on this machine, for the demo and the tests.

Shape and errors as on docs.openexchangerates.org (latest.json, authentication, errors). Any app_id of 32 hexadecimal
digits passes. Under `/_sim` it is told what to say:

    PUT /_sim/rates   {"KES": "129.20"}                   these prices from now on; GET reads all
    PUT /_sim/faults  {"frozen": true}                    the time of the prices stands still from now on
                      {"status": 500}                     this status with an error document
                      {"status": 302, "location": "…"}    a redirect
                      {"body": "<html>"}                  this text instead of the document
                      {"content_type": "text/html"}       another media type
                      {"cut": 100}                        only the first 100 characters
                      {"delay_ms": 5000}                  wait before the answer
                      {}                                  all well again
"""

from __future__ import annotations

import json
import re
from typing import Annotated

from fastapi import FastAPI, Header, Response

from gateway.clock import Clock, system_clock
from gateway.pricing.scripts import Script, script_endpoints

_APP_ID = re.compile(r"[0-9a-fA-F]{32}")
_AUTHORIZATION = "Token "
_BASE = "USD"
_JSON = "application/json"
_RATES = {"GHS": "15.30", "KES": "129.20", "NGN": "1540.50", "UGX": "3650", "ZAR": "18.15"}
_ERRORS = {
    "missing_app_id": (401, "No App ID provided."),
    "invalid_app_id": (401, "Invalid App ID provided."),
    "not_allowed": (429, "Changing the base currency is not part of this plan."),
}


def app(*, clock: Clock = system_clock) -> FastAPI:
    """The simulator, ready to serve."""
    script = Script(clock=clock, rates=dict(_RATES))
    api = FastAPI(title="Open Exchange Rates simulator", docs_url=None, redoc_url=None, openapi_url=None)

    @api.get("/api/latest.json")
    async def latest(
        app_id: str | None = None,
        base: str = _BASE,
        symbols: str | None = None,
        authorization: Annotated[str | None, Header()] = None,
    ) -> Response:
        if problem := _problem(app_id or (authorization or "").removeprefix(_AUTHORIZATION), base):
            status, description = _ERRORS[problem]
            return Response(_error(status, problem, description), status_code=status, media_type=_JSON)
        error = _error(script.faults.status, "simulated", "As scripted.")
        return await script.answer(lambda: _document(script, symbols), media_type=_JSON, error=error)

    script_endpoints(api, script)
    return api


def _document(script: Script, symbols: str | None) -> str:
    wanted = script.rates if symbols is None else [one for one in symbols.split(",") if one in script.rates]
    rates = ", ".join(f'"{currency}": {script.rates[currency]}' for currency in sorted(wanted))
    return (
        f'{{"disclaimer": "simulated", "license": "simulated", "timestamp": {int(script.now.timestamp())}, '
        f'"base": "{_BASE}", "rates": {{{rates}}}}}'
    )


def _problem(app_id: str, base: str) -> str | None:
    if not app_id:
        return "missing_app_id"
    if not _APP_ID.fullmatch(app_id):
        return "invalid_app_id"
    return None if base == _BASE else "not_allowed"


def _error(status: int, message: str, description: str) -> str:
    return json.dumps({"error": True, "status": status, "message": message, "description": description})
