"""What a sender is told before money is sent: how long it takes, and what doesn't work well now."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.offramp import Method
from gateway.orders.states import S
from gateway.pricing.offer import Delivery
from gateway.routing.weather import Place, Reading, State, Weather, Why
from gateway.web import forms
from gateway.web.cautions import caution_of
from tests.unit.web.site import FILLED, KES, NOW, UGX, Outline, Site, offer, order, terms

PHONE, BANK = terms("KE", KES), terms("KE", KES, Method.BANK)
SINCE, UNTIL = NOW - timedelta(minutes=5), NOW + timedelta(minutes=20)
SLOW = Reading(State.DELAYED, Why.SLOW, SINCE)
CLOSED = Reading(State.CLOSED, Why.FAILING, SINCE, UNTIL)
FAIR = Reading(State.OPERATIONAL, Why.WORKS, SINCE)
TWO_WAYS = offer(PHONE, BANK)


class Within:
    """Says of every payout that it is there within so many seconds."""

    def __init__(self, *seconds):
        self.delivery = Delivery(*seconds)

    def expect(self, *_asked, **_when):
        return self.delivery


def place(rail="mpesa", method="mobile_money", institution="", country="KE", currency="KES"):
    return Place(rail, country, currency, method, institution)


@pytest.fixture
async def open_site(monkeypatch):
    """Asks a site whose weather and offer a test sets."""

    async def asking(path, *, weather, given=TWO_WAYS, data=None):
        site = Site(offer=given)
        site.outlooks.weather = Weather(weather)
        monkeypatch.setattr(forms, "make_quote", site.make_quote)
        async with site.open() as client:
            answer = await (client.get(path) if data is None else client.post(path, data=data))
        assert answer.status_code == 200
        return Outline(answer.text)

    return asking


def said(page):
    return bool(page.all("div", id="weather") + page.all("p", id="weather"))


def test_what_works_needs_no_word():
    assert caution_of(PHONE, offer=TWO_WAYS, weather=Weather()) is None
    assert caution_of(PHONE, offer=TWO_WAYS, weather=Weather({place(): FAIR})) is None


def test_one_rail_that_works_is_enough():
    assert caution_of(PHONE, offer=TWO_WAYS, weather=Weather({place(): CLOSED, place("airtel"): FAIR})) is None
    caution = caution_of(PHONE, offer=TWO_WAYS, weather=Weather({place(): CLOSED, place("airtel"): SLOW}))
    assert caution.reading == SLOW


def test_only_ways_that_work_are_suggested():
    slow_bank = {place(): CLOSED, place("bank", "bank"): SLOW}
    assert caution_of(PHONE, offer=TWO_WAYS, weather=Weather(slow_bank)).instead == ()
    works = {place(): CLOSED, place("bank", "bank"): FAIR, place("other", country="UG", currency="UGX"): FAIR}
    many = offer(PHONE, BANK, terms("UG", UGX), terms("KE", KES, Method.CASH))
    assert caution_of(PHONE, offer=many, weather=Weather(works)).instead == (BANK,)


def test_a_bank_s_own_trouble_is_told_to_who_pays_there():
    weather = Weather({place(): FAIR, place(institution="airtel"): SLOW})
    assert caution_of(PHONE, offer=TWO_WAYS, weather=weather) is None
    assert caution_of(PHONE, offer=TWO_WAYS, weather=weather, institution="airtel").reading == SLOW
    assert caution_of(PHONE, offer=TWO_WAYS, weather=weather, institution="mpesa") is None


async def test_the_form_says_nothing_while_all_is_well(open_site):
    assert not said(await open_site("/", weather={place(): FAIR}))


async def test_the_form_warns_before_anything_is_typed(open_site):
    page = await open_site("/", weather={place(): CLOSED, place("bank", "bank"): FAIR})
    assert said(page)
    assert "Kenya: Mobile money, KES (closed)" in page.text
    assert "Kenya: Bank account, KES (" not in page.text
    assert (
        "Kenya, Mobile money: Nothing is paid this way right now. Payments by this service failed. It is tried again soon. "
        "Since 22 Nov, 11:55 UTC. Expected again at 22 Nov, 12:20 UTC. What works: Bank account." in page.text
    )


async def test_the_price_warns_before_it_is_confirmed(open_site):
    page = await open_site("/quote", weather={place(): SLOW, place("bank", "bank"): FAIR}, data=FILLED)
    assert said(page)
    assert (
        "Payments this way are delayed right now. Payments by this service take longer than usual. "
        "Since 22 Nov, 11:55 UTC. What works: Bank account." in page.text
    )
    assert "Your money would wait" not in page.text
    closed = await open_site("/quote", weather={place(): CLOSED}, data=FILLED)
    assert "Your money would wait with us until then." in closed.text


async def test_the_price_says_when_it_is_there(open_site):
    page = await open_site("/quote", weather={}, given=replace(TWO_WAYS, deliveries=Within(110, 580)), data=FILLED)
    assert "Usually there within 2 minutes of your coins being final, almost always within 10 minutes." in page.text
    assert not said(page)


async def test_a_price_of_which_nothing_is_known_says_nothing(open_site):
    assert "Usually there within" not in (await open_site("/quote", weather={}, data=FILLED)).text


async def test_the_tracker_says_by_when_it_is_usually_there(site, client):
    site.view = order(S.PAYING, there_by=UNTIL)
    page = Outline((await client.get(f"/t/{site.view.tracking_token}")).text)
    assert "Usually there by22 Nov, 12:20 UTC" in page.text
    site.view = order(S.PAYING)
    assert "Usually there by" not in (await client.get(f"/t/{site.view.tracking_token}")).text
