"""What speaks for a rail as one number: everything by the policy's weights, as if it were money. Less is better.

Within a piece of amounts, whose charges, experience and hours are the same, a score is `fixed + rate * units`: whole numbers
that are worked out once. The unit of scores is tiny, so that nothing is rounded.
"""

from __future__ import annotations

from typing import NamedTuple

from gateway.pricing.tariffs import Cost
from gateway.routing.experience import Outlook
from gateway.routing.policy import EVEN, Weights

MILLION = 1_000_000
_HOUR_S = 3_600
_SCALE = 10_000 * _HOUR_S * MILLION
"""Of weights: hundredths of a percent, seconds of an hour, millionths."""
_DECIDES = MILLION
"""How much more a policy's own weights count than `EVEN`."""


class Line(NamedTuple):
    """A score by amount."""

    fixed: int
    rate: int

    def of(self, units: int) -> int:
        """The score of an amount."""
        return self.fixed + self.rate * units


class Facts(NamedTuple):
    """What a score is made of."""

    charge: Cost
    cash_out: Cost
    wait_s: int
    outlook: Outlook


class Numbers(NamedTuple):
    """What speaks for a rail, in units of the receive currency, seconds, and millionths."""

    hand: int
    """What the recipient has in hand: without what the cash-out costs them."""
    charge: int
    """What the rail takes from us."""
    wait_s: int
    """Until it works on the payment: cut-offs, holidays, opening hours."""
    p50_s: int
    p95_s: int
    success_ppm: int
    success_low_ppm: int
    """What it is at least, as sure as there is data."""
    samples: int
    score: int
    """All that by the policy's weights, as if it were money: less is better."""


def line(facts: Facts, weights: Weights) -> Line:
    """The score by these weights; what they leave even, `EVEN` decides."""
    own, even = _line(facts, weights), _line(facts, EVEN)
    return Line(own.fixed * _DECIDES + even.fixed, own.rate * _DECIDES + even.rate)


def numbers(facts: Facts, score: Line, *, units: int) -> Numbers:
    """For people and programs that read decisions."""
    charge, cash_out, outlook = facts.charge.of(units), facts.cash_out.of(units), facts.outlook
    return Numbers(
        hand=units - cash_out,
        charge=charge,
        wait_s=facts.wait_s,
        p50_s=outlook.p50_s,
        p95_s=outlook.p95_s,
        success_ppm=_ppm(outlook.success),
        success_low_ppm=_ppm(outlook.success_low),
        samples=round(outlook.samples),
        score=score.of(units) // (_SCALE * _DECIDES),
    )


def _line(facts: Facts, weights: Weights) -> Line:
    charge, cash_out, wait_s, outlook = facts
    percent = _SCALE // 100
    money = percent // MILLION * (weights.cost_percent * charge.ppm + weights.hand_percent * cash_out.ppm)
    time = MILLION * (weights.hour_bps * (wait_s + outlook.p50_s) + weights.late_hour_bps * (wait_s + outlook.p95_s))
    failures = weights.failure_bps * (MILLION - _ppm(outlook.success))
    doubt = weights.doubt_bps * (MILLION - _ppm(outlook.success_low))
    fixed = percent * (weights.cost_percent * charge.fixed + weights.hand_percent * cash_out.fixed)
    return Line(fixed, money + time + _HOUR_S * (failures + doubt))


def _ppm(share: float) -> int:
    return round(share * MILLION)
