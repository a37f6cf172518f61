from __future__ import annotations

import pytest

from gateway.chain.check import check_node
from gateway.chain.rpc import Node
from gateway.chain.terms import Depth
from gateway.chain.wire import TooMuchAsked
from tests.unit.chain.fake_chain import TOKEN, FakeChain, terms


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
