from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from gateway.devchain import anvil, chain, stablecoin
from gateway.devchain.chain import DevChain
from gateway.devchain.locks import is_held
from gateway.devchain.node import Tools
from gateway.devchain.rpc import Rpc
from gateway.devchain.stablecoin import SENDER_FUNDS, Roles, SetUpFailed, deploy_usdc
from tests.chain_tools import balance, deal_usdc, issue, mine, reorg, view
from tests.solidity import tools_cache

USDC = "0xb19b36b1456E65E3A6D514D3F715f204BD59f431"
RECIPIENT = "0x" + "7e" * 20


def test_the_usdc_is_circles_set_up_as_circle_does(devchain: DevChain) -> None:
    assert view(devchain, devchain.usdc, "name()", answers="string") == "USD Coin"
    assert view(devchain, devchain.usdc, "symbol()", answers="string") == "USDC"
    assert view(devchain, devchain.usdc, "version()", answers="string") == "2"
    assert view(devchain, devchain.usdc, "decimals()") == 6
    assert view(devchain, devchain.usdc, "paused()") == 0
    assert view(devchain, devchain.usdc, "isBlacklisted(address)", devchain.usdc) == 1
    assert balance(devchain, devchain.sender, devchain.usdc) == SENDER_FUNDS


def test_the_set_up_cannot_be_repeated_by_anybody(devchain: DevChain) -> None:
    with pytest.raises(AssertionError, match="reverted"):
        issue(devchain, "initializeV2_2(address[],string)", [], "FAKE")


def test_a_wallet_with_the_senders_key_is_the_sender(devchain: DevChain) -> None:
    assert Account.from_key(devchain.sender_key).address == devchain.sender
    assert devchain.sender_key not in repr(devchain)


def test_a_transfer_reaches_the_recipient(devchain: DevChain) -> None:
    tx_hash = devchain.transfer(to=RECIPIENT, units=1_500_000)
    mine(devchain)
    with Rpc(devchain.rpc_url) as rpc:
        assert rpc("eth_getTransactionReceipt", tx_hash)["status"] == "0x1"
    assert balance(devchain, RECIPIENT, devchain.usdc) == 1_500_000


def test_a_reorg_takes_a_transfer_away(devchain: DevChain) -> None:
    deal_usdc(devchain, RECIPIENT, 5)
    with Rpc(devchain.rpc_url) as rpc:
        old = rpc("eth_getBlockByNumber", "latest", False)
        reorg(devchain, 1)
        new = rpc("eth_getBlockByNumber", "latest", False)
    assert (new["number"], new["parentHash"]) == (old["number"], old["parentHash"])
    assert new["hash"] != old["hash"]
    assert balance(devchain, RECIPIENT, devchain.usdc) == 0


@pytest.mark.parametrize("block_time", [None, 30])
def test_a_second_start_finds_everything(tmp_path: Path, block_time: float | None) -> None:
    """With blocks every 30 s the set-up waits for none of them."""

    def start() -> DevChain:
        return chain.start(folder=tmp_path, tools_folder=tools_cache(), progress=print, block_time=block_time)

    first = start()
    try:
        first.node.stop()
        second = start()
        with Rpc(second.rpc_url) as rpc:
            head = rpc("eth_blockNumber")
            assert start() == second
            assert rpc("eth_blockNumber") == head
        assert (second.usdc, second.factory, second.sender) == (first.usdc, first.factory, first.sender)
        assert first.usdc == USDC
        assert balance(second, second.sender, second.usdc) == SENDER_FUNDS
    finally:
        start().node.stop()


def test_a_start_that_fails_leaves_no_node_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(stablecoin, "deploy_usdc", interrupted)
    with pytest.raises(KeyboardInterrupt):
        chain.start(folder=tmp_path, tools_folder=tools_cache(), progress=print)
    assert not is_held(tmp_path / "anvil.log")


class Interrupted(Exception):
    """The set-up was killed."""


class Interrupting:
    """A node's connection that breaks at the given transaction."""

    def __init__(self, rpc: Rpc, at: int) -> None:
        self.rpc, self.left = rpc, at

    def __call__(self, method: str, *params: object) -> Any:
        if method == "eth_sendTransaction":
            self.left -= 1
            if self.left < 0:
                raise Interrupted
        return self.rpc(method, *params)


@pytest.mark.parametrize("block_time", [None, 30])
def test_a_set_up_killed_anywhere_goes_on(tmp_path: Path, anvil_tools: Tools, block_time: float | None) -> None:
    node = anvil.start(folder=tmp_path, tools=anvil_tools, block_time=block_time)
    try:
        with Rpc(node.url) as rpc:
            accounts = rpc("eth_accounts")
            roles = Roles(issuer=accounts[9], proxy_admin=accounts[8], sender=accounts[0])
            for _ in range(9):
                with pytest.raises(Interrupted):
                    deploy_usdc(Interrupting(rpc, at=1), contracts=anvil_tools.contracts, roles=roles)  # type: ignore[arg-type]
            assert deploy_usdc(rpc, contracts=anvil_tools.contracts, roles=roles) == USDC
            data = "0x" + stablecoin.call("balanceOf(address)", accounts[0]).hex()
            assert int(rpc("eth_call", {"to": USDC, "data": data}, "latest"), 16) == SENDER_FUNDS
    finally:
        node.stop()


def test_a_chain_that_somebody_else_set_up_is_refused(tmp_path: Path, anvil_tools: Tools) -> None:
    node = anvil.start(folder=tmp_path, tools=anvil_tools)
    try:
        with Rpc(node.url) as rpc:
            accounts = rpc("eth_accounts")
            rpc("anvil_setNonce", accounts[9], "0x20")
            roles = Roles(issuer=accounts[9], proxy_admin=accounts[8], sender=accounts[0])
            with pytest.raises(SetUpFailed, match="no USDC"):
                deploy_usdc(rpc, contracts=anvil_tools.contracts, roles=roles)
    finally:
        node.stop()
