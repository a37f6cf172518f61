"""Who signed a text."""

from __future__ import annotations

import sys

import pytest
from eth_account import Account
from eth_account.messages import encode_defunct
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.chain.ownership import SIGNATURE_MOST, Contracts, signer_of, text_hash
from gateway.chain.quorum import Quorum
from gateway.chain.rpc import Node
from gateway.chain.wire import NodeFault
from tests.unit.chain.fake_chain import terms

# The example of web3.js's documentation of accounts.sign.
KEY = "0x4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318"
OWNER = "0x2c7536e3605d9c16a7a3d7b1898e529396a65c23"
SIGNED = bytes.fromhex(
    "b91467e570a6466aa9e9876cbcd013baba02900b8979d43fe208a4a4f339f5fd"
    "6007e74cd82e037b800186422fc2da167c747ef045e5d18a5f5d4300f8e1a0291c"
)
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
YES = "0x1626ba7e" + "00" * 28
WALLET = "0x" + "a1" * 20


def test_the_published_example_is_its_keys():
    assert text_hash("Some data").hex() == "1da44b586eb0729ff70a73c326926f6ed5a25f5b056e7f47fbc6e58d86871655"
    assert signer_of("Some data", signature=SIGNED) == OWNER


def test_both_ways_of_writing_v_are_one():
    assert signer_of("Some data", signature=SIGNED[:64] + b"\x01") == OWNER


def test_the_twin_that_anybody_can_make_of_a_signature_is_none():
    s = int.from_bytes(SIGNED[32:64])
    twin = SIGNED[:32] + (ORDER - s).to_bytes(32) + bytes([27 + 28 - SIGNED[64]])
    recovered = Account.recover_message(encode_defunct(text="Some data"), signature=twin)
    assert recovered.lower() == OWNER  # so that only we stand in its way
    assert signer_of("Some data", signature=twin) is None


@pytest.mark.parametrize(
    "signature",
    [b"", SIGNED[:64], SIGNED + b"\x00", SIGNED[:64] + b"\x1d", bytes(65), bytes(64) + b"\x1b", b"\xff" * 64 + b"\x1b"],
)
def test_what_is_no_signature_is_nobodys(signature):
    assert signer_of("Some data", signature=signature) is None


@given(text=st.text(max_size=200), other=st.text(max_size=200))
@settings(max_examples=15, deadline=None)
def test_a_signature_is_for_its_text_alone(text, other):
    signature = bytes(Account.sign_message(encode_defunct(text=text), KEY).signature)
    assert signer_of(text, signature=signature) == OWNER
    if other != text:
        assert signer_of(other, signature=signature) != OWNER


def test_the_library_leaves_the_recursion_limit_as_it_was():
    signer_of("Some data", signature=SIGNED)
    assert sys.getrecursionlimit() <= 1_000


class Says:
    """A node that answers one thing."""

    def __init__(self, answer):
        self.answer, self.asked = answer, []

    async def ask(self, method, params):
        if method == "eth_chainId":
            return hex(31337)
        if method == "eth_getBlockByNumber":
            raise NodeFault("no blocks here")
        self.asked.append((method, params))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def disconnect(self):
        return None


def contracts(*answers, quorum=1):
    said = [Says(answer) for answer in answers]
    nodes = [Node(one, name=f"n{number}") for number, one in enumerate(said)]
    return Contracts([terms()], connect=lambda _: Quorum(nodes=nodes, quorum=quorum)), said


async def ask(made, signature=SIGNED, chain_id=31337):
    return await made.sign("Some data", signature=signature, wallet=WALLET, chain_id=chain_id)


@pytest.mark.parametrize(
    ("answer", "yes"),
    [
        (YES, True),
        ("0x" + "00" * 28 + "1626ba7e", False),
        ("0x1626ba7e", False),
        (YES + "00", False),
        ("0x" + "ff" * 32, False),
        ("0x" + "00" * 31 + "01", False),
        ("0x", False),
        (NodeFault("eth_call: execution reverted: GS026"), False),
    ],
)
async def test_only_the_magic_word_is_yes(answer, yes):
    made, [node] = contracts(answer)
    assert await ask(made) is yes
    [(method, (call, _block))] = node.asked
    assert (method, call["to"]) == ("eth_call", WALLET)
    data = bytes.fromhex(call["data"][2:])
    assert data[:4].hex() == "1626ba7e"
    assert data[4:36] == text_hash("Some data")
    assert SIGNED in data


async def test_a_liar_among_the_nodes_owns_nothing():
    made, _ = contracts(YES, "0x", "0x", quorum=2)
    assert await ask(made) is False
    made, _ = contracts(YES, "0x", quorum=2)
    with pytest.raises(NodeFault):
        await ask(made)


async def test_no_answer_is_no_no():
    made, _ = contracts(NodeFault("eth_call: no answer"))
    with pytest.raises(NodeFault):
        await ask(made)
    with pytest.raises(NodeFault):
        await ask(made, chain_id=1)


async def test_a_signature_of_any_length_is_not_carried_to_the_nodes():
    made, [node] = contracts(YES)
    assert await ask(made, signature=bytes(SIGNATURE_MOST + 1)) is False
    assert node.asked == []
