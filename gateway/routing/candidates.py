"""Who could pay what, by which score: tables that are worked out once and read once per order.

A place is a country, a method, a currency and an institution. Its amounts fall into pieces, at whose ends a limit, a
tariff, a band of experience or a rule begins or ends: within one, a table has one line per rail. Tables hold for an hour, or
for a minute where calendars have to be looked at, and are made when they are asked for.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from typing import NamedTuple

from gateway.money import Asset, Money
from gateway.offramp import Capabilities, Corridor
from gateway.pricing.tariffs import Schedule, Tariffs
from gateway.routing.calendar import Hours, of_cut_offs, wait_s
from gateway.routing.experience import Experience, Outlook
from gateway.routing.policy import Policy, Rule
from gateway.routing.score import Facts, Line, line

POLICY = "policy"
"""A refusal's reason: the operator's rules keep the rail from this payment."""
AMOUNT = "amount"
"""A refusal's reason: the rail pays there, but not so much, so little, or in such steps."""
INSTITUTION = "institution"
"""A refusal's reason: the rail doesn't reach the recipient's bank or wallet."""
ANY = ""
"""In place of an institution that nobody has named yet: whichever it will be."""
_FURTHER = (AMOUNT, INSTITUTION, POLICY)
"""Which reason says most of a rail with several corridors there."""
DIGITS_MOST = 40
"""Of an amount in units."""
_BAND_STARTS = tuple(start for digits in range(DIGITS_MOST) for start in (10**digits, 3 * 10**digits))
"""Where the bands of `experience.band_of` begin."""


class Row(NamedTuple):
    """A rail that can pay such amounts there."""

    rail: str
    order: int
    """In the operator's order."""
    step: int
    behind: bool
    """Others are preferred by a rule."""
    facts: Facts
    score: Line
    guess: Line
    """The score if nothing had been learned."""


class Refused(NamedTuple):
    """A rail that pays there, but not this."""

    rail: str
    step: int
    reason: str


@dataclass(frozen=True, slots=True)
class Table:
    """Who could pay amounts of one piece."""

    rows: tuple[Row, ...]
    refused: tuple[Refused, ...]
    shares: Mapping[str, int]
    """Of rails in `rows`."""
    lines: tuple[tuple[int, int, str, int], ...]
    """(fixed, rate, rail, step) of each row."""
    plain: bool
    """Whether scores alone decide: no shares, none preferred."""
    explorable: bool
    """Whether anything was learned of one of several rails."""


class _Member(NamedTuple):
    rail: str
    order: int
    corridor: Corridor
    reached: bool
    """Whether it pays to the institution."""
    charge: Schedule
    cash_out: Schedule
    own: tuple[Hours, ...]
    counter: tuple[Hours, ...]


class _Spot(NamedTuple):
    """A place; method as text."""

    country: str
    method: str
    asset: Asset
    institution: str | None


@dataclass(slots=True)
class _Place:
    members: Sequence[_Member]
    rules: Sequence[Rule]
    starts: Sequence[int]
    """The first amount of every piece but the lowest."""
    by_partner: bool
    tables: dict[tuple[int, str | None], Table] = field(default_factory=dict)


class Tables:
    """All tables of a scene."""

    def __init__(
        self,
        *,
        capabilities: Mapping[str, Capabilities],
        tariffs: Tariffs,
        policy: Policy,
        experience: Experience,
        hours: Sequence[Hours],
    ) -> None:
        self._capabilities, self._tariffs, self._policy, self._experience = capabilities, tariffs, policy, experience
        self._hours = hours
        self._guessing = Experience(experience.capabilities)
        self.timed = bool(hours) or any(one.cut_offs for one in capabilities.values())
        """Whether calendars have to be looked at."""
        self._places: dict[tuple[str, str, Asset, str | None], _Place] = {}
        self._asked_at: datetime | None = None
        self._moment: datetime | None = None

    def find(
        self, country: str, method: str, institution: str | None, deliver: Money, partner: str | None, now: datetime
    ) -> Table:
        """The table for a payment. Experience counts by the hour (UTC), calendars by the minute. `institution`: or `ANY`."""
        if now is not self._asked_at:
            self._turn(now)
        place = self._places.get((country, method, deliver.asset, institution))
        if place is None:
            place = self._open(_Spot(country, method, deliver.asset, institution))
        key = bisect_right(place.starts, deliver.units), partner if place.by_partner else None
        table = place.tables.get(key)
        if table is None:
            table = place.tables[key] = self._make(place, deliver, institution, partner)
        return table

    def _turn(self, now: datetime) -> None:
        moment = now.replace(second=0, microsecond=0) if self.timed else now.replace(minute=0, second=0, microsecond=0)
        if moment != self._moment:
            for place in self._places.values():
                place.tables.clear()
        self._asked_at, self._moment = now, moment

    def _open(self, spot: _Spot) -> _Place:
        there = [
            (rail, order, corridor)
            for order, (rail, known) in enumerate(self._capabilities.items())
            for corridor in known.corridors
            if (corridor.country, corridor.method, corridor.asset) == (spot.country, spot.method, spot.asset)
        ]
        named = {one.code for _, _, corridor in there for one in corridor.institutions}
        members = [self._member(rail, order, corridor, spot, alone=len(named) == 1) for rail, order, corridor in there]
        rules = [rule for rule in self._policy.rules if _concerns(rule, spot)]
        place = _Place(members, rules, sorted(set(_starts(members, rules))), any(rule.partner for rule in rules))
        if there:
            self._places[spot] = place
        return place

    def _member(self, rail: str, order: int, corridor: Corridor, spot: _Spot, *, alone: bool) -> _Member:
        codes = {one.code for one in corridor.institutions}
        # Where there is only one, nobody has to have named it.
        reached = not codes or spot.institution in codes or spot.institution == ANY or (alone and spot.institution is None)
        asked = (rail, spot.country, spot.asset.code, spot.method, spot.institution or None)
        fits = {"rail": rail, "country": spot.country, "method": spot.method}
        return _Member(
            rail,
            order,
            corridor,
            reached,
            *self._tariffs.schedules(*asked),
            of_cut_offs(self._capabilities[rail].cut_offs, country=spot.country),
            tuple(one for one in self._hours if one.fits(**fits, institution=spot.institution or None)),
        )

    def _make(self, place: _Place, deliver: Money, institution: str | None, partner: str | None) -> Table:
        rules = [rule for rule in place.rules if _counts(rule, deliver, partner)]
        preferred = frozenset(chain.from_iterable(rule.prefer for rule in rules))
        rows: list[Row] = []
        refused: dict[str, Refused] = {}
        for member in place.members:
            reason = _refusal(member, deliver.units, rules)
            if reason is None:
                rows.append(self._row(member, deliver, institution, behind=member.rail not in preferred))
            elif member.rail not in refused or _FURTHER.index(reason) > _FURTHER.index(refused[member.rail].reason):
                refused[member.rail] = Refused(member.rail, member.corridor.step.units, reason)
        able = {row.rail for row in rows}
        shares = {rail: share for rail, share in self._policy.shares.items() if rail in able}
        lines = tuple((row.score.fixed, row.score.rate, row.rail, row.step) for row in rows)
        learned = self._policy.explore_percent > 0 and len(able) > 1 and any(row.facts.outlook.samples for row in rows)
        plain = not shares and len({row.behind for row in rows}) <= 1
        return Table(
            tuple(rows), tuple(one for one in refused.values() if one.rail not in able), shares, lines, plain, learned
        )

    def _row(self, member: _Member, deliver: Money, institution: str | None, *, behind: bool) -> Row:
        assert self._moment is not None
        units, asked = deliver.units, (self._moment.hour, deliver.asset.code, deliver.units)
        charge = max(member.charge.at(units).costs, key=lambda cost: cost.of(units))
        cash_out = max(member.cash_out.at(units).costs, key=lambda cost: cost.of(units))
        waiting = wait_s(member.own, member.counter, now=self._moment) if member.own or member.counter else 0

        def facts(outlook: Outlook) -> Facts:
            return Facts(charge, cash_out, waiting, outlook)

        weights = self._policy.weights
        learned = facts(self._experience.look(member.rail, institution or None, *asked))
        guess = facts(self._guessing.look(member.rail, None, 0, "", 1))
        step = member.corridor.step.units
        return Row(member.rail, member.order, step, behind, learned, line(learned, weights), line(guess, weights))


def _starts(members: Iterable[_Member], rules: Iterable[Rule]) -> Iterable[int]:
    yield from _BAND_STARTS
    for member in members:
        yield from (member.corridor.least.units, member.corridor.most.units + 1)
        yield from (band.most + 1 for schedule in (member.charge, member.cash_out) for band in schedule.bands)
    for rule in rules:
        if rule.above is not None:
            yield rule.above.units + 1
        if rule.below is not None:
            yield rule.below.units


def _refusal(member: _Member, units: int, rules: Iterable[Rule]) -> str | None:
    if not member.corridor.least.units <= units <= member.corridor.most.units:
        return AMOUNT
    if not member.reached:
        return INSTITUTION
    return POLICY if any(rule.excludes(member.rail) for rule in rules) else None


def _concerns(rule: Rule, spot: _Spot) -> bool:
    asked = (rule.country, rule.method, rule.currency, rule.institution)
    given = (spot.country, spot.method, spot.asset.code, spot.institution or None)
    limits = (one for one in (rule.above, rule.below) if one is not None)
    return all(wanted in (None, one) for wanted, one in zip(asked, given, strict=True)) and all(
        one.asset == spot.asset for one in limits
    )


def _counts(rule: Rule, deliver: Money, partner: str | None) -> bool:
    return rule.partner in (None, partner) and rule.fits(deliver)
