"""A transfer and a payout make one payment: what is known after each, and what follows from it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from gateway.contract.harness import free_address
from gateway.money import Money
from gateway.offramp import Fault, Instruction, NotSent, Outcome
from gateway.railkit.http import Answer, NoAnswer, NotAsked, RailHttp
from gateway.railsim import Scenario

PAYOUTS = "/v1/payouts"


@pytest.mark.parametrize("scenario", [Scenario.ANSWER_LOST, Scenario.ERROR_AFTER_ACCEPT, Scenario.DUPLICATE_ANSWER])
async def test_a_payout_without_an_answer_is_unknown_and_is_found_not_made_again(world: Any, scenario: Scenario) -> None:
    adapter, order = world.adapter(), world.order()
    world.break_payout(scenario)
    assert (await adapter.pay(order)).outcome is Outcome.UNKNOWN
    sent = len(world.posts(PAYOUTS))
    assert (await world.ask(adapter, order, until="paid")).delivered == order.deliver
    assert len(world.posts(PAYOUTS)) == sent
    assert world.rail.times_paid(order.attempt_id) == 1


@pytest.mark.parametrize("scenario", [Scenario.CUT_BEFORE_ACCEPT, Scenario.ERROR_BEFORE_ACCEPT])
async def test_a_payout_that_did_not_arrive_is_made_by_a_question_under_its_one_key(world: Any, scenario: Scenario) -> None:
    adapter, order = world.adapter(), world.order()
    world.break_payout(scenario)
    assert (await adapter.pay(order)).outcome is Outcome.UNKNOWN
    assert world.rail.times_paid(order.attempt_id) == 0
    assert (await world.ask(adapter, order, until="paid")).outcome is Outcome.PAID
    keys = {dict(each["headers"])["idempotency-key"] for each in world.posts(PAYOUTS) if order.attempt_id in each["body"]}
    assert keys == {f"{order.attempt_id}-payout"}
    assert world.rail.times_paid(order.attempt_id) == 1


async def test_a_payout_that_was_throttled_is_pending_and_made_later(world: Any) -> None:
    adapter, order = world.adapter(), world.order()
    world.break_payout(Scenario.RATE_LIMITED)
    assert (await adapter.pay(order)).outcome is Outcome.PENDING
    assert (await world.ask(adapter, order, until="paid")).outcome is Outcome.PAID


async def test_a_refusal_that_stripe_wants_to_be_asked_again_is_not_the_end(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter, order, call = world.adapter(), world.order(), RailHttp.call
    body = b'{"error": {"type": "invalid_request_error", "code": "payouts_limit_exceeded"}}'

    async def again(self: RailHttp, method: str, target: str, **request: Any) -> Answer:
        if (method, target.endswith(PAYOUTS)) == ("POST", True):
            return Answer(400, {"stripe-should-retry": "true"}, body)
        return await call(self, method, target, **request)

    monkeypatch.setattr(RailHttp, "call", again)
    assert (await adapter.pay(order)).outcome is Outcome.PENDING
    monkeypatch.undo()
    assert (await world.ask(adapter, order, until="paid")).outcome is Outcome.PAID


async def test_no_connection_for_the_payout_is_not_a_payment_that_was_not_sent(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter, order, call = world.adapter(), world.order(), RailHttp.call

    async def cut(self: RailHttp, method: str, target: str, **request: Any) -> Answer:
        if (method, target.endswith(PAYOUTS)) == ("POST", True):
            raise NotSent("no connection")
        return await call(self, method, target, **request)

    monkeypatch.setattr(RailHttp, "call", cut)
    assert (await adapter.pay(order)).outcome is Outcome.PENDING
    monkeypatch.undo()
    assert (await world.ask(adapter, order, until="paid")).outcome is Outcome.PAID


async def test_a_payout_past_the_life_of_its_key_is_not_made_and_a_person_looks(world: Any) -> None:
    adapter, order = world.adapter(), world.order()
    world.break_payout(Scenario.CUT_BEFORE_ACCEPT)
    await adapter.pay(order)
    sent = len(world.posts(PAYOUTS))
    world.later = timedelta(hours=24) - timedelta(seconds=80)
    report = await world.ask(adapter, order)
    assert (report.outcome, "too old" in (report.reason or "")) == (Outcome.UNKNOWN, True)
    assert report.evidence["transfers"].startswith("tr_")
    assert len(world.posts(PAYOUTS)) == sent
    world.later = timedelta(hours=23)
    assert (await world.ask(adapter, order, until="paid")).outcome is Outcome.PAID


async def test_a_payout_that_was_made_is_found_by_its_metadata_long_after_its_key(world: Any) -> None:
    adapter, order = world.adapter(), world.order()
    await adapter.pay(order)
    world.later = timedelta(days=20)
    assert (await world.ask(adapter, order, until="paid")).outcome is Outcome.PAID


async def test_a_payout_refused_for_good_fails_and_its_money_is_back(world: Any) -> None:
    adapter, order, before = world.adapter(), world.order(), world.held()
    world.break_payout(Scenario.REFUSED, code="instant_payouts_unsupported")
    failed = await adapter.pay(order)
    assert (failed.outcome, failed.fault) == (Outcome.FAILED, Fault.RECIPIENT)
    assert failed.evidence["back_on_platform_balance"] == "12.50 USD"
    assert world.held() == before
    again = await world.ask(adapter, order)
    assert (again.outcome, again.fault, again.reason) == (failed.outcome, failed.fault, failed.reason)
    assert world.rail.times_paid(order.attempt_id) == 0


async def test_a_payment_that_was_given_up_is_never_paid_with_money_of_another(world: Any) -> None:
    adapter, order = world.adapter(), world.order()
    world.break_payout(Scenario.REFUSED, code="payouts_not_allowed")
    assert (await adapter.pay(order)).outcome is Outcome.FAILED
    other = world.order(to=order.to.account)
    world.break_payout(Scenario.RATE_LIMITED)
    assert (await adapter.pay(other)).outcome is Outcome.PENDING
    sent = len(world.posts(PAYOUTS))
    assert (await adapter.pay(order)).outcome is Outcome.FAILED
    assert len(world.posts(PAYOUTS)) == sent
    assert (await world.ask(adapter, other, until="paid")).outcome is Outcome.PAID


async def test_money_that_does_not_come_back_keeps_the_payment_unknown(world: Any) -> None:
    adapter, order, before = world.adapter(), world.order(), world.held()
    world.app.state.stripe.stuck = True
    world.break_payout(Scenario.REFUSED, code="payouts_not_allowed")
    stuck = await adapter.pay(order)
    assert (stuck.outcome, "still on the connected account" in (stuck.reason or "")) == (Outcome.UNKNOWN, True)
    assert world.held() == before - 12_50
    world.app.state.stripe.stuck = False
    world.later = timedelta(hours=1)  # Stripe has stored its refusal under this hour's key
    assert (await world.ask(adapter, order)).outcome is Outcome.FAILED
    assert world.held() == before


async def test_a_failed_payout_fails_with_the_fault_of_its_code_once_its_money_is_back(world: Any) -> None:
    adapter, order, before = world.adapter(), world.order(), world.held()
    world.rail.script(Scenario.FAILED, code="could_not_process")
    await adapter.pay(order)
    failed = await world.ask(adapter, order, until="failed")
    assert (failed.fault, failed.provider_ref and failed.provider_ref[:3]) == (Fault.TRANSIENT, "po_")
    assert failed.reason == "payout failed could_not_process: the bank could not process it"
    assert failed.evidence["back_on_platform_balance"] == "12.50 USD"
    assert world.held() == before


async def test_a_failed_payout_whose_money_is_not_back_is_not_failed_yet(world: Any) -> None:
    adapter, order = world.adapter(), world.order()
    world.app.state.stripe.stuck = True
    world.rail.script(Scenario.FAILED)
    await adapter.pay(order)
    reasons = {(await world.ask(adapter, order)).outcome for _ in range(5)}
    assert reasons <= {Outcome.UNKNOWN, Outcome.PENDING}


async def test_paid_then_failed_is_returned_and_its_money_is_back(world: Any) -> None:
    adapter, order, before = world.adapter(), world.order(), world.held()
    world.rail.script(Scenario.PAID_THEN_RETURNED, polls=2)
    await adapter.pay(order)
    assert (await world.ask(adapter, order, until="paid")).outcome is Outcome.PAID
    assert world.held() == before - 12_50
    back = await world.ask(adapter, order, until="returned")
    assert (back.fault, back.evidence["failure_code"]) == (Fault.RECIPIENT, "account_closed")
    assert world.held() == before
    assert (await world.ask(adapter, order)).outcome is Outcome.RETURNED


async def test_two_transfers_for_one_attempt_are_a_persons_matter(world: Any) -> None:
    adapter, order = world.adapter(), world.order()
    world.break_payout(Scenario.CUT_BEFORE_ACCEPT)
    await adapter.pay(order)
    world.later = timedelta(hours=25)
    await adapter.pay(order)  # which the core never does: the key is forgotten
    report = await world.ask(adapter, order)
    assert (report.outcome, report.reason) == (Outcome.UNKNOWN, "2 transfers carry this attempt's id")


async def test_the_same_key_for_another_payment_is_unknown_and_not_unsent(world: Any) -> None:
    adapter, order = world.adapter(), world.order()
    await adapter.pay(order)
    other = world.order(99_00, to=order.to.account)
    report = await adapter.pay(type(other)(attempt_id=order.attempt_id, deliver=other.deliver, to=other.to))
    assert (report.outcome, report.evidence["error_type"]) == (Outcome.UNKNOWN, "idempotency_error")


@pytest.mark.parametrize(
    ("code", "fault"),
    [("account_invalid", Fault.RECIPIENT), ("transfers_not_allowed", Fault.RAIL), ("balance_insufficient", Fault.FLOAT)],
)
async def test_a_refused_transfer_was_not_sent(world: Any, code: str, fault: Fault) -> None:
    adapter = world.adapter()
    world.rail.script(Scenario.REFUSED, code=code)
    with pytest.raises(NotSent) as refused:
        await adapter.pay(world.order())
    assert refused.value.fault is fault


async def test_a_refusal_with_a_code_in_no_table_is_unknown(world: Any) -> None:
    adapter = world.adapter()
    world.rail.script(Scenario.REFUSED, code="moon_phase_wrong")
    report = await adapter.pay(world.order())
    assert (report.outcome, report.evidence["error_code"]) == (Outcome.UNKNOWN, "moon_phase_wrong")


async def test_a_wrong_key_is_our_fault_and_no_news_of_the_payment(world: Any) -> None:
    adapter, order = world.adapter(secret_key="sk_test_wrong"), world.order()
    with pytest.raises(NotSent) as refused:
        await adapter.pay(order)
    assert refused.value.fault is Fault.RAIL
    with pytest.raises(NotAsked):
        await adapter.status(world.ref(order))


async def test_a_lost_answer_says_so_and_what_stripe_advises_is_kept(world: Any) -> None:
    adapter = world.adapter()
    world.rail.script(Scenario.ERROR_AFTER_ACCEPT)
    report = await adapter.pay(world.order())
    assert report.outcome is Outcome.UNKNOWN
    assert (report.evidence["http_status"], report.evidence["stripe_should_retry"]) == ("500", "false")


async def test_the_client_sends_nothing_twice_by_itself(world: Any) -> None:
    adapter, order = world.adapter(), world.order()
    world.rail.script(Scenario.ERROR_BEFORE_ACCEPT)  # with Stripe-Should-Retry: true
    await adapter.pay(order)
    assert len([each for each in world.posts("/v1/transfers") if order.attempt_id in each["body"]]) == 1


async def test_lists_are_read_to_their_last_page(world: Any) -> None:
    adapter = world.adapter()
    first = world.order()
    orders = [first, *(world.order(to=first.to.account) for _ in range(3))]
    for order in orders:
        await adapter.pay(order)
    world.app.state.stripe.page_most = 1
    for order in orders:
        assert (await world.ask(adapter, order, until="paid")).outcome is Outcome.PAID


async def test_a_cancelled_payout_fails_and_its_money_is_back(world: Any) -> None:
    adapter, order, before = world.adapter(), world.order(), world.held()
    world.rail.script(Scenario.PENDING_FOREVER)
    await adapter.pay(order)
    cancelled = await adapter.cancel(world.ref(order))
    assert (cancelled.outcome, cancelled.fault) == (Outcome.FAILED, Fault.TRANSIENT)
    assert world.held() == before


async def test_a_card_is_paid_instantly(world: Any) -> None:
    adapter = world.adapter(card={"US": {}})
    order = world.order(to="acct_1Card0001/card_1Card0001", method=world.order().to.method.__class__.CARD)
    await adapter.pay(order)
    (sent,) = [each for each in world.posts(PAYOUTS) if order.attempt_id in each["body"]]
    assert "method=instant&destination=card_1Card0001" in sent["body"]
    assert (await world.ask(adapter, order, until="paid")).outcome is Outcome.PAID


async def test_a_statement_descriptor_goes_with_the_payout(world: Any) -> None:
    adapter, order = world.adapter(statement_descriptor="LASTMILE"), world.order()
    await adapter.pay(order)
    (sent,) = [each for each in world.posts(PAYOUTS) if order.attempt_id in each["body"]]
    assert sent["body"].endswith("&statement_descriptor=LASTMILE")


HOSTILE = [
    b"",
    b"null",
    b"[]",
    b"{}",
    b'"paid"',
    b"\xff\xfe",
    b"<html>",
    b"[" * 50_000,
    b'{"object": "list", "data": 7}',
    b'{"object": "list", "data": [7]}',
    b'{"error": 7}',
    b'{"object": "transfer", "id": 7, "metadata": {"lastmile_attempt": []}}',
    b'{"object": "transfer", "amount": 1e999, "amount_reversed": NaN}',
]


@pytest.mark.parametrize("status", [200, 400, 500])
async def test_answers_that_are_not_stripes_prove_nothing(world: Any, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    adapter, order = world.adapter(), world.order()
    for body in HOSTILE:

        async def answer(*_: Any, body: bytes = body, **__: Any) -> Answer:
            return Answer(status, {"content-type": "application/json"}, body)

        monkeypatch.setattr(RailHttp, "call", answer)
        assert (await adapter.pay(order)).outcome is Outcome.UNKNOWN
        try:
            report = await adapter.status(world.ref(order))
        except NotAsked:
            continue
        assert report.outcome is Outcome.UNKNOWN


async def test_a_transfer_of_another_amount_is_no_step_of_this_payment(world: Any) -> None:
    adapter, order = world.adapter(), world.order()
    world.break_payout(Scenario.CUT_BEFORE_ACCEPT)
    await adapter.pay(order)
    other = world.ref(order, deliver=Money(order.deliver.units + 1, order.deliver.asset))
    sent = len(world.posts(PAYOUTS))
    assert (await adapter.status(other)).outcome is Outcome.UNKNOWN
    assert len(world.posts(PAYOUTS)) == sent


async def test_a_list_without_an_end_is_not_read_for_ever(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter, line = world.adapter(), {"id": "txn_1", "created": 1, "currency": "usd", "amount": 1, "type": "charge"}
    page = {"object": "list", "url": "/v1/balance_transactions", "has_more": True, "data": [line] * 3000}
    body, asked = json.dumps(page).encode(), []

    async def answer(*_: Any, **__: Any) -> Answer:
        asked.append(1)
        return Answer(200 if len(asked) < 8 else 500, {}, body)

    monkeypatch.setattr(RailHttp, "call", answer)
    with pytest.raises(NoAnswer, match="more than"):
        await adapter.statement(since=world.now() - timedelta(days=1), until=world.now())


async def test_a_question_without_a_connection_is_not_a_payment_that_was_not_sent(world: Any) -> None:
    adapter, order = world.adapter(base_url=free_address()), world.order()
    for question in (adapter.status, adapter.cancel):
        with pytest.raises(NotAsked):
            await question(world.ref(order))


async def test_the_client_logs_nothing_of_a_payment(world: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    adapter, order = world.adapter(), world.order()
    await adapter.pay(order)
    await world.ask(adapter, order, until="paid")
    assert [each for each in caplog.records if each.name == "stripe"] == []
    assert all(part not in caplog.text for part in order.to.account.split("/"))


async def test_another_transfer_than_ordered_is_unknown(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter, order, call = world.adapter(), world.order(), RailHttp.call

    async def other(self: RailHttp, method: str, target: str, **request: Any) -> Answer:
        answer = await call(self, method, target, **request)
        return answer._replace(body=answer.body.replace(b'"amount":1250', b'"amount":1251'))

    monkeypatch.setattr(RailHttp, "call", other)
    report = await adapter.pay(order)
    assert (report.outcome, report.evidence["amount"]) == (Outcome.UNKNOWN, "1251")
    assert not [each for each in world.posts(PAYOUTS) if order.attempt_id in each["body"]]


async def test_a_transfer_reversed_in_part_by_somebody_is_a_persons_matter(world: Any) -> None:
    adapter, order = world.adapter(), world.order()
    world.break_payout(Scenario.CUT_BEFORE_ACCEPT)
    await adapter.pay(order)
    (transfer,) = [each for each in world.app.desk.shelf.all("transfer") if each["payment"] == order.attempt_id]
    transfer["reversals"] = [{"id": "trr_1", "amount": 100, "metadata": {}}]
    world.app.desk.shelf.put(("transfer", transfer["id"], transfer))
    report = await world.ask(adapter, order)
    assert (report.outcome, "in part" in (report.reason or "")) == (Outcome.UNKNOWN, True)
    assert len([each for each in world.posts(PAYOUTS) if order.attempt_id in each["body"]]) == 1


async def edited(
    world: Any, monkeypatch: pytest.MonkeyPatch, path: str, edit: Callable[[dict[str, Any]], None]
) -> tuple[Any, Instruction]:
    """An adapter with a payment made, to which answers of one path come changed from then on."""
    adapter, order, call = world.adapter(), world.order(), RailHttp.call
    await adapter.pay(order)

    async def changed(self: RailHttp, method: str, target: str, **request: Any) -> Answer:
        answer = await call(self, method, target, **request)
        if f"{path}?" not in target and not target.endswith(path):
            return answer
        document = json.loads(answer.body)
        edit(document)
        return answer._replace(body=json.dumps(document).encode())

    monkeypatch.setattr(RailHttp, "call", changed)
    return adapter, order


async def test_two_payouts_for_one_attempt_are_a_persons_matter(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter, order = await edited(world, monkeypatch, PAYOUTS, lambda page: page["data"].append(page["data"][0]))
    report = await world.ask(adapter, order)
    assert (report.outcome, report.reason) == (Outcome.UNKNOWN, "2 payouts carry this attempt's id")


async def test_a_payout_that_is_taken_back_from_the_bank_is_not_paid(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def undo(page: dict[str, Any]) -> None:
        page["data"][0] |= {"status": "paid", "reversed_by": "po_undoing"}

    adapter, order = await edited(world, monkeypatch, PAYOUTS, undo)
    assert (await world.ask(adapter, order)).outcome is Outcome.UNKNOWN


async def test_a_reversal_that_waits_has_not_brought_the_money_back(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    world.rail.script(Scenario.FAILED)
    adapter, order = await edited(world, monkeypatch, "/reversals", lambda made: made.update(status="pending"))
    seen = [await world.ask(adapter, order) for _ in range(3)]
    assert "not finished" in " ".join(str(each.reason) for each in seen)
    assert Outcome.UNKNOWN in {each.outcome for each in seen}


async def test_what_was_answered_to_an_earlier_payout_is_not_news(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter, order, call = world.adapter(), world.order(), RailHttp.call

    async def instantly(self: RailHttp, method: str, target: str, **request: Any) -> Answer:
        answer = await call(self, method, target, **request)
        if (method, target.endswith(PAYOUTS)) != ("POST", True):
            return answer
        return answer._replace(
            body=answer.body.replace(b'"status":"pending","trace', b'"status":"paid","trace'),
            headers={**answer.headers, "idempotent-replayed": "true"},
        )

    monkeypatch.setattr(RailHttp, "call", instantly)
    report = await adapter.pay(order)
    assert (report.outcome, report.reason) == (Outcome.PENDING, "the payout was made before")
