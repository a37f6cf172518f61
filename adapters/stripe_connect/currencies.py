"""Which currency a country's accounts hold, and how Stripe writes an amount of it.

Source: docs.stripe.com/currencies (zero-decimal currencies and special cases), docs.stripe.com/connect/instant-payouts
(countries), docs.stripe.com/connect/cross-border-payouts/special-requirements (least amounts).
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.money import Asset, Money
from gateway.railkit.documents import units_of

# fmt: off
ZERO_DECIMALS = (
    "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF", "XPF",
)
THREE_DECIMALS = ("BHD", "JOD", "KWD", "OMR", "TND")
EURO = frozenset({
    "AT", "BE", "CY", "DE", "EE", "ES", "FI", "FR", "GR", "HR", "IE", "IT", "LT", "LU", "LV", "MT", "NL", "PT", "SI", "SK",
})
# fmt: on
DECIMALS: Mapping[str, int] = {
    **dict.fromkeys(ZERO_DECIMALS, 0),
    **dict.fromkeys(THREE_DECIMALS, 3),
}
"""ISO 4217 decimals of the currencies that don't have two."""
AT_STRIPE: Mapping[str, int] = {"ISK": 2, "UGX": 2, "MGA": 0}
"""Where Stripe's amounts have another number of decimals than ISO 4217 has."""
STEPS: Mapping[str, int] = {"HUF": 100, "TWD": 100, "MGA": 100, **dict.fromkeys(THREE_DECIMALS, 10)}
"""Smallest step in ISO units where it isn't 1: forints and Taiwan dollars are paid out whole, dinars end with a zero."""

CURRENCIES: Mapping[str, str] = {
    **dict.fromkeys(EURO, "EUR"),
    "AE": "AED", "AR": "ARS", "AU": "AUD", "BD": "BDT", "BJ": "XOF", "BR": "BRL", "CA": "CAD", "CH": "CHF", "CI": "XOF",
    "CL": "CLP", "CO": "COP", "CZ": "CZK", "DK": "DKK", "ET": "ETB", "GB": "GBP", "GH": "GHS", "HK": "HKD", "HU": "HUF",
    "ID": "IDR", "IN": "INR", "JP": "JPY", "KE": "KES", "KR": "KRW", "LK": "LKR", "MA": "MAD", "MG": "MGA", "MX": "MXN",
    "MY": "MYR", "NG": "NGN", "NO": "NOK", "NZ": "NZD", "PE": "PEN", "PH": "PHP", "PK": "PKR", "PL": "PLN", "RO": "RON",
    "RW": "RWF", "SE": "SEK", "SG": "SGD", "SN": "XOF", "SV": "USD", "TH": "THB", "TN": "TND", "TW": "TWD", "TZ": "TZS",
    "US": "USD", "VN": "VND", "ZA": "ZAR",
}  # fmt: skip
"""The local currency by country; which of them an account of ours reaches is a matter of its contract: a setting."""
INSTANT = EURO | {"AE", "AU", "CA", "DK", "GB", "HK", "MY", "NO", "NZ", "SE", "SG", "US"}
"""Countries whose debit cards take instant payouts, each in its local currency."""
LEAST: Mapping[str, int] = {"AR": 4600, "BD": 20, "CL": 23_000, "CO": 140_000, "MX": 10, "PH": 20, "SV": 30}
"""Least payout in whole units where it is known to be above 1; Stripe changes it as its banks do."""


def asset_of(currency: str) -> Asset:
    """The currency with its ISO 4217 decimals."""
    return Asset(currency, DECIMALS.get(currency, 2))


def step_of(asset: Asset) -> Money:
    """The smallest step that Stripe pays out."""
    return Money(STEPS.get(asset.code, 1), asset)


def to_wire(money: Money) -> int:
    """An amount as Stripe writes it: exact, for it is a multiple of the step."""
    shift = _shift(money.asset)
    return int(money.units * 10 ** max(shift, 0) // 10 ** max(-shift, 0))


def from_wire(value: object, asset: Asset) -> Money | None:
    """An amount of Stripe's; None for anything that is none, or that has a fraction of our smallest unit."""
    given = units_of(value, asset)
    if given is None:
        return None
    shift = _shift(asset)
    up, down = 10 ** max(-shift, 0), 10 ** max(shift, 0)
    units, rest = divmod(given.units * up, down)
    return None if rest else Money(units, asset)


def money_at(values: Mapping[str, object], *, amount: str = "amount", currency: str = "currency") -> Money | None:
    """The amount in an object of Stripe's, in the currency that it names in lower case."""
    code = values.get(currency)
    return from_wire(values.get(amount), asset_of(code.upper())) if isinstance(code, str) and code else None


def _shift(asset: Asset) -> int:
    return AT_STRIPE.get(asset.code, asset.decimals) - asset.decimals
