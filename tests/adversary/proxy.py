"""An adversarial JSON-RPC node: an honest one's answers, bent by rules. Real HTTP and websockets on real sockets.

`python -m tests.adversary.proxy --upstream URL --port N` prints its URL. Rules are set at `/_adversary`:
GET gives them and the calls so far, PUT replaces them (a JSON list of {lie, method, arguments, skip, every, times}),
DELETE makes the node honest again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from functools import partial
from http import HTTPStatus
from random import Random
from typing import Any

from aiohttp import WSMsgType, web

from tests.adversary import bytes_and_envelopes, providers, results, views
from tests.adversary.exchange import Ask, Call, Forward, Reply, RpcError, Rule, Wire
from tests.adversary.upstream import HttpUpstream

LIES = results.LIES | bytes_and_envelopes.LIES | views.LIES | providers.LIES
CONTROL = "/_adversary"
CHUNK = b"0" * 2**20
HEADS_EVERY_S = 0.02
CALLS_KEPT = 10_000


class RawAnswer(web.StreamResponse):
    """An answer written to the socket byte by byte, so that nothing puts it right."""

    def __init__(self, body: bytes, wire: Wire) -> None:
        super().__init__()
        self._raw_body = body
        self._wire = wire

    async def prepare(self, request: web.BaseRequest) -> None:
        self._keep_alive = self._wire.end == "keep"
        transport = request.transport
        if transport is None:
            return
        await asyncio.sleep(self._wire.wait_s)
        transport.write(self._head())
        with suppress(ConnectionError):
            await self._send(transport)
        await self._finish(transport)

    async def write_eof(self, data: bytes = b"") -> None:
        """All is written by `prepare`."""

    def _head(self) -> bytes:
        wire = self._wire
        length = wire.length if wire.length is not None else len(self._raw_body) + wire.flood
        headers = {"Content-Type": "application/json", "Content-Length": str(length), **wire.headers}
        lines = [f"{name}: {value}" for name, value in headers.items()]
        reason = HTTPStatus(wire.status).phrase if wire.status in set(HTTPStatus) else "Strange"
        return "\r\n".join([f"HTTP/1.1 {wire.status} {reason}", *lines, "", ""]).encode()

    async def _send(self, transport: asyncio.Transport) -> None:
        wire = self._wire
        body = self._raw_body if wire.cut_at is None else self._raw_body[: wire.cut_at]
        if wire.drip_s:
            for place in range(len(body)):
                transport.write(body[place : place + 1])
                await asyncio.sleep(wire.drip_s)
            return
        transport.write(body)
        sent = 0
        while sent < wire.flood and not transport.is_closing():
            transport.write(CHUNK)
            sent += len(CHUNK)
            while transport.get_write_buffer_size() > len(CHUNK) and not transport.is_closing():
                await asyncio.sleep(0.001)

    async def _finish(self, transport: asyncio.Transport) -> None:
        end = self._wire.end
        if end == "half" and transport.can_write_eof():
            transport.write_eof()
        if end in ("half", "stall"):
            await asyncio.sleep(3_600)
        if end == "close":
            transport.close()
        if end == "reset":
            transport.abort()


class Proxy:
    """A node that lies by `rules`, to be changed at any time. `calls`: the methods asked, in order."""

    def __init__(self, upstream: Ask, *rules: Rule) -> None:
        self._upstream = upstream
        self.rules = list(rules)
        self.calls: deque[str] = deque(maxlen=CALLS_KEPT)
        self.unprepared: list[str] = []
        """Errors in the lies themselves, which a test should never meet."""
        self.batches: Rule | None = None
        """`lie`: reorder, omit, repeat, single or refuse; told to batches."""
        self._runner: web.ServerRunner | None = None
        self._subscribers: set[web.WebSocketResponse] = set()

    async def start(self, *, port: int = 0) -> None:
        self._runner = web.ServerRunner(web.Server(self._handle, access_log=None), shutdown_timeout=0.05)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        assert self._runner is not None
        await self.hang_up()
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/"

    @property
    def websocket_url(self) -> str:
        return f"ws://127.0.0.1:{self._port}/"

    @property
    def name(self) -> str:
        """What a gateway calls this node: host and port."""
        return f"127.0.0.1:{self._port}"

    def lie(self, lie: str, method: str = "*", **arguments: Any) -> Rule:
        """Add a rule and give it, for its counters."""
        rule = Rule(lie=lie, method=method, arguments=arguments)
        self.rules.append(rule)
        return rule

    def honest(self) -> None:
        """Forget all rules."""
        self.rules.clear()
        self.batches = None

    async def hang_up(self) -> None:
        """Close all websockets."""
        for socket in list(self._subscribers):
            await socket.close()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path == CONTROL:
            return await self._control(request)
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._socket(request)
        asked = json.loads(await request.read())
        reply = await self._batch(asked) if isinstance(asked, list) else await self._reply(asked)
        body = json.dumps(reply.answer).encode() if reply.wire.body is None else reply.wire.body
        return RawAnswer(body, reply.wire)

    async def _batch(self, calls: list[Call]) -> Reply:
        replies = [await self._reply(call) for call in calls]
        answers = [reply.answer for reply in replies]
        if self.batches is not None and self.batches.applies("batch"):
            if self.batches.lie == "reorder":
                Random(1).shuffle(answers)
            elif self.batches.lie == "omit":
                answers = answers[:-1]
            elif self.batches.lie == "repeat":
                answers = [answers[0]] * len(answers)
            elif self.batches.lie == "single":
                return Reply(answer=answers[0])
            elif self.batches.lie == "refuse":
                refusal = {"code": -32600, "message": "batch requests are not supported"}
                return Reply(answer={"jsonrpc": "2.0", "id": None, "error": refusal})
        bent = [reply.wire for reply in replies if reply.wire != Wire()]
        return Reply(answer=answers, wire=bent[0] if bent else Wire())

    async def _reply(self, call: Call) -> Reply:
        self.calls.append(call["method"])
        return await self._bent(call, self._forward)

    async def _bent(self, call: Call, forward: Forward) -> Reply:
        for rule in [rule for rule in self.rules if rule.applies(call["method"])]:
            forward = partial(LIES[rule.lie], forward, rule)
        try:
            return await forward(call)
        except RpcError as error:
            return Reply(answer={"jsonrpc": "2.0", "id": call.get("id"), "error": error.error})
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            self.unprepared.append(f"{call['method']}: {error!r}")
            raise

    async def _forward(self, call: Call) -> Reply:
        try:
            answer: dict[str, Any] = {"result": await self._upstream(call["method"], call.get("params", []))}
        except RpcError as error:
            answer = {"error": error.error}
        except Exception as error:  # noqa: BLE001 - a node in memory raises what it likes
            answer = {"error": {"code": -32000, "message": str(error)}}
        return Reply(answer={"jsonrpc": "2.0", "id": call.get("id"), **answer})

    async def _control(self, request: web.BaseRequest) -> web.Response:
        if request.method == "PUT":
            self.rules = [Rule(**each) for each in json.loads(await request.read())]
            unknown = {rule.lie for rule in self.rules} - LIES.keys()
            if unknown:
                self.rules = []
                return web.json_response({"unknown": sorted(unknown), "known": sorted(LIES)}, status=400)
        elif request.method == "DELETE":
            self.honest()
        shown = [{"lie": rule.lie, "method": rule.method, "seen": rule.seen, "told": rule.told} for rule in self.rules]
        return web.json_response({"rules": shown, "calls": list(self.calls)})

    async def _socket(self, request: web.BaseRequest) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        heads = None
        try:
            async for message in socket:
                if message.type is not WSMsgType.TEXT:
                    continue
                call = json.loads(message.data)
                if call["method"] == "eth_subscribe":
                    self.calls.append("eth_subscribe")
                    self._subscribers.add(socket)
                    await socket.send_json({"jsonrpc": "2.0", "id": call["id"], "result": "0x1"})
                    heads = asyncio.create_task(self._announce(socket))
                else:
                    await _send(socket, await self._reply(call))
        finally:
            self._subscribers.discard(socket)
            if heads is not None:
                heads.cancel()
                with suppress(asyncio.CancelledError, ConnectionError):
                    await heads
        return socket

    async def _announce(self, socket: web.WebSocketResponse) -> None:
        """Tell of each new head, until the connection ends. Rules for `newHeads` bend it."""
        last = None
        while not socket.closed:
            head = await self._upstream("eth_getBlockByNumber", ["latest", False])
            if head["hash"] != last:
                last = head["hash"]
                await _send(socket, await self._bent({"method": "newHeads", "params": [head], "id": 0}, _notice))
            await asyncio.sleep(HEADS_EVERY_S)


async def _notice(call: Call) -> Reply:
    return Reply(
        answer={
            "jsonrpc": "2.0",
            "method": "eth_subscription",
            "params": {"subscription": "0x1", "result": call["params"][0]},
        }
    )


async def _send(socket: web.WebSocketResponse, reply: Reply) -> None:
    await asyncio.sleep(reply.wire.wait_s)
    if reply.wire.end != "keep":
        await socket.close()
    elif reply.wire.body is not None:
        await socket.send_bytes(reply.wire.body)
    else:
        await socket.send_json(reply.answer)


@asynccontextmanager
async def serve(upstream: Ask, *rules: Rule) -> AsyncIterator[Proxy]:
    """A proxy on a free port."""
    proxy = Proxy(upstream, *rules)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.stop()


async def _run(*, upstream: str, port: int, rules: Iterable[Rule]) -> None:
    node = HttpUpstream(upstream)
    proxy = Proxy(node.ask, *rules)
    await proxy.start(port=port)
    print(proxy.url, flush=True)
    try:
        await asyncio.Event().wait()
    finally:
        await proxy.stop()
        await node.close()


def main() -> None:
    parser = argparse.ArgumentParser(description="A JSON-RPC node that lies by rule.")
    parser.add_argument("--upstream", required=True, help="URL of the honest node")
    parser.add_argument("--port", type=int, default=0, help="where to listen on 127.0.0.1; 0: a free port")
    parser.add_argument("--rules", default="[]", help="JSON list of rules to begin with")
    parsed = parser.parse_args()
    rules = [Rule(**each) for each in json.loads(parsed.rules)]
    with suppress(KeyboardInterrupt):
        asyncio.run(_run(upstream=parsed.upstream, port=parsed.port, rules=rules))


if __name__ == "__main__":
    main()
