from __future__ import annotations

import pytest

from gateway.chain.rpc import Final, Node
from gateway.chain.scan import RANGE_MOST, TAIL_MOST, Narrowed, Scanner
from gateway.chain.wire import Header, NodeFault, TooMuchAsked, header
from tests.unit.chain.fake_chain import TOKEN, FakeChain, address, transfer

OURS = address("ours")


def scanner(chain: FakeChain) -> Scanner:
    return Scanner(node=Node(chain), tokens={TOKEN})


def top(chain: FakeChain) -> Header:
    return header(chain.of(chain.head))


async def test_final_blocks_are_crossed_in_one_question_and_one_header() -> None:
    chain = FakeChain(blocks=50)
    chain.mine(transfer(to=OURS), blocks=50)
    stretch = await scanner(chain).final(first=1, final=Final(number=90, header=None))
    assert [found.number for found in stretch.headers] == [90]
    assert len(stretch.logs) == 1
    assert chain.calls == ["eth_getLogs", "eth_getBlockByNumber"]


async def test_a_range_is_never_longer_than_our_limit() -> None:
    chain = FakeChain(blocks=RANGE_MOST + 500)
    stretch = await scanner(chain).final(first=1, final=Final(number=RANGE_MOST + 400, header=None))
    assert stretch.headers[-1].number == RANGE_MOST


async def test_a_refused_range_is_halved_until_the_node_answers_and_grows_again() -> None:
    chain = FakeChain(blocks=1_000)
    chain.range_most = 100
    scan, widths, first = scanner(chain), [], 1
    final = Final(number=900, header=None)
    while first <= 900:
        try:
            stretch = await scan.final(first=first, final=final)
        except Narrowed:
            continue
        widths.append(stretch.headers[-1].number - first + 1)
        first += widths[-1]
    assert sum(widths) == 900
    assert max(widths) <= 100
    assert max(widths) > min(widths[:-1])
    assert chain.calls.count("eth_getLogs") < 40


async def test_a_node_that_refuses_a_single_block_is_a_fault() -> None:
    chain = FakeChain(blocks=1_000)
    chain.range_most = 0
    scan = scanner(chain)
    for _ in range(20):
        try:
            await scan.final(first=1, final=Final(number=900, header=None))
        except Narrowed:
            continue
        except TooMuchAsked:
            break
    else:
        pytest.fail("never gave up")
    assert chain.calls.count("eth_getLogs") <= 12


async def test_the_tail_is_read_header_by_header_up_to_our_limit() -> None:
    chain = FakeChain(blocks=200)
    headers = await scanner(chain).tail(first=10, head=top(chain))
    assert [found.number for found in headers] == list(range(10, 10 + TAIL_MOST))
    assert len(chain.calls) == TAIL_MOST


async def test_the_newest_block_is_not_asked_for_again() -> None:
    chain = FakeChain(blocks=20)
    assert [found.number for found in await scanner(chain).tail(first=18, head=top(chain))] == [18, 19]
    assert len(chain.calls) == 1
    assert await scanner(chain).tail(first=20, head=top(chain)) == []


async def test_one_block_is_asked_for_by_its_hash() -> None:
    chain = FakeChain(blocks=20)
    chain.mine(transfer(to=OURS))
    newest = top(chain)
    assert len((await scanner(chain).tail_logs([newest])).logs) == 1
    assert chain.calls == ["eth_getLogs"]
    chain.reorg(1)
    chain.mine()
    with pytest.raises(NodeFault):
        await scanner(chain).tail_logs([newest])


async def test_a_block_that_changes_while_its_logs_are_read_is_a_fault() -> None:
    chain = FakeChain(blocks=20)
    scan = scanner(chain)
    headers = await scan.tail(first=15, head=top(chain))

    def change(method: str) -> None:
        if method == "eth_getLogs":
            chain.reorg(2)
            chain.mine(blocks=2)

    chain.before = change
    with pytest.raises(NodeFault, match="changed"):
        await scan.tail_logs(headers)


async def test_a_refused_tail_is_halved_too() -> None:
    chain = FakeChain(blocks=200)
    chain.range_most = 10
    scan = scanner(chain)
    headers = await scan.tail(first=10, head=top(chain))
    with pytest.raises(Narrowed):
        await scan.tail_logs(headers)
    assert len(await scan.tail(first=10, head=top(chain))) == TAIL_MOST // 2
