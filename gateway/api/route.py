"""Why an order goes where it goes: GET /v1/orders/{order_id}/route."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Security
from pydantic import BaseModel, Field

from gateway.api.access import bearer
from gateway.api.conventions import SCHEME
from gateway.api.schemas import AmountOut
from gateway.api.services import ApiServices
from gateway.db.session import reading
from gateway.money import Asset, Money
from gateway.partners.tokens import Claims
from gateway.payouts.explain import Explained, explain, foresee
from gateway.payouts.queries import order_view
from gateway.payouts.redirect import OrderNotFound
from gateway.routing.choose import RAIL_FULL, Choice, Hold, Pay, Wait
from gateway.routing.decisions import Shelf
from gateway.routing.scene import Scene
from gateway.routing.score import Numbers


def _nothing(value: object) -> bool:
    return value is None


class NumbersOut(BaseModel):
    """What speaks for a rail, as it was known at the time."""

    in_hand: AmountOut = Field(description="What the recipient has in hand, after their own costs of cashing out.")
    rail_fee: AmountOut = Field(description="What the rail takes for the payment.")
    wait_s: int = Field(description="Seconds until the rail works on it: cut-offs, holidays, opening hours.")
    p50_s: int = Field(description="Half of such payments are there within so many seconds.")
    p95_s: int = Field(description="Nineteen of twenty are.")
    success_percent: str = Field(description="How many of such payments succeed.", examples=["99.20"])
    success_low_percent: str = Field(description="At least, with the confidence that there is data for.")
    samples: int = Field(description="How many payments that rests on; 0: it is a guess.")
    score: AmountOut = Field(description="All of it by the policy's weights, as if it were a cost: the least is the best.")


class CandidateOut(BaseModel):
    """A rail that could be asked, the best first."""

    rail: str
    method: str
    way: int = Field(description="Which of the recipient's ways: 0 is the quote's own.")
    why: str = Field(description="What put it there: score, preferred (a rule), share, explored, planned (with others).")
    numbers: NumbersOut


class RefusedOut(BaseModel):
    """A rail that wasn't, or isn't, asked for one of the ways."""

    rail: str
    method: str
    way: int
    reason: str
    detail: str | None = Field(default=None, exclude_if=_nothing, description="For operators only.")
    numbers: NumbersOut | None


class RouteDecisionOut(BaseModel):
    """What was chosen and from what."""

    at: datetime
    policy: str
    verdict: str = Field(description="pay, wait or hold.")
    attempt: str | None = Field(default=None, exclude_if=_nothing, description="For operators only.")
    rail: str | None
    method: str | None
    why: str | None
    reason: str | None = Field(description="Why it waits or is held.")
    again_at: datetime | None = Field(description="When it is looked at again, if it waits and that is known.")
    candidates: list[CandidateOut]
    refused: list[RefusedOut]


class RouteOut(BaseModel):
    """All decisions about an order that are still kept, and how the choice would fall now if it waits for one."""

    order_id: str
    decisions: list[RouteDecisionOut]
    now: RouteDecisionOut | None


def route_router(services: ApiServices) -> APIRouter:
    """GET /v1/orders/{order_id}/route."""
    router = APIRouter(prefix="/v1", tags=["orders"], dependencies=[Security(SCHEME)])
    partner = Annotated[Claims, Depends(bearer(services))]

    @router.get("/orders/{order_id}/route")
    async def get_route(order_id: str, claims: partner) -> RouteOut:
        """Why each payment went by its rail: the candidates with their numbers, and who wasn't one and why."""
        now, rails = services.clock(), services.rails
        scene = Scene(capabilities=rails.capabilities)
        if services.scenes is not None:
            scene = await services.scenes.at(services.engine, now=now)
        async with reading(services.engine) as connection:
            view = await order_view(connection, now=now, order_id=order_id)
            if view is None or view.partner_id != claims.partner_id:
                raise OrderNotFound
            decisions = await explain(connection, order_id=order_id, rails=rails, shelf=Shelf())
            waiting = await foresee(connection, order_id=order_id, rails=rails, scene=scene, now=now)
        return route_document(order_id, decisions, waiting)

    return router


def route_document(
    order_id: str, decisions: list[Explained], waiting: Explained | None, *, told_all: bool = False
) -> RouteOut:
    """The document. `told_all`: with what only operators are told, such as who stopped a rail and why."""
    return RouteOut(
        order_id=order_id,
        decisions=[_decision(one, told_all=told_all) for one in decisions],
        now=None if waiting is None else _decision(waiting, told_all=told_all),
    )


def _decision(one: Explained, *, told_all: bool) -> RouteDecisionOut:
    ranking, asset, methods = one.ranking, one.deliver.asset, {way.rank: way.method for way in one.ways}
    choice = ranking.choice
    chosen = choice if isinstance(choice, Pay) else None
    return RouteDecisionOut(
        at=one.at,
        policy=one.policy,
        verdict=_VERDICTS[type(choice)],
        attempt=one.ask.attempt_id if told_all and one.ask else None,
        rail=chosen and chosen.rail,
        method=chosen and methods[chosen.way],
        why=next((each.why for each in ranking.candidates if chosen == Pay(each.rail, each.way)), None),
        reason=_reason(choice, told_all=told_all),
        again_at=choice.again_at if isinstance(choice, Wait) else None,
        candidates=[
            CandidateOut(
                rail=each.rail, method=methods[each.way], way=each.way, why=each.why, numbers=_numbers(each.numbers, asset)
            )
            for each in ranking.candidates
        ],
        refused=[
            RefusedOut(
                rail=each.rail,
                method=methods[each.way],
                way=each.way,
                reason=each.reason,
                detail=each.detail if told_all and each.detail else None,
                numbers=None if each.numbers is None else _numbers(each.numbers, asset),
            )
            for each in ranking.refused
        ],
    )


_VERDICTS = {Pay: "pay", Wait: "wait", Hold: "hold"}


def _reason(choice: Choice, *, told_all: bool) -> str | None:
    if isinstance(choice, Pay):
        return None
    # A sentence instead of a code is what an operator wrote of a rail, for operators.
    return choice.reason if told_all or choice.reason.isidentifier() else RAIL_FULL


def _numbers(numbers: Numbers, asset: Asset) -> NumbersOut:
    def amount(units: int) -> AmountOut:
        return AmountOut(asset=asset.symbol, amount=Money(units, asset).decimal())

    return NumbersOut(
        in_hand=amount(numbers.hand),
        rail_fee=amount(numbers.charge),
        wait_s=numbers.wait_s,
        p50_s=numbers.p50_s,
        p95_s=numbers.p95_s,
        success_percent=_percent(numbers.success_ppm),
        success_low_percent=_percent(numbers.success_low_ppm),
        samples=numbers.samples,
        score=amount(numbers.score),
    )


def _percent(ppm: int) -> str:
    hundredths = ppm // 100
    return f"{hundredths // 100}.{hundredths % 100:02d}"
