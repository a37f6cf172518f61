"""Where Paycrest's providers pay out, as data: currencies, ways, institutions and Paycrest's codes of them.

Codes: docs.paycrest.io/resources/code-standards, and GET /v2/institutions/{currency} as public clients have stored it; the
setting `institutions` adds and corrects. Limits: an order has to be worth half a dollar at least; the greatest is each
provider's own affair [?], so the setting `limits` replaces these. Payments are made in whole units of the currency, because
nothing is documented about how providers round smaller ones.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from gateway.money import Asset, Money
from gateway.offramp import Corridor, Institution, Method

BANK, MOMO = Method.BANK, Method.MOBILE_MONEY


class Known(NamedTuple):
    """A bank or a wallet: our code, its name, Paycrest's code."""

    code: str
    name: str
    theirs: str


class Country(NamedTuple):
    """One country."""

    asset: Asset
    least: int
    most: int
    """In whole units of the currency."""
    phone: str
    """The form of a mobile number."""
    wallets: tuple[Known, ...] = ()
    banks: tuple[Known, ...] = ()
    account: str = r"[0-9]{6,20}"
    """The form of a bank account's number."""


COUNTRIES: Mapping[str, Country] = {
    "NG": Country(
        Asset("NGN", 2),
        1_000,
        500_000,
        r"\+234[789][0-9]{9}",
        banks=(
            Known("044", "Access Bank", "ABNGNGLA"),
            Known("050", "Ecobank Nigeria", "ECOCNGLA"),
            Known("070", "Fidelity Bank", "FIDTNGLA"),
            Known("011", "First Bank of Nigeria", "FBNINGLA"),
            Known("214", "First City Monument Bank", "FCMBNGLA"),
            Known("058", "Guaranty Trust Bank", "GTBINGLA"),
            Known("082", "Keystone Bank", "PLNINGLA"),
            Known("076", "Polaris Bank", "PRDTNGLA"),
            Known("221", "Stanbic IBTC Bank", "SBICNGLA"),
            Known("232", "Sterling Bank", "NAMENGLA"),
            Known("032", "Union Bank of Nigeria", "UBNINGLA"),
            Known("033", "United Bank for Africa", "UNAFNGLA"),
            Known("035", "Wema Bank", "WEMANGLA"),
            Known("057", "Zenith Bank", "ZEIBNGLA"),
            Known("kuda", "Kuda", "KUDANGPC"),
            Known("moniepoint", "Moniepoint", "MONINGPC"),
            Known("opay", "OPay", "OPAYNGPC"),
            Known("palmpay", "PalmPay", "PALMNGPC"),
        ),
        account=r"[0-9]{10}",
    ),
    "KE": Country(
        Asset("KES", 2),
        100,
        100_000,
        r"\+254[17][0-9]{8}",
        wallets=(Known("mpesa", "M-PESA", "SAFAKEPC"), Known("airtel", "Airtel Money", "AIRTKEPC")),
        banks=(
            Known("03", "Absa Bank Kenya", "BARCKENX"),
            Known("11", "Co-operative Bank of Kenya", "KCOOKENA"),
            Known("68", "Equity Bank", "EQBLKENA"),
            Known("01", "Kenya Commercial Bank", "KCBLKENX"),
            Known("31", "Stanbic Bank Kenya", "SBICKENX"),
            Known("02", "Standard Chartered Kenya", "SCBLKENX"),
        ),
    ),
    "GH": Country(
        Asset("GHS", 2),
        10,
        5_000,
        r"\+233[25][0-9]{8}",
        wallets=(
            Known("mtn", "MTN MoMo", "MOMOGHPC"),
            Known("vodafone", "Telecel Cash", "VODAGHPC"),
            Known("airteltigo", "AT Money", "AIRTGHPC"),
        ),
    ),
    "UG": Country(
        Asset("UGX", 0),
        2_000,
        1_000_000,
        r"\+256[37][0-9]{8}",
        wallets=(Known("mtn", "MTN MoMo", "MOMOUGPC"), Known("airtel", "Airtel Money", "AIRTUGPC")),
    ),
    "TZ": Country(
        Asset("TZS", 2),
        2_000,
        1_000_000,
        r"\+255[67][0-9]{8}",
        wallets=(
            Known("tigo", "Tigo Pesa", "TIGOTZPC"),
            Known("airtel", "Airtel Money", "AIRTTZPC"),
            Known("halopesa", "HaloPesa", "HALOTZPC"),
        ),
    ),
    "MW": Country(Asset("MWK", 2), 1_000, 500_000, r"\+265[89][0-9]{8}", wallets=(Known("tnm", "TNM Mpamba", "TNMPMWPC"),)),
}


def corridors(countries: tuple[str, ...], limits: Mapping[str, tuple[int, int]]) -> tuple[Corridor, ...]:
    """The corridors of these countries, with our limits or those of the settings, in whole units."""
    return tuple(
        _corridor(country, method, known, *limits.get(country, COUNTRIES[country][1:3]))
        for country in countries
        for method, known in ((BANK, COUNTRIES[country].banks), (MOMO, COUNTRIES[country].wallets))
        if known
    )


def _corridor(country: str, method: Method, known: tuple[Known, ...], least: int, most: int) -> Corridor:
    asset = COUNTRIES[country].asset
    whole = 10**asset.decimals
    return Corridor(
        country=country,
        method=method,
        asset=asset,
        least=Money(least * whole, asset),
        most=Money(most * whole, asset),
        step=Money(whole, asset),
        institutions=tuple(Institution(code=each.code, name=each.name) for each in known),
    )


def institution(country: str, method: Method, code: str | None, corrected: Mapping[str, str]) -> str | None:
    """Paycrest's code of a bank or wallet; None for one that isn't in the table. `corrected` is the setting."""
    place = COUNTRIES.get(country)
    listed = () if place is None else place.banks if method is BANK else place.wallets
    theirs = next((each.theirs for each in listed if each.code == code), None)
    return None if theirs is None else corrected.get(f"{country}:{code}", theirs)


def is_account(country: str, method: Method, account: str) -> bool:
    """Whether an account has the form of the country's bank accounts or mobile numbers."""
    place = COUNTRIES[country]
    return re.fullmatch(place.account if method is BANK else place.phone, account, re.ASCII) is not None
