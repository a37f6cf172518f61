"""What the adapter can do beyond the contract: callbacks and their keys, bulk, cancelling, balances, unsigned accounts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from adapters.pawapay import PawaPay
from gateway.contract.harness import Inbox, Rail, eventually, free_address
from gateway.money import Asset, Money
from gateway.offramp import (
    RAILS_OWN,
    AttemptRef,
    CallbackRequest,
    Fault,
    ForgedCallback,
    Instruction,
    NotSent,
    OfframpError,
    Outcome,
    OutsideLimits,
)
from gateway.railkit.keys import uuid4_of
from gateway.railsim import Scenario

Make = Callable[..., PawaPay]
Order = Callable[..., Instruction]
Ref = Callable[[Instruction], AttemptRef]


async def told(adapter: PawaPay, inbox: Inbox, instruction: Instruction) -> CallbackRequest:
    """Pay, and the callback as it arrives at the address for all payments."""
    before = len(inbox.deliveries)
    await adapter.pay(instruction)
    return (await eventually(lambda: inbox.deliveries[before:], what="a callback"))[0]


async def test_a_signed_callback_names_its_attempt_and_proves_it(make: Make, order: Order, inbox: Inbox) -> None:
    adapter, instruction = make(), order()
    arrived = await told(adapter, inbox, instruction)
    assert arrived.attempt_id == RAILS_OWN
    assert adapter.attempt_of(arrived) == instruction.attempt_id
    read = adapter.read_callback(replace(arrived, attempt_id=instruction.attempt_id))
    assert (read.proof, read.report.outcome, read.report.delivered) == (True, Outcome.PAID, instruction.deliver)
    assert adapter.read_callback(arrived) == read


async def test_a_callback_of_one_attempt_is_no_news_of_another(make: Make, order: Order, inbox: Inbox) -> None:
    adapter = make()
    arrived = await told(adapter, inbox, order())
    with pytest.raises(ForgedCallback):
        adapter.read_callback(replace(arrived, attempt_id=order().attempt_id))


async def test_a_callback_read_late_is_judged_by_its_arrival(make: Make, order: Order, inbox: Inbox) -> None:
    adapter, instruction = make(), order()
    arrived = await told(adapter, inbox, instruction)
    assert adapter.read_callback(arrived).proof
    late = replace(arrived, received_at=arrived.received_at + timedelta(minutes=10))
    with pytest.raises(ForgedCallback):
        adapter.read_callback(late)


@pytest.mark.parametrize("scenario", [Scenario.CALLBACK_WRONG_AMOUNT, Scenario.CALLBACK_WRONG_PAYEE])
async def test_a_signed_callback_about_something_that_we_did_not_order_only_makes_us_ask(
    make: Make, order: Order, inbox: Inbox, rail: Rail, scenario: Scenario
) -> None:
    rail.script(scenario)
    adapter, instruction = make(), order()
    arrived = await told(adapter, inbox, instruction)
    assert adapter.attempt_of(arrived) == instruction.attempt_id
    assert not adapter.read_callback(arrived).proof


async def test_a_callback_with_a_key_that_is_not_known_makes_us_ask_and_fetch_the_keys(
    make: Make, order: Order, ref: Ref, inbox: Inbox, rail: Rail
) -> None:
    adapter, instruction = make(callback_keys=None), order()
    arrived = await told(adapter, inbox, instruction)
    assert adapter.attempt_of(arrived) == instruction.attempt_id
    assert not adapter.read_callback(arrived).proof
    before = len(rail.requests())
    assert (await adapter.status(ref(instruction))).outcome is Outcome.PAID
    await adapter.status(ref(instruction))
    targets = [each["target"] for each in rail.requests()[before:]]
    assert targets.count("/v2/public-key/http") == 1
    assert adapter.read_callback(arrived).proof


async def test_strangers_keys_do_not_make_us_fetch_again_and_again(
    make: Make, order: Order, ref: Ref, inbox: Inbox, rail: Rail
) -> None:
    adapter, instruction = make(callback_keys=None), order()
    arrived = await told(adapter, inbox, instruction)
    await adapter.status(ref(instruction))
    before = len(rail.requests())
    for number in range(5):
        given = arrived.headers["signature-input"].replace("HTTP_EC_P256_KEY:1", f"STRANGER:{number}")
        assert not adapter.read_callback(replace(arrived, headers={**arrived.headers, "signature-input": given})).proof
        await adapter.status(ref(instruction))
    assert [each["target"] for each in rail.requests()[before:]].count("/v2/public-key/http") == 0


async def test_an_account_without_signed_callbacks_gets_doorbells(make: Make, order: Order, inbox: Inbox) -> None:
    adapter, instruction = make(signed_callbacks=False, callback_keys=None), order()
    arrived = await told(adapter, inbox, instruction)
    assert not adapter.capabilities.callbacks_are_proof
    bare = replace(arrived, headers={"content-type": "application/json"})
    assert adapter.attempt_of(bare) == instruction.attempt_id
    assert not adapter.read_callback(bare).proof
    assert not adapter.read_callback(arrived).proof


@pytest.mark.parametrize("body", [b"{}", b'{"payoutId":"x"}', b'{"status":"COMPLETED"}', b"[]", b"\xff"])
async def test_an_unsigned_callback_that_is_no_payout_is_refused(
    make: Make, order: Order, inbox: Inbox, body: bytes
) -> None:
    adapter = make(signed_callbacks=False, callback_keys=None)
    arrived = await told(adapter, inbox, order())
    with pytest.raises(ForgedCallback):
        adapter.attempt_of(replace(arrived, body=body))


async def test_a_payout_of_another_system_on_our_account_is_none_of_ours(make: Make, order: Order, inbox: Inbox) -> None:
    adapter = make(signed_callbacks=False, callback_keys=None)
    arrived = await told(adapter, inbox, order())
    foreign = replace(arrived, body=b'{"payoutId":"f4401bd2-1568-4140-bf2d-eb77d2b2b639","status":"COMPLETED"}')
    assert adapter.attempt_of(foreign) is None
    with pytest.raises(ForgedCallback):
        adapter.read_callback(foreign)


async def test_a_missing_signature_of_ours_is_refused_by_pawapay_and_stops_the_rail(make: Make, order: Order) -> None:
    with pytest.raises(NotSent) as refused:
        await make(signing_key=None, signing_key_id=None).pay(order())
    assert refused.value.fault is Fault.RAIL
    assert "HTTP_SIGNATURE_ERROR" in str(refused.value)


async def test_a_wrong_token_stops_the_rail(make: Make, order: Order, ref: Ref) -> None:
    adapter = make(api_token="wrong")
    with pytest.raises(NotSent) as refused:
        await adapter.pay(order())
    assert refused.value.fault is Fault.RAIL
    with pytest.raises(OfframpError) as unasked:
        await adapter.status(ref(order()))
    assert not isinstance(unasked.value, NotSent)


async def test_a_question_that_does_not_arrive_says_nothing_of_the_payment(make: Make, order: Order, ref: Ref) -> None:
    adapter = make(base_url=free_address())
    for question in (adapter.status(ref(order())), adapter.balance(), adapter.cancel(ref(order()))):
        with pytest.raises(OfframpError) as unasked:
            await question
        assert not isinstance(unasked.value, NotSent)


async def test_a_batch_is_one_request_and_each_payment_has_its_own_answer(
    make: Make, order: Order, ref: Ref, rail: Rail
) -> None:
    adapter, orders = make(), [order() for _ in range(3)]
    await adapter.pay(orders[0])
    rail.script(Scenario.REFUSED, code="INVALID_PHONE_NUMBER", match={"account": orders[1].to.account})
    before = len(rail.requests())
    reports = await adapter.pay_bulk("batch_1", orders)
    assert [each["target"] for each in rail.requests()[before:]] == ["/v2/payouts/bulk"]
    outcomes = [reports[each.attempt_id].outcome for each in orders]
    assert outcomes == [Outcome.UNKNOWN, Outcome.FAILED, Outcome.PENDING]
    assert (await adapter.status(ref(orders[2]))).outcome in (Outcome.PENDING, Outcome.PAID)
    assert rail.times_paid(uuid4_of(orders[1].attempt_id)) == 0


async def test_a_batch_that_is_refused_whole_was_not_sent(make: Make, order: Order) -> None:
    with pytest.raises(NotSent):
        await make(api_token="wrong").pay_bulk("batch_1", [order()])


async def test_a_batch_without_an_answer_says_nothing_of_anybody(make: Make, order: Order, rail: Rail) -> None:
    instruction = order()
    rail.script(Scenario.ERROR_AFTER_ACCEPT)
    reports = await make().pay_bulk("batch_1", [instruction])
    assert {each.outcome for each in reports.values()} <= {Outcome.UNKNOWN}


async def test_a_waiting_payout_is_cancelled_and_a_paid_one_is_not(make: Make, order: Order, ref: Ref, rail: Rail) -> None:
    adapter, waiting = make(), order()
    rail.script(Scenario.PENDING_FOREVER)
    await adapter.pay(waiting)
    before = len(rail.requests())
    cancelled = await adapter.cancel(ref(waiting))
    assert (cancelled.outcome, cancelled.fault) == (Outcome.FAILED, Fault.TRANSIENT)
    assert [(each["method"], each["target"]) for each in rail.requests()[before:]] == [
        ("POST", f"/v2/payouts/fail-enqueued/{uuid4_of(waiting.attempt_id)}"),
        ("GET", f"/v2/payouts/{uuid4_of(waiting.attempt_id)}"),
    ]


async def test_a_callback_that_got_lost_can_be_had_again(
    make: Make, order: Order, ref: Ref, inbox: Inbox, rail: Rail
) -> None:
    adapter, instruction = make(), order()
    rail.script(Scenario.CALLBACK_LOST)
    await adapter.pay(instruction)
    while (await adapter.status(ref(instruction))).outcome is not Outcome.PAID:
        pass
    assert inbox.deliveries == []
    await adapter.resend_callback(ref(instruction))
    (arrived,) = await eventually(lambda: inbox.deliveries[:], what="the callback")
    assert adapter.read_callback(arrived).proof


async def test_the_balance_is_told_per_currency(make: Make, rail: Rail) -> None:
    kes = Asset("KES", 2)
    rail.hold(Money(123_45, kes))
    try:
        held = {each.asset.code: each for each in await make().balance()}
    finally:
        rail.hold(Money(10**12, kes))
    assert held["KES"] == Money(123_45, kes)
    assert set(held) == {"RWF", "GHS", "KES", "XOF"}


async def test_availability_and_configuration_are_told(make: Make) -> None:
    adapter = make()
    available = {each.provider: each.status for each in await adapter.availability()}
    assert available["MTN_MOMO_RWA"] == "OPERATIONAL"
    configured = {each.provider: each for each in await adapter.active_configuration()}
    assert (configured["MTN_MOMO_RWA"].least, configured["MTN_MOMO_RWA"].most) == ("100", "1000000")


@pytest.mark.parametrize("account", ["+254712345678", "0788123456", "+25078812345678901", "nobody"])
async def test_a_number_of_another_country_is_not_paid(make: Make, order: Order, rail: Rail, account: str) -> None:
    before = len(rail.requests())
    with pytest.raises(OutsideLimits) as refused:
        await make().pay(order(account=account))
    assert account not in str(refused.value)
    assert len(rail.requests()) == before


async def test_each_wallet_has_its_own_code(make: Make, order: Order, rail: Rail) -> None:
    adapter = make()
    for institution, provider in (("mtn", "MTN_MOMO_RWA"), ("airtel", "AIRTEL_RWA")):
        await adapter.pay(order(institution=institution))
        assert f'"provider":"{provider}"' in rail.requests()[-1]["body"]


async def test_a_step_with_a_fraction_is_paid_to_the_cent(make: Make, order: Order, ref: Ref, rail: Rail) -> None:
    adapter = make(limits={"KE/KES": {"least": "10", "most": "1000", "step": "0.01"}})
    plain = order()
    to = replace(plain.to, country="KE", account="+254712345678", institution="mpesa")
    instruction = replace(plain, deliver=Money(123_45, Asset("KES", 2)), to=to)
    await adapter.pay(instruction)
    assert '"amount":"123.45"' in rail.requests()[-1]["body"]
    report = await adapter.status(ref(instruction))
    while report.outcome is Outcome.PENDING:
        report = await adapter.status(ref(instruction))
    assert report.delivered == instruction.deliver
