"""Settings that would work, the keys on both sides, and the legs of one payment."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from stellar_sdk import Keypair, Network

from adapters.sep24 import Sep24
from adapters.sep24.settings import Sep24Settings
from gateway.legs import Leg, LegReport, leg_id
from gateway.money import Asset, Money
from gateway.offramp import AdapterContext, Destination, Instruction, Method, Outcome

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
KES, COIN = Asset("KES", 2), Asset("USDC@stellar", 7)
OURS, SIGNING, ANCHOR, ISSUER = (Keypair.from_raw_ed25519_seed(bytes([number]) * 32) for number in (1, 2, 3, 4))
TO = Destination(country="KE", method=Method.CASH, account="+254712345678", holder="Wanjiku Canary-Holder")
PAYMENT = Instruction(attempt_id="att_1", deliver=Money(1_000_00, KES), to=TO)
ADDRESS = "https://us.invalid:8443/callbacks/0a"
SETTINGS: dict[str, Any] = {
    "base_url": "https://anchor.invalid",
    "horizon_url": "https://horizon.invalid",
    "network_passphrase": Network.TESTNET_NETWORK_PASSPHRASE,
    "secret_key": OURS.secret,
    "signing_key": SIGNING.public_key,
    "asset_issuer": ISSUER.public_key,
    "places": [{"country": "KE", "currency": "KES", "least": "100", "most": "100000", "step": "1"}],
}
READ = Sep24Settings.read(SETTINGS)
QUOTE: dict[str, Any] = {
    "id": "quote-1",
    "expires_at": "2026-11-23T12:30:00Z",
    "sell_asset": f"stellar:USDC:{ISSUER.public_key}",
    "sell_amount": "8.2369440",
    "buy_asset": "iso4217:KES",
    "buy_amount": "1000.00",
}
ORDER: dict[str, Any] = {
    "id": "tx-1",
    "kind": "withdrawal",
    "status": "pending_user_transfer_start",
    "quote_id": "quote-1",
    "amount_in": "8.236944",
    "amount_in_asset": f"stellar:USDC:{ISSUER.public_key}",
    "amount_out": "1000",
    "amount_out_asset": "iso4217:KES",
    "from": OURS.public_key,
    "withdraw_anchor_account": ANCHOR.public_key,
    "withdraw_memo": "186384",
    "withdraw_memo_type": "id",
    "user_action_required_by": "2026-11-23T12:20:00Z",
    "more_info_url": "https://anchor.invalid/tx/1",
}
PAY_BY = int(NOW.timestamp()) + 300
DONE = {
    "quote": LegReport(
        outcome=Outcome.PAID,
        provider_ref="quote-1",
        facts={"quote": "quote-1", "sell": "8.2369440", "expires_at": "2026-11-23T12:30:00+00:00"},
    ),
    "open": LegReport(
        outcome=Outcome.PAID,
        provider_ref="tx-1",
        facts={"opened_at": NOW.isoformat()},
        evidence={"interactive_url": "https://anchor.invalid/page?on_change_callback=x"},
    ),
    "ready": LegReport(
        outcome=Outcome.PAID,
        provider_ref="tx-1",
        facts={
            "anchor_account": ANCHOR.public_key,
            "memo": "186384",
            "memo_type": "id",
            "amount": "8.2369440",
            "pay_by": str(PAY_BY),
        },
    ),
    "pay": LegReport(outcome=Outcome.PAID, provider_ref="ab" * 32),
}
NAMES = ("quote", "open", "ready", "pay", "deliver")


def leg(name: str, **changes: Any) -> Leg:
    number = NAMES.index(name)
    done = {each: DONE[each] for each in NAMES[:number]}
    return Leg(leg_id=leg_id("att_1", number + 1), name=name, payment=PAYMENT, done=done, **changes)


def make(settings: dict[str, Any] | None = None, clock: Callable[[], datetime] = lambda: NOW) -> Sep24:
    context = AdapterContext(name="tested", settings=settings or SETTINGS, callback_address=lambda *_: ADDRESS, clock=clock)
    return Sep24(context)


@pytest.fixture
def settings() -> dict[str, Any]:
    return dict(SETTINGS)
