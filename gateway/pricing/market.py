"""The market at one moment: what each coin is worth in each currency, and what stops it. One question to the database.

`read_market` is asked once for a set of quotes; pricing on what it gives is pure. What it refuses follows from rows that all
processes share, so every process refuses from its next quote on, whether or not a loop has come by.

A coin is worth its own price in its peg, at most par, times its peg's middle rate. Where no source prices the coin, par is
assumed if the operator says so (`BreakerRules.par_assumed`); GET /v1/rates tells which it is. A coin's prices in local money
vote on its peg's middle rate (`gateway.pricing.local`).
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
from gateway.pricing.local import to_peg
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
    _coins: dict[tuple[str, str, datetime], Mid | NoRate | None] = field(default_factory=dict, repr=False, compare=False)
    _agreed: dict[tuple[str, str, datetime], Mid | NoRate] = field(default_factory=dict, repr=False, compare=False)
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

        Of two that differ the lower one counts: taken at par, a coin that has fallen is our loss. Raises `CoinUnpriced`.
        """
        key = (symbol, peg, now)
        if key not in self._coins:
            self._coins[key] = self._coin(symbol, peg, now)
        found = self._coins[key]
        return None if found is None else _known(found)

    def _coin(self, symbol: str, peg: str, now: datetime) -> Mid | NoRate | None:
        rules = self.rules
        seen = [one for one in self.pair(symbol, peg).seen if now - one.as_of <= KNOWN_FOR and rules.votes(one.source)]
        if not seen:
            if rules.breakers.par_assumed:
                return None
            return CoinUnpriced(symbol=symbol, detail=f"{symbol}/{peg}: no source prices it, and par is not assumed")
        # Venues differ widely when a coin falls: that they do is no reason not to see that it falls.
        rules = replace(rules, min_sources=rules.breakers.coin_sources, max_spread_bps=BPS - 1)
        try:
            return consensus.mid(self.pair(symbol, peg).seen, base=symbol, quote=peg, rules=rules, now=now, wary=True)
        except NoRate as refusal:
            return CoinUnpriced(symbol=symbol, detail=refusal.detail)

    def middle(self, base: str, quote: str, now: datetime) -> Mid:
        """The middle rate of a peg in a currency, as far as it may be used. Raises `consensus.NoRate` or a subclass."""
        found = self._found.get((base, quote, now))
        if found is None:
            found = self._found[base, quote, now] = self._middle(base, quote, now)
        return _known(found)

    def agreed(self, base: str, quote: str, now: datetime) -> Mid:
        """What sources agree on for a peg in a currency, whether it has jumped or not. Raises `consensus.NoRate`."""
        found = self._agreed.get((base, quote, now))
        if found is None:
            found = self._agreed[base, quote, now] = self._consensus(base, quote, now)
        return _known(found)

    def _middle(self, base: str, quote: str, now: datetime) -> Mid | NoRate:
        try:
            mid = self.agreed(base, quote, now)
        except NoRate as refusal:
            return refusal
        last = self.pair(base, quote).last
        if last is not None and jumped(mid.price, last, rules=self.rules.breakers, now=now):
            return RateJumped(quote=quote, detail=leapt(base, quote, mid, last))
        return mid

    def _consensus(self, base: str, quote: str, now: datetime) -> Mid | NoRate:
        seen, silent = list(self.pair(base, quote).seen), []
        for symbol, local in self._local(base, quote, now):
            try:
                seen += to_peg(local, peg=base, coin=self._to_cross_by(symbol, base, now))
            except NoRate as refusal:
                silent.append(f"{', '.join(one.source for one in local)} by {symbol}: {refusal.detail}")
        try:
            return consensus.mid(seen, base=base, quote=quote, rules=self.rules, now=now, silent=silent)
        except NoRate as refusal:
            return refusal

    def _local(self, base: str, quote: str, now: datetime) -> list[tuple[str, list[Observation]]]:
        """The fresh prices in `quote` of each coin whose peg is `base`."""
        others = sorted(name for name, told_in in self.pairs if told_in == quote != base != name)
        coins = coins_of(self.offer) if others else []
        found = ((symbol, self._fresh(symbol, quote, now)) for symbol in others if (symbol, base) in coins)
        return [(symbol, local) for symbol, local in found if local]

    def _fresh(self, base: str, quote: str, now: datetime) -> list[Observation]:
        return [one for one in self.pair(base, quote).seen if one.is_fresh(max_age=self.rules.max_age, now=now)]

    def _to_cross_by(self, symbol: str, peg: str, now: datetime) -> Fraction:
        """What one coin costs in its peg, if its local prices count (`gateway.pricing.local`). Raises `NoRate` if not."""
        refuse_halted(by_subject(self.stops), symbol=symbol)
        coin = self.coin_price(symbol, peg, now)
        if coin is None:
            return Fraction(1)
        if depegged(coin.price, rules=self.rules.breakers):
            raise CoinDepegged(symbol=symbol, detail=outside(symbol, peg, coin.price, self.rules))
        return coin.price


def coins_of(offer: Offer) -> list[tuple[str, str]]:
    """Coins and their pegs, whatever the chain."""
    return sorted({(token.asset.symbol, token.peg) for token in offer.tokens.values()})


def _known(found: Mid | NoRate) -> Mid:
    if isinstance(found, NoRate):
        raise found.with_traceback(None)
    return found


def outside(symbol: str, peg: str, price: Fraction, rules: PricingRules) -> str:
    """What an operator is told of a coin outside its band."""
    band = rules.breakers.depeg_bps
    return f"{symbol} costs {decimal_of(price, digits=6)} {peg}, more than {band} bps from par"


def leapt(base: str, quote: str, mid: Mid, last: Published) -> str:
    """What an operator is told of a jump."""
    before, at = decimal_of(last.price, digits=6), f"{last.at:%Y-%m-%d %H:%M:%S} UTC"
    unless = f" unless a source contradicts ({'; '.join(mid.out)})" if mid.outvoted else ""
    return (
        f"{base}/{quote} jumped from {before} ({at}) to {decimal_of(mid.price, digits=6)}; rounds of newer prices will "
        f"confirm it{unless}, or `lastmile rates accept {base} {quote}`"
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
# A pair that only coins' local prices tell was published without ever having been told itself: hence FULL JOIN.
READ_MARKET = text("""
SELECT 'pair' AS what, base AS name, quote,
    json_build_object('seen', coalesce(o.seen, '[]'), 'last', m.last) \\:\\: text AS document
FROM (SELECT base, quote, json_agg(json_build_array(source, CAST(num AS text), CAST(den AS text), as_of, good_until)
    ORDER BY source) AS seen FROM rate_observations GROUP BY base, quote) AS o
FULL JOIN (SELECT base, quote, json_build_object('price', price, 'at', at, 'low', low, 'high', high, 'since', since,
    'moves', CAST(moves AS text), 'newest', newest, 'pending', pending, 'rounds', rounds) AS last FROM market_pairs) AS m
    USING (base, quote)
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


class _Document(msgspec.Struct):
    seen: list[tuple[str, str, str, datetime, datetime | None]]
    last: _Last | None


_DOCUMENT = msgspec.json.Decoder(_Document)


@lru_cache(maxsize=PAIRS_MOST)
def _pair(base: str, quote: str, document: str) -> Pair:
    known = _DOCUMENT.decode(document)
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
