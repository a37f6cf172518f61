"""Where Yellow Card pays out, as data: currencies, ways, banks and wallets, and how theirs are recognised.

Countries: docs.yellowcard.engineering/docs/africa. Limits: "sellMinLocal" and "sellMaxLocal" of the page Get Crypto Config,
which are examples of another product's and not ours [?]; a channel's own limits are asked for before each payment, and the
setting `limits` replaces these. `localAmount` is an integer, so that every currency is paid in whole units.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from gateway.money import Asset, Money
from gateway.offramp import Corridor, Institution, Method

BANK, MOMO = Method.BANK, Method.MOBILE_MONEY


class Known(NamedTuple):
    """A bank or a wallet: our code, its name, and what Yellow Card's `code` or `name` of it contains, in plain letters."""

    code: str
    name: str
    signs: tuple[str, ...] = ()
    """Of wallets. A bank is recognised by its national code alone, which is Yellow Card's `code` too."""


class Country(NamedTuple):
    """One country."""

    asset: Asset
    least: int
    most: int
    """In whole units of the currency."""
    dial: str
    """Calling code and the form of a mobile number behind it."""
    wallets: tuple[Known, ...] = ()
    banks: tuple[Known, ...] = ()
    account: str = r"[0-9]{5,20}"
    """The form of a bank account's number."""


NGN, KES, GHS, TZS = Asset("NGN", 2), Asset("KES", 2), Asset("GHS", 2), Asset("TZS", 2)
ZMW, ZAR, BWP, MWK = Asset("ZMW", 2), Asset("ZAR", 2), Asset("BWP", 2), Asset("MWK", 2)
UGX, RWF, XAF, XOF = Asset("UGX", 0), Asset("RWF", 0), Asset("XAF", 0), Asset("XOF", 0)
USD = Asset("USD", 2)

_AIRTEL = Known("airtel", "Airtel Money", ("airtel",))
_MTN = Known("mtn", "MTN MoMo", ("mtn",))
_ORANGE = Known("orange", "Orange Money", ("orange",))

COUNTRIES: Mapping[str, Country] = {
    "NG": Country(
        NGN,
        10_000,
        500_000,
        r"\+234[789][0-9]{9}",
        banks=(
            Known("044", "Access Bank"),
            Known("050", "Ecobank Nigeria"),
            Known("070", "Fidelity Bank"),
            Known("011", "First Bank of Nigeria"),
            Known("214", "First City Monument Bank"),
            Known("058", "Guaranty Trust Bank"),
            Known("082", "Keystone Bank"),
            Known("076", "Polaris Bank"),
            Known("221", "Stanbic IBTC Bank"),
            Known("232", "Sterling Bank"),
            Known("032", "Union Bank of Nigeria"),
            Known("033", "United Bank for Africa"),
            Known("215", "Unity Bank"),
            Known("035", "Wema Bank"),
            Known("057", "Zenith Bank"),
        ),
        account=r"[0-9]{10}",
    ),
    "KE": Country(
        KES,
        1_000,
        50_000,
        r"\+254[17][0-9]{8}",
        wallets=(Known("mpesa", "M-PESA", ("mpesa", "safaricom")), _AIRTEL),
    ),
    "UG": Country(UGX, 15_000, 400_000, r"\+256[37][0-9]{8}", wallets=(_MTN, _AIRTEL)),
    "TZ": Country(
        TZS,
        2_500,
        5_000_000,
        r"\+255[67][0-9]{8}",
        wallets=(
            Known("mpesa", "Vodacom M-Pesa", ("mpesa", "vodacom")),
            Known("tigo", "Tigo Pesa", ("tigo", "mixx")),
            _AIRTEL,
            Known("halopesa", "HaloPesa", ("halo",)),
        ),
    ),
    "RW": Country(RWF, 10_000, 500_000, r"\+2507[0-9]{8}", wallets=(_MTN, _AIRTEL)),
    "ZM": Country(
        ZMW, 200, 10_000, r"\+260[79][0-9]{8}", wallets=(_MTN, _AIRTEL, Known("zamtel", "Zamtel Money", ("zamtel",)))
    ),
    "GH": Country(
        GHS,
        50,
        5_000,
        r"\+233[25][0-9]{8}",
        wallets=(
            _MTN,
            Known("vodafone", "Telecel Cash", ("vodafone", "telecel")),
            Known("airteltigo", "AT Money", ("airteltigo", "atmoney")),
        ),
    ),
    "CM": Country(XAF, 5_000, 500_000, r"\+2376[0-9]{8}", wallets=(_MTN, _ORANGE)),
    "CI": Country(
        XOF,
        5_000,
        200_000,
        r"\+225[0-9]{10}",
        wallets=(_ORANGE, _MTN, Known("moov", "Moov Money", ("moov",)), Known("wave", "Wave", ("wave",))),
    ),
    "SN": Country(XOF, 5_000, 200_000, r"\+2217[0-9]{8}", wallets=(_ORANGE, Known("wave", "Wave", ("wave",)))),
    "MW": Country(
        MWK, 2_000, 1_000_000, r"\+265[89][0-9]{8}", wallets=(_AIRTEL, Known("tnm", "TNM Mpamba", ("tnm", "mpamba")))
    ),
    "BW": Country(
        BWP, 150, 5_000, r"\+2677[0-9]{7}", wallets=(_ORANGE, Known("mascom", "Mascom MyZaka", ("mascom", "myzaka")))
    ),
    "ZA": Country(
        ZAR,
        100,
        5_000,
        r"\+27[678][0-9]{8}",
        banks=(
            Known("632005", "Absa"),
            Known("470010", "Capitec Bank"),
            Known("250655", "First National Bank"),
            Known("198765", "Nedbank"),
            Known("051001", "Standard Bank"),
        ),
    ),
}

ASSETS: Mapping[str, Asset] = {"USD": USD, **{each.asset.code: each.asset for each in COUNTRIES.values()}}


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


def known(country: str, method: Method, code: str) -> Known | None:
    """The bank or wallet with this code of ours, if there is one."""
    place = COUNTRIES[country]
    return next((each for each in (place.banks if method is BANK else place.wallets) if each.code == code), None)


def is_account(country: str, method: Method, account: str) -> bool:
    """Whether an account has the form of the country's bank accounts or mobile numbers."""
    place = COUNTRIES[country]
    return re.fullmatch(place.account if method is BANK else place.dial, account, re.ASCII) is not None
