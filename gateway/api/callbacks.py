"""Where rails call: store, answer, and let the workers ask for the truth."""

from __future__ import annotations

import asyncio
import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from gateway.api.services import ApiServices
from gateway.offramp import RAILS_OWN, Callback, CallbackRequest, CallsBack, ForgedCallback, NamesAttempt
from gateway.payouts.addresses import PATH, Callee
from gateway.payouts.arrivals import Arrivals
from gateway.payouts.inbox import Arrival, read_callback

log = structlog.get_logger()

READ_WITHIN_S = 1.0
"""How long an adapter may read before its callback is stored unread, in seconds: it is read again when it is handled."""
ATTEMPT_ID_MOST = 200
"""Longest id that a body may name an attempt by, in characters; ours have 30."""
_READERS = 2
NO_CONTENT = 204


def callback_router(services: ApiServices) -> APIRouter:
    """POST and PUT /callbacks/{token}."""
    router = APIRouter(include_in_schema=False)
    arrivals = Arrivals(services.inbox or services.engine)
    # Their own: an adapter that thinks for long keeps no other part of us waiting, and none of them keeps a callback.
    readers = ThreadPoolExecutor(_READERS, thread_name_prefix="callbacks")

    @router.api_route(PATH + "{token}", methods=["POST", "PUT"])
    async def callback(token: str, request: Request) -> Response:
        """Store what arrived before answering. An address that we never gave away is answered like any unknown page."""
        callee = services.addresses.read(token)
        adapter = services.rails.get(callee.adapter) if callee else None
        if callee is None or not isinstance(adapter, CallsBack) or not _is_open(adapter, callee):
            raise HTTPException(404)
        called = CallbackRequest(
            attempt_id=callee.attempt_id,
            label=callee.label,
            headers={name.lower(): value for name, value in request.headers.items()},
            body=await request.body(),
            received_at=services.clock(),
        )
        named = await _attempt_of(adapter, called, readers)
        if named is None:
            log.info("callback_not_ours", adapter=callee.adapter, label=callee.label)
        else:
            called = replace(called, attempt_id=named)
            event_id = await _event_id(adapter, called, readers)
            new = await arrivals.put(Arrival(adapter=callee.adapter, event_id=event_id, request=called))
            log.info("callback_stored", adapter=callee.adapter, attempt=named, label=callee.label, new=new)
        status, answer = adapter.callback_answer()
        # Not even "{}" may follow a 204, which is what the GSMA's API wants.
        return Response(status_code=status) if status == NO_CONTENT else JSONResponse(dict(answer), status_code=status)

    return router


def _is_open(adapter: CallsBack, callee: Callee) -> bool:
    """Whether we ever gave this address away: a rail's own one only for the labels that the adapter names."""
    if callee.attempt_id != RAILS_OWN:
        return True
    return isinstance(adapter, NamesAttempt) and callee.label in adapter.webhooks


async def _attempt_of(adapter: CallsBack, called: CallbackRequest, readers: ThreadPoolExecutor) -> str | None:
    """The attempt that a callback is about; None if it is about no payment of ours.

    What arrived at the rail's own address and names none that can be believed stays there: it is kept, and a person is told.
    """
    if called.attempt_id != RAILS_OWN or not isinstance(adapter, NamesAttempt):
        return called.attempt_id
    try:
        async with asyncio.timeout(READ_WITHIN_S):
            named = await asyncio.get_running_loop().run_in_executor(readers, adapter.attempt_of, called)
    except Exception as error:
        fault = None if isinstance(error, ForgedCallback) else error
        log.warning("callback_names_nobody", label=called.label, exc_info=fault)
        return RAILS_OWN
    if named is None:
        return None
    fits = type(named) is str and 0 < len(named) <= ATTEMPT_ID_MOST and named.isprintable()
    return named if fits else RAILS_OWN


async def _event_id(adapter: CallsBack, called: CallbackRequest, readers: ThreadPoolExecutor) -> str:
    """The adapter's id of the news; what it can't read is kept too, as evidence, under the hash of what arrived.

    Nor does an adapter's own fault lose it, or that it thinks for too long: many rails tell their news only once.
    """
    read: Callback | Exception
    try:
        async with asyncio.timeout(READ_WITHIN_S):
            read = await asyncio.get_running_loop().run_in_executor(readers, read_callback, adapter, called)
    except TimeoutError as error:
        read = error
    if isinstance(read, Callback):
        return read.event_id
    fault = None if isinstance(read, ForgedCallback) else read
    log.warning("callback_unreadable", attempt=called.attempt_id, label=called.label, exc_info=fault)
    digest = hashlib.sha256(called.label.encode() + b"\n" + called.attempt_id.encode() + b"\n" + called.body)
    return f"unreadable:{digest.hexdigest()}"
