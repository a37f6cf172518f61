"""Which way to ask for logs: for ours only, by topics, or for all of a token, to pick ours here. Pure arithmetic.

Few addresses in a long stretch of a busy chain: topics. Many addresses, or the newest block or two: all of it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import islice

TOPICS_MOST = 1_000
"""Alternatives for one topic in one filter: geth's limit, and Erigon's (go-ethereum #29535, erigon #22014)."""
TOPIC_BYTES = 69
"""What one of them adds to the request: 66 characters, quotes and a comma."""
REQUEST_BYTES = 2**20
"""What a request costs beside its bytes, as bytes: waiting, the node's search, and what providers charge for each."""
LOG_BYTES = 628
"""One log as JSON, until answers have shown how long they are."""
LOGS_PER_BLOCK = 100
"""Transfers of a busy token, until answers have shown how many there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What whole-token answers have shown so far. Add one with `plus`."""

    blocks: int = 0
    logs: int = 0
    size: int = 0
    """Bytes."""

    def plus(self, *, blocks: int, logs: int, size: int) -> Traffic:
        """With one more answer; the old ones count half as soon as there are as many new ones."""
        keep = 2 if self.blocks > blocks else 1
        return Traffic(blocks=self.blocks // keep + blocks, logs=self.logs // keep + logs, size=self.size // keep + size)

    def bytes_for(self, blocks: int) -> int:
        """How long the answer for so many blocks will be."""
        if not self.blocks:
            return blocks * LOGS_PER_BLOCK * LOG_BYTES
        return self.size * blocks // self.blocks


def plan(*, topics: Collection[str], blocks: int, traffic: Traffic) -> list[Sequence[str] | None]:
    """The questions that find all transfers to `topics` in a range of `blocks`: sets of topics, or None for a whole token.

    Each is asked for the same range. There is always one at least: the range itself has to be asked about.
    """
    requests = max(-(-len(topics) // TOPICS_MOST), 1)
    by_topics = requests * REQUEST_BYTES + len(topics) * TOPIC_BYTES
    if not topics or by_topics >= REQUEST_BYTES + traffic.bytes_for(blocks):
        return [None]
    rest = iter(topics)
    return [tuple(islice(rest, TOPICS_MOST)) for _ in range(requests)]
