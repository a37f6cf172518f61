"""What a rail's statement and our books say of one attempt, compared. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum, auto


class Kind(StrEnum):
    """How statement and books differ."""

    PAID_TWICE = auto()
    """The rail took the money of one attempt more than once."""
    FAILED_YET_PAID = auto()
    """The rail paid what it had called failed."""
    MISSING = auto()
    """We have it paid, and the statement of that time has no such line."""
    WRONG_AMOUNT = auto()
    WRONG_DIRECTION = auto()
    """The line brings money where we expect one that takes it."""
    RETURN_UNBOOKED = auto()
    """The money came back, and we call it paid."""
    RETURN_MISSING = auto()
    """We have it returned, and the statement of that time has no such line."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line about an attempt, in the attempt's currency."""

    line_id: str
    units: int
    leaves: bool
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One attempt that the rail has said something final about."""

    paid: bool
    """Whether we ever called it paid."""
    outs: Sequence[int]
    """Amounts that our books let leave the account for it."""
    ins: Sequence[int]
    """Amounts that our books let come back."""
    lines: Sequence[Line]
    covered: bool
    """Whether we have all lines of the time in which it happened: else a line that isn't there proves nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One difference. `effect`: by how much more lies at the rail than the books say."""

    kind: Kind
    line: Line | None
    ours: int | None
    effect: int


def judge(case: Case) -> list[Finding]:
    """Every difference between statement and books; none where both come to the same.

    Equal amounts belong together whatever their order. What a rail took and gave back itself, as some do with a payment that
    fails, is nothing; and so is what we booked both ways if the statement shows neither.
    """
    out_lines, out_books = _unpaired([line for line in case.lines if line.leaves], case.outs)
    in_lines, in_books = _unpaired([line for line in case.lines if not line.leaves], case.ins)
    out_lines, in_lines = _cancelled(out_lines, in_lines)
    found = _turned(in_lines, out_books)
    found += _other_amounts(out_lines, out_books, sign=-1)
    found += _other_amounts(in_lines, in_books, sign=1)
    extra = Kind.PAID_TWICE if case.paid else Kind.FAILED_YET_PAID
    found += [Finding(kind=extra, line=line, ours=None, effect=-line.units) for line in out_lines]
    found += [Finding(kind=Kind.RETURN_UNBOOKED, line=line, ours=None, effect=line.units) for line in in_lines]
    return found + (_absent(out_books, in_books) if case.covered else [])


def _unpaired(lines: Sequence[Line], books: Sequence[int]) -> tuple[list[Line], list[int]]:
    """Lines and booked amounts without their equals; of equal lines the later ones are left over."""
    left, kept = [], list(books)
    for line in sorted(lines, key=lambda line: (line.at, line.line_id)):
        if line.units in kept:
            kept.remove(line.units)
        else:
            left.append(line)
    return left, kept


def _cancelled(outs: Sequence[Line], ins: Sequence[Line]) -> tuple[list[Line], list[Line]]:
    left, back = [], list(ins)
    for line in outs:
        twin = next((other for other in back if other.units == line.units and other.at >= line.at), None)
        if twin is None:
            left.append(line)
        else:
            back.remove(twin)
    return left, back


def _turned(ins: list[Line], books: list[int]) -> list[Finding]:
    """Lines that bring what should have left; both are taken out of their lists."""
    found = []
    for line in list(ins):
        if line.units in books:
            ins.remove(line)
            books.remove(line.units)
            effect = 2 * line.units
            found.append(Finding(kind=Kind.WRONG_DIRECTION, line=line, ours=line.units, effect=effect))
    return found


def _other_amounts(lines: list[Line], books: list[int], *, sign: int) -> list[Finding]:
    """A line and a booked amount that are left over on the same side are one movement; both are taken out."""
    found = []
    while lines and books:
        line, ours = lines.pop(0), books.pop(0)
        found.append(Finding(kind=Kind.WRONG_AMOUNT, line=line, ours=ours, effect=sign * (line.units - ours)))
    return found


def _absent(outs: list[int], ins: list[int]) -> list[Finding]:
    for units in list(outs):
        if units in ins:
            outs.remove(units)
            ins.remove(units)
    missing = [Finding(kind=Kind.MISSING, line=None, ours=units, effect=units) for units in outs]
    return missing + [Finding(kind=Kind.RETURN_MISSING, line=None, ours=units, effect=-units) for units in ins]
