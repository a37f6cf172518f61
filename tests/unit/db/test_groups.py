from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from sqlalchemy.exc import OperationalError

from gateway.db.groups import Crowded, Grouped


class Work:
    """Answers what it is asked; 'bad' ruins its whole group, 'odd' gets an exception of its own."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, asked: Sequence[str]) -> list[str | Exception]:
        self.groups.append(list(asked))
        await self.gate.wait()
        if "away" in asked:
            raise OperationalError("x", None, Exception())
        if "bad" in asked:
            raise ValueError("bad")
        return [KeyError(one) if one == "odd" else one.upper() for one in asked]


def grouped(work: Work, *, most: int = 100, waiting_most: int = 1_000) -> Grouped[str, str]:
    return Grouped(work, most=most, waiting_most=waiting_most)


async def all_of(groups: Grouped[str, str], *asked: str) -> list[object]:
    return await asyncio.gather(*(groups.do(one) for one in asked), return_exceptions=True)


async def test_who_comes_alone_is_a_group_alone_at_once():
    work = Work()
    groups = grouped(work)
    assert [await groups.do("a"), await groups.do("b")] == ["A", "B"]
    assert work.groups == [["a"], ["b"]]


async def test_who_comes_while_a_group_is_worked_on_is_in_the_next():
    work = Work()
    work.gate.clear()
    groups = grouped(work)
    first = asyncio.create_task(groups.do("a"))
    await asyncio.sleep(0.01)
    rest = asyncio.create_task(all_of(groups, "b", "c", "d"))
    await asyncio.sleep(0.01)
    assert work.groups == [["a"]]
    work.gate.set()
    assert (await first, await rest) == ("A", ["B", "C", "D"])
    assert work.groups == [["a"], ["b", "c", "d"]]


async def test_a_group_has_so_many_at_most():
    work = Work()
    assert await all_of(grouped(work, most=2), *"abcde") == [*"ABCDE"]
    assert [len(group) for group in work.groups] == [2, 2, 1]


async def test_an_exception_is_its_own_askings_answer():
    assert [str(answer) for answer in await all_of(grouped(Work()), "a", "odd", "b")] == ["A", "'odd'", "B"]


async def test_one_that_ruins_its_group_does_not_harm_its_neighbours():
    work = Work()
    answers = await all_of(grouped(work), "a", "bad", "b")
    assert (answers[0], answers[2]) == ("A", "B")
    assert isinstance(answers[1], ValueError)
    assert work.groups == [["a", "bad", "b"], ["a"], ["bad"], ["b"]]


async def test_a_database_that_is_away_is_not_asked_once_for_each():
    work = Work()
    answers = await all_of(grouped(work), "a", "away", "b")
    assert {type(answer) for answer in answers} == {OperationalError}
    assert len(work.groups) == 1


async def test_who_goes_away_before_the_turn_is_left_out_and_later_is_no_matter():
    work = Work()
    work.gate.clear()
    groups = grouped(work)
    tasks = [asyncio.create_task(groups.do(one)) for one in "ab"]
    await asyncio.sleep(0.01)
    late = [asyncio.create_task(groups.do(one)) for one in "cd"]
    await asyncio.sleep(0.01)
    tasks[0].cancel()
    late[0].cancel()
    await asyncio.sleep(0)
    work.gate.set()
    assert (await tasks[1], await late[1]) == ("B", "D")
    assert work.groups == [["a", "b"], ["d"]]
    assert await groups.do("e") == "E"


async def test_too_many_that_wait_are_turned_away():
    work = Work()
    work.gate.clear()
    groups = grouped(work, most=1, waiting_most=3)
    tasks = [asyncio.create_task(groups.do("a"))]
    await asyncio.sleep(0.01)
    tasks += [asyncio.create_task(groups.do(one)) for one in "bcde"]
    await asyncio.sleep(0.01)
    work.gate.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert answers[:4] == [*"ABCD"]
    assert isinstance(answers[4], Crowded)


async def test_an_end_in_the_middle_leaves_nobody_waiting_for_ever():
    work = Work()
    work.gate.clear()
    groups = grouped(work, most=1)
    tasks = [asyncio.create_task(groups.do(one)) for one in "ab"]
    await asyncio.sleep(0.01)
    assert groups._working is not None
    groups._working.cancel()
    answers = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 1)
    assert {type(answer) for answer in answers} == {asyncio.CancelledError}
    work.gate.set()
    assert await groups.do("c") == "C"


@pytest.mark.parametrize("number", [1, 7, 100])
async def test_everybody_gets_the_own_answer(number):
    asked = [f"x{one}" for one in range(number)]
    assert await all_of(grouped(Work(), most=9), *asked) == [one.upper() for one in asked]
