"""What addresses hold of tokens and of the native coin, by the word of a quorum."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from gateway.chain.accounts import WEI_MOST, Sight
from gateway.chain.forwarders import NO_ADDRESS
from gateway.chain.gas import would_fail
from gateway.chain.quorum import Quorum
from gateway.chain.rpc import Node
from gateway.chain.sweep import Holding
from gateway.chain.wire import NodeFault, data, quantity

BALANCE_OF = "0x70a08231"
"""Selector of `balanceOf(address)`."""
TOGETHER = 16
"""Balances asked for at once."""
_WORD = 32


async def with_balances(quorum: Quorum, holdings: Sequence[Holding], *, sight: Sight) -> list[Holding]:
    """The same with what they hold at the block of `sight`. Raises `NoQuorum`.

    Not at the final block: ordinary nodes keep the states of the last hundred blocks only, and on some chains the final one
    is older. What isn't final yet is swept along, but counts for nothing: only what is booked does.
    """
    found: list[Holding] = []
    for start in range(0, len(holdings), TOGETHER):
        some = holdings[start : start + TOGETHER]

        async def at(node: Node, some: Sequence[Holding] = some) -> list[int]:
            return list(await asyncio.gather(*(_balance(node, holding, sight) for holding in some)))

        amounts = await quorum.agreed(at)
        found += [replace(holding, held=amount) for holding, amount in zip(some, amounts, strict=True)]
    return found


async def _balance(node: Node, holding: Holding, sight: Sight) -> int:
    block = hex(sight.number)
    if holding.token == NO_ADDRESS:
        return quantity(await node.ask("eth_getBalance", (holding.address, block)), "a balance", most=WEI_MOST)
    question = BALANCE_OF + holding.address[2:].rjust(2 * _WORD, "0")
    try:
        answer = data(await node.ask("eth_call", ({"to": holding.token, "data": question}, block)), "a balance")
    except NodeFault as fault:
        if not would_fail(fault):
            raise
        # It has no balance for anybody, so one bad token hinders no other.
        return 0
    # Where there is no contract the answer is empty.
    return int.from_bytes(answer[:_WORD])
