"""What a remittance costs, over everything that is offered: priced as a quote would be, and nothing kept.

As the World Bank's Remittance Prices Worldwide looks at it: all costs of sending 200 or 500 US dollars, in percent of the
amount (https://remittanceprices.worldbank.org/methodology). A partner's own fee is not in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.db.session import rows_of_all
from gateway.errors import Refusal
from gateway.ledger.freezes import OPEN_FREEZES, read_freezes
from gateway.money import Money, Rate
from gateway.pricing.breakdown import Breakdown, of_send
from gateway.pricing.deals import Deals
from gateway.pricing.drafts import Scene
from gateway.pricing.exposure import DOLLARS
from gateway.pricing.market import READ_MARKET, market_of
from gateway.pricing.offer import Offer, Speed, Terms, Token
from gateway.pricing.requests import QuoteRequest

USUAL = ("200", "500")
"""US dollars that Remittance Prices Worldwide asks about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Costed:
    """A price."""

    parts: Breakdown
    mid: Rate
    applied: Rate


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What sending `dollars` costs in one way."""

    token: Token
    terms: Terms
    speed: Speed
    dollars: Money
    price: Costed | Refusal
    """Or why there is none."""


async def read_costs(connection: AsyncConnection, *, amounts: Sequence[Money], offer: Offer, now: datetime) -> list[Cost]:
    """`costs_of` at the present rates and with the present stops."""
    market, freezes = await rows_of_all(connection, [(READ_MARKET, {}), (OPEN_FREEZES, {})])
    scene = Scene(
        offer=offer,
        deals=Deals.of(market_of(market, offer=offer), now=now),
        frozen={freeze.asset: freeze for freeze in reversed(read_freezes(freezes))},
        fees_bps={},
        clients=frozenset(),
        now=now,
    )
    return list(costs_of(scene, amounts=amounts))


def costs_of(scene: Scene, *, amounts: Sequence[Money]) -> Iterator[Cost]:
    """Each corridor and speed, with each coin, for each amount of US dollars, in the order of the configuration."""
    for terms in scene.offer.corridors.values():
        for speed in Speed if terms.economy else (Speed.STANDARD,):
            for token in scene.offer.tokens.values():
                for dollars in amounts:
                    price = _price(scene, token, terms, speed, dollars)
                    yield Cost(token=token, terms=terms, speed=speed, dollars=dollars, price=price)


def _price(scene: Scene, token: Token, terms: Terms, speed: Speed, dollars: Money) -> Costed | Refusal:
    request = QuoteRequest(
        partner_id=None,
        chain=token.chain,
        asset=token.asset.symbol,
        send_amount=None,
        country=terms.country,
        currency=terms.currency.code,
        method=terms.method,
        receive_amount=None,
        speed=speed,
    )
    try:
        deal, _ = scene.deal(request)
        worth = scene.deals.market.value(token, DOLLARS.code, scene.now)
        send = Rate.per_whole(worth.price, base=token.asset, quote=DOLLARS).ceil_base(dollars)
        parts = of_send(send, mid=deal.mid, applied=deal.applied, terms=deal.terms, network_fee=token.network_fee)
    except Refusal as refusal:
        return refusal
    return Costed(parts=parts, mid=deal.mid, applied=deal.applied)
