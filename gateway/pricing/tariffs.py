"""What others charge beside us: a rail for a payout, and whoever hands the cash to the recipient. Pure, in whole units.

A tariff is a table of bands, as providers publish them: up to this amount so much, and a share of the amount. Of several
tariffs that fit a payment the most particular one counts: one for the rail before one for any, then one for the institution,
then for the method, then for the country. Above its last band a tariff goes on as in that band.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

from gateway.money import Money, share_up, without_share
from gateway.offramp import Corridor

ENDLESS = 10**78
"""More units than any amount has."""


class Cost(NamedTuple):
    """So many units, and so many millionths of the amount, rounded up."""

    fixed: int = 0
    ppm: int = 0

    def of(self, units: int) -> int:
        """For an amount."""
        return self.fixed + share_up(units, ppm=self.ppm)


class Band(NamedTuple):
    """Up to and with `most` units it costs the dearest of `costs`."""

    most: int
    costs: tuple[Cost, ...]


@dataclass(frozen=True, slots=True)
class Schedule:
    """A cost by amount: bands in rising order, of which the last one has no end."""

    bands: tuple[Band, ...] = (Band(ENDLESS, (Cost(),)),)

    def of(self, units: int) -> int:
        """What `units` cost."""
        costs = self.at(units).costs
        return costs[0].of(units) if len(costs) == 1 else max(cost.of(units) for cost in costs)

    def at(self, units: int) -> Band:
        """The band in which `units` are."""
        return self.bands[bisect_left(self.bands, units, key=_most)]

    def most_within(self, total: Money, step: Money) -> Money:
        """The largest multiple of `step` that comes to at most `total` together with its own cost; 0 if there is none."""
        first = len(self.bands)
        while first:
            first -= 1
            band, above = self.bands[first], self.bands[first - 1].most if first else 0
            units = min(band.most, *(without_share(total.units - cost.fixed, ppm=cost.ppm) for cost in band.costs))
            found = Money(max(units, 0), total.asset).floor_to(step)
            if above < found.units:
                return found
        return Money(0, total.asset)


FREE = Schedule()


def _most(band: Band) -> int:
    return band.most


class Priced(NamedTuple):
    """A schedule that counts for amounts from `least` to `most`."""

    least: int
    most: int
    schedule: Schedule


def first_of(priced: Sequence[Priced]) -> Schedule:
    """For each amount the cost by the first that counts for it; nothing where none does."""
    return _spliced(priced, most=1)


def dearest_of(priced: Sequence[Priced]) -> Schedule:
    """For each amount the highest cost by any that counts for it; nothing where none does."""
    return _spliced(priced, most=len(priced))


def _spliced(priced: Sequence[Priced], *, most: int) -> Schedule:
    ends = {ENDLESS, *(end for one in priced for end in (one.least - 1, one.most))}
    ends.update(band.most for one in priced for band in one.schedule.bands)
    bands: list[Band] = []
    for end in sorted(ends - {0, -1}):
        counting = [one.schedule for one in priced if one.least <= end <= one.most][:most]
        costs = tuple(dict.fromkeys(cost for schedule in counting for cost in schedule.at(end).costs)) or (Cost(),)
        if bands and bands[-1].costs == costs:
            bands.pop()
        bands.append(Band(end, costs))
    return Schedule(tuple(bands))


class Key(NamedTuple):
    """Which payments a tariff is for; None: any."""

    rail: str | None
    country: str | None
    currency: str
    method: str | None
    institution: str | None


class Tariffs:
    """All tariffs. What is asked once is remembered: asking again takes well under a microsecond."""

    def __init__(
        self, charges: Mapping[Key, Schedule] | None = None, cash_outs: Mapping[Key, Schedule] | None = None
    ) -> None:
        self.charges, self.cash_outs = charges or {}, cash_outs or {}
        self._charges, self._cash_outs = _Lookup(self.charges), _Lookup(self.cash_outs)

    def charge(self, rail: str, country: str, currency: str, method: str, institution: str | None, units: int) -> int:
        """What the rail takes from us for a payout of `units`."""
        return self._charges[rail, country, currency, method, institution].of(units)

    def cash_out(self, rail: str, country: str, currency: str, method: str, institution: str | None, units: int) -> int:
        """What the recipient of `units` pays to have them in cash."""
        return self._cash_outs[rail, country, currency, method, institution].of(units)

    def charges_of(self, rail: str, corridor: Corridor) -> Schedule:
        """What the rail charges there; while nobody knows to which of its institutions, as for the dearest of them."""
        return _priced(self._charges, rail, corridor).schedule

    def schedules(
        self, rail: str, country: str, currency: str, method: str, institution: str | None
    ) -> tuple[Schedule, Schedule]:
        """What the rail takes from us there, and what its recipients pay for cash."""
        asked = (rail, country, currency, method, institution)
        return self._charges[asked], self._cash_outs[asked]

    def charge_of_first(self, rails: Iterable[tuple[str, Corridor]]) -> Schedule:
        """What the first of these rails charges that pays the amount.

        While nobody knows to which of its institutions, the dearest of them counts.
        """
        return first_of([_priced(self._charges, rail, corridor) for rail, corridor in rails])

    def cash_out_at_most(self, rails: Iterable[tuple[str, Corridor]]) -> Schedule:
        """What a recipient pays at most for cash, by whichever of these rails and to whichever of their institutions."""
        return dearest_of([_priced(self._cash_outs, rail, corridor) for rail, corridor in rails])


class _Lookup(dict[tuple[str, str, str, str, str | None], Schedule]):
    """Filled as it is asked."""

    def __init__(self, rules: Mapping[Key, Schedule]) -> None:
        super().__init__()
        self._rules = rules

    def __missing__(self, asked: tuple[str, str, str, str, str | None]) -> Schedule:
        rail, country, currency, method, institution = asked
        choices = product((rail, None), (institution, None), (method, None), (country, None))
        keys = (Key(rail, country, currency, method, institution) for rail, institution, method, country in choices)
        found = self[asked] = next((self._rules[key] for key in keys if key in self._rules), FREE)
        return found


def _priced(lookup: _Lookup, rail: str, corridor: Corridor) -> Priced:
    country, currency, method = corridor.country, corridor.asset.code, corridor.method
    codes: Sequence[str | None] = [one.code for one in corridor.institutions] or [None]
    each = [Priced(0, ENDLESS, lookup[rail, country, currency, method, code]) for code in codes]
    return Priced(corridor.least.units, corridor.most.units, dearest_of(each))
