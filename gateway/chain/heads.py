"""New blocks announced over websockets (`eth_subscribe`, `newHeads`): a reason to look at once, never a fact.

Whatever a node sends here, the watcher asks a quorum; a node that announces nothing, nonsense or too much costs a look at
most, and without any announcement the loop looks by its own clock.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import structlog
from aiohttp import ClientError, ClientSession, ClientWebSocketResponse, WSMsgType
from pydantic_core import from_json

from gateway.chain.rpc import operator_of

log = structlog.get_logger()

PAUSE_FIRST_S = 1.0
PAUSE_MOST_S = 60.0
ANNOUNCEMENT_MOST = 2**18
"""Longest message that is read, in bytes."""
HEARTBEAT_S = 30.0
ANSWER_S = 20.0
"""How long connecting and subscribing may take."""
LEAST_APART_S = 0.05
"""However fast a node announces, the bell is rung only so often."""

_SUBSCRIBE = {"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["newHeads"]}


_FAILURES = (ClientError, OSError, TimeoutError, ValueError)


class HeadsFault(Exception):
    """A node doesn't announce blocks; `str()` is a sentence without its URL."""


async def listen(urls: Sequence[str], bell: asyncio.Event) -> None:
    """Set `bell` at each announcement of any of the nodes, for ever. A lost one is tried again, with growing pauses."""
    async with asyncio.TaskGroup() as group:
        for url in urls:
            group.create_task(_forever(url, bell))


async def announces(url: str) -> None:
    """Raise `HeadsFault` unless the node at `url` takes a subscription to its new blocks."""
    try:
        async with _subscription(url):
            pass
    except _FAILURES as error:
        raise HeadsFault(_why(error)) from None


async def _forever(url: str, bell: asyncio.Event) -> None:
    pause_s = PAUSE_FIRST_S
    while True:
        try:
            async with _subscription(url) as socket:
                # Blocks may have come while nobody listened.
                bell.set()
                pause_s = PAUSE_FIRST_S
                await _hear(socket, bell)
            why = "the node closed the connection"
        except (HeadsFault, *_FAILURES) as error:
            why = _why(error)
        log.warning("heads_lost", node=operator_of(url), reason=why)
        await asyncio.sleep(pause_s * random.uniform(0.5, 1))  # noqa: S311 - spreads retries, guards nothing
        pause_s = min(pause_s * 2, PAUSE_MOST_S)


@asynccontextmanager
async def _subscription(url: str) -> AsyncIterator[ClientWebSocketResponse]:
    """A connection on which new blocks are announced."""
    async with (
        asyncio.timeout(ANSWER_S) as limit,
        ClientSession() as session,
        session.ws_connect(url, heartbeat=HEARTBEAT_S, max_msg_size=ANNOUNCEMENT_MOST) as socket,
    ):
        await socket.send_json(_SUBSCRIBE)
        answer = await socket.receive()
        read = from_json(answer.data) if answer.type is WSMsgType.TEXT else None
        if not isinstance(read, dict) or not isinstance(read.get("result"), str):
            raise HeadsFault("the node takes no subscription to new blocks")
        limit.reschedule(None)
        yield socket


async def _hear(socket: ClientWebSocketResponse, bell: asyncio.Event) -> None:
    async for message in socket:
        if message.type is WSMsgType.TEXT and '"eth_subscription"' in message.data:
            bell.set()
            await asyncio.sleep(LEAST_APART_S)


def _why(error: Exception) -> str:
    # aiohttp's sentences hold the URL, which may carry a key: only the kind of failure is passed on.
    return str(error) if isinstance(error, HeadsFault) else f"no subscription to new blocks ({type(error).__name__})"
