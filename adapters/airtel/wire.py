"""Airtel's JSON: what we send and what we read. The codes are in `codes`.

Sources: global-121/121-platform (`airtel.api.service.ts` and its mock service: what runs in production in Zambia), and the
pages of developers.airtel.africa as quoted by fredpatch/ono_ticketr_server.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from adapters.airtel.codes import meaning
from adapters.airtel.places import PLACES
from adapters.airtel.settings import AirtelSettings
from gateway.money import Asset, Money
from gateway.offramp import ForgedCallback, Instruction, Outcome, Report
from gateway.railkit.documents import Unreadable, document, document_or_empty, inner, money_of, text_of
from gateway.railkit.evidence import chosen, clean
from gateway.railkit.http import Answer
from gateway.railkit.meanings import UNLISTED, Kind, Meaning, report_of
from gateway.railkit.tokens import Token

TOKEN_PATH = "/auth/oauth2/token"  # noqa: S105 - an address
HTTP_OK = 200

_ATTEMPT = re.compile(r"att([0-9A-Z]{26})")
_EVIDENCE = frozenset({"response_code", "result_code", "status_code", "error", "code", "id", "status", "reference_id"})


class Said(NamedTuple):
    """What an answer about a payment says."""

    code: str
    means: Meaning
    transaction: Mapping[str, Any]
    message: str
    evidence: dict[str, str]

    @property
    def reason(self) -> str:
        """For people: code and what it means. Airtel's own words stay out: they hold the recipient's number and name."""
        return f"{clean(self.code)}: {self.means.text}"


def transaction_id(attempt_id: str) -> str:
    """Our id at Airtel: of letters and digits only, for what else may stand in one isn't published."""
    return attempt_id.replace("_", "")


def attempt_id(id_: object) -> str | None:
    """The attempt whose id at Airtel this is; None if it is none of ours."""
    match = _ATTEMPT.fullmatch(id_) if isinstance(id_, str) else None
    return None if match is None else f"att_{match[1]}"


def headers(country: str, token: str) -> dict[str, str]:
    """Of every request about a country's wallets."""
    return {
        "authorization": f"Bearer {token}",
        "x-country": country,
        "x-currency": PLACES[country].asset.code,
        "accept": "*/*",
    }


def payment_body(*, settings: AirtelSettings, instruction: Instruction, msisdn: str, pin: str) -> dict[str, object]:
    """The body of a disbursement, version 2; with `wallet_type` as far as version 3 is known."""
    kind = {} if settings.wallet_type is None else {"wallet_type": settings.wallet_type}
    asset, id_ = instruction.deliver.asset, transaction_id(instruction.attempt_id)
    return {
        "payee": {"currency": asset.code, "msisdn": msisdn, **kind},
        "reference": id_,
        "pin": pin,
        "transaction": {"amount": instruction.deliver.units // 10**asset.decimals, "id": id_, "type": "B2C"},
    }


def token_of(answer: Answer) -> Token | None:
    """{"access_token": "...", "expires_in": "180"}: the seconds come as number or text. None if it is none."""
    given = document_or_empty(answer.body)
    value, life = text_of(given.get("access_token")), text_of(given.get("expires_in"))
    if answer.status != HTTP_OK or value is None or not (life or "").isdecimal():
        return None
    return Token(value, int(life or 0))


def said(answer: Answer) -> Said:
    """What an answer says, failures included: many come as HTTP 200."""
    given = document_or_empty(answer.body)
    status, transaction = inner(given, "status"), inner(given, "data", "transaction")
    codes = (status.get("response_code"), status.get("result_code"), given.get("status_code"), given.get("error"))
    # A result code stands beside every response code: it says something only where it stands alone.
    code = next((text for each in codes if (text := text_of(each)) is not None), f"HTTP {answer.status}")
    means = meaning(code, word=text_of(transaction.get("status")))
    if answer.status >= 500:  # noqa: PLR2004 - HTTP's
        code, means = f"HTTP {answer.status}", UNLISTED
    evidence = {"http_status": str(answer.status), **chosen(given, _EVIDENCE), **chosen(status, _EVIDENCE)}
    evidence |= {f"transaction.{key}": value for key, value in chosen(transaction, _EVIDENCE).items()}
    return Said(code, means, transaction, text_of(status.get("message")) or "", evidence)


def report(about: Said, *, attempt: str, ordered: Money) -> Report:
    """What became of a payment. The amount is the one in Airtel's message; if it names none, the ordered one."""
    told = text_of(about.transaction.get("id"))
    if told not in (None, transaction_id(attempt)):
        return Report(outcome=Outcome.UNKNOWN, reason="the answer is about another payment", evidence=about.evidence)
    if about.means.kind is not Kind.PAID:
        return report_of(about.means, reason=about.reason, provider_ref=_reference(about), evidence=about.evidence)
    return _paid(about, delivered=amount_in(about.message, ordered.asset) or ordered)


def _paid(about: Said, *, delivered: Money) -> Report:
    reference = _reference(about)
    if reference is None:
        reason = "paid, it says, but not by which reference"
        return Report(outcome=Outcome.UNKNOWN, reason=reason, evidence=about.evidence)
    receipt = text_of(about.transaction.get("reference_id"))
    return Report(
        outcome=Outcome.PAID, provider_ref=reference, receipt=receipt, delivered=delivered, evidence=about.evidence
    )


def _reference(about: Said) -> str | None:
    money_id = text_of(about.transaction.get("airtel_money_id"))
    return money_id or text_of(about.transaction.get("reference_id"))


def amount_in(message: str, asset: Asset) -> Money | None:
    """The amount in "You have sent ZMW 10.00 to ..."; None if the message names none in this currency."""
    match = re.search(rf"\bsent {asset.code} ([0-9][0-9,]*(?:\.[0-9]+)?)", message)
    return None if match is None else money_of(match[1].replace(",", ""), asset)


def called(body: bytes) -> tuple[str | None, Mapping[str, Any]]:
    """Whom a callback is about, None if no attempt of ours, and its transaction. Raises `ForgedCallback`.

    {"transaction": {"id": "...", "message": "...", "status_code": "TS", "airtel_money_id": "..."}}, as for collections.
    """
    try:
        transaction = inner(document(body), "transaction")
    except Unreadable as error:
        raise ForgedCallback(f"the callback is {error}") from None
    if not transaction:
        raise ForgedCallback("the callback holds no transaction")
    return attempt_id(transaction.get("id")), transaction
