"""The API's routes. Each only translates: documents in, one call, documents out."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Request, Security
from fastapi.responses import JSONResponse
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.api.access import access_router, bearer
from gateway.api.bodies import BodyLimit
from gateway.api.callbacks import callback_router
from gateway.api.conventions import IDEMPOTENCY_KEY, SCHEME, answer_once
from gateway.api.documents import corridors_document, order_document, quote_document
from gateway.api.headers import ClosedByDefault
from gateway.api.health import health_router
from gateway.api.metrics import metrics_router
from gateway.api.problems import install_problems
from gateway.api.refunds import refunds_router
from gateway.api.requotes import requotes_router
from gateway.api.schemas import CorridorsOut, OrderBody, OrderOut, QuoteBody, QuoteOut
from gateway.api.services import ApiServices
from gateway.db.session import transaction
from gateway.errors import Refusal
from gateway.offramp import Method
from gateway.orders.accept import Acceptance, QuoteNotFound, accept_quote
from gateway.orders.recipients import Recipient, read_recipient
from gateway.partners.idempotency import Answer
from gateway.partners.tokens import Claims
from gateway.payouts.queries import order_view
from gateway.pricing.quotes import QuoteRequest, QuoteView, find_quote, make_quote


class OrderNotFound(Refusal):
    """No such order, or another partner's: one answer for both."""

    code = "order_not_found"

    def __init__(self) -> None:
        super().__init__("There is no such order. Check the id that POST /v1/orders gave you.")


def install(app: FastAPI, services: ApiServices) -> None:
    """Add the API to an application."""
    app.include_router(access_router(services))
    app.include_router(orders_router(services))
    app.include_router(refunds_router(services))
    app.include_router(requotes_router(services))
    app.include_router(callback_router(services))
    app.include_router(health_router(services))
    app.include_router(metrics_router(services))
    install_problems(app)
    app.router.redirect_slashes = False  # a redirect goes where the Host header says, and takes the token along
    app.add_middleware(BodyLimit)
    app.add_middleware(ClosedByDefault)  # outside of the former, whose refusals are answers too


def orders_router(services: ApiServices) -> APIRouter:
    """What can be paid, quotes and orders."""
    router = APIRouter(prefix="/v1", tags=["orders"], dependencies=[Security(SCHEME)])
    partner = Annotated[Claims, Depends(bearer(services))]

    @router.get("/corridors")
    async def get_corridors(_claims: partner) -> CorridorsOut:
        """What can be sent and where it can be paid out: the words and limits of a quote."""
        return corridors_document(services.offer)

    @router.post("/quotes", status_code=201)
    async def post_quote(body: QuoteBody, claims: partner) -> QuoteOut:
        """Lock a price. Give one of the two amounts; the quote holds for exactly what it says until `expires_at`."""
        request = QuoteRequest(
            partner_id=claims.partner_id,
            chain=body.send.chain,
            asset=body.send.asset,
            send_amount=body.send.amount,
            country=body.receive.country,
            currency=body.receive.currency,
            method=body.receive.method,
            receive_amount=body.receive.amount,
        )
        async with transaction(services.engine) as connection:
            quote = await make_quote(connection, request=request, offer=services.offer, now=services.clock())
        return quote_document(quote)

    @router.post("/orders", status_code=201, response_model=OrderOut, openapi_extra=IDEMPOTENCY_KEY)
    async def post_order(request: Request, body: OrderBody, claims: partner) -> JSONResponse:
        """Accept a quote. Sent again with its Idempotency-Key it gives the same answer, with Idempotency-Replayed: true."""
        act = partial(_accept, services, partner_id=claims.partner_id, body=body)
        return await answer_once(services, request, partner_id=claims.partner_id, act=act)

    @router.get("/orders/{order_id}")
    async def get_order(order_id: str, claims: partner) -> OrderOut:
        """Where an order stands."""
        async with transaction(services.engine) as connection:
            view = await order_view(connection, now=services.clock(), order_id=order_id)
        if view is None or view.partner_id != claims.partner_id:
            raise OrderNotFound
        return order_document(view, offer=services.offer, public_url=services.public_url)

    return router


async def _accept(services: ApiServices, connection: AsyncConnection, *, partner_id: str, body: OrderBody) -> Answer:
    now = services.clock()
    quote = await find_quote(connection, quote_id=body.quote_id, offer=services.offer)
    if quote is None or quote.partner_id != partner_id:
        raise QuoteNotFound
    acceptance = Acceptance(
        quote_id=body.quote_id,
        partner_id=partner_id,
        recipient=_recipient(body, quote),
        refund_address=body.refund_address,
        reference=body.reference,
        details=body.metadata,
    )
    accepted = await accept_quote(connection, acceptance=acceptance, factories=services.factories, now=now)
    view = await order_view(connection, now=now, order_id=accepted.order_id)
    assert view is not None
    document = order_document(view, offer=services.offer, public_url=services.public_url)
    return Answer(201, document.model_dump(mode="json"))


def _recipient(body: OrderBody, quote: QuoteView) -> Recipient:
    method = Method(quote.method)
    given, other = body.recipient.phone, body.recipient.account
    if method is not Method.MOBILE_MONEY:
        given, other = other, given
    if given is None or other is not None:
        wanted = "phone" if method is Method.MOBILE_MONEY else "account"
        raise WrongAccountField(wanted)
    return read_recipient(name=body.recipient.name, account=given, country=quote.country, method=method)


class WrongAccountField(Refusal):
    """The recipient's account is missing, or stands in the field of another method."""

    code = "bad_recipient"

    def __init__(self, wanted: str) -> None:
        super().__init__(f"For this quote's method give recipient.{wanted}, and only that.", field=wanted)
