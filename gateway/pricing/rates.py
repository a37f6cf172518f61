"""The market as everybody may see it: what each coin is worth where, at what rate we pay, and what is stopped. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction

from gateway.pricing.breakers import BPS, Breaker
from gateway.pricing.consensus import Mid, NoRate, RateDisputed
from gateway.pricing.halts import (
    EVERYTHING,
    CoinDepegged,
    CoinHalted,
    CorridorHalted,
    RateJumped,
    Stop,
    by_subject,
    corridor_subject,
    refuse_halted,
)
from gateway.pricing.market import Market, coins_of
from gateway.pricing.offer import Terms, Token
from gateway.pricing.rule import Cause

_KINDS: tuple[tuple[type[NoRate], Breaker, Cause], ...] = (
    (RateDisputed, Breaker.SPREAD, Cause.RATE),
    (RateJumped, Breaker.JUMP, Cause.RATE),
    (CoinDepegged, Breaker.DEPEG, Cause.COIN),
    (CoinHalted, Breaker.BY_HAND, Cause.COIN),
    (CorridorHalted, Breaker.BY_HAND, Cause.CORRIDOR),
    (NoRate, Breaker.STALE, Cause.RATE),
)
"""Which breaker a refusal is of, the first that fits, and which lines of the rule for money in flight are about it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """Why there is no quote."""

    breaker: Breaker
    cause: Cause
    code: str
    """The refusal's, as `POST /v1/quotes` gives it."""
    sentence: str
    """For customers."""
    detail: str
    """For operators."""
    since: datetime | None
    """Since when; None: since the last round at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CoinRate:
    """A coin in its peg."""

    symbol: str
    peg: str
    price: Mid | None
    """What sources say; None: none does."""
    worth: Fraction | None
    """What we count it as: its price, at most par; None: it is stopped."""
    par_assumed: bool
    """No source prices it, and it counts as worth its peg."""
    stopped: Stopped | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CorridorRate:
    """One way of being paid, for one coin."""

    country: str
    method: str
    applied: Fraction | None
    """What a quote would apply: the middle rate less our spread; None: stopped."""
    holds: timedelta | None
    """For how long a quote would hold."""
    stopped: Stopped | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PairRate:
    """A coin in a currency."""

    symbol: str
    currency: str
    mid: Mid | None
    stopped: Stopped | None
    """Why there is none."""
    corridors: tuple[CorridorRate, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """All of it."""

    at: datetime
    coins: tuple[CoinRate, ...]
    pairs: tuple[PairRate, ...]
    stops: tuple[Stop, ...]


def rates_of(market: Market, *, now: datetime) -> Rates:
    """What `market` comes to at `now`."""
    tokens = {token.asset.symbol: token for token in market.offer.tokens.values()}
    currencies = sorted({terms.currency.code for terms in market.offer.corridors.values()})
    return Rates(
        at=now,
        coins=tuple(_coin(market, symbol, peg, now=now) for symbol, peg in coins_of(market.offer)),
        pairs=tuple(_pair(market, tokens[symbol], code, now=now) for symbol in sorted(tokens) for code in currencies),
        stops=market.stops,
    )


def _coin(market: Market, symbol: str, peg: str, *, now: datetime) -> CoinRate:
    price = worth = stopped = None
    try:
        price = market.coin_price(symbol, peg, now)
        worth = Fraction(1) if (counted := market.worth(symbol, peg, now)) is None else counted.price
        refuse_halted(by_subject(market.stops), symbol=symbol)
    except NoRate as refusal:
        stopped = _stopped(market, refusal, (symbol, f"{symbol}/{peg}"))
    return CoinRate(
        symbol=symbol,
        peg=peg,
        price=price,
        worth=None if stopped else worth,
        par_assumed=price is None and stopped is None,
        stopped=stopped,
    )


def _pair(market: Market, token: Token, currency: str, *, now: datetime) -> PairRate:
    mid = stopped = None
    try:
        mid = market.value(token, currency, now)
    except NoRate as refusal:
        stopped = _stopped(market, refusal, _subjects(token, currency))
    ways = [terms for terms in market.offer.corridors.values() if terms.currency.code == currency]
    return PairRate(
        symbol=token.asset.symbol,
        currency=currency,
        mid=mid,
        stopped=stopped,
        corridors=tuple(_corridor(market, token, terms, now=now) for terms in ways),
    )


def _corridor(market: Market, token: Token, terms: Terms, *, now: datetime) -> CorridorRate:
    currency = terms.currency.code
    applied = holds = stopped = None
    try:
        priced = market.price(token, terms, now)
        applied, holds = priced.mid.price * (BPS - terms.spread_bps) / BPS, priced.ttl
    except NoRate as refusal:
        corridor = corridor_subject(terms.country, currency, terms.method)
        stopped = _stopped(market, refusal, (EVERYTHING, corridor, *_subjects(token, currency)))
    return CorridorRate(country=terms.country, method=terms.method, applied=applied, holds=holds, stopped=stopped)


def _subjects(token: Token, currency: str) -> tuple[str, ...]:
    """What the stops of a coin in a currency may name."""
    symbol = token.asset.symbol
    return (symbol, f"{symbol}/{token.peg}", f"{token.peg}/{currency}")


def _stopped(market: Market, refusal: NoRate, subjects: tuple[str, ...]) -> Stopped:
    """The refusal, since when its stop says it lasts."""
    breaker, cause = next((breaker, cause) for kind, breaker, cause in _KINDS if isinstance(refusal, kind))
    stop = next((one for one in market.stops if one.subject in subjects and one.breaker is breaker), None)
    return Stopped(
        breaker=breaker,
        cause=cause,
        code=refusal.code,
        sentence=str(refusal),
        detail=refusal.detail,
        since=None if stop is None else stop.since,
    )
