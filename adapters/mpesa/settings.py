"""The settings of the M-Pesa adapter, checked when it is made."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError

from gateway.offramp import BadSettings

PEM_MARK = "-----BEGIN CERTIFICATE-----"
Kind = Literal["payout", "return", "top_up", "fee", "other"]
"""What a line of a statement is; the words of `gateway.offramp.LineKind`."""


def _http_url(text: str) -> str:
    parts = urlsplit(text)
    # A user name in the address would replace the token in the Authorization header.
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise ValueError
    return text.rstrip("/")


def _filled(secret: SecretStr) -> SecretStr:
    if not secret.get_secret_value().strip():
        raise ValueError
    return secret


def _password(secret: SecretStr) -> SecretStr:
    if set("()") & set(secret.get_secret_value()):
        raise ValueError
    return _filled(secret)


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


class MpesaSettings(BaseModel):
    """What stands under [adapters.NAME]. Each description says what would be right."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True, hide_input_in_errors=True)

    base_url: Annotated[str, AfterValidator(_http_url)] = Field(
        description='the address of Daraja, such as "https://api.safaricom.co.ke"; a path before its own is allowed'
    )
    consumer_key: Annotated[SecretStr, AfterValidator(_filled)] = Field(description="the consumer key of the Daraja app")
    consumer_secret: Annotated[SecretStr, AfterValidator(_filled)] = Field(
        description="the consumer secret of the Daraja app"
    )
    initiator_name: str = Field(min_length=1, description="the API operator's user name on the M-PESA portal")
    initiator_password: Annotated[SecretStr, AfterValidator(_password)] = Field(
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
    answer_within_s: float = Field(default=30, gt=0, le=300, description="seconds for one call, above 0 and up to 300")
    settles_within_s: int = Field(default=600, gt=0, description="seconds until a silent payment deserves a person's look")
    resend_within_s: int = Field(
        default=86_400, ge=0, description="seconds for which Daraja remembers an OriginatorConversationID"
    )
    statuses: Mapping[str, Literal["pending", "failed", "returned", "unknown"]] = Field(
        default_factory=lambda: dict(ASSUMED_STATUSES),
        description='what the words of TransactionStatus mean: "pending", "failed", "returned" or "unknown"',
    )
    reasons: Mapping[str, Kind] = Field(
        default_factory=lambda: dict(ASSUMED_REASONS),
        description='what the words of "Reason Type" in a statement mean: "payout", "return", "top_up", "fee" or "other"',
    )

    @classmethod
    def read(cls, settings: Mapping[str, object]) -> MpesaSettings:
        """Check settings from the configuration. Raises `BadSettings` with one sentence per key, and no value."""
        try:
            return cls.model_validate(dict(settings))
        except ValidationError as error:
            keys = {str(each["loc"][0]) for each in error.errors()}
        raise BadSettings({key: cls._right(key) for key in sorted(keys)})

    @classmethod
    def _right(cls, key: str) -> str:
        field = cls.model_fields.get(key)
        return (
            f"is no setting of mpesa; there are {', '.join(cls.model_fields)}"
            if field is None
            else f"give {field.description}"
        )


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
