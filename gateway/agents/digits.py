"""The digits of a code: random, with a check digit against slips, and kept only as a keyed hash.

Ten digits can be tried out by whoever has the hashes and the key; without the key the hashes tell nothing. Who has no hashes
has to ask us, and is counted (`gateway.agents.claim`).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

from stdnum import verhoeff

LENGTH = 10
_RANDOM = 10 ** (LENGTH - 1)


def new_digits() -> str:
    """Nine random digits and Verhoeff's check digit, which finds every wrong digit and every swapped pair."""
    number = f"{secrets.randbelow(_RANDOM):0{LENGTH - 1}}"
    return number + str(verhoeff.calc_check_digit(number))


def read_digits(text: str) -> str | None:
    """The digits that somebody typed, however grouped; None for what can be no code of ours."""
    tidy = "".join(text.split()).replace("-", "")
    if len(tidy) != LENGTH or not tidy.isascii() or not tidy.isdigit() or not verhoeff.is_valid(tidy):
        return None
    return tidy


def grouped(digits: str) -> str:
    """For people: "123 456 7890"."""
    return f"{digits[:3]} {digits[3:6]} {digits[6:]}"


def digest(digits: str, *, key: bytes) -> bytes:
    """What is kept in place of the digits. Raises ValueError for an empty key."""
    if not key:
        raise ValueError("a keyed hash needs its key")
    return hmac.new(key, b"lastmile pickup code\0" + digits.encode(), hashlib.sha256).digest()
