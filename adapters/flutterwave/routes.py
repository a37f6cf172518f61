"""Where Flutterwave pays, and what its banks and wallets are called there.

Codes of wallets: github Flutterwave/Node-v3, documentation/transfers.md. Banks of Nigeria have the national codes (GET
/banks/NG). Other countries' banks want what we don't have (a branch, the recipient's e-mail) and are left out. Limits of one
transfer are not published: those here are low guesses [?], for which the setting `limits` stands in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from gateway.money import Asset, Money
from gateway.offramp import Corridor, Destination, Institution, Method


class Wallet(NamedTuple):
    """A bank or wallet as Flutterwave calls it."""

    code: str
    name: str


class Route(NamedTuple):
    """A country and method. The limits are in whole units."""

    country: str
    method: Method
    asset: Asset
    least: int
    most: int
    account: re.Pattern[str]
    """The form of an account: of a telephone number in E.164."""
    codes: Mapping[str, Wallet]
    """By our code of the institution."""

    @property
    def key(self) -> str:
        """Its name in the setting `limits`."""
        return f"{self.country}.{self.method}"

    def corridor(self, limits: Mapping[str, tuple[int, int]]) -> Corridor:
        """As the core knows it. Wallets are paid in whole units [?], banks to the kobo."""
        least, most = limits.get(self.key, (self.least, self.most))
        one = 10**self.asset.decimals
        return Corridor(
            country=self.country,
            method=self.method,
            asset=self.asset,
            least=Money(least * one, self.asset),
            most=Money(most * one, self.asset),
            step=Money(one if self.method is Method.MOBILE_MONEY else 1, self.asset),
            institutions=tuple(Institution(code=code, name=wallet.name) for code, wallet in self.codes.items()),
        )

    def number(self, account: str) -> str | None:
        """The account as Flutterwave writes it: a telephone number without the "+"; None if it has another form."""
        return account.removeprefix("+") if self.account.fullmatch(account) else None


def _wallets(country: str, asset: Asset, limits: tuple[int, int], phone: str, **codes: str) -> Route:
    named = {ours: Wallet(theirs, NAMES[ours]) for ours, theirs in codes.items()}
    return Route(country, Method.MOBILE_MONEY, asset, *limits, re.compile(phone), named)


NAMES: Mapping[str, str] = {
    "airtel": "Airtel Money", "airteltigo": "AirtelTigo Money", "amole": "Amole", "halopesa": "HaloPesa",
    "moov": "Moov Money", "mpesa": "M-PESA", "mtn": "MTN Mobile Money", "orange": "Orange Money", "tigo": "Tigo Pesa",
    "vodafone": "Telecel Cash", "wave": "Wave", "zamtel": "Zamtel Kwacha",
}  # fmt: skip
_NIGERIA = {
    "044": "Access Bank", "023": "Citibank Nigeria", "050": "Ecobank Nigeria", "070": "Fidelity Bank",
    "011": "First Bank of Nigeria", "214": "First City Monument Bank", "058": "Guaranty Trust Bank", "301": "Jaiz Bank",
    "082": "Keystone Bank", "076": "Polaris Bank", "101": "Providus Bank", "221": "Stanbic IBTC Bank",
    "068": "Standard Chartered Bank", "232": "Sterling Bank", "032": "Union Bank of Nigeria",
    "033": "United Bank for Africa", "215": "Unity Bank", "035": "Wema Bank", "057": "Zenith Bank",
}  # fmt: skip
_BANKS = {code: Wallet(code, name) for code, name in _NIGERIA.items()}
_KES, _GHS, _TZS, _ZMW, _ETB, _NGN = (Asset(code, 2) for code in ("KES", "GHS", "TZS", "ZMW", "ETB", "NGN"))
_UGX, _RWF, _XAF, _XOF = (Asset(code, 0) for code in ("UGX", "RWF", "XAF", "XOF"))

ROUTES = (
    Route("NG", Method.BANK, _NGN, 100, 1_000_000, re.compile(r"[0-9]{10}"), _BANKS),
    _wallets("KE", _KES, (10, 150_000), r"\+254[17][0-9]{8}", mpesa="MPS"),
    _wallets("GH", _GHS, (1, 5_000), r"\+233[25][0-9]{8}", airteltigo="AIRTELTIGO", mtn="MTN", vodafone="VODAFONE"),
    _wallets("UG", _UGX, (500, 1_000_000), r"\+2567[0-9]{8}", airtel="AIRTEL", mtn="MTN"),
    _wallets("RW", _RWF, (100, 500_000), r"\+2507[0-9]{8}", airtel="AIRTEL", mtn="MTN"),
    _wallets(
        "TZ", _TZS, (1_000, 1_000_000), r"\+255[67][0-9]{8}",
        airtel="AIRTEL", halopesa="HALOPESA", tigo="TIGO", mpesa="VODACOM",
    ),
    _wallets("ZM", _ZMW, (5, 5_000), r"\+260[79][0-9]{8}", airtel="MPS", mtn="MPS", zamtel="MPS"),
    _wallets("CM", _XAF, (500, 200_000), r"\+2376[0-9]{8}", mtn="MTN", orange="ORANGEMONEY"),
    _wallets("CI", _XOF, (500, 200_000), r"\+2250[0-9]{9}", moov="MOOV", mtn="MTN", orange="ORANGE", wave="WAVE"),
    _wallets("SN", _XOF, (500, 200_000), r"\+2217[0-9]{8}", orange="ORANGEMONEY", wave="WAVE"),
    _wallets("ET", _ETB, (50, 20_000), r"\+251[79][0-9]{8}", amole="AMOLEMONEY"),
)  # fmt: skip
COUNTRIES = tuple(route.country for route in ROUTES)
ASSETS: Mapping[str, Asset] = {route.asset.code: route.asset for route in ROUTES}


def route_of(to: Destination) -> Route | None:
    """The route to a recipient's country by their method."""
    return next((route for route in ROUTES if (route.country, route.method) == (to.country, to.method)), None)
