"""Against the simulator: what is signed and sent when, and how a payment on Stellar becomes certain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import pytest
from stellar_sdk import Keypair

from adapters.sep24 import Sep24
from adapters.sep24 import adapter as module
from adapters.sep24.simulator import app
from adapters.sep24.stellar import signed_payment
from adapters.sep24.verdict import order_of
from adapters.sep24.wire import refund_memo
from gateway.clock import system_clock
from gateway.contract.harness import Rail, running
from gateway.legs import Leg, LegReport, leg_id
from gateway.money import Money
from gateway.offramp import Fault, Instruction, NotSent, OfframpError, Outcome, OutsideLimits
from gateway.railkit.http import Answer, NoAnswer
from gateway.railsim import Options, Scenario

from .conftest import COIN, NAMES, PAYMENT, make

_numbers = count(1)
Call = Callable[..., Any]


@pytest.fixture(scope="module")
def rail() -> Iterator[Rail]:
    with running(app(Options(delay_s=0))) as rail:
        yield rail


@pytest.fixture
async def adapter(rail: Rail) -> AsyncIterator[Sep24]:
    rail.forget_scripts()
    made = make(rail.settings(), clock=system_clock)
    yield made
    await made.close()


@pytest.fixture
def payment() -> Instruction:
    number = next(_numbers)
    return replace(PAYMENT, attempt_id=f"att_F{number}", to=replace(PAYMENT.to, account=f"+2547{number:08}"))


def at(payment: Instruction, name: str, done: Mapping[str, LegReport]) -> Leg:
    return Leg(leg_id=leg_id(payment.attempt_id, NAMES.index(name) + 1), name=name, payment=payment, done=dict(done))


async def made_until(adapter: Sep24, payment: Instruction, last: str) -> dict[str, LegReport]:
    """The legs up to this one, each of them made at once."""
    done: dict[str, LegReport] = {}
    for name in NAMES[: NAMES.index(last) + 1]:
        done[name] = await adapter.pay_leg(at(payment, name, done))
        assert done[name].outcome is Outcome.PAID, done[name]
    return done


async def outcome(adapter: Sep24, leg: Leg, *wanted: Outcome) -> LegReport:
    for _ in range(50):
        report = await adapter.leg_status(leg)
        if report.outcome in wanted:
            return report
        await asyncio.sleep(0.01)
    raise AssertionError(report)


def paths(rail: Rail, since: int = 0) -> list[str]:
    return [f"{each['method']} {each['target'].partition('?')[0]}" for each in rail.requests()[since:]]


def instead(adapter: Sep24, monkeypatch: pytest.MonkeyPatch, answer: Callable[[str, str, Call], Any]) -> None:
    """Let `answer` decide about each request: by the true call, or in its place."""
    call = adapter._http.call

    async def changed(method: str, target: str, **request: Any) -> Answer:
        async def true() -> Answer:
            return await call(method, target, **request)

        result: Answer = await answer(method, target, true)
        return result

    monkeypatch.setattr(adapter._http, "call", changed)


# -- the whole way -------------------------------------------------------------------------------------------------------


async def test_cash_is_ordered_paid_for_shown_and_taken(rail: Rail, adapter: Sep24, payment: Instruction):
    (before,) = await adapter.balance()
    done = await made_until(adapter, payment, "pay")
    (after,) = await adapter.balance()
    assert before - after == Money.parse(done["quote"].facts["sell"], COIN)
    deliver = at(payment, "deliver", done)
    assert (await adapter.pay_leg(deliver)).outcome is Outcome.PENDING
    waiting = await outcome(adapter, deliver, Outcome.AVAILABLE)
    assert waiting.pickup is not None
    assert rail.times_paid(refund_memo(payment.attempt_id)) == 0
    rail.client.post("/_sim/collect", json={"code": waiting.pickup.code}).raise_for_status()
    paid = await outcome(adapter, deliver, Outcome.PAID)
    assert (paid.got, paid.receipt) == (payment.deliver, waiting.pickup.code)
    assert rail.client.post("/_sim/collect", json={"code": waiting.pickup.code}).status_code == 404


async def test_nobody_takes_another_amount(rail: Rail, adapter: Sep24, payment: Instruction):
    deliver = at(payment, "deliver", await made_until(adapter, payment, "pay"))
    waiting = await outcome(adapter, deliver, Outcome.AVAILABLE)
    assert waiting.pickup is not None
    for amount in ("999.99", "1000.01", "0", "x"):
        refused = rail.client.post("/_sim/collect", json={"code": waiting.pickup.code, "amount": amount})
        assert refused.status_code == 409
    assert rail.times_paid(refund_memo(payment.attempt_id)) == 0


async def test_coins_of_a_refund_are_back_on_our_account(rail: Rail, adapter: Sep24, payment: Instruction):
    rail.script(Scenario.FAILED)
    before = await adapter.balance()
    deliver = at(payment, "deliver", await made_until(adapter, payment, "pay"))
    report = await outcome(adapter, deliver, Outcome.FAILED)
    assert (report.fault, await adapter.balance()) == (Fault.TRANSIENT, before)


async def test_what_cannot_be_paid_is_refused_before_any_request(rail: Rail, adapter: Sep24, payment: Instruction):
    since = len(rail.requests())
    places = [replace(payment.to, account="0712345678"), replace(payment.to, holder="  "), replace(payment.to, country="AQ")]
    amounts = [Money(units, payment.deliver.asset) for units in (99_00, 100_001_00, 1_000_50)]
    others = [replace(payment, to=each) for each in places] + [replace(payment, deliver=each) for each in amounts]
    for other in others:
        with pytest.raises(OutsideLimits):
            await adapter.pay_leg(at(other, "quote", {}))
    assert paths(rail, since) == []


# -- the person at the page ----------------------------------------------------------------------------------------------


async def test_a_person_is_sent_to_the_anchors_page_and_the_payment_waits(rail: Rail, payment: Instruction):
    adapter = make({**rail.settings(), "opens_page": False}, clock=system_clock)
    since = len(rail.requests())
    done = await made_until(adapter, payment, "open")
    ready = at(payment, "ready", done)
    waits = await adapter.pay_leg(ready)
    page = waits.evidence["interactive_url"]
    assert (waits.outcome, "on_change_callback=https%3A%2F%2Fus.invalid" in page) == (Outcome.PENDING, True)
    assert not [each for each in paths(rail, since) if "/page/" in each]
    rail.client.post(page.partition("?")[0]).raise_for_status()
    assert (await adapter.leg_status(ready)).outcome is Outcome.PAID
    await adapter.close()


async def test_somebody_without_a_last_name_has_to_go_to_the_page(adapter: Sep24, payment: Instruction):
    payment = replace(payment, to=replace(payment.to, holder="Wanjiku"))
    done = await made_until(adapter, payment, "open")
    assert (await adapter.pay_leg(at(payment, "ready", done))).outcome is Outcome.PENDING


async def test_an_order_whose_answer_was_lost_is_found_by_its_quote(
    adapter: Sep24, payment: Instruction, monkeypatch: pytest.MonkeyPatch
):
    await made_until(adapter, replace(payment, attempt_id=f"{payment.attempt_id}x"), "open")  # of the same customer
    done = await made_until(adapter, payment, "quote")
    leg = at(payment, "open", done)
    assert (await adapter.leg_status(leg)).outcome is Outcome.UNKNOWN

    async def lost(_method: str, target: str, true: Call) -> Answer:
        answer: Answer = await true()
        if target.endswith("/interactive"):
            raise NoAnswer("lost")
        return answer

    with monkeypatch.context() as patch:
        instead(adapter, patch, lost)
        assert (await adapter.pay_leg(leg)).outcome is Outcome.UNKNOWN
    found = await adapter.leg_status(leg)
    assert (found.outcome, found.provider_ref is None) == (Outcome.PAID, False)


async def test_an_order_that_was_never_opened_ends_with_its_quote(adapter: Sep24, payment: Instruction):
    leg = at(payment, "open", await made_until(adapter, payment, "quote"))
    adapter._clock = lambda: system_clock() + timedelta(hours=1)
    report = await adapter.leg_status(leg)
    assert (report.outcome, report.fault) == (Outcome.FAILED, Fault.TRANSIENT)


async def test_an_answer_about_another_transaction_is_no_answer(
    adapter: Sep24, payment: Instruction, monkeypatch: pytest.MonkeyPatch
):
    done = await made_until(adapter, payment, "open")

    async def another(_method: str, target: str, true: Call) -> Answer:
        answer: Answer = await true()
        id_ = str(done["open"].provider_ref).encode()
        return answer._replace(body=answer.body.replace(id_, b"another")) if "/transaction?" in target else answer

    instead(adapter, monkeypatch, another)
    with pytest.raises(OfframpError):
        await adapter.leg_status(at(payment, "ready", done))


async def test_one_customers_orders_are_not_shown_to_another(adapter: Sep24, payment: Instruction):
    done = await made_until(adapter, payment, "open")
    other = replace(payment, to=replace(payment.to, account="+254799999999"))
    assert (await adapter.pay_leg(at(other, "ready", done))).outcome is Outcome.UNKNOWN
    assert adapter._anchor.customer(payment.to.account) == adapter._anchor.customer(payment.to.account)
    assert adapter._anchor.customer(payment.to.account) != adapter._anchor.customer(other.to.account)


# -- the payment on Stellar ----------------------------------------------------------------------------------------------


async def test_a_payment_that_is_there_is_never_made_again(rail: Rail, adapter: Sep24, payment: Instruction):
    done = await made_until(adapter, payment, "ready")
    leg = at(payment, "pay", done)
    first, since = await adapter.pay_leg(leg), len(rail.requests())
    again = await adapter.pay_leg(leg)
    assert (again.outcome, again.provider_ref) == (Outcome.PAID, first.provider_ref)
    assert "POST /horizon/transactions" not in paths(rail, since)


async def test_without_an_answer_about_earlier_payments_nothing_is_sent(
    rail: Rail, adapter: Sep24, payment: Instruction, monkeypatch: pytest.MonkeyPatch
):
    leg = at(payment, "pay", await made_until(adapter, payment, "ready"))
    bodies = [b"{}", b"", b'{"_embedded":{"records":{}}}', b'{"_embedded":{}}']
    since = len(rail.requests())

    async def answer(_method: str, target: str, true: Call) -> Answer:
        return Answer(200, {}, bodies[-1]) if "/payments" in target else await true()

    with monkeypatch.context() as patch:
        instead(adapter, patch, answer)
        while bodies:
            with pytest.raises(NotSent):
                await adapter.pay_leg(leg)
            bodies.pop()
    assert "POST /horizon/transactions" not in paths(rail, since)


async def test_payments_without_their_memos_are_no_answer(
    adapter: Sep24, payment: Instruction, monkeypatch: pytest.MonkeyPatch
):
    leg = at(payment, "pay", await made_until(adapter, payment, "ready"))
    await adapter.pay_leg(leg)

    async def unjoined(_method: str, target: str, true: Call) -> Answer:
        answer: Answer = await true()
        return answer._replace(body=answer.body.replace(b'"transaction":', b'"other":')) if "/payments" in target else answer

    instead(adapter, monkeypatch, unjoined)
    with pytest.raises(OfframpError):
        await adapter.leg_status(leg)
    with pytest.raises(NotSent):
        await adapter.pay_leg(leg)


async def test_too_few_coins_are_seen_before_anything_is_sent(rail: Rail, adapter: Sep24, payment: Instruction):
    leg = at(payment, "pay", await made_until(adapter, payment, "ready"))
    held = Money.parse(rail.balances()["USDC@stellar"], COIN)
    rail.hold(order_of(leg, COIN).amount - Money(1, COIN))
    since = len(rail.requests())
    with pytest.raises(NotSent) as refused:
        await adapter.pay_leg(leg)
    rail.hold(held)
    assert refused.value.fault is Fault.FLOAT
    assert "POST /horizon/transactions" not in paths(rail, since)


async def test_after_its_end_nothing_is_sent(rail: Rail, adapter: Sep24, payment: Instruction):
    leg = at(payment, "pay", await made_until(adapter, payment, "ready"))
    since = len(rail.requests())
    adapter._clock = lambda: system_clock() + timedelta(minutes=6)
    report = await adapter.pay_leg(leg)
    assert (report.outcome, report.fault) == (Outcome.FAILED, Fault.TRANSIENT)
    assert "POST /horizon/transactions" not in paths(rail, since)


async def test_a_payment_that_was_never_applied_fails_once_the_network_is_past_its_end(
    rail: Rail, adapter: Sep24, payment: Instruction, monkeypatch: pytest.MonkeyPatch
):
    rail.script(Scenario.CUT_BEFORE_ACCEPT)
    leg = at(payment, "pay", await made_until(adapter, payment, "ready"))
    assert (await adapter.pay_leg(leg)).outcome is Outcome.UNKNOWN
    assert (await adapter.leg_status(leg)).outcome is Outcome.UNKNOWN

    async def past(closed_at: datetime) -> LegReport:
        async def told() -> datetime:
            return closed_at

        monkeypatch.setattr(adapter._horizon, "closed_at", told)
        return await adapter.leg_status(leg)

    ends = order_of(leg, COIN).pay_by - system_clock().timestamp()
    assert (await past(system_clock() + timedelta(seconds=ends + 50))).outcome is Outcome.UNKNOWN
    void = await past(system_clock() + timedelta(seconds=ends + 62))
    assert (void.outcome, void.fault) == (Outcome.FAILED, Fault.TRANSIENT)


async def test_a_payment_that_is_there_counts_however_late_it_is_asked_about(
    adapter: Sep24, payment: Instruction, monkeypatch: pytest.MonkeyPatch
):
    leg = at(payment, "pay", await made_until(adapter, payment, "ready"))
    await adapter.pay_leg(leg)

    async def much_later() -> datetime:
        return system_clock() + timedelta(days=1)

    monkeypatch.setattr(adapter._horizon, "closed_at", much_later)
    assert (await adapter.leg_status(leg)).outcome is Outcome.PAID


@pytest.mark.parametrize("change", [{"amount": Money(1, COIN)}, {"opened_at": system_clock() + timedelta(hours=2)}])
async def test_another_payment_with_the_same_memo_is_a_matter_for_a_person(
    rail: Rail, adapter: Sep24, payment: Instruction, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
):
    leg = at(payment, "pay", await made_until(adapter, payment, "pay"))
    order = order_of(leg, COIN)._replace(**change)
    monkeypatch.setattr(module.verdict, "order_of", lambda *_: order)
    since = len(rail.requests())
    for report in (await adapter.pay_leg(leg), await adapter.leg_status(leg)):
        assert report.outcome is Outcome.UNKNOWN
    assert "POST /horizon/transactions" not in paths(rail, since)


async def test_another_transaction_with_our_number_proves_that_ours_was_not_applied(
    adapter: Sep24, payment: Instruction, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "LEDGER_S", 0)
    leg = at(payment, "pay", await made_until(adapter, payment, "ready"))
    sequence, held = await adapter._horizon.account()
    foreign = signed_payment(order_of(leg, COIN)._replace(memo="1"), sequence=sequence, settings=adapter._settings)

    async def first_another() -> tuple[int, Money]:
        await adapter._horizon.submit(foreign.envelope)
        return sequence, held

    with monkeypatch.context() as patch:
        patch.setattr(adapter._horizon, "account", first_another)
        with pytest.raises(NotSent) as refused:
            await adapter.pay_leg(leg)
    assert refused.value.fault is Fault.TRANSIENT
    assert (await adapter.pay_leg(leg)).outcome is Outcome.PAID


async def test_a_used_number_without_its_transaction_stays_unknown(
    rail: Rail, adapter: Sep24, payment: Instruction, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "LEDGER_S", 0)
    rail.script(Scenario.DUPLICATE_ANSWER)
    leg = at(payment, "pay", await made_until(adapter, payment, "ready"))

    async def nobody(_sequence: int) -> None:
        return None

    monkeypatch.setattr(adapter._horizon, "used_by", nobody)
    assert (await adapter.pay_leg(leg)).outcome is Outcome.UNKNOWN
    assert (await adapter.leg_status(leg)).outcome is Outcome.PAID


async def test_payments_at_the_same_time_get_numbers_of_their_own(adapter: Sep24, payment: Instruction):
    others = [replace(payment, attempt_id=f"{payment.attempt_id}x{number}") for number in range(3)]
    legs = [at(each, "pay", await made_until(adapter, each, "ready")) for each in others]
    reports = await asyncio.gather(*(adapter.pay_leg(each) for each in legs))
    assert [each.outcome for each in reports] == [Outcome.PAID] * 3
    assert len({each.provider_ref for each in reports}) == 3


# -- discovery -----------------------------------------------------------------------------------------------------------


async def test_an_anchor_with_another_key_gets_nothing_signed(rail: Rail, payment: Instruction):
    adapter = make({**rail.settings(), "signing_key": Keypair.random().public_key}, clock=system_clock)
    since = len(rail.requests())
    with pytest.raises(NotSent) as refused:
        await adapter.pay_leg(at(payment, "quote", {}))
    assert refused.value.fault is Fault.RAIL
    assert paths(rail, since) == ["GET /.well-known/stellar.toml"]
    await adapter.close()


async def test_another_network_gets_nothing_signed(rail: Rail, payment: Instruction):
    adapter = make({**rail.settings(), "network_passphrase": "Another Network"}, clock=system_clock)
    since = len(rail.requests())
    with pytest.raises(NotSent) as refused:
        await adapter.pay_leg(at(payment, "quote", {}))
    assert refused.value.fault is Fault.RAIL
    assert paths(rail, since) == ["GET /.well-known/stellar.toml"]
    await adapter.close()


@pytest.mark.parametrize(
    "line",
    [
        'WEB_AUTH_ENDPOINT = "http://anchor.invalid/auth"',
        'WEB_AUTH_ENDPOINT = "ftp://anchor.invalid/auth"',
        'WEB_AUTH_ENDPOINT = "https://user@anchor.invalid/auth"',
        "WEB_AUTH_ENDPOINT = 5",
        "",
        "=",
    ],
)
async def test_a_stellar_toml_with_no_good_addresses_is_not_followed(line: str, monkeypatch: pytest.MonkeyPatch):
    adapter = make()
    others = [f'{name} = "https://anchor.invalid/x"\n' for name in ("TRANSFER_SERVER_SEP0024", "ANCHOR_QUOTE_SERVER")]
    toml = f'SIGNING_KEY = "{adapter._settings.signing_key}"\n{"".join(others)}{line}\n'
    seen = []

    async def answer(_method: str, target: str, _true: Call) -> Answer:
        seen.append(target)
        return Answer(200, {}, toml.encode())

    instead(adapter, monkeypatch, answer)
    with pytest.raises(NotSent):
        await adapter.pay_leg(at(PAYMENT, "quote", {}))
    assert seen == ["https://anchor.invalid/.well-known/stellar.toml"]
    await adapter.close()


async def test_servers_and_token_are_asked_for_once(rail: Rail, adapter: Sep24, payment: Instruction):
    since = len(rail.requests())
    await made_until(adapter, payment, "ready")
    seen = paths(rail, since)
    assert [seen.count(each) for each in ("GET /.well-known/stellar.toml", "GET /auth", "POST /auth")] == [1, 1, 1]


async def test_a_token_that_dies_is_renewed_once_for_the_same_order(rail: Rail, adapter: Sep24, payment: Instruction):
    rail.script(Scenario.TOKEN_EXPIRED)
    since = len(rail.requests())
    done = await made_until(adapter, payment, "open")
    seen = paths(rail, since)
    assert (seen.count("POST /auth"), seen.count("POST /sep24/transactions/withdraw/interactive")) == (2, 2)
    rail.script(Scenario.TOKEN_EXPIRED, times=2)
    assert done["open"].outcome is Outcome.PAID
    with pytest.raises(NotSent) as refused:
        await adapter.pay_leg(at(payment, "open", done))
    assert refused.value.fault is Fault.RAIL
