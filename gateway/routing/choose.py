"""Which rail pays an order, and by which way to its recipient. A plain function of values: no clock, no database.

A failure says what may still be tried. The recipient's (a wrong number, a full wallet): that way is spent, with every rail,
for a wrong number is wrong everywhere. The rail's: that rail is out for this order. Anything else passes: the same rail may
try again, after those that failed less often. Only ways that the recipient gave beforehand are taken: where another would
help, the order is held and they are asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

from gateway.money import Asset, Money
from gateway.offramp import Capabilities, Corridor, Fault, Method, Outcome

FAILURES_MOST = 150
"""Failed attempts after which the order is held for a person: about a day."""
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


@dataclass(frozen=True, slots=True)
class Case:
    """An order to pay. `ways` best first, `tried` oldest first.

    `tried` leaves out what kept a rail from paying before a person let the order go on: it gets another chance then.
    """

    country: str
    deliver: Money
    ways: Sequence[Way]
    tried: Sequence[Tried] = ()


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


@dataclass(frozen=True, slots=True)
class Pay:
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


def choose(case: Case, *, capabilities: Mapping[str, Capabilities], allowances: Mapping[str, Room]) -> Choice:
    """Exactly one answer for a funded order.

    `capabilities` are in the operator's order of preference and must not change while they are in use: what they say is
    looked up once per mapping. A rail without an allowance has room for anything.
    """
    possible: Sequence[tuple[str, Way]] = _possible(case, capabilities)
    if any(attempt.outcome not in OVER for attempt in case.tried):
        return Hold(ATTEMPT_NOT_OVER)
    if not possible:
        return Hold(NO_RAIL)
    if case.tried:
        left = _not_given_up(case, possible)
        if isinstance(left, Hold):
            return left
        possible = left
    elif possible[-1][1] is not possible[0][1]:
        possible = _reached(case, possible)
    return _first_with_room(case, possible, allowances)


def _not_given_up(case: Case, possible: Sequence[tuple[str, Way]]) -> Sequence[tuple[str, Way]] | Hold:
    """What may still be tried after what was tried, the least tried first."""
    spent = {attempt.way for attempt in case.tried if attempt.fault == Fault.RECIPIENT}
    out = {attempt.rail for attempt in case.tried if attempt.fault == Fault.RAIL}
    working = [(rail, way) for rail, way in possible if rail not in out]
    left = [(rail, way) for rail, way in working if way.rank not in spent]
    if left and len(case.tried) < FAILURES_MOST:
        tries = Counter(attempt.rail for attempt in case.tried if attempt.fault != Fault.RECIPIENT)
        # The sort is stable: among rails that failed equally often the recipient's order holds, then the operator's.
        return sorted(_reached(case, left), key=lambda candidate: tries[candidate[0]])
    if left or not working:
        return Hold(RAIL_UNAVAILABLE)
    return Hold(RETURNED if case.tried[-1].outcome == Outcome.RETURNED else RECIPIENT_REFUSED)


def _reached(case: Case, possible: Sequence[tuple[str, Way]]) -> Sequence[tuple[str, Way]]:
    """Those of the first way that is left and of every next one, up to one by which nothing was tried yet."""
    tried = {attempt.way for attempt in case.tried}
    untried = next((way for _, way in possible if way.rank not in tried), None)
    return possible if untried is None else [one for one in possible if one[1].rank in tried or one[1] == untried]


def _first_with_room(case: Case, possible: Iterable[tuple[str, Way]], allowances: Mapping[str, Room]) -> Pay | Wait:
    full: list[tuple[datetime | None, str]] = []
    for rail, way in possible:
        room = allowances.get(rail)
        if room is None:
            return Pay(rail, way.rank)
        if room.most <= 0:
            full.append((room.again_at, room.reason or RAIL_FULL))
        elif room.left is not None and room.left.get(case.deliver.asset.code, 0) < case.deliver.units:
            full.append((room.again_at, FLOAT_LOW))
        else:
            return Pay(rail, way.rank)
    known = [(again_at, reason) for again_at, reason in full if again_at is not None]
    return Wait(*min(known)) if known else Wait(None, full[0][1])


def _possible(case: Case, capabilities: Mapping[str, Capabilities]) -> list[tuple[str, Way]]:
    """Rails with the ways by which they could pay, the recipient's first way first, then the operator's first rail."""
    corridors = _corridors(capabilities)
    asset, units = case.deliver.asset, case.deliver.units
    return [
        (rail, way)
        for way in case.ways
        for rail, least, most, step, reached in corridors.get((case.country, way.method, asset), ())
        if least <= units <= most and not units % step and (not reached or way.institution in reached)
    ]


class _Limits(NamedTuple):
    rail: str
    least: int
    most: int
    step: int
    reached: frozenset[str | None]
    """Codes of the banks or wallets; none: the account says it all."""


_Corridors = Mapping[tuple[str, str, Asset], Sequence[_Limits]]

_latest: tuple[Mapping[str, Capabilities], _Corridors] = ({}, {})


def _corridors(capabilities: Mapping[str, Capabilities]) -> _Corridors:
    """Who pays where, by country, method and asset. Kept for the latest mapping: it is asked per order."""
    global _latest  # noqa: PLW0603 - replaced whole, and only what could be computed again
    known, corridors = _latest
    if known is not capabilities:
        corridors = _by_place(capabilities)
        _latest = capabilities, corridors
    return corridors


def _by_place(capabilities: Mapping[str, Capabilities]) -> _Corridors:
    found: dict[tuple[str, str, Asset], list[_Limits]] = {}
    named: dict[tuple[str, str, Asset], set[str]] = {}
    for abilities in capabilities.values():
        for corridor in abilities.corridors:
            named.setdefault(_place(corridor), set()).update(one.code for one in corridor.institutions)
    for rail, abilities in capabilities.items():
        for corridor in abilities.corridors:
            codes: set[str | None] = {one.code for one in corridor.institutions}
            found.setdefault(_place(corridor), []).append(
                _Limits(
                    rail,
                    corridor.least.units,
                    corridor.most.units,
                    corridor.step.units,
                    # Where there is only one, nobody has to have named it.
                    frozenset(codes | {None} if codes and len(named[_place(corridor)]) == 1 else codes),
                )
            )
    return found


def _place(corridor: Corridor) -> tuple[str, Method, Asset]:
    return corridor.country, corridor.method, corridor.asset
