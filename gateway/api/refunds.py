"""Refunds that partners order: of their own orders only, to an address that they confirm."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Security
from fastapi.responses import JSONResponse
from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.api.access import bearer
from gateway.api.conventions import IDEMPOTENCY_KEY, SCHEME, answer_once
from gateway.api.documents import order_document
from gateway.api.schemas import Asked, OrderOut
from gateway.api.services import ApiServices
from gateway.partners.idempotency import Answer
from gateway.partners.tokens import Claims
from gateway.payouts.queries import order_view
from gateway.refunds.addresses import Confirmation, Source, confirm_address
from gateway.refunds.order import Of, RefundWish, order_refund

REASON = "asked for by the partner"


class RefundBody(Asked):
    """Send an order's money back. `address`: where to; without it, to the refund address that the order has."""

    address: Annotated[str, Field(max_length=42)] | None = None


def refunds_router(services: ApiServices) -> APIRouter:
    """POST /v1/orders/{order_id}/refund."""
    router = APIRouter(prefix="/v1", tags=["orders"], dependencies=[Security(SCHEME)])
    partner = Annotated[Claims, Depends(bearer(services))]

    @router.post("/orders/{order_id}/refund", status_code=202, response_model=OrderOut, openapi_extra=IDEMPOTENCY_KEY)
    async def post_refund(request: Request, order_id: str, claims: partner, body: RefundBody) -> JSONResponse:
        """Send the money of an order on hold, or funded and not yet on its way to the recipient, back to its sender.

        What was sent goes back whole, in the same coin on the same chain. The answer is the order; its `refunds` tell more.
        """

        async def act(connection: AsyncConnection) -> Answer:
            return await _refund(services, connection, order_id=order_id, partner_id=claims.partner_id, body=body)

        return await answer_once(services, request, partner_id=claims.partner_id, act=act)

    return router


async def _refund(
    services: ApiServices, connection: AsyncConnection, *, order_id: str, partner_id: str, body: RefundBody
) -> Answer:
    now, wallets = services.clock(), services.wallets
    if body.address is not None:
        confirmation = Confirmation(order_id=order_id, address=body.address, source=Source.PARTNER, confirmed_by=partner_id)
        await confirm_address(connection, confirmation=confirmation, wallets=wallets, now=now)
    wish = RefundWish(order_id=order_id, of=Of.FUNDS, reason=REASON, partner=partner_id)
    await order_refund(connection, wish=wish, wallets=wallets, now=now)
    view = await order_view(connection, now=now, order_id=order_id)
    assert view is not None
    document = order_document(view, offer=services.offer, public_url=services.public_url)
    return Answer(202, document.model_dump(mode="json"))
