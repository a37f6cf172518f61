"""Events count only as far as Stripe's signature over every byte, its time, and their own facts go."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from adapters.stripe_connect.settings import StripeSettings
from adapters.stripe_connect.webhooks import Webhooks
from gateway.offramp import RAILS_OWN, CallbackRequest, ForgedCallback, Outcome

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
SECRET, OLD_SECRET = "whsec_new", "whsec_old"
ATTEMPT = "att_01BX5ZZKBKACTAV9WEVGEMMVS0"


def webhooks(*secrets: str) -> Webhooks:
    return Webhooks(StripeSettings.read({"secret_key": "sk", "webhook_secrets": secrets or [SECRET]}))


def payout(**changes: Any) -> dict[str, Any]:
    return {
        "id": "po_1",
        "object": "payout",
        "amount": 1250,
        "currency": "usd",
        "status": "paid",
        "destination": "ba_1",
        "metadata": {"lastmile_attempt": ATTEMPT, "lastmile_payee": "ba_1"},
        "trace_id": {"status": "supported", "value": "091000019"},
        **changes,
    }


def event(about: Any = None, *, kind: str = "payout.paid") -> dict[str, Any]:
    return {"id": "evt_1", "object": "event", "type": kind, "data": {"object": payout() if about is None else about}}


def signed(body: bytes, *, at: datetime = NOW, secret: str = SECRET) -> str:
    """By the scheme as documented (docs.stripe.com/webhooks/signature), without the client."""
    seconds = int(at.timestamp())
    return f"t={seconds},v1={hmac.new(secret.encode(), f'{seconds}.'.encode() + body, hashlib.sha256).hexdigest()}"


def request(document: Any = None, *, header: str | None = None, **changes: Any) -> CallbackRequest:
    body = document if isinstance(document, bytes) else json.dumps(event() if document is None else document).encode()
    headers = {"stripe-signature": signed(body) if header is None else header}
    plain = CallbackRequest(attempt_id=ATTEMPT, label="webhook", headers=headers, body=body, received_at=NOW)
    return replace(plain, **changes)


def test_a_paid_payout_is_proof() -> None:
    read = webhooks().read(request())
    assert (read.event_id, read.attempt_id, read.proof) == ("evt_1", ATTEMPT, True)
    assert (read.report.outcome, str(read.report.delivered)) == (Outcome.PAID, "12.50 USD")
    assert (read.report.provider_ref, read.report.receipt) == ("po_1", "091000019")


def test_the_attempt_stands_in_the_body() -> None:
    assert webhooks().attempt_of(request(attempt_id=RAILS_OWN)) == ATTEMPT


@pytest.mark.parametrize(
    "document",
    [
        event(payout(status="failed"), kind="payout.failed"),
        event(payout(status="canceled"), kind="payout.canceled"),
        event(payout(status="paid"), kind="payout.updated"),
        event(payout(status="tomorrows"), kind="payout.paid"),
        event(payout(status="failed"), kind="payout.paid"),
        event(payout(destination="ba_2")),
        event(payout(amount=None)),
        event(payout(id=None)),
        event({"object": "transfer", "id": "tr_1", "metadata": {"lastmile_attempt": ATTEMPT}}, kind="transfer.reversed"),
    ],
)
def test_all_other_news_only_makes_us_ask(document: dict[str, Any]) -> None:
    read = webhooks().read(request(document))
    assert (read.proof, read.report.outcome) == (False, Outcome.UNKNOWN)


@pytest.mark.parametrize(
    "document",
    [event({"object": "charge", "metadata": {"lastmile_attempt": ATTEMPT}}), event(payout(metadata={})), event(7), {}],
)
def test_a_genuine_event_about_nothing_of_ours_names_no_attempt(document: dict[str, Any]) -> None:
    assert webhooks().attempt_of(request(document, attempt_id=RAILS_OWN)) is None
    with pytest.raises(ForgedCallback):
        webhooks().read(request(document))


def test_an_event_about_another_attempt_is_refused() -> None:
    with pytest.raises(ForgedCallback):
        webhooks().read(request(attempt_id="att_01BX5ZZKBKACTAV9WEVGEMMVS9"))


@pytest.mark.parametrize(
    "header",
    [
        "",
        "v1=00",
        "t=now,v1=00",
        f"t={int(NOW.timestamp())}",
        f"t={int(NOW.timestamp())},v1=",
        f"t={int(NOW.timestamp())},v1=é",
        f"t={'9' * 40},v1=00",
        signed(b"another body"),
        signed(json.dumps(event()).encode(), secret="whsec_guessed"),
        signed(json.dumps(event()).encode()).replace("v1=", "v0="),
    ],
)
def test_a_signature_that_is_none_is_refused(header: str) -> None:
    with pytest.raises(ForgedCallback):
        webhooks().read(request(header=header))


def test_an_event_without_a_signature_is_refused() -> None:
    with pytest.raises(ForgedCallback):
        webhooks().read(request(headers={}))


def test_without_a_secret_nothing_is_believed() -> None:
    with pytest.raises(ForgedCallback):
        Webhooks(StripeSettings.read({"secret_key": "sk"})).read(request())


def test_while_a_secret_is_rolled_either_is_enough() -> None:
    body = json.dumps(event()).encode()
    both = webhooks(SECRET, OLD_SECRET)
    assert both.read(request(header=signed(body, secret=OLD_SECRET))).proof
    two = f"{signed(body, secret='whsec_theirs')},v1={signed(body).partition('v1=')[2]}"
    assert webhooks().read(request(header=two)).proof


@pytest.mark.parametrize("age", [-301, 301, 86_400])
def test_a_signature_far_from_its_arrival_is_stale(age: int) -> None:
    body = json.dumps(event()).encode()
    with pytest.raises(ForgedCallback):
        webhooks().read(request(header=signed(body, at=NOW - timedelta(seconds=age))))


def test_an_event_that_waited_in_our_inbox_is_no_older_for_that() -> None:
    body = json.dumps(event()).encode()
    then = NOW - timedelta(days=3)
    assert webhooks().read(request(header=signed(body, at=then), received_at=then + timedelta(seconds=200))).proof


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b"\xff\xfe", b"[" * 100_000, b'{"object": "event"', b'{"id": 1e9999}', b'{"id": NaN}']
)
def test_a_signed_body_that_is_no_event_is_refused(body: bytes) -> None:
    with pytest.raises(ForgedCallback):
        webhooks().read(request(body))


def test_at_another_address_nothing_is_read() -> None:
    with pytest.raises(ForgedCallback):
        webhooks().attempt_of(request(label="elsewhere"))


def thin(**changes: Any) -> dict[str, Any]:
    return {
        "id": "evt_test_1",
        "object": "v2.core.event",
        "type": "v2.money_management.outbound_payment.created",
        "related_object": {"id": "obp_1", "type": "v2.money_management.outbound_payment", "url": "/v2/…"},
        "reason": {"type": "request", "request": {"id": "req_1", "idempotency_key": ATTEMPT}},
        **changes,
    }


@pytest.mark.parametrize("key", [ATTEMPT, f"{ATTEMPT}-cancel"])
def test_a_thin_event_names_the_attempt_whose_request_caused_it(key: str) -> None:
    document = thin(reason={"type": "request", "request": {"id": "req_1", "idempotency_key": key}})
    assert webhooks().attempt_of(request(document, attempt_id=RAILS_OWN)) == ATTEMPT
    read = webhooks().read(request(document))
    assert (read.proof, read.report.outcome) == (False, Outcome.UNKNOWN)


@pytest.mark.parametrize(
    "document",
    [thin(reason=None), thin(type="v2.money_management.outbound_payment.posted", reason=None), thin(type="v2.core.account")],
)
def test_a_thin_event_that_names_none_is_nobodys(document: dict[str, Any]) -> None:
    assert webhooks().attempt_of(request(document, attempt_id=RAILS_OWN)) is None
