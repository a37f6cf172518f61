"""Every status and code that Stripe answers with, in tables. What isn't listed is AMBIGUOUS.

Sources: docs.stripe.com/api/errors, /error-codes, /api/payouts/failures, /api/idempotent_requests, /api-v2-overview, and the
enumerations of the official client, stripe 16.1.0.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.offramp import Fault
from gateway.railkit.meanings import UNLISTED, Kind, Meaning

_NO, _FAIL, _BACK = Kind.NOT_PROCESSED, Kind.FAILED, Kind.RETURNED
_US, _THEM, _FLOAT, _LATER = Fault.RAIL, Fault.RECIPIENT, Fault.FLOAT, Fault.TRANSIENT

# fmt: off
HTTP: Mapping[int, Meaning] = {
    401: Meaning(_NO, "the API key is wrong or has expired", _US),
    403: Meaning(_NO, "the API key may not do this", _US),
    409: Meaning(Kind.DUPLICATE, "a request with this idempotency key is under way"),
    429: Meaning(_NO, "too many requests", _LATER),
}
"""What these HTTP statuses say by themselves. 5xx and what isn't here or in ERRORS is AMBIGUOUS."""

NO_CODE = Meaning(_NO, "a field of the request is wrong", _US)
"""Of an invalid_request_error without a code."""

ERRORS: Mapping[str, Meaning] = {
    # any request
    "idempotency_error":                    Meaning(Kind.DUPLICATE, "this key was used for another request"),
    "idempotency_key_in_use":               Meaning(Kind.DUPLICATE, "a request with this idempotency key is under way"),
    "api_error":                            Meaning(Kind.AMBIGUOUS, "a failure at Stripe"),
    "rate_limit":                           Meaning(_NO, "too many requests", _LATER),
    "lock_timeout":                         Meaning(_NO, "another request holds the object", _LATER),
    "api_key_expired":                      Meaning(_NO, "the API key has expired", _US),
    "platform_api_key_expired":             Meaning(_NO, "the platform's API key has expired", _US),
    "secret_key_required":                  Meaning(_NO, "the API key is no secret key", _US),
    "livemode_mismatch":                    Meaning(_NO, "test and live mode are mixed", _US),
    "platform_account_required":            Meaning(_NO, "only a Connect platform may do this", _US),
    "tls_version_unsupported":              Meaning(_NO, "our TLS is too old", _US),
    "parameter_missing":                    Meaning(_NO, "a field is missing", _US),
    "parameter_unknown":                    Meaning(_NO, "a field is unknown", _US),
    "parameter_invalid_empty":              Meaning(_NO, "a field is empty", _US),
    "parameter_invalid_integer":            Meaning(_NO, "a field is no whole number", _US),
    "parameter_invalid_string_blank":       Meaning(_NO, "a field is blank", _US),
    "parameter_invalid_string_empty":       Meaning(_NO, "a field is empty", _US),
    "parameters_exclusive":                 Meaning(_NO, "two fields exclude each other", _US),
    "resource_missing":                     Meaning(_NO, "no such account, bank account or card", _THEM),
    # transfers and payouts
    "balance_insufficient":                 Meaning(_NO, "the balance is too low", _FLOAT),
    "account_invalid":                      Meaning(_NO, "no such connected account, or it isn't ours", _THEM),
    "account_closed":                       Meaning(_NO, "the account is closed", _THEM),
    "account_number_invalid":               Meaning(_NO, "the account number is wrong", _THEM),
    "amount_too_large":                     Meaning(_NO, "above Stripe's limit", _US),
    "amount_too_small":                     Meaning(_NO, "below Stripe's limit", _US),
    "bank_account_restricted":              Meaning(_NO, "the bank account is restricted", _THEM),
    "bank_account_unusable":                Meaning(_NO, "the bank account can't be used", _THEM),
    "country_unsupported":                  Meaning(_NO, "Stripe doesn't pay there", _US),
    "expired_card":                         Meaning(_NO, "the card has expired", _THEM),
    "invalid_card_type":                    Meaning(_NO, "no debit card", _THEM),
    "instant_payouts_config_disabled":      Meaning(_NO, "instant payouts aren't switched on for us", _US),
    "instant_payouts_currency_disabled":    Meaning(_NO, "no instant payouts in this currency", _US),
    "instant_payouts_limit_exceeded":       Meaning(_NO, "the day's limit of instant payouts is reached", _LATER),
    "instant_payouts_unsupported":          Meaning(_NO, "the card takes no instant payouts", _THEM),
    "insufficient_capabilities_for_transfer": Meaning(_NO, "the connected account may not receive transfers", _THEM),
    "not_allowed_on_standard_account":      Meaning(_NO, "the connected account is of another type", _THEM),
    "payouts_limit_exceeded":               Meaning(_NO, "the day's limit of payouts is reached", _LATER),
    "payouts_not_allowed":                  Meaning(_NO, "the connected account may not pay out", _THEM),
    "transfers_not_allowed":                Meaning(_NO, "we may not transfer to this account", _US),
    "transfer_source_balance_parameters_mismatch": Meaning(_NO, "the balance's source is wrong", _US),
    # v2, where they stand as the error's type
    "insufficient_funds":                   Meaning(_NO, "the financial account holds too little", _FLOAT),
    "invalid_payout_method":                Meaning(_NO, "the payout method can't be used", _THEM),
    "quota_exceeded":                       Meaning(_NO, "a quota is used up", _LATER),
    "recipient_not_notifiable":             Meaning(_NO, "the recipient has no e-mail address", _THEM),
    "feature_not_enabled":                  Meaning(_NO, "outbound payments aren't switched on for us", _US),
    "capability_not_enabled":               Meaning(_NO, "the recipient lacks a capability", _THEM),
    "financial_account_not_open":           Meaning(_NO, "our financial account isn't open", _US),
    "blocked_by_stripe":                    Meaning(_NO, "Stripe has blocked it", _THEM),
    "fx_quote_needs_refresh":               Meaning(_NO, "the exchange rate is too old", _LATER),
    "controlled_by_alternate_resource":     Meaning(_NO, "another object of Stripe's controls it", _US),
    "cannot_proceed":                       Meaning(Kind.AMBIGUOUS, "it can't go on; the reason is in no table"),
    "temporary_session_expired":            Meaning(_NO, "the session has expired", _US),
    "already_canceled":                     Meaning(Kind.AMBIGUOUS, "cancelled before"),
    "not_cancelable":                       Meaning(Kind.AMBIGUOUS, "too late to cancel"),
}
"""By `code`; at v2 by `type` where the code isn't here. They prove that this request did nothing, unless AMBIGUOUS."""

PAYOUTS: Mapping[str, Meaning] = {
    "pending":    Meaning(Kind.ACCEPTED, "not yet with the bank"),
    "in_transit": Meaning(Kind.ACCEPTED, "with the bank"),
    "paid":       Meaning(Kind.PAID, "paid"),
    "failed":     Meaning(_FAIL, "failed"),
    "canceled":   Meaning(_FAIL, "cancelled", _LATER),
}
"""`status` of a payout. A "paid" one may still become "failed", within 5 business days."""

PAYOUT_FAILURES: Mapping[str, Meaning] = {
    "account_closed":                Meaning(_FAIL, "the bank account is closed", _THEM),
    "account_frozen":                Meaning(_FAIL, "the bank account is frozen", _THEM),
    "bank_account_restricted":       Meaning(_FAIL, "the bank account takes no such payments", _THEM),
    "bank_ownership_changed":        Meaning(_FAIL, "the bank account is another bank's now", _THEM),
    "could_not_process":             Meaning(_FAIL, "the bank could not process it", _LATER),
    "debit_not_authorized":          Meaning(_FAIL, "the bank account allows no debits", _THEM),
    "declined":                      Meaning(_FAIL, "the bank declined it", _THEM),
    "incorrect_account_holder_address": Meaning(_FAIL, "the holder's address is wrong", _THEM),
    "incorrect_account_holder_name": Meaning(_FAIL, "the holder's name is wrong", _THEM),
    "incorrect_account_holder_tax_id": Meaning(_FAIL, "the holder's tax id is wrong", _THEM),
    "incorrect_account_type":        Meaning(_FAIL, "the bank account is of another type", _THEM),
    "insufficient_funds":            Meaning(_FAIL, "the connected account's balance is too low", _FLOAT),
    "invalid_account_number":        Meaning(_FAIL, "the account number is wrong", _THEM),
    "invalid_account_number_length": Meaning(_FAIL, "the account number is too long or too short", _THEM),
    "invalid_currency":              Meaning(_FAIL, "the bank account takes another currency", _THEM),
    "no_account":                    Meaning(_FAIL, "there is no such bank account", _THEM),
    "unsupported_card":              Meaning(_FAIL, "the card takes no payouts", _THEM),
}
"""`failure_code` of a failed payout. The list is open: the status says that it failed, the code only whose matter it is."""

OUTBOUND: Mapping[str, Meaning] = {
    "processing": Meaning(Kind.ACCEPTED, "processing"),
    "posted":     Meaning(Kind.PAID, "the money has left our account"),
    "failed":     Meaning(_FAIL, "failed"),
    "returned":   Meaning(_BACK, "returned"),
    "canceled":   Meaning(_FAIL, "cancelled", _LATER),
}
"""`status` of an outbound payment."""

OUTBOUND_REASONS: Mapping[str, Meaning] = {
    "fx_rate_drift_exceeded_after_review":          Meaning(_FAIL, "the rate moved too far during a review", _LATER),
    "payout_method_amount_limit_exceeded":          Meaning(_FAIL, "above the payout method's limit", _THEM),
    "payout_method_declined":                       Meaning(_FAIL, "the bank declined it", _THEM),
    "payout_method_does_not_exist":                 Meaning(_FAIL, "there is no such account", _THEM),
    "payout_method_expired":                        Meaning(_FAIL, "the card has expired", _THEM),
    "payout_method_unsupported":                    Meaning(_FAIL, "the account takes no such payments", _THEM),
    "payout_method_usage_frequency_limit_exceeded": Meaning(_FAIL, "paid too often", _LATER),
    "review_rejected":                              Meaning(_FAIL, "Stripe's review rejected it", _THEM),
    "payout_method_canceled_by_customer":           Meaning(_BACK, "the recipient sent it back", _THEM),
    "payout_method_closed":                         Meaning(_BACK, "the account is closed", _THEM),
    "payout_method_currency_unsupported":           Meaning(_BACK, "the account takes another currency", _THEM),
    "payout_method_holder_address_incorrect":       Meaning(_BACK, "the holder's address is wrong", _THEM),
    "payout_method_holder_details_incorrect":       Meaning(_BACK, "the holder's details are wrong", _THEM),
    "payout_method_holder_name_incorrect":          Meaning(_BACK, "the holder's name is wrong", _THEM),
    "payout_method_invalid_account_number":         Meaning(_BACK, "the account number is wrong", _THEM),
    "payout_method_restricted":                     Meaning(_BACK, "the account is restricted", _THEM),
    "recalled":                                     Meaning(_BACK, "recalled", _US),
    "unknown_failure":                              Meaning(_FAIL, "nobody knows why", _THEM),
}
"""`status_details.failed.reason` and `.returned.reason`: open lists; the status decides, the reason says whose it is."""
# fmt: on


def of_error(*, status: int | None, kind: str | None, code: str | None) -> Meaning:
    """What an error means: first what the HTTP status says by itself, then the code, then (v2) the error's type."""
    if status is None or status >= 500:  # noqa: PLR2004 - HTTP's own line
        return Meaning(Kind.AMBIGUOUS, "a failure at Stripe")
    if kind == "idempotency_error":
        return ERRORS[kind]
    if status in HTTP:
        return HTTP[status]
    if code is None and kind == "invalid_request_error":
        return NO_CODE
    return ERRORS.get(code or "") or ERRORS.get(kind or "", UNLISTED)


def fault_of(reason: str | None, table: Mapping[str, Meaning], status: Meaning) -> Fault:
    """Whose matter a failure is: by its reason, else by the status, else the recipient's."""
    listed = table.get(reason or "")
    return (listed and listed.fault) or status.fault or Fault.RECIPIENT
