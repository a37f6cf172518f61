from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from gateway.chain.accounts import Receipt, Sight, read_receipts
from gateway.chain.quorum import NoQuorum, Quorum
from gateway.chain.rpc import Node
from tests.unit.chain.fake_chain import address, topic, word

HASH, BLOCK, OTHER_BLOCK = word("tx"), word("block 9"), word("another block 9")
SIGHT = Sight(number=9, hash=BLOCK, base_fee=1, final=7, nonce=1, balance=0)
RECEIPT: dict[str, Any] = {
    "transactionHash": HASH,
    "blockNumber": "0x8",
    "blockHash": word("block 8"),
    "status": "0x1",
    "gasUsed": "0x5208",
    "effectiveGasPrice": "0xa",
    "logs": [{"address": address("t"), "topics": [topic(address("a"))], "data": "0x01", "logIndex": "0x3"}],
}


class Teller:
    """A node that gives one receipt, and has block 9 with the hash `block`; None: it doesn't have it."""

    def __init__(self, receipt: object, *, block: str | None = BLOCK) -> None:
        self.receipt = receipt
        self.block = block

    async def ask(self, _method: str, _params: Sequence[object]) -> object:
        return self.receipt

    async def fetch(self, _method: str, _params: Sequence[object], read: Callable[[bytes], Any]) -> tuple[Any, int]:
        block = {"number": "0x9", "hash": self.block, "parentHash": word("block 8"), "timestamp": "0x1"}
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "result": block if self.block else None}).encode()
        return read(body).result, len(body)


async def read(*tellers: Teller, quorum: int = 1) -> Receipt | None:
    nodes = [Node(teller, name=f"n{number}") for number, teller in enumerate(tellers)]  # type: ignore[arg-type]
    (found,) = await read_receipts(Quorum(nodes=nodes, quorum=quorum), hashes=[HASH], sight=SIGHT)
    return found


async def test_a_receipt_is_read_with_all_it_cost() -> None:
    found = await read(Teller(RECEIPT))
    assert found is not None
    assert (found.hash, found.block_number, found.succeeded, found.fee) == (HASH, 8, True, 210_000)
    assert [(log.data, log.index) for log in found.logs] == [(b"\x01", 3)]
    on_op = await read(Teller(RECEIPT | {"l1Fee": "0x7", "status": "0x0"}))
    assert on_op is not None
    assert (on_op.fee, on_op.succeeded) == (210_007, False)


async def test_no_receipt_is_an_answer_only_of_a_node_that_has_the_block() -> None:
    """Else two nodes that lag would outvote one that knows, and a transaction that was mined would count as gone."""
    assert await read(Teller(None)) is None
    for block in (None, OTHER_BLOCK):
        with pytest.raises(NoQuorum):
            await read(Teller(None, block=block))
    lagging = Teller(None, block=None)
    assert await read(lagging, Teller(RECEIPT), lagging, Teller(RECEIPT), quorum=2) is not None


async def test_what_is_mined_after_the_block_that_we_look_at_is_not_there_yet() -> None:
    assert await read(Teller(RECEIPT | {"blockNumber": "0xa"}), Teller(None), quorum=2) is None


@pytest.mark.parametrize(
    "change",
    [
        {"transactionHash": word("another")},
        {"status": "0x2"},
        {"status": None},
        {"gasUsed": "21000"},
        {"effectiveGasPrice": None},
        {"blockHash": "0x"},
        {"l1Fee": "7"},
        {"logs": None},
        {"logs": [{}]},
        {"logs": [{"address": address("t"), "topics": ["0x"], "data": "0x", "logIndex": "0x0"}]},
    ],
)
async def test_a_receipt_that_cannot_be_right_is_no_answer(change: dict[str, object]) -> None:
    with pytest.raises(NoQuorum):
        await read(Teller(RECEIPT | change))


@pytest.mark.parametrize("answer", [5, "0x", [], {}])
async def test_what_is_no_receipt_is_no_answer(answer: object) -> None:
    with pytest.raises(NoQuorum):
        await read(Teller(answer))
