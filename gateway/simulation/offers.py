"""New prices for money that an order's own doesn't fit: an operator offers them, and senders agree, at once on two pages."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.db.session import transaction
from gateway.desk.consent import Agreed, accept_requote
from gateway.desk.requote import Channel, Consent, offer_requote
from gateway.errors import Refusal
from gateway.simulation.chain import CHAIN_ID
from gateway.simulation.connections import at_once
from gateway.simulation.eye import Eye
from gateway.simulation.faults import Dice
from gateway.simulation.market import FACTORY, PARTNER, Deal, Extra, Market
from gateway.simulation.people import FIRST
from gateway.simulation.prices import OFFER
from gateway.simulation.scheduler import Violation

REASON = "what came doesn't fit the price"
OFFERED = ("late", "underpaid", "depegged")
"""Holds to which a new price is an answer."""
OFFERS_MOST = 5
ONE_OF, WHICH = 4, 1
"""One of so many senders wants one; others want their money back."""


class _Open(NamedTuple):
    """An offer that waits for its answer."""

    requote_id: str
    quote_id: str
    expires_at: datetime
    answered_s: float


@dataclass(kw_only=True)
class Offers:
    """Those who offer, and those who agree."""

    engines: Sequence[AsyncEngine]
    eye: Eye
    dice: Dice
    market: Market
    complete: Callable[[str], bool]
    """Whether nothing more comes for an order."""
    note: Callable[[str], None]
    checked: Counter[str]
    _open: dict[str, _Open] = field(default_factory=dict)

    async def work(self, now: datetime, *, now_s: float) -> None:
        """Offer some, answer those whose time has come."""
        wanted = [order_id for order_id in self.eye.held(OFFERED) if zlib.crc32(order_id.encode()) % ONE_OF == WHICH]
        for order_id in [order_id for order_id in wanted if order_id not in self._open][:OFFERS_MOST]:
            if self.dice.happens("requote") and self.complete(order_id):
                await self._offer(order_id, now, now_s=now_s)
        for order_id, offer in list(self._open.items()):
            if offer.answered_s <= now_s:
                del self._open[order_id]
                await self._agree(order_id, offer, now)

    async def _offer(self, order_id: str, now: datetime, *, now_s: float) -> None:
        try:
            async with transaction(self.engines[0]) as connection:
                made = await offer_requote(
                    connection, order_id=order_id, offer=OFFER, operator=FIRST, reason=REASON, now=now
                )
        except Refusal as refusal:
            self.note(f"{order_id} gets no new price: {refusal.code}")
            return
        self.note(f"{order_id} gets a new price")
        self._open[order_id] = _Open(made.id, made.quote.id, made.quote.expires_at, now_s + self.dice.between(0, 1200))

    async def _agree(self, order_id: str, offer: _Open, now: datetime) -> None:
        """Its sender agrees on two pages at once: one of them makes the step, and none after the offer's time."""
        deal = self.market.deals[order_id]
        consent = Consent(channel=Channel.PARTNER, name=PARTNER) if deal.extra else Consent(channel=Channel.TRACKER)

        async def accept(connection: AsyncConnection) -> Agreed:
            return await accept_requote(
                connection,
                order_id=order_id,
                requote_id=offer.requote_id,
                consent=consent,
                factories={CHAIN_ID: FACTORY},
                now=now,
            )

        self.checked["new prices once"] += 1
        answers = await at_once(self.engines, accept)
        agreed = [answer for answer in answers if isinstance(answer, Agreed)]
        odd = [answer for answer in answers if not isinstance(answer, Agreed | Refusal)]
        first = [answer for answer in agreed if not answer.replayed]
        if odd or len(first) != bool(agreed) or (agreed and now >= offer.expires_at):
            raise Violation(f"a new price of {order_id} was agreed to by two at once, and they were told: {answers}")
        if not agreed:
            self.note(f"{order_id} keeps its price: {answers[0]}")
            return
        self.note(f"{order_id} has a new price")
        self.market.agree(order_id, _deal(deal, self.eye.quote(offer.quote_id)))


def _deal(deal: Deal, quote: Any) -> Deal:
    """The same for another price."""
    fees = Extra(int(quote.partner_fee_units), int(quote.rail_fee_units), int(quote.network_fee_units))
    return replace(
        deal,
        send=int(quote.send_units),
        mid=int(quote.mid_units),
        margin=int(quote.margin_units),
        fee=int(quote.fee_units),
        rounding=int(quote.rounding_units),
        receive=int(quote.receive_units),
        extra=fees if deal.extra else None,
    )
