"""GET /v1/rails, and what quotes and orders say of when the money is there: through the application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest
import pytest_asyncio

from gateway.main import make_app
from gateway.orders.accept import Accepted
from gateway.orders.funding import book_deposits
from gateway.payouts.dispatch import dispatch
from gateway.payouts.rails import Rails
from gateway.payouts.weather import watch_weather
from gateway.pricing.offer import Delivery
from gateway.routing.delivery import Outlooks
from gateway.routing.scene import Scene
from tests.factories import PENDING, FakeRail, make_deposit
from tests.integration.api.desk import OFFER, Desk, Partner, problem
from tests.unit.routing.test_weather import OFFICE

pytestmark = pytest.mark.asyncio(loop_scope="module")
WORKS = {"state": "operational", "reason": "works", "message": "This payment service works.", "next_change": None}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def telling(desk: Desk) -> AsyncIterator[Desk]:
    """The desk, whose quotes say when the money is there."""
    outlooks = Outlooks(scene=Scene(capabilities=desk.gateway.rails.capabilities))
    desk.gateway = replace(desk.gateway, offer=replace(OFFER, deliveries=outlooks), outlooks=outlooks)
    desk.client._transport.app = make_app(desk.gateway)  # type: ignore[attr-defined]
    yield desk


async def rails(desk: Desk, partner: Partner) -> dict[str, object]:
    answer = await desk.client.get("/v1/rails", headers=desk.headers(partner))
    assert answer.status_code == 200
    return dict(answer.json())


async def test_rails_are_for_partners(desk: Desk) -> None:
    assert problem(await desk.client.get("/v1/rails"), 401, "invalid_token")


async def test_before_anybody_looked_all_rails_work(desk: Desk, partner: Partner) -> None:
    place = {"country": "KE", "currency": "KES", "method": "mobile_money", "institutions": [], "since": None} | WORKS
    assert await rails(desk, partner) == {
        "as_of": None,
        "rails": [{"rail": "calls", "corridors": [place]}, {"rail": "silent", "corridors": [place]}],
    }


async def test_a_stopped_rail_is_closed_and_says_no_more_than_that(desk: Desk, partner: Partner) -> None:
    await desk.run(
        "INSERT INTO operators (name, password_hash, created_at) VALUES ('amina', 'x', now()) ON CONFLICT DO NOTHING"
    )
    await desk.run(
        "INSERT INTO rail_states (rail, state, since, reason, stopped_by)"
        " VALUES ('silent', 'stopped', :now, 'account 600992 is blocked', 'amina')",
        now=desk.now,
    )
    await watch_weather(desk.engine, rails=desk.gateway.rails, clock=lambda: desk.now)
    document = await rails(desk, partner)
    assert document["as_of"] == "2026-11-22T12:00:00Z"
    works, closed = (one["corridors"][0] for one in document["rails"])  # type: ignore[attr-defined]
    assert works["state"] == "operational"
    assert closed == {
        "country": "KE",
        "currency": "KES",
        "method": "mobile_money",
        "state": "closed",
        "reason": "stopped",
        "message": "This payment service is paused.",
        "since": "2026-11-22T12:00:00Z",
        "next_change": None,
        "institutions": [],
    }
    await desk.run("DELETE FROM rail_states")
    await watch_weather(desk.engine, rails=desk.gateway.rails, clock=lambda: desk.now + timedelta(minutes=1))
    after = await rails(desk, partner)
    assert {one["corridors"][0]["state"] for one in after["rails"]} == {"operational"}  # type: ignore[attr-defined]


async def test_a_corridor_that_is_not_offered_is_not_told(desk: Desk, partner: Partner) -> None:
    app = make_app(replace(desk.gateway, offer=replace(OFFER, corridors={})))
    kept, desk.client._transport.app = desk.client._transport.app, app  # type: ignore[attr-defined]
    try:
        assert (await rails(desk, partner))["rails"] == []
    finally:
        desk.client._transport.app = kept  # type: ignore[attr-defined]


async def test_a_quote_says_when_the_money_is_there_and_keeps_to_it(telling: Desk, partner: Partner) -> None:
    quote = (await telling.quote(partner)).json()
    assert quote["delivery"] == {"p50_s": 87, "p95_s": 345}
    (row,) = await telling.run("SELECT delivery_p50_s, delivery_p95_s FROM quotes WHERE id = :id", id=quote["id"])
    assert tuple(row) == (87, 345)


async def test_an_order_says_by_when_it_is_there_while_it_is_on_its_way(telling: Desk, partner: Partner) -> None:
    made = (await telling.order(partner, "there-by", await telling.quoted(partner))).json()
    assert made["there_by"] is None
    await make_deposit(telling.engine, Accepted(order_id=made["id"], tracking_token=""))
    while await book_deposits(telling.engine, least={}, now=telling.now):
        pass
    order = (await telling.see(partner, made["id"])).json()
    assert (order["status"], order["there_by"]) == ("funded", "2026-11-22T12:05:45Z")
    rail = FakeRail(answers=[PENDING])
    with telling.later(timedelta(minutes=1)):
        await dispatch(telling.engine, rails=Rails({"silent": rail}), clock=lambda: telling.now)
        order = (await telling.see(partner, made["id"])).json()
        assert (order["status"], order["there_by"]) == ("in_transit", "2026-11-22T12:06:45Z")
        page = await telling.client.get(made["tracking_url"])
        assert "Usually there by" in page.text
        assert 'datetime="2026-11-22T12:06:45+00:00"' in page.text
    with telling.later(timedelta(minutes=7)):
        assert (await telling.see(partner, made["id"])).json()["there_by"] is None
        assert "Usually there by" not in (await telling.client.get(made["tracking_url"])).text


async def test_a_rail_past_its_cut_off_makes_the_wait_longer(telling: Desk) -> None:
    terms = next(iter(OFFER.corridors.values()))
    able = {name: replace(one, cut_offs=(OFFICE,)) for name, one in telling.gateway.rails.capabilities.items()}
    late = Outlooks(scene=Scene(capabilities=able)).expect(terms, terms.least, now=telling.now)
    assert late == Delivery(87 + 9 * 3_600, 345 + 9 * 3_600)
    assert Outlooks(scene=Scene(capabilities={})).expect(terms, terms.least, now=telling.now) is None
