"""Scripts apply to the payments they match, as often as they say."""

from __future__ import annotations

from gateway.railsim.scenario import SENTENCES, Scenario, Script, Scripts

FACTS = {"id": "att_1", "account": "+254700000001", "amount": "10.00"}


def test_without_a_script_all_is_well():
    assert Scripts().take(FACTS).scenarios == [Scenario.HAPPY]


def test_a_script_is_played_once_and_in_its_turn():
    scripts = Scripts()
    scripts.add(Script(scenarios=[Scenario.FAILED]))
    scripts.add(Script(scenarios=[Scenario.ANSWER_LOST, Scenario.CALLBACK_LOST]))
    taken = [scripts.take(FACTS) for _ in range(3)]
    assert [each.scenarios for each in taken] == [
        [Scenario.FAILED],
        [Scenario.ANSWER_LOST, Scenario.CALLBACK_LOST],
        [Scenario.HAPPY],
    ]


def test_a_script_is_played_as_often_as_it_says():
    scripts = Scripts()
    scripts.add(Script(scenarios=[Scenario.FAILED], times=2))
    assert [Scenario.FAILED in scripts.take(FACTS) for _ in range(3)] == [True, True, False]
    scripts.add(Script(scenarios=[Scenario.FAILED], times=None))
    assert all(Scenario.FAILED in scripts.take(FACTS) for _ in range(10))
    scripts.clear()
    assert Scenario.FAILED not in scripts.take(FACTS)


def test_a_script_waits_for_the_payment_it_names():
    scripts = Scripts()
    scripts.add(Script(scenarios=[Scenario.FAILED], match={"account": "+254700000002", "amount": "10.00"}))
    assert Scenario.HAPPY in scripts.take(FACTS)
    assert Scenario.HAPPY in scripts.take({**FACTS, "account": "+254700000002", "amount": "11.00"})
    assert Scenario.FAILED in scripts.take({**FACTS, "account": "+254700000002"})


def test_every_scenario_is_explained():
    assert set(SENTENCES) == set(Scenario)
