"""A node in memory, whose chain and whose lies a test writes. A `Transport` of the watcher."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

from gateway.chain.logs import TRANSFER
from gateway.chain.quorum import Quorum
from gateway.chain.rpc import Node, Transport
from gateway.chain.terms import ChainTerms, Checkpoint, Finality, FinalizedTag
from gateway.chain.wire import Answer, TooMuchAsked
from gateway.money import Asset

CHAIN_ID = 31337
USDC = Asset("USDC@31337", 6)
TOKEN = "0x" + "aa" * 20
SENDER = "0x" + "5e" * 20
START_TIME = 1_700_000_000
_numbers = count(1)


def word(text: object) -> str:
    """32 bytes made of anything."""
    return "0x" + hashlib.sha256(str(text).encode()).hexdigest()


def address(text: object) -> str:
    return "0x" + word(text)[-40:]


def topic(holder: str) -> str:
    return "0x" + "0" * 24 + holder[2:]


def transfer(
    *, to: str, units: int = 5_000_000, token: str = TOKEN, tx: str | None = None, **changes: Any
) -> dict[str, Any]:
    """A log, up to what its block adds."""
    return {
        "address": token,
        "topics": [TRANSFER, topic(SENDER), topic(to)],
        "data": f"0x{units:064x}",
        "transactionHash": tx or word(f"tx {next(_numbers)}"),
        "removed": False,
    } | changes


def quorum_of(*transports: Transport, quorum: int = 1) -> Quorum:
    """Nodes of operators a, b, c..."""
    return Quorum(nodes=[Node(transport, name=chr(ord("a") + n)) for n, transport in enumerate(transports)], quorum=quorum)


def terms(
    *,
    finality: Finality | None = None,
    start_block: int | None = None,
    rpc: tuple[str, ...] = (),
    heads: tuple[str, ...] = (),
    checkpoint: Checkpoint | None = None,
) -> ChainTerms:
    return ChainTerms(
        name="fake",
        chain_id=CHAIN_ID,
        rpc=rpc,
        heads=heads,
        checkpoint=checkpoint,
        finality=finality or FinalizedTag(),
        start_block=start_block,
        tokens={TOKEN: USDC},
        poll_s=1,
        native=Asset(f"ETH@{CHAIN_ID}", 18),
        treasury="0x" + "7e" * 20,
    )


class FakeChain:
    """`final_after` blocks on top make one final, unless `final` says otherwise."""

    def __init__(self, *, blocks: int = 1, final_after: int = 4) -> None:
        self.chain_id = CHAIN_ID
        self.blocks: list[dict[str, Any]] = []
        self.final_after = final_after
        self.final: int | None = None
        self.range_most: int | None = None
        self.calls: list[str] = []
        self.lies: dict[str, Callable[[Any], object]] = {}
        """Per method: what becomes of its answer."""
        self.before: Callable[[str], None] = lambda _method: None
        """Called with the method before each answer is made; once for a batch, which is one moment of the node."""
        self.mine(blocks=blocks)

    def twin(self) -> FakeChain:
        """Another node of the same chain: what is mined or undone at one is so at both."""
        other = FakeChain(final_after=self.final_after)
        other.blocks = self.blocks
        return other

    def fork(self, at: int) -> FakeChain:
        """A node whose chain has the same blocks up to number `at`, and goes its own way from there."""
        other = FakeChain(final_after=self.final_after)
        other.blocks = self.blocks[: at + 1]
        return other

    @property
    def head(self) -> int:
        return len(self.blocks) - 1

    def mine(self, *logs: dict[str, Any], blocks: int = 1) -> int:
        """Add blocks; `logs` go into the first one, whose number is returned."""
        for _ in range(blocks):
            self._add(logs)
            logs = ()
        return len(self.blocks) - blocks

    def reorg(self, depth: int) -> None:
        """Take the newest blocks away; mine others in their place."""
        del self.blocks[-depth:]

    def of(self, number: int) -> dict[str, Any]:
        return self.blocks[number]

    async def ask(self, method: str, params: Sequence[object]) -> object:
        self.calls.append(method)
        self.before(method)
        answer = json.loads(json.dumps(getattr(self, f"_{method}")(*params)))
        return self.lies[method](answer) if method in self.lies else answer

    async def fetch(self, method: str, params: Sequence[object], read: Callable[[bytes], Answer[Any]]) -> tuple[Any, int]:
        body = json.dumps({"jsonrpc": "2.0", "id": 0, "result": await self.ask(method, params)}).encode()
        return read(body).result, len(body)

    async def fetch_all(
        self, method: str, each: Sequence[Sequence[object]], read: Callable[[bytes], Sequence[Answer[Any]]]
    ) -> list[Any]:
        self.before(method)
        before, self.before = self.before, lambda _method: None
        try:
            results = [await self.ask(method, params) for params in each]
        finally:
            self.before = before
        return [answer.result for answer in read(json.dumps([{"id": 0, "result": result} for result in results]).encode())]

    async def disconnect(self) -> None:
        return None

    def _add(self, logs: Sequence[dict[str, Any]]) -> None:
        number = len(self.blocks)
        block = {"number": hex(number), "hash": word(f"block {next(_numbers)}"), "timestamp": hex(START_TIME + number)}
        block["parentHash"] = self.blocks[-1]["hash"] if self.blocks else "0x" + "0" * 64
        place = {"blockNumber": block["number"], "blockHash": block["hash"]}
        self.blocks.append(block | {"logs": [log | place | {"logIndex": hex(i)} for i, log in enumerate(logs)]})

    def _eth_chainId(self) -> str:  # noqa: N802 - the method's own name
        return hex(self.chain_id)

    def _eth_getBlockByNumber(self, which: str, _full: bool) -> object:  # noqa: N802, FBT001
        if which == "finalized":
            number = max(self.head - self.final_after, 0) if self.final is None else self.final
        else:
            number = self.head if which == "latest" else int(which, 16)
        return self.blocks[number] if number <= self.head else None

    def _eth_getBlockByHash(self, which: str, _full: bool) -> object:  # noqa: N802, FBT001
        return next((block for block in self.blocks if block["hash"] == which), None)

    def _eth_getLogs(self, wanted: dict[str, Any]) -> object:  # noqa: N802
        if "blockHash" in wanted:
            blocks = [block for block in self.blocks if block["hash"] == wanted["blockHash"]]
            if not blocks:
                raise TooMuchAsked("unknown block")
        else:
            first, last = int(wanted["fromBlock"], 16), int(wanted["toBlock"], 16)
            if self.range_most is not None and last - first + 1 > self.range_most:
                raise TooMuchAsked(f"eth_getLogs: at most {self.range_most} blocks")
            blocks = self.blocks[first : last + 1]
        return [
            log
            for block in blocks
            for log in block["logs"]
            if log["address"] in wanted["address"] and log["topics"][0] == wanted["topics"][0]
            if len(wanted["topics"]) == 1 or log["topics"][2] in wanted["topics"][2]
        ]
