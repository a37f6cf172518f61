"""Backlogs assigned as a whole: nothing exceeds float or limits, nobody is forgotten, and the total is near the least."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.routing.assign import Assignment, assign
from gateway.routing.choose import FLOAT_LOW, NO_RAIL, RAIL_FULL
from gateway.routing.transport import BOUNDLESS, NO_WAY, Backlog
from tests.bench.backlogs import make_backlog
from tests.unit.routing.highs import optimum


def backlog(*, units, cost, floats, slots=None, currency=None):
    """Of one currency unless said otherwise; `cost` by payout, `floats` by rail."""
    rails = len(floats)
    floats = [[one] for one in floats] if currency is None else floats
    return Backlog(
        units=np.array(units, np.int64),
        currency=np.array(currency or [0] * len(units), np.int64),
        cost=np.array(cost, np.int64).reshape(len(units), rails),
        floats=np.array(floats, np.int64),
        slots=np.array(slots or [BOUNDLESS] * rails, np.int64),
    )


def assert_within_limits(given: Backlog, found: Assignment) -> None:
    rails, currencies = given.floats.shape
    placed = np.flatnonzero(found.rail != NO_WAY)
    assert (given.cost[placed, found.rail[placed]] >= 0).all()
    promised = np.zeros((rails, currencies), np.int64)
    np.add.at(promised, (found.rail[placed], given.currency[placed]), given.units[placed])
    assert (promised <= given.floats).all()
    assert (np.bincount(found.rail[placed], minlength=rails) <= given.slots).all()
    assert set(found.unplaced) == set(np.flatnonzero(found.rail == NO_WAY).tolist())
    assert found.cost == given.cost[placed, found.rail[placed]].sum()


def room_left(given: Backlog, found: Assignment) -> np.ndarray:
    left = given.floats.copy()
    placed = np.flatnonzero(found.rail != NO_WAY)
    np.subtract.at(left, (found.rail[placed], given.currency[placed]), given.units[placed])
    return left


@st.composite
def backlogs(draw):
    payouts, rails, currencies = draw(st.integers(1, 25)), draw(st.integers(1, 6)), draw(st.integers(1, 3))
    whole = st.one_of(st.integers(1, 50), st.integers(1, 10**12))
    few = st.one_of(st.integers(0, 300), st.integers(0, 10**12), st.just(BOUNDLESS))
    places = st.one_of(st.integers(0, 6), st.just(BOUNDLESS))
    price = st.one_of(st.just(NO_WAY), st.integers(0, 40), st.integers(0, 10**9))

    def some(of, *shape):
        flat = draw(st.lists(of, min_size=int(np.prod(shape)), max_size=int(np.prod(shape))))
        return np.array(flat, np.int64).reshape(shape)

    return Backlog(
        units=some(whole, payouts),
        currency=some(st.integers(0, currencies - 1), payouts),
        cost=some(price, payouts, rails),
        floats=some(few, rails, currencies),
        slots=some(places, rails),
    )


@given(backlogs())
@settings(max_examples=100, deadline=None)
def test_no_backlog_exceeds_float_or_limits_and_each_payout_is_assigned_or_named(given):
    found = assign(given)
    assert_within_limits(given, found)
    left = room_left(given, found)
    for payout, reason in found.unplaced.items():
        ways = given.cost[payout] >= 0
        fits = ways & (left[:, given.currency[payout]] >= given.units[payout])
        taken = np.bincount(found.rail[found.rail >= 0], minlength=len(given.slots))
        assert not (fits & (taken < given.slots)).any(), "there was room for it"
        assert (reason == NO_RAIL) == (not ways.any())
        assert (reason == RAIL_FULL) == fits.any()


def test_the_cheap_float_goes_to_those_whom_it_saves_most():
    given = backlog(units=[100, 100, 100], cost=[[1, 2], [1, 9], [1, 5]], floats=[100, BOUNDLESS])
    assert assign(given).rail.tolist() == [1, 0, 1]


def test_the_few_places_go_to_those_whom_they_save_most():
    given = backlog(units=[100, 100, 100], cost=[[1, 2], [1, 9], [1, 5]], floats=[BOUNDLESS] * 2, slots=[1, BOUNDLESS])
    assert assign(given).rail.tolist() == [1, 0, 1]


def test_currencies_share_a_rail_s_places_but_not_its_float():
    given = backlog(
        units=[100, 100, 100],
        currency=[0, 1, 1],
        cost=[[1, 20], [1, 9], [1, 30]],
        floats=[[100, 200], [BOUNDLESS, BOUNDLESS]],
        slots=[2, BOUNDLESS],
    )
    assert assign(given).rail.tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"cost": [[NO_WAY]], "floats": [BOUNDLESS]}, NO_RAIL),
        ({"cost": [[1]], "floats": [99]}, FLOAT_LOW),
        ({"cost": [[1]], "floats": [BOUNDLESS], "slots": [0]}, RAIL_FULL),
    ],
)
def test_whoever_finds_no_room_is_told_why(changes, reason):
    assert assign(backlog(units=[100], **changes)).unplaced == {0: reason}


def test_nothing_at_all_is_assigned_too():
    found = assign(backlog(units=[], cost=np.zeros((0, 2)), floats=[1, 2]))
    assert (found.rail.tolist(), found.unplaced, found.cost) == ([], {}, 0)


def test_a_payout_that_finds_no_room_gets_it_from_one_that_can_go_elsewhere():
    given = backlog(units=[60, 60, 50], cost=[[1, 1], [1, NO_WAY], [1, 2]], floats=[60, 110])
    assert assign(given).rail.tolist() == [1, 0, 1]


def test_what_is_left_for_the_last_is_made_into_room_by_moving_another():
    given = backlog(units=[60, 60, 40, 40], cost=[[1, 10]] * 4, floats=[100, 100])
    found = assign(given)
    assert_within_limits(given, found)
    assert not found.unplaced


def test_what_a_sample_didn_t_show_is_found_all_the_same():
    """Every other payout is of another kind, and wants rails in which those of the sample show no interest."""
    rails, number = 8, 6_000
    cost = np.full((number, rails), NO_WAY, np.int64)
    cost[::2, 7] = 1_000
    cost[1::2, :7] = np.arange(1, 8) * 1_000
    given = backlog(units=[100] * number, cost=cost, floats=[10_000] * 6 + [BOUNDLESS] * 2)
    found = assign(given)
    least = 3_000 * 1_000 + sum(range(1, 7)) * 100 * 1_000 + (3_000 - 600) * 7_000
    assert found.cost == least
    assert found.bound == pytest.approx(least, rel=1e-6)


def one_by_one(given: Backlog) -> int:
    """What it costs if each takes the cheapest rail that has room, in the order of arrival."""
    left, total = given.floats.copy(), 0
    for payout, (units, currency) in enumerate(zip(given.units, given.currency, strict=True)):
        fits = (given.cost[payout] >= 0) & (left[:, currency] >= units)
        rail = int(np.where(fits, given.cost[payout], BOUNDLESS).argmin())
        left[rail, currency] -= units
        total += int(given.cost[payout, rail])
    return total


@pytest.mark.parametrize("seed", range(3))
def test_a_large_backlog_is_within_two_thousandths_of_the_bound_and_below_one_by_one(seed):
    given = make_backlog(20_000, 20, seed=seed)
    found = assign(given)
    assert_within_limits(given, found)
    assert not found.unplaced
    assert found.bound <= found.cost <= found.bound * 1.002
    assert found.cost < one_by_one(given) * 0.99


@pytest.mark.parametrize(("seed", "places"), [(0, None), (3, None), (1, 5), (3, 5)])
def test_a_small_backlog_is_near_the_exact_optimum(seed, places):
    given = make_backlog(60, 6, seed=seed)
    if places is not None:
        given = replace(given, slots=np.array([places] * 5 + [BOUNDLESS]))
    found, least = assign(given), optimum(given)
    assert_within_limits(given, found)
    assert found.bound <= least * 1.000_001
    assert least * 0.999_999 <= found.cost <= least * 1.05


def test_places_that_bind_in_a_large_backlog_go_where_they_save():
    given = make_backlog(3_000, 10)
    given = replace(given, slots=np.array([150] * 9 + [BOUNDLESS]))
    found = assign(given)
    assert_within_limits(given, found)
    assert not found.unplaced
    assert found.cost <= found.bound * 1.05
