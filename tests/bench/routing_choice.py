"""One choice among 50 rails that all could pay, each with its tariff and float; in this process."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from gateway.money import Asset, Money
from gateway.offramp import Capabilities, Corridor, Method, Resend
from gateway.payouts.allowances import Allowance
from gateway.pricing.tariffs import ENDLESS, Band, Cost, Key, Schedule, Tariffs
from gateway.routing.choose import Case, Way, choose
from gateway.routing.scene import Scene

RAILS, CHOICES, ROUNDS = 50, 2_000, 7
KES = Asset("KES", 2)
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def _rail(name: str) -> Capabilities:
    corridor = Corridor(
        country="KE",
        method=Method.MOBILE_MONEY,
        asset=KES,
        least=Money(1_000, KES),
        most=Money(25_000_000, KES),
        step=Money(100, KES),
    )
    return Capabilities(
        name=name,
        corridors=(corridor,),
        resend=Resend.DEDUPED,
        settles_within=timedelta(minutes=5),
        resend_within=timedelta(hours=24),
    )


def measure() -> list[float]:
    """Microseconds per choice, a figure per round; every order has its own amount."""
    names = [f"rail{number:02}" for number in range(RAILS)]
    charges = {
        Key(name, None, "KES", None, None): Schedule((Band(ENDLESS, (Cost(1_000 + 37 * number, 5_000),)),))
        for number, name in enumerate(names)
    }
    scene = Scene(capabilities={name: _rail(name) for name in names}, tariffs=Tariffs(charges))
    rooms = {name: Allowance(left={"KES": 10**12}) for name in names}
    cases = [
        Case("KE", Money(10_000 + 100 * number, KES), (Way(0, "mobile_money"),), (), f"ord_{number}", 3)
        for number in range(CHOICES)
    ]
    figures = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        for case in cases:
            choose(case, scene=scene, allowances=rooms, now=NOW)
        figures.append((time.perf_counter() - started) / CHOICES * 1e6)
    return figures
