"""A chain in memory that forks, and its nodes, each of which may lag, fail or lie. Real watchers read them."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from eth_abi.abi import decode, encode
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.chain.lease import Lease
from gateway.chain.logs import ADDRESS_PADDING, TRANSFER
from gateway.chain.quorum import Quorum
from gateway.chain.rpc import Node
from gateway.chain.terms import ChainTerms, FinalizedTag
from gateway.chain.watcher import Watcher
from gateway.chain.watchlist import Watchlist
from gateway.chain.wire import Answer, NodeFault
from gateway.clock import Clock
from gateway.money import Asset
from gateway.simulation.faults import Dice

CHAIN_ID = 31337
USDC = Asset(f"USDC@{CHAIN_ID}", 6)
TOKEN = "0x" + "aa" * 20
SENDER = "0x" + "5e" * 20
TREASURY = "0x" + "7e" * 20
STOCK = 10**15
"""Units in the treasury from the beginning, for refunds."""
FINAL_AFTER = 8
"""Blocks on top of one that make it final."""
NODES = 3
QUORUM = 2
TERMS = ChainTerms(
    name="simulated",
    chain_id=CHAIN_ID,
    rpc=(),
    quorum=QUORUM,
    finality=FinalizedTag(),
    start_block=None,
    tokens={TOKEN: USDC},
    poll_s=1,
    native=Asset(f"ETH@{CHAIN_ID}", 18),
    treasury=TREASURY,
)

Block = dict[str, Any]


class Payment(NamedTuple):
    """A transaction that pays one address."""

    tx_hash: str
    address: str
    units: int
    sender: str


class Credit(NamedTuple):
    """A payment in its place in the chain."""

    tx_hash: str
    log_index: int
    block: int
    time: int
    address: str
    units: int
    sender: str


def word(text: str) -> str:
    """32 bytes made of a text, as hex."""
    return "0x" + hashlib.sha256(text.encode()).hexdigest()


@dataclass
class SimChain:
    """The chain itself. Blocks up to `final` never change."""

    dice: Dice
    blocks: list[Block] = field(default_factory=list)
    waiting: list[Payment] = field(default_factory=list)
    """Sent, and in no block."""
    final: int = 0
    ahead_s: int = 0
    """By how much its clock is ahead of the true time."""
    _number: int = 0
    _credits: list[Credit] = field(default_factory=list)
    _by_address: dict[str, list[Credit]] = field(default_factory=dict)
    _credited: int = -1

    @property
    def head(self) -> int:
        """The newest block's number."""
        return len(self.blocks) - 1

    def send(self, *, address: str, units: int, sender: str = SENDER) -> str:
        """A transfer to an address waits for its block. Its hash."""
        self._number += 1
        self.waiting.append(Payment(word(f"transaction {self._number}"), address, units, sender))
        return self.waiting[-1].tx_hash

    def mine(self, blocks: int, *, time: int) -> None:
        """Add blocks of that time; what waits goes into the first of them."""
        for _ in range(blocks):
            self._add(self.waiting, time)
            self.waiting = []
        self.final = max(self.final, self.head - FINAL_AFTER)

    def fork(self, *, time: int) -> int:
        """Replace the newest blocks by at least as many. Most of their transactions are mined again. Gives the depth."""
        depth = min(self.dice.between(1, FINAL_AFTER - 1), self.head - self.final)
        gone = self.blocks[len(self.blocks) - depth :]
        del self.blocks[len(self.blocks) - depth :]
        thrown = [payment for block in gone for payment in block["payments"]]
        kept = []
        for payment in thrown:
            if payment.sender == SENDER and self.dice.happens("deposit_dropped"):
                # The sender pays again after a while: another transaction.
                self.send(address=payment.address, units=payment.units)
            else:
                kept.append(payment)
        first = self.dice.between(0, len(kept))
        late, self.waiting = self.waiting, kept[first:]
        self._add(kept[:first], time)
        self.mine(max(depth - 1, 0) + self.dice.between(1, 2), time=time)
        self.waiting = late
        return depth

    def credits(self) -> list[Credit]:
        """The payments in final blocks, in their order."""
        for number in range(self._credited + 1, self.final + 1):
            block = self.blocks[number]
            time = int(block["timestamp"], 16)
            for index, (tx_hash, address, units, sender) in enumerate(block["payments"]):
                credit = Credit(tx_hash, index, number, time, address, units, sender)
                self._credits.append(credit)
                self._by_address.setdefault(address, []).append(credit)
        self._credited = max(self._credited, self.final)
        return self._credits

    def credits_of(self, address: str) -> Sequence[Credit]:
        """Those to one address."""
        self.credits()
        return self._by_address.get(address, ())

    def _add(self, payments: Sequence[Payment], time: int) -> None:
        number = len(self.blocks)
        self._number += 1
        time += self.ahead_s
        if self.blocks:  # its time never goes back
            time = max(time, int(self.blocks[-1]["timestamp"], 16))
        parent = self.blocks[-1]["hash"] if self.blocks else "0x" + "0" * 64
        block = {"number": hex(number), "hash": word(f"block {self._number}"), "parentHash": parent, "timestamp": hex(time)}
        place = {"blockNumber": block["number"], "blockHash": block["hash"], "removed": False, "address": TOKEN}
        logs = [
            {
                "topics": [TRANSFER, ADDRESS_PADDING + payment.sender[2:], ADDRESS_PADDING + payment.address[2:]],
                "data": f"0x{payment.units:064x}",
                "transactionHash": payment.tx_hash,
                "logIndex": hex(index),
                **place,
            }
            for index, payment in enumerate(payments)
        ]
        self.blocks.append({**block, "logs": logs, "payments": list(payments)})


class SimNode:
    """One node of the chain, a `gateway.chain.rpc.Transport`. How it behaves is set before each look at it."""

    def __init__(self, chain: SimChain) -> None:
        self._chain = chain
        self.down = False
        self.lag = 0
        self.lies = False

    async def ask(self, method: str, params: Sequence[object]) -> object:
        """The answer as a node's JSON has it."""
        if self.down:
            raise NodeFault("the connection was refused")
        return json.loads(json.dumps(self._answer(method, params)))

    async def fetch(self, method: str, params: Sequence[object], read: Callable[[bytes], Answer[Any]]) -> tuple[Any, int]:
        """One answer, read by the caller."""
        if self.down:
            raise NodeFault("the connection was refused")
        body = json.dumps({"jsonrpc": "2.0", "id": 0, "result": self._answer(method, params)}).encode()
        return read(body).result, len(body)

    async def fetch_all(
        self, method: str, each: Sequence[Sequence[object]], read: Callable[[bytes], Sequence[Answer[Any]]]
    ) -> list[Any]:
        """A batch."""
        if self.down:
            raise NodeFault("the connection was refused")
        results = [{"id": 0, "result": self._answer(method, params)} for params in each]
        return [answer.result for answer in read(json.dumps(results).encode())]

    async def disconnect(self) -> None:
        """Nothing to close."""

    def _answer(self, method: str, params: Sequence[Any]) -> object:
        if method == "eth_chainId":
            return hex(CHAIN_ID)
        if method == "eth_getLogs":
            return self._logs(params[0])
        if method == "eth_getBalance":
            return "0x0"
        if method == "eth_call":
            return self._balances(bytes.fromhex(params[0]["data"][2:]), block=int(params[1], 16))
        which = params[0]
        head = max(self._chain.head - self.lag, 0)
        tags = {"finalized": min(self._chain.final, head), "latest": head}
        number = tags[which] if which in tags else int(which, 16)
        return _header(self._chain.blocks[number]) if number <= head else None

    def _balances(self, program: bytes, *, block: int) -> str:
        """What `gateway.treasury.holdings` asks: a token's balances of many holders at the end of a block."""
        arguments = program[program.rindex(bytes(12) + bytes.fromhex(TOKEN[2:])) :]
        _, questions = decode(["address", "bytes[]"], arguments)
        held: Counter[str] = Counter()
        for credit in self._chain.credits():
            if credit.block <= block:
                held[credit.address] += credit.units
                held[credit.sender] -= credit.units
        units = [held["0x" + question[-20:].hex()] for question in questions]
        return "0x" + encode(["bool[]", "uint256[]", "bytes32"], [[True] * len(units), units, bytes(32)]).hex()

    def _logs(self, wanted: dict[str, Any]) -> list[dict[str, Any]]:
        blocks = self._chain.blocks[: max(self._chain.head - self.lag, 0) + 1]
        if "blockHash" in wanted:
            found = [block for block in reversed(blocks) if block["hash"] == wanted["blockHash"]]
            if not found:
                raise NodeFault("unknown block")
        else:
            found = blocks[int(wanted["fromBlock"], 16) : int(wanted["toBlock"], 16) + 1]
        filters = [(place, frozenset(topic)) for place, topic in enumerate(wanted["topics"]) if isinstance(topic, list)]
        logs = [log for block in found for log in block["logs"] if all(log["topics"][n] in some for n, some in filters)]
        # The liar leaves every other transfer out.
        return logs[::2] if self.lies else logs


def _header(block: Block) -> Block:
    return {key: block[key] for key in ("number", "hash", "parentHash", "timestamp")}


class Lookout:
    """A process's watch of the chain: its lease and its watcher, as the worker's loop has them."""

    def __init__(self, *, nodes: Sequence[SimNode], engine: AsyncEngine, clock: Clock) -> None:
        self._lease = Lease(engine=engine, chain_id=CHAIN_ID, clock=clock)
        named = [Node(node, name=f"node {place}") for place, node in enumerate(nodes)]
        self._quorum = Quorum(nodes=named, quorum=QUORUM)
        self._watcher = Watcher(terms=TERMS, quorum=self._quorum, engine=engine, clock=clock, watched=Watchlist(engine))

    async def step(self) -> int:
        """1 if another step is due at once. Raises `NodeFault`."""
        if not await self._lease.held():
            return 0
        return int((await self._watcher.step()).more)

    async def close(self) -> None:
        """End what is under way."""
        await self._watcher.close()
        await self._quorum.close()
