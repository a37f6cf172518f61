"""What an adapter answers, checked and cut to size: no adapter can bring anything else into the database.

Adapters are plug-ins, written by others, and repeat what providers said. An answer that isn't one says nothing of the money.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import islice

import structlog

from gateway.money import Money
from gateway.offramp import Asked, Fault, Outcome, Report

log = structlog.get_logger()

LEASE_RAN_OUT = "not sent: the lease ran out"
"""Reason of an attempt that its worker came too late to send: it says nothing of the rail."""
OUTSIDE_LIMITS = "outside the rail's limits"
"""Beginning of the reason if an adapter refused an instruction before sending it: that says nothing of the rail either."""
REFERENCE_MOST = 200
"""Characters of a provider's reference or receipt: longer, it is none (the longest known has 64)."""
REASON_MOST = 500
EVIDENCE_ITEMS_MOST = 40
EVIDENCE_NAME_MOST = 100
EVIDENCE_TEXT_MOST = 4_000

_FAULTY = (Outcome.FAILED, Outcome.RETURNED)


def checked_report(answer: object) -> Report:
    """The report as it may be stored; UNKNOWN for anything that isn't a proper one. Never raises."""
    try:
        problem = _problem(answer)
        if problem is None:
            assert isinstance(answer, Report)
            return _cut(answer)
    except Exception as error:  # noqa: BLE001 - a report whose very reading fails is none
        problem = f"one that can't be read ({type(error).__name__})"
    log.warning("bad_report", problem=problem)
    return Report(outcome=Outcome.UNKNOWN, reason=f"the adapter's answer isn't a proper report: {problem}")


def checked_answer(answer: object) -> Report | Asked:
    """As `checked_report`, for the answer to a question, which may also be that the rail will call back."""
    return answer if type(answer) is Asked else checked_report(answer)


def _problem(answer: object) -> str | None:
    if type(answer) is not Report:
        return f"a {_shown(type(answer).__name__, EVIDENCE_NAME_MOST)}"
    outcome, fault, delivered = answer.outcome, answer.fault, answer.delivered
    problem = None
    if type(outcome) is not Outcome:
        problem = "an outcome that we don't know"
    elif fault is not None and type(fault) is not Fault:
        problem = "a fault that we don't know"
    elif fault is None and outcome in _FAULTY:
        problem = "a failure without a fault"
    elif delivered is not None and type(delivered) is not Money:
        problem = "an amount that isn't Money"
    elif not (_is_reference(answer.provider_ref) and _is_reference(answer.receipt)):
        problem = "a reference that isn't one"
    elif outcome is Outcome.PAID and not (answer.provider_ref and delivered):
        problem = "no amount or reference"
    return problem


def _is_reference(text: object) -> bool:
    return text is None or _is_plain(text, REFERENCE_MOST)


def _cut(report: Report) -> Report:
    reason, evidence = report.reason, report.evidence
    if reason is not None and not _is_plain(reason, REASON_MOST):
        reason = _shown(reason, REASON_MOST)
    if evidence and not _is_plain_document(evidence):
        items = islice(evidence.items(), EVIDENCE_ITEMS_MOST)
        evidence = {_shown(name, EVIDENCE_NAME_MOST): _shown(text, EVIDENCE_TEXT_MOST) for name, text in items}
    if reason is report.reason and evidence is report.evidence:
        return report
    return replace(report, reason=reason, evidence=evidence)


def _is_plain_document(evidence: Mapping[str, str]) -> bool:
    if type(evidence) is not dict or len(evidence) > EVIDENCE_ITEMS_MOST:
        return False
    return not [
        name
        for name, text in evidence.items()
        if not (_is_plain(name, EVIDENCE_NAME_MOST) and _is_plain(text, EVIDENCE_TEXT_MOST))
    ]


def _is_plain(text: object, most: int) -> bool:
    return type(text) is str and len(text) <= most and text.isprintable()


def _shown(text: object, most: int) -> str:
    """Without control characters, which no terminal and no database should get, and at most so long."""
    whole = text if type(text) is str else str(text)
    shown = "".join(character if character.isprintable() else " " for character in whole[:most])
    return shown if len(whole) <= most else shown[: most - 1] + "…"
