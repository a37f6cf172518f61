"""A chain that forks at random, and the nodes that follow it, each in its own time. One seed is one history."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tests.unit.chain.fake_chain import TOKEN, FakeChain, address, transfer, word

DEPTH_MOST = 64
FINAL_AFTER = 72
EMPTY_MOST = 40
LOGS_MOST = 4
STRANGER = address("stranger")
LOOK_ALIKE = address("look-alike token")

Log = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Transaction:
    """What a transaction does, as far as a watcher can see: logs, without the places that their block gives them."""

    tx_hash: str
    logs: tuple[Log, ...]


class FollowingNode(FakeChain):
    """A node of the forking chain: what it says is how the chain was when it last looked.

    So it may lag, or still be on a fork that is gone; what it calls final is always in the chain for good.
    """

    def __init__(self, chain: ForkingChain) -> None:
        self._chain = chain
        self.before_asked: Callable[[FollowingNode], None] = lambda _node: None
        super().__init__(blocks=0)
        self.before = lambda _method: self.before_asked(self)
        self.look()

    def look(self) -> None:
        """Take over the chain as it is now."""
        self.blocks = list(self._chain.blocks)
        self.final = self._chain.final


@dataclass
class ForkingChain:
    """The chain itself. Blocks up to `final` never change; above it, up to 64 at a time do."""

    random: Random
    ours: Sequence[str]
    source: FakeChain = field(default_factory=lambda: FakeChain(blocks=FINAL_AFTER + 2, final_after=FINAL_AFTER))
    waiting: list[Transaction] = field(default_factory=list)
    """Thrown out of the chain by a fork, and perhaps mined again."""
    forks: int = 0
    number: int = 0

    @property
    def blocks(self) -> list[dict[str, Any]]:
        return self.source.blocks

    final: int = 0

    def transfers(self) -> list[Log]:
        """Every log of the chain as it is now, in order."""
        return [log for block in self.blocks for log in block["logs"]]

    def grow(self, blocks: int) -> None:
        """Mine `blocks`, most of them empty or small, some with transactions that wait."""
        for _ in range(blocks):
            logs: list[Log] = []
            for transaction in self._chosen():
                logs += transaction.logs
            self.source.mine(*logs)
        self.final = max(self.final, self.source.head - FINAL_AFTER)

    def fork(self) -> int:
        """Replace the newest blocks by others, mostly by more of them. Gives the depth."""
        depth = min(self.random.randint(1, DEPTH_MOST), self.source.head - self.final)
        gone = self.blocks[-depth:]
        self.source.reorg(depth)
        self.waiting += self._again(transactions_of(gone))
        self.forks += 1
        shorter = self.random.random() < 0.1
        self.grow(self.random.randint(0, depth) if shorter else depth + self.random.randint(0, 3))
        return depth

    def _chosen(self) -> list[Transaction]:
        kind = self.random.random()
        if kind < 0.5:
            return []
        chosen = [self._new() for _ in range(self.random.randint(0, 2))]
        while self.waiting and self.random.random() < 0.6:
            chosen.append(self.waiting.pop(self.random.randrange(len(self.waiting))))
        self.random.shuffle(chosen)
        return chosen

    def _again(self, gone: Sequence[Transaction]) -> list[Transaction]:
        """What becomes of transactions whose block is gone: most wait, some are replaced, dropped, or act otherwise."""
        again = []
        for transaction in gone:
            fate = self.random.random()
            if fate < 0.65:
                again.append(transaction)
            elif fate < 0.8:
                again.append(self._new())
            elif fate < 0.9:
                again.append(Transaction(transaction.tx_hash, self._logs(transaction.tx_hash)))
        return again

    def _new(self) -> Transaction:
        self.number += 1
        tx_hash = word(f"transaction {self.number} {self.random.getrandbits(64)}")
        return Transaction(tx_hash, self._logs(tx_hash))

    def _logs(self, tx_hash: str) -> tuple[Log, ...]:
        return tuple(self._log(tx_hash) for _ in range(self.random.randint(1, LOGS_MOST)))

    def _log(self, tx_hash: str) -> Log:
        to = self.random.choice([*self.ours, STRANGER])
        units = self.random.choice([0, 1, 999, 4_000_000, 6_000_000, 10_000_000, 10_000_000, 25_000_000])
        token = TOKEN if self.random.random() < 0.95 else LOOK_ALIKE
        return transfer(to=to, units=units, token=token, tx=tx_hash)


def transactions_of(blocks: Sequence[dict[str, Any]]) -> list[Transaction]:
    """The transactions of blocks, without their places."""
    found: dict[str, list[Log]] = {}
    for block in blocks:
        for log in block["logs"]:
            bare = {key: value for key, value in log.items() if key not in ("blockNumber", "blockHash", "logIndex")}
            found.setdefault(log["transactionHash"], []).append(bare)
    return [Transaction(tx_hash, tuple(logs)) for tx_hash, logs in found.items()]
