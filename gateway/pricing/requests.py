"""What is asked for, and why it can't be had: a request for a quote, read against the offer. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from gateway.errors import Refusal
from gateway.money import Asset, Money, MoneyError
from gateway.offramp import Method
from gateway.pricing.breakdown import RECEIVE_FIELD, SEND_FIELD
from gateway.pricing.exposure import Place
from gateway.pricing.offer import Offer, Speed, Terms, Token

OFFERED_MOST = 10
"""How many possibilities a refusal lists."""


class AmountMissing(Refusal):
    """Neither amount is given."""

    code = "amount_missing"

    def __init__(self) -> None:
        super().__init__(f"Give one amount: {SEND_FIELD} or {RECEIVE_FIELD}.", field=SEND_FIELD)


class TwoAmounts(Refusal):
    """Both amounts are given: one of them would be the client's own rate."""

    code = "two_amounts"

    def __init__(self) -> None:
        super().__init__(f"Give one amount only, {SEND_FIELD} or {RECEIVE_FIELD}: the other follows.", field=RECEIVE_FIELD)


class BadAmount(Refusal):
    """The amount is no number that its asset can have, or zero."""

    code = "bad_amount"


class UnknownAsset(Refusal):
    """No such token on that chain is taken."""

    code = "unknown_asset"

    def __init__(self, offer: Offer) -> None:
        offered = _listed(f"{symbol} on {chain}" for chain, symbol in offer.tokens)
        super().__init__(f"This coin is not taken on this chain. You can send: {offered}.", field="send.asset")


class UnknownCorridor(Refusal):
    """Nothing is paid out there in that way."""

    code = "unknown_corridor"

    def __init__(self, offer: Offer, country: str) -> None:
        there = [key for key in offer.corridors if key[0] == country] or offer.corridors
        offered = _listed(f"{place} {currency} {method}" for place, currency, method in there)
        super().__init__(f"We don't pay out this way. Possible (country, currency, method): {offered}.", field="receive")


class EconomyNotOffered(Refusal):
    """This corridor pays everything at once."""

    code = "economy_not_offered"

    def __init__(self, offer: Offer) -> None:
        offered = _listed(" ".join(key) for key, terms in offer.corridors.items() if terms.economy is not None)
        super().__init__(
            "Payouts of this kind are made at once: ask for speed standard. "
            f"Economy is offered for (country, currency, method): {offered}.",
            field="speed",
        )


class ClientRevoked(Exception):
    """The client may no longer act. Whoever lets clients in tells them so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuoteRequest:
    """What is asked for, as text from outside. Exactly one of the two amounts is given."""

    partner_id: str | None
    chain: str
    asset: str
    send_amount: str | None
    country: str
    currency: str
    method: str
    receive_amount: str | None
    speed: Speed = Speed.STANDARD
    client_id: str | None = None
    """The partner's client that asks; None: nobody who could have been revoked meanwhile."""

    @property
    def subject(self) -> tuple[str, ...]:
        """All that the price depends on but the amount and who asks."""
        return (self.chain, self.asset, self.country, self.currency, self.method, self.speed)

    @property
    def place(self) -> Place:
        """Where its promise counts."""
        return Place(self.partner_id or "", f"{self.country}/{self.currency}/{self.method}")

    @property
    def amount_field(self) -> str:
        """Where its amount stands."""
        return RECEIVE_FIELD if self.send_amount is None else SEND_FIELD


def check_amounts(request: QuoteRequest) -> None:
    """One amount is given. Raises `AmountMissing` or `TwoAmounts`."""
    if request.send_amount is None and request.receive_amount is None:
        raise AmountMissing
    if request.send_amount is not None and request.receive_amount is not None:
        raise TwoAmounts


def read_request(request: QuoteRequest, offer: Offer) -> tuple[Token, Terms]:
    """The coin and the terms, at the speed asked for. Raises `UnknownAsset`, `UnknownCorridor`, `EconomyNotOffered`."""
    token = offer.tokens.get((request.chain, request.asset))
    if token is None:
        raise UnknownAsset(offer)
    with suppress(ValueError, KeyError):
        terms = offer.corridors[request.country, request.currency, Method(request.method)]
        return token, _at_speed(request.speed, terms, offer)
    raise UnknownCorridor(offer, request.country)


def read_amount(request: QuoteRequest, *, token: Token, terms: Terms) -> Money:
    """The amount given, in the asset of its side. Raises `BadAmount`."""
    if request.send_amount is not None:
        return _positive(request.send_amount, token.asset, field=SEND_FIELD)
    assert request.receive_amount is not None
    return _positive(request.receive_amount, terms.currency, field=RECEIVE_FIELD)


def _at_speed(speed: Speed, terms: Terms, offer: Offer) -> Terms:
    """A corridor's terms at that speed."""
    if speed is Speed.STANDARD:
        return terms
    if terms.at_drops is None:
        raise EconomyNotOffered(offer)
    return terms.at_drops


def _positive(text: str, asset: Asset, *, field: str) -> Money:
    try:
        amount = Money.parse(text, asset)
    except MoneyError as error:
        raise BadAmount(str(error), field=field) from None
    if amount.units == 0:
        raise BadAmount("The amount is zero. Give an amount above zero.", field=field)
    return amount


def _listed(items: Iterable[str]) -> str:
    """The first few, and how many more there are."""
    known = sorted(items)
    more = [f"and {len(known) - OFFERED_MOST} more"] if len(known) > OFFERED_MOST else []
    return ", ".join(known[:OFFERED_MOST] + more) or "nothing"
