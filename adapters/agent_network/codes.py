"""What the network's words mean: every error code of the GSMA Mobile Money API 1.2, and the words of a withdrawal.

Source: the official OpenAPI document of version 1.2.0, schema errorObject; which class a code is in is ours, by what the
document says of it as an answer to a request for a code. What isn't listed is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.offramp import Fault
from gateway.railkit.meanings import Kind, Meaning

_FULL = Meaning(Kind.FAILED, "a limit of our account at the network is used up", Fault.TRANSIENT)
_SIZE = Meaning(Kind.FAILED, "the network pays other amounts than our settings say", Fault.RAIL)
_PAYEE = Meaning(Kind.FAILED, "the network doesn't pay this recipient", Fault.RECIPIENT)
_FORM = Meaning(Kind.NOT_PROCESSED, "the network can't read the request", Fault.RAIL)
_RIGHTS = Meaning(Kind.NOT_PROCESSED, "the network doesn't accept our client or account", Fault.RAIL)
_LATER = Meaning(Kind.NOT_PROCESSED, "too many requests", Fault.TRANSIENT)

ERRORS: Mapping[str, Meaning] = {
    "genericError": Meaning(Kind.AMBIGUOUS, "an error without a name"),
    "duplicateRequest": Meaning(Kind.DUPLICATE, "the network has this request already"),
    "insufficientFunds": Meaning(Kind.FAILED, "our account at the network holds too little", Fault.FLOAT),
    "rateLimitError": _LATER,
    "dailyVolumeLimitExceeded": _FULL,
    "dailyValueLimitExceeded": _FULL,
    "weeklyVolumeLimitExceeded": _FULL,
    "weeklyValueLimitExceeded": _FULL,
    "monthlyVolumeLimitExceeded": _FULL,
    "monthlyValueLimitExceeded": _FULL,
    "accountMaxTotalVolumeExceeded": _FULL,
    "accountMaxTotalValueExceeded": _FULL,
    "lessThanTransactionMinValue": _SIZE,
    "greaterThanTransactionMaxValue": _SIZE,
    "maxBalanceExceeded": _PAYEE,
    "samePartiesError": _PAYEE,
    "countryofOriginNotPermitted": _PAYEE,
    "nationalityNotPermitted": _PAYEE,
    "idDocumentNotSupported": _PAYEE,
    "issuingCountryNotSupported": _PAYEE,
    "requestDeclined": _PAYEE,
    "incorrectState": Meaning(Kind.AMBIGUOUS, "the code is in another state than we thought"),
    "underPaymentNotAllowed": Meaning(Kind.AMBIGUOUS, "an answer to a claim, not to us"),
    "overPaymentNotAllowed": Meaning(Kind.AMBIGUOUS, "an answer to a claim, not to us"),
    "quoteHasExpired": Meaning(Kind.AMBIGUOUS, "an answer about a quote, and we asked for none"),
    "linkViolation": Meaning(Kind.AMBIGUOUS, "an answer about a link, and we asked for none"),
    "transactionTypeError": _FORM,
    "lengthError": _FORM,
    "formatError": _FORM,
    "negativeValue": _FORM,
    "currencyNotSupported": _FORM,
    "mandatoryValueNotSupplied": _FORM,
    "invalidOffset": _FORM,
    "identifierError": Meaning(Kind.NOT_PROCESSED, "the network knows no such account of ours", Fault.RAIL),
    "noMandateAuthority": _RIGHTS,
    "clientAuthorisationError": _RIGHTS,
    "servicingPartyAuthorisationError": _RIGHTS,
    "requestingPartyAuthorisationError": _RIGHTS,
}
"""By errorCode."""

REASONS: Mapping[str, Fault] = {"insufficientFunds": Fault.FLOAT}
"""Whose matter it is that a code ended unpaid, by the reason in its metadata; any other reason is the recipient's."""

TRANSACTIONS: Mapping[str, Meaning] = {
    "completed": Meaning(Kind.PAID, "the cash was given"),
    "pending": Meaning(Kind.AVAILABLE, "an agent is about to give the cash"),
    "reversed": Meaning(Kind.RETURNED, "the agent took the cash back", Fault.RECIPIENT),
}
"""By transactionStatus of the withdrawal. The GSMA leaves its words open; these are our own network's."""
