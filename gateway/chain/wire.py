"""The node's words, read strictly: Ethereum JSON-RPC (execution-apis): QUANTITY, DATA and block headers.

Whatever has the wrong type or shape is a `NodeFault`; nothing is guessed or repaired.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypedDict, TypeVar

from msgspec import UNSET, Struct, UnsetType

BIGGEST = 2**63 - 1
"""What a BIGINT column holds; no chain's block number or time comes near."""

SHOWN_MOST = 200
"""How much of a wrong answer a fault repeats, in characters."""

_QUANTITY = re.compile(r"0x(?:0|[1-9a-f][0-9a-f]*)")
_HASH = re.compile(r"0x[0-9a-fA-F]{64}")
_DATA = re.compile(r"0x(?:[0-9a-fA-F]{2})*")


T = TypeVar("T")


class NodeFault(Exception):
    """A node gave no answer, or one that can't be right. Nothing has moved; ask again later, or another node.

    `str()` is a sentence without the node's URL, which may carry a key.
    """


class TooMuchAsked(NodeFault):
    """The node may answer a smaller question: it says so, the answer is over our limit, or none came in time."""

    def __init__(self, sentence: str, *, suggested: int | None = None) -> None:
        super().__init__(sentence)
        self.suggested = suggested
        """The widest range, in blocks, that the node's own words allow; None: they name none, so halve."""


class Throttled(NodeFault):
    """The node wants fewer questions in this time, however small they are."""

    def __init__(self, sentence: str, *, wait_s: float | None = None) -> None:
        super().__init__(sentence)
        self.wait_s = wait_s
        """Seconds after which it will answer again, if it said so."""


class Answer(Struct, Generic[T]):
    """One JSON-RPC 2.0 answer, its result of the type that was asked for."""

    id: Any = None
    result: T | UnsetType = UNSET
    error: Any = None


class Block(TypedDict, total=False):
    """The part of a block's JSON that `header` reads; all else is skipped unread."""

    number: Any
    hash: Any
    parentHash: Any
    timestamp: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What the watcher needs of a block."""

    number: int
    hash: str
    parent_hash: str
    time: datetime


def quantity(value: object, what: str, *, most: int = BIGGEST) -> int:
    """A QUANTITY ("0x1a"): no leading zeros, no capitals, at most `most`. `what` names it in the fault's sentence."""
    if not isinstance(value, str) or not _QUANTITY.fullmatch(value):
        raise NodeFault(f"{what} should be a number such as 0x1a, the node says {shown(value)}")
    number = int(value, 16)
    if number > most:
        raise NodeFault(f"{what} should be at most {most}, the node says {shown(value)}")
    return number


def hash32(value: object, what: str) -> str:
    """32 bytes as lower-case hex with 0x."""
    if not isinstance(value, str) or not _HASH.fullmatch(value):
        raise NodeFault(f"{what} should be 32 bytes in hex, the node says {shown(value)}")
    return value.lower()


def data(value: object, what: str) -> bytes:
    """Bytes of any length."""
    if not isinstance(value, str) or not _DATA.fullmatch(value):
        raise NodeFault(f"{what} should be bytes in hex, the node says {shown(value)}")
    return bytes.fromhex(value[2:])


def moment(value: object, what: str) -> datetime:
    """A QUANTITY of seconds since 1970."""
    seconds = quantity(value, what)
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, OSError, ValueError):
        raise NodeFault(f"{what} should be seconds since 1970, the node says {shown(value)}") from None


def header(value: object, *, number: int | None = None) -> Header:
    """A block as `eth_getBlockByNumber` gives it; the one at `number`, if given."""
    if not isinstance(value, Mapping):
        raise NodeFault(f"a block should be an object, the node says {shown(value)}")
    found = quantity(value.get("number"), "a block's number")
    if number is not None and found != number:
        raise NodeFault(f"asked for block {number}, the node gives block {found}")
    return Header(
        number=found,
        hash=hash32(value.get("hash"), f"the hash of block {found}"),
        parent_hash=hash32(value.get("parentHash"), f"the parent's hash of block {found}"),
        time=moment(value.get("timestamp"), f"the time of block {found}"),
    )


def shown(value: object) -> str:
    """A wrong answer, short and on one line."""
    text = ascii(value)
    return text if len(text) <= SHOWN_MOST else text[:SHOWN_MOST] + "..."
