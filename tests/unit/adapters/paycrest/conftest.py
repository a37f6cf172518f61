"""Settings that would work, an order that may be funded, and the legs around it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from adapters.paycrest import Paycrest
from gateway.legs import Leg, LegReport, leg_id
from gateway.money import Asset, Money
from gateway.offramp import AdapterContext, Destination, Instruction, Method, Outcome

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
OURS, THEIRS, TOKEN = "0x" + "aB" * 20, "0x" + "c" * 40, "0x" + "d" * 40
KES, COIN = Asset("KES", 2), Asset("USDC@8453", 6)
TO = Destination(country="KE", method=Method.MOBILE_MONEY, account="+254712345678", holder="Ada", institution="mpesa")
PAYMENT = Instruction(attempt_id="att_1", deliver=Money(1_000_00, KES), to=TO)
ORDER: dict[str, Any] = {
    "id": "order-1",
    "status": "initiated",
    "orderType": "regular",
    "reference": "leg_1_1",
    "amount": "7.736944",
    "rate": "129.25",
    "senderFee": "0",
    "transactionFee": "0.02",
    "providerAccount": {"network": "base", "receiveAddress": THEIRS, "validUntil": "2026-11-22T12:05:00Z"},
    "source": {"type": "crypto", "currency": "USDC", "network": "base", "refundAddress": OURS},
}
FACTS = {"address": THEIRS, "transfer": "7.756944", "valid_until": "2026-11-22T12:05:00+00:00"}
PLACED = LegReport(outcome=Outcome.PAID, provider_ref="order-1", facts=FACTS)
FUNDED = LegReport(outcome=Outcome.PAID, provider_ref="0xhash")


def leg(name: str, **changes: Any) -> Leg:
    number = ("order", "fund", "deliver").index(name) + 1
    done = dict((("order", PLACED), ("fund", FUNDED))[: number - 1])
    return Leg(leg_id=leg_id("att_1", number), name=name, payment=PAYMENT, done=done, **changes)


@pytest.fixture
def settings() -> dict[str, Any]:
    return {
        "base_url": "https://sandbox.invalid/v2",
        "api_key": "key-canary",
        "api_secret": "secret-canary",
        "token_contract": TOKEN,
        "refund_address": OURS,
    }


def make(settings: dict[str, Any], clock: Callable[[], datetime] = lambda: NOW) -> Paycrest:
    context = AdapterContext(
        name="tested", settings=settings, callback_address=lambda *_: "https://us.invalid/c", clock=clock
    )
    return Paycrest(context)
