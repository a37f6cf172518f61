"""Providers' JSON, read exactly: numbers as decimals, nothing that isn't JSON, no surprises from hostile bodies."""

from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction
from typing import Any

from gateway.money import Asset, Money, MoneyError

DOCUMENT_MOST = 1_048_576
"""Longest document read, in bytes."""
AMOUNT_DIGITS_MOST = 30
"""An amount with more digits than this before or behind the point is none."""


class Unreadable(ValueError):
    """Not the JSON that the provider documents."""


def read_json(body: bytes) -> Any:
    """Any JSON value with exact numbers. Raises `Unreadable`."""
    if len(body) > DOCUMENT_MOST:
        raise Unreadable("longer than any document of this provider's")
    try:
        return json.loads(body, parse_float=Decimal, parse_constant=_no_number)
    except (ValueError, ArithmeticError, RecursionError):
        raise Unreadable("not JSON") from None


def document(body: bytes) -> dict[str, Any]:
    """A JSON object with exact numbers. Raises `Unreadable`."""
    read = read_json(body)
    if not isinstance(read, dict):
        raise Unreadable("not a JSON object")
    return read


def document_or_empty(body: bytes) -> dict[str, Any]:
    """A JSON object; an empty one for a body that holds none."""
    try:
        return document(body)
    except Unreadable:
        return {}


def inner(values: object, *path: str) -> dict[str, Any]:
    """The object at a path of keys; an empty one if there is none."""
    for key in path:
        values = values.get(key) if isinstance(values, dict) else None
    return values if isinstance(values, dict) else {}


def text_of(value: object) -> str | None:
    """A text that isn't empty, or a whole number as text; None for all else."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) and value else None


def money_of(value: object, asset: Asset) -> Money | None:
    """The exact amount in a JSON number or text, in whole units such as shillings; None for anything that is no amount."""
    if isinstance(value, str):
        try:
            return Money.parse(value, asset)
        except MoneyError:
            # "100.000" of a currency with two decimals is still exact
            value = Decimal(value) if value.replace(".", "", 1).isdigit() and value.isascii() else None
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or not Decimal(value).is_finite():
        return None
    if abs(Decimal(value).adjusted()) > AMOUNT_DIGITS_MOST:
        return None
    units = Fraction(value) * 10**asset.decimals
    return Money(units.numerator, asset) if units.denominator == 1 and units >= 0 else None


def units_of(value: object, asset: Asset) -> Money | None:
    """The amount in a whole number of an asset's smallest units, such as cents; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0 or len(str(value)) > AMOUNT_DIGITS_MOST:
        return None
    return Money(value, asset)


def _no_number(name: str) -> None:
    raise Unreadable(name)
