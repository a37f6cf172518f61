from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.chain.logs import TRANSFER, block_hashes, check_hashes, recipients, transfers_to
from gateway.chain.wire import NodeFault, header
from tests.unit.chain.fake_chain import SENDER, START_TIME, TOKEN, address, topic, transfer, word
from tests.unit.chain.test_wire import JSON

OURS = address("ours")
PLACE = {"blockNumber": "0x7", "blockHash": word("block 7"), "logIndex": "0x3"}


def log(**changes: Any) -> dict[str, Any]:
    return transfer(to=OURS, tx=word("tx")) | PLACE | changes


def read(*logs: object, ours: set[str] | None = None) -> list[Any]:
    recipients(logs, tokens={TOKEN})
    block_hashes(logs, first=1, last=10)
    return transfers_to(logs, ours={OURS} if ours is None else ours)


def test_a_transfer_is_read_whole() -> None:
    (found,) = read(log())
    assert (found.token, found.sender, found.recipient, found.units) == (TOKEN, SENDER, OURS, 5_000_000)
    assert (found.block_number, found.block_hash) == (7, word("block 7"))
    assert (found.tx_hash, found.log_index) == (word("tx"), 3)


def test_capital_letters_change_nothing() -> None:
    shouted = log()
    shouted["topics"] = ["0x" + part[2:].upper() for part in shouted["topics"]]
    for key in ("address", "data", "transactionHash", "blockHash"):
        shouted[key] = "0x" + shouted[key][2:].upper()
    assert read(shouted) == read(log())
    assert recipients([shouted], tokens={TOKEN}) == {OURS}


@given(st.integers(1, 2**256 - 1))
def test_every_amount_is_exact(units: int) -> None:
    assert read(log(data=f"0x{units:064x}"))[0].units == units


def test_transfers_to_others_and_of_nothing_are_left_out() -> None:
    assert read(log(), ours=set()) == []
    assert read(log(data="0x" + "0" * 64)) == []


def test_recipients_are_everybody_who_got_something() -> None:
    other = address("other")
    assert recipients([log(), transfer(to=other) | PLACE, log()], tokens={TOKEN}) == {OURS, other}


def test_transfers_come_in_the_order_of_the_chain() -> None:
    places = [("0x9", "0x0"), ("0x7", "0xa"), ("0x7", "0x9")]
    logs = [
        log(transactionHash=word(f"tx {place}"), blockNumber=place[0], logIndex=place[1], blockHash=word(place[0]))
        for place in places
    ]
    assert [(t.block_number, t.log_index) for t in read(*logs)] == [(7, 9), (7, 10), (9, 0)]


MALFORMED: list[dict[str, Any]] = [
    {"address": address("another token")},
    {"address": None},
    {"topics": [TRANSFER, topic(SENDER)]},
    {"topics": [TRANSFER, topic(SENDER), topic(OURS), word("token id")]},
    {"topics": [word("Approval"), topic(SENDER), topic(OURS)]},
    {"topics": [TRANSFER, topic(SENDER), "0x" + "01" * 12 + OURS[2:]]},
    {"topics": [TRANSFER, topic(SENDER), OURS]},
    {"topics": [TRANSFER, topic(SENDER), topic(OURS)[:-1] + "_"]},
    {"topics": [TRANSFER, "0x" + "f" * 64, topic(OURS)]},
    {"topics": [TRANSFER, "0x", topic(OURS)]},
    {"topics": None},
    {"topics": "0x"},
    {"data": "0x"},
    {"data": "0x" + "0" * 62},
    {"data": "0x" + "0" * 128},
    {"data": "0x" + "0" * 62 + " 1"},
    {"data": "0x" + "0" * 62 + "0_"},
    {"data": None},
    {"removed": True},
    {"removed": None},
    {"transactionHash": None},
    {"transactionHash": "0x12"},
    {"logIndex": None},
    {"logIndex": "0x80000000"},
    {"logIndex": 3},
    {"blockNumber": None},
    {"blockNumber": "0xb"},
    {"blockNumber": "0x0"},
    {"blockHash": None},
    {"blockHash": ["0x"]},
]


@pytest.mark.parametrize("changes", MALFORMED, ids=str)
def test_a_malformed_log_of_a_listed_token_is_refused(changes: dict[str, Any]) -> None:
    second = log(transactionHash=word("other"), logIndex="0x4")
    assert len(read(log(), second)) == 2
    with pytest.raises(NodeFault):
        read(log(), second | changes)


def test_a_stranger_s_malformed_log_is_refused_too() -> None:
    for changes in ({"topics": [TRANSFER, "0x", topic(SENDER)]}, {"data": "0x"}, {"removed": True}):
        with pytest.raises(NodeFault):
            read(log(topics=[TRANSFER, topic(OURS), topic(SENDER)]) | changes)


def test_a_field_that_is_missing_is_refused_and_removed_may_be() -> None:
    for key in set(log()) - {"removed"}:
        with pytest.raises(NodeFault):
            read({name: value for name, value in log().items() if name != key})
    assert read({name: value for name, value in log().items() if name != "removed"})


@given(st.lists(JSON | st.dictionaries(st.sampled_from(list(log())), JSON), min_size=1))
def test_any_other_json_is_a_fault(logs: list[object]) -> None:
    with pytest.raises(NodeFault):
        read(*logs)


def test_a_log_given_twice_is_refused() -> None:
    with pytest.raises(NodeFault, match="twice"):
        read(log(), log())


def test_two_logs_at_one_place_are_refused() -> None:
    with pytest.raises(NodeFault, match="one index"):
        read(log(), log(transactionHash=word("other")))


def test_two_hashes_for_one_block_are_refused() -> None:
    with pytest.raises(NodeFault, match="two blocks"):
        block_hashes([log(), log(blockHash=word("other"))], first=1, last=10)


def test_logs_of_another_fork_than_the_headers_are_refused() -> None:
    block = {"number": "0x7", "hash": word("block 7"), "parentHash": word("6"), "timestamp": hex(START_TIME)}
    hashes = block_hashes([log()], first=1, last=10)
    check_hashes(hashes, headers=[header(block)])
    check_hashes(hashes, headers=[header(block | {"number": "0x8", "hash": word("8")})])
    with pytest.raises(NodeFault):
        check_hashes(hashes, headers=[header(block | {"hash": word("fork")})])
