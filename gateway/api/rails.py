"""Rail weather for partners: how each rail does now."""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Security
from pydantic import BaseModel

from gateway.api.access import bearer
from gateway.api.conventions import SCHEME
from gateway.api.services import ApiServices
from gateway.db.session import reading
from gateway.offramp import Corridor, Institution
from gateway.partners.tokens import Claims
from gateway.pricing.offer import Offer
from gateway.routing.weather import SENTENCES, Place, Reading, Weather, load_weather


class WeatherOut(BaseModel):
    """How it does: operational, delayed or closed (nothing is paid now), and why.

    `reason` is a code: works, slow, failures, tried_again, silent, out_of_hours, float_low, failing or stopped; `message`
    says it in a sentence. `next_change`: when that is expected to change; null: nobody knows.
    """

    state: str
    reason: str
    message: str
    since: datetime | None
    next_change: datetime | None


class InstitutionWeatherOut(WeatherOut):
    """How it does at a bank or wallet of which it is worse than at the others."""

    code: str
    name: str


class RailPlaceOut(WeatherOut):
    """A corridor that a rail pays, for any bank or wallet that isn't listed."""

    country: str
    currency: str
    method: str
    institutions: list[InstitutionWeatherOut]


class RailOut(BaseModel):
    """A payment service, by the name that orders call it."""

    rail: str
    corridors: list[RailPlaceOut]


class RailsOut(BaseModel):
    """All of them, in the order in which they are preferred. `as_of`: when they were last looked at; null: not yet."""

    as_of: datetime | None
    rails: list[RailOut]


def rails_router(services: ApiServices) -> APIRouter:
    """GET /v1/rails."""
    router = APIRouter(prefix="/v1", tags=["orders"], dependencies=[Security(SCHEME)])

    @router.get("/rails")
    async def get_rails(_claims: Annotated[Claims, Depends(bearer(services))]) -> RailsOut:
        """How the payment services do that deliver payouts: look before you ask for a quote."""
        async with reading(services.engine) as connection:
            weather = await load_weather(connection)
        rails = [
            RailOut(rail=rail, corridors=places)
            for rail, capabilities in services.rails.capabilities.items()
            if (places := list(_places(rail, capabilities.corridors, weather, services.offer)))
        ]
        return RailsOut(as_of=weather.as_of, rails=rails)

    return router


def _places(rail: str, corridors: tuple[Corridor, ...], weather: Weather, offer: Offer) -> Iterator[RailPlaceOut]:
    """Those of a rail's corridors that are offered."""
    for one in corridors:
        country, currency, method = one.country, one.asset.code, one.method
        if (country, currency, method) in offer.corridors:
            yield RailPlaceOut(
                country=country,
                currency=currency,
                method=method,
                institutions=list(_institutions(Place(rail, country, currency, method), one.institutions, weather)),
                **_told(weather.at(rail, country, currency, method)),
            )


def _institutions(place: Place, institutions: tuple[Institution, ...], weather: Weather) -> Iterator[InstitutionWeatherOut]:
    for one in institutions:
        reading_there = weather.readings.get(place._replace(institution=one.code))
        if reading_there is not None:
            yield InstitutionWeatherOut(code=one.code, name=one.name, **_told(reading_there))


def _told(reading_there: Reading) -> dict[str, str | datetime | None]:
    return {
        "state": reading_there.state,
        "reason": reading_there.why,
        "message": SENTENCES[reading_there.why],
        "since": reading_there.since,
        "next_change": reading_there.changes_at,
    }
