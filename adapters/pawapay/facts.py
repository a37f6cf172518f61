"""What pawaPay says of the wallets' operators: how they are doing now, and what our account may pay."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from gateway.railkit.documents import Unreadable, read_json, text_of
from gateway.railkit.evidence import clean

OPERATION = "PAYOUT"


class Standing(NamedTuple):
    """One wallet's operator."""

    provider: str
    currency: str | None
    status: str
    """OPERATIONAL, DELAYED (payouts are enqueued) or CLOSED (they are rejected)."""
    least: str | None = None
    most: str | None = None
    decimals: str | None = None
    """NONE or TWO_PLACES."""


def standings(body: bytes) -> tuple[Standing, ...]:
    """From the answer of /v2/availability (a list of countries) or /v2/active-conf (an object with them)."""
    try:
        read = read_json(body)
    except Unreadable:
        return ()
    countries = read.get("countries") if isinstance(read, dict) else read
    return tuple(_operators(countries))


def _operators(countries: Any) -> Iterator[Standing]:
    for country in _objects(countries):
        for provider in _objects(country.get("providers")):
            for place in _objects(provider.get("currencies")) or [provider]:
                found = _operation(place.get("operationTypes"))
                if found is not None:
                    yield _standing(clean(provider.get("provider")), text_of(place.get("currency")), found)


def _operation(types: Any) -> Any:
    """What is said of payouts: by name, or in a list of objects that name their operation."""
    if isinstance(types, dict):
        return types.get(OPERATION)
    return next((each for each in _objects(types) if each.get("operationType") == OPERATION), None)


def _standing(provider: str, currency: str | None, said: Any) -> Standing:
    if not isinstance(said, dict):
        return Standing(provider, currency, clean(said))
    least, most, decimals = (text_of(said.get(key)) for key in ("minAmount", "maxAmount", "decimalsInAmount"))
    return Standing(provider, currency, text_of(said.get("status")) or "unknown", least, most, decimals)


def _objects(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
