"""Policies to look at history with."""

from __future__ import annotations

import pytest

from gateway.config import ConfigError, parse
from gateway.config.trials import policy_in, policy_named
from gateway.money import Money
from gateway.routing.policy import CHEAPEST, Rule, Weights
from tests.factories import KES
from tests.unit.config.test_routing import RAILS

NIGHT = {"hour_bps": 3, "shares": {"mpesa": 70, "airtel": 20}}


def test_a_policy_of_the_settings_comes_with_their_rules(tree):
    routing = {"policies": {"night": NIGHT}, "rules": [{"never": ["airtel"], "method": "mobile_money"}]}
    settings = parse(tree=tree.good | {"routing": routing})
    found = policy_named("night", settings=settings, capabilities=RAILS)
    assert (found.name, found.weights, found.shares) == ("night", Weights(hour_bps=3), NIGHT["shares"])
    assert found.rules == (Rule(never=frozenset({"airtel"}), method="mobile_money"),)
    assert policy_named("cheapest", settings=settings, capabilities=RAILS).weights == CHEAPEST


def written(tree, tmp_path, text):
    file = tmp_path / "trial.toml"
    file.write_text(text)
    return policy_in(file, settings=parse(tree=tree.good | {"routing": {"policies": {"night": NIGHT}}}), capabilities=RAILS)


def test_a_file_holds_weights_shares_and_rules_as_the_settings_would(tree, tmp_path):
    found = written(
        tree,
        tmp_path,
        """
[routing]
policy = "day"
explore_percent = 7
[routing.policies.day]
failure_bps = 9
shares = { mpesa = 40 }
[[routing.rules]]
currency = "KES"
above = "500"
only = ["mpesa"]
""",
    )
    assert (found.name, found.weights, found.shares, found.explore_percent) == (
        "day",
        Weights(failure_bps=9),
        {"mpesa": 40},
        7,
    )
    assert found.rules == (Rule(only=frozenset({"mpesa"}), currency="KES", above=Money(50_000, KES)),)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "routing: is missing; give a [routing] table"),
        ("[routing", "trial.toml: is not TOML"),
        ("[routing]\n[server]\nport = 1", "server: is no part of a policy"),
        ('[routing]\npolicy = "night"', 'routing.policy: no policy is named "night"; there are: cheapest'),
        ("[routing]\npolicyy = 1", 'routing.policyy: unknown key; did you mean "policy"?'),
        (
            '[routing.policies.day]\nhour_bps = "x"',
            'routing.policies.day.hour_bps: "x" is wrong; give what an hour less is worth',
        ),
        ("[routing.policies.day.shares]\nmpesa = 60\nairtel = 50", "routing.policies.day.shares: together that is 110 %"),
        (
            '[[routing.rules]]\nnever = ["bnak"]',
            'routing.rules[0]: no adapter is named "bnak"; there are: mpesa, airtel, bank',
        ),
        ('[[routing.rules]]\nnever = ["mpesa", "airtel"]', "routing.rules: together they leave no adapter that pays KES"),
        ("[routing]\ndecisions_days = 3", "routing.decisions_days: says nothing of how a rail is chosen; leave it out"),
    ],
)
def test_what_a_file_says_wrongly_is_told_as_of_the_settings(tree, tmp_path, text, line):
    with pytest.raises(ConfigError) as refused:
        written(tree, tmp_path, text)
    assert line in str(refused.value)
