"""A rail in this process that pays in legs: an account with dollars that are sold, and pesos that are withdrawn."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta

from gateway.legs import LegPlan, LegReport
from gateway.money import Asset, Money
from gateway.offramp import Outcome, Resend
from tests.factories import KES, NOW, FakeRail

USD = Asset("USD", 2)
SELL, WITHDRAW = "sell", "withdraw"


class Time:
    def __init__(self):
        self.now = NOW

    def __call__(self):
        return self.now

    def pass_(self, **span):
        self.now += timedelta(**span)


def sold(leg, *, usd=10_00, fee=50):
    got = Money(leg.payment.deliver.units + 100, KES)
    return LegReport(
        outcome=Outcome.PAID,
        provider_ref=f"ref-{leg.leg_id}",
        gave=Money(usd, USD),
        got=got,
        fee=Money(fee, KES),
        facts={"order": leg.leg_id},
    )


def withdrawn(leg):
    deliver = leg.payment.deliver
    gave = Money(deliver.units + 30, KES)
    return LegReport(outcome=Outcome.PAID, provider_ref=f"ref-{leg.leg_id}", receipt="CEP1", gave=gave, got=deliver)


DONE = {SELL: sold, WITHDRAW: withdrawn}
PENDING = LegReport(outcome=Outcome.PENDING, provider_ref="w1")
UNKNOWN = LegReport(outcome=Outcome.UNKNOWN, reason="lost")


@dataclass
class LegRail(FakeRail):
    """Each leg is done at once unless a test says otherwise; asked, it says what became of what was sent."""

    name: str = "legs"
    plans: tuple[LegPlan, ...] = (LegPlan(name=SELL), LegPlan(name=WITHDRAW))
    answers: dict = field(default_factory=dict)
    """By leg name: what sending it answers, in order; a report or an exception."""
    tells: dict = field(default_factory=dict)
    """By leg name: what asking answers, in order."""
    facts: dict = field(default_factory=dict)
    sent: list = field(default_factory=list)
    asked: list = field(default_factory=list)
    seen: list = field(default_factory=list)
    done: dict = field(default_factory=dict)

    @property
    def capabilities(self):
        return replace(super().capabilities, resend=Resend.FINDABLE, **self.facts)

    @property
    def legs(self):
        return self.plans

    async def pay_leg(self, leg):
        self.sent.append(leg.leg_id)
        self.seen.append(leg)
        scripted = self.answers.get(leg.name)
        answer = scripted.pop(0) if scripted else None
        if isinstance(answer, Exception):
            raise answer
        self.done[leg.leg_id] = True
        return answer or DONE[leg.name](leg)

    async def leg_status(self, leg):
        self.asked.append(leg.leg_id)
        self.seen.append(leg)
        scripted = self.tells.get(leg.name)
        answer = scripted.pop(0) if scripted else None
        if isinstance(answer, Exception):
            raise answer
        if answer is None and leg.leg_id not in self.done:
            return UNKNOWN
        return answer or DONE[leg.name](leg)

    def coins(self, leg):
        raise AssertionError(leg.name)

    async def pay(self, _instruction):
        raise AssertionError("an adapter that pays in legs is never asked to pay")

    async def status(self, _attempt):
        raise AssertionError("nor for the status")
