"""The simulator is as strict as Daraja, and remembers what it has paid."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters.mpesa.simulator import app
from gateway.contract.harness import Inbox, Rail, running
from gateway.money import Asset, Money
from gateway.railsim import Options, Scenario
from tests.unit.adapters.mpesa.merchant import Merchant

KES = Asset("KES", 2)


@pytest.fixture(scope="module")
def rail() -> Iterator[Rail]:
    with running(app(Options(delay_s=0))) as rail:
        yield rail


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    inbox = Inbox()
    yield inbox
    inbox.close()


@pytest.fixture
def merchant(rail: Rail, inbox: Inbox) -> Merchant:
    return Merchant(rail, inbox)


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["errorCode"]


def parameters(result: dict[str, Any]) -> dict[str, Any]:
    return {each["Key"]: each["Value"] for each in result["ResultParameters"]["ResultParameter"]}


@pytest.mark.parametrize(
    ("field_name", "value"),
    [
        ("OriginatorConversationID", None),
        ("OriginatorConversationID", "with space"),
        ("SecurityCredential", "abc"),
        ("CommandID", "BusinessPayToPochi"),
        ("Amount", "10.00"),
        ("Amount", 10),
        ("Amount", "010"),
        ("Amount", "0"),
        ("PartyA", "600000"),
        ("PartyB", "+254712345678"),
        ("PartyB", "0712345678"),
        ("PartyB", "254202345678"),
        ("Remarks", "x"),
        ("Remarks", "x" * 101),
        ("Occassion", ""),
        ("ResultURL", "ftp://example.invalid"),
        ("ResultURL", "https://example.invalid/mpesa/result"),
        ("QueueTimeOutURL", "https://example.invalid/QUERY"),
        ("QueueTimeOutURL", None),
    ],
)
def test_a_field_out_of_form_is_refused_by_name(merchant: Merchant, field_name: str, value: object):
    body = {**merchant.payment(), field_name: value}
    answer = merchant.post("/mpesa/b2c/v3/paymentrequest", body)
    assert code_of(answer) == (400, "400.002.02")
    assert answer.json()["errorMessage"] == f"Bad Request - Invalid {field_name}"


def test_the_acknowledgement_echoes_our_id(merchant: Merchant):
    answer = merchant.pay(OriginatorConversationID="600997_Test_echo")
    assert answer.json()["OriginatorConversationID"] == "600997_Test_echo"
    assert answer.json()["ConversationID"].startswith("AG_20")
    assert (answer.json()["ResponseCode"], answer.json()["ResponseDescription"]) == (
        "0",
        "Accept the service request successfully.",
    )


async def test_a_success_is_called_back_as_documented(merchant: Merchant):
    result = await merchant.outcome(Amount="300")
    assert (result["ResultType"], result["ResultCode"]) == (0, 0)
    told = parameters(result)
    assert told["TransactionAmount"] == 300
    assert told["TransactionReceipt"] == result["TransactionID"]
    assert set(told) == {
        "TransactionAmount", "TransactionReceipt", "ReceiverPartyPublicName", "TransactionCompletedDateTime",
        "B2CUtilityAccountAvailableFunds", "B2CWorkingAccountAvailableFunds", "B2CRecipientIsRegisteredCustomer",
        "B2CChargesPaidAccountAvailableFunds",
    }  # fmt: skip


async def test_the_status_answer_has_the_questions_ids_outside_and_the_payments_inside(merchant: Merchant):
    paid = await merchant.outcome(OriginatorConversationID="600997_Test_status")
    answer = await merchant.status_of("600997_Test_status")
    told = parameters(answer)
    assert answer["ConversationID"] != paid["ConversationID"] == told["ConversationID"]
    assert answer["OriginatorConversationID"] != told["OriginatorConversationID"] == "600997_Test_status"
    assert (told["TransactionStatus"], told["Amount"], told["ReceiptNo"]) == ("Completed", 10.0, paid["TransactionID"])
    assert "ResultParameters" not in await merchant.status_of("never_seen")


def test_a_new_token_kills_the_old_one(merchant: Merchant):
    old, new = merchant.token(), merchant.token()
    for token, expected in ((old, 404), (new, 200)):
        answer = merchant.rail.client.post(
            "/mpesa/b2c/v3/paymentrequest", json=merchant.payment(), headers={"authorization": f"Bearer {token}"}
        )
        assert answer.status_code == expected
    assert code_of(merchant.rail.client.post("/mpesa/b2c/v3/paymentrequest", json={})) == (401, "401.002.01")
    basic = merchant.rail.client.post("/mpesa/b2c/v3/paymentrequest", json={}, auth=("a", "b"))
    assert code_of(basic) == (400, "400.003.01")


def test_a_token_needs_the_right_keys_and_grant(merchant: Merchant):
    get, keys = merchant.rail.client.get, (merchant.settings["consumer_key"], merchant.settings["consumer_secret"])
    path, grant = "/oauth/v1/generate", {"grant_type": "client_credentials"}
    assert code_of(get(path, params=grant)) == (400, "400.008.01")
    assert code_of(get(path, params=grant, auth=(keys[0], "wrong"))) == (400, "400.008.01")
    assert code_of(get(path, params={"grant_type": "password"}, auth=keys)) == (400, "400.008.02")


def test_unknown_addresses_and_methods_have_darajas_codes(merchant: Merchant):
    assert code_of(merchant.post("/mpesa/b2c/v2/paymentrequest", {})) == (404, "404.001.01")
    assert code_of(merchant.rail.client.get("/mpesa/b2c/v3/paymentrequest")) == (405, "405.001")
    no_json = merchant.rail.client.post(
        "/mpesa/b2c/v3/paymentrequest", content=b"Amount=10", headers={"authorization": f"Bearer {merchant.token()}"}
    )
    assert code_of(no_json) == (400, "400.002.02")


def test_a_repeated_id_is_refused_and_pays_once(merchant: Merchant):
    body = merchant.payment()
    assert merchant.post("/mpesa/b2c/v3/paymentrequest", body).status_code == 200
    again = merchant.post("/mpesa/b2c/v3/paymentrequest", body)
    assert code_of(again) == (500, "500.002.1001")
    assert again.json()["errorMessage"] == "Duplicate OriginatorConversationID."
    assert len(merchant.rail.payouts(body["OriginatorConversationID"])) == 1


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"Amount": "9"}, 2),
        ({"Amount": "250001"}, 3),
        ({"InitiatorName": "somebody"}, 2001),
    ],
)
async def test_m_pesas_own_rules_fail_a_payment(merchant: Merchant, changes: dict[str, str], code: int):
    result = await merchant.outcome(**changes)
    assert (result["ResultCode"], "ResultParameters" in result) == (code, False)


async def test_a_wrong_initiator_password_fails_payments_and_questions(merchant: Merchant):
    wrong = merchant.credential("wrong")
    assert (await merchant.outcome(SecurityCredential=wrong))["ResultCode"] == 2001
    foreign = base64.b64encode(b"\x01" * 256).decode()
    assert (await merchant.outcome(SecurityCredential=foreign))["ResultCode"] == 2001


async def test_a_customer_receives_at_most_half_a_million_a_day(merchant: Merchant):
    codes = [(await merchant.outcome(PartyB="254799999999", Amount="250000"))["ResultCode"] for _ in range(3)]
    assert codes == [0, 0, 4]


async def test_the_utility_account_pays_and_runs_dry(merchant: Merchant):
    merchant.rail.hold(Money(25_00, KES))
    codes = [(await merchant.outcome())["ResultCode"] for _ in range(3)]
    assert codes == [0, 0, 1]
    answer = merchant.question(
        "/mpesa/accountbalance/v1/query", "AccountBalance", ResultURL=merchant.inbox.address("bal", "answer")
    )
    assert answer.status_code == 200
    told = parameters(await merchant.result("bal", "answer"))["AccountBalance"]
    assert told == (
        "Working Account|KES|0.00|0.00|0.00|0.00&Utility Account|KES|5.00|5.00|0.00|0.00"
        "&Charges Paid Account|KES|0.00|0.00|0.00|0.00"
    )
    more = merchant.rail.client.post("/_sim/balance", json={"currency": "KES", "amount": "1000000.00"})
    assert more.json() == {"KES": "1000005.00"}
    assert (await merchant.outcome())["ResultCode"] == 0


@pytest.mark.parametrize("code", ["1", "8", "11", "21", "2006", "2028", "2040", "8006", "SFC_IC0003", "17", "4711"])
async def test_every_result_code_can_be_scripted(merchant: Merchant, code: str):
    merchant.rail.script(Scenario.FAILED, code=code)
    assert str((await merchant.outcome())["ResultCode"]) == code


@pytest.mark.parametrize("code", ["500.003.02", "500.003.03", "404.001.03", "400.002.02", "26", "500.001.1001"])
def test_every_gateway_error_can_be_scripted(merchant: Merchant, code: str):
    merchant.rail.script(Scenario.REFUSED, code=code)
    answer = merchant.pay()
    assert answer.status_code >= 400
    assert answer.json()["errorCode"] == code


def test_a_cut_connection_is_cut_without_a_byte(merchant: Merchant):
    merchant.rail.script(Scenario.ANSWER_LOST, match={"id": "600997_cut"})
    assert merchant.pay().status_code == 200
    with pytest.raises(httpx.RemoteProtocolError):
        merchant.pay(OriginatorConversationID="600997_cut")
    assert len(merchant.rail.payouts("600997_cut")) == 1


def test_requests_are_recorded_byte_for_byte(merchant: Merchant):
    body = b'{"PartyB" : "\xc3\xa9\xff"}'
    merchant.rail.client.post("/mpesa/b2c/v3/paymentrequest?a=%20b", content=body)
    last = merchant.rail.requests()[-1]
    assert (last["method"], last["target"]) == ("POST", "/mpesa/b2c/v3/paymentrequest?a=%20b")
    assert last["body"].encode("latin-1") == body


def test_the_certificate_is_served_as_pem(merchant: Merchant):
    assert merchant.rail.client.get("/_sim/certificate").text == merchant.settings["certificate"]


async def test_a_simulator_with_a_file_goes_on_where_it_was_killed(inbox: Inbox, tmp_path: Path):
    options = Options(state=tmp_path / "new" / "mpesa.sqlite", delay_s=3600)
    first = app(options)
    with running(first) as rail:
        merchant = Merchant(rail, inbox)
        answer = merchant.pay(OriginatorConversationID="600997_kept")
        known = merchant.settings
        held = rail.client.get("/_sim/balance").json()
        # The first one is still at it: its file is read as a kill would leave it.
        with running(app(options.model_copy(update={"delay_s": 0}))) as second:
            again = Merchant(second, inbox)
            assert {**again.settings, "base_url": ""} == {**known, "base_url": ""}
            assert (await again.result("600997_kept"))["ConversationID"] == answer.json()["ConversationID"]
            assert code_of(again.pay(OriginatorConversationID="600997_kept")) == (500, "500.002.1001")
            assert second.times_paid("600997_kept") == 1
            assert second.client.get("/_sim/balance").json() != held


def test_options_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    assert Options.from_environment() == Options(state=None, delay_s=0.3)
    monkeypatch.setenv("LASTMILE_SIMULATOR_STATE", str(tmp_path / "x"))
    monkeypatch.setenv("LASTMILE_SIMULATOR_DELAY_S", "0.05")
    assert Options.from_environment() == Options(state=tmp_path / "x", delay_s=0.05)


async def test_a_payment_is_final_only_after_its_delay(merchant: Merchant):
    merchant.rail.script(Scenario.HAPPY, delay_s=3600, match={"id": "600997_slow"})
    merchant.pay(OriginatorConversationID="600997_slow")
    await asyncio.sleep(0)
    (payout,) = merchant.rail.payouts("600997_slow")
    assert (payout["status"], payout["times"]) == ("pending", 0)
