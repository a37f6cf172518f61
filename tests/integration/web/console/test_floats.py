"""The page of floats: what is there, what is expected, what to move, all of it also in words."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import pairwise

import pytest

from gateway.db.session import transaction
from gateway.money import Asset, Money
from gateway.payouts.evidence import ResolutionRules
from gateway.treasury.plans import newest_plan
from gateway.treasury.running import run_moves
from gateway.web.routes import install
from tests.factories import KES
from tests.integration.treasury.store import HOUR, Store, fill, kes
from tests.integration.web.console.conftest import hidden
from tests.unit.web.site import Outline

USD = Asset("USD", 2)


@pytest.fixture
async def store(desk):
    made = Store(desk.engine, now=desk.now)
    await made.rate()
    return made


async def page_of(desk, store):
    desk.services = replace(desk.services, floats=store.book)
    desk.app.router.routes.clear()
    install(desk.app, desk.services)
    with desk.browser() as person:
        assert (await person.sign_in()).status_code == 303
        return await person.page("/console/floats")


async def test_without_any_float_the_page_says_so(amina):
    page = await amina.page("/console/floats")
    assert "No float is known" in page.text
    assert "No plan was made yet" in page.text


async def test_levels_demand_and_plan_are_drawn_and_told(desk, store):
    await store.paid(days=30, whole=20_000)
    await store.look()
    store.mpesa.holds = [kes(40_000)]
    await store.look(minutes=15)
    desk.now = store.now
    page = await page_of(desk, store)
    assert "160,000.00 KES to mpesa" in page.text
    assert "mpesa has 40000.00 KES free, below its mark of 50000.00 KES" in page.text
    assert "Below its low mark." in page.text
    assert "Cost800.00 KES" in page.text
    ids = {found["id"] for found in page.all("svg", "title", "desc") if "id" in found}
    drawings = page.all("svg")
    assert len(drawings) == 3, "two levels and a currency"
    for drawing in drawings:
        assert drawing["role"] == "img"
        assert set(drawing["aria-labelledby"].split()) <= ids
    assert {found["class"] for found in page.all("polyline", "polygon", "line")} >= {"past", "ahead", "band", "mark low"}
    assert len(page.all("tr")) == 15, "each day of the forecast in numbers"
    assert "Days that the forecast saw: 30" in page.text
    assert page.all("script") == []
    assert not any("style" in attributes for _, attributes in page.elements)


async def test_a_stale_plan_is_called_so(desk, store):
    store.mpesa.holds = [kes(40_000)]
    await store.look()
    store.mpesa.holds = [kes(41_000)]
    desk.now = store.now.replace(hour=store.now.hour + 2)
    assert "It is stale" in (await page_of(desk, store)).text


async def test_headings_begin_at_one_and_leave_none_out(desk, store):
    store.mpesa.holds = [kes(40_000)]
    await store.look()
    page = await page_of(desk, store)
    levels = [int(tag[1]) for tag, _ in page.elements if tag in ("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels))


def links(page):
    return [found.get("href") for found in page.all("a")]


@pytest.fixture
async def move(desk, store):
    """The only move of a plan that a page can show."""
    store.rules = replace(store.rules, fills=(fill(gives=KES, peg=None, fee_bps=0, lead=24 * HOUR),))
    store.mpesa.holds, store.exchange.holds = [kes(40_000)], [kes(900_000)]
    await store.look()
    desk.now = store.now
    desk.services = replace(desk.services, floats=store.book)
    desk.app.router.routes.clear()
    install(desk.app, desk.services)
    async with transaction(desk.engine) as connection:
        [made] = (await newest_plan(connection)).moves
    return made


async def test_two_people_approve_a_move_and_its_payment_has_its_page(desk, store, move):
    with desk.browser() as amina, desk.browser() as brian:
        assert (await amina.sign_in()).status_code == 303
        assert (await brian.sign_in("brian")).status_code == 303
        page = await amina.page("/console/floats")
        assert f"/console/decide/approve-move/{move.id}" in links(page)
        path = f"/console/decide/approve-move/{move.id}"
        assert (await amina.decide(path)).status_code == 303
        page = await amina.page("/console/floats")
        assert "It iswaits for a second person" in page.text
        assert path not in links(page)
        again = await amina.decide(path)
        assert (again.status_code, "another operator has to approve it" in again.text) == (409, True)
        assert (await brian.decide(path)).status_code == 303
        page = await brian.page("/console/floats")
        assert "It isapproved, not begun" in page.text
        assert "Reserved for approved moves160,000.00 KES" in page.text
        [(order,)] = await desk.run("SELECT order_id FROM float_runs")
        assert order in (await brian.page(f"/console/payouts/{order}")).text
        await run_moves(desk.engine, rails=store.rails, clock=lambda: store.now)
        page = await brian.page(f"/console/payouts/{order}")
        assert "160,000.00 KES: paid" in page.text
        assert "It ispaid, on its way" in (await brian.page("/console/floats")).text
        path = f"/console/decide/move-arrived/{move.id}"
        assert (await brian.decide(path, reference="line 7")).status_code == 303
        assert "It isarrived" in (await brian.page("/console/floats")).text
        await brian.page("/console/payouts")
    said = [(operator, action) for operator, action, _ in await desk.decided()]
    assert said == [("amina", "float.propose"), ("brian", "float.approve"), ("brian", "float.arrived")]


async def test_a_second_click_on_approve_changes_nothing(desk, move):
    desk.services = replace(desk.services, payouts=ResolutionRules(above=Money(10**9, USD), dollars={"KES"}))
    desk.app.router.routes.clear()
    install(desk.app, desk.services)
    with desk.browser() as amina:
        await amina.sign_in()
        path = f"/console/decide/approve-move/{move.id}"
        asked = await amina.post(path, await amina.form(path) | {"reason": "M-Pesa runs dry"})
        fields = hidden(Outline(asked.text))
        first, second = await asyncio.gather(amina.post(path, fields), amina.post(path, fields))
        assert sorted((first.status_code, second.status_code)) == [303, 409]
        assert (await amina.post(path, fields)).status_code == 409
        stranger = await amina.post(path, fields, **{"sec-fetch-site": "cross-site", "origin": "https://elsewhere.example"})
        assert stranger.status_code == 403
        assert (await amina.decide(f"/console/decide/refuse-move/{move.id}")).status_code == 303
        assert "It iscancelled" in (await amina.page("/console/floats")).text
    assert [action for _, action, _ in await desk.decided()] == ["float.approve", "float.cancel"]
