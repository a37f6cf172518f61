"""The fill contract's answers, one by one: what each proves, and what hostile ones don't."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime

import httpx
import pytest

from adapters.partner import Partner, codes
from gateway.money import Asset, Money
from gateway.offramp import (
    AdapterContext,
    AttemptRef,
    BadSettings,
    Destination,
    Fault,
    Instruction,
    Method,
    NotSent,
    Outcome,
    OutsideLimits,
)
from gateway.railkit.http import NotAsked
from gateway.railkit.meanings import Kind

NOW = datetime(2026, 11, 23, 7, 0, tzinfo=UTC)
NGN = Asset("NGN", 2)
PLACE = {"country": "NG", "method": "bank", "currency": "NGN", "least": "100", "most": "5000000", "step": "0.01"}
SETTINGS = {
    "base_url": "http://partner.example",
    "client_id": "flc_1",
    "client_secret": "s-secret",
    "partner_id": "par_1",
    "places": [PLACE | {"institutions": {"058": "GTBank"}}],
}


def instruction(**changes: object) -> Instruction:
    to = {"country": "NG", "method": Method.BANK, "account": "0123456789", "holder": "Ada", "institution": "058"} | changes
    return Instruction(attempt_id="att_1", deliver=Money.parse("2500.50", NGN), to=Destination(**to))


REF = AttemptRef(attempt_id="att_1", provider_ref=None, deliver=instruction().deliver, sent_at=NOW)


def fill(**changes: object) -> dict[str, object]:
    return {"id": "fil_1", "reference": "att_1", "state": "offered", "overdue": False, "late": False} | changes


def fulfilled(**changes: object) -> dict[str, object]:
    paid = {"delivered": {"amount": "2500.50", "currency": "NGN"}, "proof": {"reference": "NIP 7"}}
    return fill(state="fulfilled", **paid) | changes


@pytest.fixture
async def make():
    made = []

    def make(answer, **changes: object) -> Partner:
        settings = SETTINGS | changes
        adapter = Partner(
            AdapterContext(name="partner", settings=settings, callback_address=lambda *_: "", clock=lambda: NOW)
        )
        given = answer if callable(answer) else lambda _: answer
        adapter._http._http = httpx.AsyncClient(transport=httpx.MockTransport(given))
        made.append(adapter)
        return adapter

    yield make
    for each in made:
        await each.close()


@pytest.mark.parametrize("name", codes.PROBLEMS)
async def test_a_refusal_means_what_the_table_says(make, name):
    adapter, means = make(httpx.Response(422, json={"code": name})), codes.PROBLEMS[name]
    if means.kind is Kind.NOT_PROCESSED:
        with pytest.raises(NotSent) as refused:
            await adapter.pay(instruction())
        assert refused.value.fault is means.fault
    else:
        assert (await adapter.pay(instruction())).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(500, json={"code": "invalid_fields"}),
        httpx.Response(503, json={"code": "invalid_signature"}),
        httpx.Response(422, json={"code": "something_new"}),
        httpx.Response(404, content=b"<html>"),
        httpx.Response(302, headers={"location": "http://elsewhere.example"}),
        httpx.Response(201, content=b""),
        httpx.Response(201, json=[]),
        httpx.Response(201, json=fill(reference="att_2")),
        httpx.Response(201, json=fill(state="parked")),
        httpx.Response(201, json=fill(state=None)),
        httpx.Response(200, json=fulfilled(reference="att_2")),
        httpx.Response(200, json=fulfilled(delivered=None)),
        httpx.Response(200, json=fulfilled(delivered={"amount": "2500.50", "currency": "KES"})),
        httpx.Response(200, json=fulfilled(delivered={"amount": "2500.505", "currency": "NGN"})),
        httpx.Response(200, json=fulfilled(proof=None)),
        httpx.Response(200, json=fulfilled(id=None)),
    ],
)
async def test_what_proves_nothing_is_unknown(make, answer):
    assert (await make(answer).pay(instruction())).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize(
    ("shown", "outcome", "fault"),
    [
        (fill(), Outcome.PENDING, None),
        (fill(state="accepted"), Outcome.PENDING, None),
        (fill(state="accepted", overdue=True), Outcome.UNKNOWN, None),
        (fill(state="declined", reason="no_liquidity"), Outcome.FAILED, Fault.FLOAT),
        (fill(state="declined", reason="corridor_closed"), Outcome.FAILED, Fault.RAIL),
        (fill(state="declined", reason="brand_new"), Outcome.FAILED, Fault.RECIPIENT),
        (fill(state="declined"), Outcome.FAILED, Fault.RECIPIENT),
        (fill(state="expired", late=True), Outcome.FAILED, Fault.TRANSIENT),
        (fill(state="cancelled"), Outcome.FAILED, Fault.TRANSIENT),
        (fulfilled(), Outcome.PAID, None),
        (fulfilled(state="returned"), Outcome.RETURNED, Fault.RECIPIENT),
    ],
)
async def test_a_state_means_what_the_table_says(make, shown, outcome, fault):
    report = await make(httpx.Response(200, json=shown)).status(REF)
    assert (report.outcome, report.fault, report.provider_ref) == (outcome, fault, "fil_1")


async def test_less_than_ordered_is_told_as_it_is(make):
    shown = fulfilled(delivered={"amount": "2000.00", "currency": "NGN"})
    assert (await make(httpx.Response(200, json=shown)).status(REF)).delivered == Money.parse("2000.00", NGN)


@pytest.mark.parametrize("status", [400, 401, 500, 302])
async def test_a_question_that_fails_is_no_news(make, status):
    with pytest.raises(NotAsked):
        await make(httpx.Response(status, json={})).status(REF)


async def test_a_question_that_does_not_arrive_is_no_clean_failure_of_the_payment(make):
    def refuse(_request):
        raise httpx.ConnectError("refused")

    with pytest.raises(NotAsked):
        await make(refuse).status(REF)
    with pytest.raises(NotSent):
        await make(refuse).pay(instruction())


async def test_every_request_is_signed_over_its_own_bytes(make):
    seen = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json=fill())

    adapter = make(answer)
    await adapter.pay(instruction())
    await adapter.status(REF)
    await adapter.cancel(REF)
    assert [(each.method, each.url.path) for each in seen] == [
        ("POST", "/v1/fill-orders"),
        ("GET", "/v1/fill-orders/att_1"),
        ("POST", "/v1/fill-orders/att_1/cancel"),
        ("GET", "/v1/fill-orders/att_1"),
    ]
    for each in seen:
        message = f"{int(NOW.timestamp())}\n{each.method}\n{each.url.path}\n".encode() + each.content
        right = hmac.new(b"s-secret", message, hashlib.sha256).hexdigest()
        assert each.headers["authorization"] == f"HMAC flc_1:{int(NOW.timestamp())}:{right}"


@pytest.mark.parametrize(
    "changes", [{"account": "nobody"}, {"account": "ab"}, {"account": "01\n23"}, {"institution": "999"}]
)
async def test_an_account_that_is_none_is_refused_before_any_request(make, changes):
    with pytest.raises(OutsideLimits):
        await make(httpx.Response(500)).pay(instruction(**changes))


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"client_secret": ""}, "client_secret"),
        ({"partner_id": ""}, "partner_id"),
        ({"places": []}, "places"),
        ({"places": [PLACE | {"method": "cash"}]}, "places"),
        ({"places": [PLACE | {"step": "0.001"}]}, "places"),
        ({"places": [PLACE | {"most": "1"}]}, "places"),
        ({"offered_for_s": 1}, "offered_for_s"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_wrong_settings_are_named_and_not_shown(make, changes, key):
    with pytest.raises(BadSettings) as refused:
        make(httpx.Response(500), **changes)
    assert list(refused.value.problems) == [key]
    assert "s-secret" not in str(refused.value)
