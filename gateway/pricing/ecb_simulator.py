"""The European Central Bank's eurofxref-daily.xml on this machine, for the demo and the tests.

Its shape is the live file's, single quotes and all. The rates are those of the last day on which it would have published:
Monday to Friday, around 16:00 in Frankfurt (bank holidays are not simulated). Under `/_sim` it is told what to say, as
`gateway.pricing.simulator` is: PUT /_sim/rates {"ZAR": "19.73"} (one euro costs that), PUT /_sim/faults.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from fastapi import FastAPI, Response

from gateway.clock import Clock, system_clock
from gateway.pricing.scripts import Script, script_endpoints
from gateway.pricing.sources.ecb import PATH

_PUBLISHED = time(16)
_FRIDAY = 4
_RATES = {
    "USD": "1.0850",
    "JPY": "163.15",
    "GBP": "0.8390",
    "BRL": "6.1320",
    "IDR": "17560.32",
    "INR": "91.0340",
    "MXN": "18.9930",
    "PHP": "62.4580",
    "ZAR": "19.7300",
}


def app(*, clock: Clock = system_clock) -> FastAPI:
    """The simulator, ready to serve."""
    script = Script(clock=clock, rates=dict(_RATES))
    api = FastAPI(title="European Central Bank simulator", docs_url=None, redoc_url=None, openapi_url=None)

    @api.get(PATH)
    async def daily() -> Response:
        return await script.answer(lambda: _document(script), media_type="text/xml")

    script_endpoints(api, script)
    return api


def published(now: datetime) -> date:
    """The day of the newest rates at `now`."""
    there = now.astimezone(ZoneInfo("Europe/Berlin"))
    day = there.date() if there.time() >= _PUBLISHED else there.date() - timedelta(days=1)
    return day - timedelta(days=max(day.weekday() - _FRIDAY, 0))


def _document(script: Script) -> str:
    cubes = "\n".join(f"\t\t\t<Cube currency='{code}' rate='{rate}'/>" for code, rate in script.rates.items())
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<gesmes:Envelope xmlns:gesmes="http://www.gesmes.org/xml/2002-08-01" '
        'xmlns="http://www.ecb.int/vocabulary/2002-08-01/eurofxref">\n'
        "\t<gesmes:subject>Reference rates</gesmes:subject>\n"
        "\t<gesmes:Sender>\n\t\t<gesmes:name>European Central Bank</gesmes:name>\n\t</gesmes:Sender>\n"
        f"\t<Cube>\n\t\t<Cube time='{published(script.now)}'>\n{cubes}\n\t\t</Cube>\n\t</Cube>\n</gesmes:Envelope>"
    )
