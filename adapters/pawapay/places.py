"""Where pawaPay pays: countries, currencies, and its code for each wallet.

Source: docs.pawapay.io/v2/docs/providers. What an account may pay, and between which limits, stands in its active
configuration: the limits here are cautious assumptions [?], and settings replace them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from gateway.money import Asset


class Place(NamedTuple):
    """One country and one currency."""

    country: str  # ISO 3166-1 alpha-2, as everywhere in the gateway
    iso3: str  # alpha-3, as pawaPay writes it
    currency: str
    decimals: int  # of ISO 4217; pawaPay takes fewer from many wallets, none from some
    prefix: str
    least: str
    most: str
    providers: Mapping[str, str]
    """Our institution's code -> pawaPay's code."""

    @property
    def asset(self) -> Asset:
        """The currency."""
        return Asset(self.currency, self.decimals)


NAMES: Mapping[str, str] = {
    "airtel": "Airtel Money",
    "airteltigo": "AirtelTigo Money",
    "emola": "e-Mola",
    "free": "Free Money",
    "halopesa": "HaloPesa",
    "moov": "Moov Money",
    "mpesa": "M-PESA",
    "mtn": "MTN MoMo",
    "orange": "Orange Money",
    "tigo": "Tigo Pesa",
    "tnm": "TNM Mpamba",
    "vodafone": "Vodafone Cash",
    "wave": "Wave",
    "zamtel": "Zamtel Money",
}
"""As its customers know each wallet."""

_XOF = ("XOF", 0)
_XAF = ("XAF", 0)


def _place(
    country: str, iso3: str, currency: tuple[str, int], prefix: str, limits: tuple[str, str], providers: str
) -> Place:
    """`providers` is a list of words such as "mtn=MTN_MOMO"; the country's code is put behind each."""
    listed = dict(each.split("=") for each in providers.split())
    codes = {institution: f"{code}_{iso3}" for institution, code in listed.items()}
    return Place(country, iso3, *currency, prefix, *limits, codes)


# fmt: off
PLACES: tuple[Place, ...] = (
    _place("BJ", "BEN", _XOF,       "+229", ("200", "500000"),  "mtn=MTN_MOMO moov=MOOV"),
    _place("BF", "BFA", _XOF,       "+226", ("200", "500000"),  "moov=MOOV orange=ORANGE"),
    _place("CM", "CMR", _XAF,       "+237", ("200", "500000"),  "mtn=MTN_MOMO orange=ORANGE"),
    _place("CI", "CIV", _XOF,       "+225", ("200", "500000"),  "mtn=MTN_MOMO orange=ORANGE wave=WAVE"),
    _place("CD", "COD", ("CDF", 2), "+243", ("1000", "1000000"), "mpesa=VODACOM_MPESA airtel=AIRTEL orange=ORANGE"),
    _place("CD", "COD", ("USD", 2), "+243", ("1", "500"),       "mpesa=VODACOM_MPESA airtel=AIRTEL orange=ORANGE"),
    _place("ET", "ETH", ("ETB", 2), "+251", ("10", "20000"),    "mpesa=MPESA"),
    _place("GA", "GAB", _XAF,       "+241", ("200", "500000"),  "airtel=AIRTEL"),
    _place("GH", "GHA", ("GHS", 2), "+233", ("1", "2000"),      "mtn=MTN_MOMO airteltigo=AIRTELTIGO vodafone=VODAFONE"),
    _place("KE", "KEN", ("KES", 2), "+254", ("10", "150000"),   "mpesa=MPESA"),
    _place("LS", "LSO", ("LSL", 2), "+266", ("10", "5000"),     "mpesa=MPESA"),
    _place("MW", "MWI", ("MWK", 2), "+265", ("100", "500000"),  "airtel=AIRTEL tnm=TNM"),
    _place("MZ", "MOZ", ("MZN", 2), "+258", ("10", "20000"),    "mpesa=VODACOM emola=MOVITEL"),
    _place("NG", "NGA", ("NGN", 2), "+234", ("100", "100000"),  "airtel=AIRTEL mtn=MTN_MOMO"),
    _place("CG", "COG", _XAF,       "+242", ("200", "500000"),  "airtel=AIRTEL mtn=MTN_MOMO"),
    _place("RW", "RWA", ("RWF", 0), "+250", ("100", "1000000"), "airtel=AIRTEL mtn=MTN_MOMO"),
    _place("SN", "SEN", _XOF,       "+221", ("200", "200000"),  "free=FREE orange=ORANGE wave=WAVE"),
    _place("SL", "SLE", ("SLE", 2), "+232", ("1", "5000"),      "orange=ORANGE"),
    _place("TZ", "TZA", ("TZS", 2), "+255", ("1000", "1000000"), "airtel=AIRTEL mpesa=VODACOM tigo=TIGO halopesa=HALOTEL"),
    _place("UG", "UGA", ("UGX", 0), "+256", ("500", "2000000"), "airtel=AIRTEL_OAPI mtn=MTN_MOMO"),
    _place("ZM", "ZMB", ("ZMW", 2), "+260", ("1", "10000"),     "airtel=AIRTEL_OAPI mtn=MTN_MOMO zamtel=ZAMTEL"),
)
# fmt: on

COUNTRIES = tuple(dict.fromkeys(each.country for each in PLACES))
