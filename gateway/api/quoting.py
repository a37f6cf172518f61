"""Quotes for partners, made in groups: one transaction, with one commit, for all that ask while the last one commits."""

from collections.abc import Callable, Coroutine, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response, Security
from fastapi.routing import APIRoute

from gateway.api.access import verified_token
from gateway.api.conventions import SCHEME, read_document
from gateway.api.documents import quote_document
from gateway.api.schemas import QuoteBody, QuoteOut
from gateway.api.services import ApiServices
from gateway.db.groups import Grouped
from gateway.db.session import transaction
from gateway.partners.tokens import Claims, InvalidToken
from gateway.pricing.offer import Speed
from gateway.pricing.quotes import QuoteView, make_quotes
from gateway.pricing.requests import ClientRevoked, QuoteRequest

GROUP_MOST = 100
"""Quotes made in one transaction."""
WAITING_MOST = 2_000
"""Requests that wait for their group; more are turned away at once, with a time to come back."""


def quotes_router(services: ApiServices) -> APIRouter:
    """POST /v1/quotes."""
    token = verified_token(services)
    quotes = quoter(services)

    class Direct(APIRoute):
        """Its requests go straight to the endpoint: FastAPI's way of finding two arguments takes as long as pricing."""

        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            async def answer(request: Request) -> Response:
                claims = await token(request)
                return await post_quote(read_document(QuoteBody, await request.body()), claims)

            return answer

    router = APIRouter(prefix="/v1", tags=["orders"], dependencies=[Security(SCHEME)], route_class=Direct)

    @router.post("/quotes", status_code=201, response_model=QuoteOut)
    async def post_quote(body: QuoteBody, claims: Annotated[Claims, Depends(token)]) -> Response:
        """Lock a price. Give one of the two amounts; the quote holds for exactly what it says until `expires_at`."""
        try:
            quote = await quotes.do(_request(body, claims))
        except ClientRevoked:
            raise InvalidToken("the client was revoked") from None
        # Encoded here: FastAPI would check our own answer once more.
        return Response(quote_document(quote).model_dump_json(), 201, media_type="application/json")

    return router


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

    async def make(requests: Sequence[QuoteRequest]) -> list[QuoteView | Exception]:
        async with transaction(services.engine, point="quotes.group") as connection:
            return await make_quotes(connection, requests=requests, offer=services.offer, now=services.clock())

    return Grouped(make, most=GROUP_MOST, waiting_most=WAITING_MOST)
