"""Made-up backlogs: lognormal amounts around 200 dollars in five currencies, rails of which the cheap ones are scarce."""

from __future__ import annotations

import numpy as np

from gateway.routing.transport import BOUNDLESS, NO_WAY, Backlog

CURRENCIES = 5
PER_DOLLAR = 100
MICRO = 1_000_000


def make_backlog(payouts: int, rails: int, *, seed: int = 0) -> Backlog:
    """Fees are fixed plus a share, at least and at most so much; time and failures are priced; each rail has its limits.

    A rail pays two currencies. The last one pays all and any amount, without a limit, for 5 % and 2 dollars.
    """
    dice = np.random.default_rng(seed)
    currency = dice.integers(0, CURRENCIES, payouts)
    units = np.maximum(PER_DOLLAR, dice.lognormal(np.log(200 * PER_DOLLAR), 1.0, payouts)).astype(np.int64)
    serves = np.zeros((rails, CURRENCIES), bool)
    for rail in range(rails - 1):
        serves[rail, dice.choice(CURRENCIES, 2, replace=False)] = True
    serves[-1] = True
    fixed, bps = dice.integers(10, 200, rails) * (MICRO // 100), dice.integers(20, 300, rails)
    lowest, highest = dice.integers(5, 50, rails) * (MICRO // 100), dice.integers(3, 40, rails) * MICRO
    waiting, failing = dice.integers(0, 100, rails) * (MICRO // 100), dice.integers(0, 50, rails)
    least, most = dice.integers(1, 10, rails) * PER_DOLLAR, dice.integers(5, 100, rails) * 200 * PER_DOLLAR
    fixed[-1], bps[-1], lowest[-1], highest[-1] = 2 * MICRO, 500, 0, BOUNDLESS
    least[-1], most[-1] = 0, BOUNDLESS
    fee = np.clip(fixed + units[:, None] * bps * (MICRO // PER_DOLLAR // 10_000), lowest, highest)
    cost = fee + waiting + units[:, None] * failing
    can = serves[:, currency].T & (least <= units[:, None]) & (units[:, None] <= most)
    cheapness = np.argsort(np.argsort(fixed + bps * (200 * MICRO // 10_000)))
    floats = np.zeros((rails, CURRENCIES), np.int64)
    for number in range(CURRENCIES):
        who = np.flatnonzero(serves[:-1, number])
        parts = dice.uniform(0.2, 1.0, len(who)) * (0.3 + cheapness[who] / rails)
        floats[who, number] = (units[currency == number].sum() * 0.9 * parts / parts.sum()).astype(np.int64)
    floats[-1] = BOUNDLESS
    return Backlog(
        units=units,
        currency=currency,
        cost=np.where(can, cost, NO_WAY),
        floats=floats,
        slots=np.full(rails, BOUNDLESS),
    )
