"""Where rails call: store, answer, and let the workers ask for the truth."""

from __future__ import annotations

import hashlib

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from gateway.api.services import ApiServices
from gateway.db.session import transaction
from gateway.offramp import CallbackRequest, CallsBack, ForgedCallback
from gateway.payouts.addresses import PATH
from gateway.payouts.inbox import store

log = structlog.get_logger()


def callback_router(services: ApiServices) -> APIRouter:
    """POST and PUT /callbacks/{token}."""
    router = APIRouter(include_in_schema=False)

    @router.api_route(PATH + "{token}", methods=["POST", "PUT"])
    async def callback(token: str, request: Request) -> JSONResponse:
        """Store what arrived before answering. An address that we never gave away is answered like any unknown page."""
        callee = services.addresses.read(token)
        adapter = services.rails.get(callee.adapter) if callee else None
        if callee is None or not isinstance(adapter, CallsBack):
            raise HTTPException(404)
        called = CallbackRequest(
            attempt_id=callee.attempt_id,
            label=callee.label,
            headers={name.lower(): value for name, value in request.headers.items()},
            body=await request.body(),
            received_at=services.clock(),
        )
        async with transaction(services.engine) as connection:
            event_id = _event_id(adapter, called)
            new = await store(connection, adapter=callee.adapter, event_id=event_id, request=called)
        log.info("callback_stored", adapter=callee.adapter, attempt=callee.attempt_id, label=callee.label, new=new)
        status, answer = adapter.callback_answer()
        return JSONResponse(dict(answer), status_code=status)

    return router


def _event_id(adapter: CallsBack, called: CallbackRequest) -> str:
    """The adapter's id of the news; what it can't read is kept too, as evidence, under the hash of what arrived.

    Nor does an adapter's own fault lose it: many rails tell their news only once.
    """
    try:
        return adapter.read_callback(called).event_id
    except Exception as error:
        fault = None if isinstance(error, ForgedCallback) else error
        log.warning("callback_unreadable", attempt=called.attempt_id, label=called.label, exc_info=fault)
        digest = hashlib.sha256(called.label.encode() + b"\n" + called.attempt_id.encode() + b"\n" + called.body)
        return f"unreadable:{digest.hexdigest()}"
