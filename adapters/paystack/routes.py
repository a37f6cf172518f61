"""Where Paystack pays, by which kind of recipient, and what its banks and wallets are called there.

Kinds: paystack.com/docs/transfers/creating-transfer-recipients. Codes: GET /bank of each country; banks have the national
ones. Limits of one transfer are not published: those here are low guesses [?], for which the setting `limits` stands in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from gateway.money import Asset, Money
from gateway.offramp import Corridor, Destination, Institution, Method

NGN, GHS, KES, ZAR = (Asset(code, 2) for code in ("NGN", "GHS", "KES", "ZAR"))
ASSETS: Mapping[str, Asset] = {asset.code: asset for asset in (NGN, GHS, KES, ZAR)}
WHOLE = 100
"""Smallest units in one naira, cedi, shilling or rand."""


class Bank(NamedTuple):
    """A bank or wallet as Paystack calls it."""

    code: str
    name: str


class Route(NamedTuple):
    """A country and method. The limits are in whole units."""

    kind: str
    """The recipient's type at Paystack."""
    country: str
    method: Method
    asset: Asset
    least: int
    most: int
    step: int
    """In smallest units."""
    account: re.Pattern[str]
    """The form of an account. Of a telephone number the group is what follows the country's prefix."""
    banks: Mapping[str, Bank]
    """By our code of the institution."""
    resolves: bool = False
    """Whether Paystack tells whose account it is."""

    @property
    def key(self) -> str:
        """Its name in the setting `limits`."""
        return f"{self.country}.{self.method}"

    def corridor(self, limits: Mapping[str, tuple[int, int]]) -> Corridor:
        """As the core knows it."""
        least, most = limits.get(self.key, (self.least, self.most))
        return Corridor(
            country=self.country,
            method=self.method,
            asset=self.asset,
            least=Money(least * WHOLE, self.asset),
            most=Money(most * WHOLE, self.asset),
            step=Money(self.step, self.asset),
            institutions=tuple(Institution(code=code, name=bank.name) for code, bank in self.banks.items()),
        )

    def number(self, account: str) -> str | None:
        """The account as Paystack writes it: a telephone number with a 0 and no country; None if it has another form."""
        match = self.account.fullmatch(account)
        if match is None:
            return None
        return f"0{match[1]}" if match.re.groups else account


def _national(**names: str) -> dict[str, Bank]:
    """Banks whose code at Paystack is the national one."""
    return {code.removeprefix("_"): Bank(code.removeprefix("_"), name) for code, name in names.items()}


_NIGERIA = _national(
    _044="Access Bank", _023="Citibank Nigeria", _050="Ecobank Nigeria", _070="Fidelity Bank",
    _011="First Bank of Nigeria", _214="First City Monument Bank", _058="Guaranty Trust Bank", _301="Jaiz Bank",
    _082="Keystone Bank", _50211="Kuda Bank", _50515="Moniepoint MFB", _999992="OPay", _999991="PalmPay",
    _076="Polaris Bank", _101="Providus Bank", _221="Stanbic IBTC Bank", _068="Standard Chartered Bank",
    _232="Sterling Bank", _032="Union Bank of Nigeria", _033="United Bank for Africa", _215="Unity Bank",
    _035="Wema Bank", _057="Zenith Bank",
)  # fmt: skip
_GHANA = _national(
    _030100="Absa Bank Ghana", _280100="Access Bank Ghana", _080100="Agricultural Development Bank", _140100="CalBank",
    _130100="Ecobank Ghana", _240100="Fidelity Bank Ghana", _040100="GCB Bank", _230100="Guaranty Trust Bank Ghana",
    _190100="Stanbic Bank Ghana", _020100="Standard Chartered Bank Ghana", _060100="United Bank for Africa Ghana",
    _120100="Zenith Bank Ghana",
)  # fmt: skip
_KENYA = _national(
    _01="Kenya Commercial Bank", _02="Standard Chartered Bank Kenya", _03="Absa Bank Kenya", _07="NCBA Bank Kenya",
    _11="Co-operative Bank of Kenya", _31="Stanbic Bank Kenya", _43="Ecobank Kenya", _57="I&M Bank Kenya",
    _63="Diamond Trust Bank Kenya", _68="Equity Bank Kenya", _70="Family Bank",
)  # fmt: skip
_SOUTH_AFRICA = _national(
    _632005="Absa Bank", _430000="African Bank", _470010="Capitec Bank", _679000="Discovery Bank",
    _250655="First National Bank", _580105="Investec Bank", _198765="Nedbank", _051001="Standard Bank of South Africa",
    _678910="TymeBank",
)  # fmt: skip
_WALLETS_GHANA = {
    "mtn": Bank("MTN", "MTN Mobile Money"),
    "airteltigo": Bank("ATL", "AirtelTigo Money"),
    "vodafone": Bank("VOD", "Telecel Cash"),
}
_WALLETS_KENYA = {"mpesa": Bank("MPESA", "M-PESA")}
_BANK, _WALLET = Method.BANK, Method.MOBILE_MONEY
_PHONE_GHANA, _PHONE_KENYA = re.compile(r"\+233([25][0-9]{8})"), re.compile(r"\+254([17][0-9]{8})")

ROUTES = (
    Route("nuban", "NG", _BANK, NGN, 100, 5_000_000, 1, re.compile(r"[0-9]{10}"), _NIGERIA, resolves=True),
    Route("ghipss", "GH", _BANK, GHS, 1, 50_000, 1, re.compile(r"[0-9]{10,16}"), _GHANA, resolves=True),
    Route("mobile_money", "GH", _WALLET, GHS, 1, 5_000, 1, _PHONE_GHANA, _WALLETS_GHANA, resolves=True),
    Route("kepss", "KE", _BANK, KES, 100, 900_000, 1, re.compile(r"[0-9]{8,16}"), _KENYA),
    Route("mobile_money", "KE", _WALLET, KES, 100, 150_000, WHOLE, _PHONE_KENYA, _WALLETS_KENYA),
    Route("basa", "ZA", _BANK, ZAR, 10, 100_000, 1, re.compile(r"[0-9]{6,13}"), _SOUTH_AFRICA),
)
COUNTRIES = tuple(dict.fromkeys(route.country for route in ROUTES))


def route_of(to: Destination) -> Route | None:
    """The route to a recipient's country by their method."""
    return next((route for route in ROUTES if (route.country, route.method) == (to.country, to.method)), None)
