"""Chainlink's feeds, read from contracts on a real node, through the reader that the gateway uses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest

from gateway.chain.oracle import ConnectingReader
from gateway.chain.terms import ChainTerms, Depth
from gateway.devchain.chain import DevChain
from gateway.devchain.rpc import Rpc
from gateway.devchain.stablecoin import call
from gateway.money import Asset
from gateway.pricing.observations import Observation
from gateway.pricing.sources.chainlink import HEARTBEAT_SLACK, ChainlinkFeeds, ChainlinkSettings, Feed
from gateway.pricing.sources.port import SourceFault
from tests.adversary.bytes_and_envelopes import HTML
from tests.adversary.proxy import Proxy, serve
from tests.adversary.upstream import HttpUpstream
from tests.chain_tools import deploy, transact

DAY, HOUR, SECOND = timedelta(days=1), timedelta(hours=1), timedelta(seconds=1)
PHASE = 2**64
NOBODY = "0x" + "11" * 20
SAY = "say(uint80,int256,uint256,uint256,uint80)"


@dataclass
class Oracle:
    """A feed of USDC in dollars and one of the shilling, and a sequencer's, on a chain; and the chain's time."""

    chain: DevChain
    usdc: str
    kes: str
    sequencer: str
    readers: list[ConnectingReader]

    def report(self, feed: str, answer: int) -> None:
        self._tell(feed, call("report(int256)", answer))

    def say(self, feed: str, answer: int, *, updated: datetime, started: datetime | None = None, number: int = PHASE + 7,
            answered_in: int = PHASE + 7) -> None:  # fmt: skip
        seconds = [0 if at is None else int(at.timestamp()) for at in (started or updated, updated)]
        self._tell(feed, call(SAY, number, answer, *seconds, answered_in))

    def _tell(self, feed: str, data: bytes) -> None:
        assert transact(self.chain, to=feed, data=data)["status"] == "0x1"

    @property
    def now(self) -> datetime:
        """The newest block's time."""
        with Rpc(self.chain.rpc_url) as rpc:
            return datetime.fromtimestamp(int(rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16), UTC)

    def source(self, *urls: str, quorum: int = 1, feeds: tuple[str, str] | None = None, **changes: Any) -> ChainlinkFeeds:
        usdc, kes = feeds or (self.usdc, self.kes)
        settings: dict[str, Any] = {
            "name": "link",
            "feeds": (
                Feed(base="USDC", quote="USD", address=usdc, heartbeat=DAY),
                Feed(base="KES", quote="USD", address=kes, heartbeat=HOUR),
            ),
            "currencies": ("KES",),
        }
        reader = ConnectingReader(terms(self.chain, urls or (self.chain.rpc_url,), quorum=quorum))
        self.readers.append(reader)
        return ChainlinkFeeds(ChainlinkSettings(**settings | changes), reader=reader)

    async def fetch(self, *urls: str, now: datetime | None = None, **changes: Any) -> dict[tuple[str, str], Observation]:
        found = await self.source(*urls, **changes).fetch(now or self.now)
        return {(one.base, one.quote): one for one in found}

    async def fault(self, *urls: str, now: datetime | None = None, **changes: Any) -> str:
        with pytest.raises(SourceFault) as caught:
            await self.fetch(*urls, now=now, **changes)
        return str(caught.value)


def terms(chain: DevChain, urls: tuple[str, ...], *, quorum: int) -> ChainTerms:
    return ChainTerms(
        name="dev",
        chain_id=chain.chain_id,
        rpc=urls,
        quorum=quorum,
        finality=Depth(1),
        start_block=None,
        tokens={},
        poll_s=1,
        native=Asset(f"ETH@{chain.chain_id}", 18),
        treasury=chain.treasury,
    )


@pytest.fixture
async def oracle(devchain: DevChain, test_contracts: Mapping[str, Any]) -> AsyncIterator[Oracle]:
    def feed(decimals: int, description: str) -> str:
        return deploy(devchain, test_contracts["TestFeed"]["bytecode"], ["uint8", "string"], [decimals, description])

    made = Oracle(devchain, feed(8, "USDC / USD"), feed(18, "KES / USD"), feed(0, "L2 Sequencer Uptime Status Feed"), [])
    made.report(made.usdc, 99_990_000)
    made.report(made.kes, 8 * 10**15)
    yield made
    for reader in made.readers:
        await reader.close()


@pytest.fixture
async def nodes(devchain: DevChain) -> AsyncIterator[list[Proxy]]:
    """Three operators' nodes, which pass on what the chain says until they are told to lie."""
    upstream = HttpUpstream(devchain.rpc_url)
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(serve(upstream.ask)) for _ in range(3)]
        await upstream.close()


async def test_prices_are_those_on_the_chain_exactly_by_each_feeds_decimals(oracle):
    found = await oracle.fetch()
    usdc = found["USDC", "USD"]
    assert {pair: one.price for pair, one in found.items()} == {
        ("USDC", "USD"): Fraction("0.9999"),
        ("KES", "USD"): Fraction("0.008"),
        ("USD", "KES"): Fraction(125),
    }
    assert (usdc.source, usdc.good_until) == ("link", usdc.as_of + DAY + HEARTBEAT_SLACK)
    oracle.report(oracle.usdc, 87_700_000)
    assert (await oracle.fetch())["USDC", "USD"].price == Fraction("0.877")


async def test_each_feed_is_stale_by_its_own_heartbeat(oracle):
    now = oracle.now
    oracle.say(oracle.usdc, 10**8, updated=now - 2 * HOUR)
    oracle.say(oracle.kes, 8 * 10**15, updated=now - 2 * HOUR)
    assert list(await oracle.fetch()) == [("USDC", "USD")]
    oracle.say(oracle.usdc, 10**8, updated=now - DAY - HEARTBEAT_SLACK - HOUR)
    fault = await oracle.fault()
    assert fault.count("longer ago than its heartbeat") == 2


async def test_an_answer_that_is_no_price_or_a_round_that_is_none_is_refused_with_its_reason(oracle):
    now = oracle.now
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("its answer is 0", {"answer": 0, "updated": now}),
        ("its answer is -1", {"answer": -1, "updated": now}),
        ("no plausible price", {"answer": 2**255 - 1, "updated": now}),
        ("no finished round", {"answer": 1, "updated": now, "number": 0}),
        ("no finished round", {"answer": 1, "updated": datetime.fromtimestamp(0, UTC), "started": now}),
        ("in the future", {"answer": 1, "updated": now + HOUR}),
    ]
    for sentence, said in wrong:
        oracle.say(oracle.usdc, **said)
        assert ("USDC", "USD") not in await oracle.fetch()
        assert sentence in await oracle.fault(feeds=(oracle.usdc, oracle.usdc))


async def test_the_round_in_which_it_was_answered_is_deprecated_and_changes_nothing(oracle):
    """Its time is what counts: a carried-over answer has an old one."""
    for answered_in in (0, PHASE + 6):
        oracle.say(oracle.usdc, 10**8, updated=oracle.now, answered_in=answered_in)
        assert (await oracle.fetch())["USDC", "USD"].price == 1


async def test_nothing_is_believed_while_the_sequencer_is_down_or_has_just_come_back(oracle):
    now = oracle.now
    watched = {"sequencer": oracle.sequencer}
    assert "no valid round" in await oracle.fault(**watched)
    oracle.say(oracle.sequencer, 1, updated=now, started=now - DAY)
    assert "the chain's sequencer is down" in await oracle.fault(**watched)
    oracle.say(oracle.sequencer, 0, updated=now, started=now - HOUR / 2)
    assert "the chain's sequencer has been up since" in await oracle.fault(now=now, **watched)
    oracle.say(oracle.sequencer, 0, updated=now, started=now - HOUR)
    assert "the chain's sequencer has been up since" in await oracle.fault(now=now, **watched)
    assert len(await oracle.fetch(now=now + SECOND, **watched)) == 3


async def test_without_a_contract_of_its_kind_or_with_an_old_newest_block_there_is_no_price(oracle):
    assert "the chain's newest block is of" in await oracle.fault(now=oracle.now + timedelta(minutes=11))
    fault = await oracle.fault(feeds=(NOBODY, oracle.chain.usdc))
    assert "USDC/USD: decimals() returned 0 bytes instead of 32" in fault
    assert "KES/USD: 1 of 1 providers must agree about an answer" in fault  # the token has decimals, and reverts at the rest
    assert "reverted" in fault
    assert len(await oracle.fetch(feeds=(NOBODY, oracle.kes))) == 2
    assert "returned 0 bytes" in await oracle.fault(sequencer=NOBODY)


GARBAGE: list[tuple[str, str, dict[str, Any]]] = [
    ("providers must agree", "body", {"text": HTML.decode()}),
    ("providers must agree", "body", {"text": ""}),
    ("out of memory", "error", {"code": -32000, "message": "out of memory"}),
    ("HTTP status 429", "error", {"code": -32005, "message": "slow down", "status": 429}),
    ("providers must agree", "say", {"value": None}),
    ("providers must agree", "say", {"value": "0xzz"}),
    ("returned 0 bytes", "say", {"value": "0x"}),
]


async def test_a_node_that_answers_with_garbage_or_not_at_all_is_a_fault_with_a_sentence(oracle, nodes):
    node = nodes[0]
    assert await oracle.fetch(node.url)
    for sentence, lie, arguments in GARBAGE:
        node.rules.clear()
        node.lie(lie, "eth_call", **arguments)
        fault = await oracle.fault(node.url)
        assert fault.startswith("rate source link: ")
        assert sentence in fault
    node.honest()
    node.lie("wire", "eth_call", wait_s=60)
    fault = await oracle.fault(node.url, timeout=timedelta(seconds=0.3))
    assert fault == "rate source link: the chain's nodes gave no answer within 0.3 seconds"


async def test_another_chains_node_is_not_believed_and_nobody_there_is_said_without_the_url(oracle, nodes):
    nodes[0].lie("say", "eth_chainId", value="0x1")
    assert "the node serves the chain with id 1" in await oracle.fault(nodes[0].url)
    fault = await oracle.fault("http://127.0.0.1:9/v2/CANARY")
    assert fault.startswith("rate source link: ")
    assert "CANARY" not in fault


async def test_of_three_nodes_a_liar_changes_no_price_and_of_two_that_must_agree_there_is_none(oracle, nodes):
    truth = {pair: one.price for pair, one in (await oracle.fetch()).items()}
    lie = "0x" + "".join(f"{number:064x}" for number in (PHASE, 2 * 10**8, 1, int(oracle.now.timestamp()), PHASE))
    nodes[0].lie("say", "eth_call", value=lie)
    urls = [node.url for node in nodes]
    assert {pair: one.price for pair, one in (await oracle.fetch(*urls, quorum=2)).items()} == truth
    assert "2 of 2 providers must agree" in await oracle.fault(*urls[:2], quorum=2)


async def test_two_sources_of_one_chain_that_ask_at_once_share_its_connections(oracle):
    """What is left open is an error, as every warning is."""
    source = oracle.source()
    found = await asyncio.gather(source.fetch(oracle.now), source.fetch(oracle.now))
    assert found[0] == found[1]
