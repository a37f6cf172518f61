"""/metrics for Prometheus. Every value is read from the database at the scrape, so that any process can answer for all."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from http import HTTPStatus
from ipaddress import ip_address
from typing import Any

import structlog
from fastapi import APIRouter
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector
from sqlalchemy import Row, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from gateway.api.measures import MEASURES, Measure
from gateway.api.services import ApiServices
from gateway.db.session import transaction
from gateway.ids import new_id

log = structlog.get_logger()

ANSWER_WITHIN_S = 8
"""How long all queries together may take, in seconds: less than the ten after which a scraper goes away."""
QUERY_WITHIN_MS = 2_000
DAY = timedelta(days=1)
FORWARDED = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip")
"""What a proxy adds: behind one, everybody seems to be on this machine."""
LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})

_LIMIT = text("SELECT set_config('statement_timeout', :milliseconds, true)")
_Rows = Sequence[Row[tuple[Any, ...]]]


class Scrape(Collector):
    """The rows of one scrape as metric families."""

    def __init__(self, read: Sequence[tuple[Measure, _Rows]], *, chains: Mapping[str, str]) -> None:
        self._read = read
        self._chains = chains

    def collect(self) -> Iterator[Metric]:
        """Every family, also those without a sample, so that their meaning is known."""
        for measure, rows in self._read:
            for column, (name, meaning, counter) in measure.families.items():
                kind = CounterMetricFamily if counter else GaugeMetricFamily
                family = kind(name, meaning, labels=measure.labels)
                for row in rows:
                    value = getattr(row, column)
                    if value is not None:
                        family.add_metric([self._label(row, label) for label in measure.labels], value)
                yield family

    def _label(self, row: Row[tuple[Any, ...]], label: str) -> str:
        said = str(getattr(row, label))
        return self._chains.get(said, said) if label == "chain" else said


def metrics_router(services: ApiServices) -> APIRouter:
    """GET /metrics, in Prometheus' text format.

    With `services.metrics_token`: for who shows it as a bearer token. Without: for this machine only, asked directly.
    """
    router = APIRouter(include_in_schema=False)
    chains = {str(terms.chain_id): terms.name for terms in services.chains}

    @router.get("/metrics")
    async def metrics(request: Request) -> Response:
        refused = refusal(request, wanted=services.metrics_token)
        if refused is not None:
            return refused
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S), transaction(services.engine) as connection:
                read = await read_measures(connection, now=services.clock())
        except (SQLAlchemyError, TimeoutError) as error:
            log.error("metrics_failed", error=type(error).__name__, cause=type(getattr(error, "orig", None)).__name__)  # noqa: TRY400 - no stack
            sentence = f"the database does not answer in time ({type(error).__name__})\n"
            return PlainTextResponse(sentence, status_code=HTTPStatus.SERVICE_UNAVAILABLE)
        registry = CollectorRegistry()
        registry.register(Scrape(read, chains=chains))
        return Response(generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return router


async def read_measures(connection: AsyncConnection, *, now: datetime) -> list[tuple[Measure, _Rows]]:
    """The rows of every measure, in one transaction. Each query is given up after `QUERY_WITHIN_MS`."""
    await connection.execute(_LIMIT, {"milliseconds": str(QUERY_WITHIN_MS)})
    values = {
        "now": now,
        "order_of_day_ago": new_id("ord", now=now - DAY),
        "transaction_of_day_ago": new_id("ctx", now=now - DAY),
    }
    return [(measure, (await connection.execute(measure.query, values)).all()) for measure in MEASURES]


def refusal(request: Request, *, wanted: str | None) -> Response | None:
    """Why this request may not read the metrics; None: it may."""
    if wanted is not None:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and hmac.compare_digest(given.encode(), wanted.encode()):
            return None
        sentence = "show server.metrics_token as a bearer token\n"
        return PlainTextResponse(sentence, HTTPStatus.UNAUTHORIZED, headers={"WWW-Authenticate": "Bearer"})
    if _is_local(request):
        return None
    return PlainTextResponse(
        "only this machine may ask; set server.metrics_token to ask from elsewhere\n", HTTPStatus.FORBIDDEN
    )


def _is_local(request: Request) -> bool:
    """Whether a process of this machine asks directly, and not for somebody else."""
    if request.client is None or any(name in request.headers for name in FORWARDED):
        return False
    host = request.headers.get("host", "")
    name = host if host.endswith("]") else host.rpartition(":")[0] or host
    try:
        return ip_address(request.client.host).is_loopback and name.lower() in LOCAL_NAMES
    except ValueError:
        return False
