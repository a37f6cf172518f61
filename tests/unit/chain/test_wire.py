from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.chain.wire import NodeFault, data, hash32, header, quantity

HASH = "0x" + "Ab" * 32
BLOCK = {"number": "0x10", "hash": HASH, "parentHash": "0x" + "cd" * 32, "timestamp": "0x65f00000", "extra": None}


def test_reads_a_header_in_lower_case_with_an_aware_time() -> None:
    read = header(BLOCK, number=16)
    assert (read.number, read.hash, read.parent_hash) == (16, HASH.lower(), "0x" + "cd" * 32)
    assert read.time == datetime.fromtimestamp(0x65F00000, UTC)
    assert read.time.tzinfo is UTC


@pytest.mark.parametrize(
    "wrong", ["", "0x", "10", "0x01", "0x1G", "0XA", "0xA", " 0x1", "0x1\n", "-0x1", "0x_1", 16, 1.5, True, None, [], {}]
)
def test_refuses_what_is_no_quantity(wrong: object) -> None:
    with pytest.raises(NodeFault):
        quantity(wrong, "it")


def test_refuses_a_quantity_that_no_column_holds() -> None:
    assert quantity("0x7fffffffffffffff", "it") == 2**63 - 1
    with pytest.raises(NodeFault):
        quantity("0x8000000000000000", "it")


@pytest.mark.parametrize("wrong", ["0x", HASH[:-1], HASH + "0", HASH[2:], HASH[:-1] + "g", HASH + "\n", None, 1])
def test_refuses_what_is_no_hash(wrong: object) -> None:
    with pytest.raises(NodeFault):
        hash32(wrong, "it")


@pytest.mark.parametrize("wrong", ["", "00", "0x0", "0x0 0", "0x zz", "0x00\n", None, 0])
def test_refuses_what_is_no_data(wrong: object) -> None:
    with pytest.raises(NodeFault):
        data(wrong, "it")


@pytest.mark.parametrize(
    "changed",
    [
        {"number": "0x11"},
        {"number": None},
        {"hash": None},
        {"hash": "0x"},
        {"parentHash": 7},
        {"timestamp": "0x7fffffffffffffff"},
        {"timestamp": 1700000000},
    ],
)
def test_refuses_a_header_with_one_wrong_field(changed: dict[str, object]) -> None:
    with pytest.raises(NodeFault):
        header(BLOCK | changed, number=16)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["0x", "0x0", HASH]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.sampled_from(list(BLOCK)), inner, max_size=4),
    max_leaves=8,
)


@given(JSON)
def test_any_json_is_a_header_or_a_fault(answer: object) -> None:
    try:
        read = header(answer)
    except NodeFault:
        return
    assert read.time.tzinfo is UTC


def test_a_fault_repeats_little_of_a_long_answer_and_nothing_unprintable() -> None:
    with pytest.raises(NodeFault) as fault:
        quantity("\x1b[2J\n" + "x" * 100_000, "it")
    assert len(str(fault.value)) < 300
    assert str(fault.value).isprintable()
