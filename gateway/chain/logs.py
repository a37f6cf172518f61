"""ERC-20 Transfer logs: checked all, decoded few.

EIP-20: Transfer(address indexed from, address indexed to, uint256 value). Three topics, 32 bytes of data; an ERC-721
transfer has the same signature and a fourth topic. The decoder itself compares signature and token, counts the topics and
measures words; addresses are compared all at once; only transfers to us are read whole. So a range with a million foreign
transfers stays cheap, and none of its logs goes unchecked.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct

from gateway.chain.wire import Answer, Header, NodeFault, hash32, moment, quantity, shown

TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
"""keccak-256 of "Transfer(address,address,uint256)"."""

LOG_INDEX_MOST = 2**31 - 1
"""What an INTEGER column holds."""

ADDRESS_PADDING = "0x" + "0" * 24
"""What stands before an address in a topic; after it, and after the 0x of an address, come the same 40 digits."""

_WORD_LENGTH = 66
"""32 bytes in hex with 0x."""
_WORDS = re.compile(r"(?:0x[0-9a-f]{64}\n)*")
_ADDRESSES = re.compile(r"(?:0x0{24}[0-9a-f]{40}\n)*")
_LONG_HEX = re.compile(rb'"0x[0-9a-fA-F]{40,64}"')
"""Addresses and words: what some nodes write with capitals."""

Word = Annotated[str, Meta(min_length=_WORD_LENGTH, max_length=_WORD_LENGTH)]


class Transfer(Struct, frozen=True, kw_only=True, gc=False):
    """One Transfer log. Addresses and hashes in lower-case hex."""

    token: str
    sender: str
    recipient: str
    units: int
    block_number: int
    block_hash: str
    tx_hash: str
    log_index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What an answer says: the transfers to us, and enough of the rest to compare it with blocks and other answers."""

    transfers: tuple[Transfer, ...]
    """To addresses of ours, in the chain's order. Not those of zero: anybody can make them in anybody's name."""
    hashes: Mapping[int, str]
    """Hash of every block that any log names, by number."""
    times: Mapping[int, datetime]
    """Time of those among them whose logs state it, by number: not every node's do."""
    logs: int
    """How many there were, others' among them."""
    size: int
    """Bytes of the answer."""


class Log(Struct, gc=False, rename="camel"):
    """One log as a node gives it, as far as we read it."""

    address: str
    topics: tuple[str, Word, Word]
    data: Word
    block_number: str
    block_hash: str
    block_timestamp: str | None = None
    transaction_hash: str | None = None
    log_index: str | None = None
    removed: bool = False


LogDecoder = msgspec.json.Decoder[Answer[list[Log]]]


@lru_cache(maxsize=64)
def log_decoder(tokens: frozenset[str]) -> LogDecoder:
    """Reads answers that have only transfers of `tokens`, in lower-case hex."""
    if not tokens:
        raise ValueError("name the tokens: a filter without addresses asks for logs of all contracts")
    fields: list[Any] = [
        ("address", Literal[tuple(sorted(tokens))]),
        ("topics", tuple[Literal[TRANSFER], Word, Word]),  # type: ignore[valid-type]
        ("data", Word),
        ("block_number", str),
        ("block_hash", str),
    ]
    listed: Any = msgspec.defstruct("ListedLog", fields, bases=(Log,), gc=False, rename="camel")
    return msgspec.json.Decoder(Answer[list[listed]])


def read_logs(body: bytes, *, decoder: LogDecoder) -> Answer[list[Log]]:
    """An answer to `eth_getLogs`. Raises `NodeFault` unless all its logs are transfers of the decoder's tokens."""
    try:
        return _decoded(body, decoder)
    except NodeFault:
        lowered = _LONG_HEX.sub(lambda found: found[0].lower(), body)
        if lowered == body:
            raise
    return _decoded(lowered, decoder)


def find_transfers(
    logs: Sequence[Log],
    *,
    where: Mapping[str, object],
    ours: Collection[str],
    size: int,
    only: Collection[str] | None = None,
) -> Found:
    """What `logs`, from `read_logs`, say. `ours`: the topics of our addresses. `only`: the recipients that were asked for.

    Raises `NodeFault` for a log that nobody asked for, that can't be read or is there twice, and if the chain changed in the
    middle of the answer.
    """
    if only is not None and (strange := next((log for log in logs if log.topics[2] not in only), None)):
        raise NodeFault(f"asked for transfers to addresses of ours, the node gives one to {shown(strange.topics[2])}")
    numbers, hashes, times = _blocks(logs, where)
    hits = [log for log in logs if log.topics[2] in ours]
    transfers = _transfers(hits, numbers, hashes)
    _refuse_twins(transfers)
    transfers.sort(key=_order)
    found = tuple(transfer for transfer in transfers if transfer.units)
    return Found(transfers=found, hashes=hashes, times=times, logs=len(logs), size=size)


def check_hashes(hashes: Mapping[int, str], *, headers: Iterable[Header]) -> None:
    """Raise `NodeFault` if logs come from another block of the same number than one of `headers`."""
    for header in headers:
        if (found := hashes.get(header.number, header.hash)) != header.hash:
            raise NodeFault(f"the node gives logs of {found} as block {header.number}, which is {header.hash}")


def _decoded(body: bytes, decoder: LogDecoder) -> Answer[list[Log]]:
    try:
        answer = decoder.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise NodeFault(f"asked for transfers of our tokens, the node gives something else: {shown(str(error))}") from None
    if answer.result is not UNSET and not _ADDRESSES.fullmatch(_lines([log.topics[2] for log in answer.result])):
        raise NodeFault("a transfer names something else where an address should stand")
    return answer


def _lines(values: Sequence[str | None]) -> str:
    """One per line, so that one pattern can check them all: that costs a third of a match for each."""
    try:
        return "\n".join([*values, ""])  # type: ignore[list-item] # None is what is caught
    except TypeError:
        return "none of them, for one isn't there"


def _blocks(logs: Iterable[Log], where: Mapping[str, object]) -> tuple[dict[str, int], dict[int, str], dict[int, datetime]]:
    """The blocks that `logs` name: their numbers by what the node wrote, hashes and times by number."""
    numbers: dict[str, int] = {}
    hashes: dict[int, str] = {}
    times: dict[int, datetime] = {}
    stated_number = stated_hash = stated_time = None
    for log in logs:
        if log.removed:
            raise NodeFault(f"asked for the logs of a chain, the node gives one that is no longer in it: {shown(log)}")
        if log.block_hash == stated_hash and log.block_number == stated_number and log.block_timestamp == stated_time:
            continue
        stated_number, stated_hash, stated_time = log.block_number, log.block_hash, log.block_timestamp
        number, found = quantity(stated_number, "a log's block number"), hash32(stated_hash, "a log's block hash")
        _check_place(number, found, where)
        numbers[stated_number] = number
        if hashes.setdefault(number, found) != found:
            raise NodeFault(f"the node gives logs of two blocks {number}: {found} and {hashes[number]}")
        if stated_time is not None:
            time = moment(stated_time, "a log's time")
            if times.setdefault(number, time) != time:
                raise NodeFault(f"the node gives two times for block {number}: {time} and {times[number]}")
    return numbers, hashes, times


def _check_place(number: int, found: str, where: Mapping[str, object]) -> None:
    if "blockHash" in where:
        if found != where["blockHash"]:
            raise NodeFault(f"asked for logs of block {where['blockHash']}, the node gives one of {found}")
        return
    first, last = int(str(where["fromBlock"]), 16), int(str(where["toBlock"]), 16)
    if not first <= number <= last:
        raise NodeFault(f"asked for logs of blocks {first} to {last}, the node gives one of block {number}")


def _transfers(logs: Sequence[Log], numbers: Mapping[str, int], hashes: Mapping[int, str]) -> list[Transfer]:
    amounts = _words([log.data for log in logs], "an amount")
    tx_hashes = _words([log.transaction_hash for log in logs], "a log's transaction")
    senders = _addresses([log.topics[1] for log in logs])
    return [
        Transfer(
            token=log.address,
            sender=sender,
            recipient="0x" + log.topics[2][len(ADDRESS_PADDING) :],
            units=int(amount, 16),
            block_number=(number := numbers[log.block_number]),
            block_hash=hashes[number],
            tx_hash=tx_hash,
            log_index=quantity(log.log_index, "a log's index", most=LOG_INDEX_MOST),
        )
        for log, sender, amount, tx_hash in zip(logs, senders, amounts, tx_hashes, strict=True)
    ]


def _words(values: Sequence[str | None], what: str) -> Sequence[str]:
    """All 32 bytes in lower-case hex."""
    lines = _lines(values)
    # The length tells a value that is two lines by itself.
    if len(lines) == len(values) * (_WORD_LENGTH + 1) and _WORDS.fullmatch(lines):
        return values  # type: ignore[return-value] # None is no word
    return [hash32(value, what) for value in values]


def _addresses(topics: Sequence[str]) -> Sequence[str]:
    """All 20 bytes in lower-case hex."""
    lowered = topics if _ADDRESSES.fullmatch(_lines(topics)) else [topic.lower() for topic in topics]
    if lowered is not topics and not _ADDRESSES.fullmatch(_lines(lowered)):
        raise NodeFault("a transfer to us names something else where its sender should stand")
    return ["0x" + topic[len(ADDRESS_PADDING) :] for topic in lowered]


def _order(transfer: Transfer) -> tuple[int, int]:
    return transfer.block_number, transfer.log_index


def _refuse_twins(transfers: Sequence[Transfer]) -> None:
    if len({(t.tx_hash, t.log_index) for t in transfers}) < len(transfers):
        raise NodeFault("the node gives a log twice")
    if len({(t.block_number, t.log_index) for t in transfers}) < len(transfers):
        raise NodeFault("the node gives two logs with one index in one block")
