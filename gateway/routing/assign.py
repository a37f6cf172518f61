"""A whole backlog assigned at once: which rail pays which payout, under float and limits, near the least total cost.

Payout by payout, the first ones take the cheap float, whoever it would have saved more. Here the relaxed problem, in which a
payout may be split between rails, is solved exactly per currency (`gateway.routing.transport`); that splits few payouts, a
handful per rail. These are rounded to a rail that has room, and what the rounding left of cheap float is filled up by
exchanges that save. How many payouts a rail takes isn't money: if that is what binds, each payout there is charged a toll,
at which about as many want the rail as it takes (`gateway.routing.tolls`).

Pure: arrays in, arrays out. Every payout is assigned or named as unplaced, and nothing exceeds float or limits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gateway.routing.choose import FLOAT_LOW, NO_RAIL, RAIL_FULL
from gateway.routing.tolls import tolls
from gateway.routing.transport import NO_WAY, Backlog, Ints, Marks, Relaxed, relax

_PASSES = 2
_SEARCHES = 200
"""Payouts without room for which another one's move is looked for: a few milliseconds each."""
_MARGINAL = 48
"""Payouts of a rail that are considered for an exchange with another one."""
_PAIRED = 12
"""Of these, so many also in pairs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """By payout: its rail's number, `NO_WAY` if it is unplaced."""

    rail: Ints
    unplaced: dict[int, str]
    """Reasons (gateway.routing.choose) by number of payout."""
    cost: int
    """Of all that are placed."""
    bound: int
    """No assignment of all of them could cost less; means nothing if some are unplaced."""


def assign(backlog: Backlog) -> Assignment:
    """Assign all payouts at once."""
    free = _relax(backlog, np.zeros(len(backlog.slots), np.int64))
    wanted = np.zeros(len(backlog.slots), np.int64)
    for _, rails, relaxed in free.parts:
        np.add.at(wanted, rails[relaxed.rail[relaxed.rail >= 0]], 1)
    if (wanted <= backlog.slots).all():
        return _rounded(backlog, free)
    return _rounded(backlog, _relax(backlog, tolls(backlog)))


class _Part(NamedTuple):
    """The payouts and rails of one currency, and what the relaxed problem says of them."""

    payouts: Ints
    rails: Ints
    relaxed: Relaxed


class _Tolled(NamedTuple):
    """The relaxed problems of all currencies, with a toll on each payment of a rail."""

    parts: list[_Part]
    bound: int


def _relax(backlog: Backlog, toll: Ints) -> _Tolled:
    cost = np.where((backlog.cost >= 0) & (backlog.slots > 0), backlog.cost + toll, NO_WAY)
    parts = [
        _Part(
            payouts,
            rails,
            relax(units=backlog.units[payouts], cost=cost[np.ix_(payouts, rails)], room=backlog.floats[rails, currency]),
        )
        for payouts, rails, currency in _currencies(backlog)
    ]
    paid = int(np.dot(toll, np.minimum(backlog.slots, len(cost))))
    return _Tolled(parts, sum(relaxed.bound for _, _, relaxed in parts) - paid)


def _rounded(backlog: Backlog, tolled: _Tolled) -> Assignment:
    desk = _Desk(backlog)
    for payouts, rails, relaxed in tolled.parts:
        desk.take(payouts[relaxed.whole], rails[relaxed.rail[relaxed.whole]])
    desk.keep_slots(tolled.parts)
    for part in tolled.parts:
        desk.round(*part)
    for part in tolled.parts:
        desk.improve(*part)
    # Exchanges and moves may have made room for whom there was none, also in other currencies: places are shared.
    unplaced, before = desk.unplaced(), len(desk.rail) + 1
    while 0 < unplaced < before:
        for part in tolled.parts:
            desk.round(*part)
        unplaced, before = desk.unplaced(), unplaced
    return desk.result(bound=tolled.bound)


def _currencies(backlog: Backlog) -> Iterator[tuple[Ints, Ints, int]]:
    """Payouts and rails of each currency: without tolls they have nothing to do with one another."""
    cost = backlog.cost
    payable = (cost >= 0).any(axis=1)
    for currency in np.unique(backlog.currency[payable]):
        payouts = np.flatnonzero(payable & (backlog.currency == currency))
        rails = np.flatnonzero((cost[payouts] >= 0).any(axis=0) & (backlog.floats[:, currency] > 0))
        if len(rails):
            yield payouts, rails, int(currency)


class _Groups(NamedTuple):
    """Payouts that may move together: `payouts` one by one, then pairs of them."""

    payouts: Ints
    first: NDArray[np.intp]
    second: NDArray[np.intp]
    units: Ints
    gain: Ints
    number: Ints

    def members(self, group: int) -> Ints:
        if group <= len(self.payouts):
            return self.payouts[max(group - 1, 0) : group]
        pair = group - 1 - len(self.payouts)
        return self.payouts[[self.first[pair], self.second[pair]]]


class _Desk:
    """What is assigned so far, and what is left of float and slots: every change goes through `take` and `drop`."""

    def __init__(self, backlog: Backlog) -> None:
        self.units, self.currency, self.cost = backlog.units, backlog.currency, backlog.cost
        self.left = backlog.floats.copy()
        self.slots = backlog.slots.copy()
        self.rail = np.full(len(backlog.units), NO_WAY, np.int64)
        self.searches = _SEARCHES

    def unplaced(self) -> int:
        return int((self.rail < 0).sum())

    def take(self, payouts: Ints, rails: Ints) -> None:
        self.rail[payouts] = rails
        np.subtract.at(self.left, (rails, self.currency[payouts]), self.units[payouts])
        np.subtract.at(self.slots, rails, 1)

    def drop(self, payouts: Ints) -> None:
        rails = self.rail[payouts]
        np.add.at(self.left, (rails, self.currency[payouts]), self.units[payouts])
        np.add.at(self.slots, rails, 1)
        self.rail[payouts] = NO_WAY

    def fits(self, payout: int, rails: Ints) -> Marks:
        room = (self.left[rails, self.currency[payout]] >= self.units[payout]) & (self.slots[rails] > 0)
        return np.asarray(room & (self.cost[payout, rails] >= 0))

    def keep_slots(self, parts: Sequence[_Part]) -> None:
        """Drop from rails that have more payouts than slots those that lose least by going elsewhere."""
        for rail in np.flatnonzero(self.slots < 0).tolist():
            payouts, losses = [], []
            for part in parts:
                at = np.flatnonzero(self.rail[part.payouts] == rail)
                relaxed, number = part.relaxed, np.flatnonzero(part.rails == rail)
                if len(at):
                    priced = relaxed.rates[at] + relaxed.prices
                    here = priced[:, number].ravel()
                    priced[:, number] = relaxed.unplaced
                    payouts.append(part.payouts[at])
                    losses.append((priced.min(axis=1) - here) * (self.units[part.payouts[at]] / relaxed.scale))
            order = np.argsort(np.concatenate(losses), kind="stable")
            self.drop(np.concatenate(payouts)[order[: -int(self.slots[rail])]])

    def round(self, payouts: Ints, rails: Ints, relaxed: Relaxed) -> None:
        """Place what was split or dropped, the largest first, where it costs least, its float counted at its price."""
        open_ones = np.flatnonzero(self.rail[payouts] < 0)
        order = np.argsort(-self.units[payouts[open_ones]], kind="stable")
        for one in open_ones[order]:
            payout = int(payouts[one])
            fits = self.fits(payout, rails)
            if fits.any():
                priced = np.where(fits, relaxed.rates[one] + relaxed.prices, np.iinfo(np.int64).max)
                self.take(payouts[[one]], rails[[int(priced.argmin())]])
            else:
                self._make_room(payout, payouts, rails)

    def _make_room(self, payout: int, payouts: Ints, rails: Ints) -> None:
        """Place a payout that finds no room by moving another one that is placed, at the least cost."""
        found: tuple[int, int, int, int] | None = None
        currency, size = self.currency[payout], self.units[payout]
        if not self.searches or self.left[rails, currency].sum() < size:
            return
        self.searches -= 1
        for rail in rails[self.cost[payout, rails] >= 0]:
            at = payouts[(self.rail[payouts] == rail) & (self.left[rail, currency] + self.units[payouts] >= size)]
            for other in rails[(rails != rail) & (self.slots[rails] > 0)]:
                fits = at[(self.cost[at, other] >= 0) & (self.units[at] <= self.left[other, currency])]
                if len(fits) and self.slots[rail] >= 0:
                    change = self.cost[fits, other] - self.cost[fits, rail]
                    cheapest = int(change.argmin())
                    total = int(change[cheapest] + self.cost[payout, rail])
                    found = min(found or (total + 1, 0, 0, 0), (total, int(fits[cheapest]), int(rail), int(other)))
        if found is not None:
            _, moved, rail, other = found
            self.drop(np.array([moved]))
            self.take(np.array([moved]), np.array([other]))
            self.take(np.array([payout]), np.array([rail]))

    def improve(self, payouts: Ints, rails: Ints, relaxed: Relaxed) -> None:
        """Fill what is left of dear float: exchange payouts between pairs of rails as long as that saves."""
        order = np.argsort(-relaxed.prices, kind="stable")
        for _ in range(_PASSES):
            saved = 0
            for first, one in enumerate(order):
                for other in order[first + 1 :]:
                    while saving := self._exchange(payouts, rails, relaxed, one, other):
                        saved += saving
            if not saved:
                break

    def _exchange(self, payouts: Ints, rails: Ints, relaxed: Relaxed, one: int, other: int) -> int:
        """Move up to two payouts from one rail to the other, and up to two back: what saves most. Returns how much.

        Looked at are those that the rails' prices put between the two, for they cost least to move.
        """
        here, there = rails[one], rails[other]
        currency = self.currency[payouts[0]]
        going = self._groups(self._marginal(payouts, relaxed, rails, one, other), here, there)
        coming = self._groups(self._marginal(payouts, relaxed, rails, other, one), there, here)
        more, number = coming.units - going.units[:, None], coming.number - going.number[:, None]
        fits = (more <= self.left[here, currency]) & (-more <= self.left[there, currency])
        fits &= (number <= self.slots[here]) & (-number <= self.slots[there])
        saving = np.where(fits, going.gain[:, None] + coming.gain, 0)
        leaving, arriving = divmod(int(saving.argmax()), len(coming.gain))
        if saving[leaving, arriving] <= 0:
            return 0
        gone, come = going.members(leaving), coming.members(arriving)
        self.drop(np.append(gone, come))
        self.take(gone, np.full(len(gone), there))
        self.take(come, np.full(len(come), here))
        return int(saving[leaving, arriving])

    def _marginal(self, payouts: Ints, relaxed: Relaxed, rails: Ints, one: int, other: int) -> Ints:
        """Payouts of a rail that lose least by going to another one, its float counted at its price; the least first."""
        at = np.flatnonzero((self.rail[payouts] == rails[one]) & (self.cost[payouts, rails[other]] >= 0))
        loss = relaxed.rates[at, other] + relaxed.prices[other] - relaxed.rates[at, one]
        loss = loss * self.units[payouts[at]].astype(np.float64)
        if len(at) > _MARGINAL:
            nearest = np.argpartition(loss, _MARGINAL)[:_MARGINAL]
            at, loss = at[nearest], loss[nearest]
        return payouts[at[np.argsort(loss, kind="stable")]]

    def _groups(self, payouts: Ints, here: int, there: int) -> _Groups:
        """Nobody, each of them, and each pair of the first ones, with what going from here to there saves."""
        first, second = np.triu_indices(min(len(payouts), _PAIRED), k=1)
        nobody = np.zeros(1, np.int64)
        units, gain = self.units[payouts], self.cost[payouts, here] - self.cost[payouts, there]
        return _Groups(
            payouts,
            first,
            second,
            np.concatenate([nobody, units, units[first] + units[second]]),
            np.concatenate([nobody, gain, gain[first] + gain[second]]),
            np.concatenate([nobody, np.full(len(payouts), 1), np.full(len(first), 2)]),
        )

    def result(self, *, bound: int) -> Assignment:
        placed = np.flatnonzero(self.rail >= 0)
        unplaced = {int(payout): self._reason(int(payout)) for payout in np.flatnonzero(self.rail < 0)}
        cost = int(self.cost[placed, self.rail[placed]].sum())
        return Assignment(rail=self.rail, unplaced=unplaced, cost=cost, bound=bound)

    def _reason(self, payout: int) -> str:
        ways = self.cost[payout] >= 0
        if not ways.any():
            return NO_RAIL
        return RAIL_FULL if (self.left[ways, self.currency[payout]] >= self.units[payout]).any() else FLOAT_LOW
