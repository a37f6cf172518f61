"""Who is paid: names and accounts, checked before an order exists."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field

import phonenumbers
from babel import Locale

from gateway.errors import Refusal
from gateway.offramp import Method

NAME_MOST = 100
"""Longest recipient name, in characters."""
NAME_SHOWN = 30
"""Longest masked name, in characters."""


class BadRecipient(Refusal):
    """Name or account can't be right."""

    code = "bad_recipient"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """A checked recipient: `account` is a phone number in E.164 for mobile money."""

    name: str = field(repr=False)
    account: str = field(repr=False)


def read_recipient(*, name: str, account: str, country: str, method: Method) -> Recipient:
    """Check and normalise. Raises `BadRecipient` whose field is "name" or "phone"/"account"."""
    if method is Method.MOBILE_MONEY:
        return Recipient(name=_name(name), account=_mobile_number(account, country=country))
    raise BadRecipient(f"Accounts of the method {method} can't be checked yet. Choose mobile_money.", field="method")


def masked(account: str) -> str:
    """An account for a page that others may see: the last three characters."""
    return "•" * max(len(account) - 3, 0) + account[-3:]


def masked_name(name: str) -> str:
    """A name for a page that others may see: the first word, and the others' first letters."""
    first, *rest = name.split() or [""]
    return " ".join([first, *(word[0] for word in rest)])[:NAME_SHOWN]


def _name(name: str) -> str:
    tidy = " ".join(unicodedata.normalize("NFC", name).split())
    if not tidy or not any(character.isalpha() for character in tidy):
        raise BadRecipient("Write the recipient's full name as their wallet or bank has it.", field="name")
    if len(tidy) > NAME_MOST:
        raise BadRecipient(f"The recipient's name is too long: at most {NAME_MOST} characters.", field="name")
    if not all(character.isprintable() for character in tidy):
        raise BadRecipient("The recipient's name contains characters that can't be printed. Type it again.", field="name")
    return tidy


def _mobile_number(text: str, *, country: str) -> str:
    example = phonenumbers.example_number_for_type(country, phonenumbers.PhoneNumberType.MOBILE)
    like = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.INTERNATIONAL) if example else "+…"
    place = Locale("en").territories.get(country, country)
    wrong = BadRecipient(f"This is no mobile number of {place}. Write it like {like}.", field="phone")
    if not text.isascii() or not text.isprintable():
        raise wrong
    try:
        number = phonenumbers.parse(text, country)
    except phonenumbers.NumberParseException:
        raise wrong from None
    mobile = (phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE_OR_MOBILE)
    if (
        number.extension
        or not phonenumbers.is_valid_number_for_region(number, country)
        or phonenumbers.number_type(number) not in mobile
    ):
        raise wrong
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
