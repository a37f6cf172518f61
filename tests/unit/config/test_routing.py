"""Settings of routing: what they mean, and the sentences with which what can't be is refused."""

# ruff: noqa: E501 - the sentences stand as their readers see them
from __future__ import annotations

from dataclasses import replace
from datetime import time, timedelta

import pytest

from gateway.config import ConfigError, parse
from gateway.config.policies import make_hours, make_policy
from gateway.money import Money
from gateway.offramp import Capabilities, Corridor, Method, Resend
from gateway.routing.policy import BALANCED, CHEAPEST, Rule, Weights
from tests.factories import KES


def rail(name, method=Method.MOBILE_MONEY):
    corridor = Corridor(
        country="KE",
        method=method,
        asset=KES,
        least=Money(1_000, KES),
        most=Money(25_000_000, KES),
        step=Money(100, KES),
    )
    return Capabilities(
        name=name,
        corridors=(corridor,),
        resend=Resend.DEDUPED,
        settles_within=timedelta(minutes=5),
        resend_within=timedelta(0),
    )


RAILS = {"mpesa": rail("mpesa"), "airtel": rail("airtel"), "bank": rail("bank", Method.BANK)}


def made(tree, routing):
    return make_policy(parse(tree=tree.good | {"routing": routing}), RAILS)


def checked(tree, routing):
    settings = parse(tree=tree.good | {"routing": routing})
    make_policy(settings, RAILS)
    make_hours(settings, RAILS)


def refusals(tree, routing):
    with pytest.raises(ConfigError) as refused:
        checked(tree, routing)
    return str(refused.value).splitlines()


def test_without_a_table_everything_counts_and_a_little_is_explored(tree):
    policy = make_policy(parse(tree=tree.good), RAILS)
    assert (policy.name, policy.weights, dict(policy.shares), policy.rules) == ("balanced", BALANCED, {}, ())
    assert policy.explore_percent == 2


def test_a_policy_is_one_that_we_know_or_one_that_stands_there(tree):
    assert made(tree, {"policy": "cheapest", "explore_percent": 0}).weights == CHEAPEST
    policy = made(tree, {"policy": "split", "policies": {"split": {"hour_bps": 50, "shares": {"mpesa": 70, "airtel": 30}}}})
    assert policy.weights == Weights(hour_bps=50)
    assert policy.shares == {"mpesa": 70, "airtel": 30}


def test_a_rule_becomes_a_rule_with_amounts_of_its_currency(tree):
    rules = [
        {"country": "KE", "currency": "KES", "above": "1000", "below": "5000.50", "never": ["airtel"], "prefer": ["mpesa"]}
    ]
    assert made(tree, {"rules": rules}).rules == (
        Rule(
            never=frozenset({"airtel"}),
            prefer=frozenset({"mpesa"}),
            country="KE",
            currency="KES",
            above=Money(100_000, KES),
            below=Money(500_050, KES),
        ),
    )


def test_opening_hours_become_hours(tree):
    hours = {"country": "KE", "days": ["mon", "sat"], "opens": "08:00", "closes": "18:30", "zone": "Africa/Nairobi"}
    [one] = make_hours(parse(tree=tree.good | {"routing": {"hours": [hours]}}), RAILS)
    assert (one.method, one.weekdays, one.opens, one.closes) == (Method.CASH, frozenset({0, 5}), time(8), time(18, 30))


HOURS = {"country": "KE", "opens": "08:00", "closes": "18:00", "zone": "Africa/Nairobi"}


@pytest.mark.parametrize(
    ("routing", "lines"),
    [
        (
            {"policy": "quickest"},
            ['routing.policy: no policy is named "quickest"; there are: cheapest, fastest, surest, balanced'],
        ),
        (
            {"policies": {"balanced": {"hour_bps": 1}}},
            ["routing.policies.balanced: this name has a meaning of its own; give yours another one"],
        ),
        (
            {"policies": {"split": {"shares": {"mpesa": 70, "airtel": 40}}}},
            [
                "routing.policies.split.shares: together that is 110 %; give shares that come to 100 at most, the rest goes by weights"
            ],
        ),
        (
            {"policies": {"split": {"shares": {"mpeza": 70}}}},
            ['routing.policies.split.shares.mpeza: no adapter is named "mpeza"; there are: mpesa, airtel, bank'],
        ),
        (
            {"policies": {"split": {"shares": {"mpesa": 0}}}},
            [
                "routing.policies.split.shares.mpesa: 0 is wrong; give percentages by adapter, from 1 to 100 each, as in { mpesa = 70, airtel = 30 }"
            ],
        ),
        (
            {"policies": {"Split!": {}}},
            [
                'routing.policies."Split!": is no name for a policy; give small letters, digits and single "_", for example "night"'
            ],
        ),
        (
            {"policies": {"split": {"speed": 1}}},
            [
                "routing.policies.split.speed: unknown key; known are hand_percent, cost_percent, hour_bps, late_hour_bps, failure_bps, doubt_bps, shares"
            ],
        ),
        (
            {"rules": [{"only": ["mpeza"]}]},
            ['routing.rules[0]: no adapter is named "mpeza"; there are: mpesa, airtel, bank'],
        ),
        (
            {"rules": [{"country": "KE"}]},
            ["routing.rules[0]: says nothing; give only, never or prefer with a list of adapters"],
        ),
        (
            {"rules": [{"above": "100", "only": ["mpesa"]}]},
            ['routing.rules[0].above: an amount of which currency? give the rule a currency too, as in "KES"'],
        ),
        (
            {"rules": [{"currency": "KES", "above": "100", "below": "100", "only": ["mpesa"]}]},
            ["routing.rules[0]: no amount is above 100.00 KES and below 100.00 KES; give a smaller above or a larger below"],
        ),
        (
            {"rules": [{"country": "UG", "only": ["mpesa"]}]},
            ["routing.rules[0]: no adapter pays what its conditions say, so it never holds; correct them or leave it out"],
        ),
        (
            {"rules": [{"currency": "KES", "above": "250000", "prefer": ["mpesa"]}]},
            ["routing.rules[0]: no adapter pays what its conditions say, so it never holds; correct them or leave it out"],
        ),
        (
            {"rules": [{"method": "mobile_money", "only": ["bank"]}]},
            ["routing.rules[0]: none of its adapters pays what its conditions say; correct them or leave it out"],
        ),
        (
            {"rules": [{"only": ["mpesa"]}]},
            ["routing.rules: together they leave no adapter that pays KES by bank in KE; allow one"],
        ),
        (
            {"rules": [{"never": ["mpesa"], "method": "mobile_money"}, {"never": ["airtel"], "country": "KE"}]},
            ["routing.rules: together they leave no adapter that pays KES by mobile_money in KE; allow one"],
        ),
        (
            {"rules": [{"never": ["mpesa"], "only": ["mpesa", "airtel"]}]},
            ["routing.rules[0]: mpesa stands under never and under only or prefer; name it in one of them"],
        ),
        (
            {"rules": [{"only": ["mpesa"], "prefer": ["airtel"], "method": "mobile_money"}]},
            [
                "routing.rules[0]: prefers airtel, which only leaves out; name it there too, or don't prefer it",
            ],
        ),
        (
            {
                "rules": [
                    {"currency": "KES", "method": "mobile_money", "above": "500", "only": ["mpesa"]},
                    {"currency": "KES", "method": "mobile_money", "above": "1000", "only": ["airtel"]},
                ]
            },
            ["routing.rules: together they leave no adapter that pays 1000.01 KES by mobile_money in KE; allow one"],
        ),
        (
            {
                "rules": [
                    {"currency": "KES", "method": "mobile_money", "below": "500", "only": ["mpesa"]},
                    {"method": "mobile_money", "never": ["mpesa"]},
                ]
            },
            ["routing.rules: together they leave no adapter that pays 100.00 KES by mobile_money in KE; allow one"],
        ),
        (
            {"hours": [HOURS | {"opens": 8}]},
            ['routing.hours[0].opens: 8 is no time of day; give one in quotes, as in "08:00"'],
        ),
        (
            {"hours": [HOURS | {"zone": "Nairobi", "days": ["monday"]}]},
            [
                'routing.hours[0].days: "monday" is no day; give some of mon, tue, wed, thu, fri, sat, sun',
                'routing.hours[0].zone: "Nairobi" is no IANA time zone; give one such as "Africa/Nairobi"',
            ],
        ),
        (
            {"hours": [HOURS | {"rail": "x"}]},
            ['routing.hours[0].rail: no adapter is named "x"; there are: mpesa, airtel, bank'],
        ),
    ],
)
def test_what_can_never_match_is_refused_with_what_would_be_right(tree, routing, lines):
    assert refusals(tree, routing) == lines


def test_a_rule_that_alone_leaves_nobody_for_large_amounts_is_meant(tree):
    rule = {"currency": "KES", "above": "50000", "never": ["mpesa", "airtel", "bank"]}
    assert made(tree, {"rules": [rule]}).rules[0].above == Money(5_000_000, KES)


def test_amounts_that_no_adapter_pays_anyway_are_no_contradiction(tree):
    rule = {"never": ["airtel"], "currency": "KES", "above": "300"}
    settings = parse(tree=tree.good | {"routing": {"rules": [rule]}})
    [corridor] = RAILS["mpesa"].corridors
    large = (replace(corridor, least=Money(20_000, KES)),)
    rails = {name: replace(known, corridors=large) for name, known in RAILS.items() if name != "bank"}
    assert make_policy(settings, rails | {"bank": RAILS["bank"]}).rules
