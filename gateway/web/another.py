"""What a link's holder can do when the recipient's account was refused: give another one of theirs."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gateway.db.session import transaction
from gateway.errors import Refusal
from gateway.orders.accounts import BadRecipient
from gateway.orders.recipients import (
    GivenWay,
    MethodNotOffered,
    SameWayTwice,
    institutions_of,
    masked_name,
    methods_offered,
    several,
)
from gateway.payouts.redirect import Channel, Redirect, redirect
from gateway.payouts.views import OrderView
from gateway.web.guards import read_form
from gateway.web.tracker import Tracker

FIELD_MOST = 100
"""Longest entry that is looked at, in characters."""
TO_PUT_RIGHT = (BadRecipient, MethodNotOffered, SameWayTwice)
"""Refusals of what was typed; others are of the order, and the form would not help."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnotherWay:
    """Handlers. Only while the order waits for this answer; the name, the amount and the country stay."""

    tracker: Tracker

    async def ask(self, request: Request) -> Response:
        """The form; where there is nothing to answer, the order's page."""
        view = await self.tracker.view(request)
        return self._form(view) if view.answerable else _page(view)

    async def give(self, request: Request) -> Response:
        """Take the answer and go to the order's page. Posted twice, it goes there again."""
        services = self.tracker.services
        fields = await read_form(request, public_url=services.public_url)
        view = await self.tracker.view(request)
        account, method = fields.get("account", "").strip()[:FIELD_MOST], fields.get("method", "")[:FIELD_MOST]
        institution = fields.get("institution", "").strip()[:FIELD_MOST]
        way = GivenWay(method, account, institution or None)
        wish = Redirect(order_id=view.id, way=way, channel=Channel.TRACKER)
        try:
            async with transaction(services.engine) as connection:
                await redirect(connection, wish=wish, offer=services.offer, now=services.clock())
        except TO_PUT_RIGHT as refusal:
            return self._form(view, given=way, problem=str(refusal))
        except Refusal as refusal:
            return self.tracker.pages.answer("refused.html", status=409, view=view, sentence=str(refusal))
        return _page(view)

    def _form(self, view: OrderView, *, given: GivenWay | None = None, problem: str | None = None) -> Response:
        given = given or GivenWay("", "")
        offer = self.tracker.services.offer
        methods = methods_offered(offer, country=view.country, receive=view.receive)
        chosen = next((known for known in (given.method, view.method) if known in methods), methods[0] if methods else "")
        reached = [
            institutions_of(offer, country=view.country, currency=view.receive.asset, method=method) for method in methods
        ]
        return self.tracker.pages.answer(
            "redirect.html",
            status=200 if problem is None else 422,
            view=view,
            name=masked_name(view.recipient_name),
            methods=methods,
            chosen=chosen,
            institutions=several(reached),
            given=given,
            problem=problem,
        )


def _page(view: OrderView) -> Response:
    return RedirectResponse(f"/t/{view.tracking_token}", status_code=303)
