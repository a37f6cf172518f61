"""Which rail pays an order, and by which way to its recipient. A plain function of values: no clock, no database.

A failure says what may still be tried. The recipient's (a wrong number, a full wallet): that way is spent, with every rail.
The rail's: that rail is out for this order. Anything else passes: the same rail may try again, after those that failed less
often. Only ways that the recipient gave are taken: where another would help, the order is held and they are asked.

Their order counts. A way by which nothing was tried yet is left for the next one only if no rail has room for it, and none
will have soon (`BUSY_MOST`): a queue that moves is waited for, but a stopped rail or one without float isn't.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

import msgspec

from gateway.money import Money
from gateway.offramp import Fault, Outcome
from gateway.routing.candidates import AMOUNT, POLICY, Row, Table
from gateway.routing.draws import by_shares, draw
from gateway.routing.scene import Scene
from gateway.routing.score import Numbers, numbers

FAILURES_MOST = 150
"""Failed attempts after which the order is held for a person: about a day."""
FEW = 20
"""Payments that tell little of a rail."""
BUSY_MOST = timedelta(seconds=10)
"""A rail that takes more within this is only busy. All that keeps it from working keeps it longer, or nobody can say."""
OVER = frozenset({Outcome.FAILED, Outcome.RETURNED})
"""The only outcomes after which the same money may be sent again."""

NO_RAIL = "no_rail"
"""No rail pays this amount there, by any of the recipient's ways."""
RECIPIENT_REFUSED = "recipient_refused"
"""The ways that we were given are spent; another account would help."""
RETURNED = "returned"
"""The same, and the money was paid and came back."""
RAIL_UNAVAILABLE = "rail_unavailable"
"""Rails that pay there exist, but none of them works for us."""
FLOAT_LOW = "float_low"
"""A wait's reason: what we hold at the rail doesn't cover it."""
RAIL_FULL = "rail_full"
"""A wait's reason: the rail takes no more now."""
EARLIER_WAY = "earlier_way"
"""A refusal's reason: the recipient put another way first, by which nothing was tried and a rail takes it, soon at least."""
NO_RAIL_ALLOWED = "no_rail_allowed"
"""Rails pay there, but the operator's rules keep all of them from this payment."""
ATTEMPT_NOT_OVER = "attempt_not_over"
"""An attempt of this order isn't proven to have failed, so nothing may be sent: our bug if it comes here."""


class Way(NamedTuple):
    """A way to the recipient. Rank 0 is the quote's method with the recipient's account; the best comes first."""

    rank: int
    method: str
    institution: str | None = None
    """The bank or wallet, where the account doesn't say it."""


class Tried(NamedTuple):
    """An attempt that was made: by which rail and way, and how it ended."""

    rail: str
    way: int
    outcome: str
    fault: str | None


class Case(msgspec.Struct, frozen=True):
    """An order to pay. `ways` best first, `tried` oldest first.

    `tried` leaves out what kept a rail from paying before a person let the order go on: it gets another chance then.
    """

    country: str
    deliver: Money
    ways: Sequence[Way]
    tried: Sequence[Tried] = ()
    order_id: str = ""
    """By which shares and exploration are drawn."""
    version: int = 0
    partner: str | None = None


class Room(Protocol):
    """What a rail may be given now (gateway.payouts.allowances)."""

    @property
    def most(self) -> int:
        """How many payments."""

    @property
    def again_at(self) -> datetime | None:
        """When there may be more."""

    @property
    def reason(self) -> str | None:
        """Why there is no more."""

    @property
    def left(self) -> Mapping[str, int] | None:
        """Units of float by asset code; None: not tracked."""


class Pay(msgspec.Struct, frozen=True):
    """Send it by this rail, to the way of this rank."""

    rail: str
    way: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Rails could pay, but none may be asked now. `again_at`: the earliest time to look again; None: nobody can say."""

    again_at: datetime | None
    reason: str


@dataclass(frozen=True, slots=True)
class Hold:
    """Nothing can be sent until somebody does something; `reason` is one of this module's."""

    reason: str


Choice = Pay | Wait | Hold


class Candidate(NamedTuple):
    """A rail that could be asked now, with the rank of the way."""

    rail: str
    way: int
    numbers: Numbers
    why: str = "score"
    """What put it where it stands: "score", "preferred" (by a rule), "share", "explored" or "planned"."""


class Refusal(NamedTuple):
    """Why a rail isn't asked for a way: a reason code of this module, or an allowance's sentence in `detail`."""

    rail: str
    way: int
    reason: str
    detail: str = ""
    numbers: Numbers | None = None
    """Where it could pay."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """Everything that a choice knew. `candidates` best first; `choice` is what `choose` says."""

    choice: Choice
    candidates: tuple[Candidate, ...]
    refused: tuple[Refusal, ...]


def choose(
    case: Case, *, scene: Scene, allowances: Mapping[str, Room], now: datetime, preferred: str | None = None
) -> Choice:
    """Exactly one answer for a funded order. A rail without an allowance has room for anything.

    `preferred`: the rail that a plan for many orders together gives this one; taken if it could be taken at all, and nothing
    was tried since.
    """
    if case.tried or preferred is not None:
        return _judge(case, scene, allowances, now, preferred).choice
    find, deliver, partner = scene.tables.find, case.deliver, case.partner
    units, code = deliver.units, deliver.asset.code
    for way in case.ways:
        table = find(case.country, way.method, way.institution, deliver, partner, now)
        if not table.plain or (table.explorable and draw(case.order_id, case.version) % 100 < scene.policy.explore_percent):
            break
        best, least, payable = None, 0, False
        for fixed, rate, rail, step in table.lines:
            if units % step:
                continue
            payable = True
            room = allowances.get(rail)
            if room is not None and (room.most <= 0 or ((left := room.left) is not None and left.get(code, 0) < units)):
                continue
            score = fixed + rate * units
            if best is None or score < least:
                best, least = rail, score
        if best is not None:
            return Pay(best, way.rank)
        if payable:
            break
    return _judge(case, scene, allowances, now, None).choice


def rank(
    case: Case, *, scene: Scene, allowances: Mapping[str, Room], now: datetime, preferred: str | None = None
) -> Ranking:
    """All candidates with their numbers, and who isn't one and why. `choice` is the first candidate, if there is one."""
    judged = _judge(case, scene, allowances, now, preferred)
    units = case.deliver.units
    candidates = (Candidate(one.row.rail, one.way.rank, _numbers(one, units), why) for one, why in judged.able)
    return Ranking(judged.choice, tuple(candidates), tuple(dict.fromkeys(_refusals(case, judged))))


class _Option(NamedTuple):
    """A rail that could pay by a way."""

    way: Way
    row: Row
    place: tuple[int, bool, int, int, int]
    """Less is better: the way's, whether others are preferred, by shares, by score, the operator's."""
    drawn: bool
    """Whether it stands there by its share."""
    ruled: bool
    """Whether it is one of those that a rule prefers to others."""


class _Full(NamedTuple):
    again_at: datetime | None
    reason: str

    def is_brief(self, now: datetime) -> bool:
        return self.again_at is not None and self.again_at <= now + BUSY_MOST


class _Judged(NamedTuple):
    choice: Choice
    tables: Sequence[tuple[Way, Table]]
    could: Sequence[_Option]
    able: Sequence[tuple[_Option, str]]
    """Those that may be asked after all that was tried and have room, best first, and what put them there."""
    full: Sequence[tuple[_Option, _Full]]
    """Those that have none."""


def _judge(case: Case, scene: Scene, allowances: Mapping[str, Room], now: datetime, preferred: str | None) -> _Judged:
    find = scene.tables.find
    tables = [(way, find(case.country, way.method, way.institution, case.deliver, case.partner, now)) for way in case.ways]
    could = [one for number, (way, table) in enumerate(tables) for one in _options(case, number, way, table, scene)]
    left = _left(case, could, tables)
    if isinstance(left, Hold):
        return _Judged(left, tables, could, (), ())
    if case.tried:
        preferred = None
    rooms = _reached(case, [(one, _full(case, allowances.get(one.row.rail))) for one in left], now)
    able = [one for one, why in rooms if why is None]
    full = [(one, why) for one, why in rooms if why is not None]
    if preferred is not None:
        able.sort(key=lambda one: one.row.rail != preferred)
    if not able:
        known = [(why.again_at, why.reason) for _, why in full if why.again_at is not None]
        return _Judged(Wait(*min(known)) if known else Wait(None, full[0][1].reason), tables, could, (), full)
    explored = None if able[0].row.rail == preferred else _explored(case, able, scene)
    if explored is not None:
        able = [explored, *(one for one in able if one is not explored)]
    whys = [(one, _why(one, planned=one.row.rail == preferred, explored=one is explored)) for one in able]
    return _Judged(Pay(able[0].row.rail, able[0].way.rank), tables, could, whys, full)


def _options(case: Case, number: int, way: Way, table: Table, scene: Scene) -> Sequence[_Option]:
    """By a way, best first; a rail counts once."""
    units = case.deliver.units
    rows = [row for row in table.rows if not units % row.step]
    ruled = len({row.behind for row in rows}) > 1
    drawn = by_shares(case.order_id, scene.policy.shares, {row.rail for row in rows})
    rest = drawn.get(None, len(drawn))
    options = (
        _Option(
            way,
            row,
            (number, row.behind, drawn.get(row.rail, rest), row.score.of(units), row.order),
            row.rail in drawn,
            ruled and not row.behind,
        )
        for row in rows
    )
    by_rail: dict[str, _Option] = {}
    for option in sorted(options, key=_place):
        by_rail.setdefault(option.row.rail, option)
    return list(by_rail.values())


def _place(option: _Option) -> tuple[int, bool, int, int, int]:
    return option.place


def _explored(case: Case, able: Sequence[_Option], scene: Scene) -> _Option | None:
    """One that would be first had nothing been learned, or of which little is known beside what is known of the first."""
    number, point = divmod(draw(case.order_id, case.version), 100)
    head, units = able[0], case.deliver.units
    if point >= scene.policy.explore_percent or case.tried or head.drawn:
        return None
    others = [
        one
        for one in able[1:]
        if one.place[:3] == head.place[:3]
        and (
            (one.row.guess.of(units), one.row.order) < (head.row.guess.of(units), head.row.order)
            or one.row.facts.outlook.samples < FEW <= head.row.facts.outlook.samples
        )
    ]
    return others[number % len(others)] if others else None


def _why(option: _Option, *, planned: bool, explored: bool) -> str:
    words = (("planned", planned), ("explored", explored), ("preferred", option.ruled), ("share", option.drawn))
    return next((word for word, holds in words if holds), "score")


def _left(case: Case, could: Sequence[_Option], tables: Iterable[tuple[Way, Table]]) -> Sequence[_Option] | Hold:
    """Those that may still be tried."""
    if any(attempt.outcome not in OVER for attempt in case.tried):
        return Hold(ATTEMPT_NOT_OVER)
    if not could:
        units = case.deliver.units
        kept = any(one.reason == POLICY and not units % one.step for _, table in tables for one in table.refused)
        return Hold(NO_RAIL_ALLOWED if kept else NO_RAIL)
    return _not_given_up(case, could) if case.tried else could


def _not_given_up(case: Case, could: Sequence[_Option]) -> Sequence[_Option] | Hold:
    """What may still be tried after what was tried, the least tried first."""
    spent, out = _spent(case), _out(case)
    working = [one for one in could if one.row.rail not in out]
    left = [one for one in working if one.way.rank not in spent]
    if left and len(case.tried) < FAILURES_MOST:
        tries = Counter(attempt.rail for attempt in case.tried if attempt.fault != Fault.RECIPIENT)
        # The sort is stable: among rails that failed equally often the recipient's order holds, then the policy's.
        return sorted(left, key=lambda one: tries[one.row.rail])
    if left or not working:
        return Hold(RAIL_UNAVAILABLE)
    return Hold(RETURNED if case.tried[-1].outcome == Outcome.RETURNED else RECIPIENT_REFUSED)


def _spent(case: Case) -> set[int]:
    return {attempt.way for attempt in case.tried if attempt.fault == Fault.RECIPIENT}


def _out(case: Case) -> set[str]:
    return {attempt.rail for attempt in case.tried if attempt.fault == Fault.RAIL}


def _reached(
    case: Case, rooms: Sequence[tuple[_Option, _Full | None]], now: datetime
) -> Sequence[tuple[_Option, _Full | None]]:
    """Those of the ways that were tried and of the first one that wasn't; of the next ones while none of them has room."""
    if len(case.ways) == 1:
        return rooms
    reach = {attempt.way for attempt in case.tried}
    takes = {one.way.rank for one, why in rooms if why is None or why.is_brief(now)}
    left = {one.way.rank for one, _ in rooms}
    for way in case.ways:
        if way.rank in left and way.rank not in reach:
            reach.add(way.rank)
            if not takes.isdisjoint(reach):
                break
    return [(one, why) for one, why in rooms if one.way.rank in reach]


def _full(case: Case, room: Room | None) -> _Full | None:
    """When a rail may have room again, and why it has none; None: it has."""
    if room is None:
        return None
    if room.most <= 0:
        return _Full(room.again_at, room.reason or RAIL_FULL)
    if room.left is not None and room.left.get(case.deliver.asset.code, 0) < case.deliver.units:
        return _Full(room.again_at, FLOAT_LOW)
    return None


def _refusals(case: Case, judged: _Judged) -> Iterator[Refusal]:
    units = case.deliver.units
    for one, why in judged.full:
        reason, detail = (FLOAT_LOW, "") if why.reason == FLOAT_LOW else (RAIL_FULL, why.reason)
        yield Refusal(one.row.rail, one.way.rank, reason, detail, _numbers(one, units))
    asked = {(one.row.rail, one.way.rank) for one, _ in (*judged.able, *judged.full)}
    spent, out = _spent(case), _out(case)
    for one in judged.could:
        if (one.row.rail, one.way.rank) not in asked:
            reason = RECIPIENT_REFUSED if one.way.rank in spent else RAIL_UNAVAILABLE if one.row.rail in out else EARLIER_WAY
            if isinstance(judged.choice, Hold) and reason == EARLIER_WAY:
                reason = judged.choice.reason
            yield Refusal(one.row.rail, one.way.rank, reason, "", _numbers(one, units))
    for way, table in judged.tables:
        able = {row.rail for row in table.rows if not units % row.step}
        yield from (Refusal(row.rail, way.rank, AMOUNT) for row in table.rows if row.rail not in able)
        yield from (Refusal(one.rail, way.rank, one.reason) for one in table.refused)


def _numbers(option: _Option, units: int) -> Numbers:
    return numbers(option.row.facts, option.row.score, units=units)
