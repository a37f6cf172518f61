"""What a quote will say: prices of a set of requests, all at one moment of the market. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import structlog

from gateway.errors import Refusal
from gateway.ids import new_ids
from gateway.ledger.freezes import AssetFrozen, Freeze
from gateway.money import Money
from gateway.pricing import breakdown, consensus
from gateway.pricing.breakdown import Breakdown
from gateway.pricing.deals import Deal, Deals
from gateway.pricing.exposure import Promise
from gateway.pricing.offer import Delivery, Offer
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One moment, for one set of requests."""

    offer: Offer
    deals: Deals
    frozen: Mapping[str, Freeze]
    """By asset; the oldest of each."""
    fees_bps: Mapping[str, int]
    """Each asking partner's own fee."""
    clients: frozenset[str]
    """The asking clients that may act."""
    now: datetime
    _found: dict[Hashable, tuple[Deal, Mapping[str, Any]]] = field(default_factory=dict)

    def deal(self, request: QuoteRequest) -> tuple[Deal, Mapping[str, Any]]:
        """The price of what is asked for but the amount, and the row of a quote of now.

        Raises `UnknownAsset`, `UnknownCorridor`, `EconomyNotOffered`, `AssetFrozen`, `consensus.NoRate`.
        """
        found = self._found.get(request.subject)
        if found is None:
            token, terms = read_request(request, self.offer)
            if token.asset.code in self.frozen:
                raise AssetFrozen(self.frozen[token.asset.code], field="send.asset")
            deal = self.deals.find(token, terms, request.speed, now=self.now)
            found = self._found[request.subject] = deal, deal.at(self.now)
        return found


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
    deal, common = scene.deal(request)
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
    delivery = None
    if deliveries is not None:
        every = common["drop_every_s"]
        delivery = deliveries.expect(terms, parts.receive, partner=request.partner_id, drop_every_s=every, now=scene.now)
    promise = _promise(request, deal, parts.send, until=common["exposed_until"])
    row = {
        **common,
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


def _promise(request: QuoteRequest, deal: Deal, send: Money, *, until: datetime) -> Promise | None:
    if deal.dollars is None:
        return None
    return Promise(
        place=request.place,
        worth=deal.dollars.ceil(send),
        until=until,
        field=request.amount_field,
    )
