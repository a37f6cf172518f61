"""Our own gateway behind a real server, with its network of agents and its fills; and the adapters that use it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.fills.clients import FillKey
from gateway.main import make_app
from tests.integration.agents.house import RULES
from tests.integration.api.desk import URL, Desk

KEY = FillKey(key=bytes(range(64)))


def open_desk(engine: AsyncEngine) -> Desk:
    desk = Desk(engine=engine)
    desk.gateway = replace(desk.gateway, pickups=RULES, fills=KEY)
    desk.app = make_app(desk.gateway)
    transport = httpx.ASGITransport(app=desk.app, raise_app_exceptions=False)
    desk.client = httpx.AsyncClient(transport=transport, base_url=URL)
    return desk


@asynccontextmanager
async def opened(engine: AsyncEngine) -> AsyncIterator[Desk]:
    desk = open_desk(engine)
    async with desk.client:
        yield desk
