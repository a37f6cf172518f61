"""One choice among 50 rails that all could pay, in this process; every order has its own amount.

Each rail has a tariff of bands, a cash-out, cut-offs, float, and payments from which was learned at that hour. The policy
has rules for partners and amounts, and explores.
"""

from __future__ import annotations

import time as clock
from datetime import UTC, datetime, time, timedelta

import numpy as np

from gateway.money import Asset, Money
from gateway.offramp import Capabilities, Corridor, CutOff, Method, Resend
from gateway.payouts.allowances import Allowance
from gateway.pricing.tariffs import ENDLESS, Band, Cost, Key, Schedule, Tariffs
from gateway.routing.choose import Case, Way, choose
from gateway.routing.experience import FAILED, PAID, Experience, History, band_of
from gateway.routing.policy import Policy, Rule
from gateway.routing.scene import Scene

RAILS, CHOICES, ROUNDS = 50, 2_000, 7
KES = Asset("KES", 2)
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
ENDS = (100_000, 250_000, 500_000, 1_000_000, 5_000_000)


def _rail(name: str, number: int) -> Capabilities:
    corridor = Corridor(
        country="KE",
        method=Method.MOBILE_MONEY,
        asset=KES,
        least=Money(1_000, KES),
        most=Money(25_000_000, KES),
        step=Money(100, KES),
    )
    cut_off = CutOff(weekdays=frozenset(range(5)), until=time(10 + number % 12), zone="Africa/Nairobi")
    return Capabilities(
        name=name,
        corridors=(corridor,),
        resend=Resend.DEDUPED,
        settles_within=timedelta(minutes=5),
        resend_within=timedelta(hours=24),
        cut_offs=(cut_off,) if number % 2 else (),
    )


def _history(number: int) -> History:
    """Payments of all amounts at all hours: how long they took, how many were made, how many failed."""
    kinds = [
        (hour, band, slot, weight)
        for hour in range(24)
        for band in {band_of(10**power) for power in range(3, 8)}
        for slot, weight in ((4 + number % 9, 90), (12, 10), (PAID, 100), (FAILED, number % 7))
    ]
    hours, bands, slots, weights = zip(*kinds, strict=True)
    return History(
        np.array(["KES"] * len(kinds)),
        np.array([""] * len(kinds)),
        np.array(hours),
        np.array(bands),
        np.array(slots),
        np.array(weights) * 1.0,
    )


def _scene() -> Scene:
    names = [f"rail{number:02}" for number in range(RAILS)]
    rails = {name: _rail(name, number) for number, name in enumerate(names)}
    charges = {
        Key(name, None, "KES", None, None): Schedule(
            tuple(
                Band(end, (Cost(1_000 + 37 * number + 500 * step, 3_000 + 50 * number),))
                for step, end in enumerate((*ENDS, ENDLESS))
            )
        )
        for number, name in enumerate(names)
    }
    cash_outs = {Key(None, "KE", "KES", "mobile_money", None): Schedule((Band(ENDLESS, (Cost(2_900, 0),)),))}
    rules = (
        Rule(never=frozenset({"rail03"}), currency="KES", above=Money(1_000_000, KES)),
        Rule(never=frozenset({"rail05"}), partner="par_1"),
    )
    return Scene(
        capabilities=rails,
        tariffs=Tariffs(charges, cash_outs),
        policy=Policy(rules=rules),
        experience=Experience(rails, {name: _history(number) for number, name in enumerate(names)}),
    )


def measure() -> list[float]:
    """Microseconds per choice, a figure per round."""
    scene = _scene()
    rooms = {name: Allowance(left={"KES": 10**12}) for name in scene.capabilities}
    cases = [
        Case("KE", Money(10_000 + 700 * number, KES), (Way(0, "mobile_money"),), (), f"ord_{number}", 3, f"par_{number % 3}")
        for number in range(CHOICES)
    ]
    figures = []
    for _ in range(1 + ROUNDS):
        started = clock.perf_counter()
        for case in cases:
            choose(case, scene=scene, allowances=rooms, now=NOW)
        figures.append((clock.perf_counter() - started) / CHOICES * 1e6)
    # In the first round tables are made, as they are after every minute.
    return figures[1:]
