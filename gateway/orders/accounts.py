"""Accounts by method and country: checked, and written as the rails want them, before an order exists."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import phonenumbers
from babel import Locale
from stdnum import iban
from stdnum.exceptions import ValidationError

from gateway.errors import Refusal
from gateway.offramp import Institution, Method

BY_PHONE = frozenset({Method.MOBILE_MONEY, Method.CASH})
"""Methods whose account is a mobile number: a wallet's, or that of whoever is told the code for cash."""


class BadRecipient(Refusal):
    """Name, account or institution can't be right."""

    code = "bad_recipient"


def read_account(account: str, *, country: str, method: Method) -> str:
    """An account of that method, as the rails want it. Raises `BadRecipient`."""
    return _READERS[method](account.strip(), country)


def read_institution(given: str | None, *, institutions: Sequence[Institution]) -> str | None:
    """The code of the bank or wallet that was named, by code or name. Raises `BadRecipient`.

    Where there is only one it needn't be named; None where the account says it all.
    """
    wanted = (given or "").strip().casefold()
    if not wanted and len(institutions) <= 1:
        return institutions[0].code if institutions else None
    found = [one.code for one in institutions if wanted in (one.code.casefold(), one.name.casefold())]
    if found:
        return found[0]
    if not institutions:
        raise BadRecipient("The account says by itself where it is. Leave the institution out.", field="institution")
    names = ", ".join(f"{one.code} ({one.name})" for one in institutions)
    raise BadRecipient(f"Say which bank or wallet it is, one of: {names}.", field="institution")


def _mobile_number(text: str, country: str) -> str:
    example = phonenumbers.example_number_for_type(country, phonenumbers.PhoneNumberType.MOBILE)
    like = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.INTERNATIONAL) if example else "+…"
    wrong = BadRecipient(f"This is no mobile number of {_name(country)}. Write it like {like}.", field="phone")
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


def _bank_account(text: str, country: str) -> str:
    compact = re.sub(r"[ .-]", "", text)
    if _CONNECTED.fullmatch(text):
        return text
    if re.match(r"[A-Za-z]{2}[0-9]{2}", compact):
        return _iban(compact.upper(), country)
    form, like = _NATIONAL.get(country, (r"[0-9A-Z]{4,34}", "its digits, without blanks"))
    if not compact.isascii() or not re.fullmatch(form, compact.upper()) or not (country != "MX" or _is_clabe(compact)):
        raise BadRecipient(f"This is no bank account of {_name(country)}. Write {like}.", field="account")
    return compact.upper()


def _iban(compact: str, country: str) -> str:
    try:
        number = iban.validate(compact)
    except ValidationError:
        raise BadRecipient("This IBAN has a wrong digit or length. Copy it again.", field="account") from None
    if number[:2] != country:
        raise BadRecipient(f"This IBAN isn't one of {_name(country)}.", field="account")
    return str(number)


def _is_clabe(digits: str) -> bool:
    """The check digit of a CLABE: weights 3, 7, 1 and so on, each product modulo 10 (Asociacion de Bancos de Mexico)."""
    weighed = sum(int(digit) * weight % 10 for digit, weight in zip(digits[:17], (3, 7, 1) * 6, strict=False))
    return (10 - weighed % 10) % 10 == int(digits[17])


def _card(text: str, _country: str) -> str:
    if not _CONNECTED.fullmatch(text):
        sentence = "A card is named by its connected account and its id there, as in acct_1AbC/card_1XyZ."
        raise BadRecipient(sentence, field="account")
    return text


def _exchange_account(text: str, _country: str) -> str:
    if not re.fullmatch(r"[!-~]{1,100}", text):
        sentence = "Write the account at the exchange as the exchange shows it: at most 100 characters, no blanks."
        raise BadRecipient(sentence, field="account")
    return text


def _name(country: str) -> str:
    return str(Locale("en").territories.get(country, country))


_CONNECTED = re.compile(r"acct_[A-Za-z0-9]{4,64}(/[a-z]{2,12}_[A-Za-z0-9_]{2,64})?")
"""An account that the provider keeps for the recipient, and the card or bank account there: Stripe's ids."""
_NATIONAL: Mapping[str, tuple[str, str]] = {
    "MX": (r"[0-9]{18}", "its CLABE of 18 digits"),
    "NG": (r"[0-9]{10}", "its NUBAN of 10 digits"),
    "ZA": (r"[0-9]{6,13}", "its 6 to 13 digits"),
    "GH": (r"[0-9]{10,16}", "its 10 to 16 digits"),
    "KE": (r"[0-9]{6,16}", "its 6 to 16 digits"),
    "PH": (r"[0-9]{6,16}", "its 6 to 16 digits"),
}
"""How accounts are written where no IBAN is used."""
_READERS: Mapping[Method, Callable[[str, str], str]] = {
    Method.MOBILE_MONEY: _mobile_number,
    Method.CASH: _mobile_number,
    Method.BANK: _bank_account,
    Method.CARD: _card,
    Method.EXCHANGE: _exchange_account,
}
