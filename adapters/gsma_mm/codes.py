"""Every errorCode of the GSMA Mobile Money API 1.2, in one table.

Source: the OpenAPI document of version 1.2.0, schema errorObject. A code that doesn't say for certain that nothing moved is
AMBIGUOUS, and so is every code that isn't listed.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.offramp import Fault
from gateway.railkit.meanings import UNLISTED, Kind, Meaning

_LIMIT = "above a limit of the account"
_OURS = "the operator can't read our request"

# fmt: off
CODES: Mapping[str, Meaning] = {
    "genericError":                      Meaning(Kind.AMBIGUOUS, "an error that the operator doesn't name"),
    "dailyVolumeLimitExceeded":          Meaning(Kind.FAILED, _LIMIT, Fault.RECIPIENT),
    "dailyValueLimitExceeded":           Meaning(Kind.FAILED, _LIMIT, Fault.RECIPIENT),
    "weeklyVolumeLimitExceeded":         Meaning(Kind.FAILED, _LIMIT, Fault.RECIPIENT),
    "weeklyValueLimitExceeded":          Meaning(Kind.FAILED, _LIMIT, Fault.RECIPIENT),
    "monthlyVolumeLimitExceeded":        Meaning(Kind.FAILED, _LIMIT, Fault.RECIPIENT),
    "monthlyValueLimitExceeded":         Meaning(Kind.FAILED, _LIMIT, Fault.RECIPIENT),
    "accountMaxTotalVolumeExceeded":     Meaning(Kind.FAILED, _LIMIT, Fault.RECIPIENT),
    "accountMaxTotalValueExceeded":      Meaning(Kind.FAILED, _LIMIT, Fault.RECIPIENT),
    "lessThanTransactionMinValue":       Meaning(Kind.FAILED, "below the least amount", Fault.RECIPIENT),
    "greaterThanTransactionMaxValue":    Meaning(Kind.FAILED, "above the greatest amount", Fault.RECIPIENT),
    "maxBalanceExceeded":                Meaning(Kind.FAILED, "the recipient's wallet would hold too much", Fault.RECIPIENT),
    "samePartiesError":                  Meaning(Kind.FAILED, "payer and recipient are one account", Fault.RECIPIENT),
    "duplicateRequest":                  Meaning(Kind.DUPLICATE, "this id arrived before"),
    "insufficientFunds":                 Meaning(Kind.FAILED, "our account holds too little", Fault.FLOAT),
    "incorrectState":                    Meaning(Kind.AMBIGUOUS, "something is in a state that doesn't allow this"),
    "underPaymentNotAllowed":            Meaning(Kind.AMBIGUOUS, "a rule for bills"),
    "overPaymentNotAllowed":             Meaning(Kind.AMBIGUOUS, "a rule for bills"),
    "rateLimitError":                    Meaning(Kind.NOT_PROCESSED, "too many requests", Fault.TRANSIENT),
    "transactionTypeError":              Meaning(Kind.FAILED, "our account may not make disbursements", Fault.RAIL),
    "noMandateAuthority":                Meaning(Kind.FAILED, "our account may not be debited by us", Fault.RAIL),
    "linkViolation":                     Meaning(Kind.AMBIGUOUS, "a rule for linked accounts"),
    "countryofOriginNotPermitted":       Meaning(Kind.FAILED, "not from this country", Fault.RAIL),
    "nationalityNotPermitted":           Meaning(Kind.FAILED, "not for this nationality", Fault.RECIPIENT),
    "idDocumentNotSupported":            Meaning(Kind.AMBIGUOUS, "an identity document isn't accepted"),
    "issuingCountryNotSupported":        Meaning(Kind.AMBIGUOUS, "an identity document's country isn't accepted"),
    "quoteHasExpired":                   Meaning(Kind.FAILED, "the quote has run out", Fault.TRANSIENT),
    "identifierError":                   Meaning(Kind.FAILED, "there is no such account", Fault.RECIPIENT),
    "lengthError":                       Meaning(Kind.NOT_PROCESSED, _OURS, Fault.RAIL),
    "formatError":                       Meaning(Kind.NOT_PROCESSED, _OURS, Fault.RAIL),
    "negativeValue":                     Meaning(Kind.NOT_PROCESSED, _OURS, Fault.RAIL),
    "currencyNotSupported":              Meaning(Kind.NOT_PROCESSED, "not this currency", Fault.RAIL),
    "mandatoryValueNotSupplied":         Meaning(Kind.NOT_PROCESSED, _OURS, Fault.RAIL),
    "invalidOffset":                     Meaning(Kind.NOT_PROCESSED, _OURS, Fault.RAIL),
    "clientAuthorisationError":          Meaning(Kind.BAD_TOKEN, "our key or token is refused", Fault.RAIL),
    "requestDeclined":                   Meaning(Kind.FAILED, "declined", Fault.RECIPIENT),
    "servicingPartyAuthorisationError":  Meaning(Kind.NOT_PROCESSED, "we may not do this", Fault.RAIL),
    "requestingPartyAuthorisationError": Meaning(Kind.NOT_PROCESSED, "we may not do this", Fault.RAIL),
}
# fmt: on

UNAVAILABLE = Meaning(Kind.NOT_PROCESSED, "the operator's system is down, and takes nothing then", Fault.TRANSIENT)
"""HTTP 503 of category serviceUnavailable from an operator that has confirmed it (profile)."""
SERVER_ERROR = Meaning(Kind.AMBIGUOUS, "the operator's system failed")
UNAUTHORISED = Meaning(Kind.BAD_TOKEN, "our key or token is refused", Fault.RAIL)
"""HTTP 401 without a code."""

_UNAUTHORISED, _SERVER_ERROR, _UNAVAILABLE = 401, 500, 503


def refusal(
    status: int, *, code: str | None, category: str | None, unavailable_means_not_processed: bool
) -> tuple[Meaning, str]:
    """What an error in answer to a request for payment means, and the code that it goes by."""
    named = code or f"HTTP {status}"
    if status == _UNAVAILABLE and category == "serviceUnavailable" and unavailable_means_not_processed:
        return UNAVAILABLE, named
    if status >= _SERVER_ERROR:
        return SERVER_ERROR, named
    if code is None and status == _UNAUTHORISED:
        return UNAUTHORISED, named
    means = CODES.get(code or "", UNLISTED)
    # Refused at the door. Not FAILED: of a second sending that would say nothing about the first one.
    return (means._replace(kind=Kind.NOT_PROCESSED) if means.kind is Kind.FAILED else means), named


def outcome(code: str | None) -> Meaning:
    """What the error of a request means that was taken and of which the operator says that it failed.

    What was refused without having been taken has failed for good then; the rest says as little as ever.
    """
    means = CODES.get(code or "", UNLISTED)
    if means.kind in (Kind.NOT_PROCESSED, Kind.BAD_TOKEN):
        return means._replace(kind=Kind.FAILED)
    return means
