"""Several nodes are believed only where enough say the same; who doesn't is named, left alone a while, and asked again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.chain import providers, quorum
from gateway.chain.providers import CALM_LEAST, HEALTH_S, PAUSE_MOST_S, Provider
from gateway.chain.quorum import LAG_MOST, Ends, NoQuorum, Quorum
from gateway.chain.reorg import Place
from gateway.chain.rpc import Node
from gateway.chain.scan import BACKENDS_APART, Narrowed, Reach, Vote, final_vote, tail_vote
from gateway.chain.terms import Checkpoint, FinalizedTag
from gateway.chain.wire import Header, Throttled
from tests.unit.chain.fake_chain import CHAIN_ID, FakeChain, address, quorum_of, transfer, word
from tests.unit.chain.test_scan import wanted

OURS, STRANGER = address("ours"), address("stranger")


class Silent(FakeChain):
    """A node that doesn't answer until it is let go."""

    def __init__(self, chain: FakeChain) -> None:
        super().__init__(final_after=chain.final_after)
        self.blocks = chain.blocks
        self.go_on = asyncio.Event()

    async def ask(self, method: str, params: Sequence[object]) -> object:
        await self.go_on.wait()
        return await super().ask(method, params)


@pytest.fixture
def chain() -> FakeChain:
    return FakeChain(blocks=20)


@pytest.fixture
def now_s(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Lets time pass as far as trust goes."""
    passed = [0.0]
    monkeypatch.setattr(quorum, "_now_s", lambda: asyncio.get_running_loop().time() + passed[0])

    def later(seconds: float) -> None:
        passed[0] += seconds

    return later


async def block(asked: Quorum, number: int) -> Header:
    return await asked.decide(lambda provider: provider.node.header(number), what=f"block {number}")


def other_hash(answer: Any) -> Any:
    return answer and answer | {"hash": word("a lie")}


def reasons(asked: Quorum) -> dict[str, str | None]:
    return {provider.name: provider.reason for provider in asked.providers}


def calls(*chains: FakeChain) -> list[int]:
    return [len(chain.calls) for chain in chains]


# Whom to believe


async def test_as_many_are_asked_as_have_to_agree_and_no_more(chain: FakeChain) -> None:
    nodes = [chain.twin() for _ in range(4)]
    asked = quorum_of(*nodes, quorum=2)
    assert (await block(asked, 7)).hash == chain.of(7)["hash"]
    await asked.settle()
    for node in nodes:
        node.calls.clear()
    await block(asked, 8)
    await asked.settle()
    assert calls(*nodes) == [1, 1, 0, 0]
    await asked.close()


async def test_a_liar_is_outvoted_and_named(chain: FakeChain) -> None:
    liar = chain.twin()
    liar.lies["eth_getBlockByNumber"] = other_hash
    asked = quorum_of(liar, chain.twin(), chain.twin(), quorum=2)
    assert (await block(asked, 7)).hash == chain.of(7)["hash"]
    assert reasons(asked) == {"a": "says something else about block 7 than a quorum of the others", "b": None, "c": None}
    assert [node.name for node in asked.nodes] == ["b", "c"]
    assert asked.providers[0].faults == 1


async def test_two_that_differ_are_no_quorum_and_nobody_is_blamed(chain: FakeChain) -> None:
    liar = chain.twin()
    liar.lies["eth_getBlockByNumber"] = other_hash
    asked = quorum_of(chain.twin(), liar, quorum=2)
    with pytest.raises(NoQuorum) as told:
        await block(asked, 7)
    assert "2 of 2 providers must agree about block 7." in str(told.value)
    assert "a: Header(number=7" in str(told.value)
    assert word("a lie")[:20] in str(told.value)
    assert reasons(asked) == {"a": None, "b": None}


async def test_two_against_two_move_nothing(chain: FakeChain) -> None:
    liars = [chain.twin(), chain.twin()]
    for liar in liars:
        liar.lies["eth_getBlockByNumber"] = other_hash
    asked = quorum_of(chain.twin(), liars[0], chain.twin(), liars[1], quorum=3)
    with pytest.raises(NoQuorum):
        await block(asked, 7)


async def test_an_even_vote_is_none_even_if_both_sides_are_enough(chain: FakeChain) -> None:
    ballot: quorum.Ballot[str] = quorum.Ballot()
    for provider, said in zip(quorum_of(*[chain] * 5, quorum=2).providers, "xyxyx", strict=True):
        ballot.said.append((provider, said))
        if len(ballot.said) == 4:
            assert ballot.best() == (0, None)
    assert ballot.best() == (3, "x")


async def test_two_nodes_of_one_operator_are_one_voice(chain: FakeChain) -> None:
    liars = [chain.twin(), chain.twin()]
    for liar in liars:
        liar.lies["eth_getBlockByNumber"] = other_hash
    nodes = [Node(liars[0], name="x"), Node(liars[1], name="x"), Node(chain.twin(), name="y")]
    asked = Quorum(nodes=nodes, quorum=2)
    with pytest.raises(NoQuorum):
        await block(asked, 7)
    assert [provider.name for provider in asked.providers] == ["x", "x (2)", "y"]
    with pytest.raises(ValueError, match="operators"):
        Quorum(nodes=nodes, quorum=3)


async def test_a_node_that_fails_is_replaced_at_once(chain: FakeChain) -> None:
    broken = chain.twin()

    def fail(_method: str) -> None:
        raise Throttled("HTTP status 429")

    broken.before = fail
    asked = quorum_of(broken, chain.twin(), quorum=1)
    assert (await block(asked, 7)).hash == chain.of(7)["hash"]
    assert reasons(asked) == {"a": "HTTP status 429", "b": None}
    broken.calls.clear()
    await block(asked, 8)
    assert broken.calls == []


async def test_a_slow_node_does_not_slow_the_others(chain: FakeChain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quorum, "HEDGE_LEAST_S", 0.02)
    slow = Silent(chain)
    asked = quorum_of(slow, chain.twin(), chain.twin(), quorum=2)
    async with asyncio.timeout(2):
        assert (await block(asked, 7)).hash == chain.of(7)["hash"]
    assert reasons(asked)["a"] == "answers more slowly than the others"
    await asked.close()


async def test_without_others_a_slow_node_is_waited_for(chain: FakeChain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quorum, "HEDGE_LEAST_S", 0.01)
    slow = Silent(chain)
    asked = quorum_of(slow, chain.twin(), quorum=2)
    asyncio.get_running_loop().call_later(0.1, slow.go_on.set)
    assert (await block(asked, 7)).hash == chain.of(7)["hash"]
    assert reasons(asked) == {"a": None, "b": None}


async def test_nothing_is_left_running_when_the_question_is_given_up(chain: FakeChain) -> None:
    slow = Silent(chain)
    asked = quorum_of(slow, chain.twin(), quorum=2)
    pending = asyncio.create_task(block(asked, 7))
    await asyncio.sleep(0.01)
    before = len(asyncio.all_tasks())
    pending.cancel()
    await asyncio.gather(pending, return_exceptions=True)
    assert len(asyncio.all_tasks()) < before - 1


async def test_an_error_of_ours_is_no_fault_of_a_node(chain: FakeChain) -> None:
    async def wrong(_provider: Provider) -> None:
        raise KeyError("ours")

    with pytest.raises(KeyError):
        await quorum_of(chain, quorum=1).decide(wrong, what="nothing")


async def test_a_general_question_demotes_nobody(chain: FakeChain) -> None:
    answers = iter((1, 2, 2))

    async def differ(_node: Node) -> int:
        return next(answers)

    asked = quorum_of(*[chain] * 3, quorum=2)
    assert await asked.agreed(differ) == 2
    assert reasons(asked) == {"a": None, "b": None, "c": None}
    with pytest.raises(NoQuorum):
        await quorum_of(chain, chain, quorum=2).agreed(lambda node: asyncio.sleep(0, node))


async def test_a_refused_range_is_narrowed_and_no_fault(chain: FakeChain) -> None:
    small = chain.twin()
    small.range_most = 4
    asked = quorum_of(small, chain.twin(), quorum=2)

    async def vote(provider: Provider) -> Vote:
        return await final_vote(provider.node, provider.reach, wanted(), first=1, last=12)

    with pytest.raises(Narrowed):
        await asked.decide(vote, what="blocks")
    assert reasons(asked) == {"a": None, "b": None}
    assert asked.width(everybody=False) == 6


async def test_a_node_with_a_short_range_narrows_only_those_who_need_it(chain: FakeChain) -> None:
    asked = quorum_of(*[chain] * 3, quorum=2)
    asked.providers[0].reach.width = 10
    assert asked.width(everybody=False) == Reach().width
    assert asked.width(everybody=True) == 10
    asked.providers[2].reach.width = 20
    assert asked.width(everybody=False) == 20


async def test_wide_questions_go_to_those_who_answer_wide_ones_first(chain: FakeChain) -> None:
    nodes = [chain.twin() for _ in range(3)]
    asked = quorum_of(*nodes, quorum=2)
    await block(asked, 3)
    await asked.settle()
    asked.providers[0].reach.width = 900
    for wide, called in ((False, [1, 1, 0]), (True, [0, 1, 1])):
        for node in nodes:
            node.calls.clear()
        await asked.decide(lambda provider: provider.node.header(7), what="block 7", wide=wide)
        assert calls(*nodes) == called
    await asked.close()


# Which chain


@pytest.mark.parametrize("right", [True, False])
async def test_the_checkpoint_is_looked_at_before_an_answer_counts(chain: FakeChain, *, right: bool) -> None:
    pinned = Checkpoint(number=3, hash=chain.of(3)["hash"] if right else word("another"))
    asked = quorum_of(chain, quorum=1)
    asked.expect(chain_id=CHAIN_ID, checkpoint=pinned, finality=FinalizedTag())
    if right:
        await block(asked, 7)
        assert chain.calls == ["eth_chainId", "eth_getBlockByNumber", "eth_getBlockByNumber"]
        return
    with pytest.raises(NoQuorum, match="the checkpoint is"):
        await block(asked, 7)


async def test_a_node_of_another_chain_id_is_dropped_and_named(chain: FakeChain) -> None:
    other = chain.twin()
    other.chain_id = 5
    asked = quorum_of(other, chain.twin(), quorum=1)
    asked.expect(chain_id=CHAIN_ID, checkpoint=None, finality=FinalizedTag())
    await block(asked, 7)
    assert reasons(asked)["a"] == f"the node serves the chain with id 5, not {CHAIN_ID}"


async def test_chain_id_is_checked_again_after_a_fault_and_after_a_while(
    chain: FakeChain, now_s: Callable[[float], None]
) -> None:
    asked = quorum_of(chain, quorum=1)
    asked.expect(chain_id=CHAIN_ID, checkpoint=None, finality=FinalizedTag())
    await block(asked, 7)
    await block(asked, 8)
    assert chain.calls.count("eth_chainId") == 1
    with pytest.raises(NoQuorum):
        await block(asked, 99)
    await block(asked, 8)
    assert chain.calls.count("eth_chainId") == 2
    now_s(providers.CHECK_AGAIN_S + 1)
    await block(asked, 8)
    assert chain.calls.count("eth_chainId") == 3


async def test_a_fault_in_a_general_question_has_the_chain_checked_again_too(chain: FakeChain) -> None:
    asked = quorum_of(chain, quorum=1)
    asked.expect(chain_id=CHAIN_ID, checkpoint=None, finality=FinalizedTag())
    await asked.agreed(lambda node: node.header(7))
    with pytest.raises(NoQuorum):
        await asked.agreed(lambda node: node.header(99))
    chain.chain_id = 5
    with pytest.raises(NoQuorum, match="id 5"):
        await asked.agreed(lambda node: node.header(7))


# How far


async def test_the_head_is_one_that_a_quorum_has(chain: FakeChain) -> None:
    behind = chain.fork(15)
    asked = quorum_of(chain, behind, quorum=2)
    ends = await asked.ends(beyond=10)
    assert (ends.head, ends.final) == (15, 11)


async def test_others_are_asked_when_one_of_the_first_is_behind(chain: FakeChain) -> None:
    behind, third = chain.fork(18), chain.twin()
    asked = quorum_of(chain, behind, third, quorum=2)
    assert (await asked.ends(beyond=18)).head == 19
    third.calls.clear()
    behind.calls.clear()
    assert (await asked.ends(beyond=18)).head == 19
    assert (behind.calls, third.calls != []) == ([], True)


async def test_who_lags_far_is_demoted_with_the_reason(chain: FakeChain) -> None:
    stuck = chain.fork(19 - LAG_MOST - 1)
    asked = quorum_of(stuck, chain.twin(), quorum=1)
    assert (await asked.ends(beyond=0)).head == stuck.head
    await block(asked, 3)
    await asked.settle()
    asked.providers[1].met(await asked.providers[1].node.header(19), (await asked.providers[1].node.ends(FinalizedTag()))[1])
    assert (await asked.ends(beyond=0)).head == 19
    assert reasons(asked)["a"] == f"lags: its newest block is {stuck.head}, others have 19"


def finals_of(node: FakeChain, *numbers: int) -> None:
    """What it says in turn when it is asked for its final block; the last one for ever."""
    left = list(numbers)
    truth = node._eth_getBlockByNumber

    def block_by_number(which: str, full: bool) -> object:  # noqa: FBT001
        if which != "finalized":
            return truth(which, full)
        return node.of(left.pop(0) if len(left) > 1 else left[0])

    node._eth_getBlockByNumber = block_by_number  # type: ignore[method-assign]


async def test_one_that_calls_less_final_does_not_stop_finality_and_is_named(chain: FakeChain) -> None:
    liar, second, third = chain.twin(), chain.twin(), chain.twin()
    finals_of(liar, 8)
    asked = quorum_of(liar, second, third, quorum=2)
    assert (await asked.ends(beyond=18, final=14)).final == 15
    assert reasons(asked) == {"a": None, "b": None, "c": None}
    chain.mine(blocks=10)
    assert (await asked.ends(beyond=19)).final == 25
    assert reasons(asked)["a"] == "lags: its newest final block is 8, others have 25"
    third.calls.clear()
    liar.calls.clear()
    assert (await asked.ends(beyond=29, final=25)).final == 25
    assert liar.calls == []
    assert third.calls != []


async def test_without_anything_scanned_a_low_final_block_is_outvoted_at_the_second_look(chain: FakeChain) -> None:
    liar = chain.twin()
    finals_of(liar, 8)
    asked = quorum_of(liar, chain.twin(), chain.twin(), quorum=2)
    await asked.ends(beyond=0)
    assert (await asked.ends(beyond=0)).final == 15


async def test_final_blocks_that_all_agree_about_cost_no_further_questions(chain: FakeChain) -> None:
    nodes = [chain.twin() for _ in range(3)]
    asked = quorum_of(*nodes, quorum=2)
    for _ in range(3):
        await asked.ends(beyond=19, final=15)
    assert nodes[2].calls == []


@pytest.mark.parametrize(("finals", "named"), [((15, 14, 15, 14), False), ((15, 9), True), ((15, 14) * 3, True)])
async def test_a_final_block_that_goes_back_far_or_often_is_named(
    chain: FakeChain, finals: tuple[int, ...], *, named: bool
) -> None:
    nodes = [chain.twin() for _ in range(3)]
    finals_of(nodes[0], *finals)
    asked = quorum_of(*nodes, quorum=2)
    for _ in finals:
        await asked.ends(beyond=19, final=14)
    assert (reasons(asked)["a"] or "").startswith("its final block goes back") == named


async def test_a_quiet_while_makes_a_step_back_forgotten(chain: FakeChain) -> None:
    provider = Provider(Node(chain), name="x")
    provider.went_back = provider.fell = 2
    for _ in range(CALM_LEAST):
        provider.agreed(now_s=0)
    assert (provider.went_back, provider.fell) == (0, 0)


@pytest.mark.parametrize(("what", "place"), [("latest", 0), ("finalized", 1)])
async def test_a_claim_that_nobody_reaches_is_named_after_a_while_and_costs_no_more_questions(
    chain: FakeChain, now_s: Callable[[float], None], what: str, place: int
) -> None:
    liar, *honest = nodes = [chain.twin() for _ in range(3)]
    truth = liar._eth_getBlockByNumber

    def claim(which: str, full: bool) -> object:  # noqa: FBT001
        found = truth(which, full)
        assert isinstance(found, dict)
        return found | {"number": hex(19 + 1_000 * (1 - place))} if which == what else found

    liar._eth_getBlockByNumber = claim  # type: ignore[method-assign]
    asked = quorum_of(*nodes, quorum=2)
    assert await asked.ends(beyond=19, final=15) == Ends(head=19, final=15)
    for node in nodes:
        node.calls.clear()
    await asked.ends(beyond=19, final=15)
    assert [bool(node.calls) for node in nodes] == [False, True, True]
    assert reasons(asked)["a"] is None
    now_s(providers.CLAIM_S[place] + 1)
    honest[0].before = _throttle
    assert await asked.ends(beyond=19, final=15) == Ends(head=19, final=15)
    assert (reasons(asked)["a"] or "").startswith("claims since")
    liar._eth_getBlockByNumber = truth  # type: ignore[method-assign]
    asked.providers[0].agreed(now_s=0)
    await asked.ends(beyond=19, final=15)
    assert reasons(asked)["a"] is None


async def test_who_lags_is_named_when_it_is_asked_for_its_health(chain: FakeChain) -> None:
    stuck = chain.fork(10)
    asked = quorum_of(chain.twin(), chain.twin(), stuck, quorum=2)
    await asked.ends(beyond=0)
    await block(asked, 7)
    await asked.settle()
    assert reasons(asked)["c"] == "lags: its newest block is 10, others have 19"
    await asked.close()


async def test_who_is_quicker_than_the_others_is_never_named_for_it(
    chain: FakeChain, now_s: Callable[[float], None]
) -> None:
    ahead = chain.twin()
    ahead.blocks = [*chain.blocks]
    asked = quorum_of(ahead, chain.twin(), chain.twin(), quorum=2)
    for _ in range(5):
        block_made = FakeChain(blocks=len(chain.blocks) + 1).blocks[-1]
        block_made["parentHash"] = chain.blocks[-1]["hash"]
        ahead.blocks = [*chain.blocks, block_made]
        await asked.ends(beyond=0)
        now_s(providers.CLAIM_S[0])
        chain.blocks.append(block_made)
    assert reasons(asked) == {"a": None, "b": None, "c": None}


def test_blocks_near_the_newest_one_are_not_deep() -> None:
    assert Ends(head=1_000, final=990).deep == 1_000 - BACKENDS_APART
    assert Ends(head=1_000, final=500).deep == 500
    assert Ends(head=10, final=5).deep == 0


def _throttle(_method: str) -> None:
    raise Throttled("HTTP status 429")


@pytest.mark.parametrize("lie", ["0x7fffffffffff", "0x0"])
async def test_one_liar_cannot_move_head_or_final_beyond_the_others(chain: FakeChain, lie: str) -> None:
    liar = chain.twin()
    liar.lies["eth_getBlockByNumber"] = lambda found: found | {"number": lie}
    asked = quorum_of(liar, chain.twin(), chain.twin(), quorum=2)
    ends = await asked.ends(beyond=0)
    assert (ends.head, ends.final) == (19, 15)


# Trust and its return


async def test_a_demoted_node_is_asked_again_and_trusted_when_it_agrees(
    chain: FakeChain, now_s: Callable[[float], None]
) -> None:
    liar = chain.twin()
    liar.lies["eth_getBlockByNumber"] = other_hash
    asked = quorum_of(liar, chain.twin(), chain.twin(), quorum=2)
    asked.expect(chain_id=CHAIN_ID, checkpoint=None, finality=FinalizedTag())
    await block(asked, 7)
    await asked.settle()
    liar.calls.clear()
    await block(asked, 8)
    assert liar.calls == []
    now_s(providers.PAUSE_FIRST_S + 0.1)
    await block(asked, 8)
    await asked.settle()
    assert reasons(asked)["a"] is not None
    liar.lies.clear()
    now_s(3 * providers.PAUSE_FIRST_S)
    liar.calls.clear()
    await block(asked, 8)
    await asked.settle()
    assert reasons(asked)["a"] is None
    assert liar.calls[0] == "eth_chainId"


async def test_a_node_that_is_not_needed_is_looked_at_now_and_then(chain: FakeChain, now_s: Callable[[float], None]) -> None:
    spare = chain.twin()
    asked = quorum_of(chain.twin(), spare, quorum=1)
    await block(asked, 7)
    await asked.settle()
    spare.calls.clear()
    await block(asked, 7)
    assert spare.calls == []
    now_s(HEALTH_S + 1)
    spare.lies["eth_getBlockByNumber"] = other_hash
    await block(asked, 7)
    await asked.settle()
    assert reasons(asked)["b"] is not None


async def test_pauses_grow_and_an_honest_while_makes_them_short_again() -> None:
    provider = Provider(Node(FakeChain()), name="x")
    pauses = []
    for _ in range(30):
        provider.demote("lies", now_s=0)
        pauses.append(provider.due_s)
    assert pauses[0] <= 1
    assert all(later > 1.0 for later in pauses[2:])
    assert PAUSE_MOST_S / 2 <= pauses[-1] <= PAUSE_MOST_S
    provider.agreed(now_s=0)
    provider.demote("lies", now_s=0)
    assert provider.due_s >= PAUSE_MOST_S / 2
    for _ in range(CALM_LEAST):
        provider.agreed(now_s=0)
    provider.demote("lies", now_s=0)
    assert provider.due_s <= 1


# However few lie, in whatever way

LIES: dict[str, Callable[[Any, int], Any]] = {
    "another hash": lambda answer, n: answer | {"hash": word(n)} if isinstance(answer, dict) else answer,
    "another parent": lambda answer, n: answer | {"parentHash": word(n)} if isinstance(answer, dict) else answer,
    "another number": lambda answer, n: answer | {"number": hex(n)} if isinstance(answer, dict) else answer,
    "another time": lambda answer, n: answer | {"timestamp": hex(n)} if isinstance(answer, dict) else answer,
    "nothing": lambda _answer, _n: None,
    "no logs": lambda answer, _n: [] if isinstance(answer, list) else answer,
    "one log less": lambda answer, n: answer[: n % (len(answer) + 1)] if isinstance(answer, list) else answer,
    "a forged log": lambda answer, n: (
        [*answer, transfer(to=OURS, units=n) | {"blockNumber": "0x5", "blockHash": word(n), "logIndex": hex(n)}]
        if isinstance(answer, list)
        else answer
    ),
    **{
        f"another {key}": lambda answer, n, key=key, make=make: (  # type: ignore[misc]
            [log | {key: make(n)} for log in answer] if isinstance(answer, list) else answer
        )
        for key, make in {
            "data": lambda n: f"0x{n + 1:064x}",
            "logIndex": hex,
            "transactionHash": word,
            "blockHash": word,
            "blockNumber": hex,
            "address": address,
        }.items()
    },
}


@settings(max_examples=80, deadline=None)
@given(data=st.data(), liars=st.integers(0, 2), spare=st.booleans(), blocks=st.integers(8, 24))
def test_as_many_liars_as_there_may_be_never_change_what_is_believed(
    data: st.DataObject, liars: int, *, spare: bool, blocks: int
) -> None:
    chain = FakeChain(blocks=2)
    for _ in range(blocks):
        chain.mine(*(transfer(to=data.draw(st.sampled_from([OURS, STRANGER]))) for _ in range(data.draw(st.integers(0, 2)))))
    nodes = [chain.twin() for _ in range(2 * liars + 1 + spare)]
    for liar in nodes[:liars]:
        for method in ("eth_getBlockByNumber", "eth_getLogs"):
            lie, n = data.draw(st.sampled_from(sorted(LIES))), data.draw(st.integers(0, 2**40))
            liar.lies[method] = lambda answer, lie=lie, n=n: LIES[lie](answer, n)
    order = data.draw(st.permutations(nodes))
    asyncio.run(_nothing_but_the_truth(chain, order, liars + 1))


async def _nothing_but_the_truth(chain: FakeChain, nodes: Sequence[FakeChain], enough: int) -> None:
    asked, honest = quorum_of(*nodes, quorum=enough), Node(chain)
    asked.expect(chain_id=CHAIN_ID, checkpoint=None, finality=FinalizedTag())
    try:
        for _ in range(4):
            ends = await asked.ends(beyond=chain.head - 1, final=chain.head - chain.final_after - 1)
            assert (ends.head, ends.final) == (chain.head, chain.head - chain.final_after)

            async def below(provider: Provider, last: int = ends.final) -> Vote:
                return await final_vote(provider.node, Reach(), wanted(), first=1, last=last)

            told = await asked.decide(below, what="final blocks")
            assert told == await final_vote(honest, Reach(), wanted(), first=1, last=ends.final)
            at = Place(number=ends.final, hash=told.headers[-1].hash)

            async def above(provider: Provider, at: Place = at, last: int = ends.head) -> Vote:
                head = await asked.newest(provider, least=last)
                return await tail_vote(provider.node, wanted(), at=at, last=last, head=head)

            top = await honest.header(chain.head)
            assert await asked.decide(above, what="tail") == await tail_vote(
                honest, wanted(), at=at, last=ends.head, head=top
            )
    finally:
        await asked.close()
