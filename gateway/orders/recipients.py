"""Who is paid: names and accounts, checked before an order exists."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field

import phonenumbers
from babel import Locale

from gateway.errors import Refusal
from gateway.money import Money
from gateway.offramp import Method
from gateway.pricing.offer import Offer

NAME_MOST = 100
"""Longest recipient name, in characters."""
NAME_SHOWN = 30
"""Longest masked name, in characters."""
WAYS_MOST = 5
"""How many other ways to the recipient an order takes."""
ALTERNATIVES = "recipient.alternatives"
"""Where documents have them."""
READABLE = frozenset({Method.MOBILE_MONEY})
"""Methods whose accounts we can check."""


class BadRecipient(Refusal):
    """Name or account can't be right."""

    code = "bad_recipient"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """A checked recipient: `account` is a phone number in E.164 for mobile money."""

    name: str = field(repr=False)
    account: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A checked way to a recipient: a method, and the account that it pays to."""

    method: Method
    account: str = field(repr=False)


class MethodNotOffered(Refusal):
    """We don't pay this amount there by that method."""

    code = "method_not_offered"


class SameWayTwice(Refusal):
    """The way is among those given before, so it would fail as that does."""

    code = "same_way_twice"

    def __init__(self, *, field: str) -> None:
        super().__init__("This way to the recipient is given already. Give another one, or leave it out.", field=field)


class TooManyWays(Refusal):
    """More other ways than an order takes."""

    code = "too_many_ways"

    def __init__(self) -> None:
        super().__init__(f"Give at most {WAYS_MOST} other ways to the recipient.", field=ALTERNATIVES)


def read_recipient(*, name: str, account: str, country: str, method: Method) -> Recipient:
    """Check and normalise. Raises `BadRecipient` whose field is "name" or "phone"/"account"."""
    return Recipient(name=_name(name), account=read_account(account, country=country, method=method))


def read_account(account: str, *, country: str, method: Method) -> str:
    """An account of that method, as the rails want it. Raises `BadRecipient`."""
    if method is Method.MOBILE_MONEY:
        return _mobile_number(account, country=country)
    raise BadRecipient(f"Accounts of the method {method} can't be checked yet. Choose mobile_money.", field="method")


def methods_offered(offer: Offer, *, country: str, receive: Money) -> list[Method]:
    """By which methods we can pay exactly `receive` there, to accounts that we can check: the same promise."""
    return [
        terms.method
        for terms in offer.corridors.values()
        if (terms.country, terms.currency) == (country, receive.asset) and terms.takes(receive) and terms.method in READABLE
    ]


def read_way(*, method: str, account: str, country: str, receive: Money, offer: Offer) -> Way:
    """Another way to pay the same amount in the same place. Raises `MethodNotOffered` and `BadRecipient`."""
    offered = methods_offered(offer, country=country, receive=receive)
    if method not in offered:
        possible = ", ".join(offered) or "none"
        raise MethodNotOffered(f"We can't pay this amount there by this method. Possible: {possible}.", field="method")
    return Way(method=Method(method), account=read_account(account, country=country, method=Method(method)))


def read_ways(
    given: Sequence[tuple[str, str]], *, first: Way, country: str, receive: Money, offer: Offer
) -> tuple[Way, ...]:
    """Check other ways (method, account) to an order's recipient, best first; `first` is the quote's own.

    Raises what `read_way` raises, `SameWayTwice` and `TooManyWays`; the field begins with `ALTERNATIVES` and the number.
    """
    if len(given) > WAYS_MOST:
        raise TooManyWays
    known = [first]
    for number, (method, account) in enumerate(given):
        place = f"{ALTERNATIVES}.{number}"
        try:
            way = read_way(method=method, account=account, country=country, receive=receive, offer=offer)
        except Refusal as refusal:
            refusal.field = f"{place}.{refusal.field}"
            raise
        if way in known:
            raise SameWayTwice(field=place)
        known.append(way)
    return tuple(known[1:])


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
