"""The `/_sim` endpoints refuse what they can't do with a sentence."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi import FastAPI

from gateway.contract.harness import Rail, running
from gateway.money import Asset, Money
from gateway.railsim import Codes, Desk, Options, Payment, Scenario, rail_app


def bank() -> FastAPI:
    desk = Desk(
        options=Options(),
        floats=(Money(500, Asset("UGX", 0)),),
        offers=frozenset({Scenario.HAPPY, Scenario.FAILED}),
        codes=Codes(failed="no", low_float="dry"),
    )

    async def resume(_payment: Payment) -> None:
        """Nothing to do."""

    return rail_app(desk, title="Bank", settings=lambda url: {"base_url": url}, resume=resume)


@pytest.fixture(scope="module")
def rail() -> Iterator[Rail]:
    with running(bank()) as rail:
        yield rail


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"scenarios": ["callback_lost"]}, "this rail has no callback_lost"),
        ({"scenarios": ["explode"]}, "explode"),
        ({"scenarios": ["failed"], "tmies": 2}, "tmies"),
        ({"scenarios": ["failed"], "times": 0}, "times"),
        ({}, "scenarios"),
    ],
)
def test_a_script_that_cannot_be_played_is_refused(rail: Rail, body: object, says: str):
    answer = rail.client.post("/_sim/faults", json=body)
    assert answer.status_code == 422
    assert says in answer.text
    assert rail.client.get("/_sim/faults").json() == []


def test_scripts_are_shown_until_they_are_forgotten(rail: Rail):
    rail.script(Scenario.FAILED, code="7", times=None)
    (waiting,) = rail.client.get("/_sim/faults").json()
    assert (waiting["scenarios"], waiting["code"], waiting["times"]) == (["failed"], "7", None)
    rail.forget_scripts()
    assert rail.client.get("/_sim/faults").json() == []


@pytest.mark.parametrize("body", [{"currency": "KES", "amount": "1"}, {"currency": "UGX", "amount": "1.5"}, {"amount": "1"}])
@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_wrong_amount_of_float_is_refused(rail: Rail, method: str, body: dict[str, str]):
    before = rail.client.get("/_sim/balance").json()
    assert rail.client.request(method, "/_sim/balance", json=body).status_code == 422
    assert rail.client.get("/_sim/balance").json() == before


def test_a_top_up_adds_and_a_balance_replaces(rail: Rail):
    assert rail.client.put("/_sim/balance", json={"currency": "UGX", "amount": "40"}).json() == {"UGX": "40"}
    assert rail.client.post("/_sim/balance", json={"currency": "UGX", "amount": "2"}).json() == {"UGX": "42"}


def test_the_settings_name_the_address_they_were_asked_at(rail: Rail):
    assert rail.settings() == {"base_url": rail.url}


def test_the_scenarios_on_offer_are_listed_with_a_sentence(rail: Rail):
    assert rail.scenarios() == {Scenario.HAPPY, Scenario.FAILED}
