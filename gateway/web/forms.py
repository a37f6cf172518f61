"""The form: what can be chosen, what was typed, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.errors import Refusal
from gateway.offramp import Institution, Method
from gateway.orders.accounts import BY_PHONE
from gateway.orders.recipients import GivenWay, Recipient, Way, read_recipient, read_ways, several
from gateway.pricing.consensus import NoRate
from gateway.pricing.exposure import ExposureFull
from gateway.pricing.offer import Offer, Speed, Terms, Token
from gateway.pricing.quotes import QuoteView, make_quote
from gateway.pricing.requests import QuoteRequest

INPUTS = {
    "name": "name",
    "phone": "phone",
    "account": "phone",
    "amount": "amount",
    "send_amount": "amount",
    "receive_amount": "amount",
    "corridor": "corridor",
    "country": "corridor",
    "currency": "corridor",
    "method": "corridor",
    "receive": "corridor",
    "token": "token",
    "chain": "token",
    "asset": "token",
    "speed": "speed",
    "second": "second",
    "institution": "institution",
}
"""Which of our inputs a refusal's field (its last part) is about; others stand above the form."""

ANYONE = "Anyone"
"""A name that holds, for judging a number alone."""


class NotChosen(Refusal):
    """A choice is missing or not among those offered."""

    code = "not_chosen"


class NoAmount(Refusal):
    """The amount was left empty."""

    code = "no_amount"

    def __init__(self) -> None:
        super().__init__('Write an amount, for example "50".', field="amount")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to put right: the input it stands at (None: none of them) and its sentence."""

    input: str | None
    sentence: str


class Rejected(Exception):
    """The form needs another look. Leaving a transaction by it undoes whatever a part of the checks wrote."""

    def __init__(self, refusals: Sequence[Refusal]) -> None:
        super().__init__(", ".join(refusal.code for refusal in refusals))
        self.problems = [Problem(INPUTS.get((refusal.field or "").rpartition(".")[2]), str(refusal)) for refusal in refusals]
        self.ours = all(isinstance(refusal, NoRate | ExposureFull) for refusal in refusals)
        """Nothing is wrong with what was typed: we can't serve it now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entries:
    """What a person typed, as they typed it but for blanks around it."""

    corridor: str = ""
    token: str = ""
    side: str = "receive"
    """Which amount was given: "receive" (they get it) or "send" (it is paid)."""
    amount: str = ""
    name: str = ""
    phone: str = ""
    second: str = ""
    """Another number of the recipient's, to be paid if the first one can't be."""
    institution: str = ""
    """The recipient's bank or wallet, where the corridor reaches several."""
    speed: str = Speed.STANDARD

    @classmethod
    def of(cls, fields: Mapping[str, str]) -> Entries:
        """From a posted form; missing fields count as empty."""
        given = {name: fields[name].strip() for name in cls.__dataclass_fields__ if name in fields}
        return cls(**given)

    def hidden(self) -> dict[str, str]:
        """The same as fields, to travel on with the next form."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What the form offers, by the value that its inputs post."""

    corridors: Mapping[str, Terms]
    tokens: Mapping[str, Token]

    @classmethod
    def of(cls, offer: Offer) -> Choices:
        """All that `offer` holds."""
        return cls(
            corridors={f"{t.country}-{t.currency.code}-{t.method}": t for t in offer.corridors.values()},
            tokens={f"{t.asset.symbol}-{t.chain}": t for t in offer.tokens.values()},
        )

    @property
    def takes_second(self) -> bool:
        """Whether a second mobile number could be paid."""
        return any(terms.method is Method.MOBILE_MONEY for terms in self.corridors.values())

    @property
    def institutions(self) -> list[Institution]:
        """The banks and wallets of corridors that reach several."""
        return several(terms.institutions for terms in self.corridors.values())

    @property
    def by_phone(self) -> bool:
        """Whether every account is a mobile number."""
        return all(terms.method in BY_PHONE for terms in self.corridors.values())

    @property
    def at_drops(self) -> list[Terms]:
        """The corridors that offer economy."""
        return [terms for terms in self.corridors.values() if terms.economy is not None]

    @property
    def only_corridor(self) -> Terms | None:
        """The one that needs no choosing."""
        return next(iter(self.corridors.values())) if len(self.corridors) == 1 else None

    @property
    def only_token(self) -> Token | None:
        """The one that needs no choosing."""
        return next(iter(self.tokens.values())) if len(self.tokens) == 1 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Priced:
    """A form that holds: the stored quote, whom it would pay and by which other ways."""

    quote: QuoteView
    recipient: Recipient
    ways: tuple[Way, ...]


async def price(connection: AsyncConnection, *, entries: Entries, choices: Choices, offer: Offer, now: datetime) -> Priced:
    """Check a form and store its quote. Raises `Rejected` with all that is wrong, so that nothing has to be found twice."""
    refusals: list[Refusal] = []
    quote = recipient = None
    ways: tuple[Way, ...] = ()
    terms, token = choices.corridors.get(entries.corridor), choices.tokens.get(entries.token)
    if terms is None:
        refusals.append(NotChosen("Choose where the money should arrive.", field="corridor"))
    if token is None:
        refusals.append(NotChosen("Choose what you pay with.", field="token"))
    if not entries.amount:
        refusals.append(NoAmount())
    elif terms and token:
        try:
            quote = await make_quote(connection, request=_request(entries, terms, token), offer=offer, now=now)
        except Refusal as refusal:
            refusals.append(refusal)
    if terms:
        recipient = _recipient(entries, terms, refusals)
    if quote and recipient:
        try:
            ways = other_ways(entries, quote=quote, recipient=recipient, offer=offer)
        except Refusal as refusal:
            refusals.append(refusal)
    if quote is None or recipient is None or refusals:
        raise Rejected(refusals)
    return Priced(quote=quote, recipient=recipient, ways=ways)


def other_ways(entries: Entries, *, quote: QuoteView, recipient: Recipient, offer: Offer) -> tuple[Way, ...]:
    """The second number, if one was typed. Raises a `Refusal` whose field is "second"."""
    if not entries.second:
        return ()
    first = Way(method=Method(quote.method), account=recipient.account, institution=recipient.institution)
    given = [GivenWay(Method.MOBILE_MONEY, entries.second, entries.institution or None)]
    try:
        return read_ways(given, first=first, country=quote.country, receive=quote.receive, offer=offer)
    except Refusal as refusal:
        refusal.field = "second"
        raise


def _request(entries: Entries, terms: Terms, token: Token) -> QuoteRequest:
    sends = entries.side == "send"
    return QuoteRequest(
        partner_id=None,
        chain=token.chain,
        asset=token.asset.symbol,
        send_amount=entries.amount if sends else None,
        country=terms.country,
        currency=terms.currency.code,
        method=terms.method,
        receive_amount=None if sends else entries.amount,
        speed=Speed.ECONOMY if entries.speed == Speed.ECONOMY else Speed.STANDARD,
    )


def _recipient(entries: Entries, terms: Terms, refusals: list[Refusal]) -> Recipient | None:
    for name in (entries.name, ANYONE):
        try:
            recipient = read_recipient(
                name=name,
                account=entries.phone,
                country=terms.country,
                method=terms.method,
                # One select for all corridors: where a corridor needs none, what stands there is of another one.
                institution=entries.institution if len(terms.institutions) > 1 else None,
                institutions=terms.institutions,
            )
        except Refusal as refusal:
            refusals.append(refusal)
            if refusal.field != "name":
                return None
            # The name is judged first; the number deserves its sentence in the same answer.
        else:
            return recipient if name is entries.name else None
    return None
