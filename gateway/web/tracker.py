"""The page of one order: how to pay, then where the money is."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any, NamedTuple

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from gateway.db.session import transaction
from gateway.desk.matters import Matters, matters_of
from gateway.money import Money
from gateway.orders.recipients import masked_name
from gateway.payouts.queries import order_view
from gateway.payouts.views import OrderView
from gateway.pricing.offer import Token
from gateway.pricing.quotes import QuoteView, find_quote
from gateway.web import journey
from gateway.web.pages import Pages
from gateway.web.qr import qr_svg
from gateway.web.services import WebServices

TRACKING_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,64}")


class _Seen(NamedTuple):
    """What the page is made of."""

    view: OrderView
    matters: Matters
    quote: QuoteView | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracker:
    """Handlers. Whoever has the link may look, so the page masks whom it pays."""

    services: WebServices
    pages: Pages

    async def page(self, request: Request) -> Response:
        """The whole page."""
        seen = await self._look(request)
        context = self._context(seen)
        return self.pages.answer("track.html", tag=_tag(seen, context["due"]), **context)

    async def live(self, request: Request) -> Response:
        """The part of the page that changes; 304 while it hasn't, which costs a slow link almost nothing."""
        seen = await self._look(request)
        context = self._context(seen)
        tag = _tag(seen, context["due"])
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers={"ETag": tag})
        return self.pages.answer("journey.html", headers={"ETag": tag}, **context)

    async def view(self, request: Request) -> OrderView:
        """The order whose link was followed. Raises HTTPException: 404."""
        return (await self._look(request)).view

    async def _look(self, request: Request) -> _Seen:
        tracking_token, now = request.path_params["tracking_token"], self.services.clock()
        if TRACKING_TOKEN.fullmatch(tracking_token):
            async with transaction(self.services.engine) as connection:
                view = await order_view(connection, now=now, tracking_token=tracking_token)
                if view is not None:
                    offer = self.services.offer
                    matters = await matters_of(connection, order_id=view.id, offer=offer, now=now)
                    return _Seen(view, matters, await find_quote(connection, quote_id=view.quote_id, offer=offer))
        raise HTTPException(404)

    def _context(self, seen: _Seen) -> dict[str, Any]:
        view, now = seen.view, self.services.clock()
        due, token = journey.to_pay(view, now=now), self._token(view)
        uri = token.payment_uri(to=view.deposit_address, amount=due) if token and due else None
        place = journey.PLACES[view.progress.status]
        return {
            "view": view,
            "matters": seen.matters,
            "quote": seen.quote,
            "name": masked_name(view.recipient_name),
            "sentence": self.pages.reader.say(view.progress.sentence),
            "next_step": self.pages.reader.say(view.progress.next_step),
            "now": now,
            "due": due if uri else None,
            "token": token,
            "uri": uri,
            "qr": qr_svg(uri) if uri else None,
            "place": place,
            "look": journey.SOON if due else place.look,
            "stages": journey.stages(view),
            "link": f"{self.services.public_url.rstrip('/')}/t/{view.tracking_token}",
        }

    def _token(self, view: OrderView) -> Token | None:
        """The coin to pay with; None if the operator takes it no longer, and nothing must be sent."""
        matching = (
            t for t in self.services.offer.tokens.values() if (t.chain_id, t.asset) == (view.chain_id, view.send.asset)
        )
        return next(matching, None)


def _tag(seen: _Seen, due: Money | None) -> str:
    """Changes when the page's contents do. Weak, because compression on the way makes it so."""
    return f'W/"{hashlib.sha256(repr((seen, due)).encode()).hexdigest()[:32]}"'
