from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest

from gateway.pricing.sources.chainlink import (
    BLOCK_AGE_MOST,
    DECIMALS,
    HEARTBEAT_SLACK,
    ChainlinkFeeds,
    ChainlinkSettings,
    Feed,
)
from gateway.pricing.sources.port import SourceFault

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
USDC, KES, SEQUENCER = "0x" + "11" * 20, "0x" + "22" * 20, "0x" + "33" * 20
FEEDS = (
    Feed(base="USDC", quote="USD", address=USDC, heartbeat=DAY),
    Feed(base="USD", quote="KES", address=KES, heartbeat=HOUR),
)


def words(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(32, signed=number < 0) for number in numbers)


def round_of(answer: int, at: datetime = NOW - HOUR / 2, *, number: int = 18446744073709551617) -> bytes:
    return words(number, answer, int(at.timestamp()), int(at.timestamp()), number)


class Chain:
    """A chain's contracts; what isn't there reverts."""

    def __init__(self) -> None:
        self.rounds = {USDC: round_of(99_990_000), KES: round_of(129_25_000_000)}
        self.decimals = words(8)
        self.mined = NOW

    async def newest(self) -> tuple[int, datetime]:
        return 7, self.mined

    async def call(self, to: str, data: str, *, block: int) -> bytes:
        assert block == 7
        if to not in self.rounds:
            raise ConnectionError("execution reverted")
        return self.decimals if data == DECIMALS else self.rounds[to]


def source(chain: Chain, *, sequencer: str | None = None) -> ChainlinkFeeds:
    settings = ChainlinkSettings(name="link", feeds=FEEDS, sequencer=sequencer)
    return ChainlinkFeeds(settings, reader=chain)


async def test_prices_are_exact_and_good_until_the_feeds_own_heartbeat_is_over():
    coin, shilling = await source(Chain()).fetch(NOW)
    assert (coin.base, coin.quote, coin.price) == ("USDC", "USD", Fraction("0.9999"))
    assert (shilling.price, shilling.as_of) == (Fraction("129.25"), NOW - HOUR / 2)
    assert coin.good_until == NOW - HOUR / 2 + DAY + HEARTBEAT_SLACK
    assert shilling.good_until == NOW + HOUR / 2 + HEARTBEAT_SLACK


async def test_a_feed_of_a_currency_in_dollars_is_told_the_other_way_round_too():
    chain = Chain()
    chain.rounds[KES] = round_of(800_000)
    feeds = (Feed(base="KES", quote="USD", address=KES, heartbeat=HOUR), *FEEDS[:1])
    settings = ChainlinkSettings(name="link", feeds=feeds, currencies=("KES", "USD"))
    found = await ChainlinkFeeds(settings, reader=chain).fetch(NOW)
    prices = {(one.base, one.quote): one.price for one in found}
    assert prices == {("KES", "USD"): Fraction(1, 125), ("USDC", "USD"): Fraction("0.9999"), ("USD", "KES"): Fraction(125)}


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (round_of(0), "its answer is 0"),
        (round_of(-1), "its answer is -1"),
        (round_of(10**30), "no plausible price"),
        (round_of(1, number=0), "no finished round"),
        (words(1, 1, 1, 0, 1), "no finished round"),
        (words(1, 1, 1, 2**255, 1), "no time"),
        (round_of(1, NOW + HOUR), "in the future"),
        (round_of(1, NOW - DAY - HEARTBEAT_SLACK - timedelta(seconds=1)), "longer ago than its heartbeat"),
        (b"", "returned 0 bytes"),
        (round_of(1) + b"\0", "returned 161 bytes"),
    ],
)
async def test_a_feed_that_cannot_be_believed_is_refused_and_the_others_still_count(wrong, why):
    chain = Chain()
    chain.rounds[USDC] = wrong
    assert [one.quote for one in await source(chain).fetch(NOW)] == ["KES"]
    del chain.rounds[KES]
    with pytest.raises(SourceFault, match=f"USDC/USD: .*{why}.*USD/KES: execution reverted"):
        await source(chain).fetch(NOW)


async def test_each_feed_is_judged_by_its_own_heartbeat():
    chain = Chain()
    chain.rounds = {USDC: round_of(10**8, NOW - 2 * HOUR), KES: round_of(129 * 10**8, NOW - 2 * HOUR)}
    assert [one.base for one in await source(chain).fetch(NOW)] == ["USDC"]


@pytest.mark.parametrize("decimals", [words(255), b"", words(8) * 2])
async def test_absurd_decimals_are_refused(decimals):
    chain = Chain()
    chain.decimals = decimals
    with pytest.raises(SourceFault, match="decimals"):
        await source(chain).fetch(NOW)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (words(1, 1, int((NOW - DAY).timestamp()), 1, 1), "sequencer is down"),
        (words(1, 0, 0, 1, 1), "no valid round"),
        (words(1, 0, int((NOW - HOUR).timestamp()), 1, 1), "has been up since"),
    ],
)
async def test_nothing_is_believed_while_the_sequencer_is_down_or_has_just_come_back(answer, why):
    chain = Chain()
    chain.rounds[SEQUENCER] = answer
    with pytest.raises(SourceFault, match=why):
        await source(chain, sequencer=SEQUENCER).fetch(NOW)


async def test_after_the_grace_period_feeds_are_believed_again():
    chain = Chain()
    chain.rounds[SEQUENCER] = words(1, 0, int((NOW - HOUR).timestamp()) - 1, 1, 1)
    assert len(await source(chain, sequencer=SEQUENCER).fetch(NOW)) == 2


async def test_a_sequencer_feed_that_does_not_answer_is_no_proof_that_it_is_up():
    with pytest.raises(SourceFault, match="reverted"):
        await source(Chain(), sequencer=SEQUENCER).fetch(NOW)


async def test_nodes_that_stand_still_are_not_believed():
    chain = Chain()
    chain.mined = NOW - BLOCK_AGE_MOST - timedelta(seconds=1)
    with pytest.raises(SourceFault, match="newest block"):
        await source(chain).fetch(NOW)
