"""What the adapter can do beyond the contract: synchronous operators, references, reversals, look-ups, other profiles."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from adapters.gsma_mm import GsmaMm
from adapters.gsma_mm.simulator.server import PROFILE
from gateway.clock import system_clock
from gateway.contract.harness import Inbox, Rail, free_address, served
from gateway.money import Asset, Money
from gateway.offramp import (
    AdapterContext,
    AttemptRef,
    CallbackRequest,
    Destination,
    Fault,
    ForgedCallback,
    Instruction,
    Method,
    NotSent,
    OfframpError,
    Outcome,
    OutsideLimits,
    Resend,
)
from gateway.railkit.keys import uuid4_of
from gateway.railsim import Scenario

Make = Callable[..., GsmaMm]
Order = Callable[..., Instruction]
Ref = Callable[..., AttemptRef]
SANDBOX = (Path(__file__).parents[4] / "adapters/gsma_mm/profiles/sandbox.toml").read_text()


@pytest.fixture
def synchronous(make: Make, tmp_path: Path) -> GsmaMm:
    path = tmp_path / "synchronous.toml"
    path.write_text(SANDBOX.replace(', "X-Callback-URL"', ""))
    return make(profile=str(path))


async def test_an_operator_without_callbacks_pays_while_we_wait(synchronous: GsmaMm, order: Order, rail: Rail) -> None:
    instruction = order()
    report = await synchronous.pay(instruction)
    assert (report.outcome, report.delivered) == (Outcome.PAID, instruction.deliver)
    assert rail.times_paid(uuid4_of(instruction.attempt_id)) == 1
    assert "x-callback-url" not in dict(rail.requests()[-1]["headers"])


async def test_a_synchronous_refusal_is_not_sent_for_it_was_answered(synchronous: GsmaMm, order: Order, rail: Rail) -> None:
    rail.script(Scenario.FAILED, code="maxBalanceExceeded")
    with pytest.raises(NotSent) as refused:
        await synchronous.pay(order())
    assert refused.value.fault is Fault.RECIPIENT


async def test_a_synchronous_operator_may_still_say_later(synchronous: GsmaMm, order: Order, ref: Ref, rail: Rail) -> None:
    rail.script(Scenario.PENDING_POLLS, polls=1)
    instruction = order()
    taken = await synchronous.pay(instruction)
    assert taken.outcome is Outcome.PENDING
    first = await synchronous.status(ref(instruction, taken.provider_ref))
    second = await synchronous.status(ref(instruction, first.provider_ref))
    assert (first.outcome, second.outcome) == (Outcome.PENDING, Outcome.PAID)


async def test_the_operators_reference_is_asked_for_when_it_is_known(make: Make, order: Order, ref: Ref, rail: Rail) -> None:
    adapter, instruction = make(), order()
    taken = await adapter.pay(instruction)
    assert taken.provider_ref is not None
    assert taken.provider_ref.startswith("requeststates/")
    rail.script(Scenario.HAPPY)
    paid = await adapter.status(ref(instruction, taken.provider_ref))
    while paid.outcome is Outcome.PENDING:
        paid = await adapter.status(ref(instruction, taken.provider_ref))
    assert paid.outcome is Outcome.PAID
    before = len(rail.requests())
    again = await adapter.status(ref(instruction, paid.provider_ref))
    assert again == paid
    assert [each["target"] for each in rail.requests()[before:]] == [f"{PROFILE.base_path}/transactions/{paid.provider_ref}"]


async def test_a_reference_that_the_operator_has_forgotten_is_found_by_our_own_id(
    make: Make, order: Order, ref: Ref
) -> None:
    adapter, instruction = make(), order()
    await adapter.pay(instruction)
    gone = "requeststates/00000000-0000-4000-8000-000000000000"
    reports = [await adapter.status(ref(instruction, gone)) for _ in range(3)]
    assert reports[-1].outcome is Outcome.PAID


async def test_a_payment_nobody_knows_is_unknown(make: Make, order: Order, ref: Ref) -> None:
    assert (await make().status(ref(order()))).outcome is Outcome.UNKNOWN


async def test_a_paid_disbursement_is_reversed_and_then_returned(make: Make, order: Order, ref: Ref, rail: Rail) -> None:
    adapter, instruction = make(), order()
    await adapter.pay(instruction)
    paid = await adapter.status(ref(instruction))
    while paid.outcome is not Outcome.PAID:
        paid = await adapter.status(ref(instruction))
    held = rail.balances()["RWF"]
    report = await adapter.reverse(ref(instruction, paid.provider_ref))
    assert report.outcome is Outcome.PENDING
    sent = rail.requests()[-1]
    assert (sent["method"], sent["target"]) == (
        "POST",
        f"{PROFILE.base_path}/transactions/{paid.provider_ref}/reversals",
    )
    assert sent["body"] == '{"type":"reversal"}'
    assert dict(sent["headers"])["x-correlationid"] == uuid4_of(f"{instruction.attempt_id}/reversal")
    assert "x-callback-url" not in dict(sent["headers"])
    returned = await adapter.status(ref(instruction, paid.provider_ref))
    assert (returned.outcome, returned.fault) == (Outcome.RETURNED, Fault.RECIPIENT)
    assert int(rail.balances()["RWF"]) == int(held) + instruction.deliver.units
    assert (await adapter.reverse(ref(instruction, paid.provider_ref))).outcome is Outcome.UNKNOWN


async def test_a_question_that_does_not_arrive_says_nothing_of_the_payment(make: Make, order: Order, ref: Ref) -> None:
    adapter = make(base_url=free_address())
    for question in (adapter.status(ref(order())), adapter.balance(), adapter.heartbeat(), adapter.look_up(order().to)):
        with pytest.raises(OfframpError) as unasked:
            await question
        assert not isinstance(unasked.value, NotSent)


async def test_a_callback_with_the_correlation_id_of_another_payment_is_forged_and_no_callback_is_proof(
    make: Make, order: Order
) -> None:
    adapter, instruction = make(), order()
    told = CallbackRequest(
        attempt_id=instruction.attempt_id,
        label="result",
        headers={"x-correlationid": uuid4_of(instruction.attempt_id).upper()},
        body=b'{"transactionStatus":"completed","transactionReference":"REF-1","amount":"500","currency":"RWF"}',
        received_at=system_clock(),
    )
    read = adapter.read_callback(told)
    assert (read.proof, read.report.outcome) == (False, Outcome.PAID)
    assert adapter.read_callback(replace(told, headers={})) == read
    with pytest.raises(ForgedCallback):
        adapter.read_callback(replace(told, headers={"x-correlationid": uuid4_of("att_another")}))


async def test_only_a_transaction_with_a_reference_is_reversed(make: Make, order: Order, ref: Ref, rail: Rail) -> None:
    before = len(rail.requests())
    for known in (None, "requeststates/abc", "../../evil", ".."):
        with pytest.raises(NotSent):
            await make().reverse(ref(order(), known))
    assert len(rail.requests()) == before


async def test_an_account_that_is_not_registered_cannot_receive(make: Make, order: Order, rail: Rail) -> None:
    adapter = make()
    known = await adapter.look_up(order().to)
    assert (known.name, known.can_receive) == ("Uwase Mukamana", True)
    unknown = await adapter.look_up(order(account="+250788123000").to)
    assert (unknown.name, unknown.can_receive) == (None, False)
    assert rail.requests()[-1]["target"].endswith("/accounts/msisdn/%2B250788123000/status")


async def test_accounts_of_other_countries_are_not_asked_about(make: Make, rail: Rail) -> None:
    before = len(rail.requests())
    for country, account in (("KE", "+254712345678"), ("RW", "+254712345678"), ("RW", "nobody")):
        to = Destination(country=country, method=Method.MOBILE_MONEY, account=account, holder="x")
        with pytest.raises(OutsideLimits) as refused:
            await make().look_up(to)
        assert account not in str(refused.value)
    assert len(rail.requests()) == before


async def test_a_phone_number_of_another_country_is_not_paid(make: Make, order: Order) -> None:
    with pytest.raises(OutsideLimits):
        await make().pay(order(account="+254712345678"))


async def test_the_balance_is_what_is_available(make: Make, rail: Rail) -> None:
    rail.hold(Money(777, Asset("RWF", 0)))
    try:
        assert await make().balance() == (Money(777, Asset("RWF", 0)),)
    finally:
        rail.hold(Money(10**9, Asset("RWF", 0)))


async def test_the_heartbeat_says_how_the_operator_is(make: Make) -> None:
    beat = await make().heartbeat()
    assert (beat.status, beat.delay_ms, beat.restored_at) == ("available", 0, None)


async def test_a_wrong_key_stops_the_rail(make: Make, order: Order) -> None:
    for changes in ({"api_key": "wrong"}, {"client_secret": "wrong"}):
        with pytest.raises(NotSent) as refused:
            await make(**changes).pay(order())
        assert refused.value.fault is Fault.RAIL


async def test_many_payments_share_one_token(make: Make, order: Order, rail: Rail) -> None:
    adapter = make()
    before = len(rail.requests())
    for _ in range(3):
        await adapter.pay(order())
    targets = [each["target"] for each in rail.requests()[before:]]
    assert targets.count(PROFILE.token_path) == 1


async def test_a_token_answer_that_is_none_is_not_sent(inbox: Inbox, order: Order) -> None:
    answers: list[Any] = [{}, {"access_token": ""}, {"access_token": "a\nb"}, {"access_token": "é"}, ["x"]]
    operator = FastAPI()

    @operator.post(PROFILE.token_path)
    async def token() -> JSONResponse:
        return JSONResponse(answers.pop())

    with served(operator) as url:
        adapter = GsmaMm(context(url, inbox, profile="sandbox"))
        for _ in range(len(answers)):
            with pytest.raises(NotSent):
                await adapter.pay(order())
        await adapter.close()
    assert answers == []


def context(url: str, inbox: Inbox, **changes: Any) -> AdapterContext:
    settings = {
        "base_url": url,
        "account": "2999",
        "client_id": "lastmile",
        "client_secret": "hush",
        "api_key": "key",
        **changes,
    }
    return AdapterContext(name="gsma", settings=settings, callback_address=inbox.address, clock=system_clock)


async def test_another_profile_has_other_headers_and_writes_numbers_its_own_way(inbox: Inbox) -> None:
    seen: dict[str, Any] = {}
    operator = FastAPI()

    @operator.post("/mm/v1.2/transactions/type/disbursement")
    async def pay(request: Request) -> JSONResponse:
        seen.update(headers=dict(request.headers), body=await request.json())
        return JSONResponse({"errorCategory": "internal", "errorCode": "genericError"}, status_code=500)

    to = Destination(country="UG", method=Method.MOBILE_MONEY, account="+256751234567", holder="x", institution="airtel")
    with served(operator) as url:
        adapter = GsmaMm(context(url, inbox, profile="synchronous"))
        report = await adapter.pay(Instruction(attempt_id="att_ug", deliver=Money(500, Asset("UGX", 0)), to=to))
        await adapter.close()
    assert report.outcome is Outcome.UNKNOWN
    headers = seen["headers"]
    assert headers["authorization"] == f"Basic {base64.b64encode(b'lastmile:hush').decode()}"
    assert (headers["x-channel"], headers["x-client-id"], headers["x-api-key"]) == ("API", "lastmile", "key")
    assert {"x-content-hash", "x-callback-url"} & set(headers) == set()
    assert seen["body"]["creditParty"] == [{"key": "msisdn", "value": "256751234567"}]
    assert seen["body"]["amount"] == "500"


async def test_the_capabilities_are_the_profiles(make: Make, tmp_path: Path) -> None:
    capabilities = make().capabilities
    assert [each.country for each in capabilities.corridors] == ["RW", "GH"]
    assert not capabilities.callbacks_are_proof
    path = tmp_path / "blind.toml"
    path.write_text(SANDBOX.replace('resend = "deduped"', 'resend = "blind"'))
    blind = make(profile=str(path)).capabilities
    assert (blind.resend, blind.resend_within.total_seconds()) == (Resend.BLIND, 0)


async def test_a_balance_in_no_currency_of_ours_is_not_made_up(inbox: Inbox) -> None:
    wrong = [{}, {"availableBalance": "5", "currency": "EUR"}, {"availableBalance": "-5", "currency": "UGX"}]
    answers: list[Any] = [*wrong, {"availableBalance": "5"}]
    operator = FastAPI()

    @operator.get("/mm/v1.2/accounts/accountid/2999/balance")
    async def balance() -> JSONResponse:
        return JSONResponse(answers.pop())

    with served(operator) as url:
        adapter = GsmaMm(context(url, inbox, profile="synchronous"))
        assert await adapter.balance() == (Money(5, Asset("UGX", 0)),)
        for _ in wrong:
            with pytest.raises(OfframpError):
                await adapter.balance()
        await adapter.close()
