from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from gateway.chain.logs import TRANSFER, Found, Transfer, check_hashes, find_transfers, log_decoder, read_logs
from gateway.chain.wire import NodeFault, header
from tests.unit.chain.fake_chain import SENDER, START_TIME, TOKEN, address, topic, transfer, word
from tests.unit.chain.test_wire import JSON

OURS = address("ours")
OTHER_TOKEN = "0x" + "cc" * 20
PLACE = {"blockNumber": "0x7", "blockHash": word("block 7"), "logIndex": "0x3"}
RANGE = {"fromBlock": "0x1", "toBlock": "0xa"}
TOKENS = frozenset({TOKEN, OTHER_TOKEN})


def log(**changes: Any) -> dict[str, Any]:
    return transfer(to=OURS, tx=word("tx")) | PLACE | changes


def find(*logs: object, ours: Collection[str] = (OURS,), where: dict[str, Any] = RANGE, only: Any = None) -> Found:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "result": logs}).encode()
    read = read_logs(body, decoder=log_decoder(TOKENS)).result
    assert read is not UNSET
    return find_transfers(read, where=where, ours={topic(holder) for holder in ours}, size=len(body), only=only)


def read(*logs: object, **options: Any) -> list[Transfer]:
    return list(find(*logs, **options).transfers)


def test_a_transfer_is_read_whole() -> None:
    (found,) = read(log())
    assert (found.token, found.sender, found.recipient, found.units) == (TOKEN, SENDER, OURS, 5_000_000)
    assert (found.block_number, found.block_hash) == (7, word("block 7"))
    assert (found.tx_hash, found.log_index) == (word("tx"), 3)


def shouted(text: str) -> str:
    return "0x" + text[2:].upper()


@pytest.mark.parametrize("changed", ["address", "data", "transactionHash", "blockHash", 0, 1, 2])
def test_capital_letters_change_nothing(changed: str | int) -> None:
    plain = log(data="0x" + "0" * 62 + "af")
    loud = plain | {"topics": list(plain["topics"])}
    place = loud if isinstance(changed, str) else loud["topics"]
    place[changed] = shouted(place[changed])
    assert loud != plain
    assert find(loud) == find(plain)
    assert find(loud, log(logIndex="0x4")).transfers == find(plain, log(logIndex="0x4")).transfers


def test_capitals_in_some_logs_only_don_t_make_two_blocks_of_one() -> None:
    assert find(log(), log(logIndex="0x4", blockHash=shouted(word("block 7")))).hashes == {7: word("block 7")}


@given(st.integers(1, 2**256 - 1))
def test_every_amount_is_exact(units: int) -> None:
    assert read(log(data=f"0x{units:064x}"))[0].units == units


def test_transfers_to_others_and_of_nothing_are_left_out_but_counted() -> None:
    assert read(log(), ours=()) == []
    assert read(log(data="0x" + "0" * 64)) == []
    found = find(log(), log(topics=[TRANSFER, topic(SENDER), topic(SENDER)], blockNumber="0x8", blockHash=word("8")))
    assert (found.logs, len(found.transfers)) == (2, 1)
    assert found.hashes == {7: word("block 7"), 8: word("8")}
    assert found.size > 600


def test_an_answer_without_logs_is_an_answer() -> None:
    found = find()
    assert (found.transfers, found.hashes, found.times, found.logs) == ((), {}, {}, 0)


def test_an_error_is_left_to_the_caller() -> None:
    answer = read_logs(b'{"id":1,"error":{"code":-32005,"message":"Not So Wide"}}', decoder=log_decoder(TOKENS))
    assert answer.result is UNSET
    assert answer.error == {"code": -32005, "message": "Not So Wide"}


def test_all_contracts_are_never_asked_for() -> None:
    with pytest.raises(ValueError, match="name the tokens"):
        log_decoder(frozenset())


def test_times_are_those_that_the_logs_state() -> None:
    timed = log(blockTimestamp=hex(START_TIME))
    assert find(timed).times == {7: header(BLOCK).time}
    assert find(log()).times == {}
    assert find(timed, log(logIndex="0x4")).times == {7: header(BLOCK).time}
    with pytest.raises(NodeFault, match="two times"):
        find(timed, log(logIndex="0x4", blockTimestamp=hex(START_TIME + 1)))


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
    {"topics": [TRANSFER, topic(SENDER), topic(OURS)[:-1] + "\n"]},
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
    {"transactionHash": word("one") + "\n" + word("other")},
    {"logIndex": None},
    {"logIndex": "0x80000000"},
    {"logIndex": 3},
    {"blockNumber": None},
    {"blockNumber": "0xb"},
    {"blockNumber": "0x0"},
    {"blockNumber": "0xA"},
    {"blockHash": None},
    {"blockHash": ["0x"]},
    {"blockHash": "0x12"},
    {"blockTimestamp": "yesterday"},
    {"blockTimestamp": 1_700_000_000},
]


@pytest.mark.parametrize("changes", MALFORMED, ids=str)
def test_a_malformed_log_of_a_listed_token_is_refused(changes: dict[str, Any]) -> None:
    second = log(transactionHash=word("other"), logIndex="0x4")
    assert len(read(log(), second)) == 2
    with pytest.raises(NodeFault):
        read(log(), second | changes)


STRANGE: list[dict[str, Any]] = [
    {"topics": [TRANSFER, "0x", topic(SENDER)]},
    {"topics": [TRANSFER, topic(OURS), topic(SENDER) + "0"]},
    {"topics": [TRANSFER, topic(OURS), topic(SENDER), word("token id")]},
    {"topics": [TRANSFER, topic(OURS), "0x" + "1" * 64]},
    {"topics": [word("Approval"), topic(OURS), topic(SENDER)]},
    {"address": address("another token")},
    {"data": "0x"},
    {"removed": True},
    {"blockNumber": "0xb", "blockHash": word("block 11")},
    {"blockHash": word("fork")},
]


@pytest.mark.parametrize("changes", STRANGE, ids=str)
def test_a_stranger_s_malformed_log_is_refused_too(changes: dict[str, Any]) -> None:
    stranger = log(topics=[TRANSFER, topic(OURS), topic(SENDER)], logIndex="0x4")
    assert len(read(log(), stranger)) == 1
    with pytest.raises(NodeFault):
        read(log(), stranger | changes)


def test_a_field_that_is_missing_is_refused_and_removed_may_be() -> None:
    for key in set(log()) - {"removed"}:
        with pytest.raises(NodeFault):
            read({name: value for name, value in log().items() if name != key})
    assert read({name: value for name, value in log().items() if name != "removed"})


def test_two_words_that_are_wrong_don_t_make_up_for_each_other() -> None:
    # A digit too many and one too few: on one line they would look like two words.
    long, short = topic(OURS) + "0", topic(SENDER)[1:]
    for pair in ((long, short), (short, long)):
        with pytest.raises(NodeFault):
            read(*(log(topics=[TRANSFER, topic(SENDER), one], logIndex=hex(i)) for i, one in enumerate(pair)))


@given(st.lists(JSON | st.dictionaries(st.sampled_from(list(log())), JSON), min_size=1))
def test_any_other_json_is_a_fault(logs: list[object]) -> None:
    with pytest.raises(NodeFault):
        read(*logs)


def careful(logs: list[dict[str, Any]], ours: Collection[str]) -> list[tuple[object, ...]] | None:
    """Log by log, field by field; None: refused."""
    word_pattern, address_pattern = r"0x[0-9a-f]{64}", r"0x0{24}[0-9a-f]{40}"
    found: list[tuple[object, ...]] = []
    hashes: dict[str, str] = {}
    places: set[object] = set()
    identities: set[object] = set()
    for one in logs:
        topics = [part.lower() for part in one["topics"]]
        if len(topics) != 3 or topics[0] != TRANSFER or one["address"].lower() not in TOKENS or one["removed"]:
            return None
        if len(topics[1]) != 66 or len(one["data"]) != 66 or not re.fullmatch(address_pattern, topics[2]):
            return None
        if hashes.setdefault(one["blockNumber"], one["blockHash"].lower()) != one["blockHash"].lower():
            return None
        if not 1 <= int(one["blockNumber"], 16) <= 10:
            return None
        if topics[2][26:] not in {holder[2:] for holder in ours}:
            continue
        tx_hash, place = one["transactionHash"].lower(), (one["blockNumber"], one["logIndex"])
        valid = re.fullmatch(address_pattern, topics[1]) and re.fullmatch(word_pattern, one["data"].lower())
        if not valid or place in places or (tx_hash, one["logIndex"]) in identities:
            return None
        places.add(place)
        identities.add((tx_hash, one["logIndex"]))
        if units := int(one["data"], 16):
            found.append((int(place[0], 16), int(place[1], 16), one["address"].lower(), topics[2][26:], units, tx_hash))
    return sorted(found, key=lambda one: one[:2])


HOLDERS = [OURS, SENDER, address("another of ours")]
WORDS = st.sampled_from([topic(holder) for holder in HOLDERS])
RARELY = st.sampled_from([False] * 30 + [True])


@st.composite
def some_log(draw: st.DrawFn) -> dict[str, Any]:
    number = draw(st.integers(1, 10))
    one = log(
        address=draw(st.sampled_from(sorted(TOKENS))),
        topics=[TRANSFER, draw(WORDS), draw(WORDS)],
        data=f"0x{draw(st.sampled_from([0, 1, 0xABC, 2**256 - 1])):064x}",
        blockNumber=hex(number),
        blockHash=word(f"block {number}"),
        logIndex=hex(draw(st.integers(0, 50))),
        transactionHash=word(draw(st.integers(0, 50))),
    )
    if draw(RARELY):
        one |= draw(st.sampled_from([change for change in MALFORMED if isinstance(next(iter(change.values())), str)]))
    for key in ("address", "data", "blockHash", "transactionHash"):
        if draw(RARELY):
            one[key] = shouted(one[key])
    one["topics"] = [shouted(part) if draw(RARELY) else part for part in one["topics"]]
    return one


@given(st.lists(some_log(), max_size=12))
def test_reading_many_at_once_says_what_reading_one_by_one_would_say(logs: list[dict[str, Any]]) -> None:
    ours = HOLDERS[::2]
    try:
        expected = careful(logs, ours)
    except ValueError:
        expected = None
    try:
        found = [(t.block_number, t.log_index, t.token, t.recipient[2:], t.units, t.tx_hash) for t in read(*logs, ours=ours)]
    except NodeFault:
        # What one by one can't see: a malformed field that only our own transfers are asked for.
        assert expected is None or any(re.search("[^0-9a-fx]", json.dumps(list(one.values())[-1])) for one in logs)
        return
    assert found == expected


def test_a_log_given_twice_is_refused() -> None:
    with pytest.raises(NodeFault, match="twice"):
        read(log(), log())


def test_two_logs_at_one_place_are_refused() -> None:
    with pytest.raises(NodeFault, match="one index"):
        read(log(), log(transactionHash=word("other")))


def test_two_hashes_for_one_block_are_refused() -> None:
    with pytest.raises(NodeFault, match="two blocks"):
        read(log(), log(logIndex="0x4", blockHash=word("other")))


def test_the_logs_of_a_block_asked_for_by_hash_are_that_block_s() -> None:
    assert len(read(log(), where={"blockHash": word("block 7")})) == 1
    with pytest.raises(NodeFault, match="asked for logs of block"):
        read(log(), where={"blockHash": word("fork")})


def test_transfers_to_others_are_refused_where_only_ours_were_asked_for() -> None:
    assert len(read(log(), only={topic(OURS)})) == 1
    with pytest.raises(NodeFault, match="asked for transfers to"):
        read(log(), log(topics=[TRANSFER, topic(SENDER), topic(SENDER)], logIndex="0x4"), only={topic(OURS)})


BLOCK = {"number": "0x7", "hash": word("block 7"), "parentHash": word("6"), "timestamp": hex(START_TIME)}


def test_logs_of_another_fork_than_the_headers_are_refused() -> None:
    hashes = find(log()).hashes
    check_hashes(hashes, headers=[header(BLOCK)])
    check_hashes(hashes, headers=[header(BLOCK | {"number": "0x8", "hash": word("8")})])
    with pytest.raises(NodeFault):
        check_hashes(hashes, headers=[header(BLOCK | {"hash": word("fork")})])
