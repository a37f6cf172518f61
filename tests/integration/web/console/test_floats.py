"""The page of floats: what is there, what is expected, what to move, all of it also in words."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from gateway.web.routes import install
from tests.integration.treasury.store import Store, kes


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
