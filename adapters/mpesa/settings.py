"""The settings of the M-Pesa adapter, checked when it is made."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from pydantic import AfterValidator, Field, SecretStr

from gateway.money import Asset, Money, MoneyError
from gateway.railkit.settings import RailSettings, Secret

KES = Asset("KES", 2)
PEM_MARK = "-----BEGIN CERTIFICATE-----"
Kind = Literal["payout", "return", "top_up", "fee", "other"]
"""What a line of a statement is; the words of `gateway.offramp.LineKind`."""


def _password(secret: SecretStr) -> SecretStr:
    if set("()") & set(secret.get_secret_value()):
        raise ValueError
    return secret


def _readable(certificate: str) -> str:
    try:
        public_key(certificate)
    except OSError as error:
        raise ValueError(type(error).__name__) from None
    return certificate


def public_key(certificate: str) -> RSAPublicKey:
    """The RSA key of a certificate given as PEM text or as the path of a PEM or DER file.

    Its dates aren't looked at: the certificates that Safaricom publishes are past theirs. Raises ValueError or OSError.
    """
    data = certificate.encode() if PEM_MARK in certificate else Path(certificate).expanduser().read_bytes()
    loaded = x509.load_pem_x509_certificate(data) if PEM_MARK.encode() in data else x509.load_der_x509_certificate(data)
    key = loaded.public_key()
    if not isinstance(key, RSAPublicKey):
        raise ValueError("the certificate holds no RSA key")  # noqa: TRY004 - the value is wrong, not its type
    return key


def _amount(text: str | None) -> str | None:
    try:
        return text if text is None else Money.parse(text, KES).decimal()
    except MoneyError:
        raise ValueError from None


class MpesaSettings(RailSettings):
    """What stands under [adapters.NAME]. Each description says what would be right."""

    consumer_key: Secret = Field(description="the consumer key of the Daraja app")
    consumer_secret: Secret = Field(description="the consumer secret of the Daraja app")
    initiator_name: str = Field(min_length=1, description="the API operator's user name on the M-PESA portal")
    initiator_password: Annotated[Secret, AfterValidator(_password)] = Field(
        description='the API operator\'s password; Daraja refuses "(" and ")" in it'
    )
    certificate: Annotated[str, AfterValidator(_readable)] = Field(
        repr=False,
        description="Safaricom's certificate for this environment: the path of a PEM or DER file, or the PEM text",
    )
    short_code: str = Field(pattern=r"^[0-9]{5,9}$", description="the B2C short code that pays: 5 to 9 digits")
    command_id: Literal["BusinessPayment", "SalaryPayment", "PromotionPayment"] = Field(
        default="BusinessPayment", description="BusinessPayment, SalaryPayment or PromotionPayment"
    )
    remarks: str = Field(
        default="Lastmile payout", min_length=2, max_length=100, description="2 to 100 characters that Safaricom keeps"
    )
    returns_within_s: int = Field(
        default=604_800, gt=0, description="seconds after a payment in which Safaricom may still reverse it, above 0"
    )
    top_up_below: Annotated[str | None, AfterValidator(_amount)] = Field(
        default=None, description='shillings in the Utility account below which a person is told, as in "500000"'
    )
    statuses: Mapping[str, Literal["pending", "failed", "returned", "unknown"]] = Field(
        default_factory=lambda: dict(ASSUMED_STATUSES),
        description='what the words of TransactionStatus mean: "pending", "failed", "returned" or "unknown"',
    )
    reasons: Mapping[str, Kind] = Field(
        default_factory=lambda: dict(ASSUMED_REASONS),
        description='what the words of "Reason Type" in a statement mean: "payout", "return", "top_up", "fee" or "other"',
    )

    @property
    def returns_within(self) -> timedelta:
        """For `Capabilities.returns_within`."""
        return timedelta(seconds=self.returns_within_s)


ASSUMED_STATUSES: Mapping[str, Literal["pending", "failed", "returned", "unknown"]] = {
    "Pending": "pending",
    "Failed": "failed",
    "Cancelled": "failed",
    "Declined": "failed",
    "Expired": "failed",
    "Reversed": "returned",
}
"""Words that Safaricom does not publish (it publishes "Completed" only): taken at their face, and a setting therefore."""

ASSUMED_REASONS: Mapping[str, Kind] = {
    "Business Payment to Customer via API": "payout",
    "Business Payment to Customer": "payout",
    "Business Payment to Customer Withdrawal Charge Paid via API": "payout",
    "Salary Payment via API": "payout",
    "Salary Payment": "payout",
    "Promotion Payment via API": "payout",
    "Promotion Payment": "payout",
    "Fee For B2C Payment": "fee",
    "B2C Payment Charge": "fee",
    "Business Payment to Customer Charge": "fee",
    "B2C Payment Reversal": "return",
    "Business Payment to Customer Reversal": "return",
}
"""What words in "Reason Type" mean, at their face: a setting therefore."""
