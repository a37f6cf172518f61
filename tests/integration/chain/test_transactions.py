"""Transactions that we send, on a real node: whatever happens on the way, each is executed once or provably never."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
from eth_account import Account
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.chain import sends
from gateway.chain.accounts import look
from gateway.chain.quorum import NoQuorum
from gateway.chain.submit import STUCK_AFTER_S, NotWhatWasAsked
from gateway.chain.terms import Depth
from gateway.chain.transactions import AnotherBody, TransactionState, queue, results
from gateway.chain.wire import NodeFault
from gateway.db.session import transaction
from gateway.devchain.chain import DevChain
from gateway.devchain.rpc import Rpc
from gateway.devchain.stablecoin import call
from tests.chain_tools import mine, reorg
from tests.databases import Spare
from tests.integration.chain.payer import ETH, Killed, Payer, Way, make_payer, somebody

S = TransactionState
GWEI = 10**9
ROOT = Path(__file__).parents[3]


@pytest.fixture
def database_url(spare_database: Spare) -> Iterator[str]:
    """A database of the test's own: what was sent is not deleted."""
    yield spare_database.take()
    spare_database.give_back()


@pytest.fixture
async def payer(devchain: DevChain, engine: AsyncEngine) -> AsyncIterator[Payer]:
    payer = make_payer(devchain, engine)
    yield payer
    payer.rpc("evm_setAutomine", True)
    await payer.way.disconnect()


@pytest.fixture
def no_mining(payer: Payer) -> None:
    payer.rpc("evm_setAutomine", False)


def lose(method: str, _params: Sequence[object], answer: object) -> object:
    """The node has done it, and nobody hears of it."""
    if method == "eth_sendRawTransaction":
        raise NodeFault("no answer")
    return answer


async def test_a_transaction_is_sent_mined_then_final_and_its_gas_is_booked(payer: Payer) -> None:
    wanted = await payer.queue(value=7)
    before = payer.has(payer.sender)
    assert (await payer.result()).state is S.QUEUED
    assert (await payer.step()).state is S.SENDING
    mined = await payer.step()
    assert mined.state is S.MINED
    assert payer.has(wanted.to) == 7
    assert await payer.books() == {}
    mine(payer.chain, 2)
    done = await payer.step()
    assert (done.state, done.hash, done.reason) == (S.SUCCEEDED, mined.hash, None)
    receipt = payer.rpc("eth_getTransactionReceipt", done.hash)
    assert done.block_number == int(receipt["blockNumber"], 16)
    assert done.fee_units == before - payer.has(payer.sender) - 7
    assert await payer.books() == {f"cost:gas {ETH.code}": -done.fee_units, f"gas:31337 {ETH.code}": done.fee_units}
    assert len(payer.way.sent) == 1


async def test_the_same_reference_is_the_same_transaction_and_another_body_is_refused(payer: Payer) -> None:
    wanted = payer.wanted()
    async with transaction(payer.engine) as connection:
        ids = {await queue(connection, wanted=wanted, now=payer.now) for _ in range(2)}
        assert len(ids) == 1
        for change in ({"value": 2}, {"to": somebody()}, {"data": b"x"}, {"gas_limit": 9}, {"sender": somebody()}):
            with pytest.raises(AnotherBody):
                await queue(connection, wanted=replace(wanted, **change), now=payer.now)
        assert await results(connection, references=["never queued"]) == {}


async def test_what_would_fail_is_not_sent_and_uses_no_nonce(payer: Payer) -> None:
    data = call("transfer(address,uint256)", somebody(), 1)
    await payer.queue(to=payer.chain.usdc, data=data, value=0)
    refused = await payer.step()
    assert refused.state is S.REFUSED
    assert "transfer amount exceeds balance" in (refused.reason or "")
    assert payer.way.sent == []
    await payer.queue("two")
    assert (await payer.finish("two")).state is S.SUCCEEDED
    assert payer.nonce() == 1


async def test_what_reverts_in_its_block_ends_as_reverted_and_costs_its_gas(payer: Payer) -> None:
    head = int(payer.rpc("eth_blockNumber"), 16)
    moody = somebody()
    # Reverts after the block that is the newest now: NUMBER, PUSH4 head, LT, JUMPI to a REVERT, else STOP.
    payer.rpc("anvil_setCode", moody, f"0x4363{head:08x}10600b57005b60006000fd")
    await payer.queue(to=moody, value=0)
    done = await payer.finish()
    assert done.state is S.REVERTED
    assert done.fee_units
    assert done.reason
    assert (await payer.books())[f"gas:31337 {ETH.code}"] == done.fee_units


async def test_a_lost_answer_is_looked_up_by_our_own_hash(payer: Payer) -> None:
    wanted = await payer.queue()
    payer.way.after = lose
    await payer.step()
    payer.way.after = lambda _method, _params, answer: answer
    assert (await payer.finish()).state is S.SUCCEEDED
    assert payer.has(wanted.to) == 1
    assert len(payer.way.sent) == 1


@pytest.mark.parametrize(
    "text", ["already known", "nonce too low", "replacement transaction underpriced", "insufficient funds"]
)
async def test_no_answer_to_a_send_is_believed(payer: Payer, text: str) -> None:
    wanted = await payer.queue()

    def lie(method: str, _params: Sequence[object]) -> None:
        if method == "eth_sendRawTransaction":
            raise NodeFault(f"{method}: the node answers {text}")

    payer.way.before = lie
    assert (await payer.step()).state is S.SENDING
    assert (await payer.step()).state is S.SENDING
    payer.way.before = lambda _method, _params: None
    assert (await payer.finish()).state is S.SUCCEEDED
    assert (payer.has(wanted.to), payer.nonce()) == (1, 1)


@pytest.mark.parametrize("stride", [4, pytest.param(1, marks=pytest.mark.slow)])
async def test_killed_anywhere_it_is_executed_once(payer: Payer, stride: int) -> None:
    """One transaction for each call to the outside at which a process can die, before the call and after it."""
    for done, number in enumerate(range(1, 400, stride), start=1):
        died = False
        reference = f"kill {number}"
        wanted = await payer.queue(reference)
        calls = count(1)

        def die(_method: str, _params: Sequence[object], number: int = number, calls: Iterator[int] = calls) -> None:
            if next(calls) == number:
                raise Killed

        def die_after(method: str, params: Sequence[object], answer: object, die: object = die) -> object:
            die(method, params)
            return answer

        payer.way.before, payer.way.after = die, die_after
        try:
            for _ in range(2):
                payer.later()
                await payer.submitter().step()
        except (Killed, BaseExceptionGroup):
            died = True
        payer.way.before, payer.way.after = lambda _m, _p: None, lambda _m, _p, answer: answer
        assert (await payer.finish(reference)).state is S.SUCCEEDED
        assert (payer.has(wanted.to), payer.nonce()) == (1, done)
        if not died:
            break
    assert number > 40


async def test_a_signed_form_is_kept_before_it_is_sent(payer: Payer) -> None:
    """What a kill between commit and send leaves is sent as it is: not another form, which might be mined besides."""
    await payer.queue()

    def die(method: str, _params: Sequence[object]) -> None:
        if method == "eth_sendRawTransaction":
            raise Killed

    payer.way.before = die
    with pytest.raises(Killed):
        await payer.step()
    ((raw, kept_hash),) = await payer.rows("SELECT raw, hash FROM chain_transaction_sends")
    payer.way.before = lambda _method, _params: None
    done = await payer.finish()
    assert payer.way.sent[-1] == "0x" + bytes(raw).hex()
    assert done.hash == kept_hash
    assert len(await payer.rows("SELECT FROM chain_transaction_sends")) == 1


DIES = """
import asyncio, os, signal, sys
from eth_account import Account
from gateway.chain.rpc import connect
from gateway.chain.signer import KeystoreSigner
from gateway.db.session import make_engine
from tests.integration.chain.payer import Payer, Way

async def main(database, rpc, key):
    def die(method, params):
        if method == "eth_sendRawTransaction":
            os.kill(os.getpid(), signal.SIGKILL)

    way = Way(connect(rpc)._transport, before=die)
    chain = type("Chain", (), {"chain_id": 31337, "rpc_url": rpc, "usdc": "0x" + "00" * 20, "treasury": "0x" + "7e" * 20})
    payer = Payer(chain, make_engine(database), way, signer=KeystoreSigner(Account.from_key(key)))
    payer.later()
    await payer.submitter().step()

asyncio.run(main(*sys.argv[1:]))
"""


async def test_kill_9_between_commit_and_send(payer: Payer, database_url: str) -> None:
    wanted = await payer.queue()
    key = "0x" + bytes(payer.signer._account.key).hex()
    command = [sys.executable, "-c", DIES, database_url, payer.chain.rpc_url, key]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT)
    assert await process.wait() == -signal.SIGKILL
    ((kept_hash,),) = await payer.rows("SELECT hash FROM chain_transaction_sends")
    assert payer.has(wanted.to) == 0
    done = await payer.finish()
    assert (done.state, done.hash) == (S.SUCCEEDED, kept_hash)
    assert (payer.has(wanted.to), payer.nonce()) == (1, 1)


@pytest.mark.usefixtures("no_mining")
async def test_a_stuck_transaction_is_replaced_and_only_one_of_its_forms_is_mined(payer: Payer) -> None:
    wanted = await payer.queue()
    await payer.step()
    raise_base_fee(payer, 40)
    assert (await payer.step()).state is S.SENDING
    assert len(await forms(payer)) == 1, "too early"
    payer.later(STUCK_AFTER_S)
    await payer.step()
    first, second = await forms(payer)
    assert second.fee_per_gas >= max(-(-first.fee_per_gas * 9 // 8), 40 * GWEI)
    assert second.tip_per_gas >= -(-first.tip_per_gas * 9 // 8)
    one, two = (payer.rpc("eth_getTransactionByHash", form.hash) for form in (first, second))
    assert one is None
    assert (two["to"], two["value"], two["input"], two["nonce"]) == (wanted.to, "0x1", "0x", "0x0")
    payer.rpc("evm_setAutomine", True)
    done = await payer.finish()
    assert (done.state, done.hash) == (S.SUCCEEDED, second.hash)
    assert (payer.has(wanted.to), payer.nonce()) == (1, 1)


@pytest.mark.usefixtures("no_mining")
async def test_the_first_form_may_be_mined_after_it_was_replaced(payer: Payer) -> None:
    wanted = await payer.queue()
    await payer.step()
    raise_base_fee(payer, 40)
    payer.later(STUCK_AFTER_S)
    payer.way.before = drop_sends
    await payer.step()
    payer.way.before = lambda _method, _params: None
    first, _ = await forms(payer)
    # The node dropped it, as it didn't fit a block; another one kept it.
    payer.rpc("anvil_setNextBlockBaseFeePerGas", hex(GWEI))
    payer.rpc("eth_sendRawTransaction", "0x" + bytes(first.raw).hex())
    payer.rpc("evm_mine")
    assert payer.has(wanted.to) == 1
    done = await payer.finish()
    assert (done.state, done.hash) == (S.SUCCEEDED, first.hash)


@pytest.mark.usefixtures("no_mining")
async def test_nothing_is_paid_above_the_cap_however_long_it_is_stuck(payer: Payer) -> None:
    payer.most_gwei = 10
    await payer.queue()
    await payer.step()
    raise_base_fee(payer, 40)
    for _ in range(12):
        payer.later(STUCK_AFTER_S)
        stuck = await payer.step()
        payer.rpc("anvil_setNextBlockBaseFeePerGas", hex(40 * GWEI))
        payer.rpc("evm_mine")
    assert max(form.fee_per_gas for form in await forms(payer)) <= 10 * GWEI
    assert "max fee per gas less than block base fee" in (stuck.reason or "")
    await payer.queue("two")
    await payer.step()
    second = await payer.result("two")
    assert second.state is S.QUEUED
    assert "gas costs 4" in (second.reason or "")


@pytest.mark.usefixtures("no_mining")
async def test_fees_stay_while_the_chain_stands_still(payer: Payer) -> None:
    await payer.queue()
    await payer.step()
    for _ in range(3):
        payer.later(STUCK_AFTER_S)
        await payer.step()
    assert len(await forms(payer)) == 1


@pytest.mark.usefixtures("no_mining")
async def test_one_that_waits_behind_another_is_not_replaced(payer: Payer) -> None:
    await payer.queue()
    await payer.queue("two")
    await payer.step()
    raise_base_fee(payer, 40)
    payer.later(STUCK_AFTER_S)
    await payer.step()
    assert len(await forms(payer)) == 2
    assert len(await forms(payer, "two")) == 1
    payer.rpc("evm_setAutomine", True)
    assert {(await payer.finish(one)).state for one in ("one", "two")} == {S.SUCCEEDED}


@pytest.mark.usefixtures("no_mining")
async def test_a_dropped_transaction_is_sent_again(payer: Payer) -> None:
    wanted = await payer.queue()
    await payer.step()
    (form,) = await forms(payer)
    payer.rpc("anvil_dropTransaction", form.hash)
    assert payer.rpc("eth_getTransactionByHash", form.hash) is None
    payer.rpc("evm_setAutomine", True)
    assert (await payer.finish()).hash == form.hash
    assert payer.has(wanted.to) == 1


async def test_a_reorganisation_sends_it_again_and_it_ends_once(payer: Payer) -> None:
    wanted = await payer.queue()
    await payer.step()
    mined = await payer.step()
    assert mined.state is S.MINED
    reorg(payer.chain, 1)
    assert payer.has(wanted.to) == 0
    again = await payer.step()
    assert (again.state, again.hash, again.block_number) == (S.SENDING, None, None)
    done = await payer.finish()
    assert (done.state, done.hash) == (S.SUCCEEDED, mined.hash)
    assert (payer.has(wanted.to), payer.nonce()) == (1, 1)


async def test_a_nonce_that_is_finally_anothers_displaces_ours(payer: Payer) -> None:
    wanted = await payer.queue()
    payer.way.before = drop_sends
    await payer.step()
    elsewhere(payer, nonce=0)
    assert (await payer.step()).state is S.SENDING
    mine(payer.chain, 1)
    assert (await payer.step()).state is S.SENDING, "the rival can still vanish"
    payer.way.before = lambda _method, _params: None
    done = await payer.finish()
    assert (done.state, done.hash, done.fee_units) == (S.DISPLACED, None, None)
    assert payer.has(wanted.to) == 0
    assert await payer.incidents() == ["key_used_elsewhere"]
    assert await payer.books() == {}
    await payer.queue("two")
    assert (await payer.finish("two")).state is S.SUCCEEDED
    assert payer.has(wanted.to) == 0


async def test_a_rival_that_vanishes_again_displaces_nothing(payer: Payer) -> None:
    wanted = await payer.queue()
    payer.way.before = drop_sends
    await payer.step()
    elsewhere(payer, nonce=0)
    await payer.step()
    reorg(payer.chain, 1)
    payer.way.before = lambda _method, _params: None
    assert (await payer.finish()).state is S.SUCCEEDED
    assert payer.has(wanted.to) == 1


async def test_a_rival_seen_in_a_block_that_was_replaced_has_to_be_final_at_its_new_place(payer: Payer) -> None:
    await payer.queue()
    payer.way.before = drop_sends
    await payer.step()
    raw = elsewhere(payer, nonce=0)
    await payer.step()
    ((seen,),) = await payer.rows("SELECT gone_number FROM chain_transactions")
    reorg(payer.chain, 1)
    mine(payer.chain, 3)
    payer.rpc("eth_sendRawTransaction", raw)
    # The block where it was first seen is final by now, but it isn't that block any more.
    assert (await payer.step()).state is S.SENDING
    ((again,),) = await payer.rows("SELECT gone_number FROM chain_transactions")
    assert again > seen
    assert (await payer.finish()).state is S.DISPLACED


async def test_a_key_used_elsewhere_between_ours_is_named_and_we_go_on(payer: Payer) -> None:
    await payer.queue()
    assert (await payer.finish()).state is S.SUCCEEDED
    elsewhere(payer, nonce=1)
    await payer.queue("two")
    assert (await payer.finish("two")).state is S.SUCCEEDED
    assert payer.nonce() == 3
    assert await payer.incidents() == ["key_used_elsewhere"]
    ((detail,),) = await payer.rows("SELECT detail FROM incidents")
    assert detail["nonce"] == "1"


async def test_a_key_with_a_history_begins_at_its_next_nonce(payer: Payer) -> None:
    for nonce in range(3):
        elsewhere(payer, nonce=nonce)
    await payer.queue()
    assert (await payer.finish()).state is S.SUCCEEDED
    assert payer.nonce() == 4
    assert await payer.incidents() == []


@pytest.mark.usefixtures("no_mining")
async def test_a_new_key_that_is_in_use_elsewhere_at_the_moment_waits(payer: Payer) -> None:
    elsewhere(payer, nonce=0)
    await payer.queue()
    waiting = await payer.step()
    assert waiting.state is S.QUEUED
    assert "Another program signs with this key" in (waiting.reason or "")
    assert await payer.incidents() == ["key_used_elsewhere"]
    payer.rpc("evm_mine")
    payer.rpc("evm_setAutomine", True)
    assert (await payer.finish()).state is S.SUCCEEDED


async def test_a_gap_of_nonces_is_filled(payer: Payer) -> None:
    """Somebody else's transaction vanishes, on which ours was numbered: without it ours would wait for ever."""
    await payer.queue()
    await payer.finish()
    raw = elsewhere(payer, nonce=1)
    wanted = await payer.queue("two")
    await payer.step()
    reorg(payer.chain, 2)
    assert payer.nonce() == 1
    done = await payer.finish("two")
    assert done.state is S.SUCCEEDED
    assert payer.has(wanted.to) == 1
    ((state, nonce),) = await payer.rows("SELECT state, nonce FROM chain_transactions WHERE purpose = 'gap'")
    assert (state, nonce) == ("succeeded", 1)
    assert raw not in payer.way.sent


async def test_a_nonce_that_was_anothers_and_is_free_again_is_used(payer: Payer) -> None:
    await payer.queue()
    await payer.finish()
    elsewhere(payer, nonce=1)
    await payer.queue("two", to=payer.chain.usdc, data=b"nonsense")
    await payer.step()
    assert (await payer.result("two")).state is S.REFUSED
    reorg(payer.chain, 1)
    await payer.queue("three")
    assert (await payer.finish("three")).state is S.SUCCEEDED
    assert payer.nonce() == 2


async def test_one_that_the_nodes_cannot_judge_hinders_no_other(payer: Payer) -> None:
    wanted = await payer.queue()
    await payer.queue("two")

    def balk(method: str, params: Sequence[object]) -> None:
        if method == "eth_call" and wanted.to in str(params):
            raise NodeFault("eth_call: the node answers in riddles")

    payer.way.before = balk
    assert (await payer.finish("two")).state is S.SUCCEEDED
    waiting = await payer.result()
    assert waiting.state is S.QUEUED
    assert "riddles" in (waiting.reason or "")
    payer.way.before = lambda _method, _params: None
    assert (await payer.finish()).state is S.SUCCEEDED


async def test_without_gas_it_waits_and_says_where_to_send_it(payer: Payer) -> None:
    payer.rpc("anvil_setBalance", payer.sender, hex(10**9))
    await payer.queue()
    waiting = await payer.step()
    assert waiting.state is S.QUEUED
    assert payer.sender in (waiting.reason or "")
    await payer.step()
    ((kind, detail),) = await payer.rows("SELECT kind, detail FROM incidents")
    assert (kind, detail["address"], detail["coin"]) == ("no_gas", payer.sender, ETH.code)
    payer.rpc("anvil_setBalance", payer.sender, hex(10**18))
    assert (await payer.finish()).state is S.SUCCEEDED


@pytest.mark.usefixtures("no_mining")
async def test_what_is_under_way_is_counted_before_the_next_is_sent(payer: Payer) -> None:
    payer.rpc("anvil_setBalance", payer.sender, hex(10**18 + 10**17))
    await payer.queue(value=10**18)
    await payer.queue("two", value=10**18)
    await payer.step()
    assert (await payer.result("two")).state is S.QUEUED
    assert len(payer.way.sent) == 1


async def test_two_that_send_at_once_use_each_nonce_once(payer: Payer) -> None:
    wanted = [await payer.queue(f"tx {number}") for number in range(12)]
    workers = [payer.submitter() for _ in range(4)]
    for _ in range(12):
        payer.later()
        await asyncio.gather(*(worker.step() for worker in workers))
        await payer.mined()
        mine(payer.chain, 1)
    assert {(await payer.result(f"tx {number}")).state for number in range(12)} == {S.SUCCEEDED}
    assert [payer.has(one.to) for one in wanted] == [1] * 12
    assert payer.nonce() == 12
    assert len(await payer.rows("SELECT FROM chain_transaction_sends")) == 12


@pytest.mark.usefixtures("no_mining")
async def test_two_that_replace_at_once_keep_one_form(payer: Payer) -> None:
    await payer.queue()
    await payer.step()
    raise_base_fee(payer, 40)
    payer.later(STUCK_AFTER_S)
    other = Way(payer.way.inner)
    other.after = lambda method, _params, answer: hex(5 * GWEI) if method == "eth_maxPriorityFeePerGas" else answer
    async with transaction(payer.engine) as connection:
        (row,) = await sends.claim(connection, chain_id=31337, sender=payer.sender.lower(), again=payer.now, now=payer.now)
    sight = await look(payer.quorum, address=payer.sender)
    rivals = payer.submitter(), payer.submitter(quorum=payer.quorum_of(other))
    await asyncio.gather(*(rival._follow(row, sight) for rival in rivals))
    kept = {"0x" + bytes(form.raw).hex() for form in await forms(payer)}
    assert len(kept) == 2
    assert {*payer.way.sent, *other.sent} == kept, "what wasn't kept wasn't sent"


async def test_a_chain_without_base_fee_gets_legacy_transactions(payer: Payer) -> None:
    def legacy(method: str, _params: Sequence[object], answer: object) -> object:
        if method == "eth_getBlockByNumber" and isinstance(answer, dict):
            answer.pop("baseFeePerGas")
        return answer

    payer.way.after = legacy
    wanted = await payer.queue()
    done = await payer.finish()
    assert done.state is S.SUCCEEDED
    assert payer.rpc("eth_getTransactionByHash", done.hash)["type"] == "0x0"
    assert payer.has(wanted.to) == 1


async def test_the_fee_for_l1_is_counted(payer: Payer) -> None:
    """The oracle of OP-stack chains, as a contract that always answers one ether."""
    one_ether = (10**18).to_bytes(32).hex()
    payer.rpc("anvil_setCode", "0x420000000000000000000000000000000000000F", f"0x7f{one_ether}60005260206000f3")
    payer.rpc("anvil_setBalance", payer.sender, hex(9 * 10**17))
    await payer.queue()
    assert (await payer.step()).state is S.QUEUED
    assert await payer.incidents() == ["no_gas"]
    payer.rpc("anvil_setBalance", payer.sender, hex(2 * 10**18))
    assert (await payer.finish()).state is S.SUCCEEDED


async def test_a_receipt_needs_a_quorum(payer: Payer) -> None:
    """One of two nodes invents a receipt, or hides it: nothing is believed, and nothing moves."""
    await payer.queue()
    liar = Way(payer.way.inner)
    quorum = payer.quorum_of(payer.way, liar, quorum=2)
    submitter = payer.submitter(quorum=quorum)
    payer.later()
    await submitter.step()

    def hide(method: str, _params: Sequence[object], answer: object) -> object:
        return None if method == "eth_getTransactionReceipt" else answer

    liar.after = hide
    mine(payer.chain, 3)
    payer.later()
    with pytest.raises(NoQuorum):
        await submitter.step()
    assert (await payer.result()).state is S.SENDING

    def invent(method: str, _params: Sequence[object], answer: object) -> object:
        return answer | {"status": "0x0"} if method == "eth_getTransactionReceipt" and isinstance(answer, dict) else answer

    liar.after = invent
    payer.later()
    with pytest.raises(NoQuorum):
        await submitter.step()
    liar.after = lambda _method, _params, answer: answer
    payer.later()
    await submitter.step()
    assert (await payer.result()).state is S.SUCCEEDED


async def test_a_node_that_calls_all_final_is_not_enough(payer: Payer) -> None:
    await payer.queue()
    liar = Way(payer.way.inner)

    def hasty(method: str, params: Sequence[object], answer: object) -> object:
        if method == "eth_getBlockByNumber" and params[0] == "finalized":
            return payer.rpc("eth_getBlockByNumber", "latest", False)
        return answer

    liar.after = hasty
    submitter = payer.submitter(quorum=payer.quorum_of(liar, payer.way, quorum=2))
    for _ in range(3):
        payer.later()
        await submitter.step()
    assert (await payer.result()).state is S.MINED


async def test_on_a_halted_chain_nothing_is_sent_or_decided(payer: Payer) -> None:
    await payer.rows(
        "INSERT INTO chain_cursors (chain_id, number, hash, finalized_number, finalized_hash, halted, updated_at) "
        "VALUES (31337, 0, '0x', 0, '0x', 'a final block changed', now()) RETURNING number"
    )
    await payer.queue()
    assert (await payer.step()).state is S.QUEUED
    await payer.rows("UPDATE chain_cursors SET halted = NULL RETURNING number")
    assert (await payer.finish()).state is S.SUCCEEDED


async def test_finality_may_be_a_depth(payer: Payer) -> None:
    await payer.queue()
    submitter = payer.submitter(quorum=payer.quorum_of(payer.way, finality=Depth(4)))
    for _ in range(4):
        payer.later()
        await submitter.step()
        state = (await payer.result()).state
        mine(payer.chain, 1)
    assert state is S.MINED
    mine(payer.chain, 1)
    payer.later()
    await submitter.step()
    assert (await payer.result()).state is S.SUCCEEDED


async def test_a_lagging_node_is_no_proof_that_nothing_was_mined(payer: Payer) -> None:
    """It knows neither the block nor the receipt; two of three do, and they are asked about the block that they have."""
    await payer.queue()
    lagging = Way(payer.way.inner)
    submitter = payer.submitter(quorum=payer.quorum_of(payer.way, lagging, Way(payer.way.inner), quorum=2))
    head = payer.rpc("eth_getBlockByNumber", "latest", False)

    def lag(method: str, params: Sequence[object], answer: object) -> object:
        if method == "eth_getBlockByNumber":
            known = params[0] in ("latest", "finalized") or int(str(params[0]), 16) <= int(head["number"], 16)
            return head if params[0] in ("latest", "finalized") else answer if known else None
        return None if method == "eth_getTransactionReceipt" else answer

    lagging.after = lag
    for _ in range(2):
        payer.later()
        await submitter.step()
    mine(payer.chain, 3)
    payer.later()
    await submitter.step()
    assert (await payer.result()).state is S.SUCCEEDED


async def test_a_signer_that_gives_anothers_signature_is_not_believed(payer: Payer) -> None:
    await payer.queue()
    stranger = Account.create()

    async def sign(transaction: object) -> object:
        return await type(payer.signer)(stranger).sign(transaction)

    payer.signer.sign = sign  # type: ignore[method-assign]
    with pytest.raises(NotWhatWasAsked):
        await payer.step()
    assert payer.way.sent == []


def raise_base_fee(payer: Payer, gwei: int) -> None:
    """A block in which our fees aren't enough."""
    payer.rpc("anvil_setNextBlockBaseFeePerGas", hex(gwei * GWEI))
    payer.rpc("evm_mine")


def drop_sends(method: str, _params: Sequence[object]) -> None:
    if method == "eth_sendRawTransaction":
        raise NodeFault("no answer")


def elsewhere(payer: Payer, *, nonce: int) -> str:
    """Another program sends with our key."""
    fields = {
        "chainId": payer.chain.chain_id,
        "nonce": nonce,
        "to": payer.chain.sender,
        "value": 3,
        "gas": 21_000,
        "maxFeePerGas": 100 * GWEI,
        "maxPriorityFeePerGas": 2 * GWEI,
    }
    raw = "0x" + bytes(payer.signer._account.sign_transaction(fields).raw_transaction).hex()
    with Rpc(payer.chain.rpc_url) as rpc:
        rpc("eth_sendRawTransaction", raw)
    return raw


async def forms(payer: Payer, reference: str = "one") -> list[object]:
    return await payer.rows(
        "SELECT s.* FROM chain_transaction_sends s JOIN chain_transactions t ON t.id = s.transaction_id "
        "WHERE t.reference = :reference ORDER BY number",
        reference=reference,
    )
