"""The pages of a sender: form, price, order."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gateway.db.session import transaction
from gateway.errors import Refusal
from gateway.money import Money
from gateway.offramp import Method
from gateway.orders.accept import Acceptance, Accepted, QuoteNotFound, QuoteUsed, accept_quote, order_of_quote
from gateway.orders.accounts import BadRecipient
from gateway.orders.recipients import (
    MethodNotOffered,
    Recipient,
    SameWayTwice,
    Way,
    institutions_of,
    read_recipient,
)
from gateway.pricing.drops import next_drop
from gateway.pricing.offer import Terms
from gateway.pricing.quotes import find_quote
from gateway.web.cautions import Caution, caution_of
from gateway.web.forms import Choices, Entries, Rejected, other_ways, price
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
        return self.pages.answer(
            "quote.html",
            quote=priced.quote,
            recipient=priced.recipient,
            ways=priced.ways,
            drop_at=priced.quote.next_drop_at(now),
            caution=self._caution(self.choices.corridors[entries.corridor], institution=priced.recipient.institution),
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
        except (BadRecipient, SameWayTwice, MethodNotOffered) as refusal:
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
            drops=[_drop(terms, now=self.services.clock()) for terms in self.choices.at_drops],
            problems=problems,
            wrong=wrong,
            cautions={key: one for key, terms in self.choices.corridors.items() if (one := self._caution(terms))},
        )

    def _caution(self, terms: Terms, *, institution: str | None = None) -> Caution | None:
        weather = self.services.outlooks.weather
        return caution_of(terms, offer=self.services.offer, weather=weather, institution=institution)

    async def _accept(self, connection: AsyncConnection, *, quote_id: str, entries: Entries, now: datetime) -> Accepted:
        if not QUOTE_ID.fullmatch(quote_id):
            raise QuoteNotFound
        quote = await find_quote(connection, quote_id=quote_id, offer=self.services.offer)
        if quote is None or quote.partner_id is not None:
            raise QuoteNotFound
        # The corridor is the quote's: the form's own could have been changed on the way.
        method = Method(quote.method)
        institutions = institutions_of(
            self.services.offer, country=quote.country, currency=quote.receive.asset, method=method
        )
        recipient = read_recipient(
            name=entries.name,
            account=entries.phone,
            country=quote.country,
            method=method,
            institution=entries.institution if len(institutions) > 1 else None,
            institutions=institutions,
        )
        ways = other_ways(entries, quote=quote, recipient=recipient, offer=self.services.offer)
        acceptance = Acceptance(quote_id=quote_id, partner_id=None, recipient=recipient, ways=ways)
        try:
            return await accept_quote(connection, acceptance=acceptance, factories=self.services.factories, now=now)
        except QuoteUsed:
            return await _made_before(connection, acceptance)


class Drop(NamedTuple):
    """A corridor's economy, as the form offers it."""

    terms: Terms
    at: datetime
    saving: Money | None
    """What it costs less; None: not less."""


def _drop(terms: Terms, *, now: datetime) -> Drop:
    assert terms.economy is not None
    saves = terms.economy.fee < terms.fee
    return Drop(
        terms=terms,
        at=next_drop(now, every=terms.economy.every),
        saving=terms.fee - terms.economy.fee if saves else None,
    )


async def _made_before(connection: AsyncConnection, acceptance: Acceptance) -> Accepted:
    """The order that this quote already has, if it pays the same recipient. Raises `QuoteUsed`."""
    accepted = await order_of_quote(connection, quote_id=acceptance.quote_id, partner_id=None)
    wanted = (acceptance.recipient, acceptance.ways)
    if accepted is None or await _recipient_of(connection, accepted.order_id) != wanted:
        raise QuoteUsed
    return accepted


_RECIPIENT = text("SELECT name, account, institution FROM recipients WHERE order_id = :order_id")
# As they were given with the order: what was added after a refusal is no part of the form.
_WAYS = text("""
SELECT method, account, institution FROM recipient_ways AS w WHERE order_id = :order_id
AND NOT EXISTS (SELECT FROM order_redirects AS d WHERE d.order_id = w.order_id AND d.rank = w.rank)
ORDER BY rank
""")


async def _recipient_of(connection: AsyncConnection, order_id: str) -> tuple[Recipient, tuple[Way, ...]]:
    row = (await connection.execute(_RECIPIENT, {"order_id": order_id})).one()
    ways = await connection.execute(_WAYS, {"order_id": order_id})
    recipient = Recipient(name=row.name, account=row.account, institution=row.institution)
    return recipient, tuple(Way(method=Method(way.method), account=way.account, institution=way.institution) for way in ways)
