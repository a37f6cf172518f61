"""Is it up, is it ready: for load balancers and people at three in the morning."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from sqlalchemy.exc import SQLAlchemyError

from gateway.api.services import ApiServices
from gateway.chain.health import ChainHealth, Health, read_health
from gateway.db.session import transaction

ANSWER_WITHIN_S = 5
"""How long the database may take, in seconds."""


def health_router(services: ApiServices) -> APIRouter:
    """GET /healthz and /readyz."""
    router = APIRouter(include_in_schema=False)

    @router.get("/healthz")
    async def healthz() -> dict[str, str]:
        """This process answers."""
        return {"status": "ok"}

    @router.get("/readyz")
    async def readyz() -> JSONResponse:
        """The database answers and every chain is ready; 503 and the reasons otherwise. What is only degraded is named."""
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S), transaction(services.engine) as connection:
                health = await read_health(connection, chains=services.chains, now=services.clock())
        except (SQLAlchemyError, TimeoutError) as error:
            problem = f"the database does not answer ({type(error).__name__}); start it or correct database.url"
            return JSONResponse({"status": "unavailable", "problems": [problem]}, HTTPStatus.SERVICE_UNAVAILABLE)
        status = HTTPStatus.SERVICE_UNAVAILABLE if health.problems else HTTPStatus.OK
        return JSONResponse(_document(health), status)

    return router


def _document(health: Health) -> dict[str, object]:
    return {
        "status": health.status,
        "problems": health.problems,
        "degraded": health.degraded,
        "chains": {str(chain.chain_id): _chain_document(chain) for chain in health.chains},
        "frozen": dict(health.frozen),
    }


def _chain_document(chain: ChainHealth) -> dict[str, object]:
    state = chain.state
    seen = state and {
        "block": state.cursor,
        "final": state.final,
        "head": state.head,
        "lag": state.lag,
        "as_of": state.updated_at.isoformat(),
    }
    return {
        "name": chain.name,
        "state": chain.readiness,
        **(seen or {}),
        "providers": {
            one.name: {"trusted": one.trusted, "reason": one.reason, "head": one.head, "faults": one.faults}
            for one in chain.providers
        },
    }
