"""What Daraja's answers mean in our words. Where they don't say for certain, UNKNOWN."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from adapters.mpesa.codes import Place, meaning
from adapters.mpesa.settings import KES
from adapters.mpesa.wire import Ack, GatewayError, Result, utility_account
from gateway.money import Money
from gateway.offramp import Fault, ForgedCallback, OfframpError, Outcome, Report
from gateway.railkit.documents import Unreadable, document_or_empty, money_of, text_of
from gateway.railkit.evidence import chosen, clean, words
from gateway.railkit.http import Answer
from gateway.railkit.meanings import Kind, Meaning, refuse_what_was_not_taken, report_of

_PHONE = re.compile(r"\+?(?:254|0)[17][0-9]{8}")

_EVIDENCE = frozenset({
    "requestId", "errorCode", "ResponseCode", "ConversationID", "OriginatorConversationID", "TransactionID",
    "ResultType", "ResultCode", "TransactionAmount", "TransactionReceipt", "TransactionCompletedDateTime",
    "TransactionStatus", "ReceiptNo", "Amount", "InitiatedTime", "FinalisedTime", "B2CUtilityAccountAvailableFunds",
})  # fmt: skip
"""What is kept of an answer: ids, codes, amounts, times. Names, numbers and free text are not."""


class NotTold(OfframpError):
    """Daraja answered a question without saying what was asked."""


def refusal(answer: Answer) -> Meaning | None:
    """What the gateway's error means; None for an answer that is none of its errors."""
    error = GatewayError.read(answer)
    return None if error is None else meaning(Place.GATEWAY, error.code, text=error.text)


def refusal_sentence(answer: Answer) -> str:
    """The same for people: code, what it means, and what Daraja adds to it."""
    error = GatewayError.read(answer)
    if error is None:
        return f"HTTP {answer.status} without an error code"
    means = meaning(Place.GATEWAY, error.code, text=error.text)
    # Daraja repeats a wrong token in the message.
    added = "" if means.kind is Kind.BAD_TOKEN else _added(error.text)
    return f"{clean(error.code)}: {means.text}{added}"


def of_payment(answer: Answer, *, attempt_id: str) -> Report:
    """What Daraja said to a request for payment. Raises `NotSent` only for codes documented as not processed."""
    means = refusal(answer)
    if means is not None:
        refuse_what_was_not_taken(means, reason=refusal_sentence(answer))
    ack = Ack.read(answer)
    if ack is None or ack.code != "0" or ack.conversation is None or ack.originator not in (None, attempt_id):
        return Report(outcome=Outcome.UNKNOWN, reason=refusal_sentence(answer), evidence=_evidence(answer))
    return Report(outcome=Outcome.PENDING, provider_ref=ack.conversation, evidence=_evidence(answer))


def of_result(body: bytes, *, attempt_id: str) -> Report:
    """What the unsigned callback about a payment claims. Raises `ForgedCallback`."""
    result = _result(body)
    _refuse_strangers((result.originator,), attempt_id=attempt_id)
    means = meaning(Place.RESULT, result.code)
    if means.kind is not Kind.PAID:
        return _by_code(result, means)
    receipt = text_of(result.parameters.get("TransactionReceipt")) or result.transaction
    return _paid(result, amount=result.parameters.get("TransactionAmount"), ref=result.conversation, receipt=receipt)


def of_status(body: bytes, *, attempt_id: str, statuses: Mapping[str, str]) -> Report:
    """What the answer to a status query says of the payment. Raises `ForgedCallback`.

    The envelope's ids and code belong to the query, the parameters to the payment. A code of the envelope speaks of the
    payment only where the envelope names it by our id: else it says that the query failed, whose own initiator may be wrong
    (Daraja answered queries with 2001 under the query's id: dkiptugen/mpesa-php-full-integration, issue 1).
    """
    result = _result(body)
    about = text_of(result.parameters.get("OriginatorConversationID"))
    _refuse_strangers((result.originator, about), attempt_id=attempt_id)
    if about not in (None, attempt_id):
        return _unknown(result, "the answer is about another payment")
    by_status = _by_status(result, statuses)
    if result.code == "0":
        return by_status
    if attempt_id not in (result.originator, about):
        return _unknown(result, f"the question failed with {clean(result.code)}{_added(result.text)}")
    by_code = _by_code(result, meaning(Place.RESULT, result.code))
    if "TransactionStatus" in result.parameters and by_status.outcome is not by_code.outcome:
        return _unknown(result, f"{by_code.reason}, yet {by_status.reason}")
    return by_code


def of_timeout(body: bytes) -> Report:
    """What a QueueTimeOut says: nothing of the payment, whatever stands in it (its form is not published)."""
    seen = _chosen(document_or_empty(body))
    return Report(outcome=Outcome.UNKNOWN, reason="expired in Daraja's queue", evidence=seen)


def of_balance(body: bytes) -> Money:
    """What our Utility account holds, by the answer to a question. Raises `ForgedCallback` and `NotTold`."""
    result = _result(body)
    if result.code != "0":
        raise NotTold(f"the question failed with {clean(result.code)}{_added(result.text)}")
    held = utility_account(text_of(result.parameters.get("AccountBalance")) or "")
    if held is None:
        raise NotTold("the answer doesn't say what the Utility account holds")
    return held


def _by_status(result: Result, statuses: Mapping[str, str]) -> Report:
    parameters = result.parameters
    word = text_of(parameters.get("TransactionStatus"))
    ref = text_of(parameters.get("ConversationID"))
    if word == "Completed":
        receipt = text_of(parameters.get("ReceiptNo"))
        return _paid(result, amount=parameters.get("Amount"), ref=ref or receipt, receipt=receipt)
    outcomes = {name.casefold(): Outcome(outcome) for name, outcome in statuses.items()}
    outcome = outcomes.get((word or "").casefold(), Outcome.UNKNOWN)
    return Report(
        outcome=outcome,
        provider_ref=ref,
        # The answer doesn't say why: to ask the recipient neither stops the rail nor repeats blindly.
        fault=Fault.RECIPIENT if outcome in (Outcome.FAILED, Outcome.RETURNED) else None,
        reason=f"TransactionStatus {clean(word or 'is missing')}",
        evidence=_kept(result),
    )


def _by_code(result: Result, means: Meaning) -> Report:
    added = "" if means.kind is Kind.FAILED else _added(result.text)
    reason = f"{clean(result.code)}: {means.text}{added}"
    return report_of(means, reason=reason, provider_ref=result.conversation, evidence=_kept(result))


def _paid(result: Result, *, amount: object, ref: str | None, receipt: str | None) -> Report:
    delivered = money_of(amount, KES)
    if delivered is None or ref is None:
        return _unknown(result, "paid, it says, but not how much or by which reference")
    return Report(outcome=Outcome.PAID, provider_ref=ref, receipt=receipt, delivered=delivered, evidence=_kept(result))


def _unknown(result: Result, reason: str) -> Report:
    return Report(outcome=Outcome.UNKNOWN, reason=reason, evidence=_kept(result))


def _result(body: bytes) -> Result:
    try:
        return Result.read(body)
    except Unreadable as error:
        raise ForgedCallback(f"the callback is {error}") from None


def _refuse_strangers(ids: Iterable[str | None], *, attempt_id: str) -> None:
    """Raise `ForgedCallback` if an id is of our making, but another attempt's. Safaricom's own ids may stand there too."""
    prefix = attempt_id.partition("_")[0] + "_"
    if any(each is not None and each.startswith(prefix) and each != attempt_id for each in ids):
        raise ForgedCallback("the callback names another attempt")


def _added(text: str | None) -> str:
    """The provider's own words, without anything that could be a number of a person's or a key."""
    return "" if text is None else f" ({words(text)})"


def _evidence(answer: Answer) -> dict[str, str]:
    return {"http_status": str(answer.status), **_chosen(document_or_empty(answer.body))}


def _kept(result: Result) -> dict[str, str]:
    parameters = {f"payment.{key}": value for key, value in _chosen(result.parameters).items()}
    return {**_chosen(result.envelope), **parameters}


def _chosen(values: Mapping[str, object]) -> dict[str, str]:
    """What may be kept, without a Kenyan number wherever one stands."""
    return {key: _PHONE.sub("(number)", value) for key, value in chosen(values, _EVIDENCE).items()}
