"""What several providers said to one question, and which answer won. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, TypeVar

from gateway.chain.providers import Provider
from gateway.chain.wire import NodeFault

T = TypeVar("T")


@dataclass(slots=True)
class Ballot(Generic[T]):
    """What was said to one question. A provider that fell behind the others is `slow`."""

    said: list[tuple[Provider, T]] = field(default_factory=list)
    faults: list[tuple[Provider, NodeFault]] = field(default_factory=list)
    slow: list[Provider] = field(default_factory=list)

    def voices(self, answer: T) -> int:
        """How many operators gave `answer`."""
        return len({provider.operator for provider, said in self.said if said == answer})

    def best(self) -> tuple[int, T | None]:
        """The answer that most operators gave, and how many they are: (0, None) if two answers are even."""
        distinct: list[T] = []
        for _, answer in self.said:
            if answer not in distinct:
                distinct.append(answer)
        counts = sorted(((self.voices(answer), -place) for place, answer in enumerate(distinct)), reverse=True)
        if not counts or (len(counts) > 1 and counts[0][0] == counts[1][0]):
            return 0, None
        return counts[0][0], distinct[-counts[0][1]]

    def most_alike(self) -> int:
        """How many voices the strongest answer has, even if another one has as many."""
        return max((self.voices(answer) for _, answer in self.said), default=0)
