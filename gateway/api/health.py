"""Is it up, is it ready: for load balancers and people at three in the morning."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from gateway.api.services import ApiServices
from gateway.db.session import transaction

ANSWER_WITHIN_S = 5
"""How long the database may take, in seconds."""
_CHAINS = text("SELECT chain_id, number, halted, updated_at FROM chain_cursors ORDER BY chain_id")


def health_router(services: ApiServices) -> APIRouter:
    """GET /healthz and /readyz."""
    router = APIRouter(include_in_schema=False)

    @router.get("/healthz")
    async def healthz() -> dict[str, str]:
        """This process answers."""
        return {"status": "ok"}

    @router.get("/readyz")
    async def readyz() -> JSONResponse:
        """The database answers and no chain is halted; 503 and the reason otherwise."""
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S), transaction(services.engine) as connection:
                chains = (await connection.execute(_CHAINS)).all()
        except (SQLAlchemyError, TimeoutError) as error:
            problem = f"the database does not answer ({type(error).__name__}); start it or correct database.url"
            return JSONResponse({"status": "unavailable", "problems": [problem]}, status_code=503)
        problems = [f"chain {chain.chain_id} is halted: {chain.halted}" for chain in chains if chain.halted]
        cursors = {str(chain.chain_id): {"block": chain.number, "as_of": chain.updated_at.isoformat()} for chain in chains}
        status = "halted" if problems else "ready"
        return JSONResponse(
            {"status": status, "problems": problems, "chains": cursors}, status_code=503 if problems else 200
        )

    return router
