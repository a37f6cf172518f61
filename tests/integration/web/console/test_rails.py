"""Operators see how each rail does, the worst first."""

from __future__ import annotations

from gateway.db.session import transaction
from gateway.payouts.breakers import open_breaker
from gateway.payouts.rails import Rails
from gateway.payouts.weather import watch_weather
from tests.factories import NOW, FakeRail

BOTH = Rails({"airtel": FakeRail(), "mpesa": FakeRail()})


async def test_before_anybody_looked_the_page_says_so(amina):
    assert "Nobody has looked yet" in (await amina.page("/console/rails")).text


async def test_a_stopped_rail_comes_first(amina, engine):
    async with transaction(engine) as connection:
        await open_breaker(connection, rail="mpesa", operator="amina", reason="their portal is down", now=NOW)
    await watch_weather(engine, rails=BOTH, clock=lambda: NOW)
    said = (await amina.page("/console/rails")).text
    assert "mpesa: closed This payment service is paused. WhereKenya, Mobile money, KES Since22 Nov, 12:00 UTC" in said
    assert said.index("mpesa: closed") < said.index("airtel: operational")


async def test_strangers_see_nothing_of_it(stranger):
    answer = await stranger.client.get("/console/rails")
    assert answer.status_code == 303
