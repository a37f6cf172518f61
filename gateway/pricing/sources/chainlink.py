"""Chainlink's price feeds, read from a chain: AggregatorV3Interface of @chainlink/contracts.

Every feed has a heartbeat of its own, within which it must be updated (docs.chain.link, "Monitoring data feeds"). On a
rollup the feeds stand still while its sequencer is down, and users are given a grace period after that (docs.chain.link, "L2
sequencer uptime feeds").
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import NamedTuple, Protocol

from gateway.pricing.observations import FUTURE_SLACK, Observation, is_plausible
from gateway.pricing.sources.cross import cut, inverse
from gateway.pricing.sources.port import SourceFault

DECIMALS, LATEST_ROUND_DATA = "0x313ce567", "0xfeaf968c"
"""Selectors of decimals() and latestRoundData()."""
WORD = 32
DECIMALS_MOST = 24
SECONDS_MOST = 10**11
"""Unix seconds of the year 5138."""
HEARTBEAT_SLACK = timedelta(minutes=5)
"""An update is sent when the heartbeat is over, and takes a while to be mined."""
BLOCK_AGE_MOST = timedelta(minutes=10)
"""Nodes whose newest block is older show prices of back then, which the heartbeat alone may not tell."""


class Reader(Protocol):
    """Reads contracts of one chain. Both raise ConnectionError with a sentence, which holds no secret."""

    async def newest(self) -> tuple[int, datetime]:
        """Number and time of the newest block that enough nodes have."""

    async def call(self, to: str, data: str, *, block: int) -> bytes:
        """What a contract returned for `data` (hex with 0x) at a block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """One feed: one whole `base` in `quote`, updated at least once per `heartbeat`."""

    base: str
    quote: str
    address: str
    heartbeat: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainlinkSettings:
    """Which feeds of one chain to read."""

    name: str
    feeds: tuple[Feed, ...]
    sequencer: str | None = None
    """Address of the rollup's sequencer uptime feed; None: the chain has none."""
    grace: timedelta = timedelta(hours=1)
    """For how long nothing is believed after the sequencer came back."""
    timeout: timedelta = timedelta(seconds=20)
    """For all answers together: nodes that keep silent must not hold up the other sources."""
    currencies: tuple[str, ...] = ()
    """What is paid out. Feeds say what one of a currency costs in dollars: such a price is told the other way round, too."""


class Round(NamedTuple):
    """What latestRoundData() returns, without answeredInRound, which is deprecated."""

    round_id: int
    answer: int
    started_at: int
    updated_at: int


class ChainlinkFeeds:
    """The feeds of one chain: `ChainlinkFeeds(settings, reader=reader)`. Not one is believed while the sequencer is down."""

    def __init__(self, settings: ChainlinkSettings, *, reader: Reader) -> None:
        self._settings, self._reader = settings, reader

    @property
    def name(self) -> str:
        """The source's name in the configuration."""
        return self._settings.name

    async def fetch(self, now: datetime) -> Sequence[Observation]:
        """The prices of all feeds that can be used, read at one block. Raises `SourceFault` if none can."""
        seconds = self._settings.timeout.total_seconds()
        try:
            async with asyncio.timeout(seconds):
                return await self._fetch(now)
        except TimeoutError:
            raise SourceFault(self.name, f"the chain's nodes gave no answer within {seconds:g} seconds") from None

    async def _fetch(self, now: datetime) -> Sequence[Observation]:
        try:
            block, mined = await self._reader.newest()
            _check_block(mined, now)
            await self._check_sequencer(block, now)
        except (ConnectionError, ValueError) as error:
            raise SourceFault(self.name, str(error)) from None
        read = await asyncio.gather(*(self._read(feed, block, now) for feed in self._settings.feeds))
        found = [one for one in read if isinstance(one, Observation)]
        if not found:
            raise SourceFault(self.name, "; ".join(str(one) for one in read) or "it has no feeds")
        return [*found, *(_turned(one) for one in found if one.base in self._settings.currencies)]

    async def _read(self, feed: Feed, block: int, now: datetime) -> Observation | str:
        """A feed's price, or a sentence about why there is none: one feed must not spoil the others."""
        try:
            decimals = _word(await self._reader.call(feed.address, DECIMALS, block=block))
            latest = read_round(await self._reader.call(feed.address, LATEST_ROUND_DATA, block=block))
            return observed(latest, decimals=decimals, feed=feed, source=self.name, now=now)
        except (ConnectionError, ValueError) as error:
            return f"{feed.base}/{feed.quote}: {error}"

    async def _check_sequencer(self, block: int, now: datetime) -> None:
        if self._settings.sequencer is None:
            return
        found = read_round(await self._reader.call(self._settings.sequencer, LATEST_ROUND_DATA, block=block))
        if found.answer != 0:
            raise ValueError("the chain's sequencer is down")
        if found.started_at == 0:
            raise ValueError("the sequencer's feed has no valid round")
        if now - _moment(found.started_at) <= self._settings.grace:
            raise ValueError(f"the chain's sequencer has been up since {_moment(found.started_at):%H:%M:%S %Z} only")


def _turned(one: Observation) -> Observation:
    """The same price of the quote in the base."""
    price = cut(one.source, f"{one.quote}/{one.base}", inverse(one.price))
    return replace(one, base=one.quote, quote=one.base, price=price)


def _check_block(mined: datetime, now: datetime) -> None:
    if now - mined > BLOCK_AGE_MOST:
        raise ValueError(f"the chain's newest block is of {mined:%Y-%m-%d %H:%M:%S %Z}")


def read_round(answer: bytes) -> Round:
    """Read the return data of latestRoundData(). Raises ValueError if it isn't five words, or its numbers don't fit."""
    words = [answer[at : at + WORD] for at in range(0, len(answer), WORD)]
    if len(answer) != 5 * WORD:
        raise ValueError(f"latestRoundData() returned {len(answer)} bytes instead of {5 * WORD}")
    round_id, _, started_at, updated_at, _ = (int.from_bytes(word) for word in words)
    return Round(round_id, int.from_bytes(words[1], signed=True), started_at, updated_at)


def observed(latest: Round, *, decimals: int, feed: Feed, source: str, now: datetime) -> Observation:
    """A round as a price, good until the feed's own next update is overdue. Raises ValueError with a sentence."""
    if latest.round_id == 0 or latest.updated_at == 0:
        raise ValueError("the feed has no finished round")
    if latest.answer <= 0:
        raise ValueError(f"its answer is {latest.answer}")
    if decimals > DECIMALS_MOST:
        raise ValueError(f"it has {decimals} decimals")
    updated = _moment(latest.updated_at)
    until = updated + feed.heartbeat + HEARTBEAT_SLACK
    if updated > now + FUTURE_SLACK:
        raise ValueError(f"it was updated at {updated:%Y-%m-%d %H:%M:%S %Z}, in the future")
    if now > until:
        raise ValueError(f"it was updated at {updated:%Y-%m-%d %H:%M:%S %Z}, longer ago than its heartbeat")
    price = Fraction(latest.answer, 10**decimals)
    if not is_plausible(price):
        raise ValueError("its answer is no plausible price")
    return Observation(source=source, base=feed.base, quote=feed.quote, price=price, as_of=updated, good_until=until)


def _word(answer: bytes) -> int:
    if len(answer) != WORD:
        raise ValueError(f"decimals() returned {len(answer)} bytes instead of {WORD}")
    return int.from_bytes(answer)


def _moment(seconds: int) -> datetime:
    if seconds > SECONDS_MOST:
        raise ValueError(f"{seconds} is no time in Unix seconds")
    return datetime.fromtimestamp(seconds, UTC)
