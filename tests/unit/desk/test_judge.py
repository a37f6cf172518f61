"""Why money fits no order, and what can be done with it: functions of facts."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from gateway.chain.forwarders import NO_ADDRESS
from gateway.chain.terms import FinalizedTag
from gateway.desk.found import Counted, native_arrival
from gateway.desk.judge import Facts, Kind, Lies, Place, Way, kind_of, ways_of
from gateway.desk.strays import known_coins
from gateway.money import Asset
from tests.unit.chain.fake_chain import terms

BESIDE = Facts(
    place=Place.UNALLOCATED,
    why="unallocated",
    asset="USDC@1",
    quoted="USDC@1",
    native=False,
    dust=False,
    taken=True,
    held=False,
    late=False,
    lies=Lies.DEPOSIT_ADDRESS,
)
FUNDS = replace(BESIDE, place=Place.FUNDS, why="late", held=True)


@pytest.mark.parametrize(
    ("facts", "kind"),
    [
        (BESIDE, Kind.SECOND),
        (replace(BESIDE, late=True), Kind.SECOND),
        (replace(BESIDE, late=True, held=True), Kind.LATE),
        (replace(BESIDE, why="deposit_received"), Kind.SURPLUS),
        (replace(BESIDE, why="top_up_received"), Kind.SURPLUS),
        (replace(BESIDE, dust=True), Kind.DUST),
        (replace(BESIDE, asset="USDT@1"), Kind.WRONG_TOKEN),
        (replace(BESIDE, asset="USDC@10"), Kind.WRONG_CHAIN),
        (replace(BESIDE, asset="USDC@10", dust=True), Kind.WRONG_CHAIN),
        (replace(BESIDE, asset="ETH@10", native=True), Kind.NATIVE),
        (replace(BESIDE, asset=None, place=Place.STRAY), Kind.UNSUPPORTED_TOKEN),
        (FUNDS, Kind.LATE),
        (replace(FUNDS, why="underpaid"), Kind.UNDERPAID),
        (replace(FUNDS, why="frozen"), Kind.FROZEN),
        (replace(FUNDS, why="recipient_refused"), Kind.HELD),
        (replace(FUNDS, why=""), Kind.HELD),
    ],
)
def test_each_thing_has_its_kind(facts, kind):
    assert kind_of(facts) is kind


def ways(facts):
    return set(ways_of(kind_of(facts), facts))


def test_what_can_be_done_follows_from_the_facts():
    assert ways(BESIDE) == {Way.REQUOTE, Way.REFUND, Way.RECOVER, Way.WRITE_OFF}
    assert ways(replace(BESIDE, lies=Lies.TREASURY)) == {Way.REQUOTE, Way.REFUND, Way.WRITE_OFF}
    assert Way.REQUOTE not in ways(replace(BESIDE, taken=False))
    assert Way.REQUOTE not in ways(replace(BESIDE, dust=True))
    assert ways(replace(BESIDE, asset=None, place=Place.STRAY, taken=False)) == {Way.RECOVER, Way.CLOSE}
    assert ways(FUNDS) == {Way.REQUOTE, Way.REFUND, Way.RECOVER}
    assert Way.RELEASE in ways(replace(FUNDS, why="frozen"))


def test_nothing_waits_without_a_way_out():
    for place, asset, why, lies in product(Place, ("USDC@1", "USDT@1", None), ("late", "frozen", "stray"), Lies):
        facts = replace(BESIDE, place=place, asset=asset, why=why, lies=lies)
        assert ways(facts)


COUNTED = Counted(swept=0, booked=0, last=0)


@pytest.mark.parametrize(
    ("present", "swept", "booked", "new"),
    [(0, 0, 0, None), (5, 0, 0, 5), (5, 0, 5, None), (7, 0, 5, 2), (0, 5, 5, None), (3, 5, 5, 3), (2, 0, 5, None)],
)
def test_of_the_native_coin_what_was_not_booked_has_arrived(present, swept, booked, new):
    counted = COUNTED._replace(swept=swept, booked=booked)
    found = native_arrival(address="0xaa", present=present, counted=counted, block=9)
    assert (found and found.units) == new
    if found:
        assert (found.identity, found.token) == (f"native:0xaa:{present + swept}", NO_ADDRESS)


def test_the_coins_that_are_known_and_not_taken_are_the_registrys_and_the_native_one():
    usdc = "0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48"
    taken = replace(terms(finality=FinalizedTag()), chain_id=1, native=Asset("ETH@1", 18), tokens={usdc: Asset("USDC@1", 6)})
    known = known_coins(taken)
    assert known[NO_ADDRESS] == Asset("ETH@1", 18)
    assert usdc not in known
    assert known["0xdac17f958d2ee523a2206206994597c13d831ec7"] == Asset("USDT@1", 6)
