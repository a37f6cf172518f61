"""The pages of a sender: form, price, order."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from operator import add

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gateway.db.session import transaction
from gateway.errors import Refusal
from gateway.money import Money
from gateway.offramp import Method
from gateway.orders.accept import Acceptance, Accepted, QuoteNotFound, QuoteUsed, accept_quote, order_of_quote
from gateway.orders.models import Recipient as RecipientRow
from gateway.orders.recipients import BadRecipient, Recipient, read_recipient
from gateway.pricing.quotes import find_quote
from gateway.web.forms import Choices, Entries, Rejected, price
from gateway.web.guards import read_form
from gateway.web.pages import Pages
from gateway.web.services import WebServices

QUOTE_ID = re.compile(r"[A-Za-z0-9_]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """Handlers. What was typed travels in hidden fields of the next form, never in an address."""

    services: WebServices
    pages: Pages
    choices: Choices

    async def blank(self, _request: Request) -> Response:
        """The form, as one finds it."""
        # Nothing personal yet: a browser may keep it for its back button.
        return self._form(Entries(), headers={"Cache-Control": "no-cache", "X-Robots-Tag": "all"})

    async def edit(self, request: Request) -> Response:
        """The form again, with what was typed."""
        return self._form(Entries.of(await self._posted(request)))

    async def quote(self, request: Request) -> Response:
        """A price for what was typed; or the form again with all that is wrong, and nothing written."""
        entries, now = Entries.of(await self._posted(request)), self.services.clock()
        try:
            async with transaction(self.services.engine) as connection:
                priced = await price(connection, entries=entries, choices=self.choices, offer=self.services.offer, now=now)
        except Rejected as rejected:
            return self._form(entries, rejected=rejected)
        cost = reduce(add, (fee.amount for fee in priced.quote.fees), Money(0, priced.quote.receive.asset))
        return self.pages.answer(
            "quote.html",
            quote=priced.quote,
            cost=cost,
            value=priced.quote.receive + cost,
            recipient=priced.recipient,
            hidden=entries.hidden(),
            now=now,
        )

    async def order(self, request: Request) -> Response:
        """Make the order and go to its page. Posted twice, it goes to the same page."""
        fields = await self._posted(request)
        entries = Entries.of(fields)
        try:
            async with transaction(self.services.engine) as connection:
                accepted = await self._accept(
                    connection, quote_id=fields.get("quote_id", ""), entries=entries, now=self.services.clock()
                )
        except BadRecipient as refusal:
            return self._form(entries, rejected=Rejected([refusal]))
        except Refusal as refusal:
            return self.pages.answer("stale.html", status=409, sentence=str(refusal), hidden=entries.hidden())
        return RedirectResponse(f"/t/{accepted.tracking_token}", status_code=303)

    async def _posted(self, request: Request) -> dict[str, str]:
        return await read_form(request, public_url=self.services.public_url)

    def _form(
        self, entries: Entries, *, rejected: Rejected | None = None, headers: dict[str, str] | None = None
    ) -> Response:
        status = 200 if rejected is None else 503 if rejected.ours else 422
        problems = rejected.problems if rejected else []
        wrong: dict[str | None, list[str]] = {}
        for problem in problems:
            wrong.setdefault(problem.input, []).append(problem.sentence)
        return self.pages.answer(
            "form.html",
            status=status,
            headers=headers,
            entries=entries,
            choices=self.choices,
            problems=problems,
            wrong=wrong,
        )

    async def _accept(self, connection: AsyncConnection, *, quote_id: str, entries: Entries, now: datetime) -> Accepted:
        if not QUOTE_ID.fullmatch(quote_id):
            raise QuoteNotFound
        quote = await find_quote(connection, quote_id=quote_id, offer=self.services.offer)
        if quote is None or quote.partner_id is not None:
            raise QuoteNotFound
        # The corridor is the quote's: the form's own could have been changed on the way.
        recipient = read_recipient(
            name=entries.name, account=entries.phone, country=quote.country, method=Method(quote.method)
        )
        acceptance = Acceptance(quote_id=quote_id, partner_id=None, recipient=recipient)
        try:
            return await accept_quote(connection, acceptance=acceptance, factories=self.services.factories, now=now)
        except QuoteUsed:
            return await _made_before(connection, acceptance)


async def _made_before(connection: AsyncConnection, acceptance: Acceptance) -> Accepted:
    """The order that this quote already has, if it is for the same recipient. Raises `QuoteUsed`."""
    accepted = await order_of_quote(connection, quote_id=acceptance.quote_id, partner_id=None)
    if accepted is None or await _recipient_of(connection, accepted.order_id) != acceptance.recipient:
        raise QuoteUsed
    return accepted


async def _recipient_of(connection: AsyncConnection, order_id: str) -> Recipient:
    row = (
        await connection.execute(
            select(RecipientRow.name, RecipientRow.account).where(RecipientRow.order_id == order_id)  # type: ignore[call-overload]
        )
    ).one()
    return Recipient(name=row.name, account=row.account)
