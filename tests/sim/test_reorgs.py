"""A thousand random forks, on a real database: what is credited in the end is what the last chain says (invariant 19)."""

from __future__ import annotations

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.sim.world import World

FORKS = 50
SEEDS = range(4)
SLOW_SEEDS = range(4, 20)


async def run(engine: AsyncEngine, seed: object) -> World:
    world = await World.begin(engine, seed)
    try:
        while world.chain.forks < FORKS:
            await world.round()
        await world.settle()
        await world.check_books()
    except BaseException:
        print("\n".join(world.history))
        raise
    finally:
        await world.close()
    return world


@pytest.mark.parametrize("seed", SEEDS)
async def test_credits_are_those_of_the_last_chain(engine: AsyncEngine, seed: int) -> None:
    await run(engine, seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SLOW_SEEDS)
async def test_credits_are_those_of_the_last_chain_whatever_the_seed(engine: AsyncEngine, seed: int) -> None:
    await run(engine, seed)
