from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.integration.desk.office import Office, offer, stock
from tests.solidity import Solc, compile_sources

WALLETS = Path(__file__).parent / "TestWallets.sol"


@pytest.fixture
async def office(engine: AsyncEngine) -> Office:
    await stock(engine)
    return Office(engine, offer())


@pytest.fixture(scope="session")
def test_wallets(solc: Solc) -> Mapping[str, Mapping[str, Any]]:
    """The contracts of TestWallets.sol by name, each {abi, bytecode}."""
    return compile_sources(solc, {WALLETS.name: WALLETS.read_text()}, {"evmVersion": "paris"})
