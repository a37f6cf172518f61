"""What quotes promise is what dispatch would choose: the same policy, the same calendar."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

import pytest
from hypothesis import given

from gateway.money import Money
from gateway.offramp import CutOff
from gateway.pricing.offer import Terms
from gateway.pricing.tariffs import Cost
from gateway.routing.calendar import Hours
from gateway.routing.choose import Case, Way, rank
from gateway.routing.delivery import Outlooks
from gateway.routing.policy import CHEAPEST, FASTEST, Policy, Rule
from gateway.routing.weather import Place, Reading, State, Weather, Why
from tests.unit.routing.test_policies import (
    CASH,
    KES,
    MOBILE,
    NOW,
    QUIET,
    UNITS,
    corridor,
    learned,
    orders,
    rail,
    scenes,
    stage,
)

TERMS = Terms(
    country="KE",
    currency=KES,
    method=MOBILE,
    spread_bps=100,
    fee=Money(0, KES),
    least=Money(1_000, KES),
    most=Money(25_000_000, KES),
    step=Money(100, KES),
)
SPEEDS = {"a": learned(300, 900), "b": learned(20, 60), "c": learned(100, 200)}
OFFICE = CutOff(weekdays=frozenset(range(5)), until=time(17), zone="Africa/Nairobi")
HOUR_S = 3_600


def promised(scene, *, units=UNITS, terms=TERMS, weather=None, now=NOW, **asked):
    outlooks = Outlooks(scene=scene)
    outlooks.scene, outlooks.weather = scene, Weather(weather or {})
    return outlooks.expect(terms, Money(units, KES), now=now, **asked)


def readings(**whys):
    return {Place(rail, "KE", "KES", MOBILE): Reading(State.CLOSED, why) for rail, why in whys.items()}


@given(scenes, orders)
def test_a_quote_promises_what_the_choice_would_be(scene, case):
    policy = replace(scene.policy, shares={}, explore_percent=0)
    scene = replace(scene, policy=policy)
    terms = replace(TERMS, method=case.ways[0].method)
    # Nobody named an institution, and none is asked for: then the choice knows as much as the quote.
    known = {
        name: replace(one, corridors=tuple(replace(each, institutions=()) for each in one.corridors))
        for name, one in scene.capabilities.items()
    }
    scene = replace(scene, capabilities=known)
    asked = Case("KE", case.deliver, (Way(0, terms.method),), partner=case.partner)
    heads = rank(asked, scene=scene, allowances={}, now=NOW).candidates[:1]
    expected = [(one.numbers.wait_s + one.numbers.p50_s, one.numbers.wait_s + one.numbers.p95_s) for one in heads]
    found = promised(scene, units=case.deliver.units, terms=terms, partner=case.partner)
    assert ([tuple(found)] if found else []) == expected


@pytest.mark.parametrize(("weights", "p50_s"), [(CHEAPEST, 300), (FASTEST, 20)])
def test_the_operators_policy_says_which_rail_is_promised(weights, p50_s):
    scene = stage(charges={"b": Cost(500), "c": Cost(100)}, outlooks=SPEEDS, policy=replace(QUIET, weights=weights))
    assert promised(scene).p50_s == p50_s


def test_rules_hold_for_quotes_too_also_those_of_one_partner():
    rules = (Rule(never=frozenset("b"), partner="par_1"), Rule(only=frozenset("abc")))
    scene = stage(outlooks=SPEEDS, policy=Policy(weights=FASTEST, rules=rules))
    assert [promised(scene, partner=who).p50_s for who in (None, "par_1")] == [20, 100]
    assert promised(stage(policy=Policy(rules=(Rule(never=frozenset("abc")),)))) is None


def test_the_rail_that_most_orders_go_to_is_promised():
    outlooks = {"a": learned(300, 900), "b": learned(20, 60), "c": learned(100, 200)}
    for shares, p50_s in (({"a": 60}, 300), ({"a": 30}, 20), ({"a": 20, "c": 45}, 100)):
        assert promised(stage(outlooks=outlooks, policy=Policy(weights=FASTEST, shares=shares))).p50_s == p50_s


def test_a_holiday_and_closed_counters_make_the_wait_longer():
    # 12 December 2026 is Jamhuri Day, a Saturday; the 14th is a Monday.
    friday = datetime(2026, 12, 11, 15, 0, tzinfo=UTC)
    everyday = replace(OFFICE, weekdays=frozenset(range(7)))
    bank = stage({"a": rail("a", cut_offs=(everyday,))}, outlooks={})
    assert promised(bank, now=friday).p50_s == 87 + 30 * HOUR_S
    counter = Hours(
        country="KE", method=CASH, weekdays=frozenset(range(5)), opens=time(8), closes=time(17), zone="Africa/Nairobi"
    )
    cash = stage({"a": rail("a", corridor(CASH))}, hours=(counter,))
    assert promised(cash, terms=replace(TERMS, method=CASH), now=friday).p50_s == 87 + 62 * HOUR_S


def test_a_rail_outside_its_hours_is_promised_only_if_nothing_else_is_quicker():
    known = {"a": rail("a", cut_offs=(OFFICE,)), "b": rail("b")}
    scene = stage(known, charges={"b": Cost(500)}, policy=replace(QUIET, weights=FASTEST))
    evening = NOW.replace(hour=15)
    weather = readings(a=Why.OUT_OF_HOURS)
    assert promised(scene, weather=weather, now=evening).p50_s == 87
    cheap = replace(scene, policy=replace(QUIET, weights=CHEAPEST))
    assert promised(cheap, weather=weather, now=evening).p50_s == 87 + 6 * HOUR_S


def test_a_rail_to_which_nothing_goes_is_promised_only_if_that_holds_for_all():
    scene = stage(outlooks=SPEEDS, policy=replace(QUIET, weights=FASTEST))
    assert promised(scene, weather=readings(b=Why.STOPPED)).p50_s == 100
    assert promised(scene, weather=readings(b=Why.FAILING, c=Why.FLOAT_LOW)).p50_s == 300
    assert promised(scene, weather=readings(a=Why.STOPPED, b=Why.STOPPED, c=Why.STOPPED)).p50_s == 20
    assert promised(scene, weather=readings(b=Why.SLOW)).p50_s == 20


def test_an_institution_that_nobody_has_named_yet_may_be_any():
    known = {"a": rail("a", corridor(institutions=("mpesa", "airtel")))}
    assert promised(stage(known)).p50_s == 87
    assert promised(stage(known), units=UNITS + 50) is None


def test_what_is_expected_follows_the_clock():
    outlooks = Outlooks(scene=stage({"a": rail("a", cut_offs=(OFFICE,))}))
    waits = [
        outlooks.expect(TERMS, Money(UNITS, KES), now=NOW.replace(hour=13, minute=minute)).p50_s - 87 for minute in (0, 59)
    ]
    assert waits == [0, 0]
    assert outlooks.expect(TERMS, Money(UNITS, KES), now=NOW + timedelta(hours=2)).p50_s == 87 + 7 * HOUR_S


def test_what_waits_for_a_drop_is_promised_from_the_drop_on_by_the_calendar_of_then():
    scene = stage({"a": rail("a", cut_offs=(OFFICE,))})
    outlooks = Outlooks(scene=scene)
    # Asked at 15:00 in Nairobi: the drop at 15:00 is in time, that at 18:00 comes after the cut-off.
    told = [outlooks.expect(TERMS, Money(UNITS, KES), drop_every_s=hours * HOUR_S, now=NOW) for hours in (1, 5)]
    assert [one.p50_s - 87 for one in told] == [0, 6 * HOUR_S]
    assert outlooks.expect(TERMS, Money(UNITS, KES), now=NOW).p50_s == 87
