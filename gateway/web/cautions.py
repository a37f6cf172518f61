"""What to say before money is sent, where nothing that pays there works well now, and which other way does."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.pricing.offer import Offer, Terms
from gateway.routing.weather import SENTENCES, Reading, State, Weather


@dataclass(frozen=True, slots=True, kw_only=True)
class Caution:
    """A corridor that is slow or closed, at the best of the rails that pay there."""

    terms: Terms
    reading: Reading
    instead: tuple[Terms, ...]
    """Other ways to pay the same currency in the same country, which work."""

    @property
    def sentence(self) -> str:
        """Why."""
        return SENTENCES[self.reading.why]


def caution_of(terms: Terms, *, offer: Offer, weather: Weather, institution: str | None = None) -> Caution | None:
    """What to say of a corridor, or of a bank or wallet there; None: nothing, some rail works."""
    reading = _best(terms, weather, institution)
    if reading is None or reading.state is State.OPERATIONAL:
        return None
    others = [one for one in offer.corridors.values() if one is not terms and _place(one) == _place(terms)]
    works = [one for one in others if (known := _best(one, weather)) and known.state is State.OPERATIONAL]
    return Caution(terms=terms, reading=reading, instead=tuple(works))


def _place(terms: Terms) -> tuple[str, str]:
    return terms.country, terms.currency.code


def _best(terms: Terms, weather: Weather, institution: str | None = None) -> Reading | None:
    found = weather.best(*_place(terms), terms.method, institution)
    return None if found is None else found[1]
