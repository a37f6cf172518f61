"""The first page: what needs a person comes first, and nothing is said when nothing does."""

from __future__ import annotations

from itertools import pairwise

import pytest

from gateway.chain.health import Health
from gateway.db.session import transaction
from gateway.operators.incidents import IncidentView
from gateway.pricing.halts import halt
from gateway.web.console.overview import Counts, tasks_of
from tests.factories import NOW, USDC
from tests.integration.api.test_health import put_chain, put_provider
from tests.integration.desk.office import LATE

QUIET = Counts(held=0, uncertain=0, strays=0, stuck=0, unallocated=())


def test_nothing_needs_nobody():
    assert list(tasks_of(Health(chains=(), frozen={}), [], QUIET)) == []


def test_what_may_lose_money_comes_before_what_waits():
    incident = IncidentView(1, "payout_overdue", "c", None, {}, NOW, None, None)
    counts = Counts(held=2, uncertain=1, strays=1, stuck=1, unallocated=())
    said = [task.sentence for task in tasks_of(Health(chains=(), frozen={USDC.code: "why"}), [incident], counts)]
    assert said == [
        "Payouts whose end nobody knows: 1",
        "Transactions of ours that are stuck: 1",
        "Open incidents; the oldest: payout overdue",
        f"{USDC.code} is frozen",
        "Held orders: 2",
        "Money that fits no order",
    ]


async def test_a_quiet_gateway_says_so(amina):
    assert "Nothing. Everything that runs, runs by itself." in (await amina.page("/console")).text


async def test_a_halted_chain_stands_first_and_says_what_to_do(desk, amina):
    await put_chain(desk.engine, 5, at=LATE, waiting="too few agree")
    await put_chain(desk.engine, at=LATE, halted="block 60 changed below finality")
    await put_provider(desk.engine, "one.example", asked_at=LATE)
    await put_provider(desk.engine, "two.example", asked_at=LATE, reason="is on <b>another</b> fork")
    page = await amina.page("/console")
    first, second, *_ = [link["href"] for link in page.all("a") if link["href"].startswith("#chain-")]
    assert (first, second) == ("#chain-31337", "#chain-5")
    assert page.one("section", id="chain-31337")
    assert "chain 31337 is halted: block 60 changed below finality" in page.text
    assert 'lastmile chain resume 31337 --by amina --reason "…"' in page.text
    assert "one.exampletrusted" in page.text
    assert "two.exampledemoted: is on <b>another</b> fork" in page.text
    assert "70 (5 behind)" in page.text


@pytest.mark.parametrize("path", ["/console", "/console/deposits", "/console/incidents", "/console/actions"])
async def test_headings_begin_at_one_and_leave_none_out(amina, path):
    page = await amina.page(path)
    levels = [int(tag[1]) for tag, _ in page.elements if tag in ("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels))


async def test_what_stops_quotes_is_shown_with_its_reason(desk, amina):
    assert "What stops quotes" not in (await amina.page("/console")).text
    async with transaction(desk.engine) as connection:
        await halt(connection, subject="KE/KES/mobile_money", operator="amina", reason="down <b>there</b>", now=LATE)
    page = await amina.page("/console")
    assert "What stops quotes" in page.text
    assert "KE/KES/mobile_money by_hand" in page.text
    assert "down <b>there</b>" in page.text
