"""The Airtel adapter against its simulator, in what the contract doesn't ask; and its settings."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from adapters.airtel import Airtel
from adapters.airtel.places import PLACES, msisdn
from adapters.airtel.settings import AirtelSettings, public_key
from adapters.airtel.simulator import app
from gateway.clock import system_clock
from gateway.contract.harness import running
from gateway.money import Money
from gateway.offramp import (
    AdapterContext,
    AttemptRef,
    BadSettings,
    CallbackRequest,
    Destination,
    Fault,
    ForgedCallback,
    Instruction,
    Method,
    NotSent,
    Outcome,
)
from gateway.payouts.calls import pay
from gateway.railkit.http import NotAsked
from gateway.railsim import Options, Scenario

ATTEMPT = "att_01JD0000000000000000000001"
ZMW = PLACES["ZM"].asset
KEY = generate_private_key(public_exponent=65537, key_size=1024)
PUBLIC = KEY.public_key()
SHOWN = base64.b64encode(PUBLIC.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()
GOOD = {
    "base_url": "http://127.0.0.1:9",
    "client_id": "id",
    "client_secret": "secret",
    "pin": "1234",
    "public_key": SHOWN,
}


@pytest.fixture(scope="module")
def rail():
    with running(app(Options(delay_s=0))) as rail:
        yield rail


def make(settings, clock=system_clock):
    return Airtel(AdapterContext(name="a", settings=settings, callback_address=lambda *_: "", clock=clock))


def order(number, *, attempt=ATTEMPT, country="ZM", amount=10):
    place = PLACES[country]
    to = Destination(country=country, method=Method.MOBILE_MONEY, account=number, holder="Mary Phiri", institution="airtel")
    return Instruction(attempt_id=attempt, deliver=Money(amount * 10**place.asset.decimals, place.asset), to=to)


async def test_what_is_paid_at_once_is_told_at_once(rail):
    adapter = make(rail.settings())
    rail.script(Scenario.CALLBACK_EARLY)
    report = await adapter.pay(order("+260971234501"))
    assert (report.outcome, report.delivered) == (Outcome.PAID, Money(10_00, ZMW))
    await adapter.close()


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [("pin", "0000", "DP00900001013"), ("client_secret", "wrong", "no access token"), ("countries", ["TZ"], "ROUTER110")],
)
async def test_a_mistake_of_ours_stops_the_rail(rail, key, value, reason):
    settings = rail.settings()
    wrong = "1111" if settings["pin"] == value else value
    adapter = make({**settings, key: wrong})
    instruction = order("+260971234502", attempt="att_01JD0000000000000000000002")
    if key == "countries":
        instruction = order("+255751234502", country="TZ", amount=1_000, attempt="att_01JD0000000000000000000002")
    report = await pay(adapter, instruction)
    assert (report.outcome, report.fault) == (Outcome.FAILED, Fault.RAIL)
    assert reason in (report.reason or "")
    assert rail.payouts("att01JD0000000000000000000002") == []
    await adapter.close()


async def test_a_token_that_is_refused_again_proves_that_nothing_was_taken(rail):
    adapter = make(rail.settings())
    rail.script(Scenario.TOKEN_EXPIRED, times=2)
    with pytest.raises(NotSent):
        await adapter.pay(order("+260971234503", attempt="att_01JD0000000000000000000003"))
    before = len(rail.requests())
    assert (await adapter.pay(order("+260971234503", attempt="att_01JD0000000000000000000003"))).outcome is Outcome.PENDING
    assert len(rail.requests()) > before
    await adapter.close()


async def test_a_refused_question_says_nothing_of_the_payment(rail):
    adapter = make(rail.settings())
    attempt = "att_01JD0000000000000000000004"
    rail.script(Scenario.QUESTION_FAILS, code="DP00900001013")
    await adapter.pay(order("+260971234504", attempt=attempt))
    ref = AttemptRef(attempt_id=attempt, provider_ref=None, deliver=Money(10_00, ZMW), sent_at=system_clock())
    assert (await adapter.status(ref)).outcome is Outcome.UNKNOWN
    other = AttemptRef(attempt_id=attempt, provider_ref=None, deliver=Money(1, PLACES["TZ"].asset), sent_at=system_clock())
    with pytest.raises(NotAsked):
        await adapter.status(other)
    await adapter.close()


async def test_nobody_is_looked_up_in_a_country_that_is_not_ours(rail):
    adapter = make({**rail.settings(), "countries": ["ZM"]})
    with pytest.raises(NotAsked):
        await adapter.look_up(order("+254712345678", country="KE").to)
    await adapter.close()


def test_the_pin_is_opened_by_the_portals_key_only():
    encrypted = make(GOOD)._encrypted_pin()
    assert KEY.decrypt(base64.b64decode(encrypted), PKCS1v15()) == b"1234"
    assert make(GOOD)._encrypted_pin() != encrypted


def test_the_portals_key_is_read_in_every_form(tmp_path):
    pem = PUBLIC.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    file = tmp_path / "airtel.pem"
    file.write_text(pem)
    folded = "\n".join(SHOWN[i : i + 64] for i in range(0, len(SHOWN), 64))
    for text in (SHOWN, folded, pem, str(file)):
        assert public_key(text).public_numbers() == PUBLIC.public_numbers()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("base_url", "ftp://x"),
        ("client_id", " "),
        ("client_secret", ""),
        ("pin", "12345"),
        ("pin", "١٢٣٤"),
        ("public_key", "nowhere.pem"),
        ("public_key", "AAAA"),
        ("countries", []),
        ("countries", ["XX"]),
        ("countries", ["TD", "GA"]),
        ("limits", {"ZM": [5, 4]}),
        ("limits", {"XX": [1, 2]}),
        ("disbursement_path", "standard?x"),
        ("wallet_type", "normal wallet"),
        ("unheard_of", 1),
    ],
)
def test_a_wrong_setting_is_named_and_not_repeated(key, value):
    with pytest.raises(BadSettings) as refused:
        AirtelSettings.read({**GOOD, key: value})
    assert set(refused.value.problems) == {key}
    assert str(value) not in str(refused.value) or value in ("", " ", [])


def test_limits_and_paths_are_the_operators():
    adapter = make({**GOOD, "countries": ["UG"], "limits": {"UG": [1_000, 2_000]}})
    (corridor,) = adapter.capabilities.corridors
    assert (corridor.least.decimal(), corridor.most.decimal(), corridor.step.decimal()) == ("1000", "2000", "1")
    assert [each.code for each in corridor.institutions] == ["airtel"]


async def test_version_three_names_the_kind_of_wallet(rail):
    adapter = make({**rail.settings(), "wallet_type": "NORMAL", "disbursement_path": "/standard/v3/disbursements/"})
    await adapter.pay(order("+260971234505", attempt="att_01JD0000000000000000000005"))
    sent = rail.requests()[-1]
    assert sent["target"] == "/standard/v3/disbursements/"
    assert json.loads(sent["body"])["payee"] == {"currency": "ZMW", "msisdn": "971234505", "wallet_type": "NORMAL"}
    await adapter.close()


@pytest.mark.parametrize("account", ["+26097123456", "+2609712345678", "260971234567", "+254971234567", "+260071234567", ""])
def test_a_number_of_another_form_is_none(account):
    assert msisdn(account, country="ZM") is None


def test_without_the_setting_airtel_calls_no_address():
    adapter = make(GOOD)
    assert adapter.webhooks == {}
    body = json.dumps({"transaction": {"id": ATTEMPT.replace("_", ""), "status_code": "TS"}}).encode()
    now = datetime(2026, 11, 23, tzinfo=UTC)
    request = CallbackRequest(attempt_id=ATTEMPT, label="webhook", headers={}, body=body, received_at=now)
    with pytest.raises(ForgedCallback):
        adapter.read_callback(request)
    called = make({**GOOD, "calls_back": True}).read_callback(request)
    assert (called.proof, called.report.outcome) == (False, Outcome.UNKNOWN)
