"""Which rails can pay an order. Ranking by landed cost, time and certainty comes with the router's own issue."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gateway.money import Money
from gateway.offramp import Capabilities, Method


def candidates(
    rails: Mapping[str, Capabilities], *, country: str, method: Method, deliver: Money, without: Iterable[str] = ()
) -> list[str]:
    """Names of the rails that can pay `deliver` there, in the operator's order; `without` those that already refused."""
    refused = set(without)
    return [
        name
        for name, capabilities in rails.items()
        if name not in refused and any(_fits(capabilities, country, method, deliver))
    ]


def _fits(capabilities: Capabilities, country: str, method: Method, deliver: Money) -> Iterable[bool]:
    for corridor in capabilities.corridors:
        if (corridor.country, corridor.method, corridor.asset) == (country, method, deliver.asset):
            yield corridor.least <= deliver <= corridor.most and not deliver.units % corridor.step.units
