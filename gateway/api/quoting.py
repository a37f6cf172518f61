"""Quotes for partners, made in groups: one transaction, with one commit, for all that ask while the last one commits."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any

import msgspec
from fastapi import Depends, Request, Response, Security
from fastapi.routing import APIRoute
from starlette.routing import Match
from starlette.types import Receive, Scope, Send

from gateway.api.access import verified_token
from gateway.api.conventions import SCHEME, read_document
from gateway.api.documents import quote_fields
from gateway.api.schemas import QuoteBody, QuoteOut
from gateway.api.services import ApiServices
from gateway.db.groups import Grouped
from gateway.db.trips import trip
from gateway.failpoints import failpoint
from gateway.partners.tokens import Claims, InvalidToken
from gateway.pricing.deals import Book
from gateway.pricing.offer import Speed
from gateway.pricing.quotes import QuoteView, price_quotes
from gateway.pricing.requests import ClientRevoked, QuoteRequest

GROUP_MOST = 100
"""Quotes made in one transaction."""
WAITING_MOST = 2_000
"""Requests that wait for their group; more are turned away at once, with a time to come back."""


def quotes_route(services: ApiServices) -> APIRoute:
    """POST /v1/quotes; to be found before all others."""
    token = verified_token(services)
    quotes = quoter(services)

    async def post_quote(body: QuoteBody, claims: Annotated[Claims, Depends(token)]) -> Response:
        """Lock a price. Give one of the two amounts; the quote holds for exactly what it says until `expires_at`."""
        try:
            quote = await quotes.do(_request(body, claims))
        except ClientRevoked:
            raise InvalidToken("the client was revoked") from None
        # Encoded here: FastAPI would check our own answer once more.
        return Response(msgspec.json.encode(quote_fields(quote)), 201, media_type="application/json")

    async def answer(request: Request) -> Response:
        claims = await token(request)
        return await post_quote(read_document(QuoteBody, await request.body()), claims)

    return Straight(
        "/v1/quotes",
        post_quote,
        answer=answer,
        status_code=201,
        response_model=QuoteOut,
        tags=["orders"],
        dependencies=[Security(SCHEME)],
    )


class Straight(APIRoute):
    """Described as any other, but its POSTs go straight to `answer`: FastAPI's way there takes as long as pricing."""

    def __init__(
        self, path: str, endpoint: Callable[..., Any], *, answer: Callable[[Request], Awaitable[Response]], **described: Any
    ) -> None:
        super().__init__(path, endpoint, methods=["POST"], **described)
        self._answer = answer

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Whether this is the route of a request."""
        if scope["type"] == "http" and scope["path"] == self.path and scope["method"] == "POST":
            return Match.FULL, {"endpoint": self.endpoint, "path_params": {}}
        return super().matches(scope)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request that matches."""
        if scope["method"] != "POST":
            await super().handle(scope, receive, send)
            return
        response = await self._answer(Request(scope, receive))
        await response(scope, receive, send)


def _request(body: QuoteBody, claims: Claims) -> QuoteRequest:
    return QuoteRequest(
        partner_id=claims.partner_id,
        client_id=claims.client_id,
        chain=body.send.chain,
        asset=body.send.asset,
        send_amount=body.send.amount,
        country=body.receive.country,
        currency=body.receive.currency,
        method=body.receive.method,
        receive_amount=body.receive.amount,
        speed=Speed(body.speed),
    )


def quoter(services: ApiServices) -> Grouped[QuoteRequest, QuoteView]:
    """Makes quotes."""
    book = Book()

    async def make(requests: Sequence[QuoteRequest]) -> list[QuoteView | Exception]:
        async with trip(services.engine) as going:
            made, writing = await price_quotes(
                going.ask, requests=requests, offer=services.offer, book=book, now=services.clock()
            )
            going.last(writing)
            failpoint("quotes.group:before_commit")
        failpoint("quotes.group:after_commit")
        return made

    return Grouped(make, most=GROUP_MOST, waiting_most=WAITING_MOST)
