"""A stocked network on a real database."""

from __future__ import annotations

import pytest

from tests.integration.agents.house import House


@pytest.fixture
async def house(engine) -> House:
    made = House(engine)
    await made.stock()
    return made
