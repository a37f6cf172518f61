"""By what a rail is chosen: money, time and surety by weights; shares, rules, calendars and a little exploration."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from gateway.money import Asset, Money
from gateway.offramp import Capabilities, Corridor, CutOff, Fault, Institution, Method, Outcome, Resend
from gateway.payouts.allowances import Allowance
from gateway.pricing.tariffs import ENDLESS, Band, Cost, Key, Schedule, Tariffs
from gateway.routing.calendar import Hours
from gateway.routing.choose import (
    EARLIER_WAY,
    FEW,
    FLOAT_LOW,
    NO_RAIL,
    NO_RAIL_ALLOWED,
    RAIL_FULL,
    RAIL_UNAVAILABLE,
    Case,
    Hold,
    Pay,
    Tried,
    Wait,
    Way,
    choose,
    rank,
)
from gateway.routing.documents import read_scene, write_scene
from gateway.routing.experience import Experience, Outlook, band_of
from gateway.routing.policy import BALANCED, CHEAPEST, FASTEST, NAMED, SUREST, Policy, Rule, Weights
from gateway.routing.scene import Scene

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
KES = Asset("KES", 2)
MOBILE, BANK, CASH = Method.MOBILE_MONEY, Method.BANK, Method.CASH
UNITS = 1_000_000
WAY = (Way(0, MOBILE),)
USUAL = Outlook(p50_s=60, p95_s=600, success=0.9, success_low=0.5, samples=0)
QUIET = Policy(explore_percent=0)


def corridor(method=MOBILE, *, least=1_000, most=25_000_000, step=100, institutions=()):
    return Corridor(
        country="KE",
        method=method,
        asset=KES,
        least=Money(least, KES),
        most=Money(most, KES),
        step=Money(step, KES),
        institutions=tuple(Institution(code, code) for code in institutions),
    )


def rail(name, *corridors, **changes):
    return Capabilities(
        name=name,
        corridors=corridors or (corridor(),),
        resend=Resend.FINDABLE,
        settles_within=timedelta(minutes=5),
        resend_within=timedelta(0),
        **changes,
    )


def stage(rails="abc", *, charges=(), cash_outs=(), outlooks=(), policy=QUIET, units=(UNITS,), **changes):
    """Rails in their order, what they charge, what is known of them."""
    known = rails if isinstance(rails, dict) else {name: rail(name) for name in rails}
    answers = {
        (name, institution, NOW.hour, "KES", band_of(amount)): outlook
        for name, outlook in dict(outlooks).items()
        for institution in (None, "mpesa")
        for amount in units
    }
    return Scene(
        capabilities=known,
        tariffs=Tariffs(
            {
                Key(name, None, "KES", None, None): Schedule((Band(ENDLESS, (cost,)),))
                for name, cost in dict(charges).items()
            },
            {
                Key(name, None, "KES", None, None): Schedule((Band(ENDLESS, (cost,)),))
                for name, cost in dict(cash_outs).items()
            },
        ),
        policy=policy,
        experience=Experience.remembered(answers, capabilities=known),
        **changes,
    )


def order(number=0, *, units=UNITS, ways=WAY, **changes):
    return Case("KE", Money(units, KES), ways, order_id=f"ord_{number:06}", **changes)


def chosen(scene, case=None, rooms=None, **preferred):
    case, rooms = case or order(), rooms or {}
    choice = choose(case, scene=scene, allowances=rooms, now=NOW, **preferred)
    assert choice == rank(case, scene=scene, allowances=rooms, now=NOW, **preferred).choice
    return choice.rail if isinstance(choice, Pay) else choice


def ranked(scene, case=None, rooms=None):
    return rank(case or order(), scene=scene, allowances=rooms or {}, now=NOW)


def learned(p50_s=60, p95_s=600, success=0.9, low=0.8, samples=100):
    return Outlook(p50_s, p95_s, success, low, samples)


def test_rails_that_are_equal_are_asked_in_the_operator_s_order():
    for policy in (Policy(), *(Policy(name=name, weights=weights) for name, weights in NAMED.items())):
        found = ranked(stage("cab", policy=policy))
        assert [one.rail for one in found.candidates] == ["c", "a", "b"]


def test_each_policy_takes_what_it_is_named_after():
    charges = {"a": Cost(500), "b": Cost(2_000), "c": Cost(1_000)}
    outlooks = {"a": learned(3_600, 7_200), "b": learned(10, 60), "c": learned(1_800, 3_600, 0.999, 0.99)}
    taken = {
        name: chosen(stage(charges=charges, outlooks=outlooks, policy=Policy(name=name, weights=weights, explore_percent=0)))
        for name, weights in NAMED.items()
    }
    assert taken == {"cheapest": "a", "fastest": "b", "surest": "c", "balanced": "c"}


def test_what_the_recipient_pays_for_cash_counts_as_what_we_pay():
    scene = stage(charges={"a": Cost(500)}, cash_outs={"b": Cost(501), "c": Cost(499)})
    found = ranked(scene)
    assert [one.rail for one in found.candidates] == ["c", "a", "b"]
    assert [(one.numbers.hand, one.numbers.charge) for one in found.candidates] == [
        (UNITS - 499, 0),
        (UNITS, 500),
        (UNITS - 501, 0),
    ]


def test_the_score_is_the_money_that_all_of_it_is_worth():
    weights = Weights(hand_percent=50, cost_percent=200, hour_bps=40, late_hour_bps=20, failure_bps=300, doubt_bps=100)
    scene = stage(
        "a",
        charges={"a": Cost(1_000, 2_000)},
        cash_outs={"a": Cost(300)},
        outlooks={"a": learned(1_800, 7_200, 0.95, 0.9)},
        policy=Policy(weights=weights),
    )
    [one] = ranked(scene).candidates
    # 2 * 3000 and half of 300; 20 bps for half an hour, 40 for two; 5 % of 300 bps and 10 % of 100 bps.
    assert one.numbers.score == 6_000 + 150 + 2_000 + 4_000 + 1_500 + 1_000
    assert one.numbers.charge == 3_000


def test_a_tariff_s_band_counts_from_its_first_unit_to_its_last():
    bands = Schedule((Band(99_999, (Cost(100),)), Band(200_000, (Cost(900),)), Band(ENDLESS, (Cost(50),))))
    tariffs = Tariffs(
        {
            Key("a", None, "KES", None, None): bands,
            Key("b", None, "KES", None, None): Schedule((Band(ENDLESS, (Cost(500),)),)),
        }
    )
    known = {"a": rail("a", corridor(step=1)), "b": rail("b", corridor(step=1))}
    scene = Scene(capabilities=known, tariffs=tariffs, policy=QUIET)
    taken = {units: chosen(scene, order(units=units)) for units in (99_999, 100_000, 200_000, 200_001)}
    assert taken == {99_999: "a", 100_000: "b", 200_000: "b", 200_001: "a"}


def test_experience_counts_by_the_size_of_the_amount():
    slow, fast = learned(7_200, 9_000), learned(10, 60)
    scene = stage("ab", outlooks={"a": fast, "b": slow}, units=(290_000,))
    other = stage("ab", outlooks={"a": slow, "b": fast}, units=(300_000,))
    answers = {**scene.experience.answers, **other.experience.answers}
    scene = replace(scene, experience=Experience.remembered(answers, capabilities=scene.capabilities))
    assert (chosen(scene, order(units=299_900)), chosen(scene, order(units=300_000))) == ("a", "b")


def test_a_rail_past_its_cut_off_waits_for_the_next_working_day():
    closed = CutOff(weekdays=frozenset(range(5)), until=time(15), zone="Africa/Nairobi")
    known = {"a": rail("a", cut_offs=(closed,)), "b": rail("b")}
    found = ranked(stage(known, charges={"b": Cost(500)}))
    assert [(one.rail, one.numbers.wait_s) for one in found.candidates] == [("b", 0), ("a", 9 * 3600)]
    earlier = rank(order(), scene=stage(known, charges={"b": Cost(500)}), allowances={}, now=NOW - timedelta(seconds=1))
    assert [(one.rail, one.numbers.wait_s) for one in earlier.candidates] == [("a", 0), ("b", 0)]


def test_cash_is_there_when_its_counter_opens():
    known = {"a": rail("a", corridor(CASH)), "b": rail("b", corridor(CASH))}
    hours = Hours(
        country="KE",
        method=CASH,
        rail="a",
        weekdays=frozenset(range(7)),
        opens=time(8),
        closes=time(14),
        zone="Africa/Nairobi",
    )
    found = ranked(stage(known, hours=(hours,)), order(ways=(Way(0, CASH),)))
    assert [(one.rail, one.numbers.wait_s) for one in found.candidates] == [("b", 0), ("a", 17 * 3600)]


@pytest.mark.parametrize(
    ("rule", "taken"),
    [
        (Rule(only=frozenset("bc")), "b"),
        (Rule(never=frozenset("a")), "b"),
        (Rule(prefer=frozenset("c")), "c"),
        (Rule(never=frozenset("a"), country="UG"), "a"),
        (Rule(never=frozenset("a"), country="KE", currency="KES", method="mobile_money"), "b"),
        (Rule(never=frozenset("a"), method="bank"), "a"),
        (Rule(never=frozenset("a"), institution="mpesa"), "a"),
        (Rule(never=frozenset("a"), partner="par_1"), "b"),
        (Rule(never=frozenset("a"), partner="par_2"), "a"),
        (Rule(never=frozenset("a"), above=Money(UNITS - 1, KES)), "b"),
        (Rule(never=frozenset("a"), above=Money(UNITS, KES)), "a"),
        (Rule(never=frozenset("a"), below=Money(UNITS + 1, KES)), "b"),
        (Rule(never=frozenset("a"), below=Money(UNITS, KES)), "a"),
        (Rule(never=frozenset("a"), above=Money(1, Asset("UGX", 0))), "a"),
    ],
)
def test_a_rule_holds_for_what_all_its_conditions_fit(rule, taken):
    scene = stage(policy=replace(QUIET, rules=(rule,)))
    assert chosen(scene, order(partner="par_1")) == taken


def test_a_rule_may_name_an_institution():
    known = {name: rail(name, corridor(institutions=("mpesa", "airtel"))) for name in "ab"}
    scene = stage(known, policy=replace(QUIET, rules=(Rule(never=frozenset("a"), institution="mpesa"),)))
    assert chosen(scene, order(ways=(Way(0, MOBILE, "mpesa"),))) == "b"
    assert chosen(scene, order(ways=(Way(0, MOBILE, "airtel"),))) == "a"


def test_one_partner_s_rule_is_not_another_s():
    scene = stage(policy=replace(QUIET, rules=(Rule(never=frozenset("a"), partner="par_1"),)))
    assert [chosen(scene, order(partner=partner)) for partner in ("par_1", "par_2", None, "par_1")] == ["b", "a", "a", "b"]


def test_preferred_rails_come_first_and_the_others_when_these_are_full():
    scene = stage(charges={"c": Cost(5_000)}, policy=replace(QUIET, rules=(Rule(prefer=frozenset("bc")),)))
    found = ranked(scene)
    assert [(one.rail, one.why) for one in found.candidates] == [("b", "preferred"), ("c", "preferred"), ("a", "score")]
    assert chosen(scene, rooms={"b": Allowance(most=0), "c": Allowance(most=0)}) == "a"


def test_rules_that_leave_no_rail_hold_the_order_and_say_so():
    scene = stage("ab", policy=replace(QUIET, rules=(Rule(never=frozenset("ab"), above=Money(5_000, KES)),)))
    assert chosen(scene) == Hold(NO_RAIL_ALLOWED)
    assert [(one.rail, one.reason) for one in ranked(scene).refused] == [("a", "policy"), ("b", "policy")]
    assert chosen(scene, order(units=5_000)) == "a"
    # Another way of the recipient's that is allowed is taken, as where no rail pays by the first.
    known = {"a": rail("a"), "b": rail("b", corridor(BANK))}
    scene = stage(known, policy=replace(QUIET, rules=(Rule(never=frozenset("a")),)))
    assert choose(order(ways=(*WAY, Way(1, BANK))), scene=scene, allowances={}, now=NOW) == Pay("b", 1)
    assert chosen(stage("ab", policy=replace(QUIET, rules=(Rule(never=frozenset("ab")),))), order(units=10**12)) == Hold(
        NO_RAIL
    )


def drawn(scene, number=4_000, rooms=None):
    return Counter(chosen(scene, order(each), rooms) for each in range(number))


def near(count, percent, of=4_000):
    return abs(count - of * percent / 100) < of * 0.03


def test_shares_come_true_and_the_rest_goes_by_score():
    split = replace(QUIET, shares={"a": 50, "b": 20})
    found = drawn(stage("cab", policy=split))
    assert near(found["a"], 50)
    assert near(found["b"], 20)
    assert near(found["c"], 30)
    whys = {
        (one.candidates[0].rail, one.candidates[0].why)
        for one in (ranked(stage("cab", policy=split), order(each)) for each in range(50))
    }
    assert whys == {("a", "share"), ("b", "share"), ("c", "score")}


def test_the_share_of_a_rail_that_cannot_take_it_goes_to_the_others_by_their_shares():
    scene = stage("abcd", policy=replace(QUIET, shares={"a": 60, "b": 30, "c": 10}))
    full = {"a": Allowance(most=0, reason="busy")}
    found = drawn(scene, rooms=full)
    assert near(found["b"], 75)
    assert near(found["c"], 25)
    refused = ranked(scene, rooms=full).refused
    assert [(one.rail, one.reason, one.detail) for one in refused] == [("a", RAIL_FULL, "busy")]
    without = stage("abcd", policy=replace(QUIET, shares={"z": 60, "b": 30, "c": 10}))
    found = drawn(without)
    assert near(found["b"], 75)


def test_an_order_s_share_is_its_own():
    scene = stage("ab", policy=replace(QUIET, shares={"a": 50, "b": 50}))
    for each in range(20):
        assert len({chosen(scene, order(each, version=version)) for version in range(5)}) == 1


BAD, GOOD = learned(600, 3_600, 0.5, 0.4), learned(60, 600, 0.99, 0.95)
CURIOUS = Policy(explore_percent=10)


def test_a_rail_that_only_experience_puts_behind_is_tried_now_and_then():
    scene = stage("ab", outlooks={"a": BAD, "b": GOOD}, policy=CURIOUS)
    found = drawn(scene)
    assert near(found["a"], 10)
    tried = next(each for each in range(100) if chosen(scene, order(each)) == "a")
    assert [(one.rail, one.why) for one in ranked(scene, order(tried)).candidates] == [("a", "explored"), ("b", "score")]


def test_a_rail_of_which_little_is_known_is_tried_too():
    scene = stage("ab", outlooks={"a": GOOD, "b": replace_samples(GOOD, FEW - 1)}, policy=CURIOUS)
    assert near(drawn(scene)["b"], 10)
    assert drawn(stage("ab", outlooks={"a": GOOD, "b": replace_samples(GOOD, FEW)}, policy=CURIOUS), 500) == {"a": 500}


def replace_samples(outlook, samples):
    return outlook._replace(samples=samples)


def test_nothing_is_explored_where_nothing_was_learned_or_money_decides():
    assert drawn(stage("ab", policy=CURIOUS), 500) == {"a": 500}
    dear = stage("ab", charges={"a": Cost(50_000)}, outlooks={"a": GOOD, "b": GOOD}, policy=CURIOUS)
    assert drawn(dear, 500) == {"b": 500}
    assert drawn(stage("ab", outlooks={"a": BAD, "b": GOOD}, policy=QUIET), 500) == {"b": 500}


def test_exploring_spares_orders_that_failed_and_rails_without_room():
    scene = stage("ab", outlooks={"a": BAD, "b": GOOD}, policy=CURIOUS)
    tried = (Tried("b", 0, Outcome.FAILED, Fault.TRANSIENT), Tried("a", 0, Outcome.FAILED, Fault.TRANSIENT))
    assert {chosen(scene, order(each, tried=tried)) for each in range(200)} == {"b"}
    assert {chosen(scene, order(each), {"a": Allowance(most=0, reason="open")}) for each in range(200)} == {"b"}


def test_a_rail_that_is_not_preferred_is_not_explored():
    scene = stage("ab", outlooks={"a": BAD, "b": GOOD}, policy=replace(CURIOUS, rules=(Rule(prefer=frozenset("b")),)))
    assert drawn(scene, 300) == {"b": 300}


def test_what_is_explored_is_drawn_anew_after_each_step():
    scene = stage("ab", outlooks={"a": BAD, "b": GOOD}, policy=CURIOUS)
    assert len({chosen(scene, order(1, version=version)) for version in range(200)}) == 2


def test_a_plan_for_many_orders_goes_before_score_and_shares():
    scene = stage("abc", policy=replace(QUIET, shares={"a": 100}))
    assert chosen(scene, preferred="c") == "c"
    assert chosen(scene, rooms={"c": Allowance(most=0)}, preferred="c") == "a"
    [first, *_] = rank(order(), scene=scene, allowances={}, now=NOW, preferred="c").candidates
    assert (first.rail, first.why) == ("c", "planned")


def test_a_plan_counts_for_nothing_once_an_attempt_has_failed():
    scene = stage(charges={"b": Cost(1_000), "c": Cost(2_000)})
    tried = (Tried("c", 0, Outcome.FAILED, Fault.TRANSIENT),)
    assert chosen(scene, preferred="c") == "c"
    assert chosen(scene, order(tried=tried), preferred="c") == "a"


def test_everybody_who_is_not_asked_is_told_why():
    known = {
        "small": rail("small", corridor(most=10_000)),
        "coarse": rail("coarse", corridor(step=300_000)),
        "other": rail("other", corridor(institutions=("airtel", "mtn"))),
        "ruled": rail("ruled"),
        "poor": rail("poor"),
        "busy": rail("busy"),
        "broke": rail("broke"),
        "bank": rail("bank", corridor(BANK)),
    }
    scene = stage(known, policy=replace(QUIET, rules=(Rule(never=frozenset({"ruled"})),)))
    case = order(ways=(*WAY, Way(1, BANK)))
    rooms = {"poor": Allowance(left={"KES": UNITS - 1}), "busy": Allowance(most=0, again_at=NOW, reason="so it said")}
    found = rank(structs.replace(case, ways=(*WAY, Way(1, BANK))), scene=scene, allowances=rooms, now=NOW)
    assert {(one.rail, one.way): (one.reason, one.detail) for one in found.refused} == {
        ("small", 0): ("amount", ""),
        ("coarse", 0): ("amount", ""),
        ("other", 0): ("institution", ""),
        ("ruled", 0): ("policy", ""),
        ("poor", 0): (FLOAT_LOW, ""),
        ("busy", 0): (RAIL_FULL, "so it said"),
        ("bank", 1): (EARLIER_WAY, ""),
    }
    tried = (Tried("broke", 0, Outcome.FAILED, Fault.RAIL),)
    found = rank(structs.replace(case, tried=tried), scene=scene, allowances=rooms, now=NOW)
    assert ("broke", RAIL_UNAVAILABLE) in [(one.rail, one.reason) for one in found.refused]
    assert found.choice == Pay("bank", 1)


def test_a_scene_that_was_kept_says_the_same_again():
    hours = Hours(country="KE", weekdays=frozenset({0}), opens=time(8), closes=time(14), zone="Africa/Nairobi")
    rules = (Rule(prefer=frozenset("c"), currency="KES", above=Money(5_000, KES)),)
    scene = stage(
        charges={"a": Cost(500, 20)},
        outlooks={"a": BAD, "b": GOOD},
        policy=Policy(name="mine", weights=FASTEST, shares={"b": 40}, rules=rules),
        hours=(hours,),
    )
    expected = [ranked(scene, order(each)) for each in range(50)]
    again = read_scene(write_scene(scene), answers=scene.experience.answers)
    assert [ranked(again, order(each)) for each in range(50)] == expected


costs = st.builds(Cost, st.integers(0, 3_000), st.sampled_from([0, 5_000]))
outlooks = st.builds(
    lambda p50_s, more_s, success, doubt, samples: Outlook(p50_s, p50_s + more_s, success, success * doubt, samples),
    st.integers(1, 10_000),
    st.integers(0, 50_000),
    st.sampled_from([0.5, 0.9, 0.99, 1.0]),
    st.sampled_from([0.2, 0.8, 1.0]),
    st.sampled_from([0, 5, 500]),
)
weights = st.builds(Weights, **{name: st.sampled_from([0, 1, 100]) for name in Weights.__dataclass_fields__})
rules = st.lists(
    st.builds(
        Rule,
        only=st.none() | st.frozensets(st.sampled_from("abc"), min_size=1),
        never=st.frozensets(st.sampled_from("abc"), max_size=1),
        prefer=st.frozensets(st.sampled_from("abc")),
        method=st.sampled_from([None, "mobile_money", "bank"]),
        partner=st.sampled_from([None, "par_1"]),
        above=st.sampled_from([None, Money(500_000, KES)]),
    ),
    max_size=2,
)
policies = st.builds(
    Policy,
    weights=weights,
    shares=st.dictionaries(st.sampled_from("abcz"), st.integers(1, 25)),
    rules=rules.map(tuple),
    explore_percent=st.sampled_from([0, 50]),
)
places = st.builds(
    corridor,
    st.sampled_from([MOBILE, BANK]),
    least=st.sampled_from([1_000, 900_000]),
    most=st.sampled_from([950_000, 25_000_000]),
    step=st.sampled_from([100, 300]),
    institutions=st.sampled_from([(), ("mpesa",), ("mpesa", "airtel")]),
)
scenes = st.builds(
    lambda networks, charges, known, policy: stage(
        {name: rail(name, *each) for name, each in networks.items()}, charges=charges, outlooks=known, policy=policy
    ),
    st.fixed_dictionaries({name: st.lists(places, min_size=1, max_size=3) for name in "abc"}),
    st.dictionaries(st.sampled_from("abc"), costs),
    st.dictionaries(st.sampled_from("abc"), outlooks),
    policies,
)
rooms = st.dictionaries(
    st.sampled_from("abc"),
    st.builds(Allowance, most=st.integers(0, 1), left=st.sampled_from([None, {"KES": UNITS - 1}, {"KES": UNITS}])),
)
ways = st.lists(
    st.tuples(st.sampled_from([MOBILE, BANK]), st.sampled_from([None, "mpesa", "airtel"])), min_size=1, max_size=3
).map(lambda found: tuple(Way(number, *each) for number, each in enumerate(found)))
attempts = st.lists(
    st.builds(Tried, st.sampled_from("abc"), st.integers(0, 2), st.just(Outcome.FAILED), st.sampled_from(Fault)), max_size=3
)
orders = st.builds(
    lambda number, ways, tried, units, partner: order(number, ways=ways, tried=tried, units=units, partner=partner),
    st.integers(0, 999),
    ways,
    st.one_of(st.just([]), attempts),
    st.sampled_from([UNITS, 940_000, 1_000, 1_050]),
    st.sampled_from([None, "par_1"]),
)


@given(scenes, orders, rooms)
def test_the_choice_heads_the_ranking_whose_parts_are_all_that_pay_there(scene, case, allowances):
    choice = choose(case, scene=scene, allowances=allowances, now=NOW)
    found = rank(case, scene=scene, allowances=allowances, now=NOW)
    assert found.choice == choice
    assert ([Pay(one.rail, one.way) for one in found.candidates[:1]] == [choice]) == isinstance(choice, Pay)
    assert bool(found.candidates) == isinstance(choice, Pay)
    named = [(one.rail, one.way) for one in (*found.candidates, *found.refused)]
    assert len(set(named)) == len(named)
    assert set(named) == {
        (name, way.rank)
        for name, known in scene.capabilities.items()
        for way in case.ways
        if any(one.method == way.method for one in known.corridors)
    }
    if isinstance(choice, Wait):
        assert any(one.reason in (FLOAT_LOW, RAIL_FULL) for one in found.refused)


@given(scenes, orders, rooms)
def test_no_candidate_lies_outside_of_limits_rules_float_and_room(scene, case, allowances):
    for one in rank(case, scene=scene, allowances=allowances, now=NOW).candidates:
        way = case.ways[one.way]
        assert any(
            each.method == way.method
            and each.least.units <= case.deliver.units <= each.most.units
            and case.deliver.units % each.step.units == 0
            for each in scene.capabilities[one.rail].corridors
        )
        allowance = allowances.get(one.rail, Allowance())
        assert allowance.most > 0
        assert allowance.left is None or allowance.left["KES"] >= case.deliver.units
        for rule in scene.policy.rules:
            holds = (
                rule.method in (None, way.method)
                and rule.partner in (None, case.partner)
                and (rule.above is None or rule.above < case.deliver)
            )
            assert not (holds and rule.excludes(one.rail))


@given(weights, st.lists(st.tuples(costs, costs, outlooks), min_size=3, max_size=3), st.permutations("abc"))
def test_a_rail_that_is_cheaper_faster_and_surer_is_never_behind(counts, facts, names):
    facts = dict(zip("abc", facts, strict=True))
    scene = stage(
        names,
        charges={name: each[0] for name, each in facts.items()},
        cash_outs={name: each[1] for name, each in facts.items()},
        outlooks={name: each[2] for name, each in facts.items()},
        policy=Policy(weights=counts, explore_percent=0),
    )
    place = {one.rail: number for number, one in enumerate(ranked(scene).candidates)}

    def features(name):
        charge, cash_out, seen = facts[name]
        return (charge.of(UNITS), cash_out.of(UNITS), seen.p50_s, seen.p95_s, -seen.success, -seen.success_low)

    for one in "abc":
        for other in "abc":
            better = features(one) != features(other) and all(
                mine <= yours for mine, yours in zip(features(one), features(other), strict=True)
            )
            assert not better or place[one] < place[other]


def test_policies_that_name_nothing_leave_it_to_everything():
    nothing = Weights(hand_percent=0, cost_percent=0, hour_bps=0, late_hour_bps=0, failure_bps=0)
    scene = stage("ab", charges={"a": Cost(500)}, policy=Policy(weights=nothing, explore_percent=0))
    assert chosen(scene) == "b"
    assert {CHEAPEST, FASTEST, SUREST, BALANCED} == set(NAMED.values())
