"""What sources write, read exactly: JSON documents, decimal text, prices and their times."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from gateway.pricing.observations import is_fresh, is_plausible
from gateway.pricing.sources.port import SourceFault

MAGNITUDE_MOST = 12
"""Powers of ten, up and down, between which a price can lie."""
NUMBER_MOST = 40
"""Longest number that is read, in characters."""

_PLAIN_DECIMAL = re.compile(r"[0-9]+(?:\.[0-9]+)?")


def document(source: str, body: bytes) -> Mapping[str, Any]:
    """The body as a JSON object in which every number is an exact Decimal. Raises `SourceFault`."""
    try:
        read = json.loads(body, parse_float=_number, parse_int=_number, parse_constant=_number)
    except (ValueError, RecursionError, ArithmeticError):
        read = None
    if not isinstance(read, dict):
        raise SourceFault(source, "this is not a JSON object") from None
    return read


def moment(text: object) -> datetime | None:
    """A time in ISO 8601 with its time zone; None: it is none."""
    try:
        read = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return read if read.tzinfo else None


def plain(text: object) -> Decimal | None:
    """Text such as "129.20"; no sign, exponent, separator or digit of another script. None: it is none."""
    return Decimal(text) if isinstance(text, str) and len(text) <= NUMBER_MOST and _PLAIN_DECIMAL.fullmatch(text) else None


def price(source: str, what: str, number: object) -> Fraction:
    """A number as a price of `what`, exact. Raises `SourceFault` if it is no plausible one."""
    # The magnitude first: a Fraction of 1e999999999 would fill the memory.
    if isinstance(number, Decimal) and number.is_finite() and abs(number.adjusted()) <= MAGNITUDE_MOST:
        exact = Fraction(number)
        if is_plausible(exact):
            return exact
    raise SourceFault(source, f"its rate of {what} is missing or no plausible price")


def check_age(source: str, as_of: datetime, *, max_age: timedelta, now: datetime) -> None:
    """Raises `SourceFault` if prices of `as_of` are too old, or from the future."""
    if not is_fresh(as_of, max_age=max_age, now=now):
        wrong = "in the future" if as_of > now else f"more than {max_age} ago"
        raise SourceFault(source, f"its prices are of {as_of:%Y-%m-%d %H:%M:%S %Z}, {wrong}")


def _number(text: str) -> Decimal:
    if len(text) > NUMBER_MOST:
        raise ValueError(f"a number of {len(text)} characters")
    return Decimal(text)
