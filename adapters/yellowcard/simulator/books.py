"""What the simulated Yellow Card has on its books: credentials, channels, networks, rates, offers waiting for acceptance."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from pydantic import BaseModel

from adapters.yellowcard.countries import COUNTRIES, Country
from gateway.offramp import Method
from gateway.railsim import Desk, Payment

RATES = {
    "NGN": "1500", "KES": "125", "GHS": "12.5", "UGX": "3750", "TZS": "2500", "RWF": "1250", "ZMW": "25", "ZAR": "18.75",
    "BWP": "13.75", "MWK": "1750", "XAF": "600", "XOF": "600",
}  # fmt: skip
"""Local currency for one US dollar."""
KINDS = {Method.BANK: ("bank", "bank"), Method.MOBILE_MONEY: ("momo", "phone")}
"""Channel type and account number type."""
WALLETS = {"mpesa": "MPESA", "airtel": "AIRTELMONEY", "mtn": "MTN_MOMO"}
"""How some networks are coded."""


class Credentials(BaseModel):
    """What a business would have from Yellow Card."""

    api_key: str
    secret_key: str

    @classmethod
    def of(cls, desk: Desk) -> Credentials:
        """Those on the desk's shelf, or new ones."""
        kept = desk.shelf.get("secrets", "yellowcard")
        if kept is not None:
            return cls.model_validate(kept)
        made = cls(api_key=secrets.token_hex(16), secret_key=secrets.token_hex(32))
        desk.shelf.put(("secrets", "yellowcard", made.model_dump()))
        return made


class Offer(BaseModel):
    """A submitted payment, whose rate is locked."""

    id: str
    payment: Payment
    expires_at: datetime
    denied: bool = False


class Offers:
    """The submitted payments, by their id and by the payer's."""

    def __init__(self, desk: Desk) -> None:
        self._shelf = desk.shelf

    def keep(self, offer: Offer) -> None:
        """Write it."""
        document = offer.model_dump(mode="json")
        self._shelf.put(("offer", offer.id, document), ("offer_of", offer.payment.id, {"id": offer.id}))

    def find(self, id: str) -> Offer | None:  # noqa: A002 - the word on the wire
        """By Yellow Card's id."""
        found = self._shelf.get("offer", id)
        return None if found is None else Offer.model_validate(found)

    def of_sequence(self, sequence_id: str) -> Offer | None:
        """By the payer's id."""
        found = self._shelf.get("offer_of", sequence_id)
        return None if found is None else self.find(found["id"])


def _id(*names: str) -> str:
    return str(uuid5(NAMESPACE_URL, "/".join(names)))


def _methods(country: Country) -> Iterator[Method]:
    if country.banks:
        yield Method.BANK
    if country.wallets:
        yield Method.MOBILE_MONEY


def channels(country: str | None) -> list[dict[str, Any]]:
    """Of each way: one that pays out, one of the same kind that is down, and one that takes money in."""
    return [
        _channel(code, place, method, ramp, status)
        for code, place in COUNTRIES.items()
        if country in (None, code)
        for method in _methods(place)
        for ramp, status in (("deposit", "active"), ("withdraw", "inactive"), ("withdraw", "active"))
    ]


def _channel(code: str, place: Country, method: Method, ramp: str, status: str) -> dict[str, Any]:
    return {
        "id": _id(code, method, ramp, status),
        "currency": place.asset.code,
        "countryCurrency": code + place.asset.code,
        "country": code,
        "status": "active",
        "apiStatus": status,
        "widgetStatus": status,
        "channelType": KINDS[method][0],
        "rampType": ramp,
        "min": place.least,
        "max": place.most,
        "feeLocal": 0,
        "feeUSD": 0,
        "settlementType": "instant",
        "estimatedSettlementTime": 60,
        "vendorId": _id(code, method),
        "balancer": {},
    }


def networks(country: str | None) -> list[dict[str, Any]]:
    """Every bank and wallet of the table, and beside each an inactive one of the same name."""
    return [
        {
            "id": _id(code, method, known.code, status),
            "code": known.code if method is Method.BANK else f"{WALLETS.get(known.code, known.code.upper())}_{code}",
            "status": status,
            "accountNumberType": KINDS[method][1],
            "country": code,
            "name": known.name,
            "channelIds": [each["id"] for each in channels(code) if each["channelType"] == KINDS[method][0]],
            "countryAccountNumberType": code + KINDS[method][1].upper(),
        }
        for code, place in COUNTRIES.items()
        if country in (None, code)
        for method in _methods(place)
        for known in (place.banks if method is Method.BANK else place.wallets)
        for status in ("inactive", "active")
    ]
