from __future__ import annotations

import pytest

from gateway.chain.check import LAG_MOST, check_chain, check_node
from gateway.chain.rpc import Node
from gateway.chain.terms import Checkpoint, Depth
from gateway.chain.wire import TooMuchAsked
from tests.unit.chain.fake_chain import TOKEN, FakeChain, terms, word


class Contracts(FakeChain):
    """A chain with one contract and what it answers."""

    code: object = "0x60"
    answer: object = f"0x{6:064x}"

    def _eth_getCode(self, address: str, _block: str) -> object:  # noqa: N802
        assert address == TOKEN
        return self.code

    def _eth_call(self, call: dict[str, str], _block: str) -> object:
        assert call == {"to": TOKEN, "data": "0x313ce567"}
        if self.answer is None:
            raise TooMuchAsked("eth_call: execution reverted")
        return self.answer


async def problems(chain: FakeChain, **changes: object) -> list[str]:
    return await check_node(terms(**changes), Node(chain), name="chains.base")


async def test_what_fits_is_no_problem() -> None:
    assert await problems(Contracts()) == []
    assert await problems(Contracts(), finality=Depth(12)) == []


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (f"0x{18:064x}", "Write decimals = 18 instead of 6"),
        ("0x", "no ERC-20 token"),
        (f"0x{6:0128x}", "no ERC-20 token"),
        (None, "execution reverted"),
        ("six", "Correct address"),
    ],
)
async def test_a_contract_that_says_other_decimals_is_told(answer: object, told: str) -> None:
    chain = Contracts()
    chain.answer = answer
    (problem,) = await problems(chain)
    assert problem.startswith(f"chains.base, token {TOKEN}: ")
    assert told in problem


async def test_an_address_without_a_contract_is_told() -> None:
    chain = Contracts()
    chain.code = "0x"
    (problem,) = await problems(chain)
    assert "there is no contract" in problem


async def test_another_chain_and_a_missing_tag_are_told_once() -> None:
    chain = Contracts()
    chain.chain_id = 1
    (problem,) = await problems(chain)
    assert "id 1, not 31337" in problem
    chain = Contracts()
    chain.final = 99
    (problem,) = await problems(chain)
    assert "finality" in problem


async def test_a_block_that_is_not_the_checkpoint_is_told() -> None:
    chain = Contracts()
    right = Checkpoint(number=0, hash=chain.of(0)["hash"])
    assert await problems(chain, checkpoint=right) == []
    (problem,) = await problems(chain, checkpoint=Checkpoint(number=0, hash=word("elsewhere")))
    assert "block 0 should be 0x" in problem
    assert "Take this node out" in problem
    (problem,) = await problems(chain, checkpoint=Checkpoint(number=9, hash=word("elsewhere")))
    assert "doesn't have block 9" in problem


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> dict[str, FakeChain]:
    """Nodes by URL, for `check_chain` to connect to."""
    made: dict[str, FakeChain] = {}
    monkeypatch.setattr("gateway.chain.check.connect", lambda url: Node(made[url]))
    return made


async def test_each_node_is_asked_alone_and_named_by_its_place(nodes: dict[str, FakeChain]) -> None:
    nodes["x"], nodes["y"] = Contracts(), Contracts()
    assert await check_chain(terms(rpc=("x", "y"))) == []
    nodes["y"].chain_id = 7
    (problem,) = await check_chain(terms(rpc=("x", "y")))
    assert problem.startswith("rpc[1]: the node serves the chain with id 7")


async def test_a_node_far_behind_another_is_told(nodes: dict[str, FakeChain]) -> None:
    nodes["x"], nodes["y"] = Contracts(blocks=LAG_MOST + 2), Contracts(blocks=1)
    (problem,) = await check_chain(terms(rpc=("x", "y")))
    assert problem == f"rpc[1]: its newest block is 0, another node has {LAG_MOST + 1} already. Wait until it has caught up."
    nodes["y"].mine()
    assert await check_chain(terms(rpc=("x", "y"))) == []


async def test_a_websocket_that_does_not_announce_blocks_is_told_without_its_url(nodes: dict[str, FakeChain]) -> None:
    nodes["x"] = Contracts()
    (problem,) = await check_chain(terms(rpc=("x",), heads=("ws://127.0.0.1:1/CANARY",)))
    assert problem.startswith("heads[0]: no subscription to new blocks (ClientConnectorError)")
    assert "CANARY" not in problem
