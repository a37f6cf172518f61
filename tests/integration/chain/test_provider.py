"""The transport against a server that answers anything, in bytes: what a network and a broken node can do."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from web3 import AsyncWeb3

from gateway.chain.check import check_chain
from gateway.chain.provider import GuardedProvider
from gateway.chain.rpc import connect
from gateway.chain.watcher import Did, Watcher
from gateway.chain.wire import NodeFault, TooMuchAsked
from tests.integration.chain.desk import NOW, Desk, catch_up
from tests.unit.chain.fake_chain import USDC, FakeChain, address, terms, transfer

KEY = "9f8e7d6c5b4a39281706"
Reply = Callable[[dict[str, Any], asyncio.StreamWriter], Awaitable[None]]


def http(body: bytes, *, status: str = "200 OK", length: int | None = None) -> bytes:
    stated = len(body) if length is None else length
    return f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {stated}\r\n\r\n".encode() + body


def saying(answer: object, **options: Any) -> Reply:
    """Answers every call with `answer`, where "$id" stands for the call's id."""

    async def reply(call: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        text = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        writer.write(http(text.replace(b'"$id"', json.dumps(call["id"]).encode()), **options))

    return reply


def result(value: object) -> Reply:
    return saying({"jsonrpc": "2.0", "id": "$id", "result": value})


@asynccontextmanager
async def serve(reply: Reply) -> AsyncIterator[str]:
    """A server on a free port, as a URL with a key in it; `reply` writes the answer to each call."""

    talks = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.add(asyncio.current_task())
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                length = int(head.split("content-length: ")[1].split("\r\n")[0])
                await reply(json.loads(await reader.readexactly(length)), writer)
                await writer.drain()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}/v2/{KEY}"
    finally:
        server.close()
        await asyncio.gather(*talks)


async def ask(url: str, **options: Any) -> object:
    provider = GuardedProvider(url, **options)
    try:
        return await provider.ask("eth_chainId", ())
    finally:
        await provider.disconnect()


async def test_a_call_brings_back_its_result() -> None:
    async with serve(result("0x7a69")) as url:
        assert await ask(url) == "0x7a69"


async def test_a_result_of_null_is_a_result() -> None:
    async with serve(result(None)) as url:
        assert await ask(url) is None


async def test_calls_share_one_connection_and_have_ids_of_their_own() -> None:
    ids, peers = [], set()

    async def reply(call: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        ids.append(call["id"])
        peers.add(writer.get_extra_info("peername"))
        await result(1)(call, writer)

    async with serve(reply) as url:
        provider = GuardedProvider(url)
        for _ in range(5):
            await provider.ask("eth_chainId", ())
        await provider.disconnect()
    assert len(set(ids)) == 5
    assert len(peers) == 1


def test_importing_web3_leaves_the_recursion_limit_as_it_was() -> None:
    code = "import sys, web3, gateway.chain.provider; assert sys.getrecursionlimit() == 1000"
    subprocess.run([sys.executable, "-c", code], check=True)


async def test_web3_works_through_it() -> None:
    async with serve(result("0x7a69")) as url:
        provider = GuardedProvider(url)
        assert await AsyncWeb3(provider).eth.chain_id == 31337
        await provider.disconnect()


GARBAGE: dict[str, Any] = {
    "an empty body": b"",
    "no JSON": b"<html>busy</html>",
    "no UTF-8": b'{"jsonrpc":"2.0","id":"$id","result":"\xff"}',
    "a list": [{"jsonrpc": "2.0", "id": "$id", "result": 1}],
    "a null": None,
    "a number": 1,
    "half of it": b'{"jsonrpc":"2.0","id":"$id","res',
    "a deep nest": b"[" * 200_000,
    "a huge number": b'{"jsonrpc":"2.0","id":"$id","result":' + b"9" * 5_000 + b"}",
    "no result": {"jsonrpc": "2.0", "id": "$id"},
    "no id": {"jsonrpc": "2.0", "result": 1},
    "another id": {"jsonrpc": "2.0", "id": 999, "result": 1},
    "an id as text": b'{"jsonrpc":"2.0","id":"0","result":1}',
    "an id as truth": {"jsonrpc": "2.0", "id": False, "result": 1},
    "an id of null": {"jsonrpc": "2.0", "id": None, "result": 1},
}


@pytest.mark.parametrize("body", GARBAGE.values(), ids=GARBAGE)
async def test_garbage_is_a_fault(body: object) -> None:
    async with serve(saying(body)) as url:
        with pytest.raises(NodeFault):
            await ask(url)


@pytest.mark.parametrize("status", ["204 No Content", "301 Moved Permanently", "401 No", "403 No", "404 No", "429 Slow"])
async def test_a_status_other_than_200_is_a_fault_even_with_a_right_body(status: str) -> None:
    async with serve(saying({"jsonrpc": "2.0", "id": "$id", "result": 1}, status=status)) as url:
        with pytest.raises(NodeFault) as fault:
            await ask(url)
        assert not isinstance(fault.value, TooMuchAsked)


@pytest.mark.parametrize("status", ["400 Bad Request", "413 Too Large", "500 Oops", "502 Bad", "503 Busy", "504 Late"])
async def test_statuses_that_refuse_a_wide_range_say_so(status: str) -> None:
    async with serve(saying({}, status=status)) as url:
        with pytest.raises(TooMuchAsked, match=status[:3]):
            await ask(url)


async def test_a_redirect_is_not_followed() -> None:
    async def reply(_call: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 307 Elsewhere\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n")

    async with serve(reply) as url:
        with pytest.raises(NodeFault, match="307"):
            await ask(url)


async def test_an_error_answer_is_repeated_without_our_key() -> None:
    error = {"code": -32005, "message": f"project {KEY}: query returned more than 10000 results", "data": {"limit": 10000}}
    async with serve(saying({"jsonrpc": "2.0", "id": None, "error": error})) as url:
        with pytest.raises(TooMuchAsked, match="more than 10000") as fault:
            await ask(url)
    assert KEY not in str(fault.value)


async def test_a_body_that_is_cut_is_a_fault() -> None:
    async def reply(_call: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        writer.write(http(b'{"jsonrpc":"2.0","id":0,"result":1}', length=500))
        writer.close()

    async with serve(reply) as url:
        with pytest.raises(NodeFault):
            await ask(url)


async def test_a_stall_ends_with_the_time_limit() -> None:
    async def reply(_call: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        writer.write(http(b"{", length=500))

    async with serve(reply) as url:
        with pytest.raises(TooMuchAsked, match="no whole answer"):
            await ask(url, timeout_s=0.1)


async def test_an_endless_body_is_cut_off_by_us() -> None:
    sent = 0

    async def reply(_call: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"1000\r\n" + b"9" * 4096 + b"\r\n")
            sent += 4096
            await writer.drain()

    async with serve(reply) as url:
        with pytest.raises(TooMuchAsked, match="more than 100000 bytes"):
            await ask(url, answer_most=100_000)
    assert sent < 50_000_000


async def test_a_closed_port_is_a_fault() -> None:
    async with serve(result(1)) as url:
        pass
    with pytest.raises(NodeFault):
        await ask(url)


@pytest.mark.parametrize(
    "url",
    [
        f"http://user:{KEY}@127.0.0.1:1/",
        f"http://127.0.0.1:1/v3/{KEY}",
        f"http://127.0.0.1:1/?apikey={KEY}",
        f"http://127.0.0.1:notaport/{KEY}",
        f"nonsense://{KEY}",
    ],
)
async def test_no_key_gets_into_texts_or_logs(url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    provider = GuardedProvider(url)
    with pytest.raises(NodeFault) as fault:
        await provider.ask("eth_chainId", ())
    await provider.disconnect()
    (problem,) = await check_chain(terms(rpc=(url,)))
    told = [str(provider), repr(provider), problem, caplog.text, repr(terms(rpc=(url,)))]
    told += traceback.format_exception(fault.value)
    assert not [text for text in told if KEY in text]


async def test_a_watcher_behind_a_broken_server_moves_nothing_and_goes_on(desk: Desk) -> None:
    ours = address("ours")
    await desk.know([USDC], [ours])
    chain = FakeChain(blocks=10)
    chain.mine(transfer(to=ours), blocks=6)
    broken: Reply | None = None

    async def reply(call: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        if broken is None:
            await result(await chain.ask(call["method"], call["params"]))(call, writer)
        else:
            await broken(call, writer)

    async with serve(reply) as url:
        node = connect(url)
        watcher = Watcher(terms=terms(start_block=5), node=node, engine=desk.engine, clock=lambda: NOW)
        assert (await watcher.step()).did is Did.STARTED
        before = await desk.everything()
        for reply_now in (
            *map(saying, GARBAGE.values()),
            result(None),
            result("0x"),
            result([]),
            saying({}, status="500 Oops"),
        ):
            broken = reply_now
            with pytest.raises(NodeFault):
                await watcher.step()
        assert await desk.everything() == before
        broken = None
        await catch_up(watcher)
        await node.disconnect()
    assert (await desk.deposit()).status == "final"
