"""Against the simulator: what is ordered, how it is funded, how it ends."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
from fastapi import FastAPI, Request

from adapters.paycrest import Paycrest
from adapters.paycrest import adapter as module
from adapters.paycrest.client import webhook_signature
from adapters.paycrest.simulator import app
from gateway.clock import system_clock
from gateway.contract.harness import Rail, eventually, running, served
from gateway.legs import Leg, LegReport, leg_id
from gateway.money import Asset, Money
from gateway.offramp import (
    RAILS_OWN,
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
)
from gateway.railsim import Options, Scenario

from .conftest import NOW, ORDER, OURS, PAYMENT, make

_numbers = count(1)
FUNDED = LegReport(outcome=Outcome.PAID, provider_ref="0xhash")


@pytest.fixture(scope="module")
def rail() -> Iterator[Rail]:
    with running(app(Options(delay_s=0))) as rail:
        yield rail


@pytest.fixture
async def adapter(rail: Rail) -> AsyncIterator[Paycrest]:
    rail.forget_scripts()
    made = make(rail.settings(), clock=system_clock)
    yield made
    await made.close()


@pytest.fixture
def payment() -> Instruction:
    number = next(_numbers)
    to = Destination(country="UG", method=Method.MOBILE_MONEY, account=f"+2567{number:08}", holder="Ada", institution="mtn")
    return Instruction(attempt_id=f"att_F{number}", deliver=Money(5_000, Asset("UGX", 0)), to=to)


def leg(payment: Instruction, number: int, **done: LegReport) -> Leg:
    names = ("order", "fund", "deliver")
    return Leg(leg_id=leg_id(payment.attempt_id, number), name=names[number - 1], payment=payment, done=done)


async def fund(rail: Rail, adapter: Paycrest, payment: Instruction, *, change: int = 0, late: bool = False) -> Leg:
    placed = await adapter.pay_leg(leg(payment, 1))
    assert placed.outcome is Outcome.PAID
    wanted = adapter.coins(leg(payment, 2, order=placed))
    if late:
        rail.client.post(f"/_sim/orders/{placed.provider_ref}/expire").raise_for_status()
    body = {"address": wanted.to, "amount": (wanted.amount + Money(change, wanted.amount.asset)).decimal()}
    rail.client.post("/_sim/deposits", json=body).raise_for_status()
    return leg(payment, 3, order=placed, fund=FUNDED)


async def final(adapter: Paycrest, deliver: Leg) -> LegReport:
    for _ in range(50):
        report = await adapter.leg_status(deliver)
        if report.outcome is not Outcome.PENDING:
            return report
    raise AssertionError(report)


async def test_the_exact_sum_in_time_is_delivered(rail: Rail, adapter: Paycrest, payment: Instruction) -> None:
    report = await final(adapter, await fund(rail, adapter, payment))
    assert (report.outcome, report.got) == (Outcome.PAID, payment.deliver)
    assert rail.times_paid(leg_id(payment.attempt_id, 1)) == 1


@pytest.mark.parametrize("change", [-1, 1])
async def test_any_other_sum_comes_back_and_pays_nobody(rail: Rail, adapter: Paycrest, payment, change: int) -> None:
    report = await final(adapter, await fund(rail, adapter, payment, change=change))
    assert (report.outcome, report.fault) == (Outcome.FAILED, Fault.TRANSIENT)
    assert report.facts["refund_address"] == rail.settings()["refund_address"]
    assert rail.times_paid(leg_id(payment.attempt_id, 1)) == 0


async def test_coins_that_came_too_late_are_a_matter_for_a_person(rail: Rail, adapter: Paycrest, payment) -> None:
    report = await final(adapter, await fund(rail, adapter, payment, late=True))
    assert report.outcome is Outcome.UNKNOWN
    assert rail.times_paid(leg_id(payment.attempt_id, 1)) == 0


async def test_an_order_that_nobody_funds_waits_and_expires(rail: Rail, adapter: Paycrest, payment: Instruction) -> None:
    placed = await adapter.pay_leg(leg(payment, 1))
    assert (await adapter.leg_status(leg(payment, 1))).outcome is Outcome.PAID
    rail.client.post(f"/_sim/orders/{placed.provider_ref}/expire").raise_for_status()
    gone = await adapter.leg_status(leg(payment, 1))
    assert (gone.outcome, gone.fault) == (Outcome.FAILED, Fault.TRANSIENT)
    assert rail.times_paid(leg_id(payment.attempt_id, 1)) == 0


async def test_the_same_leg_sent_twice_is_one_order_found_by_paging(
    rail: Rail, adapter: Paycrest, payment: Instruction, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await adapter.pay_leg(leg(payment, 1))
    for _ in range(3):
        await adapter.pay_leg(leg(replace(payment, attempt_id=f"att_P{next(_numbers)}"), 1))
    monkeypatch.setattr(module, "PAGE_SIZE", 2)
    before = len(rail.requests())
    again = await adapter.pay_leg(leg(payment, 1))
    assert (again.outcome, again.provider_ref) == (Outcome.PAID, first.provider_ref)
    pages = [each["target"] for each in rail.requests()[before:] if each["method"] == "GET"]
    assert pages == [f"/v2/sender/orders?page={page}&pageSize=2&direction=offramp" for page in (1, 2)]


async def test_a_list_is_not_paged_for_ever(adapter: Paycrest, payment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE_SIZE", 1)
    monkeypatch.setattr(module, "PAGES_MOST", 2)
    assert (await adapter.leg_status(leg(payment, 1))).outcome is Outcome.UNKNOWN


async def test_an_order_that_was_never_made_is_unknown(adapter: Paycrest, payment: Instruction) -> None:
    assert (await adapter.leg_status(leg(payment, 1))).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize(
    ("field", "fault"), [("Recipient", Fault.RECIPIENT), ("Rate", Fault.TRANSIENT), ("Token", Fault.RAIL)]
)
async def test_a_refused_order_is_not_sent(rail: Rail, adapter: Paycrest, payment, field: str, fault: Fault) -> None:
    rail.script(Scenario.REFUSED, code=field)
    with pytest.raises(NotSent) as refused:
        await adapter.pay_leg(leg(payment, 1))
    assert refused.value.fault is fault


async def test_once_coins_are_sent_nothing_says_not_sent(payment: Instruction, settings: dict[str, Any]) -> None:
    dead = make({**settings, "base_url": "http://127.0.0.1:9"})
    deliver = leg(payment, 3, order=LegReport(outcome=Outcome.PAID, provider_ref="order-1"), fund=FUNDED)
    assert (await dead.pay_leg(deliver)).outcome is Outcome.PENDING
    for question in (dead.leg_status(deliver), dead.leg_status(leg(payment, 1)), dead.look_up(payment.to)):
        with pytest.raises(OfframpError) as failed:
            await question
        assert not isinstance(failed.value, NotSent)
    with pytest.raises(NotSent):
        await dead.pay_leg(leg(payment, 1))
    await dead.close()


@pytest.mark.parametrize(
    "to", [{"account": "nobody"}, {"account": "+254712345678"}, {"institution": "wave"}, {"country": "FR"}]
)
async def test_what_cannot_be_paid_is_refused_before_any_request(rail: Rail, adapter: Paycrest, payment, to) -> None:
    before = len(rail.requests())
    with pytest.raises(OutsideLimits):
        await adapter.pay_leg(leg(replace(payment, to=replace(payment.to, **to)), 1))
    assert len(rail.requests()) == before


async def test_a_kenyan_wallet_is_ordered_through_its_channel(rail: Rail, adapter: Paycrest) -> None:
    before = len(rail.requests())
    kenyan = replace(PAYMENT, attempt_id=f"att_K{next(_numbers)}")
    assert (await adapter.pay_leg(leg(kenyan, 1))).outcome is Outcome.PAID
    recipient = json.loads(rail.requests()[before]["body"])["destination"]["recipient"]
    assert recipient["metadata"] == {"channel": "Mobile"}
    assert recipient["accountIdentifier"] == "254712345678"


async def test_a_good_account_without_a_name_can_receive(adapter: Paycrest) -> None:
    holder = await adapter.look_up(PAYMENT.to)
    assert (holder.name, holder.can_receive) == (None, True)


async def test_the_last_legs_order_has_to_be_the_one_that_was_placed(rail: Rail, adapter: Paycrest, payment) -> None:
    await fund(rail, adapter, payment)
    stranger = leg(payment, 3, order=LegReport(outcome=Outcome.PAID, provider_ref="another"), fund=FUNDED)
    assert (await adapter.leg_status(stranger)).outcome is Outcome.UNKNOWN
    with pytest.raises(OfframpError):
        await adapter.leg_status(leg(payment, 3))


def test_the_simulator_insists_on_its_key_and_on_every_field(rail: Rail) -> None:
    settings = rail.settings()
    assert rail.client.get("/v2/sender/orders", headers={"API-Key": "wrong"}).status_code == 401
    for body in ({}, {"amount": "1"}, {**ORDER}, []):
        answer = rail.client.post("/v2/sender/orders", headers={"API-Key": settings["api_key"]}, json=body)
        assert (answer.status_code, answer.json()["status"]) == (400, "error")
    codes = [each["code"] for each in rail.client.get("/v2/institutions/UGX").json()["data"]]
    assert codes == ["MOMOUGPC", "AIRTUGPC"]
    assert rail.client.get("/v2/rates/base/USDC/10/KES").json()["data"]["sell"]["rate"] == "129.25"
    assert rail.client.post("/_sim/deposits", json={"address": OURS, "amount": "1"}).status_code == 404


# -- webhooks ----------------------------------------------------------------------------------------------------------


def webhook(event: Any, *, secret: str = "secret-canary", attempt: str = "att_1", label: str = "webhook") -> CallbackRequest:
    body = event if isinstance(event, bytes) else json.dumps(event).encode()
    headers = {"x-paycrest-signature": webhook_signature(secret=secret, body=body)}
    return CallbackRequest(attempt_id=attempt, label=label, headers=headers, body=body, received_at=NOW)


SETTLED = {"event": "payment_order.settled", "webhookVersion": "2", "data": {**ORDER, "status": "settled"}}
REFUNDED = {"event": "payment_order.refunded", "webhookVersion": "2", "data": {**ORDER, "status": "refunded"}}


def test_the_signature_is_lower_case_hex_over_the_raw_bytes() -> None:
    # RFC 4231, test case 2
    right = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    assert webhook_signature(secret="Jefe", body=b"what do ya want for nothing?") == right


def test_a_webhook_names_the_attempt_of_its_leg(settings: dict[str, Any]) -> None:
    adapter = make(settings)
    assert adapter.attempt_of(webhook(SETTLED, attempt=RAILS_OWN)) == "att_1"
    for reference in (None, "somebody-elses", "leg_", 7):
        foreign = {**SETTLED, "data": {**SETTLED["data"], "reference": reference}}
        assert adapter.attempt_of(webhook(foreign, attempt=RAILS_OWN)) is None


def test_a_webhook_is_a_doorbell_and_the_same_news_is_one_event(settings: dict[str, Any]) -> None:
    adapter = make(settings)
    read, again = (adapter.read_callback(webhook(SETTLED)) for _ in range(2))
    assert (read.report.outcome, read.proof, read.event_id) == (Outcome.PENDING, False, again.event_id)
    assert adapter.read_callback(webhook(REFUNDED)).event_id != read.event_id
    spaced = replace(webhook(SETTLED), headers={"x-paycrest-signature": f" {_upper(SETTLED)} "})
    assert adapter.read_callback(spaced) == read


def _upper(event: Any) -> str:
    return webhook_signature(secret="secret-canary", body=json.dumps(event).encode()).upper()


@pytest.mark.parametrize(
    "request_",
    [
        webhook(SETTLED, secret="another"),
        webhook(SETTLED, label="elsewhere"),
        webhook(SETTLED, attempt="att_2"),
        webhook({"event": "payment_order.settled"}),
        webhook({"data": ORDER}),
        webhook(b"null"),
        replace(webhook(SETTLED), headers={}),
        replace(webhook(SETTLED), body=b"{}"),
    ],
)
def test_a_webhook_that_cannot_be_believed_is_refused(settings, request_) -> None:
    with pytest.raises(ForgedCallback):
        make(settings).read_callback(request_)


# -- a chain that is watched -------------------------------------------------------------------------------------------


async def test_the_simulator_sees_coins_on_a_chain_and_sends_them_back_there(
    monkeypatch: pytest.MonkeyPatch, payment
) -> None:
    node, asked, held = FastAPI(), [], {"units": 0}

    @node.post("/")
    async def rpc(request: Request) -> dict[str, Any]:
        call = await request.json()
        asked.append(call)
        return {"jsonrpc": "2.0", "id": 1, "result": hex(held["units"]) if call["method"] == "eth_call" else "0xback"}

    with served(node) as url:
        monkeypatch.setenv("LASTMILE_SIMULATOR_RPC", url)
        monkeypatch.setenv("LASTMILE_SIMULATOR_CHAIN_ID", "31337")
        with running(app(Options(delay_s=0))) as rail:
            adapter = make(rail.settings(), clock=system_clock)
            placed = await adapter.pay_leg(leg(payment, 1))
            wanted = adapter.coins(leg(payment, 2, order=placed))
            assert wanted.chain_id == 31337
            deliver = leg(payment, 3, order=placed, fund=FUNDED)
            assert (await adapter.leg_status(deliver)).outcome is Outcome.PENDING
            held["units"] = wanted.amount.units - 1
            await eventually(lambda: any(each["method"] == "eth_sendTransaction" for each in asked), what="a refund")
            report = await final(adapter, deliver)
            await adapter.close()
    assert report.outcome is Outcome.FAILED
    looked = next(each for each in asked if each["method"] == "eth_call")["params"][0]
    assert looked == {"to": wanted.contract, "data": f"0x70a08231{wanted.to[2:]:0>64}"}
    sent = next(each for each in asked if each["method"] == "eth_sendTransaction")["params"][0]
    to = report.facts["refund_address"][2:]
    assert (sent["from"], sent["data"]) == (wanted.to, f"0xa9059cbb{to:0>64}{held['units']:064x}")
