"""The network as it is served, used by its own adapter and by agents' programs."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import timedelta
from uuid import uuid4

import pytest

from adapters.agent_network import AgentNetwork
from gateway.ids import new_id
from gateway.money import Money
from gateway.offramp import (
    AdapterContext,
    AttemptRef,
    Destination,
    Fault,
    Instruction,
    Method,
    NotSent,
    Outcome,
)
from tests.factories import KES, NOW
from tests.integration.agents.house import PHONE
from tests.integration.agents.served import opened

NETWORK = "/v1/network"


@pytest.fixture
async def desk(house):
    async with opened(house.engine) as desk:
        yield desk


@pytest.fixture
async def adapter(desk, house):
    async with desk.served() as url:
        settings = {
            "base_url": url + NETWORK,
            "client_id": house.client.client_id,
            "api_key": house.client.api_key,
            "counters": [
                {"country": "KE", "currency": "KES", "account": house.account, "least": "1", "most": "50000", "step": "0.01"}
            ],
        }
        context = AdapterContext(name="agents", settings=settings, callback_address=lambda *_: "", clock=lambda: desk.now)
        made = AgentNetwork(context)
        yield made
        await made.close()


def instruction(amount: str = "1249.50") -> Instruction:
    to = Destination(country="KE", method=Method.CASH, account=PHONE, holder="Wanjiku Kamau")
    return Instruction(attempt_id=new_id("att", now=NOW), deliver=Money.parse(amount, KES), to=to)


def ref(sent: Instruction, provider_ref: str | None = None) -> AttemptRef:
    return AttemptRef(attempt_id=sent.attempt_id, provider_ref=provider_ref, deliver=sent.deliver, sent_at=NOW)


class Agent:
    """An agent's program."""

    def __init__(self, desk, new) -> None:
        self.desk, self.new = desk, new
        self.headers = {"X-Client-Id": new.agent_id, "X-API-Key": new.api_key}

    async def claim(self, code, *, amount="1249.50", phone="5678", reference="till-1", headers=None):
        body = {
            "amount": amount,
            "currency": "KES",
            "oneTimeCode": code,
            "debitParty": [{"key": "msisdn", "value": phone}],
            "requestingOrganisationTransactionReference": reference,
        }
        path = f"{NETWORK}/transactions/type/withdrawal"
        return await self.desk.client.post(path, json=body, headers=headers or self.headers)

    async def confirm(self, reference, **changes):
        told = {
            "/transactionStatus": "completed",
            "/recipientKyc/idDocument/0/idType": "passport",
            "/recipientKyc/idDocument/0/idNumber": "A1234567",
        } | changes
        body = [{"op": "replace", "path": path, "value": value} for path, value in told.items() if value]
        path = f"{NETWORK}/transactions/{reference}"
        return await self.desk.client.patch(path, json=body, headers=self.headers)


@pytest.fixture
async def agent(desk, house):
    return Agent(desk, await house.agent())


async def test_an_attempt_is_paid_in_cash_end_to_end(adapter, agent, house):
    sent = instruction()
    available = await adapter.pay(sent)
    assert available.outcome is Outcome.AVAILABLE
    assert available.pickup.expires_at == NOW + timedelta(days=14)
    assert await adapter.balance() == (Money.parse("8750.50", KES),)
    waiting = await adapter.status(ref(sent, available.provider_ref))
    assert (waiting.outcome, waiting.pickup) == (Outcome.AVAILABLE, None)
    claimed = (await agent.claim(available.pickup.code, phone=PHONE)).json()
    assert claimed["transactionStatus"] == "pending"
    assert claimed["recipientKyc"]["subjectName"]["fullName"] == "Wanjiku Kamau"
    assert (await adapter.status(ref(sent, available.provider_ref))).outcome is Outcome.AVAILABLE
    assert (await agent.confirm(claimed["transactionReference"])).status_code == 204
    paid = await adapter.status(ref(sent, available.provider_ref))
    assert (paid.outcome, paid.delivered, paid.provider_ref) == (Outcome.PAID, sent.deliver, available.provider_ref)
    assert paid.receipt == claimed["transactionReference"]
    assert (await adapter.cancel(ref(sent, available.provider_ref))).outcome is Outcome.PAID
    await house.check()


async def test_a_lost_answer_makes_no_second_code_and_the_recipient_gets_other_digits(adapter, agent, house):
    sent = instruction()
    lost = await adapter.pay(sent)
    assert (await adapter.pay(sent)).outcome is Outcome.UNKNOWN
    found = await adapter.status(ref(sent))
    assert (found.outcome, found.provider_ref) == (Outcome.AVAILABLE, lost.provider_ref)
    assert found.pickup.code != lost.pickup.code
    assert (await agent.claim(lost.pickup.code)).status_code == 404
    assert (await agent.claim(found.pickup.code)).status_code == 201
    assert len(await house.run("SELECT FROM pickup_codes")) == 1
    await house.check()


async def test_a_cancelled_and_an_expired_code_fail_and_free_the_money(adapter, desk, house):
    first, second = instruction(), instruction()
    await adapter.pay(first)
    await adapter.pay(second)
    assert (await adapter.cancel(ref(first))).outcome is Outcome.FAILED
    with desk.later(timedelta(days=14)):
        ended = await adapter.status(ref(second))
    assert (ended.outcome, ended.fault) == (Outcome.FAILED, Fault.RECIPIENT)
    assert await adapter.balance() == (Money.parse("10000.00", KES),)
    await house.check()


async def test_too_little_money_and_a_wrong_key_are_told_apart(adapter, house):
    refused = await adapter.pay(instruction("10000.01"))
    assert (refused.outcome, refused.fault) == (Outcome.FAILED, Fault.FLOAT)
    await house.run("UPDATE network_clients SET disabled_at = now()")
    with pytest.raises(NotSent) as stopped:
        await adapter.pay(instruction())
    assert stopped.value.fault is Fault.RAIL


async def test_an_unknown_attempt_is_unknown(adapter):
    assert (await adapter.status(ref(instruction()))).outcome is Outcome.UNKNOWN


async def test_claims_by_program_are_refused_in_the_gsmas_words(adapter, agent, house):
    code = (await adapter.pay(instruction())).pickup.code

    answers = {
        "under": await agent.claim(code, amount="1249.49"),
        "over": await agent.claim(code, amount="1249.51"),
        "phone": await agent.claim(code, phone="0000"),
        "code": await agent.claim("0000000001"),
        "key": await agent.claim(code, headers=agent.headers | {"X-API-Key": "lm_secret_wrong"}),
        "client": await agent.claim(
            code, headers={"X-Client-Id": house.client.client_id, "X-API-Key": house.client.api_key}
        ),
        "form": await agent.claim(code, amount="1,249.50"),
    }
    told = {name: (each.status_code, each.json()["errorCode"]) for name, each in answers.items()}
    assert told == {
        "under": (400, "underPaymentNotAllowed"),
        "over": (400, "overPaymentNotAllowed"),
        "phone": (404, "identifierError"),
        "code": (404, "identifierError"),
        "key": (401, "clientAuthorisationError"),
        "client": (401, "clientAuthorisationError"),
        "form": (400, "formatError"),
    }
    assert not any(code in each.text for each in answers.values())


async def test_a_withdrawal_is_confirmed_once_and_with_a_document(adapter, agent, desk, house):
    code = (await adapter.pay(instruction())).pickup.code
    first, again = await asyncio.gather(agent.claim(code), agent.claim(code))
    reference = first.json()["transactionReference"]
    assert again.json()["transactionReference"] == reference
    without = await agent.confirm(reference, **{"/recipientKyc/idDocument/0/idNumber": ""})
    assert (without.status_code, without.json()["errorCode"]) == (400, "formatError")
    other = Agent(desk, await house.agent())
    assert (await other.confirm(reference)).status_code == 404
    done = await asyncio.gather(*(agent.confirm(reference) for _ in range(10)))
    assert {each.status_code for each in done} == {204}
    seen = await desk.client.get(f"{NETWORK}/transactions/{reference}", headers=agent.headers)
    assert (seen.json()["transactionStatus"], seen.json()["amount"]) == ("completed", "1249.50")
    await house.check()


async def test_what_is_not_the_contract_makes_no_code(desk, house):
    right = {
        "amount": "10.00",
        "currency": "KES",
        "amountType": "exact",
        "codeLifetime": 86400,
        "holdFundsIndicator": True,
        "customData": [
            {"key": "reference", "value": "r1"},
            {"key": "recipientName", "value": "Wanjiku"},
            {"key": "recipientMsisdn", "value": PHONE},
            {"key": "receivingCountry", "value": "KE"},
        ],
    }
    key = {"X-Client-Id": house.client.client_id, "X-API-Key": house.client.api_key, "X-CorrelationID": str(uuid4())}
    path = f"{NETWORK}/accounts/accountid/{house.account}/authorisationcodes"
    wrong = [
        (right | {"amountType": "maximum"}, key),
        (right | {"holdFundsIndicator": False}, key),
        (right | {"amount": "10.001"}, key),
        (right | {"amount": 10}, key),
        (right | {"codeState": "redeemed"}, key),
        (right | {"customData": right["customData"][1:]}, key),
        (right | {"customData": [*right["customData"][:3], {"key": "receivingCountry", "value": "kenya"}]}, key),
        (right, key | {"X-CorrelationID": "1"}),
        (right, key | {"X-Content-Hash": hashlib.sha256(b"other").hexdigest()}),
    ]
    for body, headers in wrong:
        answer = await desk.client.post(path, json=body, headers=headers)
        assert (answer.status_code, answer.json()["errorCode"]) == (400, "formatError"), body
    assert await house.run("SELECT FROM pickup_codes") == []
    made = await desk.client.post(path, json=right, headers=key)
    assert made.status_code == 201
    assert made.headers["cache-control"] == "no-store"
    listed = await desk.client.get(path, params={"codeState": "active"}, headers=key)
    assert [each["authorisationCode"] for each in listed.json()] == ["**********"]
    other = await desk.client.get(path.replace(house.account, "acc_other"), headers=key)
    assert other.json() == []


async def test_fifty_adapters_pay_one_attempt_at_once_and_make_one_code(adapter, house):
    sent = instruction()
    reports = await asyncio.gather(*(adapter.pay(sent) for _ in range(50)))
    assert sorted(each.outcome for each in reports).count(Outcome.AVAILABLE) == 1
    assert {each.outcome for each in reports} == {Outcome.AVAILABLE, Outcome.UNKNOWN}
    await house.check()
