from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.orders.states import S
from gateway.payouts.views import PastStep, PublicStatus
from gateway.web.journey import PLACES, STAGES, stages, to_pay
from gateway.web.pages import Pages
from gateway.web.reader import Reader
from tests.unit.web.site import NOW, order


def at(status: PublicStatus, *passed: S) -> list[tuple[str, str]]:
    view = order(progress=replace(order().progress, status=status))
    steps = tuple(PastStep(state=state, at=NOW + timedelta(seconds=n)) for n, state in enumerate(passed))
    return [(stage.key, stage.tense) for stage in stages(replace(view, steps=steps))]


def test_every_status_has_a_place_and_words() -> None:
    assert PLACES.keys() == set(PublicStatus)
    words = Pages(reader=Reader())
    for status in PublicStatus:
        template = words._templates.from_string('{% import "words.html" as w with context %}{{ w.heading(status) }}')
        assert len(template.render(status=status)) > 5


def test_every_stage_is_past_present_or_ahead_in_that_order() -> None:
    for status in PublicStatus:
        tenses = [tense for _, tense in at(status)]
        assert len(tenses) == len(STAGES)
        assert tenses == sorted(tenses, key=["past", "present", "ahead"].index)
        assert tenses.count("present") == 1


@pytest.mark.parametrize(
    ("status", "passed", "present"),
    [
        (PublicStatus.NEEDS_INFO, (S.CONFIRMING, S.HELD), "seen"),
        (PublicStatus.NEEDS_INFO, (S.CONFIRMING, S.FUNDED, S.PAYING, S.FUNDED, S.HELD), "sent"),
        (PublicStatus.RETURNED, (S.CONFIRMING, S.FUNDED, S.PAYING, S.PAID, S.FUNDED, S.HELD), "sent"),
        (PublicStatus.ON_HOLD, (), "deposit"),
        (PublicStatus.EXPIRED, (), "deposit"),
    ],
)
def test_trouble_stands_where_it_met_the_money(status: PublicStatus, passed: tuple[S, ...], present: str) -> None:
    assert (present, "present") in at(status, *passed)


def test_a_stage_has_the_time_it_was_first_reached_and_none_ahead_of_the_present() -> None:
    view = order(S.CONFIRMING)
    again = PastStep(state=S.CONFIRMING, at=NOW + timedelta(hours=1))
    later = PastStep(state=S.FUNDED, at=NOW)
    times = {stage.key: stage.at for stage in stages(replace(view, steps=(*view.steps, again, later)))}
    assert times["seen"] == NOW
    assert times["confirmed"] is None


def test_only_what_is_missing_is_to_pay() -> None:
    assert to_pay(order(), now=NOW) == order().send
    assert to_pay(order(), now=order().expires_at) is None
    held = order(S.HELD, received=60_000_000)
    assert to_pay(held, now=NOW) == held.send - held.received
    assert to_pay(order(S.HELD, received=99_977_543), now=NOW) is None
    assert to_pay(order(S.EXPIRED), now=NOW) is None
