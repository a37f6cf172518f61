"""The ECB's source against its simulator, over real HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from gateway.pricing.ecb_simulator import app, published
from gateway.pricing.sources import SourceFault
from gateway.pricing.sources.ecb import PATH, Ecb, EcbSettings
from tests.integration.pricing.conftest import NOON, served

FRANKFURT = ZoneInfo("Europe/Berlin")


class Bank:
    def __init__(self, url: str) -> None:
        self.url, self.now = url, NOON

    def tell(self, what: str, document: dict[str, Any]) -> int:
        return httpx.put(f"{self.url}/_sim/{what}", json=document, trust_env=False).status_code

    async def fetch(self) -> dict[str, Fraction]:
        source = Ecb(EcbSettings(name="ecb", currencies=("KES", "MXN", "ZAR"), base_url=self.url))
        return {one.quote: one.price for one in await source.fetch(self.now)}


@pytest.fixture(scope="module")
def running_bank() -> Iterator[Bank]:
    made = Bank("")
    with served(app(clock=lambda: made.now)) as made.url:
        yield made


@pytest.fixture
def bank(running_bank: Bank) -> Bank:
    running_bank.now = NOON
    running_bank.tell("faults", {})
    return running_bank


@pytest.mark.parametrize(
    ("now", "day"),
    [
        (datetime(2026, 11, 20, 16, 0, tzinfo=FRANKFURT), date(2026, 11, 20)),
        (datetime(2026, 11, 20, 15, 59, tzinfo=FRANKFURT), date(2026, 11, 19)),
        (datetime(2026, 11, 22, 23, 0, tzinfo=FRANKFURT), date(2026, 11, 20)),
        (datetime(2026, 11, 23, 15, 0, tzinfo=FRANKFURT), date(2026, 11, 20)),
        (datetime(2026, 11, 23, 17, 0, tzinfo=FRANKFURT), date(2026, 11, 23)),
    ],
)
def test_rates_are_published_on_working_days_in_the_afternoon(now, day):
    assert published(now) == day


async def test_the_rates_set_are_the_rates_read_crossed_to_dollars(bank):
    assert bank.tell("rates", {"ZAR": "19.5300", "USD": "1.0850"}) == 200
    found = await bank.fetch()
    assert found["ZAR"] == pytest.approx(Fraction(1953, 100) / Fraction(1085, 1000))
    assert found.keys() == {"MXN", "ZAR"}


async def test_a_bank_that_publishes_nothing_more_ages_until_it_is_refused(bank):
    bank.tell("faults", {"frozen": True})
    bank.now += timedelta(days=3)
    assert await bank.fetch()
    bank.now += timedelta(days=2)
    with pytest.raises(SourceFault, match=r"its prices are of 2026-11-20 13:10:00 UTC, more than 6 days"):
        await bank.fetch()


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ({"status": 503}, "answered with HTTP status 503"),
        ({"status": 302, "location": PATH}, "answered with HTTP status 302"),
        ({"content_type": "text/html"}, "answered with 'text/html', not with text/xml"),
        ({"cut": 300}, "not XML as the ECB sends it"),
        ({"body": ""}, "not XML as the ECB sends it"),
    ],
)
async def test_what_goes_wrong_as_scripted_is_refused_with_a_sentence(bank, fault, sentence):
    assert bank.tell("faults", fault) == 200
    with pytest.raises(SourceFault, match=sentence):
        await bank.fetch()


def test_the_simulator_refuses_orders_it_does_not_understand(bank):
    assert bank.tell("faults", {"frozzen": True}) == 422
    assert bank.tell("rates", {"ZAR": "-1"}) == 422
