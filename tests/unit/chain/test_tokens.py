"""Reading what a contract says of itself, from nodes that may say anything."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import pytest
from eth_abi import encode
from eth_hash.auto import keccak
from hypothesis import given
from hypothesis import strategies as st

from gateway.chain.rpc import Node
from gateway.chain.tokens import BLOCKLISTS, DECIMALS, QUESTIONS, SLOTS, is_contract, read_facts, token_problems
from gateway.chain.wire import NodeFault
from gateway.money import Asset
from tests.unit.chain.fake_chain import TOKEN

OURS = "0x" + "a" * 40
COIN = Asset("COIN@31337", 6)
CODE = keccak(b"some code")
ASKED = len(QUESTIONS) + len(BLOCKLISTS)


class Answering:
    """A transport with an answer for every method."""

    def __init__(self, **answers: object) -> None:
        self.answers = answers
        self.asked: list[tuple[str, Any]] = []

    async def ask(self, method: str, params: Sequence[object]) -> object:
        self.asked.append((method, params))
        answer = self.answers[method]
        if isinstance(answer, Exception):
            raise answer
        return answer


def words(*answers: int | None, code: bytes = CODE) -> str:
    padded = [*answers, *[None] * (ASKED - len(answers))]
    parts = [[one is not None for one in padded], [one or 0 for one in padded], code]
    return "0x" + encode(["bool[]", "uint256[]", "bytes32"], parts).hex()


async def facts(slots: Sequence[str] = (), **answers: object) -> dict[str, str]:
    return await read_facts(Node(Answering(**answers)), address=TOKEN, ours=[OURS], slots=slots)  # type: ignore[arg-type]


def test_the_slots_are_those_of_the_standards() -> None:
    assert SLOTS["implementation"] == 0x360894A13BA1A3210667C828492DB98DCA3E2076CC3735A920A3CA505D382BBC
    assert SLOTS["beacon"] == 0xA3F0AD74E5423AEBFD80D3EF4346578335A9A72AEAEE59FF6CB3582B35133D50
    assert SLOTS["implementation (zos)"] == 0x7050C9E0F4CA769C69BD3A8EF740BC37934F8E2C036E5A723FD8EE048ED3F8C3


async def test_what_is_answered_is_kept_and_what_is_not_is_left_out() -> None:
    found = await facts(eth_call=words(6, 0, None, int(OURS, 16), None, 2**256 - 1, None, 1))
    assert found == {
        "address": TOKEN,
        "code": "0x" + CODE.hex(),
        "decimals": "6",
        "paused": "0",
        "replaced by": OURS,
        "largest fee": str(2**256 - 1),
        "blocklist": "isBlackListed(address)",
        "blocked": OURS,
    }
    assert is_contract(found)


async def test_only_slots_that_hold_something_are_facts() -> None:
    held = f"0x{int(OURS, 16):064x}"
    assert (await facts(list(SLOTS)[:1], eth_call=words(6), eth_getStorageAt=held))["implementation"] == OURS
    assert "implementation" not in await facts(list(SLOTS), eth_call=words(6), eth_getStorageAt="0x" + "0" * 64)


@pytest.mark.parametrize("code", [bytes(32), keccak(b"")])
async def test_no_code_is_no_contract(code: bytes) -> None:
    assert not is_contract(await facts(eth_call=words(code=code)))


@pytest.mark.parametrize(
    "answer",
    [
        None,
        "0x",
        "0x00",
        5,
        "six",
        "0x" + "00" * 928,
        "0x" + "ff" * 928,
        words(6)[:-2],
        "0x" + encode(["bool[]", "uint256[]", "bytes32"], [[True], [6], CODE]).hex(),
    ],
)
async def test_an_answer_of_another_shape_is_the_nodes_fault(answer: object) -> None:
    with pytest.raises(NodeFault):
        await facts(eth_call=answer)


@pytest.mark.parametrize("slot", [None, 7, "0x" + "11" * 33, "0xzz"])
async def test_a_slot_of_another_shape_is_the_nodes_fault(slot: object) -> None:
    with pytest.raises(NodeFault):
        await facts(list(SLOTS), eth_call=words(6), eth_getStorageAt=slot)


@given(st.binary(max_size=1200))
async def test_no_bytes_do_more_than_be_wrong(answer: bytes) -> None:
    with contextlib.suppress(NodeFault):
        await facts(eth_call="0x" + answer.hex())


@pytest.mark.parametrize(
    ("code", "decimals", "told"),
    [
        ("0x60", f"0x{6:064x}", None),
        ("0x60", f"0x{18:064x}", "Write decimals = 18 instead of 6."),
        ("0x60", f"0x{262:064x}", "Write decimals = 262 instead of 6."),
        ("0x60", "0x06", "no ERC-20 token"),
        ("0x60", NodeFault("execution reverted"), "execution reverted"),
        ("0x", f"0x{6:064x}", "there is no contract"),
    ],
)
async def test_a_configured_token_is_compared_with_its_contract(code: object, decimals: object, told: str | None) -> None:
    transport = Answering(eth_getCode=code, eth_call=decimals)
    problems = await token_problems(Node(transport), tokens={TOKEN: COIN})  # type: ignore[arg-type]
    assert [told in problem and problem.startswith(f"token {TOKEN}: ") for problem in problems if told] == [True] * len(
        problems
    )
    assert len(problems) == (told is not None)
    assert all(params[0]["data"] == DECIMALS for method, params in transport.asked if method == "eth_call")


async def test_a_node_that_does_not_answer_is_no_tokens_problem() -> None:
    transport = Answering(eth_getCode=NodeFault("no answer"))
    with pytest.raises(NodeFault, match="no answer"):
        await token_problems(Node(transport), tokens={TOKEN: COIN})  # type: ignore[arg-type]
