"""The public status is a function of order, attempt and deposit, and never silent."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.money import Asset, Money
from gateway.orders.states import S
from gateway.payouts.tracking import Facts, Holder, PublicStatus, RefundView, progress

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
USDC, KES = Asset("USDC@1", 6), Asset("KES", 2)
FACTS = Facts(
    state=S.AWAITING_DEPOSIT,
    hold_reason=None,
    outcome=None,
    due=Money(10_000_000, USDC),
    received=Money(0, USDC),
    expires_at=NOW + timedelta(minutes=5),
    recipient="Wanjiku {missing} Kamau",
    receive=Money(124_900, KES),
)
REFUND = RefundView(
    id="ref_1",
    of="funds",
    amount=Money(9_000_000, USDC),
    address="0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
    outcome="pending",
    note=None,
    tx_hash=None,
    created_at=NOW,
)
HASH = "0x" + "ab" * 32
refunds = st.sampled_from([None, REFUND, replace(REFUND, tx_hash=HASH), replace(REFUND, outcome="failed")])
outcomes = st.sampled_from([None, "sending", "pending", "available", "unknown", "paid", "failed", "returned"])
reasons = st.sampled_from(
    [None, "underpaid", "late", "refund_failed", "recipient_refused", "rail_unavailable", "something new"]
)


@given(st.sampled_from(S), outcomes, reasons, refunds, st.integers(-1, 1))
def test_every_case_has_a_sentence_a_next_step_and_a_holder(state, outcome, reason, refund, minutes):
    facts = replace(FACTS, state=state, outcome=outcome, hold_reason=reason, refund=refund)
    shown = progress(facts, now=facts.expires_at + timedelta(minutes=minutes))
    assert shown.sentence
    assert shown.next_step
    assert "{due}" not in shown.sentence + shown.next_step
    assert "None" not in shown.sentence + shown.next_step


@pytest.mark.parametrize(
    ("state", "outcome", "reason", "status", "holder"),
    [
        (S.AWAITING_DEPOSIT, None, None, PublicStatus.AWAITING_DEPOSIT, Holder.SENDER),
        (S.CONFIRMING, None, None, PublicStatus.DEPOSIT_SEEN, Holder.NETWORK),
        (S.FUNDED, "failed", None, PublicStatus.FUNDED, Holder.GATEWAY),
        (S.PAYING, "sending", None, PublicStatus.IN_TRANSIT, Holder.RAIL),
        (S.PAYING, "available", None, PublicStatus.READY_FOR_PICKUP, Holder.RAIL),
        (S.UNCERTAIN, "unknown", None, PublicStatus.INVESTIGATING, Holder.RAIL),
        (S.UNCERTAIN, "pending", None, PublicStatus.IN_TRANSIT, Holder.RAIL),
        (S.PAID, "paid", None, PublicStatus.DELIVERED, Holder.RECIPIENT),
        (S.HELD, None, "underpaid", PublicStatus.NEEDS_INFO, Holder.GATEWAY),
        (S.HELD, None, "late", PublicStatus.ON_HOLD, Holder.GATEWAY),
        (S.HELD, "failed", "recipient_refused", PublicStatus.NEEDS_INFO, Holder.GATEWAY),
        (S.HELD, "returned", "recipient_refused", PublicStatus.RETURNED, Holder.GATEWAY),
        (S.HELD, None, "refund_failed", PublicStatus.ON_HOLD, Holder.GATEWAY),
        (S.HELD, "returned", "refund_failed", PublicStatus.ON_HOLD, Holder.GATEWAY),
        (S.REFUNDING, None, None, PublicStatus.REFUNDING, Holder.GATEWAY),
        (S.REFUNDED, None, None, PublicStatus.REFUNDED, Holder.SENDER),
    ],
)
def test_the_status_of_each_case(state, outcome, reason, status, holder):
    shown = progress(replace(FACTS, state=state, outcome=outcome, hold_reason=reason), now=NOW)
    assert (shown.status, shown.holder) == (status, holder)


def test_a_short_deposit_asks_for_the_rest_only_while_the_quote_holds():
    facts = replace(FACTS, state=S.HELD, hold_reason="underpaid", received=Money(9_000_000, USDC))
    assert "1.000000 USDC more" in progress(facts, now=NOW).next_step
    late = progress(facts, now=facts.expires_at)
    assert late.status is PublicStatus.ON_HOLD
    assert "more" not in late.next_step


def test_what_a_stranger_wrote_is_not_a_template():
    assert "Wanjiku {missing} Kamau" in progress(replace(FACTS, state=S.PAID), now=NOW).sentence


def test_a_refund_says_how_much_goes_where_and_in_which_transaction():
    facts = replace(FACTS, state=S.REFUNDING, refund=REFUND)
    ordered = progress(facts, now=NOW)
    assert ordered.sentence == f"We are sending 9.000000 USDC back to {REFUND.address}."
    sent = progress(replace(facts, refund=replace(REFUND, tx_hash=HASH)), now=NOW)
    assert HASH in sent.next_step
    final = progress(replace(facts, state=S.REFUNDED, refund=replace(REFUND, tx_hash=HASH)), now=NOW)
    assert final.sentence == f"9.000000 USDC were sent back to {REFUND.address}."
    assert HASH in final.next_step
