"""New prices for money that an order's own doesn't fit: what is offered, and a partner's consent for its customer."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Security
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.api.access import bearer
from gateway.api.conventions import IDEMPOTENCY_KEY, SCHEME, answer_once
from gateway.api.documents import order_document, quote_document
from gateway.api.schemas import Asked, OrderOut, QuoteOut
from gateway.api.services import ApiServices
from gateway.db.session import transaction
from gateway.desk.case import read_case
from gateway.desk.consent import accept_requote
from gateway.desk.errors import RequoteNotFound
from gateway.desk.requote import Channel, Consent, open_requote
from gateway.partners.idempotency import Answer
from gateway.partners.tokens import Claims
from gateway.payouts.queries import order_view
from gateway.refunds.errors import OrderNotFound


class RequoteOut(BaseModel):
    """An offer that can be agreed to until its quote expires. `makes_order`: its money becomes an order of its own."""

    id: str
    order_id: str
    makes_order: bool
    quote: QuoteOut


class ConsentBody(Asked):
    """Agree to the offer with this id, and to no other."""

    requote_id: Annotated[str, Field(min_length=1, max_length=100)]


def requotes_router(services: ApiServices) -> APIRouter:
    """GET /v1/orders/{order_id}/requote and POST /v1/orders/{order_id}/requote/consent."""
    router = APIRouter(prefix="/v1", tags=["orders"], dependencies=[Security(SCHEME)])
    partner = Annotated[Claims, Depends(bearer(services))]

    @router.get("/orders/{order_id}/requote")
    async def get_requote(order_id: str, claims: partner) -> RequoteOut:
        """The new price that is offered for an order's money, if one is: with the rate, what the recipient would get."""
        now = services.clock()
        async with transaction(services.engine) as connection:
            await _refuse_others(connection, order_id=order_id, partner_id=claims.partner_id)
            offered = await open_requote(connection, order_id=order_id, offer=services.offer, now=now)
        if offered is None:
            raise RequoteNotFound
        return RequoteOut(
            id=offered.id, order_id=order_id, makes_order=offered.makes_order, quote=quote_document(offered.quote)
        )

    @router.post("/orders/{order_id}/requote/consent", response_model=OrderOut, openapi_extra=IDEMPOTENCY_KEY)
    async def post_consent(request: Request, order_id: str, claims: partner, body: ConsentBody) -> JSONResponse:
        """Agree, with your customer's consent. The answer is the order that is paid out now: this one, or a new one."""

        async def act(connection: AsyncConnection) -> Answer:
            return await _agree(services, connection, order_id=order_id, partner_id=claims.partner_id, body=body)

        return await answer_once(services, request, partner_id=claims.partner_id, act=act)

    return router


async def _refuse_others(connection: AsyncConnection, *, order_id: str, partner_id: str) -> None:
    """Raise `OrderNotFound` for another partner's order as for one that doesn't exist."""
    if (await read_case(connection, order_id=order_id)).partner_id != partner_id:
        raise OrderNotFound


async def _agree(
    services: ApiServices, connection: AsyncConnection, *, order_id: str, partner_id: str, body: ConsentBody
) -> Answer:
    now = services.clock()
    await _refuse_others(connection, order_id=order_id, partner_id=partner_id)
    agreed = await accept_requote(
        connection,
        order_id=order_id,
        requote_id=body.requote_id,
        consent=Consent(channel=Channel.PARTNER, name=partner_id),
        factories=services.factories,
        now=now,
    )
    view = await order_view(connection, now=now, order_id=agreed.order_id)
    assert view is not None
    document = order_document(view, offer=services.offer, public_url=services.public_url)
    return Answer(200, document.model_dump(mode="json"))
