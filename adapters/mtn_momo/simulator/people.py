"""The account holders of the simulated country, and the sandbox's own numbers, each of which plays one part.

Source: momodeveloper.mtn.com, page testing (scenarios TransferPayee... and AccountHolderActiveMsisdn...). That page doesn't
say which of them are refused at once and which later: here mistakes in a request are refused at once.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.railsim import Scenario

REFUSED: Mapping[str, str] = {
    "+46733123459": "NOT_ALLOWED_TARGET_ENVIRONMENT",
    "+46733123460": "INVALID_CALLBACK_URL_HOST",
    "+46733123461": "INVALID_CURRENCY",
    "+46733123462": "INTERNAL_PROCESSING_ERROR",
    "+46733123463": "SERVICE_UNAVAILABLE",
}
"""Transfers to these numbers are refused with a code."""
FAILED: Mapping[str, str] = {
    "+46733123450": "INTERNAL_PROCESSING_ERROR",
    "+46733123451": "APPROVAL_REJECTED",
    "+46733123452": "EXPIRED",
    "+46733123455": "NOT_ENOUGH_FUNDS",
    "+46733123456": "PAYER_LIMIT_REACHED",
    "+46733123457": "PAYEE_NOT_FOUND",
    "+46733123458": "NOT_ALLOWED",
    "+46733123464": "TRANSFER_TYPE_UNKNOWN",
}
"""Transfers to these numbers fail with a reason."""
WAITING: Mapping[str, Scenario] = {
    "+46733123453": Scenario.PENDING_FOREVER,
    "+46733123454": Scenario.PENDING_POLLS,
}
"""Transfers to these numbers are ongoing, or delayed."""
INACTIVE = "+46733123451"
NO_HOLDER: Mapping[str, str] = {
    "+46733123450": "RESOURCE_NOT_FOUND",
    "+46733123452": "NOT_ALLOWED",
    "+46733123453": "NOT_ALLOWED_TARGET_ENVIRONMENT",
    "+46733123454": "INTERNAL_PROCESSING_ERROR",
    "+46733123455": "SERVICE_UNAVAILABLE",
}
"""Questions whether these numbers have an account are answered with a code."""

NOBODYS = "0000000"
"""Numbers that end with this have no account, in any country."""

GIVEN = ("Amina", "Babirye", "Kwame", "Chipo", "Didier", "Esi", "Fatou", "Grace")
FAMILY = ("Okello", "Mensah", "Banda", "Kouassi", "Nkemelu", "Diallo", "Dlamini", "Mugisha")


def failure(account: str) -> str | None:
    """The reason for which a transfer to this account fails; None if it doesn't."""
    return "PAYEE_NOT_FOUND" if account.endswith(NOBODYS) else FAILED.get(account)


def no_holder(account: str) -> str | None:
    """The code with which a question about this account's holder is refused; None if it isn't."""
    return "RESOURCE_NOT_FOUND" if account.endswith(NOBODYS) else NO_HOLDER.get(account)


def name_of(account: str, *, other: bool) -> dict[str, str]:
    """Whose account it is, always the same; or somebody `other`."""
    number = int(account.removeprefix("+")) + other
    return {
        "given_name": GIVEN[number % len(GIVEN)],
        "family_name": FAMILY[number // len(GIVEN) % len(FAMILY)],
        "birthdate": "1976-08-13",
        "locale": "sv_SE",
        "gender": "FEMALE",
    }
