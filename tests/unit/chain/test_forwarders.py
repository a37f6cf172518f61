from __future__ import annotations

import pytest
from eth_hash.auto import keccak

from gateway.chain import forwarders
from gateway.chain.forwarders import (
    NotATreasury,
    factory_address,
    factory_deployment,
    forwarder_address,
    salt_of,
)

TREASURY = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
FACTORY = "0x895AE2A4F0Ab87926F149693f9B9ccc2970D5631"

EIP_1014 = [  # deployer, salt, init code, address: the examples of the standard
    ("0x" + "00" * 20, "00" * 32, "00", "0x4D1A2e2bB4F88F0250f26Ffff098B0b30B26BF38"),
    ("0xdeadbeef00000000000000000000000000000000", "00" * 32, "00", "0xB928f69Bb1D91Cd65274e3c79d8986362984fDA3"),
    (
        "0xdeadbeef00000000000000000000000000000000",
        "00" * 12 + "feed000000000000000000000000000000000000",
        "00",
        "0xD04116cDd17beBE565EB2422F2497E06cC1C9833",
    ),
    ("0x" + "00" * 20, "00" * 32, "deadbeef", "0x70f2b2914A2a4b783FaEFb75f459A580616Fcb5e"),
    (
        "0x00000000000000000000000000000000deadbeef",
        "00" * 28 + "cafebabe",
        "deadbeef" * 11,
        "0x1d8bfDC5D46DC4f61D6b6115972536eBE6A8854C",
    ),
    ("0x" + "00" * 20, "00" * 32, "", "0xE33C0C7F7df4809055C3ebA6c09CFe4BaF1BD9e0"),
]


@pytest.mark.parametrize(("deployer", "salt", "init_code", "address"), EIP_1014)
def test_create2_addresses_are_those_of_the_standard(deployer: str, salt: str, init_code: str, address: str) -> None:
    assert forwarders._create2(deployer, bytes.fromhex(salt), keccak(bytes.fromhex(init_code))) == address


def test_addresses_never_change() -> None:
    """Coins lie at addresses that were given out: another value here means another contract, and a way to sweep the old."""
    assert factory_address(treasury=TREASURY) == FACTORY
    assert salt_of("ord_1").hex() == "2419600f5736f5c0fc8f746fd8cc0dc1cfeb70914e6e9bc602322b3318906a58"
    assert forwarder_address(factory=FACTORY, salt=salt_of("ord_1")) == "0x60DC6DB144983ac5cD35a00f8Eb99726F32D789b"


def test_each_order_has_its_own_address_and_each_treasury_its_own_factory() -> None:
    salts = {salt_of(reference) for reference in ("ord_1", "ord_2", "", "ord_1\x00")}
    assert len({forwarder_address(factory=FACTORY, salt=salt) for salt in salts}) == 4
    assert factory_address(treasury="0x" + "7e" * 20) != FACTORY


def test_how_an_address_is_written_does_not_change_it() -> None:
    assert factory_address(treasury=TREASURY.lower()) == FACTORY
    assert forwarder_address(factory=FACTORY.lower(), salt=bytes(32)) == forwarder_address(factory=FACTORY, salt=bytes(32))


def test_the_deployment_goes_to_the_proxy_with_salt_zero_and_the_treasury_last() -> None:
    to, data = factory_deployment(treasury=TREASURY)
    assert to == "0x4e59b44847b379578588920cA78FbF26c0B4956C"
    assert data[:32] == bytes(32)
    assert data[-32:].hex() == "00" * 12 + TREASURY[2:].lower()
    assert forwarders._create2(to, data[:32], keccak(data[32:])) == FACTORY


@pytest.mark.parametrize(
    "treasury", ["", "0x", "0x" + "00" * 20, "0x" + "7e" * 19, "treasury.eth", TREASURY[:-1] + "c", "7e" * 20]
)
def test_what_cannot_hold_coins_is_no_treasury(treasury: str) -> None:
    with pytest.raises(NotATreasury):
        factory_address(treasury=treasury)


@pytest.mark.parametrize("salt", [b"", bytes(31), bytes(33)])
def test_a_salt_has_32_bytes(salt: bytes) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        forwarder_address(factory=FACTORY, salt=salt)
