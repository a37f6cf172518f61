"""Questions to one node. web3 carries them; its formatting of answers isn't used, for it costs fifty times the call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

import msgspec

from gateway.chain.logs import TRANSFER, Found, Log, find_transfers, log_decoder, read_logs
from gateway.chain.terms import Depth, Finality
from gateway.chain.watchlist import Watchlist
from gateway.chain.wire import Answer, Block, Header, NodeFault, TooMuchAsked, data, header, quantity, shown

T = TypeVar("T")
Asked = TypeVar("Asked")

CONCURRENT = 8
"""Batches on their way at once."""
BATCH_MOST = 48
"""Questions in one of them; providers that take no batches, or shorter ones only, get shorter ones from then on."""
BATCH_SHRINKS = 4


class Transport(Protocol):
    """Carries JSON-RPC calls to one node. All methods raise `NodeFault`, or `TooMuchAsked` if less could be answered."""

    async def ask(self, method: str, params: Sequence[object]) -> object:
        """The `result` of one call, whatever that is."""

    async def fetch(self, method: str, params: Sequence[object], read: Callable[[bytes], Answer[T]]) -> tuple[T, int]:
        """The same with a reader of the caller's, and the answer's length in bytes."""

    async def fetch_all(
        self, method: str, each: Sequence[Sequence[object]], read: Callable[[bytes], Sequence[Answer[T]]]
    ) -> list[T]:
        """Several calls in one batch, the answers in their order. `TooMuchAsked`: the node takes no batch of this length."""

    async def disconnect(self) -> None:
        """Close the connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Final:
    """Up to where a chain can't change any more, by one node's word."""

    number: int
    header: Header | None
    """The block itself, where the node named it; a depth only counts."""


class Node:
    """One node, asked strictly. Every method raises `NodeFault` if there is no answer or it can't be right."""

    def __init__(self, transport: Transport, *, name: str = "node") -> None:
        self._transport = transport
        self._batch: dict[str, int] = {}
        """How many questions with a method it takes at once, if fewer than `BATCH_MOST`."""
        self.name = name
        """Who answers, without the URL, which may carry a key."""

    async def ask(self, method: str, params: Sequence[object]) -> object:
        """One call's answer, unread. Raises `NodeFault`."""
        return await self._transport.ask(method, params)

    async def check_chain_id(self, expected: int) -> None:
        """Raise `NodeFault` unless the node serves the chain with this id."""
        found = quantity(await self._transport.ask("eth_chainId", ()), "the chain id")
        if found != expected:
            raise NodeFault(f"the node serves the chain with id {found}, not {expected}")

    async def ends(self, finality: Finality) -> tuple[Header, Final]:
        """The newest block, and the newest final one."""
        if isinstance(finality, Depth):
            head = await self._tagged("latest")
            return head, Final(number=max(head.number - finality.blocks, 0), header=None)
        head, final = await _all((self._tagged("latest"), self._tagged("finalized")))
        if head.number < final.number:
            # Where a block is final at once, a new one may come between the two answers.
            head = await self._tagged("latest")
        if head.number < final.number:
            raise NodeFault(f"the node calls block {final.number} final, but its newest is {head.number}")
        return head, Final(number=final.number, header=final)

    async def header(self, number: int) -> Header:
        """The block at `number` in the chain that the node now believes in."""
        block, _ = await self._transport.fetch("eth_getBlockByNumber", (hex(number), False), _read_block)
        return _header(block, number)

    async def headers(self, numbers: Iterable[int]) -> list[Header]:
        """The blocks at `numbers`, in that order: in batches where the node takes them, a few at a time."""
        return await self._in_batches("eth_getBlockByNumber", list(numbers), one=self.header, many=self._headers)

    async def transfers(
        self,
        where: Mapping[str, object],
        *,
        tokens: Collection[str],
        watched: Watchlist,
        topics: Sequence[str] | None = None,
    ) -> Found:
        """The transfers of `tokens` to watched addresses; and what else the answer names, checked alike.

        `where` is {"fromBlock", "toBlock"} or {"blockHash"} of an `eth_getLogs` filter. With `topics`, from
        `watched.topics()`, only transfers to these are asked for. Raises `TooMuchAsked` if a narrower range could succeed.
        """
        wanted: list[object] = [TRANSFER] if topics is None else [TRANSFER, None, list(topics)]
        filtered = {"address": sorted(tokens), "topics": wanted, **where}
        read = partial(read_logs, decoder=log_decoder(frozenset(tokens)))
        logs, size = await self._transport.fetch("eth_getLogs", (filtered,), read)
        only = None if topics is None else frozenset(topics)
        return find_transfers(logs, where=where, ours=watched.topics(), size=size, only=only)

    async def transfers_of_blocks(
        self,
        hashes: Sequence[str],
        *,
        tokens: Collection[str],
        watched: Watchlist,
        topics: Sequence[str] | None = None,
    ) -> list[Found]:
        """The same of each of these blocks, asked for by hash, in batches where the node takes them.

        EIP-234: a node without the block gives an error, never []. (Old ones did: reth #7371, Besu #8007.)
        """

        async def one(block: str) -> Found:
            return await self.transfers({"blockHash": block}, tokens=tokens, watched=watched, topics=topics)

        async def many(blocks: Sequence[str]) -> list[Found]:
            wanted: list[object] = [TRANSFER] if topics is None else [TRANSFER, None, list(topics)]
            filtered = {"address": sorted(tokens), "topics": wanted}
            sizes: list[int] = []

            def read(body: bytes) -> Sequence[Answer[list[Log]]]:
                sizes.append(len(body) // len(blocks))
                return _read_each(body, partial(read_logs, decoder=log_decoder(frozenset(tokens))))

            each = [({**filtered, "blockHash": block},) for block in blocks]
            answers = await self._transport.fetch_all("eth_getLogs", each, read)
            ours, only = watched.topics(), None if topics is None else frozenset(topics)
            return [
                find_transfers(logs, where={"blockHash": block}, ours=ours, size=sizes[-1], only=only)
                for block, logs in zip(blocks, answers, strict=True)
            ]

        return await self._in_batches("eth_getLogs", hashes, one=one, many=many)

    async def code(self, address: str) -> bytes:
        """The code of the contract at `address`; empty: there is none."""
        return data(await self._transport.ask("eth_getCode", (address, "latest")), f"the code at {address}")

    async def call(self, *, to: str, selector: str) -> bytes:
        """What a view function without arguments returns. `selector`: its first four bytes of keccak, in hex."""
        answer = await self._transport.ask("eth_call", ({"to": to, "data": selector}, "latest"))
        return data(answer, f"the answer of {to} to {selector}")

    async def disconnect(self) -> None:
        """Close the connection."""
        await self._transport.disconnect()

    async def _in_batches(
        self,
        method: str,
        asked: Sequence[Asked],
        *,
        one: Callable[[Asked], Awaitable[T]],
        many: Callable[[Sequence[Asked]], Awaitable[list[T]]],
    ) -> list[T]:
        """The answers in order. Batches that are too long for the node are made shorter, down to single questions."""
        gate = asyncio.Semaphore(CONCURRENT)

        async def some(part: Sequence[Asked]) -> list[T]:
            async with gate:
                return [await one(part[0])] if len(part) == 1 else await many(part)

        while True:
            batch = self._batch.get(method, BATCH_MOST)
            parts = [asked[at : at + batch] for at in range(0, len(asked), batch)]
            try:
                return [answer for part in await _all(map(some, parts)) for answer in part]
            except TooMuchAsked:
                longest = min(batch, len(asked))
                if longest == 1:
                    raise
                self._batch[method] = max(longest // BATCH_SHRINKS, 1)

    async def _headers(self, numbers: Sequence[int]) -> list[Header]:
        each = [(hex(number), False) for number in numbers]
        blocks = await self._transport.fetch_all("eth_getBlockByNumber", each, _read_blocks)
        return [_header(block, number) for block, number in zip(blocks, numbers, strict=True)]

    async def _tagged(self, tag: str) -> Header:
        block, _ = await self._transport.fetch("eth_getBlockByNumber", (tag, False), _read_block)
        if block is None:
            raise NodeFault(f"the node knows no {tag} block")
        return header(block)


def connect(url: str) -> Node:
    """The node at `url`. Connects at the first question; call `disconnect` at the end."""
    from gateway.chain.provider import GuardedProvider  # noqa: PLC0415 - web3 takes more than a second to import

    return Node(GuardedProvider(url), name=operator_of(url))


def operator_of(url: str) -> str:
    """Who runs the node at `url`: its host and port. Two URLs of one host are one operator's word."""
    return urlsplit(url).netloc.rpartition("@")[2].lower()


_BLOCK = msgspec.json.Decoder(Answer[Block | None])
_BLOCKS = msgspec.json.Decoder(list[Answer[Block | None]] | Answer[Block | None])


_PARTS = msgspec.json.Decoder(list[msgspec.Raw])


def _read_each(body: bytes, read: Callable[[bytes], Answer[T]]) -> Sequence[Answer[T]]:
    """A batch's answers, each read for itself; what is no list may be one error for all of them."""
    try:
        parts = _PARTS.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return [read(body)]
    return [read(bytes(part)) for part in parts]


def _read_block(body: bytes) -> Answer[Block | None]:
    return _decoded(_BLOCK, body)


def _read_blocks(body: bytes) -> Sequence[Answer[Block | None]]:
    answers = _decoded(_BLOCKS, body)
    return answers if isinstance(answers, list) else [answers]


def _decoded(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise NodeFault(f"a block should be an object, the node gives something else: {shown(str(error))}") from None


def _header(block: Block | None, number: int) -> Header:
    if block is None:
        raise NodeFault(f"the node doesn't have block {number}")
    return header(block, number=number)


async def _all(questions: Iterable[Any]) -> list[Any]:
    """All answers, or the first fault; then nothing is left running."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(question) for question in questions]
    except ExceptionGroup as faults:
        first = faults.exceptions[0]
    else:
        return [task.result() for task in tasks]
    raise first
