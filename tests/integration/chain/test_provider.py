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

import msgspec
import pytest
from web3 import AsyncWeb3

from gateway.chain.check import check_chain
from gateway.chain.provider import ATTEMPTS, GuardedProvider
from gateway.chain.rpc import connect
from gateway.chain.watcher import Did
from gateway.chain.wire import Answer, NodeFault, Throttled, TooMuchAsked
from tests.integration.chain.desk import Desk, catch_up
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
        number = call["id"] if isinstance(call, dict) else None
        writer.write(http(text.replace(b'"$id"', json.dumps(number).encode()), **options))

    return reply


def saying_to_all(answer: object, **options: Any) -> Reply:
    """The same for batches, which have no id of their own."""

    async def reply(_calls: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(http(json.dumps(answer).encode(), **options))

    return reply


def result(value: object) -> Reply:
    return saying({"jsonrpc": "2.0", "id": "$id", "result": value})


@asynccontextmanager
async def serve(reply: Reply) -> AsyncIterator[str]:
    """A server on a free port, as a URL with a key in it; `reply` writes the answer to each call."""

    talks: set[asyncio.Task[None]] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (task := asyncio.current_task()) is not None:
            talks.add(task)
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


LOGS = ("eth_getLogs", ({"fromBlock": "0x1", "toBlock": "0x400"},))
HEADER = ("eth_getBlockByNumber", ("0x1", False))


async def ask(url: str, call: tuple[str, tuple[object, ...]] = ("eth_chainId", ()), **options: Any) -> object:
    provider = GuardedProvider(url, **{"pause_s": 0.001} | options)
    try:
        return await provider.ask(*call)
    finally:
        await provider.disconnect()


class Counter:
    """Answers with the replies in turn, the last one for ever; counts the calls."""

    def __init__(self, *replies: Reply) -> None:
        self.replies = list(replies)
        self.calls: list[Any] = []

    async def __call__(self, call: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        self.calls.append(call)
        await (self.replies.pop(0) if len(self.replies) > 1 else self.replies[0])(call, writer)


async def cut(_call: dict[str, Any], writer: asyncio.StreamWriter) -> None:
    """Half an answer."""
    writer.write(http(b'{"jsonrpc":"2.0","id":0,"result":1}', length=500))
    writer.close()


async def hang_up(_call: dict[str, Any], writer: asyncio.StreamWriter) -> None:
    writer.close()


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


REFUSING = ["400 Bad Request", "408 Timeout", "413 Too Large", "500 Oops", "502 Bad", "503 Busy", "504 Late"]


@pytest.mark.parametrize("status", REFUSING)
async def test_statuses_that_refuse_a_wide_range_say_so(status: str) -> None:
    async with serve(saying({}, status=status)) as url:
        with pytest.raises(TooMuchAsked, match=status[:3]):
            await ask(url, LOGS)
        with pytest.raises(NodeFault, match=status[:3]) as fault:
            await ask(url)
        assert not isinstance(fault.value, TooMuchAsked)


@pytest.mark.parametrize("status", [*REFUSING, "200 OK"])
async def test_a_limit_is_read_from_an_error_s_body_whatever_its_status(status: str) -> None:
    error = {"code": -32614, "message": "eth_getLogs is limited to a 10 range"}
    counter = Counter(saying({"jsonrpc": "2.0", "id": "$id", "error": error}, status=status))
    async with serve(counter) as url:
        with pytest.raises(TooMuchAsked, match="limited to a 10 range") as fault:
            await ask(url, LOGS)
    assert fault.value.suggested == 9
    assert len(counter.calls) == 1


@pytest.mark.parametrize("message", ["Must be authenticated!", "request rate limited"])
@pytest.mark.parametrize("status", ["400 Bad Request", "503 Busy", "200 OK"])
async def test_what_isn_t_about_the_range_doesn_t_narrow_it(status: str, message: str) -> None:
    error = {"code": -32005, "message": message}
    async with serve(saying({"jsonrpc": "2.0", "id": "$id", "error": error}, status=status)) as url:
        with pytest.raises(NodeFault, match=message) as fault:
            await ask(url, LOGS)
    assert not isinstance(fault.value, TooMuchAsked)


@pytest.mark.parametrize("passing", [saying({}, status="503 Busy"), saying({}, status="429 Slow"), cut, hang_up])
@pytest.mark.parametrize("times", [1, ATTEMPTS - 1])
async def test_what_passes_is_tried_again(passing: Reply, times: int) -> None:
    counter = Counter(*[passing] * times, result("0x7a69"))
    async with serve(counter) as url:
        assert await ask(url) == "0x7a69"
    assert len(counter.calls) == times + 1


@pytest.mark.parametrize("passing", [saying({}, status="503 Busy"), saying({}, status="429 Slow"), cut, hang_up])
async def test_what_stays_is_a_fault_after_a_few_attempts(passing: Reply) -> None:
    counter = Counter(passing)
    async with serve(counter) as url:
        with pytest.raises(NodeFault):
            await ask(url)
    assert len(counter.calls) == ATTEMPTS


async def test_a_transaction_is_sent_once() -> None:
    counter = Counter(hang_up)
    async with serve(counter) as url:
        with pytest.raises(NodeFault):
            await ask(url, ("eth_sendRawTransaction", ("0x00",)))
    assert len(counter.calls) == 1


async def test_definite_answers_are_not_tried_again() -> None:
    error = {"code": -32000, "message": "no such thing"}
    for reply in (saying({}, status="403 No"), saying(b"garbage"), saying({"id": "$id", "error": error})):
        counter = Counter(reply)
        async with serve(counter) as url:
            with pytest.raises(NodeFault):
                await ask(url)
        assert len(counter.calls) == 1


def slow_down(seconds: str) -> Reply:
    async def reply(_call: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 429 Slow\r\nRetry-After: {seconds}\r\nContent-Length: 0\r\n\r\n".encode())

    return reply


async def test_retry_after_is_waited_for_if_it_is_short() -> None:
    counter = Counter(slow_down("1"), result("0x1"))
    async with serve(counter) as url:
        started = asyncio.get_running_loop().time()
        assert await ask(url) == "0x1"
        assert asyncio.get_running_loop().time() - started >= 1


async def test_a_long_retry_after_is_left_to_the_caller() -> None:
    counter = Counter(slow_down("3600"))
    async with serve(counter) as url:
        with pytest.raises(Throttled) as fault:
            await ask(url)
    assert fault.value.wait_s == 3600
    assert len(counter.calls) == 1


async def test_a_date_or_nonsense_as_retry_after_is_no_number() -> None:
    for stated in ("Wed, 21 Oct 2026 07:28:00 GMT", "soon", "-5", ""):
        async with serve(slow_down(stated)) as url:
            with pytest.raises(Throttled) as fault:
                await ask(url)
        assert fault.value.wait_s is None


async def test_all_attempts_together_have_one_time_limit() -> None:
    async with serve(Counter(slow_down("4"))) as url:
        with pytest.raises(TooMuchAsked, match="no whole answer"):
            await ask(url, timeout_s=0.2)


def blocks(calls: Any) -> list[dict[str, Any]]:
    """Answers to a batch: each names the block that was asked for."""
    return [{"jsonrpc": "2.0", "id": call["id"], "result": {"number": call["params"][0]}} for call in calls]


def read_blocks(body: bytes) -> list[Answer[Any]]:
    return msgspec.json.decode(body, type=list[Answer[Any]])


async def batch(url: str, numbers: range) -> list[Any]:
    provider = GuardedProvider(url, pause_s=0.001)
    try:
        return await provider.fetch_all("eth_getBlockByNumber", [(hex(number), False) for number in numbers], read_blocks)
    finally:
        await provider.disconnect()


def answering(change: Callable[[list[dict[str, Any]]], object]) -> Reply:
    async def reply(calls: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(http(json.dumps(change(blocks(calls))).encode()))

    return reply


async def test_a_batch_s_answers_may_come_in_any_order() -> None:
    async with serve(answering(lambda answers: answers[::-1])) as url:
        assert [block["number"] for block in await batch(url, range(1, 9))] == [hex(number) for number in range(1, 9)]


REFUSED: dict[str, Callable[[list[dict[str, Any]]], object]] = {
    "one error for all": lambda answers: [answers[0] | {"error": {"code": -32600, "message": "no batches"}}],
    "one too few": lambda answers: answers[:-1],
    "one too many": lambda answers: [*answers, answers[0]],
    "one twice": lambda answers: [*answers[:-1], answers[0]],
    "another's": lambda answers: [*answers[:-1], answers[-1] | {"id": 10**9}],
    "an id as text": lambda answers: [*answers[:-1], answers[-1] | {"id": str(answers[-1]["id"])}],
    "an id as truth": lambda answers: [*answers[:-1], answers[-1] | {"id": True}],
    "an id as list": lambda answers: [*answers[:-1], answers[-1] | {"id": []}],
    "nothing": lambda _: [],
}


@pytest.mark.parametrize("change", REFUSED.values(), ids=REFUSED)
async def test_a_batch_that_isn_t_answered_whole_asks_for_a_shorter_one(
    change: Callable[[list[dict[str, Any]]], object],
) -> None:
    async with serve(answering(change)) as url:
        with pytest.raises(TooMuchAsked):
            await batch(url, range(1, 9))


async def test_a_status_may_refuse_a_batch_too() -> None:
    async with serve(saying_to_all({}, status="413 Too Large")) as url:
        with pytest.raises(TooMuchAsked):
            await batch(url, range(1, 9))


async def test_one_question_of_a_batch_may_fail_for_a_reason_of_its_own() -> None:
    def change(answers: list[dict[str, Any]]) -> object:
        return [*answers[:-1], {"id": answers[-1]["id"], "error": {"code": -32000, "message": "pruned"}}]

    async with serve(answering(change)) as url:
        with pytest.raises(NodeFault, match="pruned") as fault:
            await batch(url, range(1, 9))
    assert not isinstance(fault.value, TooMuchAsked)


async def test_headers_come_through_where_batches_are_refused() -> None:
    chain = FakeChain(blocks=60)

    async def reply(call: Any, writer: asyncio.StreamWriter) -> None:
        if isinstance(call, list):
            writer.write(http(b'{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"no batches"}}'))
        else:
            await result(await chain.ask(call["method"], call["params"]))(call, writer)

    async with serve(reply) as url:
        node = connect(url)
        assert [header.number for header in await node.headers(range(50))] == list(range(50))
        await node.disconnect()


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
            await ask(url, LOGS)
    assert KEY not in str(fault.value)


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


def each(call: Any) -> list[dict[str, Any]]:
    return call if isinstance(call, list) else [call]


async def test_a_watcher_behind_a_broken_server_moves_nothing_and_goes_on(desk: Desk) -> None:
    ours = address("ours")
    await desk.know([USDC], [ours])
    chain = FakeChain(blocks=10)
    chain.mine(transfer(to=ours), blocks=6)
    broken: Reply | None = None

    async def reply(call: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        if broken is None:
            answers = [{"id": one["id"], "result": await chain.ask(one["method"], one["params"])} for one in each(call)]
            writer.write(http(json.dumps(answers if isinstance(call, list) else answers[0]).encode()))
        else:
            await broken(call, writer)

    async with serve(reply) as url:
        provider = GuardedProvider(url, pause_s=0.001)
        watcher = desk.watcher(provider, terms(start_block=5))
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
        await watcher.close()
        await provider.disconnect()
    assert (await desk.deposit()).status == "final"
