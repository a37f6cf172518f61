"""Answers of any shape, made by Hypothesis from right ones: a fault or a right reading, and nothing else ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.chain.provider import GuardedProvider
from gateway.chain.rpc import Node
from gateway.chain.terms import Depth, FinalizedTag
from gateway.chain.wire import Header, NodeFault
from tests.adversary.exchange import Rule
from tests.adversary.proxy import Proxy, serve
from tests.adversary.results import mutated
from tests.adversary.stage import HASH, OURS, stage
from tests.integration.chain.desk import Desk
from tests.unit.chain.fake_chain import CHAIN_ID, TOKEN, FakeChain, transfer

EXAMPLES = 80
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12)
    | st.sampled_from(["0x", "0x0", "0x00", "0xZ", "0x" + "f" * 64, "0x" + "f" * 65, "latest", "\x00", "\ud800"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def chain_with_deposits() -> FakeChain:
    chain = FakeChain(blocks=5)
    chain.mine(transfer(to=OURS), transfer(to=OURS))
    chain.mine(blocks=3)
    return chain


async def _header(node: Node) -> None:
    assert is_header(await node.header(3))


async def _headers(node: Node) -> None:
    found = await node.headers(range(2, 7))
    assert [header.number for header in found] == list(range(2, 7))
    assert all(map(is_header, found))


async def _ends(node: Node) -> None:
    for finality in (FinalizedTag(), Depth(3)):
        head, final = await node.ends(finality)
        assert is_header(head)
        assert final.number <= head.number


async def _chain_id(node: Node) -> None:
    await node.check_chain_id(CHAIN_ID)


async def _code(node: Node) -> None:
    assert isinstance(await node.code(TOKEN), bytes)


async def _call(node: Node) -> None:
    assert isinstance(await node.call(to=TOKEN, selector="0x313ce567"), bytes)


ASKED: dict[str, Callable[[Node], Awaitable[None]]] = {
    "a header": _header,
    "headers": _headers,
    "ends": _ends,
    "the chain id": _chain_id,
    "code": _code,
    "a call": _call,
}


def is_header(header: Header) -> bool:
    return 0 <= header.number < 2**63 and all(HASH.fullmatch(text) for text in (header.hash, header.parent_hash))


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as running:
        yield running


@asynccontextmanager
async def asked(bend: Callable[[str, Any], Any]) -> AsyncIterator[tuple[Proxy, Node]]:
    """A node over HTTP whose results `bend` may change."""
    chain = chain_with_deposits()

    async def bent(method: str, params: list[Any]) -> Any:
        return bend(method, "0x60" if method in ("eth_getCode", "eth_call") else await chain.ask(method, params))

    async with serve(bent) as proxy:
        provider = GuardedProvider(proxy.url, timeout_s=5, pause_s=0.001)
        try:
            yield proxy, Node(provider)
        finally:
            await provider.disconnect()


@pytest.mark.parametrize("question", ASKED)
def test_any_result_is_a_fault_or_is_right(runner: asyncio.Runner, question: str) -> None:
    answers: list[Any] = []
    context = asked(lambda _method, _truth: answers[-1])
    _, node = runner.run(context.__aenter__())

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    @given(JSON)
    def any_result(value: Any) -> None:
        answers.append(value)
        runner.run(_survives(ASKED[question], node))

    any_result()
    runner.run(context.__aexit__(None, None, None))


@pytest.mark.parametrize("question", ASKED)
def test_any_change_of_a_right_result_is_a_fault_or_is_right(runner: asyncio.Runner, question: str) -> None:
    randoms: list[Random] = []
    context = asked(lambda _method, truth: mutated(truth, randoms[-1]))
    _, node = runner.run(context.__aenter__())

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.randoms(use_true_random=False))
    def any_change(random: Random) -> None:
        randoms.append(random)
        runner.run(_survives(ASKED[question], node))

    any_change()
    runner.run(context.__aexit__(None, None, None))


async def _survives(question: Callable[[Node], Awaitable[None]], node: Node) -> None:
    said = ""
    try:
        await question(node)
    except NodeFault as fault:
        said = str(fault)
    assert "127.0.0.1" not in said
    assert said.encode().isascii()


@pytest.mark.parametrize("seed", range(8))
async def test_a_lone_node_that_says_anything_gets_nothing_malformed_in(desk: Desk, seed: int) -> None:
    async with stage(desk, nodes=1, quorum=1) as scene:
        scene.strict = False
        await scene.catch_up()
        scene.liar.rules = [Rule(lie="mutate", arguments={"seed": seed, "chance": 0.5})]
        for _ in range(12):
            scene.pay(OURS, OURS)
            await scene.step()
            await scene.step()
        assert scene.faults


@pytest.mark.parametrize("seed", range(8))
async def test_a_liar_of_three_that_says_anything_changes_nothing(desk: Desk, seed: int) -> None:
    async with stage(desk, liar=seed % 2) as scene:
        await scene.story([Rule(lie="mutate", arguments={"seed": seed})])
        await scene.check_end()
