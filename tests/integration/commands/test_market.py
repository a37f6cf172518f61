"""`lastmile rates` and `lastmile corridor`, as a person at a terminal and a program use them."""

from __future__ import annotations

import json

import psycopg
import pytest

from gateway.clock import system_clock
from gateway.errors import Refusal
from tests.integration.commands.test_rails import certificate, lastmile

__all__ = ["certificate", "lastmile"]
BY = ("--by", "amina", "--reason", "the rails there are down")
KENYA = ("KE", "KES", "mobile_money")


@pytest.fixture
def priced(lastmile, database_url):
    """Two sources that say 129.20, and one of USDC."""
    with psycopg.connect(database_url) as connection:
        for source, base, quote, price in (
            ("oxr", "USD", "KES", 1292),
            ("desk", "USD", "KES", 1292),
            ("desk", "USDC", "USD", 10),
        ):
            connection.execute(
                "INSERT INTO rate_observations (source, base, quote, num, den, as_of, fetched_at)"
                " VALUES (%s, %s, %s, %s, 10, %s, %s)",
                (source, base, quote, price, system_clock(), system_clock()),
            )
    return lastmile


def listed(lastmile):
    return json.loads(lastmile("corridor", "list", "--json").stdout)


def test_rates_are_printed_for_people_and_for_programs(priced):
    shown = priced("rates").stdout
    assert "USDC  1.000000 USD  open" in shown
    assert "USDC in KES  129.200000" in shown
    assert "    KE mobile_money  " in shown
    document = json.loads(priced("rates", "--json").stdout)
    pair = next(one for one in document["rates"] if (one["asset"], one["currency"]) == ("USDC", "KES"))
    assert (pair["mid"], pair["sources"], document["stops"]) == ("129.20000000", ["desk", "oxr"], [])


def test_a_corridor_is_halted_and_resumed_by_name_and_with_a_reason(priced):
    priced("corridor", "halt", *KENYA, *BY)
    [stop] = listed(priced)
    assert (stop["subject"], stop["by"], stop["reason"]) == ("KE/KES/mobile_money", "amina", "the rails there are down")
    shown = priced("rates").stdout
    assert "KE mobile_money  STOPPED (by_hand)" in shown
    assert "the rails there are down" in shown
    assert "KE/KES/mobile_money  by_hand by amina since" in priced("corridor", "list").stdout
    with pytest.raises(Refusal, match="halted by hand before"):
        priced("corridor", "halt", *KENYA, *BY)
    priced("corridor", "resume", *KENYA, *BY)
    assert listed(priced) == []
    with pytest.raises(Refusal, match="nothing halts"):
        priced("corridor", "resume", *KENYA, *BY)


def test_a_coin_or_everything_is_halted_the_same_way(priced):
    priced("corridor", "halt", "--coin", "USDC", *BY)
    priced("corridor", "halt", "--all", *BY)
    assert [stop["subject"] for stop in listed(priced)] == ["USDC", "*"]
    priced("corridor", "resume", "--all", *BY)
    priced("corridor", "resume", "--coin", "USDC", *BY)
    assert listed(priced) == []


@pytest.mark.parametrize(
    ("arguments", "right"),
    [
        ((), "name one thing"),
        (("KE", "KES"), "name one thing"),
        ((*KENYA, "--all"), "name one thing"),
        (("--coin", "USDX"), "no coin is called"),
        (("KE", "KES", "pigeon"), "there are: KE/KES/mobile_money"),
    ],
)
def test_what_does_not_exist_is_not_halted(priced, arguments, right):
    with pytest.raises(Refusal, match=right):
        priced("corridor", "halt", *arguments, *BY)
    assert listed(priced) == []


def test_nobody_halts_without_a_name_that_is_known(priced):
    with pytest.raises(Refusal, match="no operator is named"):
        priced("corridor", "halt", *KENYA, "--by", "nobody", "--reason", "so")


def test_a_jump_is_believed_by_a_person(priced, database_url):
    with pytest.raises(Refusal, match="no price of USD/KES waits"):
        priced("rates", "accept", "USD", "KES", *BY)
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "INSERT INTO market_pairs (base, quote, price, at, low, high, since, moves, newest, pending, rounds)"
            " VALUES ('USD', 'KES', '100', now(), '100', '100', now(), 0, now(), '646/5', 1)"
        )
    assert "STOPPED (jump)" in priced("rates").stdout
    priced("rates", "accept", "USD", "KES", *BY)
    assert "USDC in KES  129.200000" in priced("rates").stdout
