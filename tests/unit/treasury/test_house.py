"""Whatever becomes of a move, no money appears or disappears, and what doesn't arrive is where it was."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.money import Asset, Money
from gateway.offramp import Destination, Method
from gateway.orders.postings import TEMPLATES
from gateway.orders.states import P
from gateway.treasury.house import arrival, coins_arrival, departure, moving, transit
from gateway.treasury.plan import Move
from tests.factories import KES, NOW

OURS = Destination(country="KE", method=Method.BANK, account="0123456789", holder="Us Ltd")
BEGUN = (P.PAYOUT_RESERVED,)
FAILED = (*BEGUN, P.PAYOUT_RELEASED)
PAID = (*BEGUN, P.PAYOUT_SETTLED)
GIVEN_UP = (P.REFUND_RESERVED, P.REFUND_SETTLED)
ENDS = {"cancelled": (), "failed": FAILED, "returned": (*PAID, P.PAYOUT_RETURNED)}


def a_move(units=1, asset=KES, give=None, **changes):
    made = {
        "id": "mov_1",
        "from_": "rail:bank",
        "give": give or Money(units, asset),
        "by": "bank",
        "to_rail": "mpesa",
        "money": Money(units, asset),
        "at": NOW,
        "arrives_at": NOW + timedelta(hours=1),
        "cost": Money(0, asset),
        "why": "it is low",
        "to": OURS,
    }
    return Move(**made | changes)


def posted(move, templates):
    """The accounts after an approval and the entries of an order's steps."""
    books = Counter()
    units, names = move.money.units, {"rail": "rail:bank", "wallet": transit(move)}
    take(books, transit(move), "funds", moving(move.money).asset.code, units)
    amounts = {"send_units": units, "receive_units": units, "units": units}
    for line in (line for template in templates for line in TEMPLATES[template]):
        asset = moving(move.money).asset if line.asset == "send" else move.money.asset
        sides = [names.get(side, side) for side in (line.source, line.destination)]
        take(books, *sides, asset.code, amounts.get(line.units, 0))
    return books


def take(books, source, destination, asset, units):
    books[source, asset] -= units
    books[destination, asset] += units


def booked(books, entry):
    for one in entry.transfers:
        take(books, one.source, one.destination, one.money.asset.code, one.money.units)
    return {account: units for account, units in books.items() if units}


units_of = st.integers(min_value=1, max_value=10**30)
assets = st.builds(Asset, st.sampled_from(["KES", "MXN", "JPY"]), st.integers(min_value=0, max_value=8))


@given(units=units_of, asset=assets)
def test_what_arrives_is_at_the_one_rail_instead_of_the_other_and_nothing_else_has_changed(units, asset):
    move = a_move(units, asset)
    books = posted(move, PAID)
    assert books[transit(move), moving(move.money).asset.code] == -units
    assert booked(books, arrival(move, cause="c", order_id="o")) == {
        ("rail:bank", asset.code): units,
        ("rail:mpesa", asset.code): -units,
    }


@pytest.mark.parametrize("end", ["cancelled", "failed", "returned"])
@given(units=units_of, asset=assets)
def test_what_does_not_arrive_leaves_every_account_as_it_was(end, units, asset):
    books = posted(a_move(units, asset), (*ENDS[end], *GIVEN_UP))
    assert not any(books.values())


@given(units=units_of, asset=assets)
def test_what_comes_back_after_it_was_called_arrived_leaves_every_account_as_it_was(units, asset):
    move = a_move(units, asset)
    books = Counter(booked(posted(move, PAID), arrival(move, cause="c", order_id="o")))
    books.update(booked(Counter(), departure(move, cause="d", order_id="o")))
    undone = posted(move, (*ENDS["returned"], *GIVEN_UP))
    paid = posted(move, PAID)
    books.update(undone)
    books.subtract(paid)
    assert not any(books.values())


@given(
    units=units_of,
    fee=st.integers(min_value=0, max_value=10**12),
    on_chain=st.integers(min_value=0, max_value=18),
    there=st.integers(min_value=0, max_value=18),
)
def test_of_coins_that_a_person_sends_all_leave_the_treasury_and_none_is_lost(units, fee, on_chain, there):
    got = Money(units, Asset("USDC", there))
    # As it is planned: what is brought and the fee, in coins of the chain, rounded up.
    give = Money(-(-(units + fee) * 10**on_chain // 10**there), Asset("USDC@8453", on_chain))
    move = a_move(give=give, from_="treasury:8453", by=None, to=None, address="0x1", to_rail="bitso", money=got)
    books = booked(Counter(), coins_arrival(move, cause="c"))
    assert books["treasury:8453", give.asset.code] == give.units
    assert books["rail:bitso", "USDC"] == -units
    for asset in ("USDC", "USDC@8453"):
        assert sum(number for (_, code), number in books.items() if code == asset) == 0
    assert books.get(("cost:rail_fees", give.asset.code), 0) <= 0
    assert books.get(("exchange", give.asset.code), 0) <= 0
