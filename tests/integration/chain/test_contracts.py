"""The forwarder contracts on a real node, with a real USDC and with tokens that misbehave."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from eth_abi import encode
from eth_hash.auto import keccak

from gateway.chain.forwarders import (
    DEPLOYMENT_PROXY,
    factory_address,
    factory_deployment,
    forwarder_address,
    salt_of,
)
from gateway.devchain.chain import DevChain
from gateway.devchain.rpc import Rpc
from gateway.devchain.stablecoin import call
from tests.chain_tools import NATIVE, balance, deal_native, deal_usdc, deploy, issue, transact, view
from tests.solidity import ARTIFACT, Solc, artifact

FLUSHED = "0x" + keccak(b"Flushed(address,address,uint256)").hex()
FLUSH_FAILED = "0x" + keccak(b"FlushFailed(address,address)").hex()
STRANGER = "0x" + "5e" * 20

Contracts = Mapping[str, Mapping[str, Any]]


def sweep(chain: DevChain, salts: list[bytes], tokens: list[str], *, factory: str | None = None, by: str = STRANGER) -> Any:
    """Has a stranger sweep; gives the factory's events as (name, forwarder, token, amount), and the receipt."""
    factory = factory or chain.factory
    receipt = transact(chain, to=factory, data=call("sweep(bytes32[],address[])", salts, tokens), sender=by)
    assert receipt["status"] == "0x1"
    return [event(log) for log in receipt["logs"] if log["address"] == factory.lower()], receipt


def event(log: dict[str, Any]) -> tuple[str, str, str, int | None]:
    name = {FLUSHED: "Flushed", FLUSH_FAILED: "FlushFailed"}[log["topics"][0]]
    forwarder, token = ("0x" + topic[-40:] for topic in log["topics"][1:])
    return name, forwarder, token, int(log["data"], 16) if name == "Flushed" else None


def flushed(forwarder: str, token: str, amount: int) -> tuple[str, str, str, int | None]:
    return "Flushed", forwarder.lower(), token.lower(), amount


def failed(forwarder: str, token: str) -> tuple[str, str, str, int | None]:
    return "FlushFailed", forwarder.lower(), token.lower(), None


def deposit_address(chain: DevChain, reference: str) -> tuple[bytes, str]:
    salt = salt_of(reference)
    return salt, forwarder_address(factory=chain.factory, salt=salt)


def code_at(chain: DevChain, address: str) -> str:
    with Rpc(chain.rpc_url) as rpc:
        return str(rpc("eth_getCode", address, "latest"))


def given(chain: DevChain, contracts: Contracts, name: str, holder: str, units: int = 1000) -> str:
    """A token of TestTokens.sol with a balance for `holder`."""
    token = deploy(chain, contracts[name]["bytecode"])
    transact(chain, to=token, data=call("mint(address,uint256)", holder, units))
    return token


def test_the_committed_artifact_is_what_the_source_compiles_to(solc: Solc) -> None:
    assert json.loads(ARTIFACT.read_text()) == artifact(solc)


def test_the_factory_and_every_forwarder_stand_where_they_were_computed(devchain: DevChain) -> None:
    salt, address = deposit_address(devchain, "order 1")
    assert factory_address(treasury=devchain.treasury) == devchain.factory
    assert code_at(devchain, devchain.factory) != "0x"
    assert view(devchain, devchain.factory, "forwarderAddress(bytes32)", salt, answers="address") == address.lower()
    assert code_at(devchain, address) == "0x"
    sweep(devchain, [salt], [])
    assert code_at(devchain, address) != "0x"


def test_one_transaction_sweeps_many_orders(devchain: DevChain) -> None:
    orders = [deposit_address(devchain, f"order {number}") for number in range(20)]
    for number, (_, address) in enumerate(orders):
        deal_usdc(devchain, address, 1_000_000 + number)
    before = balance(devchain, devchain.treasury, devchain.usdc)
    events, _ = sweep(devchain, [salt for salt, _ in orders], [devchain.usdc])
    assert events == [flushed(address, devchain.usdc, 1_000_000 + number) for number, (_, address) in enumerate(orders)]
    assert balance(devchain, devchain.treasury, devchain.usdc) - before == sum(1_000_000 + number for number in range(20))


def test_a_forwarder_that_stands_is_swept_again(devchain: DevChain) -> None:
    salt, address = deposit_address(devchain, "order 1")
    for units in (5, 7):
        deal_usdc(devchain, address, units)
        events, _ = sweep(devchain, [salt], [devchain.usdc])
        assert events == [flushed(address, devchain.usdc, units)]


def test_an_empty_forwarder_moves_nothing_and_says_nothing(devchain: DevChain) -> None:
    salt, _ = deposit_address(devchain, "order 1")
    _, receipt = sweep(devchain, [salt], [devchain.usdc, NATIVE])
    assert receipt["logs"] == []


def test_the_same_salt_and_token_twice_in_one_sweep_moves_once(devchain: DevChain) -> None:
    salt, address = deposit_address(devchain, "order 1")
    deal_usdc(devchain, address, 5)
    events, _ = sweep(devchain, [salt, salt], [devchain.usdc, devchain.usdc])
    assert events == [flushed(address, devchain.usdc, 5)]


def test_the_native_coin_is_swept_before_and_after_the_deployment(devchain: DevChain) -> None:
    salt, address = deposit_address(devchain, "order 1")
    before = balance(devchain, devchain.treasury, NATIVE)
    for _ in range(2):
        deal_native(devchain, address, 10**18)
        events, _ = sweep(devchain, [salt], [NATIVE])
        assert events == [flushed(address, NATIVE, 10**18)]
    assert balance(devchain, devchain.treasury, NATIVE) - before == 2 * 10**18


def test_a_wallet_that_gives_little_gas_can_pay_a_forwarder_that_stands(
    devchain: DevChain, test_contracts: Contracts
) -> None:
    salt, address = deposit_address(devchain, "order 1")
    sweep(devchain, [salt], [])
    wallet = deploy(devchain, test_contracts["StingyWallet"]["bytecode"], value=10**18)
    transact(devchain, to=wallet, data=call("pay(address,uint256)", address, 10**17))
    assert balance(devchain, address, NATIVE) == 10**17


def test_a_token_without_return_value_is_swept(devchain: DevChain, test_contracts: Contracts) -> None:
    salt, address = deposit_address(devchain, "order 1")
    token = given(devchain, test_contracts, "SilentToken", address)
    events, _ = sweep(devchain, [salt], [token])
    assert events == [flushed(address, token, 1000)]
    assert balance(devchain, devchain.treasury, token) == 1000


def test_a_token_that_charges_a_fee_is_swept(devchain: DevChain, test_contracts: Contracts) -> None:
    salt, address = deposit_address(devchain, "order 1")
    token = given(devchain, test_contracts, "FeeToken", address)
    sweep(devchain, [salt], [token])
    assert balance(devchain, devchain.treasury, token) == 990


@pytest.mark.parametrize("name", ["FalseToken", "StubToken", "HungryToken", "BombToken"])
def test_a_bad_token_hinders_no_other(devchain: DevChain, test_contracts: Contracts, name: str) -> None:
    orders = [deposit_address(devchain, f"order {number}") for number in range(3)]
    token = given(devchain, test_contracts, name, orders[1][1])
    for _, address in orders:
        deal_usdc(devchain, address, 5)
    events, receipt = sweep(devchain, [salt for salt, _ in orders], [token, devchain.usdc])
    assert [entry for entry in events if entry[0] == "FlushFailed"] == [failed(orders[1][1], token)]
    assert [entry for entry in events if entry[0] == "Flushed"] == [flushed(a, devchain.usdc, 5) for _, a in orders]
    assert int(receipt["gasUsed"], 16) < 2_000_000
    assert balance(devchain, orders[1][1], token) == 1000


@pytest.mark.parametrize("address", [STRANGER, "0x" + "00" * 19 + "01", "0x" + "00" * 19 + "02", "0x" + "00" * 19 + "04"])
def test_an_address_that_is_no_token_is_reported(devchain: DevChain, address: str) -> None:
    salt, forwarder = deposit_address(devchain, "order 1")
    deal_usdc(devchain, forwarder, 5)
    events, _ = sweep(devchain, [salt], [address, devchain.usdc])
    assert events == [failed(forwarder, address), flushed(forwarder, devchain.usdc, 5)]


@pytest.mark.parametrize("name", ["HungryBalanceToken", "BalanceBombToken"])
def test_a_bad_answer_about_a_balance_costs_no_more_than_its_share(
    devchain: DevChain, test_contracts: Contracts, name: str
) -> None:
    salt, forwarder = deposit_address(devchain, "order 1")
    deal_usdc(devchain, forwarder, 5)
    token = deploy(devchain, test_contracts[name]["bytecode"])
    events, receipt = sweep(devchain, [salt], [token, devchain.usdc])
    assert events[-1] == flushed(forwarder, devchain.usdc, 5)
    assert int(receipt["gasUsed"], 16) < 1_000_000


def test_a_paused_token_waits_for_the_next_sweep(devchain: DevChain, test_contracts: Contracts) -> None:
    salt, address = deposit_address(devchain, "order 1")
    other = given(devchain, test_contracts, "GoodToken", address)
    deal_usdc(devchain, address, 5)
    issue(devchain, "pause()")
    events, _ = sweep(devchain, [salt], [devchain.usdc, other])
    assert events == [failed(address, devchain.usdc), flushed(address, other, 1000)]
    issue(devchain, "unpause()")
    events, _ = sweep(devchain, [salt], [devchain.usdc, other])
    assert events == [flushed(address, devchain.usdc, 5)]


def test_a_blocked_forwarder_hinders_no_other(devchain: DevChain) -> None:
    orders = [deposit_address(devchain, f"order {number}") for number in range(3)]
    for _, address in orders:
        deal_usdc(devchain, address, 5)
    issue(devchain, "blacklist(address)", orders[1][1])
    events, _ = sweep(devchain, [salt for salt, _ in orders], [devchain.usdc])
    (_, first), (_, second), (_, third) = orders
    assert events == [flushed(first, devchain.usdc, 5), failed(second, devchain.usdc), flushed(third, devchain.usdc, 5)]
    assert balance(devchain, second, devchain.usdc) == 5


def test_a_treasury_that_refuses_the_native_coin_still_gets_its_tokens(
    devchain: DevChain, test_contracts: Contracts
) -> None:
    treasury = deploy(devchain, test_contracts["RefusingTreasury"]["bytecode"])
    proxy, data = factory_deployment(treasury=treasury)
    transact(devchain, to=proxy, data=data)
    factory = factory_address(treasury=treasury)
    salt = salt_of("order 1")
    address = forwarder_address(factory=factory, salt=salt)
    deal_native(devchain, address, 10**18)
    deal_usdc(devchain, address, 5)
    events, _ = sweep(devchain, [salt], [NATIVE, devchain.usdc], factory=factory)
    assert events == [failed(address, NATIVE), flushed(address, devchain.usdc, 5)]
    assert balance(devchain, address, NATIVE) == 10**18
    assert balance(devchain, treasury, devchain.usdc) == 5


def test_a_token_that_calls_back_gains_nothing(devchain: DevChain, test_contracts: Contracts) -> None:
    orders = [deposit_address(devchain, f"order {number}") for number in range(2)]
    token = given(devchain, test_contracts, "ReentrantToken", orders[0][1])
    for _, address in orders:
        deal_usdc(devchain, address, 5)
    aim = call("aim(address,bytes32[],address[])", devchain.factory, [salt for salt, _ in orders], [devchain.usdc])
    transact(devchain, to=token, data=aim)
    before = balance(devchain, devchain.treasury, devchain.usdc)
    events, _ = sweep(devchain, [salt for salt, _ in orders], [token, devchain.usdc])
    assert balance(devchain, devchain.treasury, token) == 1000
    assert balance(devchain, devchain.treasury, devchain.usdc) - before == 10
    assert sorted(events) == sorted([flushed(orders[0][1], token, 1000), *(flushed(a, devchain.usdc, 5) for _, a in orders)])


def test_too_little_gas_moves_nothing_elsewhere_and_the_next_sweep_works(devchain: DevChain) -> None:
    salt, address = deposit_address(devchain, "order 1")
    deal_usdc(devchain, address, 5)
    data = "0x" + call("sweep(bytes32[],address[])", [salt], [devchain.usdc]).hex()
    with Rpc(devchain.rpc_url) as rpc:
        full = int(rpc("eth_estimateGas", {"from": devchain.sender, "to": devchain.factory, "data": data}), 16)
        for gas in range(60_000, full, 9_000):
            transaction = {"from": devchain.sender, "to": devchain.factory, "data": data, "gas": hex(gas)}
            answers = rpc("eth_sendTransactionSync", transaction)
            assert answers["status"] in ("0x0", "0x1")
            held = balance(devchain, address, devchain.usdc)
            moved = balance(devchain, devchain.treasury, devchain.usdc)
            assert (held, moved) in ((5, 0), (0, 5))
    sweep(devchain, [salt], [devchain.usdc])
    assert balance(devchain, devchain.treasury, devchain.usdc) == 5


def test_anyone_can_flush_a_forwarder_directly_but_only_to_the_treasury(devchain: DevChain) -> None:
    salt, address = deposit_address(devchain, "order 1")
    deal_usdc(devchain, address, 5)
    deal_native(devchain, address, 7)
    sweep(devchain, [salt], [])
    before = balance(devchain, devchain.treasury, NATIVE)
    transact(devchain, to=address, data=call("flush(address,uint256)", devchain.usdc, 2), sender=STRANGER)
    transact(devchain, to=address, data=call("flush(address,uint256)", NATIVE, 7), sender=STRANGER)
    assert balance(devchain, address, devchain.usdc) == 3
    assert balance(devchain, devchain.treasury, devchain.usdc) == 2
    assert balance(devchain, devchain.treasury, NATIVE) - before == 7


def test_a_direct_flush_that_fails_says_so(devchain: DevChain, test_contracts: Contracts) -> None:
    salt, address = deposit_address(devchain, "order 1")
    sweep(devchain, [salt], [])
    for token in (devchain.usdc, NATIVE, given(devchain, test_contracts, "FalseToken", address)):
        receipt = transact(devchain, to=address, data=call("flush(address,uint256)", token, 1), sender=STRANGER)
        assert receipt["status"] == "0x0"


def test_nobody_can_change_the_treasury_or_move_coins_elsewhere(devchain: DevChain) -> None:
    """The whole interface is known, and nothing of it takes a destination or can be made to run another's code."""
    contracts = json.loads(ARTIFACT.read_text())["contracts"]
    functions = {
        name: sorted(entry["name"] for entry in contract["abi"] if entry["type"] == "function")
        for name, contract in contracts.items()
    }
    assert functions == {"Forwarder": ["flush"], "ForwarderFactory": ["forwarderAddress", "sweep", "treasury"]}
    assert [entry["type"] for entry in contracts["Forwarder"]["abi"] if entry["type"] in ("fallback", "receive")] == [
        "receive"
    ]
    salt, address = deposit_address(devchain, "order 1")
    sweep(devchain, [salt], [])
    for deployed in (devchain.factory, address):
        operations = opcodes(bytes.fromhex(code_at(devchain, deployed)[2:]))
        assert not operations & {0xF2, 0xF4, 0xFF}, "CALLCODE, DELEGATECALL or SELFDESTRUCT"
        assert 0x55 not in operations, "SSTORE: there is no state to change"


def opcodes(code: bytes) -> set[int]:
    """The operations of a contract, without the data of its PUSHes."""
    found, position = set(), 0
    while position < len(code):
        found.add(code[position])
        position += 1 + (code[position] - 0x5F if 0x60 <= code[position] <= 0x7F else 0)
    return found


def test_a_forwarder_made_by_another_than_the_factory_stands_elsewhere(devchain: DevChain) -> None:
    salt, address = deposit_address(devchain, "order 1")
    init_code = bytes.fromhex(json.loads(ARTIFACT.read_text())["contracts"]["Forwarder"]["bytecode"][2:])
    transact(devchain, to=DEPLOYMENT_PROXY, data=salt + init_code)
    assert code_at(devchain, address) == "0x"


def test_a_factory_needs_a_treasury(devchain: DevChain) -> None:
    factory = bytes.fromhex(json.loads(ARTIFACT.read_text())["contracts"]["ForwarderFactory"]["bytecode"][2:])
    for treasury, status in ((NATIVE, "0x0"), (STRANGER, "0x1")):
        assert transact(devchain, to=None, data=factory + encode(["address"], [treasury]))["status"] == status


def test_the_factory_stands_at_the_same_address_whoever_deploys_it(devchain: DevChain) -> None:
    treasury = "0x" + "7e" * 20
    proxy, data = factory_deployment(treasury=treasury)
    transact(devchain, to=proxy, data=data, sender=STRANGER)
    assert code_at(devchain, factory_address(treasury=treasury)) != "0x"
    assert view(devchain, factory_address(treasury=treasury), "treasury()", answers="address") == treasury
