"""What goes to an anchor and comes back: SEP-24 transactions, SEP-38 quotes, and what a callback's signature is over."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit, urlunsplit

from adapters.sep24.settings import Sep24Settings
from gateway.money import Asset, Money
from gateway.offramp import Instruction
from gateway.railkit.documents import inner, money_of, text_of

QUOTE, OPEN, ONE, ALL = "/quote", "/transactions/withdraw/interactive", "/transaction", "/transactions"
LISTED_MOST = 100
_ID = re.compile(r"[A-Za-z0-9._~-]{1,100}")
_SIGNATURE = re.compile(r"t=([0-9]{1,12}), ?s=([A-Za-z0-9+/]{86}==)")
_URL = re.compile(r"https?://[!-~]+")
_NUMBER = re.compile(r"[A-Za-z0-9-]{1,100}")
URL_MOST = 4_000
"""As much as evidence can hold of one value."""


class Quote(NamedTuple):
    """A firm quote (SEP-38, POST /quote)."""

    id: str
    expires_at: datetime
    sell: Money
    fields: Mapping[str, Any]

    @classmethod
    def of(cls, fields: Mapping[str, Any], *, coin: Asset) -> Quote | None:
        """From an object; None if it is no quote."""
        id_, expires_at = _id(fields.get("id")), moment(fields.get("expires_at"))
        sell = money_of(fields.get("sell_amount"), coin)
        return cls(id_, expires_at, sell, fields) if id_ and expires_at and sell and sell.units else None


class Transaction(NamedTuple):
    """A transaction as an anchor shows it (SEP-24, "Transaction History")."""

    id: str
    status: str
    fields: Mapping[str, Any]

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Transaction | None:
        """From an object; None if it is no transaction."""
        id_, status = _id(fields.get("id")), text_of(fields.get("status"))
        return cls(id_, status, fields) if id_ and status else None

    def text(self, key: str) -> str | None:
        """A field that is a text."""
        return text_of(self.fields.get(key))

    def amount(self, key: str, asset: Asset) -> Money | None:
        """An amount that is told exactly, in an asset; None for anything else."""
        return money_of(self.fields.get(key), asset)

    def when(self, key: str) -> datetime | None:
        """A moment; None if none is told."""
        return moment(self.fields.get(key))

    def refunds(self, coin: Asset) -> Money | None:
        """What went back and what that cost, together; None if it isn't told."""
        told = inner(self.fields, "refunds")
        back, fee = money_of(told.get("amount_refunded"), coin), money_of(told.get("amount_fee", "0"), coin)
        return back + fee if back is not None and fee is not None else None


def moment(value: object) -> datetime | None:
    """A moment in UTC (ISO 8601; without a zone it is UTC by the SEPs)."""
    try:
        read = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    if read is None:
        return None
    return read.astimezone(UTC) if read.tzinfo else read.replace(tzinfo=UTC)


def quote_body(payment: Instruction, *, settings: Sep24Settings) -> dict[str, str]:
    """The body of POST /quote: exactly this much cash, whatever that takes in coins."""
    deliver = payment.deliver
    body = {
        "context": "sep24",
        "sell_asset": settings.asset_name,
        "buy_asset": currency_name(deliver.asset),
        "buy_amount": deliver.decimal(),
        "country_code": payment.to.country,
    }
    return body | ({"buy_delivery_method": settings.delivery_method} if settings.delivery_method else {})


def open_body(payment: Instruction, *, quote_id: str, sell: Money, settings: Sep24Settings) -> dict[str, str]:
    """The body of POST /transactions/withdraw/interactive, with what we know of the person as SEP-9 fields."""
    first, _, last = payment.to.holder.strip().partition(" ")
    person = {"first_name": first, "last_name": last.strip(), "mobile_number": payment.to.account}
    return {
        "asset_code": settings.asset_code,
        "asset_issuer": settings.asset_issuer,
        "destination_asset": currency_name(payment.deliver.asset),
        "amount": sell.decimal(),
        "quote_id": quote_id,
        "account": settings.keypair.public_key,
        "lang": "en",
        "refund_memo": refund_memo(payment.attempt_id),
        "refund_memo_type": "hash",
        **{key: text for key, text in person.items() if text},
    }


def refund_memo(attempt_id: str) -> str:
    """By what a refund is known as the attempt's, base64 of 32 bytes."""
    return base64.b64encode(hashlib.sha256(attempt_id.encode()).digest()).decode()


def currency_name(asset: Asset) -> str:
    """A currency as SEP-38 names it."""
    return f"iso4217:{asset.code}"


def page_url(text: str | None) -> str | None:
    """The address of a page of the anchor's, fit to be shown to people; None for anything else."""
    good = text is not None and len(text) <= URL_MOST and _URL.fullmatch(text) is not None
    return text if good else None


def pickup_number(transaction: Transaction) -> str | None:
    """What the recipient says at the counter; None if it isn't told."""
    number = transaction.text("external_transaction_id")
    return number if number and _NUMBER.fullmatch(number) else None


def with_callback(url: str, address: str) -> str:
    """The anchor's page, told where to call (SEP-24, "Adding parameters to the URL")."""
    parts = urlsplit(url)
    query = "&".join(each for each in (parts.query, urlencode({"on_change_callback": address})) if each)
    return urlunsplit(parts._replace(query=query))


def signature_of(headers: Mapping[str, str]) -> tuple[int, bytes] | None:
    """Time and signature out of a callback's headers (SEP-24, "URL Callback signature"); None if there is none."""
    found = _SIGNATURE.fullmatch((headers.get("signature") or headers.get("x-stellar-signature") or "").strip())
    return None if found is None else (int(found[1]), base64.b64decode(found[2]))


def signed_payloads(time: int, address: str, body: bytes) -> tuple[bytes, ...]:
    """What the signature may be over: the SEP says "host", and leaves open whether that has the port."""
    parts = urlsplit(address)
    hosts = {parts.netloc, parts.hostname or ""} - {""}
    return tuple(f"{time}.{host}.".encode() + body for host in sorted(hosts))


def _id(value: object) -> str | None:
    text = text_of(value)
    return text if text and _ID.fullmatch(text) else None
