"""pawaPay's JSON, as the simulator says it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from adapters.pawapay.places import Place
from gateway.money import Money
from gateway.railsim import Payment, Scenario, State

A_DAY, NOTHING = timedelta(days=1), timedelta(0)
WORDS = {State.PENDING: "PROCESSING", State.PAID: "COMPLETED", State.FAILED: "FAILED"}


def payout(payment: Payment, *, amount: Money) -> dict[str, Any]:
    """A payout, as questions are answered and callbacks tell it."""
    waits = payment.status is State.PENDING and Scenario.PENDING_FOREVER in payment.script
    word = "ENQUEUED" if waits else WORDS[payment.status]
    body: dict[str, Any] = {
        "payoutId": payment.id,
        "status": payment.script.status if Scenario.UNLISTED_STATUS in payment.script else word,
        "amount": amount.decimal(),
        "currency": payment.currency,
        "country": payment.rail["country"],
        "recipient": {
            "type": "MMO",
            "accountDetails": {"phoneNumber": payment.account[1:], "provider": payment.rail["provider"]},
        },
        "created": f"{payment.at:%Y-%m-%dT%H:%M:%SZ}",
        "clientReferenceId": payment.rail["client_reference"],
        "metadata": json.loads(payment.rail["metadata"]),
    }
    if payment.status is State.PAID:
        body["providerTransactionId"] = payment.receipt
    if payment.status is State.FAILED:
        body["failureReason"] = {"failureCode": payment.code, "failureMessage": "Failed at the operator"}
    return body


def told(payment: Payment, *, amount: Money) -> bytes:
    """A callback's body, with the errors that its script asks for."""
    body, script = payout(payment, amount=amount), payment.script
    if Scenario.CALLBACK_WRONG_ID in script:
        body["payoutId"] = str(UUID(bytes=uuid5(NAMESPACE_URL, payment.id).bytes, version=4))
    if Scenario.CALLBACK_WRONG_AMOUNT in script:
        body["amount"] = f"7{body['amount']}"
    if Scenario.CALLBACK_WRONG_PAYEE in script:
        details = body["recipient"]["accountDetails"]
        details["phoneNumber"] = details["phoneNumber"][:-1] + ("1" if details["phoneNumber"][-1] != "1" else "2")
    return json.dumps(body, separators=(",", ":")).encode()


def available(place: Place) -> dict[str, Any]:
    """One country in the answer of /v2/availability."""
    providers = [{"provider": each, "operationTypes": {"PAYOUT": "OPERATIONAL"}} for each in place.providers.values()]
    return {"country": place.iso3, "providers": providers}


def configuration(places: Sequence[Place]) -> dict[str, Any]:
    """The answer of /v2/active-conf."""
    return {
        "companyName": "Lastmile",
        "signatureConfiguration": {"signedRequestsOnly": True, "signedCallbacks": True},
        "countries": [_country(each) for each in places],
    }


def _country(place: Place) -> dict[str, Any]:
    may = {"minAmount": place.least, "maxAmount": place.most, "decimalsInAmount": "NONE", "status": "OPERATIONAL"}
    currencies = [{"currency": place.currency, "operationTypes": {"PAYOUT": may}}]
    providers = [{"provider": each, "currencies": currencies} for each in place.providers.values()]
    return {"country": place.iso3, "prefix": place.prefix[1:], "providers": providers}
