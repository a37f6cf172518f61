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
    fault, references = answer.fault, (answer.provider_ref, answer.receipt)
    problems = {
        "an outcome that we don't know": type(answer.outcome) is not Outcome,
        "a fault that we don't know": fault is not None and type(fault) is not Fault,
        "a failure without a fault": answer.outcome in _FAULTY and fault is None,
        "an amount that isn't Money": answer.delivered is not None and type(answer.delivered) is not Money,
        "a reference that isn't one": not all(one is None or _is_plain(one, REFERENCE_MOST) for one in references),
        "no amount or reference": answer.outcome is Outcome.PAID and not (answer.provider_ref and answer.delivered),
    }
    return next((problem for problem, there in problems.items() if there), None)


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
    return (
        type(evidence) is dict
        and len(evidence) <= EVIDENCE_ITEMS_MOST
        and all(
            _is_plain(name, EVIDENCE_NAME_MOST) and _is_plain(text, EVIDENCE_TEXT_MOST) for name, text in evidence.items()
        )
    )


def _is_plain(text: object, most: int) -> bool:
    return type(text) is str and len(text) <= most and text.isprintable()


def _shown(text: object, most: int) -> str:
    """Without control characters, which no terminal and no database should get, and at most so long."""
    whole = text if type(text) is str else str(text)
    shown = "".join(character if character.isprintable() else " " for character in whole[:most])
    return shown if len(whole) <= most else shown[: most - 1] + "…"
