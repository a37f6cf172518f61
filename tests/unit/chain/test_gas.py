from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.chain.accounts import Sight
from gateway.chain.gas import Fees, market, replacement, within, would_fail
from gateway.chain.quorum import NoQuorum, Quorum
from gateway.chain.rpc import Node
from gateway.chain.wire import NodeFault

wei = st.integers(0, 10**14)
SIGHT = Sight(number=9, hash="0x", base_fee=100, final=7, nonce=0, balance=0)


class Saying:
    """A node that gives these answers and none else."""

    def __init__(self, **answers: object) -> None:
        self.answers = answers

    async def ask(self, method: str, _params: Sequence[object]) -> object:
        if method not in self.answers:
            raise NodeFault("no answer")
        return self.answers[method]


def nodes(*each: Saying) -> Quorum:
    return Quorum(nodes=[Node(saying, name=f"n{number}") for number, saying in enumerate(each)], quorum=1)


@given(tip=wei, room=wei, tip_now=wei, room_now=wei, most=st.integers(1, 10**14))
def test_a_replacement_raises_both_prices_by_an_eighth_and_stays_under_the_cap(
    tip: int, room: int, tip_now: int, room_now: int, most: int
) -> None:
    before = Fees(fee_per_gas=tip + room, tip_per_gas=tip)
    fees = replacement(before, Fees(fee_per_gas=tip_now + room_now, tip_per_gas=tip_now), most=most)
    if fees is None:
        assert (tip + room) * 9 > most * 8
        return
    assert fees.fee_per_gas * 8 >= (tip + room) * 9
    assert fees.tip_per_gas is not None
    assert fees.tip_per_gas * 8 >= tip * 9
    assert fees.tip_per_gas <= fees.fee_per_gas <= most


def test_a_replacement_goes_up_to_the_market_at_once() -> None:
    now = Fees(fee_per_gas=500, tip_per_gas=20)
    assert replacement(Fees(fee_per_gas=80, tip_per_gas=8), now, most=400) == Fees(fee_per_gas=400, tip_per_gas=20)
    assert replacement(Fees(fee_per_gas=80, tip_per_gas=None), now, most=400) == Fees(fee_per_gas=400, tip_per_gas=None)


def test_fees_are_cut_to_the_cap() -> None:
    assert within(Fees(fee_per_gas=9, tip_per_gas=7), most=5) == Fees(fee_per_gas=5, tip_per_gas=5)
    assert within(Fees(fee_per_gas=9, tip_per_gas=None), most=5) == Fees(fee_per_gas=5, tip_per_gas=None)


async def test_the_market_is_the_middle_of_what_nodes_say() -> None:
    """One that lies about a price, high or low, decides nothing."""
    prices = [
        Saying(eth_feeHistory={"reward": [["0x1"], ["0x3"], ["0x2"]]}, eth_maxPriorityFeePerGas="0x1"),
        Saying(eth_feeHistory={"reward": [["0xffffffffff"]]}, eth_maxPriorityFeePerGas="0xfffffffffff"),
        Saying(eth_feeHistory={"reward": []}, eth_maxPriorityFeePerGas="0x4"),
    ]
    found = await market(nodes(*prices), sight=SIGHT)
    assert (found.fees, found.least) == (Fees(fee_per_gas=204, tip_per_gas=4), 104)


async def test_a_node_may_lack_advice_but_not_history() -> None:
    found = await market(nodes(Saying(eth_feeHistory={"reward": [["0x3"]]})), sight=SIGHT)
    assert found.fees.tip_per_gas == 3
    for history in (None, {}, {"reward": None}, {"reward": [[]]}, {"reward": [["3"]]}):
        with pytest.raises(NoQuorum):
            await market(nodes(Saying(eth_feeHistory=history, eth_maxPriorityFeePerGas="0x1")), sight=SIGHT)


@pytest.mark.parametrize(
    ("text", "fails"),
    [
        ("execution reverted: Pausable: paused", True),
        ("VM Exception while processing transaction: revert", True),
        ("out of gas: not enough gas", True),
        ("gas required exceeds allowance (100000)", True),
        ("HTTP status 503", False),
        ("no answer (TimeoutError)", False),
        ("missing trie node", False),
        ("header not found", False),
    ],
)
def test_only_the_contracts_own_failures_count_as_failures(text: str, fails: bool) -> None:  # noqa: FBT001
    assert would_fail(NodeFault(f"eth_call: the node answers {text}")) is fails
