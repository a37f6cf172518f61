"""Assets are made known once, whoever comes first, and never change their decimals."""

from __future__ import annotations

import asyncio

import pytest

from gateway.db.session import transaction
from gateway.ledger.post import DecimalsChanged, register_assets
from gateway.money import Asset


async def register(engine, *assets):
    async with transaction(engine) as connection:
        await register_assets(connection, assets=assets)
        await asyncio.sleep(0)


async def test_many_may_register_the_same_assets_at_once(engine):
    assets = [Asset(f"COIN{number}@1", 6) for number in range(20)]
    await asyncio.gather(*(register(engine, *assets) for _ in range(10)))


async def test_other_decimals_are_refused(engine):
    await register(engine, Asset("COIN@1", 6))
    with pytest.raises(DecimalsChanged, match="6 decimals in the ledger but 18"):
        await register(engine, Asset("COIN@1", 18))
