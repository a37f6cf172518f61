"""What is kept of a provider's answer: named values only, short, on one line, without what could be a person or a key."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from decimal import Decimal

SHOWN_MOST = 100
"""How much of one value of the provider's goes into a reason or evidence, in characters."""

_PHONE = re.compile(r"\+?[0-9][0-9 ()-]{7,}[0-9]")
_TOKEN = re.compile(r"(?=[\w+/=-]*[0-9])[\w+/=-]{16,}")


def clean(value: object) -> str:
    """A value of the provider's, short and on one line."""
    text = str(value)[:SHOWN_MOST]
    return "".join(each if each.isprintable() else " " for each in text)


def words(text: object) -> str:
    """The provider's own words, without anything that could be a number of a person's or a key."""
    return clean(_TOKEN.sub("(id)", _PHONE.sub("(number)", str(text))))


def chosen(values: Mapping[str, object], keys: Collection[str]) -> dict[str, str]:
    """The values of these keys that are plain: ids, codes, amounts, times. Never names, accounts and free text."""
    plain = {key: value for key, value in values.items() if key in keys and isinstance(value, str | int | Decimal)}
    return {key: clean(value) for key, value in plain.items()}
