"""What the tests of the watcher start from."""

from __future__ import annotations

import psycopg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db.embedded import Server
from tests.databases import create
from tests.integration.chain.desk import Desk

TABLES = ("deposits", "deposit_addresses", "chain_blocks", "chain_cursors", "chain_leases", "chain_providers")


@pytest.fixture(scope="session")
def chain_database(postgres: Server) -> str:
    """One database for this folder: making one takes longer than most of these tests."""
    return create(postgres, "chain")


@pytest.fixture
def database_url(chain_database: str) -> str:
    """That database, with its chain tables empty."""
    with psycopg.connect(chain_database, autocommit=True) as connection:
        for table in TABLES:
            connection.execute(f"DELETE FROM {table}")
    return chain_database


@pytest.fixture
def desk(engine: AsyncEngine) -> Desk:
    return Desk(engine)
