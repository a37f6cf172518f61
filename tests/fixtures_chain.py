"""Fixtures of tests that need a chain; `tests/conftest.py` loads them with `pytest_plugins`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway.devchain import chain, node
from gateway.devchain.chain import DevChain
from gateway.devchain.rpc import Rpc
from tests.solidity import Solc, compile_sources, install_solc, tools_cache

TEST_CONTRACTS = [Path(__file__).parent / f"integration/chain/{name}.sol" for name in ("TestTokens", "TestFeed")]


@pytest.fixture(scope="session")
def anvil_tools() -> node.Tools:
    """The node and Circle's contracts, installed once per checkout."""
    return node.install(folder=tools_cache(), progress=print)


@pytest.fixture(scope="session")
def solc() -> Solc:
    """The Solidity compiler."""
    return install_solc(folder=tools_cache(), progress=print)


@pytest.fixture(scope="session")
def test_contracts(solc: Solc) -> Mapping[str, Mapping[str, Any]]:
    """The contracts of TestTokens.sol and TestFeed.sol by name, each {abi, bytecode}."""
    return compile_sources(solc, {path.name: path.read_text() for path in TEST_CONTRACTS}, {"evmVersion": "paris"})


@pytest.fixture(scope="session")
def session_devchain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevChain]:
    """One chain for all tests: take `devchain` instead, which leaves it as it was."""
    running = chain.start(folder=tmp_path_factory.mktemp("devchain"), tools_folder=tools_cache(), progress=print)
    yield running
    running.node.stop()


@pytest.fixture
def devchain(session_devchain: DevChain) -> Iterator[DevChain]:
    """A chain with USDC, funded sender and factory; each transaction makes a block; all is undone after the test."""
    with Rpc(session_devchain.rpc_url) as rpc:
        snapshot = rpc("evm_snapshot")
        yield session_devchain
        assert rpc("evm_revert", snapshot)
