"""The bodies of Daraja's callbacks."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from gateway.money import Money
from gateway.railsim import Payment, Scenario, Script, State

NAIROBI = timezone(timedelta(hours=3))

PROCESSED = "The service request is processed successfully."
TEXTS: Mapping[str, str] = {
    "0": PROCESSED,
    "1": "The balance is insufficient for the transaction.",
    "2": "Declined due to limit rule: less than the minimum transaction amount.",
    "3": "Declined due to limit rule: greater than the maximum transaction amount.",
    "4": "Declined due to limit rule: would exceed daily transfer limit.",
    "8": "Declined due to limit rule: would exceed the maximum balance.",
    "15": "Duplicate Detected.",
    "2001": "The initiator information is invalid.",
    "2040": "Credit Party customer type (Unregistered or Registered Customer) can't be supported by the service.",
    "8006": "The security credential is locked.",
    "SFC_IC0003": "The operator does not exist.",
}
"""What M-PESA says with its codes, as far as it matters for looks."""

STATUS_WORDS: Mapping[State, str] = {
    State.PENDING: "Pending",
    State.PAID: "Completed",
    State.FAILED: "Failed",
    State.RETURNED: "Reversed",
}
"""Only "Completed" is published; the other words are ours."""

NOT_FOUND = "9999"
"""For "no such transaction" no code is published: this is none of the listed ones."""


def conversation_id(now: datetime) -> str:
    """A new id as Daraja makes them."""
    return f"AG_{now.astimezone(NAIROBI):%Y%m%d}_{secrets.token_hex(10)}"


def receipt() -> str:
    """A new M-PESA receipt number."""
    return "".join(secrets.choice("ABCDEFGHJKLMNPQRSTUVWXYZ0123456789") for _ in range(10))


def payment_result(payment: Payment, *, amount: Money, funds: Money) -> bytes:
    """What Daraja posts to a payment's ResultURL, with the errors that its script asks for."""
    rail, script = payment.rail, payment.script
    stranger = Scenario.CALLBACK_WRONG_ID in script
    original = _other(payment.id) if stranger else payment.id
    conversation = f"{rail['conversation']}0" if stranger else rail["conversation"]
    code = "0" if payment.status is State.PAID else payment.code or ""
    parameters = _paid_parameters(payment, script, amount=amount, funds=funds) if code == "0" else None
    return _result(code, original=original, conversation=conversation, transaction=payment.receipt, parameters=parameters)


def forged_result(payment: Payment, *, amount: Money, funds: Money) -> bytes:
    """A success that M-PESA knows nothing of."""
    paid = payment.model_copy(update={"status": State.PAID, "script": Script(scenarios=[]), "receipt": receipt()})
    return payment_result(paid, amount=amount, funds=funds)


def _paid_parameters(payment: Payment, script: Script, *, amount: Money, funds: Money) -> dict[str, Any]:
    wrong_amount, wrong_payee = Scenario.CALLBACK_WRONG_AMOUNT in script, Scenario.CALLBACK_WRONG_PAYEE in script
    told = amount + Money(7_00, amount.asset) if wrong_amount else amount
    payee = _other(payment.account) if wrong_payee else payment.account
    return {
        "TransactionAmount": told.units // 100,
        "TransactionReceipt": payment.receipt,
        "ReceiverPartyPublicName": f"{payee.removeprefix('+')} - NICHOLAS JOHN SONGOK",
        "TransactionCompletedDateTime": f"{(payment.final_at or payment.at).astimezone(NAIROBI):%d.%m.%Y %H:%M:%S}",
        "B2CUtilityAccountAvailableFunds": funds,
        "B2CWorkingAccountAvailableFunds": 0,
        "B2CRecipientIsRegisteredCustomer": "Y",
        "B2CChargesPaidAccountAvailableFunds": 0,
    }


def status_result(payment: Payment, *, amount: Money, short_code: str, original: str, conversation: str) -> bytes:
    """What Daraja posts to the ResultURL of a question about a payment. Envelope: the question. Parameters: the payment."""
    word = payment.script.status if Scenario.UNLISTED_STATUS in payment.script else STATUS_WORDS[payment.status]
    parameters: dict[str, Any] = {
        "DebitPartyName": f"{short_code} - Lastmile",
        "CreditPartyName": f"{payment.account.removeprefix('+')} - NICHOLAS JOHN SONGOK",
        "OriginatorConversationID": payment.id,
        "InitiatedTime": f"{payment.at.astimezone(NAIROBI):%Y%m%d%H%M%S}",
        "DebitAccountType": "Utility Account",
        "DebitPartyCharges": "Fee For B2C Payment|KES|22.40",
        "TransactionReason": "",
        "ReasonType": "Business Payment to Customer via API",
        "TransactionStatus": word,
        "FinalisedTime": "" if payment.final_at is None else f"{payment.final_at.astimezone(NAIROBI):%Y%m%d%H%M%S}",
        "Amount": amount,
        "ConversationID": payment.rail["conversation"],
        "ReceiptNo": payment.receipt,
    }
    return _result("0", original=original, conversation=conversation, transaction=receipt(), parameters=parameters)


def balance_result(funds: Money, *, now: datetime, original: str, conversation: str) -> bytes:
    """What Daraja posts to the ResultURL of a question about our balance. B2C spends the Utility Account."""
    held, none = funds.decimal(), "0.00"
    accounts = {"Working Account": none, "Utility Account": held, "Charges Paid Account": none}
    parameters = {
        "AccountBalance": "&".join(f"{name}|KES|{sum_}|{sum_}|{none}|{none}" for name, sum_ in accounts.items()),
        "BOCompletedTime": int(f"{now.astimezone(NAIROBI):%Y%m%d%H%M%S}"),
    }
    return _result("0", original=original, conversation=conversation, transaction=receipt(), parameters=parameters)


def failed_question(code: str, *, original: str, conversation: str) -> bytes:
    """What Daraja posts if a question itself failed: the code is the question's, nothing is said of a payment."""
    return _result(code, original=original, conversation=conversation, transaction="AAA0000000", parameters=None)


def _result(code: str, *, original: str, conversation: str, transaction: str, parameters: Mapping[str, Any] | None) -> bytes:
    result: dict[str, Any] = {
        "ResultType": 0,
        "ResultCode": int(code) if code.isdigit() else code,
        "ResultDesc": TEXTS.get(code, "The service request failed."),
        "OriginatorConversationID": original,
        "ConversationID": conversation,
        "TransactionID": transaction,
    }
    if parameters is not None:
        listed = [{"Key": key, "Value": value} for key, value in parameters.items()]
        result["ResultParameters"] = {"ResultParameter": listed}
    result["ReferenceData"] = {"ReferenceItem": {"Key": "QueueTimeoutURL", "Value": "https://internal.invalid/timeout"}}
    return _json({"Result": result})


def _json(document: Mapping[str, Any]) -> bytes:
    """JSON in which money is a bare number with two digits after the point, as Daraja writes it."""
    text = json.dumps(document, default=lambda money: f"\0{money.decimal()}")
    return re.sub(r'"\\u0000([0-9.-]+)"', r"\1", text).encode()


def _other(text: str) -> str:
    """Another id or number of the same form."""
    return text[:-1] + ("1" if text[-1] != "1" else "2")
