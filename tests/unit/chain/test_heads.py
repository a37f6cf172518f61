"""Announcements of new blocks only ring a bell; whatever else a node sends is nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from gateway.chain import heads
from gateway.chain.heads import HeadsFault, announces, listen

Serve = Callable[[web.WebSocketResponse], Awaitable[None]]
HEAD = json.dumps({"jsonrpc": "2.0", "method": "eth_subscription", "params": {"subscription": "0x1", "result": {}}})


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "PAUSE_FIRST_S", 0.01)
    monkeypatch.setattr(heads, "PAUSE_MOST_S", 0.02)
    monkeypatch.setattr(heads, "ANSWER_S", 0.5)
    monkeypatch.setattr(heads, "LEAST_APART_S", 0.01)


@asynccontextmanager
async def node(serve: Serve) -> AsyncIterator[str]:
    """A websocket server that takes the subscription, then does what `serve` does."""

    async def handle(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        asked = json.loads(await socket.receive_str())
        assert (asked["method"], asked["params"]) == ("eth_subscribe", ["newHeads"])
        await serve(socket)
        return socket

    app = web.Application()
    app.router.add_get("/{key}", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    yield f"ws://{host}:{port}/CANARY"
    await runner.cleanup()


@asynccontextmanager
async def listening(*urls: str) -> AsyncIterator[asyncio.Event]:
    bell = asyncio.Event()
    task = asyncio.create_task(listen(urls, bell))
    yield bell
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def rung(bell: asyncio.Event) -> None:
    async with asyncio.timeout(5):
        await bell.wait()
    bell.clear()


async def subscribed(socket: web.WebSocketResponse) -> None:
    await socket.send_str('{"jsonrpc": "2.0", "id": 1, "result": "0x1"}')


async def test_each_announcement_rings_the_bell() -> None:
    sockets: asyncio.Queue[web.WebSocketResponse] = asyncio.Queue()

    async def serve(socket: web.WebSocketResponse) -> None:
        await subscribed(socket)
        await sockets.put(socket)
        await socket.receive()

    async with node(serve) as url, listening(url) as bell:
        socket = await sockets.get()
        await rung(bell)  # blocks may have come before
        for _ in range(3):
            await socket.send_str(HEAD)
            await rung(bell)
        await socket.send_str('{"jsonrpc": "2.0", "id": 2, "result": true}')
        await socket.send_bytes(b"\x00")
        await socket.send_str(HEAD[:20])
        await asyncio.sleep(0.05)
        assert not bell.is_set()


async def test_a_lost_connection_is_made_again() -> None:
    connected = 0

    async def serve(socket: web.WebSocketResponse) -> None:
        nonlocal connected
        connected += 1
        if connected == 1:
            raise ConnectionResetError
        await subscribed(socket)
        await socket.send_str(HEAD)

    async with node(serve) as url, listening(url):
        async with asyncio.timeout(5):
            while connected < 4:
                await asyncio.sleep(0.01)


async def test_one_node_that_is_down_does_not_deafen_us_to_another() -> None:
    async def serve(socket: web.WebSocketResponse) -> None:
        await subscribed(socket)
        await socket.receive()

    async with node(serve) as url, listening("ws://127.0.0.1:1/x", url) as bell:
        await rung(bell)


async def test_nonsense_instead_of_a_subscription_rings_nothing() -> None:
    async def serve(socket: web.WebSocketResponse) -> None:
        await socket.send_str("<html>")

    async with node(serve) as url, listening(url) as bell:
        await asyncio.sleep(0.1)
        assert not bell.is_set()


@pytest.mark.parametrize("answer", ['{"id": 1, "error": {"code": -32601}}', "[]", "<html>", None])
async def test_a_node_that_does_not_announce_is_told_without_its_url(answer: str | None) -> None:
    async def serve(socket: web.WebSocketResponse) -> None:
        if answer is not None:
            await socket.send_str(answer)
        await socket.receive()

    async with node(serve) as url:
        with pytest.raises(HeadsFault) as told:
            await announces(url)
    assert "CANARY" not in str(told.value)


async def test_a_node_that_announces_is_right_and_one_that_is_down_is_not() -> None:
    async with node(subscribed) as url:
        await announces(url)
    with pytest.raises(HeadsFault):
        await announces("ws://127.0.0.1:1/CANARY")
