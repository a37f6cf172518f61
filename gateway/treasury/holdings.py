"""What many addresses hold at one block, by the word of a quorum: a few hundred balances of a token with each question."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError

from gateway.chain.accounts import WEI_MOST
from gateway.chain.forwarders import NO_ADDRESS
from gateway.chain.quorum import Quorum
from gateway.chain.rpc import Node
from gateway.chain.wire import NodeFault, data, quantity

TOGETHER = 200
"""Balances asked for with one call: the program that asks may have 49,152 bytes with its questions (EIP-3860)."""
CONCURRENT = 8
"""Native balances asked for at once."""
_BALANCE_OF = bytes.fromhex("70a08231") + bytes(12)


async def read_holdings(quorum: Quorum, *, token: str, holders: Sequence[str], block: int) -> list[int]:
    """Units of a token (`NO_ADDRESS`: of the native coin) at each address at the end of `block`, in the order of `holders`.

    Raises `NodeFault` if too few providers say the same, which they do for a block whose state they don't keep any more.
    """
    found: list[int] = []
    for start in range(0, len(holders), TOGETHER):
        some = tuple(holders[start : start + TOGETHER])

        async def question(node: Node, some: Sequence[str] = some) -> list[int]:
            ask = _natives if token == NO_ADDRESS else _tokens
            return await ask(node, token, some, block)

        found += await quorum.agreed(question)
    return found


async def _tokens(node: Node, token: str, holders: Sequence[str], block: int) -> list[int]:
    questions = [_BALANCE_OF + bytes.fromhex(holder[2:]) for holder in holders]
    program = _program() + encode(["address", "bytes[]"], [token, questions])
    answer = data(await node.ask("eth_call", ({"data": "0x" + program.hex()}, hex(block))), f"balances of {token}")
    try:
        answered, words, _ = decode(["bool[]", "uint256[]", "bytes32"], answer)
    except DecodingError:
        raise NodeFault(f"balances of {token} can't be read: the node gives {len(answer)} bytes") from None
    if not len(answered) == len(words) == len(holders):
        raise NodeFault(f"asked for {len(holders)} balances of {token}, the node gives {len(words)}")
    if not all(answered):
        raise NodeFault(f"the contract {token} doesn't tell balances at block {block}")
    return [int(word) for word in words]


async def _natives(node: Node, _token: str, holders: Sequence[str], block: int) -> list[int]:
    gate = asyncio.Semaphore(CONCURRENT)

    async def one(holder: str) -> int:
        async with gate:
            return quantity(await node.ask("eth_getBalance", (holder, hex(block))), "a balance", most=WEI_MOST)

    return list(await asyncio.gather(*map(one, holders)))


@cache
def _program() -> bytes:
    """The program that puts many questions to one contract and is never deployed: `contracts/TokenProbe.sol`."""
    artifact = json.loads(files("gateway.chain.contracts").joinpath("TokenProbe.json").read_bytes())
    return bytes.fromhex(artifact["contracts"]["TokenProbe"]["bytecode"].removeprefix("0x"))
