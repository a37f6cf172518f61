"""The agent network's answers, one by one: what each proves, and what hostile ones don't."""

from __future__ import annotations

import json
from collections.abc import Callable

import httpx
import pytest

from adapters.agent_network import AgentNetwork, codes
from gateway.clock import system_clock
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
from gateway.railkit.keys import uuid4_of
from gateway.railkit.meanings import Kind

KES = Asset("KES", 2)
ATTEMPT = "att_01"
LINK = "/accounts/accountid/acc_1/authorisationcodes/cod_1"
COUNTER = {"country": "KE", "currency": "KES", "account": "acc_1", "least": "100", "most": "35000", "step": "50"}
SETTINGS = {"base_url": "http://network.example/mm", "client_id": "c1", "api_key": "k-secret", "counters": [COUNTER]}
# The errorCode enumeration of schema errorObject in the GSMA's OpenAPI document 1.2.0.
GSMA_CODES = [
    "genericError",
    "dailyVolumeLimitExceeded",
    "dailyValueLimitExceeded",
    "weeklyVolumeLimitExceeded",
    "weeklyValueLimitExceeded",
    "monthlyVolumeLimitExceeded",
    "monthlyValueLimitExceeded",
    "accountMaxTotalVolumeExceeded",
    "accountMaxTotalValueExceeded",
    "lessThanTransactionMinValue",
    "greaterThanTransactionMaxValue",
    "maxBalanceExceeded",
    "samePartiesError",
    "duplicateRequest",
    "insufficientFunds",
    "incorrectState",
    "underPaymentNotAllowed",
    "overPaymentNotAllowed",
    "rateLimitError",
    "transactionTypeError",
    "noMandateAuthority",
    "linkViolation",
    "countryofOriginNotPermitted",
    "nationalityNotPermitted",
    "idDocumentNotSupported",
    "issuingCountryNotSupported",
    "quoteHasExpired",
    "identifierError",
    "lengthError",
    "formatError",
    "negativeValue",
    "currencyNotSupported",
    "mandatoryValueNotSupplied",
    "invalidOffset",
    "clientAuthorisationError",
    "requestDeclined",
    "servicingPartyAuthorisationError",
    "requestingPartyAuthorisationError",
]


def instruction(amount: str = "1250.00") -> Instruction:
    to = Destination(country="KE", method=Method.CASH, account="+254712345678", holder="Wanjiku Kamau")
    return Instruction(attempt_id=ATTEMPT, deliver=Money.parse(amount, KES), to=to)


def code(**changes: object) -> dict[str, object]:
    return {
        "authorisationCode": "1234567890",
        "codeState": "active",
        "amount": "1250.00",
        "currency": "KES",
        "codeLifetime": 600,
        "creationDate": "2026-11-23T07:00:00+00:00",
        "customData": [{"key": "reference", "value": ATTEMPT}],
        "metadata": [{"key": "codeReference", "value": "cod_1"}],
    } | changes


def redeemed(**changes: object) -> dict[str, object]:
    metadata = [{"key": "codeReference", "value": "cod_1"}, {"key": "transactionReference", "value": "wdr_1"}]
    return code(codeState="redeemed", authorisationCode="**********", metadata=metadata) | changes


@pytest.fixture
async def make():
    made = []

    def make(answer: Callable[[httpx.Request], httpx.Response], **changes: object) -> AgentNetwork:
        context = AdapterContext(
            name="agents", settings=SETTINGS | changes, callback_address=lambda *_: "", clock=system_clock
        )
        adapter = AgentNetwork(context)
        adapter._http._http = httpx.AsyncClient(transport=httpx.MockTransport(answer))
        made.append(adapter)
        return adapter

    yield make
    for each in made:
        await each.close()


def network(shown: object, withdrawal: object = None, *, status: int = 200) -> Callable[[httpx.Request], httpx.Response]:
    """A network that finds the code by our id, and shows this of it."""

    def answer(request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/mm")
        if path == f"/responses/{uuid4_of(ATTEMPT)}":
            return httpx.Response(200, json={"link": LINK})
        if path == LINK and request.method == "GET":
            return httpx.Response(status, content=json.dumps(shown))
        if path == "/transactions/wdr_1":
            return httpx.Response(200, json=withdrawal)
        return httpx.Response(404, json={"errorCode": "identifierError", "errorCategory": "identification"})

    return answer


def ref(provider_ref: str | None = "cod_1") -> AttemptRef:
    return AttemptRef(attempt_id=ATTEMPT, provider_ref=provider_ref, deliver=instruction().deliver, sent_at=system_clock())


def test_every_code_of_the_gsma_is_in_the_table():
    assert set(codes.ERRORS) == set(GSMA_CODES)


@pytest.mark.parametrize("name", GSMA_CODES)
async def test_a_refusal_means_what_the_table_says(make, name):
    adapter = make(lambda _: httpx.Response(400, json={"errorCategory": "businessRule", "errorCode": name}))
    means = codes.ERRORS[name]
    if means.kind is Kind.NOT_PROCESSED:
        with pytest.raises(NotSent) as refused:
            await adapter.pay(instruction())
        assert refused.value.fault is means.fault
        return
    report = await adapter.pay(instruction())
    failed = means.kind is Kind.FAILED
    assert (report.outcome, report.fault) == (
        Outcome.FAILED if failed else Outcome.UNKNOWN,
        means.fault if failed else None,
    )


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(500, json={"errorCode": "formatError"}),
        httpx.Response(503, json={"errorCode": "clientAuthorisationError"}),
        httpx.Response(400, json={"errorCode": "newError"}),
        httpx.Response(400, content=b"<html>"),
        httpx.Response(400, json=[]),
        httpx.Response(200, json=code()),
        httpx.Response(302, headers={"location": "http://elsewhere.example"}),
        httpx.Response(201, content=b""),
        httpx.Response(201, json=code(amount="1250.01")),
        httpx.Response(201, json=code(currency="UGX")),
        httpx.Response(201, json=code(authorisationCode=None)),
        httpx.Response(201, json=code(codeState="expired")),
        httpx.Response(201, json=code(customData=[{"key": "reference", "value": "att_other"}])),
        httpx.Response(201, json=code(customData="x", amount=None)),
    ],
)
async def test_what_proves_nothing_is_unknown(make, answer):
    report = await make(lambda _: answer).pay(instruction())
    assert (report.outcome, report.pickup) == (Outcome.UNKNOWN, None)


async def test_a_code_is_told_with_its_end_and_shows_nowhere(make):
    report = await make(lambda _: httpx.Response(201, json=code()), where="Any kiosk.").pay(instruction())
    assert (report.outcome, report.provider_ref) == (Outcome.AVAILABLE, "cod_1")
    assert (report.pickup.code, report.pickup.where) == ("1234567890", "Any kiosk.")
    assert report.pickup.expires_at.isoformat() == "2026-11-23T07:10:00+00:00"
    assert "1234567890" not in repr(report) + str(report.evidence)


async def test_a_network_that_makes_codes_later_is_pending(make):
    accepted = {"serverCorrelationId": "x", "status": "pending", "notificationMethod": "polling"}
    assert (await make(lambda _: httpx.Response(202, json=accepted)).pay(instruction())).outcome is Outcome.PENDING


async def test_another_operators_code_has_our_own_id_for_reference(make):
    report = await make(lambda _: httpx.Response(201, json=code(metadata=[]))).pay(instruction())
    assert report.provider_ref == uuid4_of(ATTEMPT)


@pytest.mark.parametrize(
    ("withdrawal", "outcome"),
    [
        ({"transactionStatus": "completed", "amount": "1250.00", "currency": "KES"}, Outcome.PAID),
        ({"transactionStatus": "completed", "amount": "1200.00", "currency": "KES"}, Outcome.PAID),
        ({"transactionStatus": "completed", "amount": "1250.00", "currency": "UGX"}, Outcome.UNKNOWN),
        ({"transactionStatus": "completed", "currency": "KES"}, Outcome.UNKNOWN),
        ({"transactionStatus": "pending", "amount": "1250.00", "currency": "KES"}, Outcome.AVAILABLE),
        ({"transactionStatus": "reversed", "amount": "1250.00", "currency": "KES"}, Outcome.RETURNED),
        ({"transactionStatus": "Done", "amount": "1250.00", "currency": "KES"}, Outcome.UNKNOWN),
        ({}, Outcome.UNKNOWN),
    ],
)
async def test_only_the_withdrawal_proves_that_cash_was_given(make, withdrawal, outcome):
    report = await make(network(redeemed(), withdrawal)).status(ref())
    assert report.outcome is outcome
    if outcome is Outcome.PAID:
        assert report.delivered == Money.parse(withdrawal["amount"], KES)


@pytest.mark.parametrize(
    ("shown", "outcome", "fault"),
    [
        (code(codeState="cancelled"), Outcome.FAILED, Fault.RECIPIENT),
        (code(codeState="expired"), Outcome.FAILED, Fault.RECIPIENT),
        (
            code(codeState="cancelled", metadata=[{"key": "reason", "value": "insufficientFunds"}]),
            Outcome.FAILED,
            Fault.FLOAT,
        ),
        (redeemed(codeState="expired"), Outcome.UNKNOWN, None),
        (code(codeState="cancelled", customData=[{"key": "reference", "value": "att_2"}]), Outcome.UNKNOWN, None),
        (redeemed(metadata=[]), Outcome.UNKNOWN, None),
        (redeemed(metadata=[{"key": "transactionReference", "value": "../balance"}]), Outcome.UNKNOWN, None),
        (code(codeState="Parked"), Outcome.UNKNOWN, None),
        (code(codeState=None), Outcome.UNKNOWN, None),
        (code(amount="99.00"), Outcome.UNKNOWN, None),
    ],
)
async def test_a_code_means_what_it_says_if_it_is_ours(make, shown, outcome, fault):
    report = await make(network(shown)).status(ref())
    assert (report.outcome, report.fault) == (outcome, fault)


@pytest.mark.parametrize(
    "link", ["http://elsewhere.example/x", "//elsewhere.example", "/a/../b", "", None, 7, "x", "/a b", "/a?b=c"]
)
async def test_a_link_leads_nowhere_else(make, link):
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(200, json={"link": link})

    with pytest.raises(NotAsked):
        await make(answer).status(ref())
    assert len(asked) == 1


@pytest.mark.parametrize("status", [400, 401, 404, 500])
async def test_a_question_that_fails_is_no_news(make, status):
    with pytest.raises(NotAsked):
        await make(network(code(), status=status)).status(ref())


async def test_a_code_that_nobody_was_told_and_that_has_no_renewal_is_said_so(make):
    report = await make(network(code(authorisationCode="**********"))).status(ref(None))
    assert (report.outcome, report.pickup, report.provider_ref) == (Outcome.AVAILABLE, None, None)
    assert "cancel it" in report.reason
    shown = await make(network(code())).status(ref(None))
    assert (shown.pickup.code, shown.provider_ref) == ("1234567890", "cod_1")


@pytest.mark.parametrize("account", ["0712345678", "+0712345678", "254712345678", "+254 712", "+2547123456789012", "nobody"])
async def test_cash_goes_to_somebody_with_a_phone_number(make, account):
    to = Destination(country="KE", method=Method.CASH, account=account, holder="Wanjiku")
    with pytest.raises(OutsideLimits):
        await make(lambda _: httpx.Response(500)).pay(Instruction(attempt_id=ATTEMPT, deliver=instruction().deliver, to=to))


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"api_key": " "}, "api_key"),
        ({"client_id": "a b"}, "client_id"),
        ({"counters": []}, "counters"),
        ({"counters": [COUNTER | {"step": "0"}]}, "counters"),
        ({"counters": [COUNTER | {"least": "0"}]}, "counters"),
        ({"counters": [COUNTER | {"least": "99"}]}, "counters"),
        ({"counters": [COUNTER | {"most": "50"}]}, "counters"),
        ({"counters": [COUNTER | {"least": "100.005"}]}, "counters"),
        ({"counters": [COUNTER | {"account": "../x"}]}, "counters"),
        ({"code_lifetime_s": 5}, "code_lifetime_s"),
        ({"states": {"active": "maybe"}}, "states"),
        ({"base_url": "ftp://x"}, "base_url"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_wrong_settings_are_named_and_not_shown(make, changes, key):
    with pytest.raises(BadSettings) as refused:
        make(lambda _: httpx.Response(500), **changes)
    assert list(refused.value.problems) == [key]
    assert "k-secret" not in str(refused.value)


async def test_the_words_of_another_operator_are_settings(make):
    adapter = make(network(code(codeState="USED")), states={"USED": "unknown", "VOID": "failed"})
    assert (await adapter.status(ref())).outcome is Outcome.UNKNOWN
    adapter = make(network(code(codeState="VOID")), states={"USED": "unknown", "VOID": "failed"})
    assert (await adapter.status(ref())).outcome is Outcome.FAILED


@pytest.mark.parametrize(
    "document", [{}, {"availableBalance": "x", "currency": "KES"}, {"availableBalance": "1.00", "currency": "UGX"}]
)
async def test_a_balance_that_cant_be_read_is_none(make, document):
    with pytest.raises(NotAsked):
        await make(lambda _: httpx.Response(200, json=document)).balance()
