"""Outbound payments: one request, found again by Stripe's id or among all that was made since."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from gateway.money import Money
from gateway.offramp import Destination, Fault, Instruction, Method, NotSent, Outcome
from gateway.railkit.http import Answer, NotAsked, RailHttp
from gateway.railsim import Scenario

PATH = "/v2/money_management/outbound_payments"


def order(world: Any, number: int = 1) -> Instruction:
    """A payment to a recipient of v2."""
    plain: Instruction = world.order(to=f"acct_1Rec{number:06}/usba_test_{number:06}")
    return plain


async def test_a_payment_whose_answer_was_lost_is_found_among_all_pages(v2: Any) -> None:
    adapter, mine = v2.adapter(), order(v2)
    v2.rail.script(Scenario.ANSWER_LOST)
    assert (await adapter.pay(mine)).outcome is Outcome.UNKNOWN
    for number in range(3):
        await adapter.pay(order(v2, number + 10))
    v2.app.state.stripe.page_most = 1
    assert (await v2.ask(adapter, mine, until="paid")).delivered == mine.deliver


async def test_shillings_of_uganda_are_written_with_two_decimals_and_paid_whole(v2: Any) -> None:
    adapter = v2.adapter()
    (corridor,) = [each for each in adapter.capabilities.corridors if each.country == "UG"]
    to = Destination(country="UG", method=Method.BANK, account="acct_1Rec0001/ugba_test_0001", holder="Canary Holder")
    mine = Instruction(attempt_id=order(v2).attempt_id, deliver=Money(5000, corridor.asset), to=to)
    await adapter.pay(mine)
    (sent,) = [each for each in v2.posts(PATH) if mine.attempt_id in each["body"]]
    assert json.loads(sent["body"])["amount"] == {"value": 500_000, "currency": "ugx"}
    assert str((await v2.ask(adapter, mine, until="paid")).delivered) == "5000 UGX"


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("payout_method_declined", Fault.RECIPIENT),
        ("fx_rate_drift_exceeded_after_review", Fault.TRANSIENT),
        ("tomorrows_reason", Fault.RECIPIENT),
    ],
)
async def test_a_failure_has_the_fault_of_its_reason(v2: Any, code: str, fault: Fault) -> None:
    adapter, mine = v2.adapter(), order(v2)
    v2.rail.script(Scenario.FAILED, code=code)
    await adapter.pay(mine)
    failed = await v2.ask(adapter, mine, until="failed")
    assert (failed.fault, (failed.reason or "").startswith(f"failed {code}: ")) == (fault, True)


async def test_posted_then_returned_is_returned(v2: Any) -> None:
    adapter, mine = v2.adapter(), order(v2)
    v2.rail.script(Scenario.PAID_THEN_RETURNED, polls=2)
    paying = await adapter.pay(mine)
    seen = [(await adapter.status(v2.ref(mine, provider_ref=paying.provider_ref))).outcome for _ in range(5)]
    assert (Outcome.PAID in seen, seen[-1]) == (True, Outcome.RETURNED)
    report = await adapter.status(v2.ref(mine))
    assert (report.fault, "returned_at" in report.evidence) == (Fault.RECIPIENT, True)


async def test_too_little_money_is_not_taken_and_no_retry_of_it_is_replayed(v2: Any) -> None:
    adapter, mine = v2.adapter(), order(v2)
    held = v2.rail.balances()["USD"]
    v2.rail.hold(Money(1, mine.deliver.asset))
    with pytest.raises(NotSent) as refused:
        await adapter.pay(mine)
    assert refused.value.fault is Fault.FLOAT
    v2.rail.hold(Money.parse(held, mine.deliver.asset))
    assert (await adapter.pay(mine)).outcome is Outcome.PENDING


async def test_the_reference_of_another_attempt_proves_nothing(v2: Any) -> None:
    adapter, one, two = v2.adapter(), order(v2, 1), order(v2, 2)
    ref = (await adapter.pay(one)).provider_ref
    await adapter.pay(two)
    with pytest.raises(NotAsked):
        await adapter.status(v2.ref(two, provider_ref=ref))


async def test_two_payments_for_one_attempt_are_a_persons_matter(v2: Any) -> None:
    adapter, mine = v2.adapter(), order(v2)
    await adapter.pay(mine)
    v2.later = timedelta(hours=25)
    await adapter.pay(mine)  # which the core never does: the key is forgotten
    report = await adapter.status(v2.ref(mine))
    assert (report.outcome, report.reason) == (Outcome.UNKNOWN, "2 outbound payments carry this attempt's id")


async def test_answers_that_are_not_stripes_prove_nothing(v2: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter, mine = v2.adapter(), order(v2)
    posted = {"id": "obp_1", "status": "posted", "metadata": {"lastmile_attempt": mine.attempt_id}}
    bodies: list[object] = [None, [], 7, {}, posted, {**posted, "to": {"credited": {"value": "1250", "currency": "usd"}}}]
    for body in [*(json.dumps(each).encode() for each in bodies), b"", b"\xff", b"[" * 50_000]:

        async def answer(*_: Any, body: bytes = body, **__: Any) -> Answer:
            return Answer(200, {}, body)

        monkeypatch.setattr(RailHttp, "call", answer)
        assert (await adapter.pay(mine)).outcome is Outcome.UNKNOWN


async def test_a_recipient_that_is_not_there_cannot_receive(v2: Any) -> None:
    adapter = v2.adapter()
    good = order(v2).to
    assert (await adapter.look_up(good)).can_receive is True
    gone = Destination(country="US", method=Method.BANK, account="acct_1Rec000001/usba_gone01", holder="Canary Holder")
    assert (await adapter.look_up(gone)).can_receive is False


async def test_events_of_our_requests_are_doorbells(v2: Any) -> None:
    adapter = v2.adapter()
    assert adapter.capabilities.callbacks_are_proof is False
    assert adapter.callback_answer() == (200, {"received": True})
    assert set(adapter.webhooks) == {"webhook"}
