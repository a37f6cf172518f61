"""Every status and every error that Paystack answers with, in one table each.

Statuses: paystack.com/docs/transfers/how-transfers-work. Errors: Paystack's own list (github PaystackOSS/openapi,
errors/api-errors.json), which knows them by their text. What isn't listed is AMBIGUOUS.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from gateway.offramp import Fault
from gateway.railkit.meanings import UNLISTED, Kind, Meaning

OTP = "waits for a one-time password: switch off Settings > Preferences > Confirm transfers before sending at Paystack"

# fmt: off
STATUSES: Mapping[str, Meaning] = {
    # conclusive
    "success":   Meaning(Kind.PAID, "paid"),
    "failed":    Meaning(Kind.FAILED, "failed", Fault.RECIPIENT),
    "reversed":  Meaning(Kind.RETURNED, "could not be processed, the amount came back", Fault.RECIPIENT),
    "abandoned": Meaning(Kind.FAILED, f"nobody gave the one-time password in time; it {OTP}", Fault.RAIL),
    "blocked":   Meaning(Kind.FAILED, "blocked by Paystack", Fault.RAIL),
    "rejected":  Meaning(Kind.FAILED, "rejected by our own approval", Fault.RAIL),
    # not conclusive
    "pending":   Meaning(Kind.ACCEPTED, "in process"),
    "received":  Meaning(Kind.ACCEPTED, "waits in a batch, or for our own approval"),
    "otp":       Meaning(Kind.AMBIGUOUS, OTP, Fault.RAIL),
}


def _not_taken(text: str, fault: Fault) -> Meaning:
    return Meaning(Kind.NOT_PROCESSED, text, fault)


_RECIPIENT, _RAIL = Fault.RECIPIENT, Fault.RAIL
_NOT_FOUND = Meaning(Kind.AMBIGUOUS, "not found, which may change")

ERRORS: Mapping[str, Meaning] = {
    "your balance is not enough to fulfill this request":  _not_taken("our balance is too low", Fault.FLOAT),
    "your balance is not enough to fulfil this request":   _not_taken("our balance is too low", Fault.FLOAT),
    "please provide a unique reference":                   Meaning(Kind.DUPLICATE, "this reference arrived before"),
    "transfer not found":                                  _NOT_FOUND,
    "transfer id/code specified is invalid":               _NOT_FOUND,
    "system malfunction":                                  Meaning(Kind.AMBIGUOUS, "a failure at the bank"),
    "you need to disable the otp requirement":             _not_taken(f"a transfer {OTP}", _RAIL),
    "you cannot initiate third party payouts":             _not_taken("our business isn't registered", _RAIL),
    "your reference contains illegal special characters":  _not_taken("our reference is refused", _RAIL),
    "invalid entries found":                               _not_taken("our reference is refused", _RAIL),
    "invalid amount":                                      _not_taken("an amount that isn't taken", _RECIPIENT),
    "recipient specified is invalid":                      _not_taken("the recipient's code is unknown", _RAIL),
    "sorry, we can't make the transfer to this recipient": _not_taken("the account is watched", _RECIPIENT),
    "account closed":                                      _not_taken("the account is closed", _RECIPIENT),
    "account number is invalid":                           _not_taken("the account number is wrong", _RECIPIENT),
    "account number is required":                          _not_taken("the account number is missing", _RAIL),
    "account number should be numeric":                    _not_taken("the account number is wrong", _RECIPIENT),
    "cannot resolve account":                              _not_taken("no such account at this bank", _RECIPIENT),
    "could not resolve account name":                      _not_taken("no such account at this bank", _RECIPIENT),
    "bank is invalid":                                     _not_taken("no such account at this bank", _RECIPIENT),
    "bank code is invalid":                                _not_taken("the bank's code is wrong", _RAIL),
    "unknown bank code":                                   _not_taken("the bank's code is wrong", _RAIL),
    "bank_code is required":                               _not_taken("the bank's code is missing", _RAIL),
    "invalid key":                                         _not_taken("our secret key is wrong", _RAIL),
    "no authorization header was found":                   _not_taken("our secret key is missing", _RAIL),
    "format is authorization bearer":                      _not_taken("our secret key is misspelled", _RAIL),
    "your ip address is not allowed":                      _not_taken("our address isn't on the list", _RAIL),
    "error: you do not have privileges for this action":   _not_taken("our key may not pay", _RAIL),
    "integration has been deactivated":                    _not_taken("our account is deactivated", _RAIL),
    "please wait a few minutes and try again":             _not_taken("too many requests", Fault.TRANSIENT),
}
"""By the beginning of the text, in lower case. The list is Paystack's; "your ip address" is what its clients report."""
# fmt: on

EVENTS: Mapping[str, str] = {
    "transfer.success": "success",
    "transfer.failed": "failed",
    "transfer.reversed": "reversed",
}
"""The events about transfers, and the status that the transfer has in them."""


def error(message: str) -> Meaning:
    """What an error means, by its text."""
    text = re.sub(r"\s+", " ", message).strip().casefold()
    return next((means for begins, means in ERRORS.items() if text.startswith(begins)), UNLISTED)
