"""Money that fits no order: listed, filtered, and resolved by a named person."""

from __future__ import annotations

import pytest

from gateway.desk.judge import Kind, Way
from gateway.web.console import money
from gateway.web.console.decisions import DECISIONS
from gateway.web.console.money import KINDS, WAYS
from tests.factories import USDC, USDT, make_deposit
from tests.integration.desk.office import LATE
from tests.integration.web.console.conftest import TOKENS
from tests.unit.web.site import Outline

ADDRESS = "0x90F79bf6EB2c4f870365E785982E1f101E93b906"


@pytest.fixture
async def late(office):
    return await office.late()


@pytest.fixture
async def second(office):
    """An order that was paid in time, and again."""
    order = await office.order()
    await office.pay(order)
    await office.pay(order, units=4_000_000)
    return order


def links(page: Outline) -> set[str]:
    return {link["href"] for link in page.all("a") if "/decide/" in link["href"]}


def test_every_kind_and_every_way_has_words_and_every_way_a_decision():
    assert KINDS.keys() == set(Kind)
    assert WAYS.keys() == set(Way)
    assert {name for name, _ in WAYS.values()} <= DECISIONS.keys()


async def test_the_list_says_what_it_is_where_it_lies_and_what_can_be_done(amina, late, second):
    page = await amina.page("/console/deposits")
    assert "Late: after the quote's end" in page.text
    assert "10.00 USDC" in page.text
    assert "4.00 USDC" in page.text
    held, beside = late.order_id, f"{second.order_id}/{USDC.code}"
    assert {f"/console/decide/requote/{held}/{USDC.code}", f"/console/decide/refund-order/{held}/{USDC.code}"} <= links(page)
    assert {f"/console/decide/refund/{beside}", f"/console/decide/write-off/{beside}"} <= links(page)
    for link in links(page):
        assert (await amina.client.get(link)).status_code == 200


async def test_it_is_filtered_by_kind_and_by_order(amina, late, second):
    only = await amina.page("/console/deposits?kind=second")
    assert second.order_id in only.text
    assert late.order_id not in only.text
    only = await amina.page(f"/console/deposits?order={late.order_id}")
    assert late.order_id in only.text
    assert second.order_id not in only.text
    for strange in ("kind=nonsense", "order=%00", "after=%00", "order=" + "x" * 400, "order=<b>"):
        assert (await amina.client.get(f"/console/deposits?{strange}")).status_code == 200


async def test_it_is_shown_in_pages(office, amina, monkeypatch):
    monkeypatch.setattr(money, "PAGE", 3)
    orders = [await office.order() for _ in range(8)]
    for order in orders:
        await make_deposit(office.engine, order, at=LATE)
    await office.pay(orders[0], at=LATE)
    seen, path = [], "/console/deposits?kind=late"
    while path:
        page = await amina.page(path)
        here = [order.order_id for order in orders if order.order_id in page.text]
        assert len(here) <= 3
        seen += here
        more = [link["href"] for link in page.all("a") if "after=" in link["href"]]
        path = more[0] if more else ""
    assert sorted(seen) == sorted(order.order_id for order in orders)


async def test_money_goes_back_to_a_confirmed_address_only(desk, amina, second):
    subject = f"{second.order_id}/{USDC.code}"
    refused = await amina.decide(f"/console/decide/refund/{subject}")
    assert refused.status_code == 409
    assert await desk.run("SELECT * FROM refunds") == []
    wrong = await amina.decide(
        f"/console/decide/refund-address/{second.order_id}", address=ADDRESS.replace("F", "f"), evidence="their letter"
    )
    assert "capital letters" in wrong.text
    confirmed = await amina.decide(
        f"/console/decide/refund-address/{second.order_id}", address=ADDRESS, evidence="their letter of today"
    )
    assert confirmed.status_code == 303
    done = await amina.decide(f"/console/decide/refund/{subject}", amount="1.5", reason="they asked for it")
    assert done.status_code == 303
    assert await desk.run("SELECT order_id, units, address, owner, reason FROM refunds") == [
        (second.order_id, 1_500_000, ADDRESS.lower(), "operator:amina", "they asked for it")
    ]
    assert [action for _, action, _ in await desk.decided()] == ["refund.address", "refund.order"]


@pytest.mark.parametrize("amount", ["x", "-1", "0", "1e3", "1.0000001", "99999", "1,5", "٣"])
async def test_an_amount_that_is_none_or_too_much_is_refused_with_a_sentence(desk, amina, second, amount):
    await amina.decide(f"/console/decide/refund-address/{second.order_id}", address=ADDRESS, evidence="their letter")
    answer = await amina.decide(f"/console/decide/refund/{second.order_id}/{USDC.code}", amount=amount)
    assert answer.status_code == 409
    assert Outline(answer.text).one("p", role="alert")
    assert Outline(answer.text).one("input", name="amount")["value"] == amount
    assert await desk.run("SELECT * FROM refunds") == []


async def test_a_held_order_gets_a_new_price_and_goes_on_when_they_agree(desk, amina, late):
    path = f"/console/decide/requote/{late.order_id}/{USDC.code}"
    assert (await amina.decide(path, reason="they wrote to us")).status_code == 303
    page = await amina.page(f"/console/deposits?order={late.order_id}")
    (accept,) = [link for link in links(page) if "/accept/" in link]
    assert (await amina.decide(accept, reason="they agreed on the phone at 14:10")).status_code == 303
    assert await desk.run("SELECT state FROM orders") == [("funded",)]
    assert [action for _, action, _ in await desk.decided()] == ["deposits.requote", "deposits.accept"]
    again = await amina.client.get(accept)
    assert "Agreed" in again.text


async def test_an_order_whose_price_does_not_hold_is_not_released(desk, amina, late):
    answer = await amina.decide(f"/console/decide/release/{late.order_id}")
    assert answer.status_code == 409
    assert "arrived after the quote" in answer.text
    assert await desk.run("SELECT state FROM orders") == [("held",)]


async def test_only_what_is_worth_less_than_its_way_back_is_written_off(desk, office, amina, second):
    path = f"/console/decide/write-off/{second.order_id}/{USDC.code}"
    assert "are worth more than" in (await amina.decide(path, cost="0.40")).text
    await office.pay(second, units=5_000, asset=USDT)
    path = f"/console/decide/write-off/{second.order_id}/{USDT.code}"
    assert (await amina.decide(path, cost="0.40")).status_code == 303
    assert (await amina.decide(path.replace("write-off", "take-back"))).status_code == 303
    assert [action for _, action, _ in await desk.decided()] == ["deposits.write_off", "deposits.take_back"]


async def test_more_money_between_look_and_confirmation_is_looked_at_again(desk, office, amina, second):
    path = f"/console/decide/write-off/{second.order_id}/{USDC.code}"
    form = await amina.form(path) | {"cost": "9", "reason": "why", "confirmed": "yes"}
    await office.pay(second, units=3_000_000)
    answer = await amina.post(path, form)
    assert "has changed since you looked" in answer.text
    assert await desk.decided() == []


async def test_coins_at_an_address_are_swept_by_a_persons_order(desk, amina, second):
    page = await amina.page(f"/console/deposits?order={second.order_id}")
    (link,) = {link for link in links(page) if "/recover/" in link}
    assert link.endswith(f"/{second.order_id}/31337/{TOKENS[USDC].lower()}")
    assert (await amina.decide(link, reason="they want it back soon")).status_code == 303
    assert await desk.run("SELECT operator, outcome FROM sweeps") == [("amina", None)]
    again = await amina.decide(link)
    assert "on its way takes these coins already" in again.text
    assert [action for _, action, _ in await desk.decided()] == ["deposits.recover"]


async def test_a_recipients_name_is_shown_as_text(desk, amina, late):
    hostile = "<script>alert(1)</script><img src=x onerror=alert(2)>"
    await desk.run("UPDATE recipients SET name = :name", name=hostile)
    page = await amina.page(f"/console/decide/release/{late.order_id}")
    assert hostile in page.text
    assert page.all("script", "img") == []


@pytest.fixture
async def stray(desk, second):
    """A transfer of a contract that calls itself something."""
    tx_hash = "0x" + "ab" * 32
    await desk.run(
        """
        INSERT INTO strays (chain_id, identity, address, token, sender, units, block_number, found_at)
        SELECT 31337, :identity, deposit_address, :token, :token, 123456789, 7, now() FROM orders WHERE id = :id
        """,
        identity=f"{tx_hash}:4",
        token="0x" + "ef" * 20,
        id=second.order_id,
    )
    return f"{second.order_id}/31337/{tx_hash}/4"


async def test_a_transfer_of_a_contract_that_nobody_vouches_for_shows_its_address_and_can_be_closed(desk, amina, stray):
    page = await amina.page("/console/deposits?kind=unsupported_token")
    assert "123456789 smallest units" in page.text
    assert "0xEFefEfefefEFefEFefefefefefefefefefefefEF".lower() in page.text.lower()
    assert f"/console/decide/close-stray/{stray}" in links(page)
    assert (await amina.decide(f"/console/decide/close-stray/{stray}")).status_code == 303
    assert await desk.run("SELECT closed_by FROM strays") == [("amina",)]
    assert "There is none." in (await amina.page("/console/deposits?kind=unsupported_token")).text


@pytest.mark.parametrize("subject", ["x", "x/y/z", "x/31337/0xab", "x/31337/0x" + "AB" * 20, "x/31337/0x" + "ab" * 20])
@pytest.mark.parametrize("kind", ["recover", "close-stray"])
async def test_a_place_that_is_none_is_not_found(amina, kind, subject):
    assert (await amina.client.get(f"/console/decide/{kind}/{subject}")).status_code == 404


@pytest.mark.usefixtures("late", "second")
async def test_the_first_page_says_what_waits(amina):
    page = (await amina.page("/console")).text
    assert "Held orders: 1" in page
    assert "Money that fits no order" in page
    assert "4.00 USDC" in page
