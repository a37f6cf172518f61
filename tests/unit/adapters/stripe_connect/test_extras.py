"""Balance, look-up and statement."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from adapters.stripe_connect.client import Declined
from gateway.offramp import Destination, LineKind, Method, OutsideLimits
from gateway.railkit.http import Answer, NoAnswer, RailHttp

SINCE = datetime(2026, 11, 1, tzinfo=UTC)


def bank(account: str) -> Destination:
    return Destination(country="US", method=Method.BANK, account=account, holder="Canary Holder")


def answers(monkeypatch: pytest.MonkeyPatch, *documents: object) -> None:
    """What Stripe says from now on, the last for ever."""
    left = [json.dumps(each).encode() for each in documents]

    async def answer(*_: Any, **__: Any) -> Answer:
        return Answer(200, {}, left.pop(0) if len(left) > 1 else left[0])

    monkeypatch.setattr(RailHttp, "call", answer)


async def test_the_balance_is_of_the_currencies_that_we_pay(world: Any) -> None:
    adapter = world.adapter(bank={"US": {}, "JP": {}}, card={})
    assert [str(each).partition(" ")[2] for each in await adapter.balance()] == ["USD", "JPY"]


async def test_an_account_on_an_automatic_schedule_cannot_be_paid(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = world.adapter()
    assert (await adapter.look_up(bank("acct_1Looked/ba_1Looked"))).can_receive is True
    account = {"id": "acct_1", "payouts_enabled": True, "settings": {"payouts": {"schedule": {"interval": "daily"}}}}
    external = {"id": "ba_1", "available_payout_methods": ["standard"], "status": "new"}
    answers(monkeypatch, account, external)
    assert (await adapter.look_up(bank("acct_1Looked/ba_1Looked"))).can_receive is False


@pytest.mark.parametrize("external", [{"status": "errored"}, {"available_payout_methods": []}])
async def test_a_bank_account_that_does_not_work_cannot_be_paid(
    world: Any, monkeypatch: pytest.MonkeyPatch, external: dict[str, Any]
) -> None:
    adapter = world.adapter()
    account = {"id": "acct_1", "payouts_enabled": True, "settings": {"payouts": {"schedule": {"interval": "manual"}}}}
    answers(monkeypatch, account, {"id": "ba_1", "available_payout_methods": ["standard"], "status": "new", **external})
    assert (await adapter.look_up(bank("acct_1Looked/ba_1Looked"))).can_receive is False


async def test_a_look_up_that_we_may_not_make_is_no_answer(world: Any) -> None:
    with pytest.raises(Declined):
        await world.adapter(secret_key="sk_wrong").look_up(bank("acct_1Looked/ba_1Looked"))
    with pytest.raises(OutsideLimits):
        await world.adapter().look_up(bank("+254700000000"))


async def test_a_statement_has_every_line_and_its_attempt(world: Any) -> None:
    adapter, order = world.adapter(), world.order()
    await adapter.pay(order)
    await world.ask(adapter, order, until="paid")
    world.rail.client.post("/_sim/balance", json={"currency": "USD", "amount": "7.00"}).raise_for_status()
    world.app.state.stripe.page_most = 2
    now = world.now()
    lines = await adapter.statement(since=now - timedelta(hours=1), until=now + timedelta(seconds=5))
    (ours,) = [each for each in lines if each.attempt_id == order.attempt_id]
    assert (ours.kind, ours.amount, ours.leaves, ours.provider_ref and ours.provider_ref[:3]) == (
        LineKind.PAYOUT,
        order.deliver,
        True,
        "tr_",
    )
    assert [str(each.amount) for each in lines if each.kind is LineKind.TOP_UP] == ["7.00 USD"]


@pytest.mark.parametrize(
    ("kind", "units", "read", "leaves"),
    [
        ("transfer", -100, LineKind.PAYOUT, True),
        ("transfer", 100, LineKind.OTHER, False),
        ("transfer_refund", 100, LineKind.RETURN, False),
        ("stripe_fee", -100, LineKind.FEE, True),
        ("stripe_fee", 100, LineKind.OTHER, False),
        ("charge", 100, LineKind.OTHER, False),
        ("tomorrows", -100, LineKind.OTHER, True),
    ],
)
async def test_a_line_is_what_its_type_and_its_direction_say(
    world: Any, monkeypatch: pytest.MonkeyPatch, kind: str, units: int, read: LineKind, *, leaves: bool
) -> None:
    line = {"id": "txn_1", "created": int(SINCE.timestamp()), "currency": "usd", "amount": units, "type": kind}
    adapter = world.adapter()
    answers(monkeypatch, {"object": "list", "url": "/v1/balance_transactions", "has_more": False, "data": [line]})
    (told,) = await adapter.statement(since=SINCE, until=SINCE + timedelta(days=1))
    assert (told.kind, told.leaves, str(told.amount)) == (read, leaves, "1.00 USD")


@pytest.mark.parametrize(
    "wrong", [{"created": None}, {"currency": "ugx", "amount": 150}, {"amount": "1"}, {"currency": None}, {"id": 7}]
)
async def test_a_statement_with_a_line_that_cannot_be_read_is_none(
    world: Any, monkeypatch: pytest.MonkeyPatch, wrong: dict[str, Any]
) -> None:
    line = {"id": "txn_1", "created": int(SINCE.timestamp()), "currency": "usd", "amount": 1, "type": "x", **wrong}
    adapter = world.adapter()
    answers(monkeypatch, {"object": "list", "url": "/v1/balance_transactions", "has_more": False, "data": [line]})
    with pytest.raises(NoAnswer):
        await adapter.statement(since=SINCE, until=SINCE + timedelta(days=1))
