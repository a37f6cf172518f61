"""The API's routes. Each only translates: documents in, one call, documents out."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Request, Security
from fastapi.responses import JSONResponse
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.api.access import access_router, bearer
from gateway.api.agents import network_router
from gateway.api.bodies import BodyLimit
from gateway.api.callbacks import callback_router
from gateway.api.conventions import IDEMPOTENCY_KEY, SCHEME, answer_once
from gateway.api.documents import corridors_document, order_document
from gateway.api.fills import fills_router
from gateway.api.headers import ClosedByDefault
from gateway.api.health import health_router
from gateway.api.metrics import metrics_router
from gateway.api.problems import install_problems
from gateway.api.quoting import quotes_route
from gateway.api.rails import rails_router
from gateway.api.rates import rates_router
from gateway.api.redirects import redirects_router
from gateway.api.refunds import refunds_router
from gateway.api.requotes import requotes_router
from gateway.api.route import route_router
from gateway.api.schemas import CorridorsOut, OrderBody, OrderOut, RecipientBody
from gateway.api.services import ApiServices
from gateway.api.ways import account_given, way_given
from gateway.db.session import transaction
from gateway.offramp import Method
from gateway.orders.accept import Acceptance, QuoteNotFound, accept_quote
from gateway.orders.recipients import ALTERNATIVES, Recipient, Way, institutions_of, read_recipient, read_ways
from gateway.partners.idempotency import Answer
from gateway.partners.tokens import Claims
from gateway.payouts.queries import order_view
from gateway.payouts.redirect import OrderNotFound
from gateway.pricing.offer import Offer
from gateway.pricing.quotes import QuoteView, find_quote


def install(app: FastAPI, services: ApiServices) -> None:
    """Add the API to an application."""
    app.router.routes.insert(0, quotes_route(services))
    app.include_router(access_router(services))
    app.include_router(orders_router(services))
    app.include_router(refunds_router(services))
    app.include_router(requotes_router(services))
    app.include_router(redirects_router(services))
    app.include_router(rates_router(services))
    app.include_router(route_router(services))
    app.include_router(rails_router(services))
    app.include_router(callback_router(services))
    app.include_router(health_router(services))
    app.include_router(metrics_router(services))
    if services.pickups is not None:
        app.include_router(network_router(services, services.pickups))
    if services.fills is not None:
        app.include_router(fills_router(services, services.fills))
    install_problems(app)
    app.router.redirect_slashes = False  # a redirect goes where the Host header says, and takes the token along
    app.add_middleware(BodyLimit)
    app.add_middleware(ClosedByDefault)  # outside of the former, whose refusals are answers too


def orders_router(services: ApiServices) -> APIRouter:
    """What can be paid, and orders."""
    router = APIRouter(prefix="/v1", tags=["orders"], dependencies=[Security(SCHEME)])
    partner = Annotated[Claims, Depends(bearer(services))]

    @router.get("/corridors")
    async def get_corridors(_claims: partner) -> CorridorsOut:
        """What can be sent and where it can be paid out: the words and limits of a quote."""
        return corridors_document(services.offer, now=services.clock())

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
    recipient = _recipient(body.recipient, quote, offer=services.offer)
    ways = read_ways(
        [way_given(way, place=f"{ALTERNATIVES}.{number}") for number, way in enumerate(body.recipient.alternatives)],
        first=Way(method=Method(quote.method), account=recipient.account, institution=recipient.institution),
        country=quote.country,
        receive=quote.receive,
        offer=services.offer,
    )
    acceptance = Acceptance(
        quote_id=body.quote_id,
        partner_id=partner_id,
        recipient=recipient,
        ways=ways,
        refund_address=body.refund_address,
        reference=body.reference,
        details=body.metadata,
    )
    accepted = await accept_quote(connection, acceptance=acceptance, factories=services.factories, now=now)
    view = await order_view(connection, now=now, order_id=accepted.order_id)
    assert view is not None
    document = order_document(view, offer=services.offer, public_url=services.public_url)
    return Answer(201, document.model_dump(mode="json"))


def _recipient(body: RecipientBody, quote: QuoteView, *, offer: Offer) -> Recipient:
    account = account_given(phone=body.phone, account=body.account, method=quote.method, place="recipient")
    method, currency = Method(quote.method), quote.receive.asset
    return read_recipient(
        name=body.name,
        account=account,
        country=quote.country,
        method=method,
        institution=body.institution,
        institutions=institutions_of(offer, country=quote.country, currency=currency, method=method),
    )
