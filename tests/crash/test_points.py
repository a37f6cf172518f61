"""Every transaction of every loop has a name, so that every one can be killed at."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.points import UNNAMED, WORLDS, nameless, places, points, room_of


def test_no_loop_has_a_nameless_transaction() -> None:
    assert nameless(places()) == []


def test_every_exception_is_still_one() -> None:
    there = {(place.path, place.function) for place in places() if not place.points}
    assert {(path, function) for path, functions in UNNAMED.items() for function in functions} <= there


def test_a_name_stands_for_one_transaction() -> None:
    found = [point for place in places() for point in place.points]
    assert sorted(found) == points()


def test_each_point_is_killed_at_in_one_world() -> None:
    visited = [room for rooms in WORLDS.values() for room in rooms]
    assert sorted(visited) == sorted({room_of(point) for point in points()})


def test_the_answer_to_a_rail_has_a_name_too() -> None:
    assert {"inbox.store:before_commit", "inbox.store:after_commit"} <= set(points())


def plant(root: Path, text: str) -> None:
    (root / "gateway/orders").mkdir(parents=True)
    (root / "gateway/orders/new.py").write_text(text)


def test_a_new_loop_s_transactions_are_found(tmp_path: Path) -> None:
    plant(
        tmp_path,
        """
async def step(engine):
    async with transaction(engine) as connection:
        pass
    async with transaction(engine, point="new.claim") as connection:
        failpoint("new:before")
""",
    )
    found = places(tmp_path)
    assert points(tmp_path) == ["new.claim:after_commit", "new.claim:before_commit", "new:before"]
    assert nameless(found) == ["gateway/orders/new.py:3 step: give the transaction its point, or use reading()"]


def test_a_name_put_together_is_refused(tmp_path: Path) -> None:
    plant(tmp_path, 'def step(x):\n    failpoint(f"new.{x}")\n')
    with pytest.raises(AssertionError, match="in one piece"):
        points(tmp_path)
