"""A rail over HTTP that pays at once, as small as it can be, so that it is no limit: the other side of `http_payouts`.

    python -m tests.bench.http_rail        prints its port, serves until its standard input ends

POST /payouts {"id", "amount", "currency", "account"} answers {"id", "status": "paid", "reference", "amount"}; the same id
again answers the same. GET /payouts answers how many ids were paid.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import httptools
import uvloop


class Rail(asyncio.Protocol):
    """One connection. Requests come one after the other, so what is left of one is only its body so far."""

    def __init__(self, paid: dict[str, bytes]) -> None:
        self.paid = paid

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.parser = httptools.HttpRequestParser(self)
        self.body = b""

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        answer = self.pay() if self.body else b'{"paid":%d}' % len(self.paid)
        self.body = b""
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(answer)
        self.transport.write(head + answer)

    def pay(self) -> bytes:
        asked = json.loads(self.body)
        key = asked["id"]
        if key not in self.paid:
            said = {"id": key, "status": "paid", "reference": f"R{len(self.paid)}", "amount": asked["amount"]}
            self.paid[key] = json.dumps(said).encode()
        return self.paid[key]


async def serve() -> None:
    loop = asyncio.get_running_loop()
    paid: dict[str, bytes] = {}
    server = await loop.create_server(lambda: Rail(paid), "127.0.0.1", 0, backlog=1_024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    uvloop.run(serve())
