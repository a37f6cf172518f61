"""What a quote will say: prices of a set of requests, all at one moment of the market. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any, NamedTuple

import structlog

from gateway.errors import Refusal
from gateway.ids import new_ids
from gateway.ledger.freezes import AssetFrozen, Freeze
from gateway.money import Money, Rate
from gateway.pricing import breakdown, consensus
from gateway.pricing.breakdown import Breakdown
from gateway.pricing.exposure import DOLLARS, Promise, slot_end
from gateway.pricing.market import Market
from gateway.pricing.offer import Delivery, Offer, Speed, Terms, Token
from gateway.pricing.requests import ClientRevoked, QuoteRequest, check_amounts, read_amount, read_request

_log = structlog.get_logger(__name__)


class Draft(NamedTuple):
    """A quote that isn't stored yet."""

    row: dict[str, Any]
    """As it is stored. Units are text: JSON's numbers are too small for some."""
    parts: Breakdown
    deal: Deal
    delivery: Delivery | None
    promise: Promise | None
    """What it adds to the holder's exposure, where that is limited."""


class Deal(NamedTuple):
    """What quotes of one set for the same coin and corridor have in common."""

    token: Token
    terms: Terms
    mid: Rate
    applied: Rate
    dollars: Rate | None
    """What a coin counts for as a promise; None: promises aren't limited."""
    row: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One moment, for one set of requests."""

    offer: Offer
    market: Market
    frozen: Mapping[str, Freeze]
    """By asset; the oldest of each."""
    fees_bps: Mapping[str, int]
    """Each asking partner's own fee."""
    clients: frozenset[str]
    """The asking clients that may act."""
    now: datetime
    _deals: dict[Hashable, Deal] = field(default_factory=dict)

    def deal(self, request: QuoteRequest) -> Deal:
        """The price of what is asked for but the amount; the market is asked once.

        Raises `UnknownAsset`, `UnknownCorridor`, `EconomyNotOffered`, `AssetFrozen`, `consensus.NoRate`.
        """
        known = self._deals.get(request.subject)
        if known is None:
            known = self._deals[request.subject] = self._deal(request)
        return known

    def _deal(self, request: QuoteRequest) -> Deal:
        (token, terms), now = read_request(request, self.offer), self.now
        if token.asset.code in self.frozen:
            raise AssetFrozen(self.frozen[token.asset.code], field="send.asset")
        priced = self.market.price(token, terms, now)
        mid = Rate.per_whole(priced.mid.price, base=token.asset, quote=terms.currency)
        applied = mid.less_bps(terms.spread_bps)
        limited = self.offer.rules.exposure_cap is not None
        row = {
            "created_at": now,
            "expires_at": now + priced.ttl,
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
            "speed": request.speed,
            "drop_every_s": _drop_every_s(request.speed, terms),
            "exposed_until": slot_end(now, now + priced.ttl) if limited else None,
        }
        return Deal(token, terms, mid, applied, self._dollars(token, terms) if limited else None, row)

    def _dollars(self, token: Token, terms: Terms) -> Rate:
        """A coin in US dollars; one of another currency needs that currency's rate."""
        price = Fraction(1)
        if token.peg != DOLLARS.code:
            price = self.market.price(token, replace(terms, currency=DOLLARS), self.now).mid.price
        return Rate.per_whole(price, base=token.asset, quote=DOLLARS)


def draft_all(requests: Sequence[QuoteRequest], scene: Scene) -> list[Draft | Exception]:
    """For each request its quote, or why there is none: a refusal, or a fault of ours, which costs the others nothing."""
    ids = new_ids("quo", number=len(requests), now=scene.now)
    return [_attempt(request, quote_id, scene) for request, quote_id in zip(requests, ids, strict=True)]


def _attempt(request: QuoteRequest, quote_id: str, scene: Scene) -> Draft | Exception:
    try:
        return _draft(request, quote_id, scene)
    except consensus.NoRate as refusal:
        _log.warning(refusal.code, detail=refusal.detail)
        return refusal
    except Refusal as refusal:
        return refusal
    except Exception as error:  # noqa: BLE001 - whatever it is, it is about this request alone
        return error


def _draft(request: QuoteRequest, quote_id: str, scene: Scene) -> Draft:
    if request.client_id is not None and request.client_id not in scene.clients:
        raise ClientRevoked
    check_amounts(request)
    deal = scene.deal(request)
    terms = deal.terms
    amount = read_amount(request, token=deal.token, terms=terms)
    price = breakdown.of_receive if request.send_amount is None else breakdown.of_send
    parts = price(
        amount,
        mid=deal.mid,
        applied=deal.applied,
        terms=terms,
        partner_bps=scene.fees_bps.get(request.partner_id or "", 0),
        network_fee=deal.token.network_fee,
    )
    deliveries = scene.offer.deliveries
    delivery = deliveries.expect(terms, parts.receive, now=scene.now) if deliveries else None
    promise = _promise(request, deal, parts.send)
    row = {
        **deal.row,
        "id": quote_id,
        "partner_id": request.partner_id,
        "send_units": str(parts.send.units),
        "receive_units": str(parts.receive.units),
        "mid_units": str(parts.value.units),
        "margin_units": str(parts.fx_margin.units),
        "fee_units": str(parts.service_fee.units),
        "partner_fee_units": str(parts.partner_fee.units),
        "rail_fee_units": str(parts.rail_fee.units),
        "network_fee_units": str(parts.network_fee.units),
        "rounding_units": str(parts.rounding.units),
        "cash_out_units": str(parts.cash_out.units),
        "delivery_p50_s": delivery and delivery.p50_s,
        "delivery_p95_s": delivery and delivery.p95_s,
        "exposed_units": promise and str(promise.worth.units),
    }
    return Draft(row, parts, deal, delivery, promise)


def _promise(request: QuoteRequest, deal: Deal, send: Money) -> Promise | None:
    if deal.dollars is None:
        return None
    return Promise(
        place=request.place,
        worth=deal.dollars.ceil(send),
        until=deal.row["exposed_until"],
        field=request.amount_field,
    )


def _drop_every_s(speed: Speed, terms: Terms) -> int | None:
    if speed is not Speed.ECONOMY or terms.economy is None:
        return None
    return terms.economy.every // timedelta(seconds=1)
