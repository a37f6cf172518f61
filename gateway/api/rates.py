"""Rates for partners: what each coin is worth where, what stops quotes, and what a stop does to money in flight."""

from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Security
from pydantic import BaseModel

from gateway.api.access import bearer
from gateway.api.conventions import SCHEME
from gateway.api.services import ApiServices
from gateway.db.session import reading
from gateway.money import decimal_of
from gateway.partners.tokens import Claims
from gateway.pricing.market import read_market
from gateway.pricing.rates import CoinRate, CorridorRate, PairRate, Rates, Stopped, rates_of
from gateway.pricing.rule import RULE

RATE_DIGITS = 8
SHARE_DIGITS = 4


class StateOut(BaseModel):
    """Whether there are quotes: state is open or stopped.

    Stopped, `breaker` says by what (stale, spread, jump, depeg, by_hand), `cause` which lines of `money_in_flight` hold
    (rate, corridor, coin), `code` is the one that POST /v1/quotes refuses with, `reason` a sentence, and `since` since when;
    null: since some seconds.
    """

    state: str
    breaker: str | None
    cause: str | None
    code: str | None
    reason: str | None
    since: datetime | None


class CoinRateOut(StateOut):
    """A coin in its peg, by its symbol on all chains.

    `price`: what sources say; null: none does. `worth`: what we count it as, which is its price and at most par; null while
    it is stopped. `par_assumed`: no source prices it, so it counts as worth its peg.
    """

    asset: str
    peg: str
    price: str | None
    worth: str | None
    par_assumed: bool
    as_of: datetime | None
    sources: list[str]


class CorridorRateOut(StateOut):
    """One way of being paid: `applied` is what a quote would apply now, before fees; it would hold for `quote_holds_s`."""

    country: str
    method: str
    applied: str | None
    quote_holds_s: int | None


class PairRateOut(StateOut):
    """A coin in a currency: one coin is worth `mid`, by these sources; `confidence` is from 0 to 1."""

    asset: str
    currency: str
    mid: str | None
    as_of: datetime | None
    sources: list[str]
    confidence: str | None
    corridors: list[CorridorRateOut]


class InFlightOut(BaseModel):
    """What a stop does to a sending that is under way: `stopped` is rate, corridor or coin.

    `stage` is quoted, awaiting_deposit or funded when quotes stopped; `treatment` is honoured, refused or held.
    """

    stopped: str
    stage: str
    treatment: str
    rule: str


class RatesOut(BaseModel):
    """All rates at `at`, and our rule for money in flight."""

    at: datetime
    coins: list[CoinRateOut]
    rates: list[PairRateOut]
    money_in_flight: list[InFlightOut]


def rates_router(services: ApiServices) -> APIRouter:
    """GET /v1/rates."""
    router = APIRouter(prefix="/v1", tags=["orders"], dependencies=[Security(SCHEME)])

    @router.get("/rates")
    async def get_rates(_claims: Annotated[Claims, Depends(bearer(services))]) -> RatesOut:
        """What each coin is worth in each currency, what we apply, and what is stopped and why. No price is locked by it."""
        now = services.clock()
        async with reading(services.engine) as connection:
            market = await read_market(connection, offer=services.offer, now=now)
        return rates_document(rates_of(market, now=now))

    return router


def rates_document(rates: Rates) -> RatesOut:
    """The document of the rates; what is for operators stays out of it."""
    return RatesOut(
        at=rates.at,
        coins=[_coin(coin) for coin in rates.coins],
        rates=[_pair(pair) for pair in rates.pairs],
        money_in_flight=[
            InFlightOut(stopped=cause, stage=stage, treatment=line.treatment, rule=line.sentence)
            for (cause, stage), line in RULE.items()
        ],
    )


def _coin(coin: CoinRate) -> CoinRateOut:
    price = coin.price
    return CoinRateOut(
        asset=coin.symbol,
        peg=coin.peg,
        price=None if price is None else decimal_of(price.price, digits=RATE_DIGITS),
        worth=None if coin.worth is None else decimal_of(coin.worth, digits=RATE_DIGITS),
        par_assumed=coin.par_assumed,
        as_of=None if price is None else price.as_of,
        sources=[] if price is None else list(price.sources),
        **_state(coin.stopped),
    )


def _pair(pair: PairRate) -> PairRateOut:
    mid = pair.mid
    return PairRateOut(
        asset=pair.symbol,
        currency=pair.currency,
        mid=None if mid is None else decimal_of(mid.price, digits=RATE_DIGITS),
        as_of=None if mid is None else mid.as_of,
        sources=[] if mid is None else list(mid.sources),
        confidence=None if mid is None else decimal_of(mid.confidence, digits=SHARE_DIGITS),
        corridors=[_corridor(corridor) for corridor in pair.corridors],
        **_state(pair.stopped),
    )


def _corridor(corridor: CorridorRate) -> CorridorRateOut:
    return CorridorRateOut(
        country=corridor.country,
        method=corridor.method,
        applied=None if corridor.applied is None else decimal_of(corridor.applied, digits=RATE_DIGITS),
        quote_holds_s=None if corridor.holds is None else corridor.holds // timedelta(seconds=1),
        **_state(corridor.stopped),
    )


def _state(stopped: Stopped | None) -> dict[str, Any]:
    if stopped is None:
        return {"state": "open", "breaker": None, "cause": None, "code": None, "reason": None, "since": None}
    return {
        "state": "stopped",
        "breaker": stopped.breaker,
        "cause": stopped.cause,
        "code": stopped.code,
        "reason": stopped.sentence,
        "since": stopped.since,
    }
