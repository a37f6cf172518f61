"""The Flutterwave adapter against its simulator, in what the contract doesn't ask; and its settings."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from adapters.flutterwave import Flutterwave
from adapters.flutterwave.routes import route_of
from adapters.flutterwave.settings import FlutterwaveSettings
from adapters.flutterwave.simulator import app
from gateway.clock import system_clock
from gateway.contract.harness import running
from gateway.ids import new_id
from gateway.money import Money
from gateway.offramp import (
    RAILS_OWN,
    AdapterContext,
    AttemptRef,
    BadSettings,
    CallbackRequest,
    Destination,
    Fault,
    ForgedCallback,
    Holder,
    Instruction,
    Method,
    Outcome,
)
from gateway.payouts.calls import pay
from gateway.railkit.http import NotAsked
from gateway.railsim import Options, Scenario

GOOD = {
    "base_url": "http://127.0.0.1:9",
    "secret_key": "FLWSECK_TEST-x",
    "secret_hash": "h" * 16,
    "countries": ["KE"],
    "sender_name": "Lastmile",
    "sender_country": "KE",
    "sender_phone": "+254700000000",
}
ATTEMPT = "att_01JD0000000000000000000001"


@pytest.fixture(scope="module")
def rail():
    with running(app(Options(delay_s=0))) as rail:
        yield rail


@pytest.fixture
async def adapter(rail):
    rail.forget_scripts()
    made = make(rail.settings())
    yield made
    await made.close()


def make(settings):
    return Flutterwave(AdapterContext(name="f", settings=settings, callback_address=lambda *_: "", clock=system_clock))


def order(account="+254712345678", *, country="KE", institution="mpesa", method=Method.MOBILE_MONEY, units=50_00):
    to = Destination(country=country, method=method, account=account, holder="Ann Wo", institution=institution)
    route = route_of(to)
    assert route is not None
    return Instruction(attempt_id=new_id("att", now=system_clock()), deliver=Money(units, route.asset), to=to)


def ref(instruction, known=None):
    return AttemptRef(
        attempt_id=instruction.attempt_id, provider_ref=known, deliver=instruction.deliver, sent_at=system_clock()
    )


async def test_a_wallets_transfer_tells_who_sends(adapter, rail):
    instruction = order()
    await adapter.pay(instruction)
    assert json.loads(rail.requests()[-1]["body"]) == {
        "account_bank": "MPS",
        "account_number": "254712345678",
        "amount": 50,
        "narration": "Lastmile payout",
        "currency": "KES",
        "reference": instruction.attempt_id,
        "debit_currency": "KES",
        "beneficiary_name": "Ann Wo",
        "meta": [{"sender": "Lastmile", "sender_country": "KE", "mobile_number": "254700000000"}],
    }


async def test_another_wallet_of_ours_may_pay(rail):
    adapter = make({**rail.settings(), "debit_currency": "USD"})
    await adapter.pay(order())
    assert json.loads(rail.requests()[-1]["body"])["debit_currency"] == "USD"
    await adapter.close()


async def test_a_transfer_is_asked_about_by_their_id_where_it_is_known(adapter, rail):
    instruction = order()
    known = (await adapter.pay(instruction)).provider_ref
    await adapter.status(ref(instruction, known))
    assert rail.requests()[-1]["target"] == f"/v3/transfers/{known}"
    await adapter.status(ref(instruction, "not/a number"))
    assert rail.requests()[-1]["target"] == f"/v3/transfers?reference={instruction.attempt_id}"


async def test_two_transfers_of_one_reference_are_for_a_person(adapter, monkeypatch):
    instruction = order()
    await adapter.pay(instruction)
    once = await adapter._call("GET", f"/transfers?reference={instruction.attempt_id}")
    listed = json.loads(once.body)

    async def twice(*_):
        return once._replace(body=json.dumps({**listed, "data": listed["data"] * 2}).encode())

    monkeypatch.setattr(adapter, "_call", twice)
    report = await adapter.status(ref(instruction))
    assert (report.outcome, report.reason) == (Outcome.UNKNOWN, "2 transfers have our reference")


async def test_a_fee_is_told_before_anything_is_paid(adapter, rail):
    assert (await adapter.fee(order())).decimal() == "26.00"
    assert rail.requests()[-1]["target"] == "/v3/transfers/fee?amount=50&currency=KES&type=mobilemoney"
    bank = order("3000000001", country="NG", institution="044", method=Method.BANK, units=100_50)
    await adapter.fee(bank)
    assert rail.requests()[-1]["target"] == "/v3/transfers/fee?amount=100.50&currency=NGN&type=account"


async def test_names_are_told_at_banks_only(adapter):
    bank = order("3000000001", country="NG", institution="044", method=Method.BANK, units=100_00)
    assert await adapter.look_up(bank.to) == Holder(name="Wanjiku Canary-Wallet", can_receive=True)
    unknown = order("3000000000", country="NG", institution="044", method=Method.BANK, units=100_00)
    assert await adapter.look_up(unknown.to) == Holder()
    with pytest.raises(NotAsked):
        await adapter.look_up(order().to)


async def test_a_wrong_key_stops_the_rail_and_a_listed_refusal_says_whose_matter_it_is(rail):
    wrong = make({**rail.settings(), "secret_key": "FLWSECK_TEST-wrong"})
    report = await pay(wrong, order())
    assert (report.outcome, report.fault) == (Outcome.FAILED, Fault.RAIL)
    with pytest.raises(NotAsked):
        await wrong.balance()
    rail.script(Scenario.REFUSED, code="The moon is full")
    adapter = make({**rail.settings(), "refusals": {"Moon": "transient"}})
    report = await pay(adapter, order())
    assert (report.outcome, report.fault) == (Outcome.FAILED, Fault.TRANSIENT)
    rail.script(Scenario.REFUSED, code="The sun is full")
    assert (await pay(adapter, order())).outcome is Outcome.UNKNOWN
    for each in (wrong, adapter):
        await each.close()


def request(attempt=ATTEMPT, label="webhook", **headers):
    data = {"id": 1, "reference": ATTEMPT, "status": "SUCCESSFUL", "amount": 50, "currency": "KES"}
    body = json.dumps({"event": "transfer.completed", "data": data}).encode()
    return CallbackRequest(
        attempt_id=attempt, label=label, headers=headers, body=body, received_at=datetime(2026, 11, 23, tzinfo=UTC)
    )


def test_on_arrival_the_secret_hash_is_wanted():
    adapter = make(GOOD)
    assert adapter.attempt_of(request(RAILS_OWN, **{"verif-hash": "h" * 16})) == ATTEMPT
    for headers in ({}, {"verif-hash": ""}, {"verif-hash": "h" * 15}, {"verif-hash": "H" * 16}):
        with pytest.raises(ForgedCallback):
            adapter.attempt_of(request(RAILS_OWN, **headers))


def test_what_is_read_is_never_proof():
    adapter = make(GOOD)
    for headers in ({"verif-hash": "h" * 16}, {}):
        read = adapter.read_callback(request(**headers))
        assert (read.proof, read.report.outcome) == (False, Outcome.PAID)
    for bad in (request(**{"verif-hash": "x"}), request(label="other"), request("att_01JD0000000000000000000002")):
        with pytest.raises(ForgedCallback):
            adapter.read_callback(bad)


async def test_an_amount_with_cents_is_written_exactly(adapter, rail):
    bank = order("3000000001", country="NG", institution="044", method=Method.BANK, units=100_05)
    await adapter.pay(bank)
    assert json.loads(rail.requests()[-1]["body"], parse_float=Decimal)["amount"] == Decimal("100.05")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("secret_key", "sk_live_wrong_kind"),
        ("secret_hash", "short"),
        ("countries", []),
        ("countries", ["ZA"]),
        ("sender_country", "Kenya"),
        ("sender_phone", "07 00"),
        ("debit_currency", "BTC"),
        ("limits", {"KE": [1, 2]}),
        ("limits", {"KE.mobile_money": [0, 2]}),
        ("refusals", {"x": "somebody"}),
        ("refusals", {" ": "rail"}),
        ("other", 1),
    ],
)
def test_a_wrong_setting_is_named_and_not_repeated(key, value):
    with pytest.raises(BadSettings) as refused:
        FlutterwaveSettings.read({**GOOD, key: value})
    assert set(refused.value.problems) == {key}
    assert "sk_live_wrong_kind" not in str(refused.value)
