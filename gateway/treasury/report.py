"""What a reconciliation found, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum, auto

from gateway.money import Asset, Money

FOUND_MOST = 1_000
"""Differences that one check lists; where there are more, it says so and their rest is counted in the totals only."""
JOINED = " + "
"""Between the accounts of a place that can't be told apart outside."""
SHOWN_MOST = 200
"""Items in flight that a report keeps of one place."""


class Outcome(StrEnum):
    """What a run came to; also the command's exit code, by `EXIT_CODES`."""

    EQUAL = auto()
    BREAKS = auto()
    INCOMPLETE = auto()
    """Something could not be compared, so nobody knows whether it is equal."""


EXIT_CODES: Mapping[Outcome, int] = {Outcome.EQUAL: 0, Outcome.BREAKS: 1, Outcome.INCOMPLETE: 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """Something in flight: it may have changed what lies at a place by `low` to `high` units; the books don't say yet."""

    what: str
    low: int
    high: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One place and asset: what the ledger says lies there, what the outside says, and what is in flight in between."""

    place: str
    """The ledger's account, or several joined by " + "."""
    asset: Asset
    ledger: int
    """What the books say is held there, in smallest units."""
    outside: int
    low: int
    """What is in flight may make it less by this (0 or below)…"""
    high: int
    """…or more by this."""
    items: tuple[Item, ...] = ()
    count: int = 0
    """How many items there are; `items` has the first `SHOWN_MOST`."""

    @property
    def difference(self) -> int:
        """By how much more lies outside than books and what is in flight explain; below 0: less."""
        return self.beyond(0)

    def beyond(self, explained: int) -> int:
        """What is left of the difference when what was found row by row, `explained` units, is taken off."""
        outside = self.outside - explained
        return max(outside - self.ledger - self.high, 0) + min(outside - self.ledger - self.low, 0)

    def money(self, units: int) -> Money:
        """Units as an amount."""
        return Money(units, self.asset)


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """One difference, down to the row. `cause` names it: found again, it is the same."""

    cause: str
    checked_by: str
    """The check that finds it and, by not finding it, closes it."""
    kind: str
    place: str
    said: str
    """What differs, in a sentence."""
    next_step: str
    """What a person does about it: a command, where there is one."""
    asset: str | None = None
    ours: int | None = None
    theirs: int | None = None
    effect: int = 0
    """By how much more lies at `place` than the books say; below 0: less; 0: nothing outside is concerned."""
    order_id: str | None = None
    attempt_id: str | None = None
    rail: str | None = None
    line_id: str | None = None
    detail: Mapping[str, str] = field(default_factory=dict[str, str])
    since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NotMade:
    """A comparison that could not be made. It says nothing about whether all is well."""

    check: str
    why: str


@dataclass(slots=True, kw_only=True)
class Findings:
    """What the checks of one place came to."""

    comparisons: list[Comparison] = field(default_factory=list[Comparison])
    breaks: list[Break] = field(default_factory=list[Break])
    made: list[str] = field(default_factory=list[str])
    """Checks that were made whole: what they don't find any more is over."""
    not_made: list[NotMade] = field(default_factory=list[NotMade])
    notes: list[str] = field(default_factory=list[str])
    blocks: dict[str, int] = field(default_factory=dict[str, int])
    """Up to which block each chain was compared, by chain id."""

    def take(self, other: Findings) -> None:
        """Add another place's."""
        self.comparisons += other.comparisons
        self.breaks += other.breaks
        self.made += other.made
        self.not_made += other.not_made
        self.notes += other.notes
        self.blocks |= other.blocks

    def found(self, check: str, breaks: list[Break], *, all_of_them: bool = True) -> None:
        """A check was made and found these; not `all_of_them`: there are more than are listed."""
        self.breaks += breaks
        if all_of_them:
            self.made.append(check)
        else:
            self.notes.append(f"{check}: more than the {len(breaks)} differences that are listed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One run."""

    run_id: str
    started_at: datetime
    finished_at: datetime
    comparisons: tuple[Comparison, ...]
    breaks: tuple[Break, ...]
    not_made: tuple[NotMade, ...]
    notes: tuple[str, ...]
    ids: Mapping[str, str]
    """The numbers under which the breaks are kept, by their causes."""
    closed: int
    """Breaks of earlier runs that are over."""

    @property
    def outcome(self) -> Outcome:
        """What it came to. A break that is known is worth more than a comparison that is missing."""
        if self.breaks:
            return Outcome.BREAKS
        return Outcome.INCOMPLETE if self.not_made else Outcome.EQUAL

    @property
    def exit_code(self) -> int:
        """0: all equal; 1: breaks; 2: no break, but something could not be compared."""
        return EXIT_CODES[self.outcome]
