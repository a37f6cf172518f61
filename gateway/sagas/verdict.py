"""What a leg's report means for its attempt, and for the ledger. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from gateway.ledger.post import Entry, Transfer
from gateway.legs import LegPlan, LegReport
from gateway.money import Asset, Money
from gateway.offramp import Fault, Outcome, Report
from gateway.payouts.reports import checked_report

EXCHANGE, FEES = "exchange", "cost:rail_fees"
FACTS_MOST, FACT_NAME_MOST, FACT_MOST = 20, 60, 500
UNITS_MOST = 10**60
_NO_MONEY = Money(0, Asset("-", 0))
"""Stands where a leg in between need not say what it brought."""


def checked_leg(answer: object, *, last: bool) -> LegReport:
    """The report as it may be stored; UNKNOWN for anything that isn't a proper one. Never raises."""
    try:
        problem = _problem(answer, last=last)
        if problem is None:
            assert isinstance(answer, LegReport)
            plain = checked_report(_plain(answer))
            if plain.outcome is answer.outcome:
                return replace(answer, reason=plain.reason, evidence=plain.evidence)
            problem = plain.reason or "its words"
    except Exception as error:  # noqa: BLE001 - a report whose very reading fails is none
        problem = f"one that can't be read ({type(error).__name__})"
    return LegReport(outcome=Outcome.UNKNOWN, reason=f"the adapter's answer isn't a proper report of a leg: {problem}")


def attempt_report(plan: LegPlan, report: LegReport, *, following: LegPlan | None) -> Report:
    """What is said of the attempt. Only the last leg's PAID is one; whatever fails ends the attempt."""
    said = f"{plan.name}: {report.reason}" if report.reason else None
    if following is None:
        return Report(
            outcome=report.outcome,
            provider_ref=report.provider_ref,
            receipt=report.receipt,
            delivered=report.got if report.outcome is Outcome.PAID else None,
            fault=report.fault,
            reason=said,
            evidence=dict(report.evidence),
            pickup=report.pickup,
        )
    if report.outcome in (Outcome.FAILED, Outcome.RETURNED):
        # Nothing has reached the recipient yet: for the attempt both are the same.
        return Report(outcome=Outcome.FAILED, fault=report.fault, reason=said or plan.name, evidence=dict(report.evidence))
    if report.outcome is Outcome.UNKNOWN:
        return Report(outcome=Outcome.UNKNOWN, reason=said, evidence=dict(report.evidence))
    said = f"{plan.name} is done, {following.name} begins" if report.outcome is Outcome.PAID else said
    return Report(outcome=Outcome.PENDING, reason=said, evidence=dict(report.evidence))


def entry_of(leg_id: str, report: LegReport, *, rail: str, order_id: str) -> Entry | None:
    """What a leg that is PAID moved at its rail. What the last one delivers is booked with the order's step."""
    transfers = tuple(transfer for transfer in _transfers(report, f"rail:{rail}") if transfer.money.units)
    return Entry(leg_id, "leg_paid", transfers, order_id) if transfers else None


def coins_entry(leg_id: str, *, rail: str, wallet: str, gave: Money, got: Money, order_id: str) -> Entry:
    """Coins that went from our wallet to the rail, which holds them for us now; `got` of them arrived."""
    transfers = [Transfer(f"rail:{rail}", wallet, got)]
    if got < gave:
        transfers.append(Transfer(FEES, wallet, gave - got))
    return Entry(leg_id, "leg_paid", tuple(transfers), order_id)


def _transfers(report: LegReport, account: str) -> list[Transfer]:
    gave, got, fee = report.gave, report.got, report.fee
    if gave is None or got is None:
        return []
    if gave.asset == got.asset:
        return [Transfer(FEES, account, gave - got)] if got < gave else []
    nothing = Money(0, gave.asset)
    of_gave = fee if fee is not None and fee.asset == gave.asset else nothing
    of_got = fee if fee is not None and fee.asset == got.asset else Money(0, got.asset)
    kept = [Transfer(FEES, account, of_gave), Transfer(FEES, account, of_got)]
    return [Transfer(EXCHANGE, account, gave - of_gave), Transfer(account, EXCHANGE, got + of_got), *kept]


def _plain(report: LegReport) -> Report:
    """As a report that the checks of all reports can be made of."""
    return Report(
        outcome=report.outcome,
        provider_ref=report.provider_ref,
        receipt=report.receipt,
        delivered=report.got or report.gave or _NO_MONEY if report.outcome is Outcome.PAID else None,
        fault=report.fault,
        reason=report.reason,
        evidence=report.evidence,
    )


def _problem(answer: object, *, last: bool) -> str | None:
    if type(answer) is not LegReport:
        return f"a {type(answer).__name__[:60]}"
    moneys = (answer.gave, answer.got, answer.fee)
    problems = {
        "an amount that isn't Money": not all(each is None or _is_money(each) for each in moneys),
        "facts that aren't plain texts": not _are_facts(answer.facts),
        "a payment that doesn't say what was delivered": last and answer.outcome is Outcome.PAID and answer.got is None,
    }
    wrong = next((problem for problem, there in problems.items() if there), None)
    if wrong is None and answer.fee is not None and not _is_within(answer.fee, answer.gave):
        return "a fee above what was given"
    return wrong


def _is_within(fee: Money, gave: Money | None) -> bool:
    return gave is None or fee.asset != gave.asset or fee <= gave


def _is_money(money: object) -> bool:
    return type(money) is Money and 0 <= money.units < UNITS_MOST and 0 < len(money.asset.code) <= FACT_NAME_MOST


def _are_facts(facts: Mapping[str, str]) -> bool:
    return len(facts) <= FACTS_MOST and all(
        type(name) is str and type(text) is str and len(name) <= FACT_NAME_MOST and len(text) <= FACT_MOST
        for name, text in facts.items()
    )


def not_sent(reason: str, fault: Fault) -> LegReport:
    """Of a leg of which provably nothing has left us."""
    return LegReport(outcome=Outcome.FAILED, fault=fault, reason=f"not sent: {reason}"[:FACT_MOST])
