"""Our account as enough nodes see it alike, all at one block: nonce and balance, and what became of transactions there.

Nodes are never equally far, so they are asked about the newest block that enough of them have. What they answer about that
block can be compared, and belongs together: a nonce that is used at a block, and no receipt up to it, prove something.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from gateway.chain.quorum import NoQuorum, Quorum
from gateway.chain.rpc import Node
from gateway.chain.wire import NodeFault, data, hash32, header, quantity, shown

T = TypeVar("T")

WEI_MOST = 2**256 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """The newest block that enough nodes have, and an account of ours there."""

    number: int
    hash: str
    base_fee: int | None
    """Wei per gas that burn (EIP-1559); None: the chain has legacy gas prices only."""
    final: int
    """Up to which number nothing can change any more, by the word of enough nodes."""
    nonce: int
    """How many transactions the account has in the chain: the nonce of its next one."""
    balance: int
    """Wei."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """An event in a receipt. Hex in lower case."""

    address: str
    topics: tuple[str, ...]
    data: bytes
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A transaction in a block."""

    hash: str
    block_number: int
    block_hash: str
    succeeded: bool
    """False: it reverted, and nothing of it remains but the fee."""
    fee: int
    """Wei paid in all: gas at its effective price, and what an OP-stack chain took for L1 (`l1Fee`)."""
    logs: tuple[Log, ...]


async def look(quorum: Quorum, *, address: str, beyond: int = 0) -> Sight:
    """Where the chain and our account stand; a block after number `beyond` if there is one. Raises `NoQuorum`."""
    ends = await quorum.ends(beyond=beyond)
    number = ends.head

    async def at(node: Node) -> Sight:
        block = await node.ask("eth_getBlockByNumber", (hex(number), False))
        place = header(block, number=number)
        nonce, balance = await asyncio.gather(
            node.ask("eth_getTransactionCount", (address, hex(number))), node.ask("eth_getBalance", (address, hex(number)))
        )
        await _same(node, number=number, block_hash=place.hash)
        return Sight(
            number=number,
            hash=place.hash,
            base_fee=_base_fee(block),
            final=ends.final,
            nonce=quantity(nonce, "the number of our transactions"),
            balance=quantity(balance, "our balance", most=WEI_MOST),
        )

    return await quorum.agreed(at)


async def read_receipts(quorum: Quorum, *, hashes: Sequence[str], sight: Sight) -> list[Receipt | None]:
    """The receipts of transactions as of the block of `sight`; None: it is in no block up to there. Raises `NoQuorum`."""

    async def at(node: Node) -> tuple[Receipt | None, ...]:
        given = [await node.ask("eth_getTransactionReceipt", (tx_hash,)) for tx_hash in hashes]
        # After the receipts: a node that doesn't have the block hasn't looked at all of it.
        await _same(node, number=sight.number, block_hash=sight.hash)
        found = [_receipt(answer, tx_hash) for answer, tx_hash in zip(given, hashes, strict=True)]
        return tuple(one if one is not None and one.block_number <= sight.number else None for one in found)

    return list(await quorum.agreed(at))


async def most_pending(quorum: Quorum, *, address: str) -> int:
    """How many transactions of the account enough nodes know, those without a block included. Raises `NoQuorum`.

    The highest number that a quorum has reached: nodes hear of transactions at different times, and one may lie.
    """

    async def pending(node: Node) -> int:
        return quantity(await node.ask("eth_getTransactionCount", (address, "pending")), "pending transactions")

    known = sorted(await answers(quorum, pending), reverse=True)
    if len(known) < quorum.quorum:
        raise NoQuorum(f"{len(known)} of the {quorum.quorum} nodes needed tell the account's pending transactions")
    return known[quorum.quorum - 1]


async def answers(quorum: Quorum, question: Callable[[Node], Awaitable[T]]) -> list[T]:
    """What those nodes say that answer at all, alike or not."""
    given = await asyncio.gather(*(question(node) for node in quorum.nodes), return_exceptions=True)
    good: list[T] = []
    for answer in given:
        if not isinstance(answer, BaseException):
            good.append(answer)
        elif not isinstance(answer, NodeFault):
            raise answer
    return good


async def _same(node: Node, *, number: int, block_hash: str) -> None:
    if (await node.header(number)).hash != block_hash:
        raise NodeFault(f"the node has another block {number} now than before")


def _base_fee(block: object) -> int | None:
    assert isinstance(block, Mapping)
    stated = block.get("baseFeePerGas")
    return None if stated is None else quantity(stated, "the base fee", most=WEI_MOST)


def _receipt(answer: object, tx_hash: str) -> Receipt | None:
    if answer is None:
        return None
    if not isinstance(answer, Mapping) or not isinstance(answer.get("logs"), list):
        raise NodeFault(f"a receipt should be an object with logs, the node says {shown(answer)}")
    if hash32(answer.get("transactionHash"), "a receipt's transaction") != tx_hash:
        raise NodeFault(f"asked for the receipt of {tx_hash}, the node gives another's")
    gas = quantity(answer.get("gasUsed"), "the gas used")
    price = quantity(answer.get("effectiveGasPrice"), "the gas price paid", most=WEI_MOST)
    l1_fee = answer.get("l1Fee")
    return Receipt(
        hash=tx_hash,
        block_number=quantity(answer.get("blockNumber"), "a receipt's block number"),
        block_hash=hash32(answer.get("blockHash"), "a receipt's block"),
        succeeded=quantity(answer.get("status"), "a receipt's status", most=1) == 1,
        fee=gas * price + (0 if l1_fee is None else quantity(l1_fee, "the fee for L1", most=WEI_MOST)),
        logs=tuple(_log(log, tx_hash) for log in answer["logs"]),
    )


def _log(log: object, tx_hash: str) -> Log:
    if not isinstance(log, Mapping) or not isinstance(log.get("topics"), list) or not isinstance(log.get("address"), str):
        raise NodeFault(f"a log of {tx_hash} should be an object, the node says {shown(log)}")
    return Log(
        address=log["address"].lower(),
        topics=tuple(hash32(topic, "a log's topic") for topic in log["topics"]),
        data=data(log.get("data"), "a log's data"),
        index=quantity(log.get("logIndex"), "a log's index", most=2**31 - 1),
    )
