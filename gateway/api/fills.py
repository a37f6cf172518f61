"""Fills: gateways offer payouts under /v1/fill-orders, partners answer them under /v1/fills."""

import hashlib
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from babel.numbers import get_currency_precision
from fastapi import APIRouter, Depends, Query, Request, Security
from fastapi.responses import JSONResponse
from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.api.access import bearer
from gateway.api.conventions import IDEMPOTENCY_KEY, SCHEME, answer_once
from gateway.api.schemas import Asked, Text
from gateway.api.services import ApiServices
from gateway.db.session import transaction
from gateway.fills.answers import REASONS, accept, decline, fulfil, give_back
from gateway.fills.clients import FillKey, client_of
from gateway.fills.errors import BadAmount, FillTooLate
from gateway.fills.offers import (
    DECLINED,
    FULFILLED,
    OFFERED,
    RETURNED,
    FillView,
    Offer,
    cancel_offer,
    find_by_reference,
    find_for_partner,
    list_fills,
    make_offer,
)
from gateway.money import Asset, Money, MoneyError
from gateway.orders.recipients import masked, masked_name
from gateway.partners.idempotency import Answer
from gateway.partners.tokens import Claims

PAGE_MOST = 100
Reason = Literal["no_liquidity", "unavailable", "limit", "corridor_closed", "recipient_rejected", "compliance", "other"]
State = Literal["", "offered", "accepted", "declined", "expired", "cancelled", "fulfilled", "returned"]
assert Reason.__args__ == REASONS  # type: ignore[attr-defined]


class DestinationBody(Asked):
    """Whom the partner has to pay. Cash isn't among the methods: it would need a code that nobody here can tell."""

    country: Annotated[str, Field(pattern=r"^[A-Z]{2}$")]
    method: Literal["mobile_money", "bank", "card", "exchange"]
    account: Text
    holder: Text
    institution: Annotated[str, Field(min_length=1, max_length=64)] | None = None


class OfferBody(Asked):
    """Offer a payout to a partner."""

    reference: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    partner_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    amount: Annotated[str, Field(max_length=30)]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    destination: DestinationBody
    offered_for_s: Annotated[int, Field(ge=10, le=86_400)]
    fulfil_within_s: Annotated[int, Field(ge=60, le=604_800)]


class DeclineBody(Asked):
    """Why it isn't paid."""

    reason: Reason


class DeliveredBody(Asked):
    """What the recipient got."""

    amount: Annotated[str, Field(max_length=30)]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]


class FulfilBody(Asked):
    """What was paid, and under which reference of the rail that paid it."""

    delivered: DeliveredBody
    proof: Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[\x20-\x7e]+$")]


class NothingBody(Asked):
    """There is nothing to say: {}."""


def fills_router(services: ApiServices, key: FillKey) -> APIRouter:
    """Both sides of the contract."""
    router = APIRouter(prefix="/v1", tags=["fills"])
    _order_routes(router, services, key)
    partners = APIRouter(dependencies=[Security(SCHEME)])
    _reading_routes(partners, services)
    _answer_routes(partners, services)
    _proof_route(partners, services)
    router.include_router(partners)
    return router


def _order_routes(router: APIRouter, services: ApiServices, key: FillKey) -> None:
    async def signed(request: Request) -> str:
        body, headers = await request.body(), request.headers.getlist("authorization")
        async with transaction(services.engine) as connection:
            return await client_of(
                connection,
                header=headers[0] if len(headers) == 1 else "",
                method=request.method,
                path=request.url.path,
                body=body,
                key=key,
                now=services.clock(),
            )

    client = Annotated[str, Depends(signed)]

    @router.post("/fill-orders", status_code=201)
    async def post_order(request: Request, client_id: client, body: OfferBody) -> JSONResponse:
        """Offer a payout. One per reference: sent again it is the same, with 200."""
        now = services.clock()
        to = body.destination
        offer = Offer(
            client_id=client_id,
            reference=body.reference,
            request_hash=hashlib.sha256(await request.body()).digest(),
            partner_id=body.partner_id,
            money=_money(body.amount, body.currency, field="amount"),
            country=to.country,
            method=to.method,
            institution=to.institution,
            account=to.account,
            holder=to.holder,
            offered_for=timedelta(seconds=body.offered_for_s),
            fulfil_within=timedelta(seconds=body.fulfil_within_s),
        )
        async with transaction(services.engine) as connection:
            fill, new = await make_offer(connection, offer=offer, now=now)
        return JSONResponse(order_document(fill, now=now), 201 if new else 200)

    @router.get("/fill-orders/{reference}")
    async def get_order(reference: str, client_id: client) -> JSONResponse:
        """Where a payout stands that was offered under this reference."""
        async with transaction(services.engine) as connection:
            fill = await find_by_reference(connection, client_id=client_id, reference=reference, now=services.clock())
        return JSONResponse(order_document(fill, now=services.clock()))

    @router.post("/fill-orders/{reference}/cancel")
    async def post_cancel(reference: str, client_id: client) -> JSONResponse:
        """Take an offer back that nobody has accepted."""
        async with transaction(services.engine) as connection:
            fill = await cancel_offer(connection, client_id=client_id, reference=reference, now=services.clock())
        return JSONResponse(order_document(fill, now=services.clock()))


def _reading_routes(router: APIRouter, services: ApiServices) -> None:
    partner = Annotated[Claims, Depends(bearer(services))]

    @router.get("/fills")
    async def get_fills(
        claims: partner,
        state: State = "",
        cursor: Annotated[str, Query(max_length=64)] = "",
        limit: Annotated[int, Query(ge=1, le=PAGE_MOST)] = 50,
    ) -> dict[str, Any]:
        """What is offered to you, and what you have answered: oldest first. `cursor`: the last id of the page before."""
        now = services.clock()
        async with transaction(services.engine) as connection:
            fills = await list_fills(
                connection, partner_id=claims.partner_id, state=state, after=cursor, most=limit, now=now
            )
        following = fills[-1].id if len(fills) == limit else None
        return {"fills": [fill_document(each, now=now) for each in fills], "next_cursor": following}

    @router.get("/fills/{fill_id}")
    async def get_fill(fill_id: str, claims: partner) -> dict[str, Any]:
        """One of them. Whom to pay is told whole once you have accepted."""
        async with transaction(services.engine) as connection:
            fill = await find_for_partner(connection, partner_id=claims.partner_id, fill_id=fill_id, now=services.clock())
        return fill_document(fill, now=services.clock())


def _answer_routes(router: APIRouter, services: ApiServices) -> None:
    partner = Annotated[Claims, Depends(bearer(services))]

    @router.post("/fills/{fill_id}/accept", openapi_extra=IDEMPOTENCY_KEY)
    async def post_accept(request: Request, fill_id: str, claims: partner, _body: NothingBody) -> JSONResponse:
        """You will pay it, whole, by `fulfil_by`. From now on only your word ends it."""

        async def act(connection: AsyncConnection) -> Answer:
            now = services.clock()
            fill = await accept(connection, partner_id=claims.partner_id, fill_id=fill_id, now=now)
            return Answer(200, fill_document(fill, now=now))

        return await answer_once(services, request, partner_id=claims.partner_id, act=act)

    @router.post("/fills/{fill_id}/decline", openapi_extra=IDEMPOTENCY_KEY)
    async def post_decline(request: Request, fill_id: str, claims: partner, body: DeclineBody) -> JSONResponse:
        """You have not paid it and never will. It goes to somebody else at once."""

        async def act(connection: AsyncConnection) -> Answer:
            now = services.clock()
            fill = await decline(connection, partner_id=claims.partner_id, fill_id=fill_id, reason=body.reason, now=now)
            return Answer(200, fill_document(fill, now=now))

        return await answer_once(services, request, partner_id=claims.partner_id, act=act)

    @router.post("/fills/{fill_id}/return", openapi_extra=IDEMPOTENCY_KEY)
    async def post_return(request: Request, fill_id: str, claims: partner, _body: NothingBody) -> JSONResponse:
        """What you paid came back to you."""

        async def act(connection: AsyncConnection) -> Answer:
            now = services.clock()
            fill = await give_back(connection, partner_id=claims.partner_id, fill_id=fill_id, now=now)
            return Answer(200, fill_document(fill, now=now))

        return await answer_once(services, request, partner_id=claims.partner_id, act=act)


def _proof_route(router: APIRouter, services: ApiServices) -> None:
    partner = Annotated[Claims, Depends(bearer(services))]

    @router.post("/fills/{fill_id}/fulfil", openapi_extra=IDEMPOTENCY_KEY)
    async def post_fulfil(request: Request, fill_id: str, claims: partner, body: FulfilBody) -> JSONResponse:
        """You have paid it: what the recipient got, and the reference that proves it."""

        async def act(connection: AsyncConnection) -> Answer:
            now = services.clock()
            delivered = _money(body.delivered.amount, body.delivered.currency, field="delivered.amount")
            done = await fulfil(
                connection,
                partner_id=claims.partner_id,
                fill_id=fill_id,
                delivered=delivered,
                proof=body.proof,
                now=now,
            )
            # A claim is kept, so it isn't raised: what is raised is taken back.
            status = 409 if done.too_late else 200
            return Answer(status, fill_document(done.fill, now=now))

        answer = await answer_once(services, request, partner_id=claims.partner_id, act=act)
        if answer.status_code == 409:  # noqa: PLR2004 - as above
            async with transaction(services.engine) as connection:
                fill = await find_for_partner(
                    connection, partner_id=claims.partner_id, fill_id=fill_id, now=services.clock()
                )
            raise FillTooLate(fill.state)
        return answer


def order_document(fill: FillView, *, now: datetime) -> dict[str, Any]:
    """A fill for the gateway that offered it."""
    paid = fill.state in (FULFILLED, RETURNED)
    amount = {"amount": fill.money.decimal(), "currency": fill.money.asset.code}
    return {
        "id": fill.id,
        "reference": fill.reference,
        "state": fill.state,
        **amount,
        "offered_until": fill.offered_until.isoformat(),
        "fulfil_by": None if fill.fulfil_by is None else fill.fulfil_by.isoformat(),
        "reason": fill.reason if fill.state == DECLINED else None,
        "delivered": amount if paid else None,
        "proof": {"reference": fill.proof} if paid else None,
        "overdue": fill.overdue(now=now),
        "late": fill.late_proof is not None,
    }


def fill_document(fill: FillView, *, now: datetime) -> dict[str, Any]:
    """A fill for the partner; before he accepts he sees where it goes and not to whom."""
    offered = fill.state == OFFERED
    return {
        "id": fill.id,
        "state": fill.state,
        "amount": fill.money.decimal(),
        "currency": fill.money.asset.code,
        "destination": {
            "country": fill.country,
            "method": fill.method,
            "institution": fill.institution,
            "account": masked(fill.account) if offered else fill.account,
            "holder": masked_name(fill.holder) if offered else fill.holder,
        },
        "offered_until": fill.offered_until.isoformat(),
        "fulfil_by": None if fill.fulfil_by is None else fill.fulfil_by.isoformat(),
        "overdue": fill.overdue(now=now),
        "proof": fill.proof,
    }


def _money(amount: str, currency: str, *, field: str) -> Money:
    try:
        money = Money.parse(amount, Asset(currency, get_currency_precision(currency)))
    except MoneyError:
        raise BadAmount(field) from None
    if not money.units:
        raise BadAmount(field)
    return money
