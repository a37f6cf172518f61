from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.chain.plan import LOG_BYTES, REQUEST_BYTES, TOPICS_MOST, Traffic, plan

BUSY = Traffic(blocks=1_000, logs=100_000, size=62_800_000)
QUIET = Traffic(blocks=1_000, logs=10, size=6_280)
FEW = [f"topic {number}" for number in range(50)]
MANY = [f"topic {number}" for number in range(10_000)]


def test_few_addresses_in_a_long_busy_stretch_are_asked_for_by_topics() -> None:
    assert plan(topics=FEW, blocks=2_000, traffic=BUSY) == [tuple(FEW)]


def test_the_newest_block_is_asked_for_whole() -> None:
    assert plan(topics=MANY, blocks=1, traffic=BUSY) == [None]
    assert len(plan(topics=MANY, blocks=1_000, traffic=BUSY)) == 10


def test_a_quiet_token_is_asked_for_whole() -> None:
    assert plan(topics=MANY, blocks=2_000, traffic=QUIET) == [None]
    assert plan(topics=FEW, blocks=100, traffic=QUIET) == [None]


def test_a_million_addresses_are_never_asked_for_by_topics() -> None:
    assert plan(topics=range(1_000_000), blocks=1_000, traffic=BUSY) == [None]  # type: ignore[arg-type]


def test_without_addresses_the_range_is_asked_about_all_the_same() -> None:
    assert plan(topics=[], blocks=2_000, traffic=BUSY) == [None]


def test_an_unseen_token_is_taken_for_a_busy_one() -> None:
    assert plan(topics=FEW, blocks=2_000, traffic=Traffic()) == [tuple(FEW)]


@given(st.integers(0, 20_000), st.integers(1, 10_000), st.integers(0, 10**9))
def test_every_topic_is_asked_for_once_and_at_most_a_thousand_at_a_time(number: int, blocks: int, size: int) -> None:
    topics = [str(one) for one in range(number)]
    questions = plan(topics=topics, blocks=blocks, traffic=Traffic(blocks=1_000, logs=1, size=size))
    if questions == [None]:
        return
    sets = [question for question in questions if question is not None]
    assert len(sets) == len(questions)
    assert [topic for part in sets for topic in part] == topics
    assert all(0 < len(part) <= TOPICS_MOST for part in sets)


def test_the_choice_turns_where_the_answer_outweighs_the_further_request() -> None:
    def whole(blocks: int, traffic: Traffic) -> bool:
        return plan(topics=FEW, blocks=blocks, traffic=traffic) == [None]

    # Fifty topics cost one request, as the whole token does, and 69 bytes each.
    assert whole(1, Traffic(blocks=1, logs=5, size=50 * 69))
    assert not whole(1, Traffic(blocks=1, logs=5, size=50 * 69 + 1))
    two = [str(number) for number in range(TOPICS_MOST + 1)]
    least = REQUEST_BYTES + len(two) * 69
    assert plan(topics=two, blocks=1, traffic=Traffic(blocks=1, logs=1, size=least)) == [None]
    assert len(plan(topics=two, blocks=1, traffic=Traffic(blocks=1, logs=1, size=least + 1))) == 2


def test_traffic_follows_what_is_seen_and_forgets() -> None:
    assert Traffic().bytes_for(10) == 10 * 100 * LOG_BYTES
    seen = Traffic().plus(blocks=100, logs=100, size=50_000)
    assert seen.bytes_for(10) == 5_000
    for _ in range(40):
        seen = seen.plus(blocks=10, logs=0, size=0)
    assert seen.bytes_for(10) < 100
    assert seen.blocks < 50
