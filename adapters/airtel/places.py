"""Where Airtel Money pays: the country's currency, its telephone numbers, and limits until the contract says other ones.

Countries and currencies: developers.airtel.africa. Limits per payment are not published: those here are low guesses [?], for
which the setting `limits` stands in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from gateway.money import Asset, Money
from gateway.offramp import Corridor, Institution, Method

AIRTEL = Institution(code="airtel", name="Airtel Money")


class Place(NamedTuple):
    """A country as Airtel pays in it. The limits are in whole units of its currency."""

    asset: Asset
    prefix: str
    """The country's telephone prefix, which Airtel leaves out of an msisdn."""
    digits: int
    """Of a number without the prefix."""
    least: int
    most: int


PLACES: Mapping[str, Place] = {
    "CD": Place(Asset("CDF", 2), "243", 9, 500, 500_000),
    "CG": Place(Asset("XAF", 0), "242", 9, 500, 200_000),
    "GA": Place(Asset("XAF", 0), "241", 8, 500, 200_000),
    "KE": Place(Asset("KES", 2), "254", 9, 10, 70_000),
    "MG": Place(Asset("MGA", 2), "261", 9, 500, 1_000_000),
    "MW": Place(Asset("MWK", 2), "265", 9, 100, 300_000),
    "NE": Place(Asset("XOF", 0), "227", 8, 500, 200_000),
    "NG": Place(Asset("NGN", 2), "234", 10, 100, 50_000),
    "RW": Place(Asset("RWF", 0), "250", 9, 100, 500_000),
    "TD": Place(Asset("XAF", 0), "235", 8, 500, 200_000),
    "TZ": Place(Asset("TZS", 2), "255", 9, 1_000, 1_000_000),
    "UG": Place(Asset("UGX", 0), "256", 9, 500, 1_000_000),
    "ZM": Place(Asset("ZMW", 2), "260", 9, 5, 5_000),
}


def corridor(country: str, *, limits: tuple[int, int] | None) -> Corridor:
    """A country's corridor, in steps of a whole unit; `limits` are the least and the most from the settings."""
    place = PLACES[country]
    one = 10**place.asset.decimals
    least, most = limits or (place.least, place.most)
    return Corridor(
        country=country,
        method=Method.MOBILE_MONEY,
        asset=place.asset,
        least=Money(least * one, place.asset),
        most=Money(most * one, place.asset),
        step=Money(one, place.asset),
        institutions=(AIRTEL,),
    )


def msisdn(account: str, *, country: str) -> str | None:
    """The number as Airtel wants it, without the country's prefix, from E.164; None if it is no number of this country."""
    place = PLACES[country]
    digits = account.removeprefix(f"+{place.prefix}")
    fits = digits != account and digits.isascii() and digits.isdigit() and len(digits) == place.digits
    return digits if fits and digits[0] != "0" else None
