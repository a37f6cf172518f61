"""What a watcher is told about its chain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.money import Asset


@dataclass(frozen=True, slots=True)
class FinalizedTag:
    """A block is final when it is at or below the one that the node calls `finalized`."""


@dataclass(frozen=True, slots=True)
class Depth:
    """A block is final when `blocks` others stand on it; for chains or nodes without the tag."""

    blocks: int


Finality = FinalizedTag | Depth


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A block that every honest node of the chain has."""

    number: int
    hash: str
    """Lower-case hex with 0x."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainTerms:
    """One chain: who tells us about it, which tokens count, what final means."""

    name: str
    chain_id: int
    rpc: tuple[str, ...] = field(repr=False)
    """Nodes' URLs, not shown: many carry a key. Each is another operator's."""
    quorum: int = 1
    """How many of them must agree before anything is believed."""
    heads: tuple[str, ...] = field(default=(), repr=False)
    """Websocket URLs that announce new blocks: a wake-up only."""
    checkpoint: Checkpoint | None = None
    finality: Finality
    start_block: int | None
    """First block that a new watcher scans; None: the block after the one that is final when it first starts."""
    tokens: Mapping[str, Asset]
    """Token contracts that count, by address in lower-case hex with 0x."""
    poll_s: float
    """Seconds between two looks at a chain that has nothing new."""
    native: Asset
    """The coin that pays gas."""
    treasury: str
    """Where swept coins go; with EIP-55 capitals."""
