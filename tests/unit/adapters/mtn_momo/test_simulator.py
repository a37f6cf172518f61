"""The simulator is as strict as MTN, plays the sandbox's numbers, and lets API users be made."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from adapters.mtn_momo.simulator import app
from adapters.mtn_momo.simulator.server import Momo
from gateway.contract.harness import Inbox, Rail, eventually, running
from gateway.money import Asset, Money
from gateway.railsim import Options, Payment, Scenario, Script


@dataclass
class Merchant:
    """Somebody who speaks MTN's protocol by hand: the simulator isn't judged by the adapter that it is made for."""

    rail: Rail
    environment: str = "mtnuganda"
    user: str = ""
    key: str = ""

    def __post_init__(self) -> None:
        settings = self.rail.settings()
        self.product = settings["subscription_key"]
        self.user, self.key = self.user or settings["api_user"], self.key or settings["api_key"]

    def token(self) -> str:
        headers = {"ocp-apim-subscription-key": self.product}
        answer = self.rail.client.post("/disbursement/token/", auth=(self.user, self.key), headers=headers)
        assert (answer.json()["token_type"], answer.json()["expires_in"]) == ("access_token", 3600)
        return answer.json()["access_token"]

    def headers(self, **changes: str) -> dict[str, str]:
        made = {
            "authorization": f"Bearer {self.token()}",
            "ocp-apim-subscription-key": self.product,
            "x-target-environment": self.environment,
            "x-reference-id": str(uuid4()),
            "content-type": "application/json",
        }
        return {key: each for key, each in {**made, **{k.replace("_", "-"): v for k, v in changes.items()}}.items() if each}

    def pay(self, headers: dict[str, str] | None = None, **changes: Any) -> tuple[str, httpx.Response]:
        body = {
            "amount": "500",
            "currency": "EUR" if self.environment == "sandbox" else "UGX",
            "externalId": "947354",
            "payee": {"partyIdType": "MSISDN", "partyId": "256770000001"},
            "payerMessage": "x",
            "payeeNote": "y",
            **changes,
        }
        given = headers or self.headers()
        return given.get("x-reference-id", ""), self.rail.client.post(
            "/disbursement/v1_0/transfer", content=json.dumps(body), headers=given
        )

    def get(self, path: str) -> httpx.Response:
        return self.rail.client.get(f"/disbursement/v1_0/{path}", headers=self.headers())


@pytest.fixture
def merchant(rail: Rail) -> Merchant:
    return Merchant(rail)


@pytest.fixture
def sandbox(rail: Rail) -> Merchant:
    return Merchant(rail, environment="sandbox")


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json().get("code", "")


def test_a_transfer_is_accepted_without_a_body_and_told_as_documented(merchant: Merchant):
    merchant.rail.script(Scenario.CALLBACK_EARLY)
    reference, answer = merchant.pay()
    assert (answer.status_code, answer.content) == (202, b"")
    told = merchant.get(f"transfer/{reference}").json()
    assert told.pop("financialTransactionId").isdecimal()
    assert told == {
        "amount": "500",
        "currency": "UGX",
        "externalId": "947354",
        "payee": {"partyIdType": "MSISDN", "partyId": "256770000001"},
        "status": "SUCCESSFUL",
    }


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"amount": 500}, (400, "BAD_REQUEST")),
        ({"amount": "500.00"}, (400, "BAD_REQUEST")),
        ({"amount": "05"}, (400, "BAD_REQUEST")),
        ({"externalId": None}, (400, "BAD_REQUEST")),
        ({"payee": {"partyIdType": "MSISDN", "partyId": "+256770000001"}}, (400, "BAD_REQUEST")),
        ({"payee": {"partyIdType": "IBAN", "partyId": "256770000001"}}, (400, "BAD_REQUEST")),
        ({"payee": None}, (400, "BAD_REQUEST")),
        ({"payerMessage": "it's"}, (400, "BAD_REQUEST")),
        ({"payeeNote": "x" * 161}, (400, "BAD_REQUEST")),
        ({"currency": "EUR"}, (500, "INVALID_CURRENCY")),
    ],
)
def test_a_field_out_of_form_is_refused(merchant: Merchant, changes: dict[str, Any], expected: tuple[int, str]):
    assert code_of(merchant.pay(**changes)[1]) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"x_reference_id": "947354"}, (400, "BAD_REQUEST")),
        ({"x_reference_id": "d4b1f0a2-5c7e-1b6f-9a31-0c2d3e4f5a6b"}, (400, "BAD_REQUEST")),
        ({"x_reference_id": ""}, (400, "BAD_REQUEST")),
        ({"content_type": "text/plain"}, (400, "BAD_REQUEST")),
        ({"x_callback_url": "ftp://example.org/x"}, (400, "BAD_REQUEST")),
        ({"x_target_environment": "mtnkenya"}, (500, "NOT_ALLOWED_TARGET_ENVIRONMENT")),
        ({"x_target_environment": ""}, (500, "NOT_ALLOWED_TARGET_ENVIRONMENT")),
        ({"ocp_apim_subscription_key": "wrong"}, (401, "")),
        ({"authorization": "Bearer wrong"}, (401, "")),
        ({"authorization": ""}, (401, "")),
    ],
)
def test_a_header_out_of_form_is_refused(merchant: Merchant, changes: dict[str, str], expected: tuple[int, str]):
    assert code_of(merchant.pay(merchant.headers(**changes))[1]) == expected


def test_another_products_key_opens_nothing(merchant: Merchant, rail: Rail):
    other = "collection-key"
    answer = rail.client.post(
        "/disbursement/token/", auth=(merchant.user, merchant.key), headers={"ocp-apim-subscription-key": other}
    )
    assert (answer.status_code, answer.json()["statusCode"]) == (401, 401)
    wrong = rail.client.post(
        "/disbursement/token/", auth=(merchant.user, "wrong"), headers={"ocp-apim-subscription-key": merchant.product}
    )
    assert (wrong.status_code, wrong.json()) == (401, {"error": "login_failed"})


def test_a_reference_id_pays_once_and_an_external_id_as_often_as_it_is_sent(merchant: Merchant, rail: Rail):
    rail.script(Scenario.CALLBACK_EARLY, times=2)
    headers = merchant.headers()
    reference, _ = merchant.pay(headers)
    assert code_of(merchant.pay(headers)[1]) == (409, "RESOURCE_ALREADY_EXIST")
    other, answer = merchant.pay()
    assert answer.status_code == 202
    assert [rail.times_paid(each) for each in (reference, other)] == [1, 1]
    assert code_of(merchant.get(f"transfer/{uuid4()}")) == (404, "RESOURCE_NOT_FOUND")
    assert merchant.get("nothing").json() == {"statusCode": 404, "message": "Resource not found"}


@pytest.mark.parametrize(
    ("last", "status", "code"),
    [
        (450, "FAILED", "INTERNAL_PROCESSING_ERROR"),
        (451, "FAILED", "APPROVAL_REJECTED"),
        (452, "FAILED", "EXPIRED"),
        (455, "FAILED", "NOT_ENOUGH_FUNDS"),
        (456, "FAILED", "PAYER_LIMIT_REACHED"),
        (457, "FAILED", "PAYEE_NOT_FOUND"),
        (458, "FAILED", "NOT_ALLOWED"),
        (464, "FAILED", "TRANSFER_TYPE_UNKNOWN"),
        (465, "SUCCESSFUL", None),
    ],
)
async def test_the_sandboxs_numbers_end_as_documented(sandbox: Merchant, last: int, status: str, code: str | None):
    reference, answer = sandbox.pay(payee={"partyIdType": "MSISDN", "partyId": f"46733123{last}"})
    assert answer.status_code == 202
    told = await eventually(lambda: _final(sandbox, reference), what="the end")
    assert (told["status"], told.get("reason", {}).get("code")) == (status, code)


def _final(merchant: Merchant, reference: str) -> dict[str, Any] | None:
    told = merchant.get(f"transfer/{reference}").json()
    return told if told["status"] != "PENDING" else None


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        (459, (500, "NOT_ALLOWED_TARGET_ENVIRONMENT")),
        (460, (500, "INVALID_CALLBACK_URL_HOST")),
        (461, (500, "INVALID_CURRENCY")),
        (462, (500, "INTERNAL_PROCESSING_ERROR")),
        (463, (503, "SERVICE_UNAVAILABLE")),
    ],
)
def test_the_sandboxs_numbers_are_refused_as_documented(sandbox: Merchant, last: int, expected: tuple[int, str]):
    reference, answer = sandbox.pay(payee={"partyIdType": "MSISDN", "partyId": f"46733123{last}"})
    assert code_of(answer) == expected
    assert code_of(sandbox.get(f"transfer/{reference}")) == (404, "RESOURCE_NOT_FOUND")


def test_the_sandboxs_ongoing_number_stays_pending_and_the_delayed_one_does_not(sandbox: Merchant):
    ongoing, _ = sandbox.pay(payee={"partyIdType": "MSISDN", "partyId": "46733123453"})
    delayed, _ = sandbox.pay(payee={"partyIdType": "MSISDN", "partyId": "46733123454"})
    told = [[sandbox.get(f"transfer/{each}").json()["status"] for each in (ongoing, delayed)] for _ in range(3)]
    assert told == [["PENDING", "PENDING"], ["PENDING", "PENDING"], ["PENDING", "SUCCESSFUL"]]


def test_the_sandboxs_numbers_answer_questions_as_documented(sandbox: Merchant):
    def active(last: int) -> tuple[int, Any]:
        answer = sandbox.get(f"accountholder/msisdn/46733123{last}/active")
        return answer.status_code, answer.json().get("code", answer.json().get("result"))

    assert {last: active(last) for last in range(450, 457)} == {
        450: (404, "RESOURCE_NOT_FOUND"),
        451: (200, False),
        452: (500, "NOT_ALLOWED"),
        453: (500, "NOT_ALLOWED_TARGET_ENVIRONMENT"),
        454: (500, "INTERNAL_PROCESSING_ERROR"),
        455: (503, "SERVICE_UNAVAILABLE"),
        456: (200, True),
    }
    told = sandbox.get("accountholder/msisdn/46733123456/basicuserinfo").json()
    assert set(told) == {"given_name", "family_name", "birthdate", "locale", "gender"}


async def test_an_api_user_is_made_as_in_the_sandbox_and_called_back_at_its_host_only(merchant: Merchant, rail: Rail):
    key, user = {"ocp-apim-subscription-key": merchant.product}, str(uuid4())
    made = rail.client.post(
        "/v1_0/apiuser", headers={**key, "x-reference-id": user}, json={"providerCallbackHost": "pay.example.org"}
    )
    assert (made.status_code, made.content) == (201, b"")
    again = rail.client.post(
        "/v1_0/apiuser", headers={**key, "x-reference-id": user}, json={"providerCallbackHost": "pay.example.org"}
    )
    assert code_of(again) == (409, "RESOURCE_ALREADY_EXIST")
    given = rail.client.post(f"/v1_0/apiuser/{user}/apikey", headers=key)
    assert given.status_code == 201
    shown = rail.client.get(f"/v1_0/apiuser/{user}", headers=key).json()
    assert shown == {"providerCallbackHost": "pay.example.org", "targetEnvironment": "sandbox"}
    mine = Merchant(rail, environment="sandbox", user=user, key=given.json()["apiKey"])
    foreign = mine.headers(x_callback_url="https://evil.example.org/callbacks/1")
    assert code_of(mine.pay(foreign)[1]) == (500, "INVALID_CALLBACK_URL_HOST")
    own = mine.headers(x_callback_url="https://pay.example.org/callbacks/1")
    assert mine.pay(own)[1].status_code == 202
    elsewhere = Merchant(rail, user=user, key=given.json()["apiKey"])
    assert code_of(elsewhere.pay()[1]) == (500, "NOT_ALLOWED_TARGET_ENVIRONMENT")


@pytest.mark.parametrize(
    ("reference", "body", "expected"),
    [
        ("no uuid", {"providerCallbackHost": "a.example.org"}, (400, "BAD_REQUEST")),
        ("", {}, (400, "BAD_REQUEST")),
        ("", {"providerCallbackHost": "https://a.example.org/x"}, (400, "BAD_REQUEST")),
    ],
)
def test_an_api_user_needs_a_uuid_and_a_host(
    merchant: Merchant, reference: str, body: dict[str, str], expected: tuple[int, str]
):
    headers = {"ocp-apim-subscription-key": merchant.product, "x-reference-id": reference or str(uuid4())}
    assert code_of(merchant.rail.client.post("/v1_0/apiuser", headers=headers, json=body)) == expected
    nobody = merchant.rail.client.post(f"/v1_0/apiuser/{uuid4()}/apikey", headers=headers)
    assert code_of(nobody) == (404, "RESOURCE_NOT_FOUND")


def test_the_balance_is_of_the_environments_currency(merchant: Merchant, rail: Rail):
    merchant.environment = "mtnguineaconakry"
    rail.hold(Money(777, Asset("GNF", 0)))
    expected = {"availableBalance": "777", "currency": "GNF"}
    assert [merchant.get(path).json() for path in ("account/balance", "account/balance/GNF")] == [expected, expected]
    assert code_of(merchant.get("account/balance/EUR")) == (500, "INVALID_CURRENCY")


@pytest.mark.parametrize("code", ["PAYEE_NOT_FOUND", "EXPIRED", "INTERNAL_PROCESSING_ERROR", "NEW_WORD"])
async def test_every_reason_can_be_scripted(merchant: Merchant, rail: Rail, code: str):
    rail.script(Scenario.FAILED, code=code)
    reference, _ = merchant.pay()
    told = await eventually(lambda: _final(merchant, reference), what="the end")
    assert told["reason"]["code"] == code


def test_callbacks_go_out_by_put_or_by_post_and_only_if_asked_for():
    momo = Momo(app(Options()).desk)
    payment = Payment(
        id="",
        account="+256770000001",
        amount="500",
        currency="UGX",
        receipt="1",
        at=momo.desk.clock(),
        script=Script(scenarios=[]),
        rail={"external_id": "att_1", "party": "256770000001", "party_type": "MSISDN", "callback_url": "https://x.invalid"},
    )
    told = [momo.callback(payment.model_copy(update={"id": each})) for each in ("0a", "0b")]
    assert [each and each.method for each in told] == ["POST", "PUT"]
    quiet = payment.model_copy(update={"id": "0a", "rail": {**payment.rail, "callback_url": ""}})
    assert momo.callback(quiet) is None


async def test_a_simulator_with_a_file_goes_on_where_it_was_killed(inbox: Inbox, tmp_path: Path):
    options = Options(state=tmp_path / "mtn.sqlite", delay_s=3600)
    with running(app(options)) as first:
        merchant = Merchant(first)
        headers = merchant.headers(x_callback_url=inbox.address("kept", "result"))
        reference, _ = merchant.pay(headers)
        known = first.settings()
        # The first one is still at it: its file is read as a kill would leave it.
        with running(app(options.model_copy(update={"delay_s": 0}))) as second:
            assert {**second.settings(), "base_url": ""} == {**known, "base_url": ""}
            (told,) = await eventually(lambda: inbox.of("kept"), what="the callback")
            assert json.loads(told.body)["status"] == "SUCCESSFUL"
            again = Merchant(second).headers(x_reference_id=reference)
            assert code_of(Merchant(second).pay(again)[1]) == (409, "RESOURCE_ALREADY_EXIST")
            assert second.times_paid(reference) == 1
