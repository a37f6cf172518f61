"""What the order's page asks and takes after a refusal, and the form's optional parts, on a real database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db.session import transaction
from gateway.ledger.post import register_assets
from gateway.money import Money
from gateway.orders.accept import Accepted
from gateway.pricing.models import RateObservation
from gateway.pricing.offer import Economy
from gateway.web.routes import WebServices, install
from tests.factories import FACTORIES, KES, NOW, USDC
from tests.integration.api.desk import OFFER
from tests.integration.payouts.refused import fund, refuse, refused
from tests.unit.web.site import Outline

URL = "https://pay.example"
FORM = {
    "corridor": "KE-KES-mobile_money",
    "token": "USDC-dev",
    "side": "receive",
    "amount": "1249",
    "name": "Wanjiku Mwangi",
    "phone": "0712 345 678",
}


@dataclass
class Visit:
    client: httpx.AsyncClient
    engine: AsyncEngine
    now: datetime = NOW

    async def see(self, order: Accepted, path: str = "", status: int = 200) -> Outline:
        answer = await self.client.get(f"/t/{order.tracking_token}{path}")
        assert answer.status_code == status
        return Outline(answer.text)

    async def answer(self, order: Accepted, account: str, **fields: str) -> httpx.Response:
        given = {"account": account, "method": "mobile_money"} | fields
        return await self.client.post(f"/t/{order.tracking_token}/redirect", data=given)

    async def confirming(self, **changes: str) -> dict[str, str]:
        answer = await self.client.post("/quote", data=FORM | changes)
        assert answer.status_code == 200, Outline(answer.text).text
        return {found["name"]: found["value"] for found in Outline(answer.text).all("input", type="hidden")}

    async def rows(self, sql: str) -> list[tuple[object, ...]]:
        async with transaction(self.engine) as connection:
            return [tuple(row) for row in await connection.execute(text(sql))]


@pytest.fixture
async def visit(engine: AsyncEngine) -> AsyncIterator[Visit]:
    app = FastAPI()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=URL) as client:
        made = Visit(client, engine)
        services = WebServices(engine=engine, offer=OFFER, factories=FACTORIES, public_url=URL, clock=lambda: made.now)
        install(app, services)
        async with transaction(engine) as connection:
            await register_assets(connection, assets=[USDC, KES])
            common = {"base": "USD", "quote": "KES", "den": 10, "as_of": NOW, "fetched_at": NOW}
            rates = [{"source": "one", "num": 1291} | common, {"source": "two", "num": 1293} | common]
            await connection.execute(insert(RateObservation), rates)
        yield made


async def test_a_refusal_is_told_in_plain_words_with_the_way_out(visit: Visit) -> None:
    order = await refused(visit.engine)
    page = await visit.see(order)
    assert "Something is needed from you" in page.text
    assert "it refused the number. The money is safe with us." in page.text
    assert "We do, for you" in page.text
    assert page.one("a", href=f"/t/{order.tracking_token}/redirect")
    assert "did not work" in page.text
    form = await visit.see(order, "/redirect")
    assert "Wanjiku K could not be paid at ••••••••••678." in form.text
    assert "1,249.00 KES" in form.text
    assert form.one("form")["action"] == f"/t/{order.tracking_token}/redirect"
    assert "Kamau" not in form.text


async def test_another_number_is_taken_once_however_often_it_is_posted(visit: Visit) -> None:
    order = await refused(visit.engine)
    answers = await asyncio.gather(*(visit.answer(order, "0722 000 111") for _ in range(5)))
    assert {(answer.status_code, answer.headers["location"]) for answer in answers} == {(303, f"/t/{order.tracking_token}")}
    assert await visit.rows("SELECT account, by FROM recipient_ways JOIN order_redirects USING (order_id, rank)") == [
        ("+254722000111", "tracker")
    ]
    page = await visit.see(order)
    assert "Another way to pay Wanjiku K was given; we are sending 1249.00 KES there." in page.text
    assert "••••••••••111" in page.text
    assert not page.all("a", href=f"/t/{order.tracking_token}/redirect")


@pytest.mark.parametrize(
    ("account", "sentence"),
    [
        ("0722", "This is no mobile number of Kenya."),
        ("", "This is no mobile number of Kenya."),
        ("x" * 5000, "This is no mobile number of Kenya."),
        ("0712345678", "This way to the recipient is given already."),
    ],
)
async def test_a_wrong_number_gets_its_sentence_and_keeps_what_was_typed(visit: Visit, account: str, sentence: str) -> None:
    order = await refused(visit.engine)
    answer = await visit.answer(order, account)
    page = Outline(answer.text)
    assert answer.status_code == 422
    assert sentence in page.text
    field = page.one("input", name="account")
    assert (field["value"], field["aria-invalid"]) == (account[:100], "true")
    assert await visit.rows("SELECT count(*) FROM recipient_ways") == [(0,)]


async def test_what_is_no_question_any_more_is_told_and_not_taken(visit: Visit) -> None:
    order = await refused(visit.engine)
    await visit.answer(order, "0722 000 111")
    answer = await visit.answer(order, "0733 111 222")
    assert answer.status_code == 409
    assert "whom it goes to can't be changed" in Outline(answer.text).text
    assert (await visit.client.get(f"/t/{order.tracking_token}/redirect")).status_code == 303
    for path in ("/t/nobody/redirect", "/t/" + "x" * 80 + "/redirect"):
        assert (await visit.client.get(path)).status_code == 404
        assert (await visit.client.post(path, data={"account": "0733 111 222"})).status_code == 404


async def test_another_site_cannot_redirect_an_order(visit: Visit) -> None:
    order = await refused(visit.engine)
    headers = {"Sec-Fetch-Site": "cross-site"}
    data = {"account": "0722000111", "method": "mobile_money"}
    answer = await visit.client.post(f"/t/{order.tracking_token}/redirect", data=data, headers=headers)
    assert answer.status_code == 403
    assert await visit.rows("SELECT count(*) FROM recipient_ways") == [(0,)]


async def test_failing_over_and_coming_back_are_told_step_by_step(visit: Visit) -> None:
    order = await refused(visit.engine, reason="returned")
    page = await visit.see(order)
    assert "The payment to Wanjiku K came back to us." in page.text
    assert "came back to us," in page.text
    await visit.answer(order, "0722 000 111")
    await refuse(visit.engine, order.order_id, way=1)
    tries = Outline((await visit.client.get(f"/t/{order.tracking_token}")).text)
    assert "Mobile money, ••••••••••678: came back to us" in tries.text
    assert "Mobile money, ••••••••••111: did not work" in tries.text


async def test_the_form_offers_what_the_corridor_does(visit: Visit) -> None:
    visit.now = NOW + timedelta(minutes=1)
    page = Outline((await visit.client.get("/")).text)
    assert page.one("input", name="second")["type"] == "tel"
    assert [found["value"] for found in page.all("input", name="speed")] == ["standard", "economy"]
    assert page.one("input", name="speed", checked="")["value"] == "standard"
    assert "together with others it goes next at 22 Nov, 13:00 UTC and costs 20.00 KES less." in page.text


async def test_economy_and_a_second_number_are_in_the_price_and_in_the_order(visit: Visit) -> None:
    chosen = {"speed": "economy", "second": "0722 000 111", "side": "send", "amount": "10"}
    answer = await visit.client.post("/quote", data=FORM | chosen)
    page = Outline(answer.text)
    assert "They get 1,269.00 KES" in page.text
    assert "it goes at 22 Nov, 12:00 UTC" in page.text
    assert "+254 722 000111" in page.text
    made = await visit.client.post("/orders", data=await visit.confirming(**chosen))
    assert made.status_code == 303
    assert await visit.rows("SELECT speed, drop_every_s, lane FROM orders JOIN quotes ON quotes.id = quote_id") == [
        ("economy", 3600, "KE/KES/mobile_money/economy")
    ]
    assert await visit.rows("SELECT rank, method, account FROM recipient_ways") == [(1, "mobile_money", "+254722000111")]
    order = Accepted(order_id="", tracking_token=made.headers["location"].rpartition("/")[2])
    assert "It is sent together with others at" in (await visit.see(order)).text


async def test_an_order_posted_twice_is_one_only_for_the_same_ways(visit: Visit) -> None:
    fields = await visit.confirming(second="0722 000 111")
    first = await visit.client.post("/orders", data=fields)
    again = await visit.client.post("/orders", data=fields)
    assert again.headers["location"] == first.headers["location"]
    for second in ("", "0733 111 222"):
        assert (await visit.client.post("/orders", data=fields | {"second": second})).status_code == 409


async def test_an_order_that_was_redirected_since_is_still_the_same_post(visit: Visit) -> None:
    fields = await visit.confirming()
    first = await visit.client.post("/orders", data=fields)
    [(order_id,)] = await visit.rows("SELECT id FROM orders")
    order = Accepted(order_id=str(order_id), tracking_token=first.headers["location"].rpartition("/")[2])
    await fund(visit.engine, order)
    await refuse(visit.engine, order.order_id)
    await visit.answer(order, "0722 000 111")
    assert (await visit.client.post("/orders", data=fields)).headers["location"] == first.headers["location"]


@pytest.mark.parametrize(
    ("second", "sentence"),
    [("0722", "This is no mobile number of Kenya."), ("+254712345678", "This way to the recipient is given already.")],
)
async def test_a_wrong_second_number_gets_its_sentence_at_its_field(visit: Visit, second: str, sentence: str) -> None:
    answer = await visit.client.post("/quote", data=FORM | {"second": second})
    page = Outline(answer.text)
    assert answer.status_code == 422
    assert page.one("input", name="second")["aria-invalid"] == "true"
    assert sentence in page.text
    assert page.all("a", href="#second")
    assert await visit.rows("SELECT count(*) FROM quotes") == [(0,)]


def test_a_saving_is_named_only_where_there_is_one() -> None:
    from gateway.web.sending import _drop

    [terms] = OFFER.corridors.values()
    assert _drop(terms, now=NOW).saving == Money(2_000, KES)
    dearer = replace(terms, economy=Economy(every=timedelta(hours=1), fee=terms.fee))
    assert _drop(dearer, now=NOW).saving is None
