"""ERC-20 Transfer logs: checked all, decoded few.

EIP-20: Transfer(address indexed from, address indexed to, uint256 value). Three topics, 32 bytes of data; an ERC-721
transfer has the same signature and a fourth topic. Per log the checks are plain comparisons, so that a range with a
million foreign transfers stays cheap; only those to addresses of ours are decoded.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.chain.wire import Header, NodeFault, data, hash32, quantity, shown

TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
"""keccak-256 of "Transfer(address,address,uint256)"."""

LOG_INDEX_MOST = 2**31 - 1
"""What an INTEGER column holds."""

_WORD_LENGTH = 66
"""32 bytes in hex with 0x."""
_ADDRESS_AT = 26
"""Where the 20 bytes of an address begin in a topic."""
_ADDRESS_TOPIC = re.compile(r"0x0{24}[0-9a-f]{40}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """One Transfer log. Addresses and hashes in lower-case hex."""

    token: str
    sender: str
    recipient: str
    units: int
    block_number: int
    block_hash: str
    tx_hash: str
    log_index: int


def recipients(logs: Iterable[Any], *, tokens: Collection[str]) -> set[str]:
    """Whom the transfers went to. Raises `NodeFault` if a log isn't a transfer of one of `tokens`."""
    topics = set()
    for log in logs:
        try:
            signature, sender, recipient = log["topics"]
            wrong = (
                signature.lower() != TRANSFER
                or log["address"].lower() not in tokens
                or len(sender) != _WORD_LENGTH
                or len(log["data"]) != _WORD_LENGTH
                or log.get("removed", False) is not False
            )
            topics.add(recipient.lower())
        except (KeyError, TypeError, ValueError, AttributeError):
            wrong = True
        if wrong:
            raise NodeFault(f"asked for transfers of our tokens, the node gives {shown(log)}")
    return {_address(topic) for topic in topics}


def block_hashes(logs: Iterable[Any], *, first: int, last: int) -> dict[int, str]:
    """The hash of each block that `logs` name.

    Raises `NodeFault` if one isn't between `first` and `last`, or has two hashes: then the chain changed in the middle of
    the answer.
    """
    hashes: dict[int, str] = {}
    try:
        places = {(log["blockNumber"], log["blockHash"]) for log in logs}
    except (KeyError, TypeError):
        raise NodeFault("a log doesn't name its block") from None
    for stated_number, stated_hash in places:
        number, found = quantity(stated_number, "a log's block number"), hash32(stated_hash, "a log's block hash")
        if not first <= number <= last:
            raise NodeFault(f"asked for logs of blocks {first} to {last}, the node gives one of block {number}")
        if hashes.setdefault(number, found) != found:
            raise NodeFault(f"the node gives logs of two blocks {number}: {found} and {hashes[number]}")
    return hashes


def check_hashes(hashes: Mapping[int, str], *, headers: Iterable[Header]) -> None:
    """Raise `NodeFault` if logs come from another block of the same number than one of `headers`."""
    for header in headers:
        if (found := hashes.get(header.number, header.hash)) != header.hash:
            raise NodeFault(f"the node gives logs of {found} as block {header.number}, which is {header.hash}")


def transfers_to(logs: Iterable[Any], *, ours: Collection[str]) -> list[Transfer]:
    """The transfers of something to addresses of ours, in the chain's order.

    `logs` have passed `recipients`. Transfers of zero are left out: anybody can make them in anybody's name. Raises
    `NodeFault` for a log that can't be read or is there twice.
    """
    topics = {"0x" + "0" * 24 + address[2:] for address in ours}
    found = [_transfer(log) for log in logs if log["topics"][2].lower() in topics]
    _refuse_twins(found)
    return sorted((t for t in found if t.units), key=lambda t: (t.block_number, t.log_index))


def _transfer(log: Mapping[str, Any]) -> Transfer:
    _, sender, recipient = log["topics"]
    return Transfer(
        token=log["address"].lower(),
        sender=_address(sender.lower()),
        recipient=_address(recipient.lower()),
        units=int.from_bytes(data(log["data"], "an amount")),
        block_number=quantity(log["blockNumber"], "a log's block number"),
        block_hash=hash32(log["blockHash"], "a log's block hash"),
        tx_hash=hash32(log.get("transactionHash"), "a log's transaction"),
        log_index=quantity(log.get("logIndex"), "a log's index", most=LOG_INDEX_MOST),
    )


def _address(topic: str) -> str:
    if not _ADDRESS_TOPIC.fullmatch(topic):
        raise NodeFault(f"a transfer names {shown(topic)} where an address should stand")
    return "0x" + topic[_ADDRESS_AT:]


def _refuse_twins(transfers: Sequence[Transfer]) -> None:
    if len({(t.tx_hash, t.log_index) for t in transfers}) < len(transfers):
        raise NodeFault("the node gives a log twice")
    if len({(t.block_number, t.log_index) for t in transfers}) < len(transfers):
        raise NodeFault("the node gives two logs with one index in one block")
