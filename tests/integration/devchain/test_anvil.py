from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.devchain import anvil
from gateway.devchain.anvil import Anvil, CannotStart
from gateway.devchain.node import Tools
from gateway.devchain.rpc import Rpc

LOGGER = "0x600b80600b6000396000f3602a60005260206000a000"
"""Creation code of a contract that logs one word whenever it is called."""

Start = Callable[..., Anvil]


@pytest.fixture
def start(anvil_tools: Tools, tmp_path: Path) -> Iterator[Start]:
    """Starts nodes and stops them after the test."""
    started: list[Anvil] = []

    def begin(folder: str = "a chain", **settings: Any) -> Anvil:
        started.append(anvil.start(folder=tmp_path / folder, tools=anvil_tools, **settings))
        return started[-1]

    yield begin
    for node in started:
        node.stop()


def ask(node: Anvil, method: str, *params: object) -> Any:
    with Rpc(node.url) as rpc:
        return rpc(method, *params)


def answers(node: Anvil) -> bool:
    try:
        return bool(ask(node, "eth_chainId"))
    except httpx.HTTPError:
        return False


def use(node: Anvil) -> None:
    """Some history: a contract, calls that leave logs, empty blocks."""
    with Rpc(node.url) as rpc:
        account = rpc("eth_accounts")[0]
        contract = rpc("eth_sendTransactionSync", {"from": account, "data": LOGGER})["contractAddress"]
        for _ in range(4):
            assert rpc("eth_sendTransactionSync", {"from": account, "to": contract})["logs"]
        rpc("anvil_mine", "0x3")


def history(node: Anvil) -> dict[str, Any]:
    """All that a watcher could ask: blocks with their hashes, receipts, logs, balances, code."""
    with Rpc(node.url) as rpc:
        head = int(rpc("eth_blockNumber"), 16)
        blocks = [rpc("eth_getBlockByNumber", hex(number), False) for number in range(head + 1)]
        hashes = [tx for block in blocks for tx in block["transactions"]]
        account = rpc("eth_accounts")[0]
        contracts = [
            r["contractAddress"] for r in (rpc("eth_getTransactionReceipt", tx) for tx in hashes) if r["contractAddress"]
        ]
        return {
            "hashes": [(block["hash"], block["parentHash"], block["timestamp"]) for block in blocks],
            "receipts": [rpc("eth_getTransactionReceipt", tx) for tx in hashes],
            "logs": rpc("eth_getLogs", {"fromBlock": "0x0", "toBlock": "latest"}),
            "balance": rpc("eth_getBalance", account, "latest"),
            "nonce": rpc("eth_getTransactionCount", account, "latest"),
            "code": [rpc("eth_getCode", contract, "latest") for contract in contracts],
            "finalized": rpc("eth_getBlockByNumber", "finalized", False)["number"],
        }


def until(condition: Callable[[], bool], *, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def await_dump(folder: Path) -> None:
    """Until two states were written from now on, so that the second was begun after this moment."""
    for _ in range(2):
        seen = max((state.stat().st_mtime_ns for state in folder.glob("state-*.json")), default=0)
        until(lambda seen=seen: any(state.stat().st_mtime_ns > seen for state in folder.glob("state-*.json")))


def test_everything_a_watcher_saw_is_the_same_after_a_restart(start: Start) -> None:
    first = start()
    use(first)
    before = history(first)
    assert len(before["logs"]) == 4
    for _ in range(3):
        start().stop()
        assert history(start()) == before
    assert start().url == first.url


def test_everything_is_the_same_after_the_node_was_killed(start: Start, tmp_path: Path) -> None:
    node = start()
    use(node)
    before = history(node)
    await_dump(tmp_path / "a chain")
    os.kill(node.pid, signal.SIGKILL)
    again = start()
    assert again.pid != node.pid
    assert history(again) == before


def test_new_blocks_continue_a_restored_chain(start: Start) -> None:
    use(start())
    before = history(start())
    start().stop()
    use(start())
    after = history(start())
    assert after["hashes"][: len(before["hashes"])] == before["hashes"]
    assert [child[1] for child in after["hashes"][1:]] == [parent[0] for parent in after["hashes"][:-1]]


def test_a_second_start_finds_the_running_node(start: Start) -> None:
    assert start() == start()


def test_starts_at_the_same_time_make_one_node(start: Start) -> None:
    with ThreadPoolExecutor(4) as threads:
        assert len({node.pid for node in threads.map(lambda _: start(), range(4))}) == 1


def test_the_node_outlives_whoever_started_it(start: Start, anvil_tools: Tools, tmp_path: Path) -> None:
    script = (
        "import os, pathlib, signal; from gateway.devchain import anvil, node\n"
        f"tools = node.Tools(anvil=pathlib.Path({str(anvil_tools.anvil)!r}), contracts=pathlib.Path())\n"
        f"print(anvil.start(folder=pathlib.Path({str(tmp_path / 'a chain')!r}), tools=tools).pid, flush=True)\n"
        "os.killpg(os.getpgid(0), signal.SIGKILL)"
    )
    command = [sys.executable, "-c", script]
    died = subprocess.run(command, capture_output=True, text=True, start_new_session=True, check=False)
    assert died.returncode == -signal.SIGKILL
    assert start().pid == int(died.stdout)


def test_a_restored_chain_lives_in_the_present(start: Start, tmp_path: Path) -> None:
    """Its genesis is an hour ago, and so would be its next block."""
    folder = tmp_path / "a chain"
    folder.mkdir()
    hour_ago = int(time.time()) - 3600
    (folder / "anvil.json").write_text(
        json.dumps({"chain_id": 31337, "timestamp": hour_ago, "state": "state-1.json", "port": 0})
    )
    for _ in range(2):
        node = start()
        ask(node, "evm_mine")
        assert abs(int(ask(node, "eth_getBlockByNumber", "latest", False)["timestamp"], 16) - time.time()) < 5
        node.stop()


def test_a_chain_ahead_of_its_time_is_not_set_back(start: Start) -> None:
    ask(start(), "evm_increaseTime", 3600)
    ask(start(), "evm_mine")
    ahead = int(ask(start(), "eth_getBlockByNumber", "latest", False)["timestamp"], 16)
    start().stop()
    ask(start(), "evm_mine")
    assert int(ask(start(), "eth_getBlockByNumber", "latest", False)["timestamp"], 16) >= ahead


def test_finalized_is_two_blocks_behind_the_head(start: Start) -> None:
    ask(start(), "anvil_mine", "0x5")
    assert ask(start(), "eth_getBlockByNumber", "finalized", False)["number"] == "0x3"


def test_blocks_come_by_themselves_when_a_pace_is_set(start: Start) -> None:
    node = start(block_time=0.2)
    until(lambda: int(ask(node, "eth_blockNumber"), 16) >= 3)


def test_stopping_twice_and_stopping_a_dead_node_is_nothing(start: Start) -> None:
    node = start()
    node.stop()
    node.stop()
    assert not answers(node)


def test_a_handle_of_an_earlier_life_stops_nothing(start: Start) -> None:
    old = start()
    old.stop()
    new = start()
    old.stop()
    assert answers(new)


def test_nothing_is_written_outside_the_folder(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Left to itself, anvil keeps the state of every block from the 500th on under the home directory."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    ask(start(), "anvil_mine", hex(600))
    assert list(home.iterdir()) == []


def test_the_node_listens_to_this_machine_only(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANVIL_IP_ADDR", "0.0.0.0")
    port = int(start().url.rpartition(":")[2])
    with socket.socket() as other:
        other.bind(("127.0.0.2", port))


def test_a_proxy_for_the_internet_is_not_asked(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    assert ask(start(), "eth_chainId") == "0x7a69"


def test_a_chain_elsewhere_on_our_old_port_is_not_ours(start: Start, tmp_path: Path) -> None:
    ours = start("ours")
    ours.stop()
    start("theirs", port=int(ours.url.rpartition(":")[2]))
    again = start("ours")
    assert again.url != ours.url
    assert (tmp_path / "ours/anvil.pid").read_text().strip() == str(again.pid)


def test_a_port_that_is_taken_is_refused(start: Start) -> None:
    port = int(start("one").url.rpartition(":")[2])
    with pytest.raises(CannotStart, match=f"Port {port} is taken"):
        start("two", port=port)


def test_another_chain_id_is_refused(start: Start) -> None:
    start()
    with pytest.raises(CannotStart, match="has id 31337, not 1"):
        start(chain_id=1)


def test_a_node_whose_folder_was_deleted_cannot_spoil_the_next_chain(start: Start, tmp_path: Path) -> None:
    old = start()
    use(old)
    shutil.rmtree(tmp_path / "a chain")
    new = start()
    os.kill(old.pid, signal.SIGTERM)
    until(lambda: not answers(old))
    os.kill(new.pid, signal.SIGKILL)
    assert ask(start(), "eth_blockNumber") == "0x0"


def test_a_damaged_state_is_refused_and_kept(start: Start, tmp_path: Path) -> None:
    start().stop()
    (state,) = (tmp_path / "a chain").glob("state-*.json")
    state.write_text(state.read_text()[:100])
    with pytest.raises(CannotStart, match="failed to parse") as refused:
        start()
    assert str(tmp_path / "a chain") in str(refused.value)
    assert len(state.read_text()) == 100


def test_a_node_that_hangs_is_named(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    node = start()
    os.kill(node.pid, signal.SIGSTOP)
    try:
        monkeypatch.setattr(anvil, "START_MOST_S", 0.2)
        monkeypatch.setattr(anvil, "ANSWER_MOST_S", 0.1)
        with pytest.raises(CannotStart, match=f"process {node.pid}\\) but does not answer"):
            start()
    finally:
        os.kill(node.pid, signal.SIGCONT)
    monkeypatch.undo()
    assert start() == node
