"""Ids made in sets are as those made one by one: distinct, in order, and after those made before."""

from __future__ import annotations

from datetime import UTC, datetime

from gateway import ids
from gateway.ids import new_id, new_ids

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def test_a_set_of_ids_sorts_as_it_was_made_between_those_before_and_after():
    before = new_id("att", now=NOW)
    made = new_ids("att", number=2_000, now=NOW)
    after = new_id("att", now=NOW)
    assert [before, *made, after] == sorted({before, *made, after})
    assert {len(one) for one in made} == {30}


def test_a_set_may_begin_just_before_the_last_digits_overflow():
    ids.draw_from(lambda size: b"\x00" * (size - 3) + b"\x0f\xff\xfe")
    try:
        made = new_ids("att", number=5, now=NOW)
    finally:
        ids.draw_from(None)
    assert made == sorted(set(made))
    assert made[2].endswith("10000")
