"""One liar of three nodes while we send: each transaction is executed once, and what it cost is booked once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.chain.quorum import Quorum
from gateway.chain.submit import Submitter
from gateway.chain.transactions import OPEN, Result, TransactionState
from gateway.chain.wire import NodeFault
from gateway.devchain.chain import DevChain
from tests.adversary import tables
from tests.adversary.bytes_and_envelopes import BODIES, ENVELOPES
from tests.adversary.exchange import Rule
from tests.adversary.proxy import Proxy, serve
from tests.adversary.results import NOBODY, RECEIPT_EDITS, SHAPES
from tests.adversary.upstream import HttpUpstream
from tests.chain_tools import mine
from tests.databases import Spare
from tests.integration.chain.payer import ETH, Payer, make_payer
from tests.sim.watching import connected

STEPS_MOST = 40
SEND, RECEIPT, NONCE, BALANCE, CALL = (
    "eth_sendRawTransaction",
    "eth_getTransactionReceipt",
    "eth_getTransactionCount",
    "eth_getBalance",
    "eth_call",
)
FEES = "eth_feeHistory|eth_maxPriorityFeePerGas|eth_gasPrice"
BLOCKS = "eth_getBlockByNumber"
Make = Callable[[], list[Rule]]


def one(lie: str, method: str, **arguments: object) -> Make:
    return lambda: [Rule(lie=lie, method=method, arguments=dict(arguments))]


def _shapes(method: str, *names: str) -> dict[str, Make]:
    return {f"{method.split('|', maxsplit=1)[0]}: {name}": one("say", method, value=SHAPES[name]) for name in names}


LIES: dict[str, Make] = {
    "a transaction accepted and never passed on": one("swallow", "*"),
    "the answer to a send cut off": one("wire", SEND, cut_at=0, end="close"),
    "a send that is not heard at all": one("error", SEND, code=-32000, message="internal error"),
    "already known": one("error", SEND, code=-32000, message="already known"),
    "nonce too low": one("error", SEND, code=-32000, message="nonce too low"),
    "another hash for what was sent": one("say", SEND, value="0x" + "ab" * 32),
    **{f"a receipt, {edit}": one("edit_receipts", RECEIPT, edit=edit) for edit in RECEIPT_EDITS},
    "no receipt ever": one("say", RECEIPT, value=None),
    "a nonce far above": one("add_number", NONCE, by=1_000_000),
    "a nonce below": one("add_number", NONCE, by=-1_000_000),
    "no money": one("say", BALANCE, value="0x0"),
    "all the money": one("say", BALANCE, value=hex(2**200)),
    "every call fails": one("error", CALL, code=3, message="execution reverted: lie"),
    "fees beyond measure": one("say", "eth_maxPriorityFeePerGas|eth_gasPrice", value=hex(10**30)),
    "fees of nothing": one("say", "eth_maxPriorityFeePerGas|eth_gasPrice", value="0x0"),
    "a history of fees full of nonsense": one("say", "eth_feeHistory", value={"reward": [["0x0"], [None], 7]}),
    "a base fee beyond measure": one("spoil_field", BLOCKS, field="baseFeePerGas", value=hex(10**40)),
    "a base fee of nothing": one("spoil_field", BLOCKS, field="baseFeePerGas", value="0x0"),
    "no base fee": one("spoil_field", BLOCKS, field="baseFeePerGas"),
    "a node far behind": one("lag", "*", by=3),
    "a forged fork": one("forge_fork", "*", first=1, to=NOBODY, token=NOBODY),
    "final goes back to the beginning": one("forge_final", "*", at=0),
    "the head is final": one("forge_final", "*", by=1_000_000),
    **_shapes(SEND, "null", "0x", "an object", "a list", "zero"),
    **_shapes(RECEIPT, "0x", "an object", "a list", "true", "zero"),
    **_shapes(NONCE, "null", "0x", "an object", "zero", "a big quantity"),
    **_shapes(BALANCE, "null", "0x", "a fraction", "a big quantity"),
    **_shapes(CALL, "null", "zero", "an object"),
    **_shapes(FEES, "null", "0x", "an object", "a list", "a list of nulls", "true"),
    **{name: one("envelope", "*", fields=ENVELOPES[name]) for name in ("another id", "an error beside the result")},
    **{f"body: {name}": one("body", "*", text=BODIES[name]) for name in ("HTML", "NaN", "a deep nest")},
    "anything anywhere": one("mutate", "*", seed=5),
}
TELLING = {
    "a transaction accepted and never passed on",
    "the answer to a send cut off",
    "another hash for what was sent",
    "a receipt, failed",
    "no receipt ever",
    "a nonce far above",
    "a nonce below",
    "every call fails",
    "fees beyond measure",
    "final goes back to the beginning",
}


@pytest.fixture
def database_url(spare_database: Spare) -> Iterator[str]:
    yield spare_database.take()
    spare_database.give_back()


@dataclass
class Scene:
    payer: Payer
    proxies: list[Proxy]
    quorum: Quorum
    submitter: Submitter
    faults: list[str]

    async def finish(self, reference: str) -> Result:
        """Step and mine until it is decided."""
        for _ in range(STEPS_MOST):
            self.payer.later(30)
            try:
                await self.submitter.step()
            except NodeFault as fault:
                self.faults.append(str(fault))
            result = await self.payer.result(reference)
            if result.state not in OPEN:
                return result
            mine(self.payer.chain, 1)
        raise AssertionError(f"no end after {STEPS_MOST} steps: {result}, {self.faults[-2:]}")


@pytest.fixture
async def scene(devchain: DevChain, engine: AsyncEngine) -> AsyncIterator[Scene]:
    payer = make_payer(devchain, engine)
    async with AsyncExitStack() as stack:
        upstream = HttpUpstream(devchain.rpc_url)
        stack.push_async_callback(upstream.close)
        proxies = [await stack.enter_async_context(serve(upstream.ask)) for _ in range(3)]
        terms = payer.terms(rpc=tuple(proxy.url for proxy in proxies), quorum=2)
        quorum = Quorum(nodes=connected(terms, patience_s=5), quorum=2)
        quorum.expect(chain_id=terms.chain_id, checkpoint=None, finality=terms.finality)
        stack.push_async_callback(quorum.close)
        yield Scene(payer, proxies, quorum, payer.submitter(terms=terms, quorum=quorum), [])
    await payer.way.disconnect()


@pytest.mark.parametrize("lie", tables.some(LIES, TELLING, one_in=20))
async def test_a_liar_of_three_neither_stops_nor_doubles_what_we_send(scene: Scene, lie: str) -> None:
    """Twice: with a key that is new to us, and with one whose nonces we have counted before."""
    payer, liar = scene.payer, scene.proxies[0]
    liar.rules = LIES[lie]()
    before = payer.has(payer.sender)
    fees = 0
    for number, reference in enumerate(("first", "second"), start=1):
        wanted = await payer.queue(reference, value=7)
        done = await scene.finish(reference)
        assert done.state is TransactionState.SUCCEEDED
        assert (payer.has(wanted.to), payer.nonce()) == (7, number)
        assert done.fee_units
        fees += done.fee_units
    assert fees == before - payer.has(payer.sender) - 14
    assert await payer.books() == {f"cost:gas {ETH.code}": -fees, f"gas:31337 {ETH.code}": fees}
    assert await payer.incidents() == []
    assert liar.unprepared == []


async def test_with_the_only_two_nodes_at_odds_nothing_is_decided(scene: Scene) -> None:
    """A receipt that says reverted, where the other says it succeeded: neither is believed."""
    payer = scene.payer
    for proxy in scene.proxies[:2]:
        proxy.rules = one("edit_receipts", RECEIPT, edit="failed")()
    scene.proxies[2].rules = one("wire", "*", status=503)()
    scene.proxies[1].rules = []
    await payer.queue()
    for _ in range(6):
        payer.later(30)
        try:
            await scene.submitter.step()
        except NodeFault as fault:
            scene.faults.append(str(fault))
        mine(payer.chain, 1)
    assert (await payer.result()).state in OPEN
    assert scene.faults
    assert await payer.books() == {}
    for proxy in scene.proxies:
        proxy.honest()
    assert (await scene.finish("one")).state is TransactionState.SUCCEEDED
    assert payer.nonce() == 1
