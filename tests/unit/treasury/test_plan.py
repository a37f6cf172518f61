from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.money import Asset, Money, Rate
from gateway.offramp import Destination, Method
from gateway.pricing.tariffs import Band, Cost, Schedule
from gateway.treasury.floatrules import CoinDeposit, Fill
from gateway.treasury.plan import Need, Plan, Planner, Pool, Way, arrival, latest_start

NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)  # a Tuesday
KES, USDC, COIN = Asset("KES", 2), Asset("USDC", 6), Asset("USDC@8453", 8)
OURS = Destination(country="KE", method=Method.BANK, account="123", holder="Us Ltd", institution="01")
RATE = Rate.per_whole(Fraction(129), base=USDC, quote=KES)
HOUR = timedelta(hours=1)
THOUSAND = 100_000
"""Units of 1,000 KES."""


def fill(rail: str = "mpesa", by: str = "bitso", **changes: object) -> Fill:
    made = Fill(
        rail=rail,
        by=by,
        to=OURS,
        pays=KES,
        source=f"rail:{by}",
        gives=USDC,
        peg="USD",
        lead=2 * HOUR,
        fee=Money(0, KES),
        least=Money(100, KES),
        most=Money(10**9, KES),
        step=Money(100, KES),
    )
    return replace(made, **changes)


def deposit(by: str = "bitso", **changes: object) -> CoinDeposit:
    made = CoinDeposit(
        by=by,
        source="treasury:8453",
        gives=COIN,
        pays=USDC,
        address="0xours",
        lead=HOUR,
        fee=Money(0, USDC),
        keep=Money(0, COIN),
        least=Money(0, USDC),
    )
    return replace(made, **changes)


def need(rail: str = "mpesa", *, available: int = 0, target: int = 100 * THOUSAND, due: datetime = NOW + 24 * HOUR) -> Need:
    return Need(rail=rail, asset=KES, available=available, target=target, due=due, because=f"{rail} is low")


def pool(free: int, asset: Asset = USDC, reserve: int = 0) -> Pool:
    return Pool(asset=asset, free=free, reserve=reserve)


def planned(needs: list[Need], ways: list[Way], pools: dict, deposits: tuple[CoinDeposit, ...] = ()) -> Plan:
    planner = Planner(ways=ways, deposits=deposits, pools=pools, countries=lambda _code: ("KE",), now=NOW)
    return planner.plan(needs, valid_for=HOUR)


def test_a_float_is_filled_up_to_its_target_and_the_move_says_why():
    cheap, dear = fill(fee_bps=50), fill(by="dear", fee_bps=80)
    pools = {("rail:bitso", "USDC"): pool(2_000_000_000, reserve=7_000_000), ("rail:dear", "USDC"): pool(2_000_000_000)}
    plan = planned([need(available=40 * THOUSAND)], [Way(fill=dear, rate=RATE), Way(fill=cheap, rate=RATE)], pools)
    [move] = plan.moves
    assert (move.by, move.from_, move.to_rail, move.to) == ("bitso", "rail:bitso", "mpesa", OURS)
    assert (move.money, move.cost) == (Money(60 * THOUSAND, KES), Money(30_000, KES))
    assert move.give == RATE.ceil_base(Money(60 * THOUSAND + 30_000, KES))
    assert (move.at, move.arrives_at) == (NOW + 22 * HOUR, NOW + 24 * HOUR)
    assert "mpesa is low; 60000.00 KES bring it towards its target of 100000.00 KES" in move.why
    assert "bitso is the best of 2 ways, costs 300.00 KES (0.50 %)" in move.why
    assert "of which 7.000000 USDC are kept" in move.why
    assert plan.valid_until == NOW + HOUR
    assert plan.notes == ()


def test_in_time_is_better_than_cheap_and_if_none_is_the_quickest_is():
    slow, quick = fill(lead=30 * HOUR), fill(by="quick", lead=HOUR, fee_bps=300)
    ways = [Way(fill=slow, rate=RATE), Way(fill=quick, rate=RATE)]
    pools = {("rail:bitso", "USDC"): pool(10**12), ("rail:quick", "USDC"): pool(10**12)}
    [move] = planned([need()], ways, dict(pools)).moves
    assert move.by == "quick"
    [late] = planned([need(due=NOW)], ways, {("rail:bitso", "USDC"): pool(10**12)}).moves
    assert (late.by, late.at) == ("bitso", NOW)
    assert "later than" in late.why


def test_what_is_due_first_is_filled_first():
    ways = [Way(fill=fill(), rate=RATE), Way(fill=fill("airtel"), rate=RATE)]
    pools = {("rail:bitso", "USDC"): pool(RATE.ceil_base(Money(100 * THOUSAND, KES)).units)}
    plan = planned([need("airtel", due=NOW + 9 * HOUR), need(due=NOW + 8 * HOUR)], ways, pools)
    assert [move.to_rail for move in plan.moves] == ["mpesa"]
    assert "airtel is low; 100000.00 KES up to its target of 100000.00 KES can't be brought" in plan.notes[0]
    assert "bitso has" in plan.notes[0]


def test_coins_of_the_treasury_come_first_where_the_exchange_lacks_them():
    coins = {
        ("rail:bitso", "USDC"): pool(1_000_000),
        ("treasury:8453", COIN.code): pool(5_000 * 10**8, COIN, reserve=9 * 10**8),
    }
    took = deposit(fee=Money(500_000, USDC))
    soon = need(due=NOW + 2 * HOUR)
    first, second = planned([soon], [Way(fill=fill(least=Money(THOUSAND, KES)), rate=RATE)], coins, (took,)).moves
    assert (first.by, first.address, first.to_rail, first.to) == (None, "0xours", "bitso", None)
    assert first.money.units == second.give.units - 1_000_000
    assert first.give == Money((first.money.units + 500_000) * 100, COIN), "on its chain the coin has two more digits"
    assert (second.after, second.at >= first.arrives_at) == (first.id, True)
    assert "belong to no customer and are above its reserve of 9.00000000 USDC" in first.why
    assert coins["treasury:8453", COIN.code].free == 5_000 * 10**8 - first.give.units


def test_less_than_an_exchange_takes_is_not_sent_there():
    coins = {("rail:bitso", "USDC"): pool(0), ("treasury:8453", COIN.code): pool(50 * 10**8, COIN)}
    plan = planned([need()], [Way(fill=fill(), rate=RATE)], coins, (deposit(least=Money(60_000_000, USDC)),))
    assert plan.moves == ()


def test_a_deposit_is_in_the_price_of_what_needs_it():
    dear = deposit(fee=Money(50_000_000, USDC))
    other = fill(by="other", fee_bps=100)
    pools = {
        ("rail:bitso", "USDC"): pool(0),
        ("rail:other", "USDC"): pool(10**12),
        ("treasury:8453", COIN.code): pool(10**15, COIN),
    }
    [move] = planned([need()], [Way(fill=fill(), rate=RATE), Way(fill=other, rate=RATE)], pools, (dear,)).moves
    assert move.by == "other"


def test_a_way_without_any_source_or_price_is_told():
    plan = planned([need()], [], {})
    assert plan.moves == ()
    assert "no way to fill it is configured" in plan.notes[0]
    assert "nobody knows how much" in planned([need()], [Way(fill=fill(), rate=RATE)], {}).notes[0]


def test_a_rails_own_tariff_is_a_part_of_the_cost():
    tariff = Schedule((Band(10**78, (Cost(2_500, 1_000),)),))
    way = Way(fill=fill(fee=Money(1_000, KES), tariff=tariff), rate=None)
    assert way.fees(1_000_000) == 1_000 + 2_500 + 1_000


def test_working_days_are_counted_and_a_move_begins_early_enough():
    friday, christmas = datetime(2026, 11, 27, 20, tzinfo=UTC), datetime(2026, 12, 24, 23, tzinfo=UTC)
    assert arrival(friday, lead=6 * HOUR, countries=("KE",)) == datetime(2026, 11, 30, 2, tzinfo=UTC)
    assert arrival(christmas, lead=HOUR, countries=("KE",)) == datetime(2026, 12, 28, tzinfo=UTC), "25 and 26 are holidays"
    assert arrival(friday, lead=6 * HOUR, countries=None) == friday + 6 * HOUR
    sunday = datetime(2026, 11, 29, 12, tzinfo=UTC)
    bank = fill(working_days=True, lead=4 * HOUR)
    start = latest_start(bank, due=sunday, countries=("KE",), now=NOW)
    assert arrival(start, lead=bank.lead, countries=("KE",)) <= sunday
    assert start.weekday() == 4
    assert latest_start(bank, due=NOW + HOUR, countries=("KE",), now=NOW) == NOW


fees = st.builds(lambda bps, fixed: {"fee_bps": bps, "fee": Money(fixed, KES)}, st.integers(0, 500), st.integers(0, 50_000))
limits = st.builds(
    lambda step, least, more: {
        "step": Money(step, KES),
        "least": Money(least, KES),
        "most": Money(least + more, KES),
    },
    st.sampled_from([1, 100, 5_000]),
    st.integers(1, 10**6),
    st.integers(10_000, 10**8),
)
leads = st.integers(0, 100).map(lambda hours: {"lead": hours * HOUR})
fills = st.builds(
    lambda rail, by, *changes: fill(rail, by, **{k: v for change in changes for k, v in change.items()}),
    st.sampled_from(["mpesa", "airtel"]),
    st.sampled_from(["bitso", "coins", "bank"]),
    fees,
    limits,
    leads,
    st.booleans().map(lambda days: {"working_days": days}),
)
deposits = st.builds(
    lambda by, fee, least: deposit(by, fee=Money(fee, USDC), least=Money(least, USDC)),
    st.sampled_from(["bitso", "coins"]),
    st.integers(0, 10**7),
    st.integers(0, 10**8),
)
needs = st.builds(
    lambda rail, available, missing, hours: need(
        rail, available=available, target=available + missing, due=NOW + hours * HOUR
    ),
    st.sampled_from(["mpesa", "airtel"]),
    st.integers(0, 10**8),
    st.integers(1, 10**8),
    st.integers(0, 200),
)


def as_way(one: Fill) -> Way:
    return Way(fill=replace(one, gives=KES, peg=None), rate=None) if one.by == "bank" else Way(fill=one, rate=RATE)


@settings(deadline=None, max_examples=300)
@given(
    wanted=st.lists(needs, min_size=1, max_size=3, unique_by=lambda one: one.rail),
    ways=st.lists(fills.map(as_way), max_size=5),
    steps=st.lists(deposits, max_size=2),
    free=st.tuples(*[st.integers(0, 10**10)] * 4),
    reserve=st.integers(0, 10**9),
)
def test_no_plan_takes_what_is_not_there_or_moves_more_or_less_than_it_says(wanted, ways, steps, free, reserve):
    pools = {
        ("rail:bitso", "USDC"): pool(free[0], reserve=reserve),
        ("rail:coins", "USDC"): pool(free[1], reserve=reserve),
        ("rail:bank", "KES"): pool(free[2], KES, reserve=reserve),
        ("treasury:8453", COIN.code): pool(free[3], COIN, reserve=reserve),
    }
    before = {place: one.free for place, one in pools.items()}
    plan = planned(wanted, ways, pools, tuple(steps))
    left = dict(before)
    by_id = {}
    for move in plan.moves:
        place = (move.from_, move.give.asset.code)
        left[place] -= move.give.units
        if move.by is None:
            left[f"rail:{move.to_rail}", "USDC"] += move.money.units
        assert left[place] >= 0, "never more than a source has above its reserve"
        assert NOW <= move.at <= move.arrives_at
        if move.after:
            assert by_id[move.after].arrives_at <= move.at
        by_id[move.id] = move
    assert left == {place: one.free for place, one in pools.items()}
    assert all(one.reserve == reserve for one in pools.values())
    assert_sums(plan, wanted, ways)


def assert_sums(plan: Plan, wanted: list[Need], ways: list[Way]) -> None:
    assert plan.costs == {
        asset: Money(sum(move.cost.units for move in plan.moves if move.cost.asset == asset), asset)
        for asset in {move.cost.asset for move in plan.moves}
    }
    for move in plan.moves:
        whole = move.money + move.cost
        if move.give.asset == move.money.asset:
            assert move.give == whole
        elif move.by is not None:
            assert RATE.floor(move.give) >= whole, "what leaves pays for what arrives and what it costs"
            assert RATE.floor(Money(move.give.units - 1, move.give.asset)) < whole
    for one in wanted:
        coming = sum(move.money.units for move in plan.moves if move.to_rail == one.rail and move.by)
        told = any(note.startswith(f"{one.rail}: ") for note in plan.notes)
        assert (one.available + coming >= one.target) != told, "a float reaches its target, or it is said why not"
        most = max((max(way.fill.least.units, way.fill.step.units) + way.fill.step.units for way in ways), default=0)
        assert one.available + coming < one.target + most, "and is not filled beyond it but for the smallest payment"


@pytest.mark.parametrize("free", [0, 1, 10**6, 10**9])
@given(way=fills.map(as_way))
@settings(deadline=None, max_examples=50)
def test_the_most_that_a_source_can_bring_is_the_most(free, way):
    units, step = way.most_for(free), way.fill.step.units
    assert units == 0 or way.give(units).units <= free
    assert units + step > way.fill.most.units or way.give(units + step).units > free
