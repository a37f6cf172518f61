"""Who is paid: names and accounts, checked before an order exists."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from gateway.errors import Refusal
from gateway.money import Asset, Money
from gateway.offramp import Institution, Method
from gateway.orders.accounts import BadRecipient, read_account, read_institution
from gateway.pricing.offer import Offer

NAME_MOST = 100
"""Longest recipient name, in characters."""
NAME_SHOWN = 30
"""Longest masked name, in characters."""
WAYS_MOST = 5
"""How many other ways to the recipient an order takes."""
ALTERNATIVES = "recipient.alternatives"
"""Where documents have them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """A checked recipient: `account` is a phone number in E.164 for mobile money and cash."""

    name: str = field(repr=False)
    account: str = field(repr=False)
    institution: str | None = None
    """The bank or the wallet's operator, where the account doesn't say it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A checked way to a recipient: a method, and the account that it pays to."""

    method: Method
    account: str = field(repr=False)
    institution: str | None = None


class GivenWay(NamedTuple):
    """A way as somebody gave it, not checked yet."""

    method: str
    account: str
    institution: str | None = None


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


def read_recipient(
    *,
    name: str,
    account: str,
    country: str,
    method: Method,
    institution: str | None = None,
    institutions: Sequence[Institution] = (),
) -> Recipient:
    """Check and normalise. Raises `BadRecipient` whose field is "name", "phone", "account" or "institution".

    `institutions` are those that the corridor reaches.
    """
    return Recipient(
        name=_name(name),
        account=read_account(account, country=country, method=method),
        institution=read_institution(institution, institutions=institutions),
    )


def institutions_of(offer: Offer, *, country: str, currency: Asset, method: Method) -> tuple[Institution, ...]:
    """The banks or wallets that a corridor reaches; none: its accounts say it all."""
    terms = offer.corridors.get((country, currency.code, method))
    return () if terms is None else terms.institutions


def several(reached: Iterable[Sequence[Institution]]) -> list[Institution]:
    """What has to be asked for: the banks and wallets of corridors with more than one, each once, by name."""
    by_code = {one.code: one for institutions in reached if len(institutions) > 1 for one in institutions}
    return sorted(by_code.values(), key=lambda one: one.name)


def methods_offered(offer: Offer, *, country: str, receive: Money) -> list[Method]:
    """By which methods we can pay exactly `receive` there: the same promise."""
    return [
        terms.method
        for terms in offer.corridors.values()
        if (terms.country, terms.currency) == (country, receive.asset) and terms.takes(receive)
    ]


def read_way(given: GivenWay, *, country: str, receive: Money, offer: Offer) -> Way:
    """Another way to pay the same amount in the same place. Raises `MethodNotOffered` and `BadRecipient`."""
    offered = methods_offered(offer, country=country, receive=receive)
    if given.method not in offered:
        possible = ", ".join(offered) or "none"
        raise MethodNotOffered(f"We can't pay this amount there by this method. Possible: {possible}.", field="method")
    method = Method(given.method)
    institutions = institutions_of(offer, country=country, currency=receive.asset, method=method)
    return Way(
        method=method,
        account=read_account(given.account, country=country, method=method),
        institution=read_institution(given.institution, institutions=institutions),
    )


def read_ways(given: Sequence[GivenWay], *, first: Way, country: str, receive: Money, offer: Offer) -> tuple[Way, ...]:
    """Check other ways to an order's recipient, best first; `first` is the quote's own.

    Raises what `read_way` raises, `SameWayTwice` and `TooManyWays`; the field begins with `ALTERNATIVES` and the number.
    """
    if len(given) > WAYS_MOST:
        raise TooManyWays
    known = [first]
    for number, wanted in enumerate(given):
        place = f"{ALTERNATIVES}.{number}"
        try:
            way = read_way(wanted, country=country, receive=receive, offer=offer)
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
