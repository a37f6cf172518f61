"""Liars where the honest are too few, as few as can be, or just enough; and what is shown of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from time import monotonic

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.chain import providers
from gateway.chain.provider import GuardedProvider
from gateway.chain.resume import Vanished, resume
from gateway.chain.terms import Checkpoint
from gateway.chain.watcher import Did
from gateway.chain.wire import NodeFault
from tests.adversary import tables
from tests.adversary.exchange import Rule
from tests.adversary.stage import OTHER_OURS, OURS, STRANGER, Stage, stage
from tests.adversary.tables import Make
from tests.integration.chain.desk import Desk
from tests.unit.chain.fake_chain import TOKEN, FakeChain, transfer

OTHER_CHAIN = FakeChain(blocks=60)
WHICH = {
    name: make for name, make in tables.about_which_logs(ours=OURS, token=TOKEN).items() if not name.startswith("one log in")
}
CHAIN = tables.about_the_chain(ours=OTHER_OURS, token=TOKEN, first=10, other=OTHER_CHAIN.ask)
LOGS = tables.about_logs()
TELLING: dict[str, Make] = {
    **WHICH,
    **{name: LOGS[f"logs: {name}"] for name in ("one unit more", "another recipient", "the next index", "no data")},
    **{name: LOGS[f"logs: {name}"] for name in ("another transaction", "another block's hash", "the block before")},
    **{name: CHAIN[name] for name in ("another fork", "a forged fork", "a forged fork without logs")},
    **{name: CHAIN[name] for name in ("a node that stands still", "final beyond the head")},
    **{name: tables.about_the_wire()[name] for name in ("another id", "body: HTML", "status 500", "status 429 for a year")},
    "no answer but null": tables.about_shapes()["blocks: null"],
}
"""One of every kind."""
FORGED: dict[str, Make] = {
    **{name: CHAIN[name] for name in ("a forged fork", "a forged fork without logs", "a forged fork and all of it final")},
    **{name: WHICH[name] for name in ("a deposit invented", "all logs omitted", "the first log omitted")},
    **{name: LOGS[f"logs: {name}"] for name in ("one unit more", "another recipient", "another sender")},
    "another fork": CHAIN["another fork"],
}
"""What several can say alike."""
PATIENCE_S = 10


async def busy_steps(scene: Stage, steps: int = 8) -> None:
    """New deposits, and a watcher that tries."""
    scene.pay(OURS, STRANGER)
    scene.pay(STRANGER, OURS)
    for _ in range(steps):
        await scene.step()


@pytest.mark.parametrize("lie", TELLING)
async def test_of_two_that_must_agree_a_liar_makes_the_chain_wait_and_say_so(desk: Desk, lie: str) -> None:
    async with stage(desk, nodes=2, quorum=2, liar=1) as scene:
        await scene.catch_up()
        before = await desk.cursor()
        scene.liar.rules = TELLING[lie]()
        await scene.step()
        await busy_steps(scene)
        waiting = await desk.cursor()
        assert (waiting.number, waiting.hash) == (before.number, before.hash)
        assert await desk.deposits() == []
        if lie != "a node that stands still":
            assert scene.liar.name in waiting.waiting
        scene.liar.honest()
        await scene.catch_up()
        await scene.check_end()
        assert (await desk.cursor()).waiting is None


@pytest.mark.parametrize("lie", tables.some(TELLING, {"another block's hash", "logs twice", "another id"}, one_in=3))
async def test_a_lone_liar_gets_nothing_malformed_in_and_kills_nobody(desk: Desk, lie: str) -> None:
    async with stage(desk, nodes=1, quorum=1) as scene:
        scene.strict = False
        await scene.catch_up()
        scene.liar.rules = TELLING[lie]()
        await busy_steps(scene)
        await busy_steps(scene)
        progress = await scene.step()
        assert progress is not None or scene.faults


@pytest.mark.parametrize("lie", FORGED)
async def test_two_liars_of_five_who_say_the_same_change_nothing(desk: Desk, lie: str) -> None:
    async with stage(desk, nodes=5, quorum=3) as scene:
        other = scene.proxies[1]
        other.rules = FORGED[lie]()
        await scene.story(FORGED[lie]())
        await scene.check_end()
        assert scene.demoted == {scene.liar.name, other.name}


@pytest.mark.parametrize("lie", FORGED)
async def test_two_liars_of_three_do_not_win_where_three_must_agree(desk: Desk, lie: str) -> None:
    async with stage(desk, nodes=3, quorum=3) as scene:
        await scene.catch_up()
        before = await desk.cursor()
        for proxy in scene.proxies[:2]:
            proxy.rules = FORGED[lie]()
        await busy_steps(scene)
        waiting = await desk.cursor()
        assert (waiting.number, waiting.hash) == (before.number, before.hash)
        assert waiting.waiting
        assert await desk.deposits() == []


async def test_two_addresses_of_one_operator_are_one_voice(desk: Desk) -> None:
    async with stage(desk, nodes=3, quorum=2) as scene:
        liar, *honest = scene.proxies
        scene.terms = replace(scene.terms, rpc=(f"{liar.url}a", f"{liar.url}b", *(proxy.url for proxy in honest)))
        await scene.restart()
        await scene.story(WHICH["a deposit invented"]())
        await scene.check_end()
        assert {name.split(" ")[0] for name in scene.demoted} == {liar.name}


async def test_two_addresses_of_one_operator_do_not_outvote_another_operator(desk: Desk) -> None:
    async with stage(desk, nodes=2, quorum=2) as scene:
        liar, honest = scene.proxies
        scene.terms = replace(scene.terms, rpc=(f"{liar.url}a", f"{liar.url}b", honest.url))
        await scene.restart()
        await scene.catch_up()
        liar.rules = WHICH["a deposit invented"]()
        await busy_steps(scene)
        assert await desk.deposits() == []
        assert (await desk.cursor()).waiting


@pytest.mark.parametrize("early", [False, True])
async def test_a_majority_on_another_fork_is_refused_for_the_checkpoint(desk: Desk, *, early: bool) -> None:
    async with stage(desk, nodes=3, quorum=2) as scene:
        scene.terms = replace(scene.terms, checkpoint=Checkpoint(number=5, hash=scene.chain.of(5)["hash"]))
        if not early:
            await scene.restart()
            await scene.catch_up()
        for proxy in scene.proxies[:2]:
            proxy.rules = [Rule(lie="elsewhere", arguments={"to": OTHER_CHAIN.ask})]
        await scene.restart()
        await busy_steps(scene)
        assert await desk.deposits() == []
        assert {proxy.name for proxy in scene.proxies[:2]} <= scene.demoted
        assert any("checkpoint" in fault for fault in scene.faults)
        for proxy in scene.proxies[:2]:
            proxy.honest()
        await scene.restart()
        await scene.catch_up()


async def test_a_liar_that_mends_its_ways_is_trusted_again(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers, "PAUSE_FIRST_S", 0.01)
    async with stage(desk) as scene:
        await scene.catch_up()
        scene.liar.rules = WHICH["all logs omitted"]()
        await busy_steps(scene)
        assert scene.demoted == {scene.liar.name}
        scene.liar.honest()
        deadline = monotonic() + PATIENCE_S
        while scene.liar.name not in {node.name for node in scene.watch.quorum.nodes}:
            assert monotonic() < deadline
            scene.pay(OURS)
            await scene.step()
            await scene.watch.quorum.settle()
            await asyncio.sleep(0.02)
        await scene.catch_up()
        await scene.check_end()


async def test_a_third_node_that_nobody_needs_is_found_out_too(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers, "HEALTH_S", 0.0)
    async with stage(desk, liar=2) as scene:
        scene.liar.rules = WHICH["all logs omitted"]()
        await scene.catch_up()
        await busy_steps(scene)
        await scene.watch.quorum.settle()
        scene.note()
        assert scene.demoted == {scene.liar.name}


@pytest.mark.parametrize("lie", ["connection: half-closed", "connection: a stall", "connection: a drip"])
async def test_a_node_that_keeps_us_waiting_is_not_waited_for(desk: Desk, lie: str) -> None:
    async with stage(desk, patience_s=30) as scene:
        await scene.catch_up()
        scene.liar.rules = tables.about_the_wire(slow=True)[lie]()
        scene.pay(OURS)
        started = monotonic()
        await scene.catch_up()
        assert monotonic() - started < PATIENCE_S
        await scene.check_end()
        assert scene.demoted == {scene.liar.name}


async def test_a_gigabyte_is_not_read(desk: Desk) -> None:
    async with stage(desk) as scene:
        await scene.catch_up()
        rule = scene.liar.lie("wire", "eth_getLogs", flood=2**30)
        scene.pay(OURS)
        await scene.catch_up()
        await scene.check_end()
        assert rule.told
        assert scene.demoted == {scene.liar.name}
        patient = GuardedProvider(scene.liar.url, timeout_s=100)
        with pytest.raises(NodeFault, match=r"more than \d+ bytes"):
            await patient.ask("eth_getLogs", ({"blockHash": "0x0"},))
        await patient.disconnect()


async def test_a_change_below_what_is_final_halts_and_nothing_is_credited_until_a_person_resumes(desk: Desk) -> None:
    async with stage(desk) as scene:
        await scene.catch_up()
        scene.pay(OURS)
        scene.mine(blocks=8)
        await scene.catch_up()
        before = await desk.deposits()
        scene.chain.reorg(9)
        for _ in range(20):
            scene.chain.mine(transfer(to=OURS, units=3))
        dids = {progress.did for _ in range(6) if (progress := await scene.step())}
        assert Did.HALTED in dids
        assert await desk.deposits() == before
        await scene.restart()
        assert (await scene.watch.step()).did is Did.HALTED
        assert await desk.deposits() == before
        await resume_chain(scene)
        scene.mine(blocks=6)
        await scene.catch_up()
        await scene.check_end()


async def resume_chain(scene: Stage) -> None:
    """A person has looked, and lets the chain go on."""

    async def stop(_connection: AsyncConnection, vanished: Sequence[Vanished]) -> None:
        assert not vanished, "nothing was booked"

    await scene.desk.run(
        "INSERT INTO operators (name, password_hash, created_at) VALUES ('ada', 'none', :now) ON CONFLICT DO NOTHING",
        now=scene.desk.now,
    )
    await resume(
        terms=scene.terms,
        quorum=scene.watch.quorum,
        engine=scene.desk.engine,
        clock=lambda: scene.desk.now,
        operator="ada",
        reason="looked at three explorers",
        stop=stop,
    )


@pytest.mark.parametrize("lie", FORGED)
async def test_one_liar_changes_nothing_about_a_resumption(desk: Desk, lie: str) -> None:
    async with stage(desk) as scene:
        await scene.catch_up()
        scene.pay(OURS)
        scene.mine(blocks=8)
        await scene.catch_up()
        scene.chain.reorg(9)
        scene.pay(OTHER_OURS)
        scene.mine(blocks=20)
        for _ in range(6):
            await scene.step()
        scene.liar.rules = FORGED[lie]()
        await resume_chain(scene)
        scene.pay(OURS, STRANGER)
        await scene.catch_up()
        await scene.check_end()


@pytest.mark.parametrize("seed", range(1, 5))
@pytest.mark.parametrize(("nodes", "quorum"), [(1, 1), (2, 2)])
async def test_backends_behind_one_address_of_which_some_lag_hide_no_deposit(
    desk: Desk, nodes: int, quorum: int, seed: int
) -> None:
    """What one backend doesn't have yet it answers with [], and the next question goes to another one."""
    async with stage(desk, nodes=nodes, quorum=quorum) as scene:
        await scene.catch_up()
        for place, proxy in enumerate(scene.proxies):
            proxy.rules = [Rule(lie="balance", arguments={"by": 3, "seed": f"{seed} {place}"})]
        for _ in range(4):
            scene.pay(OURS, STRANGER, OTHER_OURS)
            scene.pay(OURS)
            scene.pay(OTHER_OURS)
            for _ in range(5):
                await scene.step()
        for proxy in scene.proxies:
            proxy.honest()
        await scene.catch_up()
        await scene.check_end()


async def test_one_node_alone_cannot_halt_the_chain(desk: Desk) -> None:
    async with stage(desk) as scene:
        await scene.catch_up()
        scene.pay(OURS)
        scene.mine(blocks=8)
        await scene.catch_up()
        for proxy in scene.proxies[:1]:
            proxy.rules = [Rule(lie="forge_fork", arguments={"first": 5, "to": OURS, "token": TOKEN})]
        scene.mine(blocks=3)
        await scene.catch_up()
        assert (await desk.cursor()).halted is None
        await scene.check_end()
