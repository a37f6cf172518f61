"""Deals: what quotes for the same coin and corridor have in common. Pure.

A process keeps those that it found for the next set: a deal is found anew as soon as the market's rows say anything else, or
a price begins or ceases to count.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any, NamedTuple

from gateway.money import Rate
from gateway.pricing.exposure import DOLLARS, slot_end
from gateway.pricing.market import KNOWN_FOR, Market, market_of
from gateway.pricing.observations import FUTURE_SLACK
from gateway.pricing.offer import Offer, Speed, Terms, Token

KEPT_FOR = timedelta(seconds=1)
"""No deal is kept for longer, whatever the market says."""


class Deal(NamedTuple):
    """What quotes of one set for the same coin and corridor have in common."""

    token: Token
    terms: Terms
    mid: Rate
    applied: Rate
    dollars: Rate | None
    """What a coin counts for as a promise; None: promises aren't limited."""
    ttl: timedelta
    row: Mapping[str, Any]
    """As it is stored, but for the times of the quote."""

    def at(self, now: datetime) -> Mapping[str, Any]:
        """The row of a quote of that moment."""
        ends = now + self.ttl
        until = None if self.dollars is None else slot_end(now, ends)
        return {**self.row, "created_at": now, "expires_at": ends, "exposed_until": until}


@dataclass(frozen=True, slots=True, kw_only=True)
class Deals:
    """All deals of one market, good from `since` until just before `until`."""

    market: Market
    since: datetime
    until: datetime
    _found: dict[Hashable, Deal] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, market: Market, *, now: datetime) -> Deals:
        """Those of a market that was read just now."""
        seen = [one for pair in market.pairs.values() for one in pair.seen]
        ends = [
            *(one.as_of - FUTURE_SLACK for one in seen),
            *(one.as_of for one in seen),  # until then a rate isn't older than the moment itself
            *(one.as_of + market.rules.max_age if one.good_until is None else one.good_until for one in seen),
            *(one.as_of + KNOWN_FOR for one in seen),
        ]
        # A price counts at its end, too: at that moment itself nothing is kept.
        return cls(market=market, since=now, until=min((end for end in ends if end >= now), default=now + KEPT_FOR))

    def hold(self, now: datetime) -> bool:
        """Whether what was found says what would be found now."""
        return self.since <= now < min(self.until, self.since + KEPT_FOR)

    def find(self, token: Token, terms: Terms, speed: Speed, *, now: datetime) -> Deal:
        """The price of what is asked for but the amount; the market is asked once. Raises `consensus.NoRate`."""
        subject = (token.chain_id, token.asset.code, terms.country, terms.currency.code, terms.method, speed)
        deal = self._found.get(subject)
        if deal is None:
            deal = self._deal(token, terms, speed, now)
            if deal.row["mid_as_of"] != now:  # what is at par by itself is priced at every moment anew
                self._found[subject] = deal
        return deal

    def _deal(self, token: Token, terms: Terms, speed: Speed, now: datetime) -> Deal:
        priced = self.market.price(token, terms, now)
        mid = Rate.per_whole(priced.mid.price, base=token.asset, quote=terms.currency)
        applied = mid.less_bps(terms.spread_bps)
        row = {
            "chain_id": token.chain_id,
            "send_asset": token.asset.code,
            "receive_asset": terms.currency.code,
            "country": terms.country,
            "method": terms.method,
            "mid_num": str(mid.num),
            "mid_den": str(mid.den),
            "applied_num": str(applied.num),
            "applied_den": str(applied.den),
            "mid_as_of": priced.mid.as_of,
            "sources": priced.mid.sources,
            "speed": speed,
            "drop_every_s": _drop_every_s(speed, terms),
        }
        limited = self.market.rules.exposure_cap is not None
        dollars = self._dollars(token, terms, now) if limited else None
        return Deal(token, terms, mid, applied, dollars, priced.ttl, row)

    def _dollars(self, token: Token, terms: Terms, now: datetime) -> Rate:
        """A coin in US dollars; one of another currency needs that currency's rate."""
        price = Fraction(1)
        if token.peg != DOLLARS.code:
            price = self.market.price(token, replace(terms, currency=DOLLARS), now).mid.price
        return Rate.per_whole(price, base=token.asset, quote=DOLLARS)


class Book:
    """What a process knows of deals from one set to the next."""

    def __init__(self) -> None:
        self._rows: Sequence[Any] = ()
        self._deals: Deals | None = None

    def deals(self, rows: Sequence[Any], *, offer: Offer, now: datetime) -> Deals:
        """Those of the market that `rows` tell of."""
        known = self._deals
        if known is None or known.market.offer is not offer or not known.hold(now) or rows != self._rows:
            known = self._deals = Deals.of(market_of(rows, offer=offer), now=now)
            self._rows = rows
        return known


def _drop_every_s(speed: Speed, terms: Terms) -> int | None:
    if speed is not Speed.ECONOMY or terms.economy is None:
        return None
    return terms.economy.every // timedelta(seconds=1)
