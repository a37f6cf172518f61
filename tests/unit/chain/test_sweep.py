from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.chain.accounts import Log, Receipt
from gateway.chain.forwarders import FLUSH_FAILED, FLUSHED, NO_ADDRESS
from gateway.chain.logs import TRANSFER
from gateway.chain.sweep import GAS_MOST, SWEEP_GAS, Costs, Flush, Holding, batches, flushes, gas_limit, judge
from gateway.money import Asset
from tests.unit.chain.fake_chain import address, topic, word

USDC = Asset("USDC@1", 6)
TOKEN, OTHER = address("token"), address("other token")
FACTORY, TREASURY, OURS, ALSO_OURS, STRANGER = (
    address(name) for name in ("factory", "treasury", "ours", "also ours", "stranger")
)
WORTH = {TOKEN: Fraction(1)}
COSTS = Costs(wei_per_gas=10**9, l1_wei=0, native_usd=Fraction(2000), most_bps=100)


def holding(dollars: int = 100, **changes: Any) -> Holding:
    whole: dict[str, Any] = {
        "address": OURS,
        "salt": bytes(32),
        "owner": "ord_1",
        "token": TOKEN,
        "asset": USDC,
        "booked": dollars * 10**6,
        "held": dollars * 10**6,
    }
    return Holding(**whole | changes)


def verdict(*holdings: Holding, costs: Costs = COSTS, frozen: dict[str, str] | None = None) -> list[bool]:
    return [one.worth_it for one in judge(holdings, worth=WORTH, frozen=frozen or {}, costs=costs)]


def test_a_coin_has_to_carry_its_own_gas() -> None:
    # 87,000 gas at 1 gwei and 2,000 USD are 0.174 USD: one percent of 17.40 USD.
    assert verdict(holding(1000), holding(18), holding(17)) == [True, True, False]
    assert verdict(holding(1000), replace(holding(17), stands=True)) == [True, True], "deployed before: 0.03 USD"


def test_together_they_have_to_carry_the_transaction() -> None:
    # One more 60,000 gas: 0.294 USD in all, one percent of 29.40 USD.
    assert verdict(holding(29)) == [False]
    assert verdict(holding(30)) == [True]
    assert verdict(holding(29), holding(29)) == [True, True]


def test_the_fee_for_l1_is_a_cost() -> None:
    assert verdict(holding(30), costs=replace(COSTS, l1_wei=10**14)) == [False]
    assert verdict(holding(60), costs=replace(COSTS, l1_wei=10**14)) == [True]


def test_what_is_not_booked_counts_for_nothing_and_what_is_gone_neither() -> None:
    assert verdict(holding(1, held=10**12)) == [False]
    assert verdict(holding(1000, held=0)) == [False]
    assert verdict(holding(1000, held=5)) == [False]


def test_frozen_unpriced_and_unlisted_coins_wait_with_their_reasons() -> None:
    judged = judge(
        [holding(1000), holding(1000, token=OTHER), holding(1000, asset=None)],
        worth=WORTH,
        frozen={USDC.code: "paused"},
        costs=COSTS,
    )
    assert [one.worth_it for one in judged] == [False, False, False]
    assert judged[0].why == "frozen: paused"
    assert "isn't known" in judge([holding(1000, token=OTHER)], worth=WORTH, frozen={}, costs=COSTS)[0].why


def test_batches_keep_coins_apart_and_fit_into_a_transaction() -> None:
    many = [holding(token=TOKEN) for _ in range(100)] + [holding(token=OTHER, asset=None) for _ in range(20)]
    sets = batches(many)
    assert sum(len(one) for one in sets) == 120
    assert all(len({each.token for each in one}) == 1 for one in sets)
    assert all(gas_limit(one) <= GAS_MOST for one in sets)
    assert [len(one) for one in sets if one[0].token == TOKEN] == [39, 39, 22]
    assert batches([]) == []


@given(st.lists(st.integers(0, 10**9), max_size=60), st.integers(1, 500))
def test_what_is_swept_never_costs_more_than_its_share(units: list[int], gwei: int) -> None:
    costs = replace(COSTS, wei_per_gas=gwei * 10**9)
    judged = judge([holding(booked=one, held=one) for one in units], worth=WORTH, frozen={}, costs=costs)
    chosen = [one.holding for one in judged if one.worth_it]
    gas = sum(one.gas for one in chosen) + SWEEP_GAS * len(batches(chosen))
    value = Fraction(sum(one.held for one in chosen), 10**6)
    assert costs.usd(gas=gas, forwarders=len(chosen)) * 100 <= value


def log(emitter: str, index: int, topics: list[str], value: int | None = None) -> Log:
    return Log(address=emitter, topics=tuple(topics), data=b"" if value is None else value.to_bytes(32), index=index)


def flushed(index: int, holder: str, token: str, amount: int, *, factory: str = FACTORY) -> Log:
    return log(factory, index, [FLUSHED, topic(holder), topic(token)], amount)


def failed(index: int, holder: str, token: str) -> Log:
    return log(FACTORY, index, [FLUSH_FAILED, topic(holder), topic(token)])


def moved(index: int, token: str, sender: str, recipient: str, value: int) -> Log:
    return log(token, index, [TRANSFER, topic(sender), topic(recipient)], value)


def read(*logs: Log) -> list[Flush]:
    receipt = Receipt(hash=word("tx"), block_number=5, block_hash=word("block"), succeeded=True, fee=1, logs=logs)
    return flushes(receipt, factory=FACTORY, treasury=TREASURY, ours={OURS, ALSO_OURS})


def flush(**changes: Any) -> Flush:
    whole: dict[str, Any] = {"address": OURS, "token": TOKEN, "sent": 9, "arrived": 9, "log_index": 1}
    return Flush(**whole | changes)


def test_what_arrived_is_what_the_tokens_own_logs_say() -> None:
    assert read(moved(0, TOKEN, OURS, TREASURY, 9), flushed(1, OURS, TOKEN, 9)) == [flush()]
    fee_taken = read(moved(0, TOKEN, OURS, TOKEN, 2), moved(1, TOKEN, OURS, TREASURY, 7), flushed(2, OURS, TOKEN, 9))
    assert fee_taken == [flush(arrived=7, log_index=2)]
    assert fee_taken[0].money(USDC)[1].units == 2
    assert read(flushed(1, OURS, TOKEN, 9)) == [flush(arrived=0)]
    assert read(flushed(1, OURS, NO_ADDRESS, 9)) == [flush(token=NO_ADDRESS)]


def test_what_refused_is_told() -> None:
    assert read(failed(1, OURS, TOKEN)) == [flush(sent=None, arrived=0)]


def test_others_logs_are_not_ours() -> None:
    assert read(flushed(1, STRANGER, TOKEN, 9), moved(0, TOKEN, STRANGER, TREASURY, 9)) == []
    assert read(flushed(1, OURS, TOKEN, 9, factory=STRANGER)) == []
    other_token = read(moved(0, OTHER, OURS, STRANGER, 9), flushed(1, OURS, TOKEN, 9))
    assert other_token == [flush(arrived=0)], "a log of another contract says nothing about this token"


def test_a_transfer_without_the_factory_is_found_too() -> None:
    assert read(moved(4, TOKEN, OURS, TREASURY, 7), moved(5, TOKEN, OURS, STRANGER, 2)) == [flush(arrived=7, log_index=4)]
    assert read(moved(4, TOKEN, OURS, STRANGER, 7)) == []


def test_two_events_of_one_coin_are_one_flush() -> None:
    """A token that calls back in the middle."""
    logs = [moved(0, TOKEN, OURS, TREASURY, 4), flushed(1, OURS, TOKEN, 4), moved(2, TOKEN, OURS, TREASURY, 5)]
    assert read(*logs, flushed(3, OURS, TOKEN, 5)) == [flush()]
    assert read(failed(0, OURS, TOKEN), moved(1, TOKEN, OURS, TREASURY, 9), flushed(2, OURS, TOKEN, 9)) == [
        flush(log_index=2)
    ]
