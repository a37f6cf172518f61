"""Stripe's objects and events, drawn from what the desk knows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from stripe import WebhookSignature

from adapters.stripe_connect.currencies import to_wire
from gateway.money import Money
from gateway.railsim import Movement, Payment, Scenario, State

HOLDER, OTHER_HOLDER = "Achieng Otieno", "Somebody Else"
PAYOUT_STATUS: Mapping[State, str] = {
    State.PENDING: "pending",
    State.PAID: "paid",
    State.FAILED: "failed",
    State.RETURNED: "failed",
}
OUTBOUND_STATUS: Mapping[State, str] = {
    State.PENDING: "processing",
    State.PAID: "posted",
    State.FAILED: "failed",
    State.RETURNED: "returned",
}
CANCELED = "canceled"
"""The code of a payment that was cancelled."""
CLOSED, CLOSED_V2 = "account_closed", "payout_method_closed"
"""Why a payment comes back if its script doesn't say."""
MOVEMENTS: Mapping[str, str] = {"payout": "transfer", "return": "transfer_refund", "top_up": "topup"}


def transfer(kept: Mapping[str, Any]) -> dict[str, Any]:
    """A transfer: what is kept of it, and its reversals."""
    reversals = kept["reversals"]
    undone = sum(each["amount"] for each in reversals)
    return {
        "id": kept["id"],
        "object": "transfer",
        "amount": kept["amount"],
        "amount_reversed": undone,
        "balance_transaction": f"txn_{kept['id'][3:]}",
        "created": kept["created"],
        "currency": kept["currency"],
        "description": None,
        "destination": kept["destination"],
        "destination_payment": f"py_{kept['id'][3:]}",
        "livemode": False,
        "metadata": kept["metadata"],
        "reversals": page(reversals, more=False, url=f"/v1/transfers/{kept['id']}/reversals"),
        "reversed": undone == kept["amount"],
        "source_transaction": None,
        "source_type": "card",
        "transfer_group": kept["transfer_group"],
    }


def page(objects: Sequence[Mapping[str, Any]], *, more: bool, url: str) -> dict[str, Any]:
    """A page of a list of v1."""
    return {"object": "list", "data": list(objects), "has_more": more, "url": url}


def payout(payment: Payment, *, amount: Money) -> dict[str, Any]:
    """A payout on a connected account. That it was paid once, a failed one doesn't say."""
    rail, script = payment.rail, payment.script
    status = CANCELED if payment.code == CANCELED else PAYOUT_STATUS[payment.status]
    failed = status == "failed"
    code = payment.code or script.code or CLOSED
    ended = status in ("paid", "failed", CANCELED)
    if Scenario.UNLISTED_STATUS in script:
        status = script.status
    return {
        "id": rail["payout"],
        "object": "payout",
        "amount": to_wire(amount),
        "arrival_date": int((payment.at + timedelta(days=2)).timestamp()),
        "automatic": False,
        "balance_transaction": f"txn_{rail['payout'][3:]}",
        "created": int(rail["payout_created"]),
        "currency": payment.currency.lower(),
        "description": None,
        "destination": rail["external"],
        "failure_balance_transaction": f"txn_back_{rail['payout'][3:]}" if failed or status == CANCELED else None,
        "failure_code": code if failed else None,
        "failure_message": "The simulator says why." if failed else None,
        "livemode": False,
        "metadata": json.loads(rail["metadata"]),
        "method": rail["method"],
        "original_payout": None,
        "reconciliation_status": "not_applicable",
        "reversed_by": None,
        "source_type": "card",
        "statement_descriptor": rail.get("descriptor"),
        "status": status,
        "trace_id": {"status": "supported", "value": payment.receipt} if ended else {"status": "pending", "value": None},
        "type": "card" if rail["external"].startswith("card_") else "bank_account",
    }


def outbound(payment: Payment, *, amount: Money) -> dict[str, Any]:
    """An outbound payment of v2."""
    rail, script, currency = payment.rail, payment.script, payment.currency.lower()
    status = CANCELED if payment.code == CANCELED else OUTBOUND_STATUS[payment.status]
    ordered = {"value": to_wire(Money.parse(payment.amount, amount.asset)), "currency": currency}
    reason = payment.code or script.code or CLOSED_V2
    details = {status: {"reason": reason}} if status in ("failed", "returned") else {}
    times: dict[str, str | None] = {f"{name}_at": None for name in (CANCELED, "failed", "posted", "returned")}
    if payment.final_at is not None:
        times[f"{status}_at"] = rfc3339(payment.final_at)
    if Scenario.UNLISTED_STATUS in script:
        status = script.status
    return {
        "id": rail["payout"],
        "object": "v2.money_management.outbound_payment",
        "amount": ordered,
        "cancelable": status == "processing",
        "created": rfc3339(payment.at),
        "description": None,
        "expected_arrival_date": rfc3339(payment.at + timedelta(days=1)),
        "from": {"financial_account": rail["financial_account"], "debited": ordered},
        "livemode": False,
        "metadata": json.loads(rail["metadata"]),
        "recipient_notification": {"setting": "none"},
        "statement_descriptor": rail.get("descriptor") or "STRIPE",
        "status": status,
        "status_details": details or None,
        "status_transitions": times,
        "to": {
            "recipient": rail["account"],
            "payout_method": rail["external"],
            "credited": {"value": to_wire(amount), "currency": currency},
        },
        "tracking_details": {
            "type": "bank_account",
            "status": "supported",
            "bank_account": {"trace_id": payment.receipt},
        },
    }


def transaction(movement: Movement, *, source: Mapping[str, Any] | None, amount: Money) -> dict[str, Any]:
    """A balance transaction of the platform."""
    units = to_wire(amount)
    net = -units if movement.leaves else units
    return {
        "id": f"txn_{movement.number:024}",
        "object": "balance_transaction",
        "amount": net,
        "available_on": int(movement.at.timestamp()),
        "created": int(movement.at.timestamp()),
        "currency": movement.currency.lower(),
        "description": None,
        "exchange_rate": None,
        "fee": 0,
        "fee_details": [],
        "net": net,
        "reporting_category": MOVEMENTS[movement.kind],
        "source": source,
        "status": "available",
        "type": MOVEMENTS[movement.kind],
    }


def snapshot_event(about: Mapping[str, Any], *, account: str, number: str, now: datetime) -> dict[str, Any]:
    """A snapshot event of v1 about a payout on a connected account."""
    return {
        "id": f"evt_{number}",
        "object": "event",
        "account": account,
        "api_version": "2026-10-28.endive",
        "created": int(now.timestamp()),
        "data": {"object": dict(about)},
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "type": f"payout.{about['status']}",
    }


def thin_event(payment: Payment, *, word: str, key: str | None, now: datetime) -> dict[str, Any]:
    """A thin event of v2: ids only. `key` is the idempotency key of the request that caused it, if one did."""
    prefix = "v2.money_management.outbound_payment"
    event = {
        "id": f"evt_test_{payment.rail['payout'][4:]}{word}",
        "object": "v2.core.event",
        "created": rfc3339(now),
        "livemode": False,
        "related_object": {
            "id": payment.rail["payout"],
            "type": prefix,
            "url": f"/v2/money_management/outbound_payments/{payment.rail['payout']}",
        },
        "type": f"{prefix}.{word}",
    }
    if key is not None:
        event["reason"] = {"type": "request", "request": {"id": "req_v2simulated", "idempotency_key": key}}
    return event


def signature(body: bytes, *, secret: str, at: datetime) -> str:
    """Stripe-Signature, made by the official client."""
    return str(WebhookSignature.generate_signature_header(body.decode(), secret, timestamp=int(at.timestamp())))


def rfc3339(at: datetime) -> str:
    """A time of v2, in milliseconds."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03}Z"
