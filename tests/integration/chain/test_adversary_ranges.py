"""Every provider's way to refuse a wide `eth_getLogs`, with limits that change in mid-run: no hole, no double, no storm."""

from __future__ import annotations

import pytest

from tests.adversary.exchange import Rule
from tests.adversary.providers import PROVIDERS
from tests.adversary.stage import OURS, STRANGER, Stage, stage
from tests.integration.chain.desk import Desk

BLOCKS = 400
EVERY = 5
LOGS_PER_DEPOSIT = 3
QUESTIONS_MOST = 150
"""For 400 blocks in ranges of some 12 and more; a hole would be cheaper, a storm dearer."""
LIMITS: dict[str, dict[str, object]] = {
    "37 blocks": {"blocks": 37},
    "12 blocks": {"blocks": 12},
    "blocks that change": {"blocks": [60, 60, 13, 200, 40]},
    "12 logs": {"results": 12},
    "logs that change": {"results": [40, 40, 9, 100]},
    "both": {"blocks": 100, "results": 20},
}


def limited(provider: str, limit: str) -> Rule:
    return Rule(lie="range_limit", method="eth_getLogs", arguments={"provider": provider, **LIMITS[limit]})


async def backlog(scene: Stage) -> None:
    """Deposits among others' transfers, in many blocks that are final when the watcher comes back."""
    for _ in range(BLOCKS // EVERY):
        scene.pay(OURS, *[STRANGER] * (LOGS_PER_DEPOSIT - 1))
        scene.mine(blocks=EVERY - 1)
    await scene.restart()


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("limit", ["37 blocks", pytest.param("logs that change", marks=pytest.mark.slow)])
async def test_each_provider_s_refusal_is_heeded_without_hole_or_double(desk: Desk, provider: str, limit: str) -> None:
    async with stage(desk, nodes=1, quorum=1) as scene:
        await scene.catch_up()
        rule = limited(provider, limit)
        scene.liar.rules = [rule]
        await backlog(scene)
        await scene.catch_up()
        await scene.check_end()
        assert rule.seen <= QUESTIONS_MOST
        assert len(await desk.deposits()) == BLOCKS // EVERY


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize(
    "pair",
    [
        ("Alchemy", "QuickNode"),
        pytest.param(("Infura", "Chainstack"), marks=pytest.mark.slow),
        pytest.param(("a text nobody knows", "dRPC"), marks=pytest.mark.slow),
    ],
)
async def test_providers_with_different_limits_agree_all_the_same(desk: Desk, pair: tuple[str, str], limit: str) -> None:
    async with stage(desk, nodes=2, quorum=2) as scene:
        await scene.catch_up()
        first, second = (limited(provider, limit) for provider in pair)
        second.skip = 3
        scene.proxies[0].rules, scene.proxies[1].rules = [first], [second]
        await backlog(scene)
        await scene.catch_up()
        await scene.check_end()
        assert first.seen + second.seen <= 3 * QUESTIONS_MOST


async def test_a_node_that_refuses_even_one_block_is_demoted_and_the_others_go_on(desk: Desk) -> None:
    async with stage(desk) as scene:
        await scene.catch_up()
        scene.liar.lie("error", "eth_getLogs", code=-32602, message="query exceeds max results 0")
        await backlog(scene)
        await scene.catch_up()
        await scene.check_end()


async def test_a_node_without_logs_is_demoted_and_the_others_go_on(desk: Desk) -> None:
    """The public BNB nodes have `eth_getLogs` turned off."""
    async with stage(desk) as scene:
        await scene.catch_up()
        scene.liar.lie("error", "eth_getLogs", code=-32601, message="the method eth_getLogs does not exist/is not available")
        await backlog(scene)
        await scene.catch_up()
        await scene.check_end()
        assert scene.demoted == {scene.liar.name}


async def test_a_single_block_with_more_logs_than_a_node_answers_for_waits_and_says_so(desk: Desk) -> None:
    async with stage(desk, nodes=1, quorum=1) as scene:
        await scene.catch_up()
        scene.liar.rules = [Rule(lie="range_limit", method="eth_getLogs", arguments={"provider": "Infura", "results": 2})]
        scene.pay(OURS, OURS, OURS)
        scene.mine(blocks=10)
        for _ in range(15):
            await scene.step()
        assert (await desk.cursor()).waiting
        assert await desk.deposits() == []
        scene.liar.honest()
        await scene.catch_up()
        await scene.check_end()


@pytest.mark.parametrize("lie", ["reorder", "omit", "repeat", "single"])
async def test_batches_in_another_order_are_read_right_and_broken_ones_are_asked_again(desk: Desk, lie: str) -> None:
    async with stage(desk) as scene:
        await scene.catch_up()
        for proxy in scene.proxies:
            proxy.batches = Rule(lie=lie)
        for _ in range(30):
            scene.pay(OURS, STRANGER)
        await scene.catch_up()
        await scene.check_end()
        assert any(proxy.batches and proxy.batches.told for proxy in scene.proxies)


async def test_a_node_that_takes_no_batches_is_asked_one_by_one(desk: Desk) -> None:
    async with stage(desk, nodes=1, quorum=1) as scene:
        await scene.catch_up()
        scene.liar.batches = Rule(lie="refuse")
        scene.chain.final_after = 100
        for _ in range(30):
            scene.pay(OURS)
        for _ in range(12):
            await scene.step()
        assert len(await desk.deposits()) == 30
