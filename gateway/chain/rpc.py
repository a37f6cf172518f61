"""Questions to one node. web3 carries them; its formatting of answers isn't used, for it costs fifty times the call."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

from gateway.chain.terms import Depth, Finality
from gateway.chain.wire import Header, NodeFault, data, header, quantity, shown

CONCURRENT = 8
"""Headers asked for at once."""


class Transport(Protocol):
    """Carries one JSON-RPC call to one node and brings back its `result`, whatever that is."""

    async def ask(self, method: str, params: Sequence[object]) -> object:
        """The answer to one call. Raises `NodeFault`, or `TooMuchAsked` if less could be answered."""

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
        answer = await self._transport.ask("eth_getBlockByNumber", (hex(number), False))
        if answer is None:
            raise NodeFault(f"the node doesn't have block {number}")
        return header(answer, number=number)

    async def headers(self, numbers: Iterable[int]) -> list[Header]:
        """The blocks at `numbers`, in that order, a few at a time."""
        gate = asyncio.Semaphore(CONCURRENT)

        async def one(number: int) -> Header:
            async with gate:
                return await self.header(number)

        return await _all(map(one, numbers))

    async def logs(self, wanted: Mapping[str, object]) -> list[Any]:
        """Logs by an `eth_getLogs` filter, unread. Raises `TooMuchAsked` if a narrower filter could succeed."""
        answer = await self._transport.ask("eth_getLogs", (dict(wanted),))
        if not isinstance(answer, list):
            raise NodeFault(f"logs should be a list, the node says {shown(answer)}")
        return answer

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

    async def _tagged(self, tag: str) -> Header:
        answer = await self._transport.ask("eth_getBlockByNumber", (tag, False))
        if answer is None:
            raise NodeFault(f"the node knows no {tag} block")
        return header(answer)


def connect(url: str) -> Node:
    """The node at `url`. Connects at the first question; call `disconnect` at the end."""
    from gateway.chain.provider import GuardedProvider  # noqa: PLC0415 - web3 takes more than a second to import

    return Node(GuardedProvider(url), name=operator_of(url))


def operator_of(url: str) -> str:
    """Who runs the node at `url`: its host and port. Two URLs of one host are one operator's word."""
    return urlsplit(url).netloc.rpartition("@")[2].lower()


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
