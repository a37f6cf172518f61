"""From the form to the order, on a real database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db.session import transaction
from gateway.ledger.post import register_assets
from gateway.pricing.models import RateObservation
from gateway.web.routes import WebServices, install
from tests.unit.web.site import ADDRESS, FILLED, KES, URL, USDC, Outline, offer

LATER = timedelta(minutes=15)


@dataclass
class Pages:
    client: httpx.AsyncClient
    engine: AsyncEngine
    now: datetime

    async def confirming(self, **changes: str) -> dict[str, str]:
        """Post the form; what the page's confirming form would post."""
        answer = await self.client.post("/quote", data=FILLED | changes)
        assert answer.status_code == 200
        return {found["name"]: found["value"] for found in Outline(answer.text).all("input", type="hidden")}

    async def count(self, table: str) -> int:
        async with transaction(self.engine) as connection:
            return int((await connection.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one())


@pytest.fixture
async def pages(engine: AsyncEngine) -> AsyncIterator[Pages]:
    app = FastAPI()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=URL) as client:
        made = Pages(client=client, engine=engine, now=datetime.now(UTC))
        services = WebServices(
            engine=engine, offer=offer(), factories={8453: ADDRESS}, public_url=URL, clock=lambda: made.now
        )
        install(app, services)
        async with transaction(engine) as connection:
            await register_assets(connection, assets=[USDC, KES])
            await connection.execute(
                insert(RateObservation).values(
                    source="desk", base="USD", quote="KES", num=1292, den=10, as_of=made.now, fetched_at=made.now
                )
            )
        yield made


async def test_a_confirmed_quote_is_an_order_with_a_page(pages: Pages) -> None:
    fields = await pages.confirming()
    answer = await pages.client.post("/orders", data=fields)
    assert answer.status_code == 303
    path, _, tracking_token = answer.headers["location"].rpartition("/")
    assert path == "/t"
    assert len(tracking_token) == 32
    page = Outline((await pages.client.get(answer.headers["location"])).text)
    assert page.one("data", id="amount")["value"] == "99.996889"
    assert "Wanjiku M" in page.text
    async with transaction(pages.engine) as connection:
        row = (await connection.execute(text("SELECT name, account FROM recipients"))).one()
    assert tuple(row) == ("Wanjiku Mwangi", "+254712345678")


async def test_the_same_confirmation_twice_leads_to_the_same_order(pages: Pages) -> None:
    fields = await pages.confirming()
    answers = await asyncio.gather(*(pages.client.post("/orders", data=fields) for _ in range(5)))
    pages.now += LATER
    answers.append(await pages.client.post("/orders", data=fields | {"phone": "+254712345678"}))
    assert {answer.status_code for answer in answers} == {303}
    assert len({answer.headers["location"] for answer in answers}) == 1
    assert await pages.count("orders") == 1


@pytest.mark.parametrize("change", [{"phone": "0722 345 678"}, {"name": "Wanjiku Mwangi Otieno"}])
async def test_a_used_quote_leads_nobody_else_to_its_order(pages: Pages, change: dict[str, str]) -> None:
    fields = await pages.confirming()
    location = (await pages.client.post("/orders", data=fields)).headers["location"]
    answer = await pages.client.post("/orders", data=fields | change)
    assert answer.status_code == 409
    assert "This quote was already used for an order." in answer.text
    assert location.rpartition("/")[2] not in answer.text
    assert await pages.count("orders") == 1


async def test_an_expired_quote_offers_a_new_one_with_the_same_data(pages: Pages) -> None:
    fields = await pages.confirming()
    pages.now += LATER
    answer = await pages.client.post("/orders", data=fields)
    page = Outline(answer.text)
    assert answer.status_code == 409
    assert "This quote expired at" in page.text
    assert await pages.count("orders") == 0
    again = {found["name"]: found["value"] for found in page.all("input", type="hidden")}
    assert again == FILLED | {"second": "", "speed": "standard", "institution": ""}
    renewed = await pages.client.post(page.one("form")["action"], data=again)
    assert renewed.status_code == 200
    assert fields["quote_id"] not in renewed.text


async def test_a_quote_of_nobody_or_of_a_partner_is_no_quote(pages: Pages) -> None:
    fields = await pages.confirming()
    async with transaction(pages.engine) as connection:
        await connection.execute(text("SET LOCAL session_replication_role = replica"))  # no partner is needed
        await connection.execute(text("CREATE TEMP TABLE of_partner AS SELECT * FROM quotes"))
        await connection.execute(text("UPDATE of_partner SET id = 'quo_partner', partner_id = 'ptn_1'"))
        await connection.execute(text("INSERT INTO quotes SELECT * FROM of_partner"))
    texts = []
    for quote_id in ("quo_partner", "quo_nobody"):
        answer = await pages.client.post("/orders", data=fields | {"quote_id": quote_id, "phone": "12"})
        assert answer.status_code == 409
        texts.append(answer.text)
    assert texts[0] == texts[1]
    assert await pages.count("orders") == 0


@pytest.mark.parametrize("change", [{"phone": "12"}, {"name": ""}, {"phone": "+1 212 555 0100"}])
async def test_what_was_changed_on_the_way_is_checked_again(pages: Pages, change: dict[str, str]) -> None:
    fields = await pages.confirming()
    answer = await pages.client.post("/orders", data=fields | change)
    assert answer.status_code == 422
    assert Outline(answer.text).one("input", name=next(iter(change)))["aria-invalid"] == "true"
    assert await pages.count("orders") == 0


@pytest.mark.parametrize("change", [{"amount": "1e5"}, {"phone": "12"}, {"corridor": "XX-XXX-cash"}, {"amount": "1"}])
async def test_a_wrong_form_writes_nothing(pages: Pages, change: dict[str, str]) -> None:
    assert (await pages.client.post("/quote", data=FILLED | change)).status_code == 422
    assert await pages.count("quotes") == 0


async def test_without_a_fresh_rate_there_is_no_price(pages: Pages) -> None:
    pages.now += timedelta(hours=3)
    answer = await pages.client.post("/quote", data=FILLED)
    assert answer.status_code == 503
    assert await pages.count("quotes") == 0


async def test_the_live_part_follows_the_order(pages: Pages) -> None:
    location = (await pages.client.post("/orders", data=await pages.confirming())).headers["location"]
    first = await pages.client.get(f"{location}/status")
    assert (
        await pages.client.get(f"{location}/status", headers={"if-none-match": first.headers["etag"]})
    ).status_code == 304
    async with transaction(pages.engine) as connection:
        await connection.execute(text("UPDATE orders SET state = 'confirming'"))
    news = await pages.client.get(f"{location}/status", headers={"if-none-match": first.headers["etag"]})
    assert "The payment has been seen" in news.text
