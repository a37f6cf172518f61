"""Exactly one answer for a funded order: pay, wait or hold; never a way or rail that was refused."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from gateway.money import Asset, Money
from gateway.offramp import Capabilities, Corridor, Fault, Institution, Method, Outcome, Resend
from gateway.routing.choose import (
    ATTEMPT_NOT_OVER,
    FAILURES_MOST,
    FLOAT_LOW,
    NO_RAIL,
    RAIL_UNAVAILABLE,
    RECIPIENT_REFUSED,
    RETURNED,
    Case,
    Choice,
    Hold,
    Pay,
    Tried,
    Wait,
    Way,
    choose,
)
from gateway.routing.scene import Scene

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
KES, UGX = Asset("KES", 2), Asset("UGX", 0)
MOBILE, BANK = Method.MOBILE_MONEY, Method.BANK
PLAIN_MOST_S = 10e-6


@dataclass(frozen=True)
class Room:
    most: int = sys.maxsize
    again_at: datetime | None = None
    reason: str | None = None
    left: Mapping[str, int] | None = None


def corridor(method: Method = MOBILE, *, least: int = 1_000, most: int = 25_000_000, country: str = "KE") -> Corridor:
    asset = KES if country == "KE" else UGX
    return Corridor(
        country=country,
        method=method,
        asset=asset,
        least=Money(least, asset),
        most=Money(most, asset),
        step=Money(100, asset),
    )


def rail(name: str, *corridors: Corridor) -> Capabilities:
    return Capabilities(
        name=name,
        corridors=corridors or (corridor(),),
        resend=Resend.FINDABLE,
        settles_within=timedelta(minutes=5),
        resend_within=timedelta(0),
    )


A, B, C = rail("a"), rail("b"), rail("c", corridor(BANK))
RAILS = {"a": A, "b": B, "c": C}
ONE_WAY = (Way(0, MOBILE),)
TWO_NUMBERS = (Way(0, MOBILE), Way(1, MOBILE))
NUMBER_THEN_BANK = (Way(0, MOBILE), Way(1, BANK))
THREE_WAYS = (Way(0, MOBILE), Way(1, BANK), Way(2, MOBILE))
CASE = Case("KE", Money(124_900, KES), ONE_WAY)


def choice_of(case: Case, *, capabilities: Mapping[str, Capabilities], allowances: Mapping[str, Room]) -> Choice:
    return choose(case, scene=Scene(capabilities=capabilities), allowances=allowances, now=NOW)


def failed(name: str, way: int = 0, fault: Fault = Fault.RECIPIENT) -> Tried:
    return Tried(name, way, Outcome.FAILED, fault)


def returned(name: str, way: int = 0) -> Tried:
    return Tried(name, way, Outcome.RETURNED, Fault.RECIPIENT)


@pytest.mark.parametrize(
    ("ways", "tried", "answer"),
    [
        (ONE_WAY, (), Pay("a", 0)),
        (NUMBER_THEN_BANK, (), Pay("a", 0)),
        # A wrong number is wrong everywhere.
        (ONE_WAY, (failed("a"),), Hold(RECIPIENT_REFUSED)),
        (NUMBER_THEN_BANK, (failed("a"),), Pay("c", 1)),
        (TWO_NUMBERS, (failed("a"),), Pay("a", 1)),
        (TWO_NUMBERS, (failed("a"), failed("a", 1)), Hold(RECIPIENT_REFUSED)),
        (NUMBER_THEN_BANK, (failed("a"), failed("c", 1)), Hold(RECIPIENT_REFUSED)),
        # The rail's own trouble leaves the way to others, and the rail to nobody.
        (ONE_WAY, (failed("a", fault=Fault.RAIL),), Pay("b", 0)),
        (ONE_WAY, (failed("a", fault=Fault.RAIL), failed("b", fault=Fault.RAIL)), Hold(RAIL_UNAVAILABLE)),
        (TWO_NUMBERS, (failed("a", fault=Fault.RAIL), failed("b")), Pay("b", 1)),
        (NUMBER_THEN_BANK, (failed("a", fault=Fault.RAIL), failed("b", fault=Fault.RAIL)), Pay("c", 1)),
        # Another number helps only where a rail that works pays to one.
        (NUMBER_THEN_BANK, (failed("a"), failed("c", 1, Fault.RAIL)), Hold(RECIPIENT_REFUSED)),
        (
            NUMBER_THEN_BANK,
            (failed("a", fault=Fault.RAIL), failed("b", fault=Fault.RAIL), failed("c", 1)),
            Hold(RECIPIENT_REFUSED),
        ),
        (ONE_WAY, (failed("a", fault=Fault.RAIL), failed("b")), Hold(RECIPIENT_REFUSED)),
        (ONE_WAY, (failed("b"), failed("b", fault=Fault.RAIL), failed("a", fault=Fault.RAIL)), Hold(RAIL_UNAVAILABLE)),
        # What passes: those that failed less often first, then the recipient's order, then the operator's.
        (ONE_WAY, (failed("a", fault=Fault.TRANSIENT),), Pay("b", 0)),
        (ONE_WAY, (failed("a", fault=Fault.FLOAT), failed("b", fault=Fault.TRANSIENT)), Pay("a", 0)),
        (TWO_NUMBERS, (failed("a", fault=Fault.TRANSIENT), failed("b", fault=Fault.TRANSIENT)), Pay("a", 0)),
        (NUMBER_THEN_BANK, (failed("a", fault=Fault.TRANSIENT), failed("b", fault=Fault.FLOAT)), Pay("c", 1)),
        # Money that came back spends its way.
        (ONE_WAY, (returned("a"),), Hold(RETURNED)),
        (TWO_NUMBERS, (returned("a"),), Pay("a", 1)),
        (TWO_NUMBERS, (returned("a"), failed("a", 1)), Hold(RECIPIENT_REFUSED)),
        # A person resolved it as failed and named nobody's fault: it may be tried again.
        (ONE_WAY, (Tried("a", 0, Outcome.FAILED, None), Tried("b", 0, Outcome.FAILED, None)), Pay("a", 0)),
    ],
)
def test_what_may_be_tried_after_what_was_tried(ways: tuple[Way, ...], tried: tuple[Tried, ...], answer: object) -> None:
    assert choice_of(structs.replace(CASE, ways=ways, tried=tried), capabilities=RAILS, allowances={}) == answer


@pytest.mark.parametrize("outcome", ["sending", "pending", "available", "unknown", "paid", "something new"])
def test_nothing_is_sent_unless_every_attempt_is_proven_to_be_over(outcome: str) -> None:
    for fault in (None, *Fault):
        tried = (failed("a", fault=Fault.TRANSIENT), Tried("b", 0, outcome, fault))
        assert choice_of(structs.replace(CASE, tried=tried), capabilities=RAILS, allowances={}) == Hold(ATTEMPT_NOT_OVER)


@pytest.mark.parametrize(
    ("country", "deliver"),
    [
        ("KE", Money(900, KES)),
        ("KE", Money(25_000_100, KES)),
        ("KE", Money(124_950, KES)),
        ("UG", Money(124_900, KES)),
        ("KE", Money(124_900, UGX)),
        ("KE", Money(124_900, Asset("KES", 0))),
    ],
)
def test_what_no_rail_pays_exactly_is_held(country: str, deliver: Money) -> None:
    assert choice_of(Case(country, deliver, ONE_WAY), capabilities=RAILS, allowances={}) == Hold(NO_RAIL)


def test_both_limits_of_a_corridor_are_paid() -> None:
    for units in (1_000, 25_000_000):
        assert choice_of(structs.replace(CASE, deliver=Money(units, KES)), capabilities=RAILS, allowances={}) == Pay("a", 0)


def test_a_way_whose_rails_do_not_take_the_amount_is_passed_over() -> None:
    rails = {"a": rail("a", corridor(most=100_000)), "c": C}
    assert choice_of(structs.replace(CASE, ways=NUMBER_THEN_BANK), capabilities=rails, allowances={}) == Pay("c", 1)


def test_too_many_failures_go_to_a_person() -> None:
    tried = tuple(failed("a", fault=Fault.TRANSIENT) for _ in range(FAILURES_MOST))
    assert choice_of(structs.replace(CASE, tried=tried[1:]), capabilities=RAILS, allowances={}) == Pay("b", 0)
    assert choice_of(structs.replace(CASE, tried=tried), capabilities=RAILS, allowances={}) == Hold(RAIL_UNAVAILABLE)


SOON, LATER = NOW + timedelta(seconds=1), NOW + timedelta(minutes=10)
FULL = Room(most=0, again_at=SOON, reason="busy")
BROKEN = Room(most=0, again_at=LATER, reason="breaker")
STOPPED = Room(most=0, reason="stopped")
POOR = Room(left={"KES": 124_899})
RICH = Room(left={"KES": 124_900})


@pytest.mark.parametrize(
    ("ways", "rooms", "answer"),
    [
        (ONE_WAY, {"a": FULL}, Pay("b", 0)),
        (ONE_WAY, {"a": FULL, "b": FULL}, Wait(SOON, "busy")),
        (ONE_WAY, {"a": BROKEN, "b": FULL}, Wait(SOON, "busy")),
        (ONE_WAY, {"a": STOPPED, "b": BROKEN}, Wait(LATER, "breaker")),
        (ONE_WAY, {"a": STOPPED, "b": STOPPED}, Wait(None, "stopped")),
        (ONE_WAY, {"a": POOR, "b": RICH}, Pay("b", 0)),
        (ONE_WAY, {"a": POOR, "b": POOR}, Wait(None, FLOAT_LOW)),
        (ONE_WAY, {"a": Room(left={}), "b": Room(left={"UGX": 10**9})}, Wait(None, FLOAT_LOW)),
        (ONE_WAY, {"a": Room(most=1, left=None)}, Pay("a", 0)),
        # That rails are busy is no reason to take the recipient's next way; that none of them can be used is one.
        (NUMBER_THEN_BANK, {"a": FULL, "b": FULL}, Wait(SOON, "busy")),
        (NUMBER_THEN_BANK, {"a": FULL, "b": BROKEN}, Wait(SOON, "busy")),
        (NUMBER_THEN_BANK, {"a": STOPPED, "b": POOR}, Pay("c", 1)),
        (NUMBER_THEN_BANK, {"a": BROKEN, "b": POOR}, Pay("c", 1)),
        (NUMBER_THEN_BANK, {"a": STOPPED, "b": POOR, "c": BROKEN}, Wait(LATER, "breaker")),
        (THREE_WAYS, {"a": POOR, "b": POOR, "c": FULL}, Wait(SOON, "busy")),
        (NUMBER_THEN_BANK, {"a": FULL, "b": RICH}, Pay("b", 0)),
        (TWO_NUMBERS, {"a": FULL}, Pay("b", 0)),
    ],
)
def test_who_has_no_room_is_waited_for_or_passed_over(ways: tuple[Way, ...], rooms: dict[str, Room], answer: object) -> None:
    case = structs.replace(CASE, ways=ways)
    assert choice_of(case, capabilities=RAILS, allowances=rooms) == answer


def test_a_way_is_not_skipped_for_a_later_one_that_has_room() -> None:
    rails = RAILS | {"d": rail("d", corridor(Method.CASH))}
    tried = (failed("a", fault=Fault.TRANSIENT),)
    case = structs.replace(CASE, ways=(*NUMBER_THEN_BANK, Way(2, Method.CASH)), tried=tried)
    assert choice_of(case, capabilities=rails, allowances={"b": FULL, "c": FULL}) == Pay("a", 0)
    failed_twice = structs.replace(case, tried=(*tried, failed("c", 1, Fault.TRANSIENT)))
    assert choice_of(failed_twice, capabilities=rails, allowances={"b": FULL, "c": FULL}) == Pay("d", 2)


@pytest.mark.parametrize(
    ("ways", "tried", "rooms", "answer"),
    [
        (NUMBER_THEN_BANK, (failed("a", fault=Fault.TRANSIENT),), {"b": FULL}, Pay("c", 1)),
        (NUMBER_THEN_BANK, (failed("a", fault=Fault.TRANSIENT),), {"b": FULL, "c": FULL}, Pay("a", 0)),
        (NUMBER_THEN_BANK, (failed("a"),), {"c": BROKEN}, Wait(LATER, "breaker")),
        (NUMBER_THEN_BANK, (failed("c", 1, Fault.TRANSIENT),), {"a": FULL, "b": FULL}, Pay("c", 1)),
        (THREE_WAYS, (failed("a", fault=Fault.TRANSIENT),), {"a": FULL, "b": FULL, "c": FULL}, Wait(SOON, "busy")),
        (THREE_WAYS, (failed("a", fault=Fault.TRANSIENT),), {"b": FULL, "c": FULL}, Pay("a", 0)),
        (THREE_WAYS, (failed("a"), failed("c", 1, Fault.FLOAT)), {"c": FULL}, Pay("a", 2)),
    ],
)
def test_the_next_way_is_open_once_the_one_before_has_failed(
    ways: tuple[Way, ...], tried: tuple[Tried, ...], rooms: dict[str, Room], answer: object
) -> None:
    assert choice_of(structs.replace(CASE, ways=ways, tried=tried), capabilities=RAILS, allowances=rooms) == answer


def test_another_mapping_of_capabilities_is_looked_up_anew() -> None:
    assert choice_of(CASE, capabilities={"a": A}, allowances={}) == Pay("a", 0)
    assert choice_of(CASE, capabilities={"b": B}, allowances={}) == Pay("b", 0)
    assert choice_of(CASE, capabilities={}, allowances={}) == Hold(NO_RAIL)


methods = st.sampled_from([MOBILE, BANK])
amounts = st.sampled_from([900, 1_000, 124_900, 124_950, 20_000_000, 25_000_100])
attempts = st.builds(
    Tried,
    rail=st.sampled_from("abc"),
    way=st.integers(0, 2),
    outcome=st.sampled_from([Outcome.FAILED, Outcome.FAILED, Outcome.FAILED, Outcome.RETURNED, Outcome.UNKNOWN]),
    fault=st.sampled_from(Fault),
)
rooms = st.builds(
    Room,
    most=st.integers(0, 1),
    again_at=st.sampled_from([None, SOON, LATER]),
    reason=st.just("why"),
    left=st.none() | st.builds(lambda units: {"KES": units}, amounts),
)
corridors = st.builds(
    corridor, methods, least=st.sampled_from([1_000, 200_000]), most=st.sampled_from([124_900, 25_000_000])
)
networks = st.dictionaries(st.sampled_from("abc"), st.lists(corridors, max_size=2), max_size=3).map(
    lambda found: {name: replace(rail(name), corridors=tuple(listed)) for name, listed in found.items()}
)


@given(
    networks,
    st.lists(methods, min_size=1, max_size=3),
    amounts,
    st.lists(attempts, max_size=6),
    st.dictionaries(st.sampled_from("abc"), rooms),
)
def test_a_payment_is_one_that_may_be_made_and_a_wait_is_for_one(
    rails: dict[str, Capabilities],
    methods: list[Method],
    units: int,
    tried: list[Tried],
    allowances: dict[str, Room],
) -> None:
    ways = [Way(rank, method) for rank, method in enumerate(methods)]
    case = Case("KE", Money(units, KES), ways, tried)
    answer = choice_of(case, capabilities=rails, allowances=allowances)
    allowed = {
        (name, way.rank)
        for name, abilities in rails.items()
        for way in ways
        for one in abilities.corridors
        if one.method == way.method and one.least.units <= units <= one.most.units and units % one.step.units == 0
        if not any(a.fault == Fault.RECIPIENT and a.way == way.rank for a in tried)
        if not any(a.fault == Fault.RAIL and a.rail == name for a in tried)
    }
    if any(attempt.outcome == Outcome.UNKNOWN for attempt in tried):
        allowed = set()
    with_room = {
        (name, rank)
        for name, rank in allowed
        if (room := allowances.get(name, Room())).most and (room.left is None or room.left["KES"] >= units)
    }
    busy = {(name, rank) for name, rank in allowed - with_room if allowances[name].again_at == SOON}
    # A way is closed as long as one before it has room, or will have it soon, and wasn't tried.
    waited_for = {rank for _, rank in with_room | busy} - {attempt.way for attempt in tried}
    match answer:
        case Pay(name, rank):
            assert (name, rank) in with_room
            assert not any(before < rank for before in waited_for)
        case Wait(again_at, _):
            assert allowed
            assert all(any(before < rank for before in waited_for) for _, rank in with_room)
            assert again_at is None or again_at in {allowances[name].again_at for name, _ in allowed if name in allowances}
        case Hold():
            assert not allowed


def test_the_plain_case_costs_less_than_ten_microseconds() -> None:
    rails = {f"r{number}": replace(A, corridors=(corridor(BANK), corridor(country="UG"), corridor())) for number in range(5)}
    allowances = {name: Room() for name in rails}
    best = min(_cost(rails, allowances) for _ in range(5))
    assert best < PLAIN_MOST_S


def _cost(rails: dict[str, Capabilities], allowances: dict[str, Room], rounds: int = 1_000) -> float:
    scene = Scene(capabilities=rails)
    begun = time.process_time()
    for _ in range(rounds):
        choose(Case("KE", CASE.deliver, (Way(0, "mobile_money"),)), scene=scene, allowances=allowances, now=NOW)
    return (time.process_time() - begun) / rounds


def test_a_rail_that_reaches_other_banks_or_wallets_is_no_candidate():
    reaching = replace(corridor(country="UG", least=500), institutions=(Institution("mtn", "MTN"),))
    capabilities = {"momo": rail("momo", reaching), "any": rail("any", corridor(country="UG", least=500))}
    deliver = Money(5_000, UGX)
    for institution, chosen in (("mtn", Pay("momo", 0)), ("airtel", Pay("any", 0)), (None, Pay("momo", 0))):
        case = Case("UG", deliver, (Way(0, MOBILE, institution),))
        assert choice_of(case, capabilities=capabilities, allowances={}) == chosen
    case = Case("UG", deliver, (Way(0, MOBILE, "airtel"), Way(1, MOBILE, "mtn")))
    assert choice_of(case, capabilities={"momo": capabilities["momo"]}, allowances={}) == Pay("momo", 1)


def test_the_only_wallet_of_a_corridor_need_not_be_named_but_one_of_several_does():
    def reaching(code: str) -> Capabilities:
        return rail(code, replace(corridor(country="UG", least=500), institutions=(Institution(code, code),)))

    case = Case("UG", Money(5_000, UGX), (Way(0, MOBILE),))
    assert choice_of(case, capabilities={"mtn": reaching("mtn")}, allowances={}) == Pay("mtn", 0)
    two = {"mtn": reaching("mtn"), "airtel": reaching("airtel")}
    assert choice_of(case, capabilities=two, allowances={}) == Hold(NO_RAIL)
