"""The statement that the M-PESA organisation portal lets people download, as CSV.

Its columns, as files in public repositories have them: "Receipt No.", "Completion Time", "Initiation Time", "Details",
"Transaction Status", "Paid In", "Withdrawn", "Balance", "Balance Confirmed", "Reason Type", "Other Party Info",
"Linked Transaction ID", "A/C No."; some lines about the account stand above them. Safaricom publishes no description: what
is assumed here is marked [?] in the README, and what isn't known for certain becomes OTHER, with its direction.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone

from adapters.mpesa.settings import KES
from gateway.money import Money
from gateway.offramp import BadStatement, LineKind, StatementLine

EAT = timezone(timedelta(hours=3), "EAT")
"""Kenya's time, in which the portal writes."""
RECEIPT, COMPLETED_AT, DETAILS, STATUS = "Receipt No.", "Completion Time", "Details", "Transaction Status"
PAID_IN, WITHDRAWN, REASON = "Paid In", "Withdrawn", "Reason Type"
NEEDED = (RECEIPT, COMPLETED_AT, DETAILS, STATUS, PAID_IN, WITHDRAWN, REASON)
HEAD_MOST = 50
"""Rows above the columns' names that are skipped while looking for them."""
SHOWN_MOST = 60

LEAVES: Mapping[LineKind, bool] = {
    LineKind.PAYOUT: True,
    LineKind.FEE: True,
    LineKind.RETURN: False,
    LineKind.TOP_UP: False,
}

_OURS = re.compile(r"Original conversation ID is ([A-Za-z0-9_-]+)", re.IGNORECASE)
_AMOUNT = re.compile(r"-?([0-9]{1,3}(?:,[0-9]{3})+|[0-9]{1,15})(?:\.([0-9]{1,2}))?")
_RECEIPT = re.compile(r"[A-Z0-9]{6,20}")
_TIMES = ("%d-%m-%Y %H:%M:%S", "%Y-%m-%d %H:%M:%S")

Row = Mapping[str, str]


def read_statement(content: bytes, *, reasons: Mapping[str, str], statuses: Mapping[str, str]) -> list[StatementLine]:
    """All movements of a file, in its order. Raises `BadStatement` with the row that can't be read.

    `reasons`: what words in "Reason Type" mean; `statuses`: which words in "Transaction Status" mean that nothing moved.
    """
    kinds = {word.casefold(): LineKind(kind) for word, kind in reasons.items()}
    nothing_moved = {word.casefold() for word, outcome in statuses.items() if outcome in ("failed", "pending")}
    lines: dict[str, StatementLine] = {}
    for number, row in _rows(content):
        status = row[STATUS].casefold()
        if status in nothing_moved:
            continue
        if status != "completed":
            raise _bad(number, f'"{STATUS}" is {_shown(row[STATUS])}; add the word to the setting "statuses"')
        line = _line(number, row, kinds)
        if lines.setdefault(line.line_id, line) != line:
            raise _bad(number, f"receipt {row[RECEIPT]} is there twice for the same reason, with different contents")
    return list(lines.values())


def _rows(content: bytes) -> list[tuple[int, Row]]:
    """The rows below the columns' names, each with its number in the file from 1."""
    try:
        table = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadStatement(f"this is no CSV file in UTF-8 ({type(error).__name__}); download the statement as CSV") from None
    top = next((at for at, cells in enumerate(table[:HEAD_MOST]) if RECEIPT in map(str.strip, cells)), None)
    if top is None:
        raise BadStatement(f'no row names the columns; one of the first {HEAD_MOST} should have "{RECEIPT}"')
    names = [cell.strip() for cell in table[top]]
    missing = [name for name in NEEDED if names.count(name) != 1]
    if missing:
        raise BadStatement(f"row {top + 1}: each of these columns should be there once: {', '.join(missing)}")
    rows: list[tuple[int, Row]] = []
    for number, row in enumerate(table[top + 1 :], start=top + 2):
        if not any(cell.strip() for cell in row):
            continue
        if len(row) != len(names):
            raise _bad(number, f"{len(row)} cells instead of {len(names)}")
        rows.append((number, {name: cell.strip() for name, cell in zip(names, row, strict=True)}))
    return rows


def _line(number: int, row: Row, kinds: Mapping[str, LineKind]) -> StatementLine:
    if not _RECEIPT.fullmatch(row[RECEIPT]):
        raise _bad(number, f'"{RECEIPT}" is {_shown(row[RECEIPT])}, which is no receipt number')
    paid_in, withdrawn = _amount(number, row, PAID_IN), _amount(number, row, WITHDRAWN)
    if (paid_in.units > 0) == (withdrawn.units > 0):
        raise _bad(number, f'either "{PAID_IN}" or "{WITHDRAWN}" should have an amount')
    leaves = withdrawn.units > 0
    kind = kinds.get(row[REASON].casefold(), LineKind.OTHER)
    if LEAVES.get(kind, leaves) is not leaves:
        kind = LineKind.OTHER
    ours = _OURS.search(row[DETAILS])
    return StatementLine(
        # A payment and its charge have one receipt number.
        line_id=f"{row[RECEIPT]}:{row[REASON]}",
        kind=kind,
        amount=withdrawn if leaves else paid_in,
        at=_time(number, row[COMPLETED_AT]),
        attempt_id=None if ours is None else ours[1],
        provider_ref=row[RECEIPT],
        leaves=leaves,
    )


def _amount(number: int, row: Row, column: str) -> Money:
    """An amount as the portal writes it: "1,249.00"; what was withdrawn has a minus in some files and none in others."""
    if not row[column]:
        return Money(0, KES)
    match = _AMOUNT.fullmatch(row[column])
    if match is None or (column == PAID_IN and row[column].startswith("-")):
        raise _bad(number, f'"{column}" is {_shown(row[column])}, which is no amount')
    return Money(int(match[1].replace(",", "")) * 100 + int((match[2] or "").ljust(2, "0")), KES)


def _time(number: int, text: str) -> datetime:
    for form in _TIMES:
        try:
            return datetime.strptime(text, form).replace(tzinfo=EAT)
        except ValueError:
            continue
    raise _bad(number, f'"{COMPLETED_AT}" is {_shown(text)}; it should be as in "22-11-2026 15:04:05"')


def _bad(number: int, sentence: str) -> BadStatement:
    return BadStatement(f"row {number}: {sentence}")


def _shown(text: str) -> str:
    """A cell, short and on one line."""
    return '"' + "".join(one if one.isprintable() else "?" for one in text[:SHOWN_MOST]) + '"'
