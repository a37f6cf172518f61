"""The JSON of the GSMA Mobile Money API 1.2: what we send and what we read.

Source: the OpenAPI document of version 1.2.0, paths /transactions/type/disbursement, /requeststates, /responses,
/transactions, /accounts, /heartbeat.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import quote

from adapters.gsma_mm.profile import Profile
from adapters.gsma_mm.settings import GsmaSettings
from gateway.offramp import Corridor, Destination, Instruction, OutsideLimits
from gateway.railkit.documents import document_or_empty, inner, text_of
from gateway.railkit.http import Answer

DISBURSEMENT = "/transactions/type/disbursement"
HEARTBEAT = "/heartbeat"
REVERSAL = b'{"type":"reversal"}'

OK, CREATED, ACCEPTED, NO_CONTENT, UNAUTHORISED, NOT_FOUND = 200, 201, 202, 204, 401, 404

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_ID = r"[A-Za-z0-9][A-Za-z0-9._~-]{0,255}"
_LINK = re.compile(rf"(?:^|/)(transactions|requeststates)/({_ID})\Z")
_SMALL = re.compile(r"[0-9]{1,9}")
_REFERENCE = re.compile(_ID)


class Resource(NamedTuple):
    """What a link or a reference of ours names: "transactions" or "requeststates", and its id."""

    kind: str
    id: str

    @property
    def path(self) -> str:
        """Its path under the profile's base path."""
        return f"/{self.kind}/{self.id}"


def encoded(body: Mapping[str, object]) -> bytes:
    """JSON as it goes out: these bytes are hashed and sent."""
    return json.dumps(body, separators=(",", ":")).encode()


def content_hash(body: bytes) -> str:
    """The value of X-Content-Hash: SHA-256 of the body, in hexadecimal."""
    return hashlib.sha256(body).hexdigest()


def stamp(now: datetime) -> str:
    """The value of X-Date: ISO 8601 in UTC with milliseconds."""
    return f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03}Z"


def payment_body(*, profile: Profile, settings: GsmaSettings, corridor: Corridor, instruction: Instruction) -> bytes:
    """The body of a disbursement. Raises `OutsideLimits` for an account that is no phone number of its country."""
    payee = msisdn(profile, instruction.to.account, prefix=profile.prefix(corridor))
    return encoded({
        "amount": instruction.deliver.decimal(),
        "currency": instruction.deliver.asset.code,
        "debitParty": [{"key": profile.debit_identifier, "value": settings.account.get_secret_value()}],
        "creditParty": [{"key": profile.credit_identifier, "value": payee}],
        "requestingOrganisationTransactionReference": instruction.attempt_id,
        "descriptionText": settings.description,
    })  # fmt: skip


def msisdn(profile: Profile, account: str, *, prefix: str) -> str:
    """A phone number as the operator writes it, from E.164. Raises `OutsideLimits`."""
    if not _E164.fullmatch(account) or not account.startswith(prefix):
        raise OutsideLimits(f"{profile.operator} pays to phone numbers in E.164 that begin with {prefix}")
    return account if profile.plus else account.removeprefix("+")


def account_path(profile: Profile, to: Destination, what: str) -> str:
    """The path of "accountname" or "status" of a recipient's account. Raises `OutsideLimits`."""
    prefix = next((each.prefix for each in profile.corridors if each.country == to.country), None)
    if prefix is None:
        raise OutsideLimits(f"{profile.operator} has no accounts in {to.country}")
    identifier = quote(msisdn(profile, to.account, prefix=prefix), safe="")
    return f"/accounts/{profile.credit_identifier}/{identifier}/{what}"


def balance_path(profile: Profile, settings: GsmaSettings) -> str:
    """The path of our own account's balance."""
    return f"/accounts/{profile.debit_identifier}/{quote(settings.account.get_secret_value(), safe='')}/balance"


def linked(answer: Answer) -> Resource | None:
    """What the answer of /responses/{clientCorrelationId} links to; only its kind and id are followed, never its host."""
    link = text_of(document_or_empty(answer.body).get("link")) if answer.status == OK else None
    match = _LINK.search(link.partition("?")[0]) if link else None
    return Resource(match[1], match[2]) if match else None


def named(provider_ref: str | None) -> Resource | None:
    """What an earlier report's reference names: a request's state, or a transaction."""
    if provider_ref is None:
        return None
    match = _LINK.fullmatch(provider_ref)
    if match:
        return Resource(match[1], match[2])
    return Resource("transactions", provider_ref) if _REFERENCE.fullmatch(provider_ref) else None


def made_by(values: Mapping[str, Any]) -> Resource | None:
    """The transaction that a completed request has made."""
    ref = text_of(values.get("objectReference")) if values.get("status") == "completed" else None
    return Resource("transactions", ref) if ref is not None and _REFERENCE.fullmatch(ref) else None


def is_small(text: str) -> bool:
    """Whether a text is a whole number below a thousand million."""
    return _SMALL.fullmatch(text) is not None


def error_of(values: Mapping[str, Any]) -> tuple[str | None, str | None, str | None]:
    """(errorCode, errorCategory, description) of an error object; the document spells the last one in two ways."""
    text = text_of(values.get("errorDescription")) or text_of(values.get("errordescription"))
    return text_of(values.get("errorCode")), text_of(values.get("errorCategory")), text


def error_in(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """The error object of a request's state, or of an error answer."""
    return inner(values, "error") or values
