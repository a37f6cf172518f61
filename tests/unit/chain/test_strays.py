"""Other contracts' transfers to us: read what is one, skip what is none, believe no node alone."""

from __future__ import annotations

import json

import pytest

from gateway.chain.quorum import Quorum
from gateway.chain.rpc import Node
from gateway.chain.strays import ADDRESSES_MOST, foreign_transfers, native_balances, read_foreign, token_balances
from gateway.chain.wire import NodeFault
from tests.unit.chain.fake_chain import SENDER, address, topic, transfer, word

OURS, OTHER, BAD, LISTED = address("ours"), address("other"), address("bad token"), address("listed")
PLACE = {"blockNumber": "0x5", "blockHash": word("block"), "logIndex": "0x1"}


def log(**changes):
    return transfer(to=OURS, token=BAD, **PLACE) | changes


def read(*logs, ours=frozenset({OURS})):
    return read_foreign(logs, ours=ours, first=1, last=9, without={LISTED})


def test_a_transfer_is_read():
    [found] = read(log(data=f"0x{2**256 - 1:064x}", transactionHash=word("t")))
    assert (found.token, found.sender, found.recipient, found.units) == (BAD, SENDER, OURS, 2**256 - 1)
    assert (found.block_number, found.log_index, found.tx_hash) == (5, 1, word("t"))


SIGNATURE = log()["topics"][0]


@pytest.mark.parametrize(
    "changes",
    [
        {"topics": [SIGNATURE, topic(SENDER), topic(OURS), word("an ERC-721's id")]},
        {"topics": [SIGNATURE, topic(SENDER)]},
        {"topics": []},
        {"topics": None},
        {"topics": [word("another event"), topic(SENDER), topic(OURS)]},
        {"topics": [SIGNATURE, word("no address"), topic(OURS)]},
        {"topics": [SIGNATURE, topic(SENDER), "0x" + "01" * 12 + OURS[2:]]},
        {"topics": [SIGNATURE, topic(SENDER), topic(OURS)[:-2]]},
        {"data": "0x"},
        {"data": "0x" + "00" * 32},
        {"data": "0x" + "01" * 64},
        {"data": "what?"},
        {"data": 7},
        {"address": LISTED},
        {"address": None},
        {"removed": True},
        {"logIndex": "0x" + "ff" * 8},
        {"transactionHash": "0x12"},
    ],
)
def test_whatever_another_contract_writes_faults_nobody(changes):
    assert read(log(**changes), log(logIndex="0x2"), "no log", None)[0].log_index == 2
    assert read(log(**changes)) == ()


def test_what_went_to_others_is_not_ours():
    assert read(log(), ours={OTHER}) == ()


@pytest.mark.parametrize("changes", [{"data": f"0x{7:064x}"}, {"transactionHash": word("another")}])
def test_two_logs_in_one_place_are_the_nodes_fault(changes):
    with pytest.raises(NodeFault):
        read(log(), log(**changes))


def test_the_same_log_twice_is_one():
    one = log()
    assert len(read(one, dict(one))) == 1


def test_a_block_that_was_not_asked_for_is_the_nodes_fault():
    with pytest.raises(NodeFault):
        read(log(blockNumber="0xa"))


class Chain:
    """A node whose answers a test sets."""

    def __init__(self, *logs, balance="0x5", head=9, block="b"):
        self.logs, self.balance, self.head, self.block = list(logs), balance, head, block
        self.asked = []

    async def ask(self, method, params):
        self.asked.append((method, params))
        if method == "eth_getLogs":
            return self.logs
        if method == "eth_getBlockByNumber":
            number = int(params[0], 16)
            if number > self.head:
                return None
            return {"number": hex(number), "hash": word(self.block), "parentHash": word("p"), "timestamp": "0x1"}
        return self.balance

    async def fetch(self, method, params, read):
        body = json.dumps({"jsonrpc": "2.0", "id": 0, "result": await self.ask(method, params)}).encode()
        return read(body).result, len(body)

    async def disconnect(self):
        return None


def quorum(*chains, of=1):
    return Quorum(nodes=[Node(chain, name=str(number)) for number, chain in enumerate(chains)], quorum=of)


async def transfers(made, **changes):
    return await foreign_transfers(made, **{"to": [OURS], "first": 1, "last": 9, "without": {LISTED}} | changes)


async def test_every_contract_is_asked_for_and_only_our_addresses():
    chain = Chain(log())
    assert len(await transfers(quorum(chain))) == 1
    [(method, (wanted,)), _] = chain.asked
    assert (method, wanted) == (
        "eth_getLogs",
        {"fromBlock": "0x1", "toBlock": "0x9", "topics": [SIGNATURE, None, [topic(OURS)]]},
    )
    with pytest.raises(ValueError, match="1000"):
        await transfers(quorum(chain), to=[OURS] * (ADDRESSES_MOST + 1))


async def test_one_nodes_word_is_not_enough_where_two_are_wanted():
    honest, forger, silent = Chain(log()), Chain(log(), log(logIndex="0x2")), Chain()
    with pytest.raises(NodeFault):
        await transfers(quorum(honest, forger, of=2))
    with pytest.raises(NodeFault):
        await transfers(quorum(honest, silent, of=2))
    extra = log()
    assert len(await transfers(quorum(Chain(extra), Chain(extra | {"blockTimestamp": "0x1"}), forger, of=2))) == 1


async def test_the_empty_answer_of_a_node_that_is_behind_says_nothing():
    with pytest.raises(NodeFault):
        await transfers(quorum(Chain(head=8)))
    with pytest.raises(NodeFault):
        await transfers(quorum(Chain(), Chain(block="fork"), of=2))


async def test_balances_are_read_at_the_block_and_agreed_on():
    chain, other = Chain(), Chain(balance="0x6")
    assert await native_balances(quorum(chain), of=[OURS, OTHER], block=9) == {OURS: 5, OTHER: 5}
    assert ("eth_getBalance", (OURS, "0x9")) in chain.asked
    with pytest.raises(NodeFault):
        await native_balances(quorum(chain, other, of=2), of=[OURS], block=9)
    with pytest.raises(NodeFault):
        await native_balances(quorum(Chain(balance="lots")), of=[OURS], block=9)
    token = Chain(balance=f"0x{7:064x}")
    assert await token_balances(quorum(token), holder=OURS, tokens=[BAD], block=9) == {BAD: 7}
    assert await token_balances(quorum(Chain(balance="0x")), holder=OURS, tokens=[BAD], block=9) == {BAD: 0}
