from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.chain.reorg import Place, find_ancestor, follows
from gateway.chain.wire import Header, NodeFault

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def chain(first: int, last: int, *, fork: str = "a", parent: str = "a") -> list[Header]:
    return [
        Header(number=n, hash=f"{fork}{n}", parent_hash=f"{parent if n == first else fork}{n - 1}", time=NOW)
        for n in range(first, last + 1)
    ]


def test_linked_blocks_follow_the_cursor() -> None:
    assert follows(Place(number=4, hash="a4"), chain(5, 9))
    assert follows(Place(number=4, hash="a4"), chain(5, 5))


def test_a_first_block_with_another_parent_does_not_follow() -> None:
    assert not follows(Place(number=4, hash="b4"), chain(5, 9))


def test_a_first_block_that_is_not_the_next_does_not_follow() -> None:
    assert not follows(Place(number=3, hash="a4"), chain(5, 9))


@pytest.mark.parametrize("middle", [chain(7, 9, fork="b"), chain(8, 9), [*chain(7, 7), *chain(7, 9)]])
def test_a_break_inside_is_a_fault_of_the_node(middle: list[Header]) -> None:
    broken = [*chain(5, 6), *middle]
    if middle[0].number == 7 and middle[0].hash == "b7":
        broken[2] = Header(number=7, hash="b7", parent_hash="b6", time=NOW)
    with pytest.raises(NodeFault):
        follows(Place(number=4, hash="a4"), broken)


def search(stored: list[Place], canonical: dict[int, str]) -> tuple[Place | None, int]:
    asking, asked = find_ancestor(stored), 0
    try:
        number = next(asking)
        while True:
            asked += 1
            number = asking.send(canonical[number])
    except StopIteration as end:
        return end.value, asked


@given(st.integers(1, 300), st.integers(0, 300), st.integers(0, 10**9))
def test_the_ancestor_is_the_newest_block_that_is_left(length: int, changed: int, first: int) -> None:
    changed = min(changed, length)
    stored = [Place(number=first + n, hash=f"a{n}") for n in range(length)]
    canonical = {place.number: place.hash for place in stored[: length - changed]}
    canonical |= {place.number: f"b{place.number}" for place in stored[length - changed :]}
    found, asked = search(stored, canonical)
    assert found == (stored[length - changed - 1] if changed < length else None)
    assert asked <= length.bit_length()


@given(st.lists(st.booleans(), max_size=40))
def test_a_node_that_contradicts_itself_ends_the_search_too(answers: list[bool]) -> None:
    stored = [Place(number=n, hash="a") for n in range(len(answers))]
    _, asked = search(stored, {n: "a" if same else "b" for n, same in enumerate(answers)})
    assert asked <= max(len(answers), 1).bit_length()
