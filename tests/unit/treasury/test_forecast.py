from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from gateway.money import Asset
from gateway.treasury.floatrules import Calendar
from gateway.treasury.forecast import CERTAIN, Demand, Forecast, History, fit
from gateway.treasury.paydays import DAY, TERMS, is_working_day, last_working_day, terms
from gateway.treasury.stockout import HOUR, falls_below, stock_out

KES = Asset("KES", 2)
KENYA = Calendar(countries=("KE",), zone="Africa/Nairobi")
FIRST = date(2026, 2, 1)
EFFECTS = (-0.1, -0.05, 0, 0.05, 0.3, 0.2, -0.4, 0.45, 0.5, 0.15, -0.5, 0.25)
PAYMENT = 50_000
"""Units of a usual one."""


def days(seed: int, *, number: int, noise: float, growth: float = 0.0, usual: int = 5_000_000) -> list[int]:
    """Days as they may be: a random number of random payments, with terms that follow the calendar, and bad luck."""
    random = np.random.default_rng(seed)
    made = []
    for n in range(number):
        known = sum(effect * part / 100 for effect, part in zip(EFFECTS, terms(FIRST + n * DAY, KENYA), strict=True))
        mean = usual * np.exp(known + growth * n / 30)
        paid = random.gamma(1.2, PAYMENT / 1.2, random.poisson(mean / PAYMENT)).sum()
        made.append(int(paid * np.exp(noise * random.standard_normal() - noise**2 / 2)))
    return made


def learned(units: list[int], calendar: Calendar = KENYA) -> Forecast:
    model = fit(History(first=FIRST, units=tuple(units)), asset=KES, calendar=calendar)
    assert model is not None
    return model


@pytest.mark.parametrize(("noise", "better_than"), [(0.15, 0.5), (0.3, 0.65), (0.5, 0.8)])
def test_a_backtest_beats_the_same_day_of_last_week_and_its_intervals_hold_what_they_say(noise, better_than):
    """Origins five days apart, a week ahead from each. Error of the mean forecast; 80 % and 94 % intervals."""
    error = naive = count = inner = outer = 0
    for seed in range(4):
        seen = days(seed, number=260, noise=noise)
        for origin in range(120, 250, 5):
            model = learned(seen[:origin])
            for n in range(origin, origin + 7):
                demand, paid = model.day(FIRST + n * DAY), seen[n]
                error, naive, count = error + abs(demand.mean - paid), naive + abs(seen[n - 7] - paid), count + 1
                inner += demand.quantile(10).units <= paid <= demand.quantile(90).units
                outer += demand.quantile(3).units <= paid <= demand.quantile(97).units
    assert error < better_than * naive
    assert 0.72 <= inner / count <= 0.9
    assert 0.90 <= outer / count <= 0.99


def test_what_the_calendar_does_is_learned():
    factors = learned(days(1, number=400, noise=0.1)).factors()
    assert set(factors) == set(TERMS)
    assert factors["Sunday"] < 80 < factors["Wednesday"] < factors["Friday"]
    assert factors["month's end"] > 130
    assert factors["holiday"] < 85


def test_little_data_is_said_and_makes_wide_intervals():
    seen = days(3, number=250, noise=0.2)
    widths = []
    for number in (2, 10, 60, 250):
        model = learned(seen[:number])
        demand = model.day(FIRST + number * DAY)
        assert model.days == number
        widths.append(demand.quantile(95).units / max(demand.quantile(5).units, 1))
    assert widths[0] > 8
    assert widths[0] > widths[1] > widths[2] > widths[3]
    assert widths[3] < 4


def test_nothing_paid_is_no_forecast():
    assert fit(History(first=FIRST, units=(0, 0)), asset=KES, calendar=KENYA) is None


@pytest.mark.parametrize("units", [[1], [0] * 300 + [10**30], [10**30] + [0] * 300, [0, 7] * 90, [5] * 200])
def test_strange_histories_still_give_a_forecast_that_is_finite(units):
    demand = learned(units).day(FIRST + len(units) * DAY)
    assert 0 <= demand.quantile(5).units <= demand.quantile(95).units
    assert 0 <= demand.chance_above(10) <= CERTAIN


def test_growth_is_followed_to_today_and_not_beyond():
    seen = days(2, number=200, noise=0.05, growth=0.2)
    model = learned(seen)
    thursdays = [date(2026, 8, 20), date(2026, 9, 10), date(2026, 9, 17)]
    ahead = [model.day(day).mean for day in thursdays]
    assert ahead == [ahead[0]] * 3
    assert ahead[0] > 0.8 * seen[-7]


def test_a_day_is_the_sum_of_its_hours_and_hours_follow_the_profile():
    by_hour = tuple(100 if 8 <= hour < 18 else 1 for hour in range(24))
    model = fit(
        History(first=FIRST, units=tuple(days(4, number=100, noise=0.1)), by_hour=by_hour), asset=KES, calendar=KENYA
    )
    assert model is not None
    midnight = datetime(2026, 5, 19, 21, tzinfo=UTC)  # in Nairobi, three hours ahead
    parts = [model.over(midnight + n * HOUR, midnight + (n + 1) * HOUR).mean for n in range(24)]
    assert abs(sum(parts) - model.day(date(2026, 5, 20)).mean) < 24
    assert parts[9] > 5 * parts[2]


def test_a_day_of_23_hours_asks_for_less():
    dublin = Calendar(countries=(), zone="Europe/Dublin")
    model = learned([1_000_000] * 100, dublin)
    assert model.day(date(2027, 3, 28)).mean < 0.98 * model.day(date(2027, 4, 4)).mean


def test_wages_come_on_the_last_working_day_and_not_on_a_holiday():
    assert last_working_day(2026, 5, ("KE",)) == date(2026, 5, 29)
    assert not is_working_day(date(2026, 12, 25), ("KE",))
    assert last_working_day(2027, 1, ()) == date(2027, 1, 29)
    named = dict(zip(TERMS, terms(date(2026, 12, 24), Calendar(countries=("KE", "AE"))), strict=True))
    assert (named["Thursday"], named["day before a holiday"]) == (100, 50)
    assert dict(zip(TERMS, terms(date(2026, 6, 3), KENYA), strict=True))["month's end"] == 100
    assert dict(zip(TERMS, terms(date(2026, 6, 15), KENYA), strict=True))["mid-month"] == 100


def test_a_country_that_nobody_lists_has_no_holidays():
    assert is_working_day(date(2026, 12, 25), ("XX",))


def test_chances_of_running_dry_grow_with_time_and_shrink_with_money():
    model, now = learned(days(5, number=200, noise=0.2)), datetime(2026, 8, 20, 9, tzinfo=UTC)
    day = model.over(now, now + 24 * HOUR).mean
    poor, rich = (stock_out(model, available=units, now=now, top_up_at=now + 30 * HOUR) for units in (day, 5 * day))
    assert list(poor.within.values()) == sorted(poor.within.values())
    assert all(rich.within[hours] <= poor.within[hours] for hours in poor.within)
    assert 2_000 < poor.within[24] < 8_000
    assert poor.within[24] <= poor.before_top_up <= poor.within[72]
    assert stock_out(model, available=0, now=now, top_up_at=None).within[6] == CERTAIN
    assert stock_out(model, available=0, now=now, top_up_at=None).before_top_up is None


def test_the_chance_of_a_sum_is_what_random_days_say():
    """The closed form beside 20,000 draws of the compound Poisson sum that it stands for."""
    random = np.random.default_rng(7)
    sums = [random.gamma(1.2, PAYMENT / 1.2, n).sum() for n in random.poisson(100, 20_000)]
    demand = Demand(asset=KES, mean=int(np.mean(sums)), sd=int(np.std(sums)))
    for percent in (5, 50, 90, 99):
        drawn = np.mean([one > demand.quantile(percent).units for one in sums])
        assert abs(drawn - (100 - percent) / 100) < 0.015
        assert abs(demand.chance_above(demand.quantile(percent).units) - 100 * (100 - percent)) <= 2


def test_the_hour_at_which_a_float_falls_is_found():
    model, now = learned(days(6, number=200, noise=0.2)), datetime(2026, 8, 20, 9, tzinfo=UTC)
    available = 4 * model.over(now, now + 24 * HOUR).mean
    hit = falls_below(model, available=available, level=available // 4, now=now)
    assert hit is not None
    left = available - model.over(now, hit).quantile(90).units
    before = available - model.over(now, hit - HOUR).quantile(90).units
    assert left < available // 4 <= before
    assert falls_below(model, available=1, level=2, now=now) == now
    assert falls_below(model, available=10**12, level=0, now=now) is None
    assert now + timedelta(days=1) < hit
