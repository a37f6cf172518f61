"""The public status is a function of order, attempt and deposit, and never silent."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from gateway.money import Asset, Money
from gateway.orders.states import S
from gateway.payouts.tracking import Facts, progress
from gateway.payouts.views import Holder, PublicStatus, RefundView

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
OUTCOMES = (None, "sending", "pending", "available", "unknown", "paid", "failed", "returned")
REASONS = (
    None, "underpaid", "late", "frozen", "deposit_vanished", "refund_failed", "recipient_refused", "returned",
    "rail_unavailable", "no_rail", "attempt_not_over", "by_hand", "something_new",
)  # fmt: skip
REFUNDS = (None, REFUND, replace(REFUND, tx_hash=HASH), replace(REFUND, outcome="failed"))
DROPS = (None, NOW - timedelta(hours=1), NOW + timedelta(hours=1))
OWED = (None, Money(24_900, KES), FACTS.receive)
OURS = {S.FUNDED, S.HELD, S.REFUNDING}
"""Where the money is with us; in all other states we must not say so."""


def every_case() -> Iterator[Facts]:
    """Whatever may come together, and what may not too: a page is shown even while something is wrong."""
    flags = (False, True)
    for state, outcome, reason, refund in product(S, OUTCOMES, REASONS, REFUNDS):
        facts = replace(FACTS, state=state, outcome=outcome, hold_reason=reason, refund=refund)
        yield from (replace(facts, owed=owed) for owed in OWED)
        if state in (S.FUNDED, S.PAYING, S.UNCERTAIN):
            for fault, another_way, redirected, drop_at in product((None, "recipient"), flags, flags, DROPS):
                yield replace(facts, fault=fault, another_way=another_way, redirected=redirected, drop_at=drop_at)


def is_ours(facts: Facts) -> bool:
    return facts.state in OURS or (facts.state is S.PAID and facts.owed is not None)


def may_be_called_safe(facts: Facts) -> bool:
    """Only what is with us, and was there when we looked, and of which nothing may be on its way."""
    if facts.state is S.HELD and facts.hold_reason in (None, "attempt_not_over", "by_hand", "something_new"):
        return facts.outcome not in ("sending", "pending", "available", "unknown", "paid")
    return is_ours(facts) and not (facts.state is S.HELD and facts.hold_reason == "deposit_vanished")


def test_every_case_has_a_sentence_a_next_step_and_a_holder_and_says_nothing_untrue():
    cases = 0
    for facts in every_case():
        shown = progress(facts, now=NOW)
        said = f"{shown.sentence} {shown.next_step}"
        assert shown.sentence.endswith(".")
        assert shown.next_step.endswith(".")
        assert not any(word in said for word in ("None", "{due}", "{drop}", "{owed}"))
        assert re.fullmatch("[a-z_]+", shown.reason)
        assert (shown.holder is Holder.GATEWAY) == is_ours(facts), facts
        assert "safe with us" not in said or may_be_called_safe(facts), facts
        if facts.state is S.HELD:
            assert shown.status in (PublicStatus.NEEDS_INFO, PublicStatus.ON_HOLD, PublicStatus.RETURNED)
            assert "on their way" not in said
            assert "we are sending" not in said
        assert (shown.status is PublicStatus.DELIVERED) == (facts.state is S.PAID and facts.owed is None)
        assert (f"received {FACTS.receive}." in said) == (shown.status is PublicStatus.DELIVERED)
        cases += 1
    assert cases > 10_000


def test_a_payment_in_part_says_what_is_missing():
    shown = progress(replace(FACTS, state=S.PAID, outcome="paid", owed=Money(24_900, KES)), now=NOW)
    assert (shown.status, shown.reason, shown.holder) == (PublicStatus.ON_HOLD, "delivered_in_part", Holder.GATEWAY)
    assert "received 1000.00 KES of 1249.00 KES. The missing 249.00 KES" in shown.sentence


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
        (S.HELD, "returned", "returned", PublicStatus.RETURNED, Holder.GATEWAY),
        (S.HELD, "returned", "rail_unavailable", PublicStatus.ON_HOLD, Holder.GATEWAY),
        (S.HELD, "returned", "frozen", PublicStatus.ON_HOLD, Holder.GATEWAY),
        (S.HELD, "failed", "no_rail", PublicStatus.ON_HOLD, Holder.GATEWAY),
        (S.FUNDED, "returned", None, PublicStatus.RETURNED, Holder.GATEWAY),
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


@pytest.mark.parametrize(
    ("changes", "reason", "said"),
    [
        ({"outcome": "failed", "fault": "transient"}, "rail_delayed", "could not deliver just now"),
        ({"outcome": "failed", "fault": "recipient"}, "recipient_refused", "could not pay"),
        ({"outcome": "returned", "fault": "recipient"}, "returned", "came back to us"),
        ({"outcome": "failed", "fault": "recipient", "redirected": True}, "redirected", "Another way to pay"),
        ({"outcome": "returned", "redirected": True}, "redirected", "Another way to pay"),
        ({"drop_at": NOW + timedelta(hours=1)}, "waits_for_drop", "at 13:00 UTC on 22 November 2026"),
        ({"drop_at": NOW}, "funded", "arrived"),
        ({"drop_at": NOW + timedelta(hours=1), "outcome": "failed"}, "rail_delayed", "could not deliver just now"),
    ],
)
def test_a_funded_order_says_what_happened_to_it(changes, reason, said):
    shown = progress(replace(FACTS, state=S.FUNDED, **changes), now=NOW)
    assert shown.reason == reason
    assert said in shown.sentence
    assert ("13:00" in f"{shown.sentence} {shown.next_step}") == (changes.get("drop_at", NOW) > NOW)


def test_a_failover_is_told():
    tried = replace(FACTS, state=S.PAYING, outcome="sending", another_way=True)
    assert "An earlier try did not work" in progress(tried, now=NOW).sentence
    assert progress(replace(tried, outcome="available"), now=NOW).status is PublicStatus.READY_FOR_PICKUP
