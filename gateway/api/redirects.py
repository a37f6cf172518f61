"""Partners answer our question: the recipient's account was refused, and this is another one."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Security
from fastapi.responses import JSONResponse
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.api.access import bearer
from gateway.api.conventions import IDEMPOTENCY_KEY, SCHEME, answer_once
from gateway.api.documents import order_document
from gateway.api.schemas import Asked, OrderOut, WayBody
from gateway.api.services import ApiServices
from gateway.api.ways import way_given
from gateway.partners.idempotency import Answer
from gateway.partners.tokens import Claims
from gateway.payouts.queries import order_view
from gateway.payouts.redirect import Channel, Redirect, redirect


class RedirectBody(Asked):
    """Pay the same recipient, by name, to this account: the same amount of the same currency in the same country."""

    recipient: WayBody


def redirects_router(services: ApiServices) -> APIRouter:
    """POST /v1/orders/{order_id}/redirect."""
    router = APIRouter(prefix="/v1", tags=["orders"], dependencies=[Security(SCHEME)])
    partner = Annotated[Claims, Depends(bearer(services))]

    @router.post("/orders/{order_id}/redirect", response_model=OrderOut, openapi_extra=IDEMPOTENCY_KEY)
    async def post_redirect(request: Request, order_id: str, claims: partner, body: RedirectBody) -> JSONResponse:
        """Give another account of an order's recipient after theirs was refused, or the payment to it came back.

        Possible while the order's reason is recipient_refused or returned, at no other time. The answer is the order.
        """

        async def act(connection: AsyncConnection) -> Answer:
            return await _redirect(services, connection, order_id=order_id, partner_id=claims.partner_id, body=body)

        return await answer_once(services, request, partner_id=claims.partner_id, act=act)

    return router


async def _redirect(
    services: ApiServices, connection: AsyncConnection, *, order_id: str, partner_id: str, body: RedirectBody
) -> Answer:
    now = services.clock()
    way = way_given(body.recipient, place="recipient")
    wish = Redirect(order_id=order_id, way=way, channel=Channel.PARTNER, name=partner_id)
    await redirect(connection, wish=wish, offer=services.offer, now=now)
    view = await order_view(connection, now=now, order_id=order_id)
    assert view is not None
    document = order_document(view, offer=services.offer, public_url=services.public_url)
    return Answer(200, document.model_dump(mode="json"))
