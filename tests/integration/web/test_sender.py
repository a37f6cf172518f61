"""What a sender does on the order's page, without scripts: agree to a new price, give and prove a refund address."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

import httpx
import pytest
from eth_account import Account
from eth_account.messages import encode_defunct
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.web.routes import WebServices, install
from tests.factories import FACTORIES, USDC
from tests.integration.desk.office import RULES, TTL, Office, offer, stock
from tests.unit.web.site import Outline

URL = "https://pay.example"
KEY = "0x" + "17" * 32
OWNER = Account.from_key(KEY).address
MINE = Account.from_key("0x" + "31" * 32).address


@dataclass
class Visit:
    office: Office
    client: httpx.AsyncClient

    async def see(self, order, path="", status=200):
        answer = await self.client.get(f"/t/{order.tracking_token}{path}")
        assert answer.status_code == status
        return Outline(answer.text)

    async def post(self, order, path, **fields):
        return await self.client.post(f"/t/{order.tracking_token}{path}", data=fields)


@pytest.fixture
async def visit(engine: AsyncEngine) -> AsyncIterator[Visit]:
    await stock(engine)
    office, app = Office(engine, offer()), FastAPI()
    install(
        app,
        WebServices(
            engine=engine,
            offer=office.offer,
            factories=FACTORIES,
            public_url=URL,
            clock=lambda: office.now,
            desk=RULES,
        ),
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=URL) as client:
        yield Visit(office, client)


def hidden(page):
    return {found["name"]: found["value"] for found in page.all("input", type="hidden")}


async def test_an_order_like_most_is_asked_nothing(visit):
    order = await visit.office.order()
    await visit.office.pay(order)
    page = await visit.see(order)
    assert not page.all("form")
    assert "A new price" not in page.text
    assert "should go back" not in page.text


async def test_a_new_price_is_shown_with_all_of_it_and_agreed_to_by_a_button(visit):
    order = await visit.office.late()
    assert "A new price" not in (await visit.see(order)).text
    requote = await visit.office.propose(order)
    page = await visit.see(order)
    for part in (
        "A new price for what arrived",
        "10.00 USDC",
        visit_money(requote),
        "127.9080 KES",
        "30.00 KES",
        "15 minutes",
    ):
        assert part in page.text, part
    form = page.one("form", action=f"/t/{order.tracking_token}/consent")
    assert form["method"] == "post"
    answer = await visit.post(order, "/consent", **hidden(page))
    assert (answer.status_code, answer.headers["location"]) == (303, f"/t/{order.tracking_token}")
    assert await visit.office.state(order.order_id) == "funded"
    assert await visit.office.one("SELECT consent_by FROM requotes") == "tracker"
    again = await visit.post(order, "/consent", **hidden(page))
    assert again.status_code == 303
    assert "A new price" not in (await visit.see(order)).text


def visit_money(requote):
    return f"{requote.quote.receive.units // 100:,}.{requote.quote.receive.units % 100:02d} KES"


async def test_money_beside_leads_to_the_page_of_its_own_order(visit):
    order = await visit.office.order()
    await visit.office.pay(order)
    await visit.office.pay(order, units=5_000_000, block=9)
    await visit.office.propose(order)
    page = await visit.see(order)
    answer = await visit.post(order, "/consent", **hidden(page))
    there = answer.headers["location"]
    assert there != f"/t/{order.tracking_token}"
    assert (await visit.client.get(there)).status_code == 200
    assert {"href": there} in [{"href": link["href"]} for link in (await visit.see(order)).all("a")]


async def test_what_cannot_be_agreed_to_any_more_says_why_and_changes_nothing(visit):
    order = await visit.office.late()
    requote = await visit.office.propose(order)
    page = await visit.see(order)
    visit.office.now += TTL
    answer = await visit.post(order, "/consent", **hidden(page))
    assert answer.status_code == 409
    assert "This offer ended at" in answer.text
    assert "A new price" not in (await visit.see(order)).text
    for wrong in ("", "x" * 9_000, "\u0000"):
        assert (await visit.post(order, "/consent", requote_id=wrong)).status_code == 409
    assert await visit.office.state(order.order_id) == "held"
    other = await visit.office.late()
    assert (await visit.post(other, "/consent", requote_id=requote.id)).status_code == 409


async def test_no_other_site_agrees_in_the_senders_name(visit):
    order = await visit.office.late()
    requote = await visit.office.propose(order)
    for headers in ({"sec-fetch-site": "cross-site"}, {"origin": "https://evil.example"}):
        answer = await visit.client.post(
            f"/t/{order.tracking_token}/consent", data={"requote_id": requote.id}, headers=headers
        )
        assert answer.status_code == 403
    assert await visit.office.state(order.order_id) == "held"
    unknown = await visit.client.post("/t/unknown/consent", data={"requote_id": requote.id})
    assert unknown.status_code == 404


async def test_an_address_is_given_proven_and_then_shown(visit):
    order = await visit.office.late()
    await visit.office.run("UPDATE deposits SET sender = :sender", sender=OWNER.lower())
    page = await visit.see(order)
    assert page.one("a", href=f"/t/{order.tracking_token}/refund")
    assert (await visit.see(order, "/refund")).one("input", name="address")["value"] == ""
    wrong = await visit.post(order, "/refund", address=' "><b>0x12')
    assert wrong.status_code == 422
    found = Outline(wrong.text).one("input", name="address")
    assert (found["value"], found["aria-invalid"]) == ('"><b>0x12', "true")
    answer = await visit.post(order, "/refund", address=MINE.lower())
    assert answer.status_code == 200
    page = Outline(answer.text)
    fields = hidden(page)
    assert fields["address"] == MINE
    text = answer.text.partition('<pre id="text">')[2].partition("</pre>")[0]
    assert order.order_id in text
    signature = bytes(Account.sign_message(encode_defunct(text=text), KEY).signature).hex()
    bad = await visit.post(order, "/proof", **fields, signature="0x" + "11" * 65)
    assert bad.status_code == 422
    assert await visit.office.one("SELECT count(*) FROM refund_addresses") == 0
    retry = Outline(bad.text)
    assert hidden(retry) == fields
    assert f'<pre id="text">{text}</pre>' in bad.text
    done = await visit.post(order, "/proof", **fields, signature=f" 0x{signature}\n")
    assert (done.status_code, done.headers["location"]) == (303, f"/t/{order.tracking_token}")
    assert MINE in (await visit.see(order)).text


@pytest.mark.parametrize("until", ["", "soon", "9" * 30, "-1", "1e9"])
async def test_a_tampered_proof_begins_anew(visit, until):
    order = await visit.office.late()
    answer = await visit.post(order, "/proof", address=MINE, until=until, signature="0x11")
    assert answer.status_code in (200, 422)
    assert Outline(answer.text).one("input", name="address")
    assert await visit.office.one("SELECT count(*) FROM refund_addresses") == 0


async def test_a_proof_in_another_orders_page_is_none(visit):
    first, second = await visit.office.late(), await visit.office.late()
    await visit.office.run("UPDATE deposits SET sender = :sender", sender=OWNER.lower())
    answer = await visit.post(first, "/refund", address=MINE)
    text = answer.text.partition('<pre id="text">')[2].partition("</pre>")[0]
    signature = "0x" + bytes(Account.sign_message(encode_defunct(text=text), KEY).signature).hex()
    fields = hidden(Outline(answer.text)) | {"signature": signature}
    assert (await visit.post(second, "/proof", **fields)).status_code == 422
    visit.office.now += timedelta(hours=1, seconds=1)
    late = await visit.post(first, "/proof", **fields)
    assert "can no longer be signed" in late.text
    assert await visit.office.one("SELECT count(*) FROM refund_addresses") == 0


async def test_the_live_part_tells_of_a_new_price(visit):
    order = await visit.office.late()
    path = f"/t/{order.tracking_token}/status"
    tag = (await visit.client.get(path)).headers["etag"]
    assert (await visit.client.get(path, headers={"if-none-match": tag})).status_code == 304
    await visit.office.propose(order)
    news = await visit.client.get(path, headers={"if-none-match": tag})
    assert (news.status_code, "A new price" in news.text) == (200, True)
    assert USDC.symbol in news.text
