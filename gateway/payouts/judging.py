"""Judging: what one piece of news means for its attempt, its order and the ledger: gateway.payouts.outcomes, without I/O."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import msgspec

from gateway.ledger.post import Entry, Transfer
from gateway.money import Asset, Money
from gateway.offramp import Fault, Outcome, Report
from gateway.operators.incidents import Alarm
from gateway.orders.advance import Move
from gateway.orders.postings import OWED
from gateway.orders.states import E, S
from gateway.payouts.outcomes import EVENTS, RULES, Act, Effect, effect_of
from gateway.payouts.pace import retry_at

OPERATOR = "operator"
"""Source of what a person says: only a person can decide that a payment in part is one."""
PAID_OTHER_AMOUNT = "paid_other_amount"
"""Kind of an incident, and reason of a hold."""


class News(msgspec.Struct, frozen=True, kw_only=True):
    """A report of one attempt. `lease` is the fencing token under which it was asked for; None: the rail came to us."""

    attempt_id: str
    report: Report
    lease: int | None = None
    order_id: str | None = None
    """Its order, where this is the first answer to a sending."""
    source: str = "rail"
    """Whose word it is: rail, operator, statement."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One piece of news with the attempt that it is about, and what follows from it."""

    row: Any
    report: Report
    source: str
    act: Act
    effect: Effect
    alarm: Alarm | None = None

    @property
    def changes(self) -> bool:
        """Whether the attempt becomes another."""
        return self.act not in (Act.KEEP, Act.CONTRADICT)

    @property
    def in_part(self) -> bool:
        """Whether a person has said that less than was ordered is all that was paid."""
        return self.act is Act.CLOSE and self.report.outcome is Outcome.PAID and self.report.delivered != ordered(self.row)

    @property
    def rail(self) -> str:
        """The attempt's."""
        return str(self.row.adapter)

    @property
    def turns(self) -> int:
        """Later reports that have counted, with this one: causes of the same outcome are told apart by it."""
        return int(self.row.turns) + (self.act in (Act.COMES_BACK, Act.PAID_AFTER_ALL))

    def cause(self, what: str) -> str:
        """The cause of what this does, once for each turn."""
        return f"attempt:{self.row.id}:{what}:{self.turns}" if self.turns else f"attempt:{self.row.id}:{what}"


def judge(row: Any, item: News) -> Judged:
    """Decide about one piece of news. `row`: the attempt with its order's state, its asset's decimals and its failures."""
    if row.closed_at is not None and _is_other_amount(row, item.report):
        # Nobody knows what it is; but if this attempt isn't paid otherwise, it was taken from our account.
        effect = Effect.NOTHING if row.outcome == Outcome.PAID else Effect.STRAY
        case = Judged(row, item.report, item.source, Act.CONTRADICT, effect)
    else:
        report = _checked(row, item)
        act = Act.KEEP if _is_overtaken(row, item) else RULES[row.outcome, report.outcome]
        in_part = row.delivered_units is not None
        effect = effect_of(act, report.outcome, state=S(row.state), claimed=row.claimed, in_part=in_part)
        case = Judged(row, report, item.source, act, effect)
    return replace(case, alarm=_alarm(case, item.report))


def _checked(row: Any, item: News) -> Report:
    """The report as it counts. Of an open attempt, a payment of another amount is no payment, unless a person says so."""
    report = item.report
    if row.closed_at is None and _is_other_amount(row, report) and not _is_part(row, item):
        return Report(
            outcome=Outcome.UNKNOWN,
            provider_ref=report.provider_ref,
            receipt=report.receipt,
            reason=f"paid {report.delivered} where {ordered(row)} were ordered",
            evidence=report.evidence,
        )
    if report.outcome is Outcome.FAILED and row.closed_at is None and row.fault is not None:
        # The failure is proven; why it failed, the rail's own callback may have said better.
        return replace(report, fault=Fault(row.fault), reason=f"{report.reason}; the rail said: {row.reason}")
    return report


def _is_overtaken(row: Any, item: News) -> bool:
    """Whether it is the payment before the return that we know of. Only what was asked later speaks of a second one."""
    if row.outcome != Outcome.RETURNED or item.report.outcome is not Outcome.PAID:
        return False
    return item.lease is None or row.lease_until is None


def _is_other_amount(row: Any, report: Report) -> bool:
    if report.outcome is not Outcome.PAID:
        return False
    asked = ordered(row)
    return report.delivered not in (asked, Money(int(row.delivered_units or asked.units), asked.asset))


def _is_part(row: Any, item: News) -> bool:
    delivered, asked = item.report.delivered, ordered(row)
    return (
        item.source == OPERATOR
        and delivered is not None
        and delivered.asset == asked.asset
        and 0 < delivered.units < asked.units
    )


def ordered(row: Any) -> Money:
    """What the rail was told to deliver."""
    return Money(int(row.deliver_units), Asset(row.deliver_asset, row.decimals))


def _alarm(case: Judged, said: Report) -> Alarm | None:
    row = case.row
    detail = {"attempt": row.id, "adapter": row.adapter, "says": said.outcome, "reason": said.reason or ""}
    if _is_other_amount(row, said) and not case.in_part:
        return Alarm(f"attempt:{row.id}:amount", PAID_OTHER_AMOUNT, row.order_id, {**detail, "amount": str(said.delivered)})
    if case.act in (Act.CONTRADICT, Act.PAID_AFTER_ALL):
        return Alarm(case.cause(said.outcome), f"{said.outcome}_after_{row.outcome}", row.order_id, detail)
    if case.effect is Effect.OWE:
        return Alarm(case.cause(said.outcome), "returned_after_partial", row.order_id, detail)
    return None


def entries_of(case: Judged) -> list[Entry]:
    """What is booked beside the order's steps, at most one entry."""
    row, rail, claims = case.row, f"rail:{case.rail}", f"claims:{case.rail}"
    if case.effect is Effect.CLAIM:
        return [Entry(case.cause("claimed"), "payout_claimed", (Transfer(claims, rail, ordered(row)),), row.order_id)]
    if case.effect is Effect.UNCLAIM:
        return [Entry(case.cause("unclaimed"), "payout_unclaimed", (Transfer(rail, claims, ordered(row)),), row.order_id)]
    if case.effect is Effect.OWE:
        money = Money(int(row.delivered_units), ordered(row).asset)
        transfer = Transfer(rail, f"order:{row.order_id}:{OWED}", money)
        return [Entry(case.cause("owed"), "payout_owed", (transfer,), row.order_id)]
    delivered = case.report.delivered
    if case.effect is Effect.STRAY and delivered is not None and delivered.asset == ordered(row).asset:
        transfer = Transfer(claims, rail, delivered)
        return [Entry(f"attempt:{row.id}:stray:{delivered.units}", "payout_claimed", (transfer,), row.order_id)]
    return []


def moves_of(case: Judged, *, now: datetime) -> list[Move]:
    """The step that the order takes, if it takes one."""
    row, report = case.row, case.report
    data = {"attempt": row.id, "adapter": case.rail}
    if case.effect is Effect.STRAY and row.state == S.FUNDED:
        data["reason"] = PAID_OTHER_AMOUNT
        return [Move(order_id=row.order_id, event=E.HOLD_PLACED, cause=f"attempt:{row.id}:stray", data=data)]
    if case.effect is not Effect.STEP:
        return []
    event, due_at = EVENTS[report.outcome], None
    if event in (E.OUTCOME_FAILED, E.OUTCOME_RETURNED):
        waits = report.fault in (Fault.TRANSIENT, Fault.FLOAT) and event is E.OUTCOME_FAILED
        due_at = retry_at(row.failures + 1, now=now, order_id=row.order_id) if waits else now
    if case.in_part and report.delivered is not None:
        event = E.OUTCOME_PARTIAL
        data["delivered"] = str(report.delivered.units)
        data["owed"] = str((ordered(row) - report.delivered).units)
    return [Move(order_id=row.order_id, event=event, cause=case.cause(report.outcome), data=data, due_at=due_at)]
