from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.money import Asset, Money
from gateway.offramp import Corridor, Institution, Method
from gateway.pricing.tariffs import ENDLESS, FREE, Band, Cost, Key, Priced, Schedule, Tariffs, dearest_of, first_of

KES = Asset("KES", 2)
MPESA = Schedule((Band(4_900, (Cost(),)), Band(10_000, (Cost(1_100),)), Band(ENDLESS, (Cost(2_900, 5_000),))))


def flat(units: int) -> Schedule:
    return Schedule((Band(ENDLESS, (Cost(units),)),))


@pytest.mark.parametrize(
    ("units", "cost"), [(1, 0), (4_900, 0), (4_901, 1_100), (10_000, 1_100), (10_001, 2_951), (10**60, 5 * 10**57 + 2_900)]
)
def test_a_band_ends_with_its_largest_amount_and_shares_are_rounded_up(units, cost):
    assert MPESA.of(units) == cost


def test_without_tariffs_nothing_costs_anything():
    assert (FREE.of(10**77), Tariffs().charge("mpesa", "KE", "KES", "bank", None, 100)) == (0, 0)


costs = st.builds(Cost, fixed=st.integers(0, 60), ppm=st.sampled_from([0, 1, 5_000, 250_000, 999_999]))
schedules = st.builds(
    lambda ends, each: Schedule(
        tuple(Band(end, (cost,)) for end, cost in zip([*sorted(ends), ENDLESS], each, strict=False))
    ),
    ends=st.sets(st.integers(1, 150), max_size=3),
    each=st.lists(costs, min_size=4, max_size=4),
)
priced = st.lists(
    st.builds(lambda ends, each: Priced(min(ends), max(ends), each), st.tuples(*[st.integers(0, 150)] * 2), schedules),
    max_size=4,
)


@given(each=priced, total=st.integers(-50, 200), step=st.sampled_from([1, 3, 10]))
def test_the_most_that_can_be_had_with_its_own_cost_is_what_counting_finds(each, total, step):
    schedule = dearest_of(each)
    right = max((n for n in range(step, 201, step) if n + schedule.of(n) <= total), default=0)
    assert schedule.most_within(Money(total, KES), Money(step, KES)).units == right


@given(each=priced)
def test_first_and_dearest_are_what_looking_at_each_one_finds(each):
    first, dearest = first_of(each), dearest_of(each)
    for units in range(1, 200):
        counting = [one.schedule.of(units) for one in each if one.least <= units <= one.most]
        assert first.of(units) == next(iter(counting), 0)
        assert dearest.of(units) == max(counting, default=0)


def test_the_most_particular_tariff_counts():
    keys = (
        Key(None, None, "KES", None, None),
        Key(None, "KE", "KES", None, None),
        Key(None, None, "KES", "bank", None),
        Key(None, None, "KES", None, "mpesa"),
        Key("jenga", None, "KES", None, None),
        Key("jenga", None, "KES", None, "mpesa"),
    )
    tariffs = Tariffs({key: flat(cost) for cost, key in enumerate(keys, start=1)})
    asked = [
        ("other", "TZ", "KES", "cash", None),
        ("other", "KE", "KES", "cash", None),
        ("other", "KE", "KES", "bank", None),
        ("other", "KE", "KES", "bank", "mpesa"),
        ("jenga", "KE", "KES", "bank", None),
        ("jenga", "KE", "KES", "bank", "mpesa"),
    ]
    assert [tariffs.charge(*place, 100) for place in asked] == [1, 2, 3, 4, 5, 6]
    assert tariffs.charge("jenga", "KE", "USD", "bank", "mpesa", 100) == 0
    assert tariffs.cash_out("jenga", "KE", "KES", "bank", "mpesa", 100) == 0


def corridor(least: int, most: int, *codes: str) -> Corridor:
    return Corridor(
        country="KE",
        method=Method.MOBILE_MONEY,
        asset=KES,
        least=Money(least, KES),
        most=Money(most, KES),
        step=Money(1, KES),
        institutions=tuple(Institution(code, code.title()) for code in codes),
    )


def test_the_first_rail_that_pays_the_amount_sets_the_fee_and_the_dearest_way_to_cash_is_told():
    tariffs = Tariffs(
        {
            Key("small", None, "KES", None, None): flat(5),
            Key("large", None, "KES", None, "mpesa"): flat(7),
            Key("large", None, "KES", None, "airtel"): flat(9),
        },
        {Key(None, None, "KES", None, "airtel"): flat(30), Key(None, None, "KES", None, None): flat(20)},
    )
    rails = [("small", corridor(10, 100)), ("large", corridor(50, 1_000, "mpesa", "airtel"))]
    charge, cash_out = tariffs.charge_of_first(rails), tariffs.cash_out_at_most(rails)
    assert [charge.of(units) for units in (9, 10, 100, 101, 1_000, 1_001)] == [0, 5, 5, 9, 9, 0]
    assert [cash_out.of(units) for units in (10, 49, 50, 1_000)] == [20, 20, 30, 30]
