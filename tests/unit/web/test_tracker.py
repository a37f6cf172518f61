from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import httpx
import pytest

from gateway.money import Money
from gateway.orders.states import S
from gateway.pricing.requests import QuoteRequest
from gateway.web.qr import qr_svg
from tests.unit.web.site import (
    ADDRESS,
    MANY,
    NOW,
    TOKEN,
    TX,
    UGX,
    USDC,
    USDT,
    Outline,
    Site,
    deposit,
    offer,
    order,
    quote,
    terms,
)

PAGE = f"/t/{TOKEN}"
URI = f"ethereum:0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913@8453/transfer?address={ADDRESS}&uint256=99977543"


async def see(client: httpx.AsyncClient) -> Outline:
    answer = await client.get(PAGE)
    assert answer.status_code == 200
    return Outline(answer.text)


async def test_the_deposit_page_says_what_to_send_where_and_until_when(client: httpx.AsyncClient, site: Site) -> None:
    site.view = order()
    answer = await client.get(PAGE)
    page = Outline(answer.text)
    assert page.one("data", id="amount")["value"] == "99.977543"
    assert "Send exactly 99.977543 USDC" in page.text
    assert ADDRESS in page.text
    assert "Base chain 8453" in page.text
    assert "Send only USDC, and only on Base." in page.text
    assert "15 minutes left" in page.text
    assert site.view.expires_at.isoformat() in [time["datetime"] for time in page.all("time")]
    assert {link["href"] for link in page.all("a")} >= {URI}
    assert qr_svg(URI) in answer.text
    assert f"https://pay.example/t/{TOKEN}" in page.text


def test_the_picture_takes_any_size_and_holds_no_markup_of_the_text() -> None:
    svg = qr_svg('"><script>alert(1)</script>')
    picture = Outline(svg)
    assert [tag for tag, _ in picture.elements] == ["svg", "path"]
    assert "viewbox" in picture.one("svg")
    assert "width" not in picture.one("svg")


async def test_nobody_is_asked_to_pay_after_the_deadline(client: httpx.AsyncClient, site: Site) -> None:
    site.view = order()
    site.now = site.view.expires_at - timedelta(seconds=1)
    assert ADDRESS in (await see(client)).text
    site.now = site.view.expires_at
    page = await see(client)
    assert ADDRESS not in page.text
    assert not page.all("svg")


@pytest.mark.parametrize("state", [state for state in S if state is not S.AWAITING_DEPOSIT])
async def test_nobody_is_asked_to_pay_again(client: httpx.AsyncClient, site: Site, state: S) -> None:
    site.view = order(state, received=99_977_543)
    page = await see(client)
    assert ADDRESS not in page.text
    assert not page.all("svg")


async def test_what_is_missing_can_be_topped_up_in_time(client: httpx.AsyncClient, site: Site) -> None:
    site.view = order(S.HELD, received=60_000_000)
    page = await see(client)
    assert page.one("data", id="amount")["value"] == "39.977543"
    assert "Arrived60.00 USDC" in page.text
    assert "Still missing39.977543 USDC" in page.text
    assert page.one("div", **{"class": "journey"})["data-look"] == "4"


async def test_a_coin_that_is_no_longer_taken_is_not_asked_for(site: Site) -> None:
    site.view = order()
    other = Site(offer=offer(terms("UG", UGX), tokens=(MANY.tokens["polygon", "USDT"],)), view=site.view)
    async with other.open() as client:
        site.asked.clear()
        page = Outline((await client.get(PAGE)).text)
    assert ADDRESS not in page.text


@pytest.mark.parametrize(
    ("state", "stage", "past"),
    [
        (S.AWAITING_DEPOSIT, "Waiting for the payment", 0),
        (S.CONFIRMING, "Payment seen", 1),
        (S.FUNDED, "Payment confirmed", 2),
        (S.PAYING, "On its way", 3),
        (S.PAID, "Delivered", 4),
    ],
)
async def test_the_present_stage_is_marked(client: httpx.AsyncClient, site: Site, state: S, stage: str, past: int) -> None:
    site.view = order(state, received=99_977_543 if state in (S.FUNDED, S.PAYING, S.PAID) else 0)
    page = await see(client)
    assert page.one("li", **{"aria-current": "step"})["class"] == "present"
    assert len(page.all("li", **{"class": "past"})) == past
    assert f"{stage} (now)" in page.text


async def test_delivery_shows_the_receipt_and_the_transfers(client: httpx.AsyncClient, site: Site) -> None:
    site.view = order(S.PAID, received=99_977_543, unallocated=Money(5_000_000, USDC))
    page = await see(client)
    for part in ("SLE7XK21PQ", TX, "12,830.00 KES", "Kept for the sender5.00 USDC", "The recipient"):
        assert part in page.text


async def test_the_page_masks_whom_it_pays(client: httpx.AsyncClient, site: Site) -> None:
    for state in S:
        site.view = order(state)
        for path in (PAGE, f"{PAGE}/status"):
            answer = await client.get(path)
            assert "Mwangi" not in answer.text
            assert "Wanjiku M" in answer.text
            assert "712" not in Outline(answer.text).text


async def test_without_scripts_the_page_comes_back_by_itself(client: httpx.AsyncClient, site: Site) -> None:
    for state, seconds in ((S.AWAITING_DEPOSIT, "8"), (S.PAYING, "8"), (S.UNCERTAIN, "60"), (S.EXPIRED, "60")):
        site.view = order(state)
        answer = await client.get(PAGE)
        assert f'<noscript><meta http-equiv="refresh" content="{seconds}"></noscript>' in answer.text
    site.view = order(S.PAID)
    page = await see(client)
    assert not page.all("meta", **{"http-equiv": "refresh"})
    assert page.one("div", **{"class": "journey"})["data-look"] == ""


async def test_the_live_part_is_the_page_s_own_and_costs_nothing_while_nothing_changes(
    client: httpx.AsyncClient, site: Site
) -> None:
    site.view = order()
    whole = await client.get(PAGE)
    live = Outline(whole.text).one("div", id="live")
    first = await client.get(live["data-from"])
    assert first.headers["etag"] == live["data-tag"]
    assert first.text in whole.text
    site.now = NOW + timedelta(minutes=3)
    asked = {"if-none-match": live["data-tag"]}
    same = await client.get(live["data-from"], headers=asked)
    assert (same.status_code, same.content) == (304, b"")
    site.view = order(S.CONFIRMING)
    news = await client.get(live["data-from"], headers=asked)
    assert news.status_code == 200
    assert "The payment has been seen" in news.text


async def test_the_live_part_changes_when_the_time_to_pay_is_over(client: httpx.AsyncClient, site: Site) -> None:
    site.view = order()
    tag = (await client.get(f"{PAGE}/status")).headers["etag"]
    site.now = site.view.expires_at
    assert (await client.get(f"{PAGE}/status", headers={"if-none-match": tag})).status_code == 200


async def test_a_transfer_in_another_coin_is_shown_as_what_it_is(client: httpx.AsyncClient, site: Site) -> None:
    site.view = replace(order(), deposits=(deposit(amount=Money(7_000_000, USDT), status="orphaned"),))
    assert "7.00 USDT, dropped by the network" in (await see(client)).text


async def test_the_page_says_what_the_payment_cost_and_what_is_left_in_the_hand(
    client: httpx.AsyncClient, site: Site
) -> None:
    site.view = order()
    assert not (await see(client)).all("details", id="cost")
    asked = QuoteRequest(
        partner_id=None,
        chain="base",
        asset="USDC",
        send_amount="100",
        country="KE",
        currency="KES",
        method="mobile_money",
        receive_amount=None,
    )
    priced = quote(asked, offer=site.offer, now=NOW)
    site.priced = replace(priced, parts=replace(priced.parts, cash_out=Money(20_000, priced.receive.asset)))
    page = await see(client)
    assert page.one("details", id="cost")
    for part in ("Total cost: 2.", "Your coins are worth12,920.00", "Our fee\N{MINUS SIGN} 25.00", "In their hand12,630.00"):
        assert part in page.text.replace("\u202f", " ")
