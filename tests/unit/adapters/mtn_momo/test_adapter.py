"""What the adapter makes of MTN's answers over time: failures held, ids not found, names, balance, doorbells."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from importlib.metadata import entry_points
from typing import Any

import pytest

from adapters.mtn_momo import MtnMomo
from adapters.mtn_momo.adapter import NotAnswered
from adapters.mtn_momo.places import TARGETS
from gateway.contract.harness import Inbox, Rail, eventually
from gateway.ids import new_id
from gateway.money import Asset, Money
from gateway.offramp import (
    AttemptRef,
    BadSettings,
    CallbackRequest,
    Destination,
    Fault,
    ForgedCallback,
    HoldsBalance,
    Instruction,
    LooksUpNames,
    Method,
    NotSent,
    OfframpError,
    Outcome,
    OutsideLimits,
    Resend,
)
from gateway.railkit.http import Answer
from gateway.railkit.keys import uuid4_of
from gateway.railsim import Scenario
from tests.unit.adapters.mtn_momo.conftest import NOW, Make

UGX = Asset("UGX", 0)
NUMBERS = {
    "BJ": "+2290197000001", "CM": "+237670000001", "CG": "+242060000001", "GH": "+233540000001", "GN": "+224660000001",
    "CI": "+2250500000001", "LR": "+231880000001", "NG": "+2348030000001", "RW": "+250780000001", "ZA": "+27830000001",
    "SS": "+211920000001", "SZ": "+26876000001", "UG": "+256770000001", "ZM": "+260960000001", "SE": "+46733120001",
}  # fmt: skip


def to(account: str = "+256770000001", country: str = "UG") -> Destination:
    return Destination(
        country=country, method=Method.MOBILE_MONEY, account=account, holder="Amina Okello", institution="mtn"
    )


def instruction(deliver: Money = Money(500, UGX), **changes: Any) -> Instruction:  # noqa: B008 - frozen
    return Instruction(attempt_id=new_id("att", now=NOW), deliver=deliver, to=to(**changes))


def asked(paid: Instruction, sent_at: datetime = NOW) -> AttemptRef:
    return AttemptRef(attempt_id=paid.attempt_id, provider_ref=None, deliver=paid.deliver, sent_at=sent_at)


@pytest.mark.parametrize("code", ["INTERNAL_PROCESSING_ERROR", "COULD_NOT_PERFORM_TRANSACTION", "SERVICE_UNAVAILABLE"])
async def test_mtns_own_failure_counts_only_when_told_again_after_the_delay(
    adapter: MtnMomo, rail: Rail, now: list[datetime], code: str
):
    rail.script(Scenario.FAILED, Scenario.CALLBACK_EARLY, code=code)
    paid = instruction()
    await adapter.pay(paid)
    outcomes = []
    for seconds in (0, 1, 899, 900):
        now[0] = NOW + timedelta(seconds=seconds)
        outcomes.append((await adapter.status(asked(paid))).outcome)
    assert outcomes == [Outcome.UNKNOWN, Outcome.UNKNOWN, Outcome.UNKNOWN, Outcome.FAILED]


async def test_the_delay_begins_at_the_first_question_not_at_the_payment(adapter: MtnMomo, rail: Rail, now: list[datetime]):
    rail.script(Scenario.FAILED, Scenario.CALLBACK_EARLY, code="INTERNAL_PROCESSING_ERROR")
    paid = instruction()
    await adapter.pay(paid)
    now[0] = NOW + timedelta(days=1)
    assert (await adapter.status(asked(paid))).outcome is Outcome.UNKNOWN


async def test_any_other_news_in_between_begins_the_delay_anew(adapter: MtnMomo, now: list[datetime]):
    told = [
        ({"status": "FAILED", "reason": "INTERNAL_PROCESSING_ERROR"}, 0),
        ({"status": "PENDING"}, 899),
        ({"status": "FAILED", "reason": "INTERNAL_PROCESSING_ERROR"}, 900),
    ]
    outcomes = []
    for document, seconds in told:
        now[0] = NOW + timedelta(seconds=seconds)
        outcomes.append((await _status(adapter, document)).outcome)
    assert outcomes == [Outcome.UNKNOWN, Outcome.PENDING, Outcome.UNKNOWN]


async def test_a_failure_of_the_recipients_is_believed_at_once(adapter: MtnMomo):
    report = await _status(adapter, {"status": "FAILED", "reason": "PAYEE_NOT_FOUND"})
    assert (report.outcome, report.fault) == (Outcome.FAILED, Fault.RECIPIENT)


async def test_an_unknown_reference_id_never_means_failed_by_default(adapter: MtnMomo, now: list[datetime]):
    now[0] = NOW + timedelta(days=400)
    assert (await adapter.status(asked(instruction()))).outcome is Outcome.UNKNOWN


async def test_an_unknown_reference_id_has_failed_only_after_the_operators_delay(make: Make, now: list[datetime]):
    adapter, paid = make(not_found_fails_after_s=7200), instruction()
    now[0] = NOW + timedelta(seconds=7199)
    assert (await adapter.status(asked(paid))).outcome is Outcome.UNKNOWN
    now[0] = NOW + timedelta(seconds=7200)
    assert (await adapter.status(asked(paid))).outcome is Outcome.FAILED


async def test_not_found_without_mtns_own_word_says_nothing(make: Make, rail: Rail, now: list[datetime]):
    adapter = make(not_found_fails_after_s=7200, base_url=f"{rail.url}/wrong")
    now[0] = NOW + timedelta(days=2)
    adapter._momo._tokens._token, adapter._momo._tokens._renew_at = "any", now[0] + timedelta(days=1)
    with pytest.raises(NotAnswered, match="HTTP 404"):
        await adapter.status(asked(instruction()))


async def test_one_attempt_has_one_reference_id_for_ever(adapter: MtnMomo, rail: Rail):
    paid = instruction()
    rail.script(Scenario.CALLBACK_EARLY)
    await adapter.pay(paid)
    again = await adapter.pay(paid)
    assert again.outcome is Outcome.UNKNOWN
    ids = {dict(each["headers"])["x-reference-id"] for each in rail.requests()[-2:]}
    assert ids == {uuid4_of(paid.attempt_id)}
    assert rail.times_paid(uuid4_of(paid.attempt_id)) == 1


@pytest.mark.parametrize(
    "account", ["+254712345678", "256770000001", "+25677000000", "+2567700000012", "+25677000000١", "+256770000001\n", ""]
)
async def test_a_number_of_another_country_is_outside_the_limits(adapter: MtnMomo, rail: Rail, account: str):
    before = len(rail.requests())
    for call in (adapter.pay(instruction(account=account)), adapter.look_up(to(account))):
        with pytest.raises(OutsideLimits, match="number of UG"):
            await call
    assert len(rail.requests()) == before


async def test_without_callbacks_none_is_asked_for(make: Make, rail: Rail, inbox: Inbox):
    adapter, paid = make(call_back=False), instruction()
    rail.script(Scenario.CALLBACK_EARLY)
    await adapter.pay(paid)
    assert "x-callback-url" not in dict(rail.requests()[-1]["headers"])
    assert (await adapter.status(asked(paid))).outcome is Outcome.PAID
    assert inbox.deliveries == []


async def test_a_callback_by_put_or_by_post_only_rings(adapter: MtnMomo, inbox: Inbox):
    paid = instruction()
    await adapter.pay(paid)
    (told,) = await eventually(lambda: inbox.of(paid.attempt_id), what="a callback")
    read = adapter.read_callback(told)
    assert (read.proof, read.report.outcome, read.report.delivered) == (False, Outcome.PAID, paid.deliver)


@pytest.mark.parametrize("name", list(TARGETS))
async def test_amounts_are_written_exactly_in_every_country(make: Make, rail: Rail, name: str):
    adapter = make(target_environment=name, call_back=False)
    (corridor,) = adapter.capabilities.corridors
    account = NUMBERS[corridor.country]
    for deliver, written in ((corridor.least, TARGETS[name].least), (corridor.most, TARGETS[name].most)):
        paid = instruction(deliver, account=account, country=corridor.country)
        rail.script(Scenario.CALLBACK_EARLY)  # so that it is final at once
        await adapter.pay(paid)
        body = json.loads(rail.requests()[-1]["body"])
        assert (body["amount"], body["currency"]) == (written, corridor.asset.code)
        assert body["payee"] == {"partyIdType": "MSISDN", "partyId": account[1:]}
        assert (await adapter.status(asked(paid))).delivered == deliver


def _arrived(body: bytes, label: str = "result") -> CallbackRequest:
    return CallbackRequest(attempt_id="att_1", label=label, headers={}, body=body, received_at=NOW)


@pytest.mark.parametrize(
    "document", [{"status": "SUCCESSFUL"}, {"externalId": "att_2", "status": "SUCCESSFUL"}, {"externalId": "att_1"}, []]
)
def test_a_callback_that_does_not_name_its_attempt_and_a_status_is_refused(adapter: MtnMomo, document: object):
    with pytest.raises(ForgedCallback):
        adapter.read_callback(_arrived(json.dumps(document).encode()))


def test_a_callback_of_mtns_own_failure_is_not_believed_either(adapter: MtnMomo):
    document = {"externalId": "att_1", "status": "FAILED", "reason": "INTERNAL_PROCESSING_ERROR"}
    assert adapter.read_callback(_arrived(json.dumps(document).encode())).report.outcome is Outcome.UNKNOWN


async def test_the_balance_is_our_currencys_or_none(make: Make, rail: Rail):
    rail.hold(Money(12_345_67, Asset("SSP", 2)))
    adapter = make(target_environment="mtnsouthsudan")
    assert await adapter.balance() == (Money(12_345_67, Asset("SSP", 2)),)
    for document in ({"availableBalance": "-5", "currency": "SSP"}, {"availableBalance": "5", "currency": "KES"}, {}, []):
        with pytest.raises(NotAnswered):
            await _answering(adapter, document).balance()


async def test_a_holder_has_a_name_where_mtn_tells_one(make: Make):
    adapter = make(target_environment="sandbox")
    found = {}
    for last in (449, 450, 451):
        found[last] = await adapter.look_up(to(f"+46733123{last}", "SE"))
    assert (found[449].name is None, found[449].can_receive) == (False, True)
    assert [(found[each].name, found[each].can_receive) for each in (450, 451)] == [(None, False), (None, False)]
    for last in (452, 453, 454, 455):
        with pytest.raises(NotAnswered):
            await adapter.look_up(to(f"+46733123{last}", "SE"))


async def test_a_country_that_tells_no_names_still_says_who_can_receive(adapter: MtnMomo):
    answers = [(200, {"result": True}), (403, {"code": "NOT_ALLOWED"})]
    holder = await _answering(adapter, *answers).look_up(to())
    assert (holder.name, holder.can_receive) == (None, True)
    with pytest.raises(NotAnswered):
        await _answering(adapter, (200, {"result": "true"})).look_up(to())


async def test_a_question_that_does_not_arrive_is_never_taken_for_an_unsent_payment(make: Make):
    adapter = make(base_url="http://127.0.0.1:9")
    for call in (adapter.status(asked(instruction())), adapter.balance(), adapter.look_up(to())):
        with pytest.raises(OfframpError) as refused:
            await call
        assert not isinstance(refused.value, NotSent)


async def test_the_settings_reach_the_capabilities(make: Make):
    capabilities = make(resend_within_s=60, settles_within_s=120, answer_within_s=5).capabilities
    assert (capabilities.name, capabilities.resend) == ("uganda", Resend.DEDUPED)
    assert capabilities.resend_within == timedelta(seconds=60)
    assert capabilities.settles_within == timedelta(seconds=120)
    assert capabilities.answer_within == timedelta(seconds=5)
    (corridor,) = capabilities.corridors
    assert (corridor.country, corridor.asset, [each.code for each in corridor.institutions]) == ("UG", UGX, ["mtn"])


def test_wrong_settings_are_refused_when_the_adapter_is_made(make: Make):
    with pytest.raises(BadSettings):
        make(target_environment="mtnkenya")


def test_the_core_sees_what_it_can_do(adapter: MtnMomo):
    assert isinstance(adapter, HoldsBalance)
    assert isinstance(adapter, LooksUpNames)
    assert entry_points(group="lastmile.adapters")["mtn_momo"].load() is MtnMomo
    assert callable(entry_points(group="lastmile.simulators")["mtn_momo"].load())


def _answering(adapter: MtnMomo, *answers: Any) -> MtnMomo:
    """The adapter with MTN's next answers made up: (HTTP status, document), or a document with HTTP 200."""
    waiting = [each if isinstance(each, tuple) else (200, each) for each in answers]

    async def call(_method: str, _path: str, **_request: Any) -> Answer:
        status, document = waiting.pop(0)
        return Answer(status, {}, json.dumps(document).encode())

    adapter._momo.call = call  # type: ignore[method-assign]
    return adapter


async def _status(adapter: MtnMomo, document: dict[str, Any]) -> Any:
    reference = replace(asked(instruction()), attempt_id="att_1")
    return await _answering(adapter, {"externalId": "att_1", **document}).status(reference)


async def test_only_so_many_failures_are_remembered_and_a_forgotten_one_is_held_for_longer(
    adapter: MtnMomo, now: list[datetime], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("adapters.mtn_momo.adapter.HELD_MOST", 1)
    failed = {"status": "FAILED", "reason": "INTERNAL_PROCESSING_ERROR"}
    outcomes = []
    for attempt_id, seconds in (("att_1", 0), ("att_2", 1), ("att_1", 900), ("att_1", 1800)):
        now[0] = NOW + timedelta(seconds=seconds)
        asking = replace(asked(instruction()), attempt_id=attempt_id)
        document = {**failed, "externalId": attempt_id}
        outcomes.append((await _answering(adapter, document).status(asking)).outcome)
    assert outcomes == [Outcome.UNKNOWN, Outcome.UNKNOWN, Outcome.UNKNOWN, Outcome.FAILED]
