"""Deposit addresses without keys: computed here, deployed by the factory when it sweeps.

The contracts are `contracts/ForwarderFactory.sol`; their compiled form lies beside it and is what every address is made
of, so a changed byte there changes all addresses. CREATE2 is EIP-1014: the last 20 bytes of
keccak256(0xff ++ deployer ++ salt ++ keccak256(init code)).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from eth_abi.abi import encode
from eth_hash.auto import keccak
from eth_utils.address import is_hex_address, to_canonical_address, to_checksum_address

DEPLOYMENT_PROXY = "0x4e59b44847b379578588920cA78FbF26c0B4956C"
"""The deterministic deployment proxy: it stands at this address on every EVM chain and makes CREATE2 of its call data."""
DEPLOYMENT_PROXY_CODE = bytes.fromhex(
    "7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe0"
    "3601600081602082378035828234f58015156039578182fd5b8082525050506014600cf3"
)
"""Its code (Arachnid/deterministic-deployment-proxy): anything else there may put anything anywhere."""
DEPLOYMENT_GAS = 1_000_000
"""Gas limit of a factory's deployment; it takes some 372,000."""

SALT_BYTES = 32
FACTORY_SALT = bytes(SALT_BYTES)

NO_ADDRESS = "0x" + "00" * 20
"""What the contracts take for the native coin, and refuse as treasury."""

FLUSHED = "0x" + keccak(b"Flushed(address,address,uint256)").hex()
FLUSH_FAILED = "0x" + keccak(b"FlushFailed(address,address)").hex()
"""The factory's events, as the first topic: forwarder and token are the second and third."""

_SWEEP = keccak(b"sweep(bytes32[],address[])")[:4]
_SALT_DOMAIN = b"lastmile forwarder 1\x00"


class NotATreasury(ValueError):
    """The treasury of a factory must be an address that can hold coins."""

    def __init__(self, treasury: str) -> None:
        super().__init__(
            f'"{treasury}" cannot be a treasury: it must be "0x" and 40 hex digits, not all zero, '
            "in lower case or with the capitals of its checksum (EIP-55)"
        )


def factory_address(*, treasury: str) -> str:
    """Where the factory of `treasury` stands (EIP-55), on every chain alike. Raises `NotATreasury`."""
    return _create2(DEPLOYMENT_PROXY, FACTORY_SALT, keccak(_factory_init_code(treasury)))


def factory_deployment(*, treasury: str) -> tuple[str, bytes]:
    """The transaction (to, data) that puts the factory in its place; anyone may send it. Raises `NotATreasury`.

    It reverts where the factory already stands: ask for the code at `factory_address` first.
    """
    return DEPLOYMENT_PROXY, FACTORY_SALT + _factory_init_code(treasury)


def sweep_call(*, salts: Sequence[bytes], tokens: Sequence[str]) -> bytes:
    """Call data for the factory: send all that these forwarders hold of these tokens to the treasury."""
    return _SWEEP + encode(["bytes32[]", "address[]"], [list(salts), list(tokens)])


def forwarder_address(*, factory: str, salt: bytes) -> str:
    """The deposit address (EIP-55) that belongs to a salt of 32 bytes."""
    if len(salt) != SALT_BYTES:
        raise ValueError(f"a salt has {SALT_BYTES} bytes, not {len(salt)}")
    return _create2(factory, salt, _forwarder_init_code_hash())


def salt_of(reference: str) -> bytes:
    """The salt of whatever owns a deposit address, an order say: the same reference always gives the same address."""
    return keccak(_SALT_DOMAIN + reference.encode())


def _factory_init_code(treasury: str) -> bytes:
    checked = to_checksum_address(treasury) if is_hex_address(treasury) else NO_ADDRESS
    if checked == NO_ADDRESS or treasury not in (checked, checked.lower()):
        raise NotATreasury(treasury)
    # An address as a constructor's argument: 20 bytes, padded in front to 32 (contract ABI specification).
    return _bytecode("ForwarderFactory") + bytes(12) + bytes.fromhex(treasury[2:])


@cache
def _forwarder_init_code_hash() -> bytes:
    return keccak(_bytecode("Forwarder"))


@cache
def _bytecode(contract: str) -> bytes:
    artifact = json.loads(files("gateway.chain.contracts").joinpath("ForwarderFactory.json").read_bytes())
    return bytes.fromhex(artifact["contracts"][contract]["bytecode"].removeprefix("0x"))


def _create2(deployer: str, salt: bytes, init_code_hash: bytes) -> str:
    return to_checksum_address(keccak(b"\xff" + to_canonical_address(deployer) + salt + init_code_hash)[12:])
