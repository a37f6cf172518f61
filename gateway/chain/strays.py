"""Questions about coins that the watcher doesn't see: other contracts' transfers to addresses of ours, and the native coin.

Only final blocks are asked about, so nothing found here can vanish. Anybody may write a contract that claims to have sent us
something: a log is a claim of its contract, and who asks decides whose claims are believed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.chain.logs import LOG_INDEX_MOST, TRANSFER
from gateway.chain.quorum import Quorum
from gateway.chain.rpc import Node
from gateway.chain.wire import NodeFault, data, hash32, quantity, shown

ADDRESSES_MOST = 1_000
"""Recipients that one `eth_getLogs` names: what every provider still takes."""
CONCURRENT = 8
"""Balances asked for at once."""

BALANCE_OF = "0x70a08231"
"""Selector of `balanceOf(address)` (EIP-20)."""

_TOPICS = 3
"""A signature and two indexed addresses; an ERC-721 transfer has the token's id as a fourth."""
_WORD_BYTES = 32
_AMOUNT_MOST = 2**256 - 1


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Foreign:
    """One Transfer log of a contract that the watcher doesn't follow. Addresses and hashes in lower-case hex."""

    block_number: int
    log_index: int
    tx_hash: str
    token: str
    sender: str
    recipient: str
    units: int


async def foreign_transfers(
    quorum: Quorum, *, to: Sequence[str], first: int, last: int, without: Collection[str]
) -> tuple[Foreign, ...]:
    """What all contracts but those of `without` say they sent to the addresses `to`, in final blocks `first` to `last`.

    In the chain's order; at most `ADDRESSES_MOST` addresses. Logs that are no ERC-20 transfer are left out. Raises
    `NodeFault`, also where a smaller question could be answered.
    """
    if len(to) > ADDRESSES_MOST:
        raise ValueError(f"at most {ADDRESSES_MOST} addresses at once, not {len(to)}")
    topics = ["0x" + "0" * 24 + address[2:] for address in to]
    wanted = {"fromBlock": hex(first), "toBlock": hex(last), "topics": [TRANSFER, None, topics]}
    ours = frozenset(to)

    async def question(node: Node) -> tuple[str, tuple[Foreign, ...]]:
        logs = await node.ask("eth_getLogs", (wanted,))
        if not isinstance(logs, list):
            raise NodeFault(f"logs should be a list, the node says {shown(logs)}")
        # An empty answer of a node that doesn't have these blocks yet means nothing: its word on the last one is part of it.
        end = await node.header(last)
        return end.hash, read_foreign(logs, ours=ours, first=first, last=last, without=without)

    _, transfers = await quorum.agreed(question)
    return transfers


def read_foreign(
    logs: Iterable[Any], *, ours: Collection[str], first: int, last: int, without: Collection[str]
) -> tuple[Foreign, ...]:
    """The ERC-20 transfers among `logs`, without those of zero. What another contract writes can be any nonsense: skipped.

    Raises `NodeFault` for what only a node can get wrong: two logs in one place, a block outside of the range.
    """
    found: dict[tuple[int, int], Foreign] = {}
    for log in logs:
        transfer = _read(log)
        if transfer is None or transfer.token in without or transfer.recipient not in ours or not transfer.units:
            continue
        if not first <= transfer.block_number <= last:
            raise NodeFault(f"asked for logs of blocks {first} to {last}, the node gives one of {transfer.block_number}")
        place = (transfer.block_number, transfer.log_index)
        if found.setdefault(place, transfer) != transfer:
            raise NodeFault(f"the node gives two logs with index {transfer.log_index} in block {transfer.block_number}")
    return tuple(sorted(found.values()))


def _read(log: Any) -> Foreign | None:
    try:
        signature, sender, recipient = (data(topic, "a topic") for topic in log["topics"])
        amount = data(log["data"], "an amount")
        shaped = (
            signature == data(TRANSFER, "the signature")
            and len(sender) == len(recipient) == len(amount) == _WORD_BYTES
            and not any(sender[:12] + recipient[:12])
            and log.get("removed", False) is False
        )
        if not shaped:
            return None
        return Foreign(
            block_number=quantity(log["blockNumber"], "a block number"),
            log_index=quantity(log["logIndex"], "a log's index", most=LOG_INDEX_MOST),
            tx_hash=hash32(log["transactionHash"], "a transaction"),
            token="0x" + data(log["address"], "a contract").hex(),
            sender="0x" + sender[12:].hex(),
            recipient="0x" + recipient[12:].hex(),
            units=int.from_bytes(amount),
        )
    except (NodeFault, KeyError, TypeError, ValueError, AttributeError):
        return None


async def native_balances(quorum: Quorum, *, of: Sequence[str], block: int) -> Mapping[str, int]:
    """How much of the native coin each address had at the end of `block`, in its smallest unit. Raises `NodeFault`.

    Asks for the state at a block that is some time old: every provider serves that for a few hundred blocks at least.
    """
    return await _each(of, lambda address: _balance(quorum, address=address, block=block))


async def _balance(quorum: Quorum, *, address: str, block: int) -> int:
    async def question(node: Node) -> int:
        answer = await node.ask("eth_getBalance", (address, hex(block)))
        return quantity(answer, "a balance", most=_AMOUNT_MOST)

    return await quorum.agreed(question)


async def token_balances(quorum: Quorum, *, holder: str, tokens: Sequence[str], block: int) -> Mapping[str, int]:
    """How much of each token `holder` had at the end of `block`; 0 where there is no such contract. Raises `NodeFault`."""
    return await _each(tokens, lambda token: _token_balance(quorum, holder=holder, token=token, block=block))


async def _token_balance(quorum: Quorum, *, holder: str, token: str, block: int) -> int:
    call = {"to": token, "data": BALANCE_OF + "0" * 24 + holder[2:]}

    async def question(node: Node) -> int:
        answer = data(await node.ask("eth_call", (call, hex(block))), f"the balance at {token}")
        return int.from_bytes(answer) if len(answer) == _WORD_BYTES else 0

    return await quorum.agreed(question)


async def _each(keys: Sequence[str], ask: Any) -> dict[str, int]:
    gate = asyncio.Semaphore(CONCURRENT)

    async def one(key: str) -> int:
        async with gate:
            answer: int = await ask(key)
            return answer

    return dict(zip(keys, await asyncio.gather(*map(one, keys)), strict=True))
