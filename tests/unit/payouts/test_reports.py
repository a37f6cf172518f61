"""What hostile or buggy adapters answer is checked and cut before anybody else sees it."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.money import Money
from gateway.offramp import Asked, Fault, Outcome, Report
from gateway.payouts.reports import (
    EVIDENCE_ITEMS_MOST,
    EVIDENCE_TEXT_MOST,
    REASON_MOST,
    checked_answer,
    checked_report,
)
from tests.factories import KES, PENDING, failed, paid


class Exploding(Mapping):
    def __getitem__(self, key):
        raise RuntimeError(key)

    def __iter__(self):
        raise RuntimeError

    def __len__(self):
        return 3


class Shouting:
    def __str__(self):
        raise RuntimeError


def tampered(report, **values):
    for name, value in values.items():
        object.__setattr__(report, name, value)
    return report


def fresh():
    return paid("att_1", Money(100, KES))


@pytest.mark.parametrize("report", [fresh(), PENDING, failed(), Report(outcome=Outcome.PENDING, evidence={"a": "b"})])
def test_a_proper_report_comes_through_as_it_is(report):
    assert checked_report(report) is report


@pytest.mark.parametrize(
    "answer",
    [
        None,
        "paid",
        {"outcome": "paid"},
        Asked(question="q"),
        type("Report", (), {})(),
        tampered(fresh(), outcome="paid"),
        tampered(fresh(), outcome="settled"),
        tampered(failed(), fault="nobody"),
        tampered(failed(), fault=None),
        tampered(fresh(), delivered=100),
        tampered(fresh(), delivered=None),
        tampered(fresh(), provider_ref=None),
        tampered(fresh(), provider_ref=7),
        tampered(fresh(), provider_ref="x" * 201),
        tampered(fresh(), provider_ref="a\x00b"),
        tampered(fresh(), receipt="\x1b[31m"),
        tampered(fresh(), evidence=Exploding()),
        tampered(fresh(), evidence=["a"]),
        tampered(fresh(), evidence={"a": Shouting()}),
        tampered(fresh(), reason=Shouting()),
    ],
)
def test_anything_else_says_nothing_of_the_money(answer):
    report = checked_report(answer)
    assert report.outcome is Outcome.UNKNOWN
    assert report.reason.startswith("the adapter's answer isn't a proper report: ")


def test_texts_are_cut_and_counted():
    evidence = {f"{number}{'k' * 500}": "v" * 1_000_000 for number in range(1_000)}
    report = checked_report(Report(outcome=Outcome.PENDING, reason="r" * 1_000_000, evidence=evidence))
    assert len(report.reason) == REASON_MOST
    assert len(report.evidence) == EVIDENCE_ITEMS_MOST
    assert {len(text) for text in report.evidence.values()} == {EVIDENCE_TEXT_MOST}


@given(st.text(max_size=50), st.dictionaries(st.text(max_size=10), st.text(max_size=20), max_size=3))
def test_no_control_character_and_nothing_that_no_database_takes_comes_through(reason, evidence):
    report = checked_report(Report(outcome=Outcome.FAILED, fault=Fault.RAIL, reason=reason, evidence=evidence))
    assert report.outcome is Outcome.FAILED
    texts = [report.reason, *report.evidence, *report.evidence.values()]
    assert all(text.isprintable() for text in texts)
    json.dumps(texts, ensure_ascii=False).encode()


def test_a_lone_surrogate_is_no_text():
    report = checked_report(Report(outcome=Outcome.PENDING, reason="\ud800", evidence={"\ud800": "a\nb"}))
    assert (report.reason, report.evidence) == (" ", {" ": "a b"})


def test_a_question_may_be_answered_later():
    assert checked_answer(Asked(question="q")) == Asked(question="q")
    assert checked_answer(None).outcome is Outcome.UNKNOWN


def test_evidence_of_too_many_plain_items_is_cut():
    evidence = {str(number): "plain" for number in range(EVIDENCE_ITEMS_MOST + 1)}
    assert len(checked_report(Report(outcome=Outcome.PENDING, evidence=evidence)).evidence) == EVIDENCE_ITEMS_MOST


def test_evidence_that_is_no_plain_dict_becomes_one():
    report = checked_report(Report(outcome=Outcome.PENDING, evidence=OrderedDict(a="b")))
    assert (type(report.evidence), report.evidence) == (dict, {"a": "b"})
