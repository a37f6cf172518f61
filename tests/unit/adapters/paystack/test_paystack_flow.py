"""The Paystack adapter against its simulator, in what the contract doesn't ask; and its settings and routes."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import timedelta

import pytest

from adapters.paystack import Paystack
from adapters.paystack.routes import ROUTES, route_of
from adapters.paystack.settings import PaystackSettings
from adapters.paystack.simulator import app
from gateway.clock import system_clock
from gateway.contract.harness import free_address, running
from gateway.ids import new_id
from gateway.money import Money
from gateway.offramp import (
    AdapterContext,
    BadSettings,
    CallbackRequest,
    Destination,
    Fault,
    Holder,
    Instruction,
    Method,
    NotSent,
    Outcome,
)
from gateway.payouts.calls import pay
from gateway.railkit.http import NoAnswer, NotAsked
from gateway.railsim import Options, Scenario

GOOD = {"base_url": "http://127.0.0.1:9", "secret_key": "sk_test_" + "k" * 40, "countries": ["NG"]}


@pytest.fixture(scope="module")
def rail():
    with running(app(Options(delay_s=0))) as rail:
        yield rail


class Watch:
    """A clock that a test sets forward."""

    ahead = timedelta(0)

    def __call__(self):
        return system_clock() + self.ahead


@pytest.fixture
def clock():
    return Watch()


@pytest.fixture
async def adapter(rail, clock):
    rail.forget_scripts()
    made = make(rail.settings(), clock)
    yield made
    await made.close()


def make(settings, clock=system_clock):
    return Paystack(AdapterContext(name="p", settings=settings, callback_address=lambda *_: "", clock=clock))


def order(account="3000000001", *, country="NG", method=Method.BANK, institution="044", units=100_00):
    to = Destination(country=country, method=method, account=account, holder="Ada Obi", institution=institution)
    route = route_of(to)
    assert route is not None
    return Instruction(attempt_id=new_id("att", now=system_clock()), deliver=Money(units, route.asset), to=to)


def sent_to(rail, target):
    return [each for each in rail.requests() if each["target"] == target]


async def test_a_recipient_is_made_once_and_no_account_is_remembered(adapter, rail):
    before = len(sent_to(rail, "/transferrecipient"))
    for _ in range(3):
        assert (await adapter.pay(order("3000000011"))).outcome is Outcome.PENDING
    assert len(sent_to(rail, "/transferrecipient")) == before + 1
    assert "3000000011" not in repr(vars(adapter))


async def test_no_more_recipients_are_remembered_than_is_said(adapter, monkeypatch):
    monkeypatch.setattr("adapters.paystack.adapter.REMEMBERED_MOST", 2)
    for account in ("3000000031", "3000000032", "3000000033"):
        await adapter.pay(order(account))
    assert len(adapter._recipients) == 2


def test_a_signed_event_that_says_nothing_certain_is_no_proof():
    key = GOOD["secret_key"]
    attempt = "att_01JD0000000000000000000001"
    told = {"event": "transfer.success", "data": {"reference": attempt.lower(), "status": "success", "amount": "1"}}
    body = json.dumps(told).encode()
    headers = {"x-paystack-signature": hmac.new(key.encode(), body, hashlib.sha512).hexdigest()}
    request = CallbackRequest(attempt_id=attempt, label="webhook", headers=headers, body=body, received_at=system_clock())
    read = make(GOOD).read_callback(request)
    assert (read.report.outcome, read.proof) == (Outcome.UNKNOWN, False)


async def test_a_process_that_remembers_nothing_pays_the_same_recipient(adapter, rail):
    other = make(rail.settings())
    for each in (adapter, other):
        await each.pay(order("3000000012"))
    first, second = (each["body"] for each in sent_to(rail, "/transfer")[-2:])
    assert first.split("RCP_")[1][:16] == second.split("RCP_")[1][:16]
    await other.close()


async def test_no_recipient_is_no_transfer(adapter, rail):
    dead = make({**rail.settings(), "base_url": free_address()})
    before = len(sent_to(rail, "/transfer"))
    with pytest.raises(NotSent):
        await dead.pay(order())
    wrong = await pay(adapter, order("3000000013", institution="044", units=99_00))
    assert wrong.outcome is Outcome.FAILED
    assert len(sent_to(rail, "/transfer")) == before
    await dead.close()


async def test_a_recipient_without_an_answer_is_no_transfer_either(adapter, monkeypatch):
    asked = []

    async def silent(target, _body):
        asked.append(target)
        raise NoAnswer("no answer from Paystack")

    monkeypatch.setattr(adapter, "_post", silent)
    with pytest.raises(NotSent):
        await adapter.pay(order("3000000041"))
    assert asked == ["/transferrecipient"]


async def test_a_wrong_key_stops_the_rail(rail):
    adapter = make({**rail.settings(), "secret_key": "sk_test_wrong"})
    report = await pay(adapter, order())
    assert (report.outcome, report.fault) == (Outcome.FAILED, Fault.RAIL)
    await adapter.close()


async def test_a_transfer_that_wants_a_password_holds_back_the_next_ones_and_says_why(adapter, rail, clock):
    rail.script(Scenario.UNLISTED_STATUS, status="otp")
    first = await adapter.pay(order("3000000014"))
    assert first.outcome is Outcome.UNKNOWN
    assert "one-time password" in (first.reason or "")
    with pytest.raises(NotSent, match="switch off Settings > Preferences") as held:
        await adapter.pay(order("3000000014"))
    assert held.value.fault is Fault.RAIL
    with pytest.raises(NotSent):
        await adapter.pay_bulk("bat_1", [order("3000000014")])
    clock.ahead = timedelta(minutes=6)
    assert (await adapter.pay(order("3000000014"))).outcome is Outcome.PENDING


async def test_a_batch_goes_by_currency_and_one_bad_recipient_keeps_nobody(adapter, rail):
    good, other = order("3000000015"), order("3000000016")
    shilling = order("+254712345678", country="KE", method=Method.MOBILE_MONEY, institution="mpesa")
    before = len(sent_to(rail, "/transfer/bulk"))
    adapter._new_recipient, whole = _refusing("3000000016", adapter._new_recipient), adapter._new_recipient
    reports = await adapter.pay_bulk("bat_1", [good, other, shilling])
    adapter._new_recipient = whole
    assert reports[other.attempt_id].outcome is Outcome.FAILED
    assert reports[other.attempt_id].fault is Fault.RECIPIENT
    assert [reports[each.attempt_id].outcome for each in (good, shilling)] == [Outcome.PENDING] * 2
    assert len(sent_to(rail, "/transfer/bulk")) == before + 2


def _refusing(account, ask):
    async def recipient(body):
        if body["account_number"] == account:
            raise NotSent("no recipient", fault=Fault.RECIPIENT)
        return await ask(body)

    return recipient


async def test_what_a_batchs_answer_does_not_name_is_left_out(adapter, rail):
    taken, refused = order("3000000017"), order("3000000018")
    rail.script(Scenario.DUPLICATE_ANSWER, match={"account": "3000000018"})
    reports = await adapter.pay_bulk("bat_1", [taken, refused])
    assert set(reports) == {taken.attempt_id}


async def test_a_batch_that_never_left_us_has_failed_for_all(adapter):
    orders = [order("3000000019"), order("3000000019")]
    await adapter.pay(orders[0])
    adapter._http._base_url = free_address()
    reports = await adapter.pay_bulk("bat_1", orders)
    assert {each.outcome for each in reports.values()} == {Outcome.FAILED}  # provably no byte left us
    assert {each.fault for each in reports.values()} == {Fault.TRANSIENT}


async def test_an_account_outside_the_limits_keeps_nobody_else_of_a_batch(adapter):
    good, bad = order("3000000020"), order("nobody")
    reports = await adapter.pay_bulk("bat_1", [good, bad])
    assert (reports[good.attempt_id].outcome, reports[bad.attempt_id].outcome) == (Outcome.PENDING, Outcome.FAILED)
    assert "nobody" not in repr(reports)


async def test_a_batch_whose_answer_is_lost_is_unknown_for_all(adapter):
    orders = [order("3000000021"), order("3000000022")]

    async def silent(_target, _body):
        raise NoAnswer("no answer from Paystack")

    for each in orders:
        await adapter._recipient(each)
    adapter._post = silent
    reports = await adapter.pay_bulk("bat_1", orders)
    assert {each.outcome for each in reports.values()} == {Outcome.UNKNOWN}
    assert len(reports) == 2


async def test_names_are_told_where_paystack_resolves_accounts(adapter):
    assert await adapter.look_up(order().to) == Holder(name="Wanjiku Canary-Wallet", can_receive=True)
    assert await adapter.look_up(order("3000000000").to) == Holder()
    for unasked in (
        order("+254712345678", country="KE", method=Method.MOBILE_MONEY, institution="mpesa").to,
        order(institution="999").to,
    ):
        with pytest.raises(NotAsked):
            await adapter.look_up(unasked)


@pytest.mark.parametrize(
    ("country", "method", "account", "written"),
    [
        ("NG", Method.BANK, "3000000001", "3000000001"),
        ("NG", Method.BANK, "300000001", None),
        ("GH", Method.MOBILE_MONEY, "+233241234567", "0241234567"),
        ("GH", Method.MOBILE_MONEY, "0241234567", None),
        ("KE", Method.MOBILE_MONEY, "+254712345678", "0712345678"),
        ("KE", Method.MOBILE_MONEY, "+256712345678", None),
        ("ZA", Method.BANK, "62000000001", "62000000001"),
        ("ZA", Method.BANK, "6200000000A", None),
    ],
)
def test_an_account_is_written_as_paystack_wants_it(country, method, account, written):
    route = next(each for each in ROUTES if (each.country, each.method) == (country, method))
    assert route.number(account) == written


def test_routes_are_the_documented_kinds():
    kinds = {(each.country, each.kind) for each in ROUTES}
    assert kinds == {
        ("NG", "nuban"),
        ("GH", "ghipss"),
        ("GH", "mobile_money"),
        ("KE", "kepss"),
        ("KE", "mobile_money"),
        ("ZA", "basa"),
    }
    assert {code: bank.code for code, bank in ROUTES[2].banks.items()} == {
        "mtn": "MTN",
        "airteltigo": "ATL",
        "vodafone": "VOD",
    }


def test_the_settings_choose_countries_and_limits():
    adapter = make({**GOOD, "countries": ["KE"], "limits": {"KE.bank": [200, 300]}})
    found = {
        (each.method, each.least.decimal(), each.most.decimal(), each.step.decimal())
        for each in adapter.capabilities.corridors
    }
    assert found == {(Method.BANK, "200.00", "300.00", "0.01"), (Method.MOBILE_MONEY, "100.00", "150000.00", "1.00")}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("secret_key", "pk_test_wrong_kind"),
        ("secret_key", ""),
        ("countries", []),
        ("countries", ["UG"]),
        ("limits", {"NG": [1, 2]}),
        ("limits", {"NG.bank": [2, 1]}),
        ("narration", ""),
        ("returns_within_s", -1),
        ("other", 1),
    ],
)
def test_a_wrong_setting_is_named_and_not_repeated(key, value):
    with pytest.raises(BadSettings) as refused:
        PaystackSettings.read({**GOOD, key: value})
    assert set(refused.value.problems) == {key}
    assert "pk_test_wrong_kind" not in str(refused.value)
