"""Decisions about a chain that may have changed, without I/O."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from gateway.chain.wire import Header, NodeFault


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A block, by number and hash."""

    number: int
    hash: str


def follows(place: Place, headers: Sequence[Header]) -> bool:
    """Whether the first of `headers` is the child of `place`, and each of the others of the one before it.

    False: the chain has changed at `place` or below. Raises `NodeFault` if it broke further up, which means that it
    changed while it was read.
    """
    for parent, child in pairwise(headers):
        if (child.number, child.parent_hash) != (parent.number + 1, parent.hash):
            raise NodeFault(f"block {child.number} isn't the child of block {parent.number}: the chain changed while read")
    return not headers or (headers[0].number, headers[0].parent_hash) == (place.number + 1, place.hash)


def find_ancestor(stored: Sequence[Place]) -> Generator[int, str, Place | None]:
    """Search for the newest of `stored` (oldest first) that is still in the chain; None: not even the oldest is.

    Yields numbers of blocks and is sent the hashes that the chain has there now. A block in the chain has all its
    ancestors in the chain, so the search halves: a fork of any depth takes about log2(len(stored)) questions.
    """
    kept, changed = 0, len(stored)
    while kept < changed:
        middle = (kept + changed) // 2
        if (yield stored[middle].number) == stored[middle].hash:
            kept = middle + 1
        else:
            changed = middle
    return stored[kept - 1] if kept else None
