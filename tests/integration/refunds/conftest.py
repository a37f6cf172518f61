"""What the tests of refunds start from."""

from __future__ import annotations

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.integration.refunds.house import House


@pytest.fixture
def house(engine: AsyncEngine) -> House:
    return House(engine)
