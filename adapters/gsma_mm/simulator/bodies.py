"""The simulated operator's JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from adapters.gsma_mm.simulator.checks import Refused
from gateway.money import Money
from gateway.railsim import Delivery, Payment, Scenario, State

CREATED, ACCEPTED = 201, 202
WORDS: Mapping[State, str] = {State.PAID: "completed", State.RETURNED: "reversed"}
HOLDER = {"title": "Ms", "firstName": "Uwase", "middleName": "", "lastName": "Mukamana", "fullName": "Uwase Mukamana"}
SOMEBODY_ELSE = {"title": "Mr", "firstName": "Jean", "middleName": "", "lastName": "Habimana", "fullName": "Jean Habimana"}


def request_state(payment: Payment) -> dict[str, Any]:
    """The state of the request for a payment."""
    state: dict[str, Any] = {
        "serverCorrelationId": payment.rail["server"],
        "status": {State.PENDING: "pending", State.FAILED: "failed"}.get(payment.status, "completed"),
        "notificationMethod": "callback" if payment.rail["callback"] else "polling",
        "pollLimit": 100,
    }
    if Scenario.UNLISTED_STATUS in payment.script:
        state["status"] = payment.script.status
    if state["status"] == "completed":
        state["objectReference"] = payment.rail["reference"]
    if payment.status is State.FAILED:
        state["error"] = Refused(payment.code or "genericError").document()
    return state


def transaction(payment: Payment, *, amount: Money, account: str) -> dict[str, Any]:
    """The transaction that a payment has become."""
    word = payment.script.status if Scenario.UNLISTED_STATUS in payment.script else WORDS[payment.status]
    return {
        "transactionReference": payment.rail["reference"],
        "requestingOrganisationTransactionReference": payment.rail["ours"],
        "transactionReceipt": payment.receipt,
        "transactionStatus": word,
        "type": "disbursement",
        "amount": amount.decimal(),
        "currency": payment.currency,
        "debitParty": [{"key": "accountid", "value": account}],
        "creditParty": [{"key": "msisdn", "value": payment.account}],
        "creationDate": f"{payment.at:%Y-%m-%dT%H:%M:%SZ}",
        "modificationDate": f"{payment.final_at or payment.at:%Y-%m-%dT%H:%M:%SZ}",
    }


def finished(payment: Payment, *, amount: Money, account: str) -> dict[str, Any]:
    """What is told of a payment that became final: the transaction or the error."""
    if payment.status is State.FAILED:
        return Refused(payment.code or "genericError").document()
    return transaction(payment, amount=amount, account=account)


def delivery(payment: Payment, told: dict[str, Any]) -> Delivery:
    """The callback, with the errors that its script asks for."""
    correlation, script = payment.id, payment.script
    if Scenario.CALLBACK_WRONG_ID in script:
        correlation = str(uuid5(NAMESPACE_URL, payment.id))
        told = {**told, "requestingOrganisationTransactionReference": _other(payment.rail["ours"])}
    if Scenario.CALLBACK_WRONG_AMOUNT in script and "amount" in told:
        told = {**told, "amount": f"7{told['amount']}"}
    if Scenario.CALLBACK_WRONG_PAYEE in script and "creditParty" in told:
        told = {**told, "creditParty": [{"key": "msisdn", "value": _other(payment.account)}]}
    body = json.dumps(told, separators=(",", ":")).encode()
    return Delivery(payment.rail["callback"], body, {"x-correlationid": correlation}, "PUT")


def name(*, other: bool) -> dict[str, Any]:
    """The holder of an account."""
    return {"name": SOMEBODY_ELSE if other else HOLDER, "lei": ""}


def balance(held: Money) -> dict[str, Any]:
    """The balance of the account that pays."""
    amount = held.decimal()
    return {
        "accountStatus": "available",
        "currentBalance": amount,
        "availableBalance": amount,
        "reservedBalance": "0",
        "unclearedBalance": "0",
        "currency": held.asset.code,
    }


def _other(text: str) -> str:
    """Another id or number of the same form."""
    return text[:-1] + ("1" if text[-1] != "1" else "2")
