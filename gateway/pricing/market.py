"""The market at one moment: what each coin is worth in each currency, and what stops it. One question to the database.

`read_market` is asked once for a set of quotes; pricing on what it gives is pure. What it refuses follows from rows that all
processes share, so every process refuses from its next quote on, whether or not a loop has come by.

A coin is worth its own price in its peg, at most par, times its peg's middle rate. Where no source prices the coin, par is
assumed if the operator says so (`BreakerRules.par_assumed`); GET /v1/rates tells which it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from fractions import Fraction
from functools import lru_cache
from typing import Any

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.db.session import rows
from gateway.money import decimal_of
from gateway.pricing import consensus
from gateway.pricing.breakers import BPS, Breaker, Published, depegged, jumped
from gateway.pricing.consensus import Mid, NoRate
from gateway.pricing.halts import CoinDepegged, CoinUnpriced, RateJumped, Stop, by_subject, corridor_subject, refuse_halted
from gateway.pricing.observations import Observation
from gateway.pricing.offer import Offer, PricingRules, Terms, Token
from gateway.pricing.volatility import ttl

KNOWN_FOR = timedelta(days=7)
"""A source that has said nothing of a coin for that long doesn't price it: it was taken out of the configuration."""
PAIRS_MOST = 1024
"""How many pairs' rows are kept read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Priced:
    """What one coin is worth now, and for how long a quote may say so."""

    mid: Mid
    """One whole coin in whole units of the corridor's currency."""
    ttl: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """What is known of one base in one quote."""

    seen: tuple[Observation, ...] = ()
    """The newest of each source."""
    last: Published | None = None

    @property
    def moves(self) -> Fraction:
        """Its realised variance; 0: nothing was published yet."""
        return Fraction(0) if self.last is None else self.last.moves


UNKNOWN = Pair()


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """What all prices at one moment follow from. Good for one set of quotes."""

    offer: Offer
    pairs: dict[tuple[str, str], Pair] = field(default_factory=dict, repr=False)
    stops: tuple[Stop, ...] = ()
    """Those that are open, the oldest first."""
    _found: dict[tuple[str, str, datetime], Mid | NoRate] = field(default_factory=dict, repr=False, compare=False)

    @property
    def rules(self) -> PricingRules:
        """By which prices are judged."""
        return self.offer.rules

    def price(self, token: Token, terms: Terms, now: datetime) -> Priced:
        """What a coin is worth in a corridor. Pure.

        Raises `consensus.NoRate` or a subclass of it (its `detail` is for the operator's log, its sentence for the
        customer): `RateUnavailable`, `RateDisputed`, and those of `gateway.pricing.halts`.
        """
        symbol, currency = token.asset.symbol, terms.currency.code
        refuse_halted(
            by_subject(self.stops),
            symbol=symbol,
            corridor=corridor_subject(terms.country, currency, terms.method),
            fields=("send.asset", "receive"),
            takes_depegged=self.rules.takes_depegged,
        )
        mid = self.value(token, currency, now)
        holds = ttl(
            self.pair(symbol, token.peg).moves + self.pair(token.peg, currency).moves,
            spread_bps=terms.spread_bps,
            most=self.rules.quote_ttl,
            rules=self.rules.ttl,
        )
        return Priced(mid=mid, ttl=holds)

    def value(self, token: Token, currency: str, now: datetime) -> Mid:
        """What a coin is worth in a currency, whoever has halted what. Raises as `price` does but for halts."""
        coin, middle = self.worth(token.asset.symbol, token.peg, now), self.middle(token.peg, currency, now)
        return middle if coin is None else _times(coin, middle)

    def pair(self, base: str, quote: str) -> Pair:
        """What is known of a pair."""
        return self.pairs.get((base, quote), UNKNOWN)

    def worth(self, symbol: str, peg: str, now: datetime) -> Mid | None:
        """What one coin is worth in its peg, at most par; None: no source says, and par is assumed.

        Raises `CoinUnpriced` and `CoinDepegged`.
        """
        coin = self.coin_price(symbol, peg, now)
        if coin is None:
            return None
        if depegged(coin.price, rules=self.rules.breakers) and not self.rules.takes_depegged:
            raise CoinDepegged(symbol=symbol, detail=outside(symbol, peg, coin.price, self.rules))
        return replace(coin, price=min(coin.price, Fraction(1)))

    def coin_price(self, symbol: str, peg: str, now: datetime) -> Mid | None:
        """What sources say of one coin in its peg, whatever it is; None: none does, and par is assumed.

        Raises `CoinUnpriced`.
        """
        seen = [one for one in self.pair(symbol, peg).seen if now - one.as_of <= KNOWN_FOR]
        if not seen:
            if self.rules.breakers.par_assumed:
                return None
            raise CoinUnpriced(symbol=symbol, detail=f"{symbol}/{peg}: no source prices it, and par is not assumed")
        # Venues differ widely when a coin falls: that they do is no reason not to see that it falls.
        rules = replace(self.rules, min_sources=self.rules.breakers.coin_sources, max_spread_bps=BPS - 1)
        try:
            return consensus.mid(seen, base=symbol, quote=peg, rules=rules, now=now)
        except NoRate as refusal:
            raise CoinUnpriced(symbol=symbol, detail=refusal.detail) from None

    def middle(self, base: str, quote: str, now: datetime) -> Mid:
        """The middle rate of a peg in a currency, as far as it may be used. Raises `consensus.NoRate` or a subclass."""
        found = self._found.get((base, quote, now))
        if found is None:
            found = self._found[base, quote, now] = self._middle(base, quote, now)
        if isinstance(found, NoRate):
            raise found.with_traceback(None)
        return found

    def _middle(self, base: str, quote: str, now: datetime) -> Mid | NoRate:
        pair, rules = self.pair(base, quote), self.rules
        try:
            mid = consensus.mid(pair.seen, base=base, quote=quote, rules=rules, now=now)
        except NoRate as refusal:
            return refusal
        if pair.last is not None and jumped(mid.price, pair.last, rules=rules.breakers, now=now):
            return RateJumped(quote=quote, detail=leapt(base, quote, mid.price, pair.last))
        return mid


def outside(symbol: str, peg: str, price: Fraction, rules: PricingRules) -> str:
    """What an operator is told of a coin outside its band."""
    band = rules.breakers.depeg_bps
    return f"{symbol} costs {decimal_of(price, digits=6)} {peg}, more than {band} bps from par"


def leapt(base: str, quote: str, price: Fraction, last: Published) -> str:
    """What an operator is told of a jump."""
    before, at = decimal_of(last.price, digits=6), f"{last.at:%Y-%m-%d %H:%M:%S} UTC"
    return (
        f"{base}/{quote} jumped from {before} ({at}) to {decimal_of(price, digits=6)}; rounds of newer prices will confirm "
        f"it, or `lastmile rates accept {base} {quote}`"
    )


def _times(coin: Mid, middle: Mid) -> Mid:
    """A coin's own price and its peg's, as one."""
    return replace(
        middle,
        price=coin.price * middle.price,
        as_of=min(coin.as_of, middle.as_of),
        sources=tuple(sorted({*coin.sources, *middle.sources})),
        confidence=min(coin.confidence, middle.confidence),
        out=(*coin.out, *middle.out),
    )


# One row for each pair and each stop. Equal documents are read once in a process: prices change seldom, quotes are many.
READ_MARKET = text("""
SELECT 'pair' AS what, o.base AS name, o.quote AS quote, json_build_object(
    'seen', json_agg(json_build_array(o.source, CAST(o.num AS text), CAST(o.den AS text), o.as_of, o.good_until)
        ORDER BY o.source),
    'last', (SELECT row_to_json(p) FROM (
        SELECT price, at, low, high, since, CAST(moves AS text) AS moves, newest, pending, rounds
        FROM market_pairs AS m WHERE m.base = o.base AND m.quote = o.quote) AS p)) \\:\\: text AS document
FROM rate_observations AS o GROUP BY o.base, o.quote
UNION ALL
SELECT 'stop', s.subject, '', json_build_object('id', s.id, 'breaker', s.breaker, 'reason', s.reason, 'since', s.since,
    'stopped_by', s.stopped_by, 'well_since', s.well_since) \\:\\: text
FROM market_stops AS s WHERE s.lifted_at IS NULL
""")


async def read_market(connection: AsyncConnection, *, offer: Offer, now: datetime) -> Market:
    """All that prices follow from, in one question; once for a set of quotes of about `now`."""
    del now  # what is too old is told by who prices
    return market_of(await rows(connection, READ_MARKET, {}), offer=offer)


def market_of(found: Iterable[Any], *, offer: Offer) -> Market:
    """What `READ_MARKET` found, for whoever asks it together with other questions."""
    pairs: dict[tuple[str, str], Pair] = {}
    stops = []
    for row in found:
        if row.what == "pair":
            pairs[row.name, row.quote] = _pair(row.name, row.quote, row.document)
        else:
            stops.append(_stop(row.name, row.document))
    return Market(offer=offer, pairs=pairs, stops=tuple(sorted(stops, key=lambda stop: (stop.since, stop.id))))


class _Last(msgspec.Struct):
    price: str
    at: datetime
    low: str
    high: str
    since: datetime
    moves: str
    newest: datetime
    pending: str | None
    rounds: int


class _Known(msgspec.Struct):
    seen: list[tuple[str, str, str, datetime, datetime | None]]
    last: _Last | None


_KNOWN = msgspec.json.Decoder(_Known)


@lru_cache(maxsize=PAIRS_MOST)
def _pair(base: str, quote: str, document: str) -> Pair:
    known = _KNOWN.decode(document)
    seen = tuple(
        Observation(
            source=source, base=base, quote=quote, price=Fraction(int(num), int(den)), as_of=as_of, good_until=good_until
        )
        for source, num, den, as_of, good_until in known.seen
    )
    last = known.last
    if last is None:
        return Pair(seen=seen)
    return Pair(
        seen=seen,
        last=Published(
            price=Fraction(last.price),
            at=last.at,
            low=Fraction(last.low),
            high=Fraction(last.high),
            since=last.since,
            moves=Fraction(last.moves),
            newest=last.newest,
            pending=None if last.pending is None else Fraction(last.pending),
            rounds=last.rounds,
        ),
    )


class _Stop(msgspec.Struct):
    id: int
    breaker: Breaker
    reason: str
    since: datetime
    stopped_by: str | None
    well_since: datetime | None


_STOP = msgspec.json.Decoder(_Stop)


@lru_cache(maxsize=PAIRS_MOST)
def _stop(subject: str, document: str) -> Stop:
    read: dict[str, Any] = msgspec.structs.asdict(_STOP.decode(document))
    return Stop(subject=subject, **read)
