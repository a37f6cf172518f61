"""What nodes announce over websockets, true or not, is a reason to look; and the proxy as a program of its own."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from gateway.chain import heads
from gateway.chain.provider import GuardedProvider
from gateway.chain.quorum import connect_all
from gateway.chain.watcher import Watcher
from gateway.chain.watchlist import Watchlist
from gateway.devchain import anvil
from gateway.devchain.anvil import Anvil
from gateway.devchain.chain import DevChain
from gateway.devchain.node import Tools
from gateway.money import Asset
from tests.adversary.exchange import Rule
from tests.adversary.proxy import CONTROL, Proxy, serve
from tests.adversary.upstream import HttpUpstream
from tests.chain_tools import mine, transact
from tests.integration.chain.desk import Desk, catch_up
from tests.integration.chain.test_watching_anvil import transfer
from tests.unit.chain.fake_chain import FakeChain, terms

ROOT = Path(__file__).parents[3]
OURS = "0x" + "a" * 40
WAIT_S = 10
USDC = Asset("USDC@31337", 6)

ANNOUNCED: dict[str, Rule] = {
    "nothing": Rule(lie="wire", method="newHeads", arguments={"wait_s": 3_600}),
    "garbage": Rule(lie="say", method="newHeads", arguments={"value": [[{}]]}),
    "bytes": Rule(lie="body", method="newHeads", arguments={"text": "\x00\x01"}),
    "too much": Rule(lie="body", method="newHeads", arguments={"text": "0" * 2**21}),
    "the end": Rule(lie="wire", method="newHeads", arguments={"end": "close"}),
}


@asynccontextmanager
async def listening(proxy: Proxy) -> AsyncIterator[asyncio.Event]:
    bell = asyncio.Event()
    task = asyncio.create_task(heads.listen([proxy.websocket_url], bell))
    try:
        yield bell
        assert not task.done()
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.mark.parametrize("lie", ANNOUNCED)
async def test_whatever_is_announced_the_next_true_block_rings(lie: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "PAUSE_FIRST_S", 0.05)
    chain = FakeChain(blocks=3)
    async with serve(chain.ask) as proxy, listening(proxy) as bell:
        await asyncio.wait_for(bell.wait(), WAIT_S)
        rule = ANNOUNCED[lie]
        rule.told = rule.seen = 0
        proxy.rules = [rule]
        while not rule.told:
            chain.mine()
            await asyncio.sleep(0.03)
        proxy.honest()
        if lie == "nothing":
            # A connection over which nothing comes can't be told from a quiet chain: the node has to end it.
            await proxy.hang_up()
        for _ in range(100):
            bell.clear()
            chain.mine()
            with suppress(TimeoutError):
                await asyncio.wait_for(bell.wait(), 0.2)
                return
        pytest.fail("the bell stays silent")


async def test_a_node_that_announces_all_the_time_is_looked_at_no_more_than_bearable() -> None:
    chain = FakeChain(blocks=3)
    async with serve(chain.ask) as proxy, listening(proxy) as bell:
        rings = 0
        for _ in range(100):
            chain.mine()
            await asyncio.sleep(0.002)
            rings += bell.is_set()
            bell.clear()
        assert 0 < rings < 50


@pytest.fixture
def other_anvil(anvil_tools: Tools, tmp_path: Path) -> Iterator[Anvil]:
    """Another chain with the same id."""
    running = anvil.start(folder=tmp_path / "other", tools=anvil_tools)
    yield running
    running.stop()


async def test_a_real_node_of_another_history_is_demoted_and_deposits_are_final(
    devchain: DevChain, other_anvil: Anvil, desk: Desk
) -> None:
    await desk.know([USDC], [OURS])
    honest, other = HttpUpstream(devchain.rpc_url), HttpUpstream(other_anvil.url)
    try:
        async with serve(other.ask) as first, serve(honest.ask) as second, serve(honest.ask) as third:
            rpc = tuple(proxy.url for proxy in (first, second, third))
            told = replace(terms(rpc=rpc), quorum=2, tokens={devchain.usdc.lower(): USDC})
            quorum = connect_all(told)
            watcher = Watcher(
                terms=told, quorum=quorum, engine=desk.engine, clock=lambda: desk.now, watched=Watchlist(desk.engine)
            )
            await catch_up(watcher)
            transact(devchain, to=devchain.usdc, data=transfer(OURS))
            mine(devchain, 3)
            await catch_up(watcher)
            await watcher.close()
            demoted = {provider.name for provider in quorum.providers if provider.reason}
            await quorum.close()
    finally:
        await honest.close()
        await other.close()
    assert (await desk.deposit()).status == "final"
    assert demoted == {first.name}


async def test_the_proxy_is_a_program_with_a_control(devchain: DevChain) -> None:
    command = [sys.executable, "-m", "tests.adversary.proxy", "--upstream", devchain.rpc_url]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        url = (await process.stdout.readline()).decode().strip()
        provider = GuardedProvider(url)
        assert await provider.ask("eth_chainId", ()) == "0x7a69"
        async with httpx.AsyncClient(base_url=url) as control:
            rules = [{"lie": "say", "method": "eth_chainId", "arguments": {"value": "0x1"}, "times": 1}]
            assert (await control.put(CONTROL, content=json.dumps(rules))).status_code == 200
            assert await provider.ask("eth_chainId", ()) == "0x1"
            assert await provider.ask("eth_chainId", ()) == "0x7a69"
            shown = (await control.get(CONTROL)).json()
            assert (shown["rules"][0]["told"], shown["calls"]) == (1, ["eth_chainId"] * 3)
            assert (await control.delete(CONTROL)).json()["rules"] == []
            assert (await control.put(CONTROL, content='[{"lie": "no such"}]')).status_code == 400
        await provider.disconnect()
    finally:
        process.terminate()
        await process.wait()
