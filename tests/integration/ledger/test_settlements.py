"""What partners earned is paid to them once, and never more than that."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import text

from gateway.db.session import transaction
from gateway.ledger.post import Entry, Transfer, post, register_assets
from gateway.ledger.queries import balances
from gateway.money import Money
from gateway.operators.actions import ReasonMissing, UnknownOperator
from gateway.partners.fees import UnknownPartner
from gateway.partners.settlements import (
    BadReference,
    MoreThanOwed,
    NothingToSettle,
    ReferenceTaken,
    partner_accounts,
    partner_statement,
    settle_partner,
)
from tests.factories import KES, NOW, USDC


@pytest.fixture
async def ledger(engine):
    """One partner that earned 6.40 KES, in two orders, and one that earned nothing."""
    async with transaction(engine) as connection:
        await register_assets(connection, assets=[KES, USDC])
        partners = (
            "INSERT INTO partners (id, name, created_at, fee_bps) VALUES ('par_1', 'One', :n, 50), ('par_2', 'Two', :n, 0)"
        )
        await connection.execute(text(partners), {"n": NOW})
        await connection.execute(
            text("INSERT INTO partner_clients SELECT 'cli_' || id, id, '', created_at FROM partners WHERE id ^@ 'par'"),
        )
        await connection.execute(text("INSERT INTO operators VALUES ('amina', '', :now)"), {"now": NOW})
    await earn(engine, 400, cause="one")
    await earn(engine, 240, cause="two", at=NOW + timedelta(days=1))
    return engine


async def earn(engine, units, *, cause, at=NOW, back=False):
    accounts = ("partner:par_1:fees", "capital") if back else ("capital", "partner:par_1:fees")
    async with transaction(engine) as connection:
        await post(connection, entries=[Entry(cause, "payout", (Transfer(*accounts, Money(units, KES)),), "ord_1")], now=at)


async def settle(engine, amount="2.50", **changes):
    given = {"name": "One", "currency": "KES", "reference": "bank 1", "operator": "amina", "reason": "May", "now": NOW}
    async with transaction(engine) as connection:
        return await settle_partner(connection, amount=amount, **given | changes)


async def owed(engine):
    async with transaction(engine) as connection:
        return {account: money.decimal() for account, money in await balances(connection)}.get("partner:par_1:fees", "0.00")


async def test_what_is_paid_is_taken_from_what_is_owed_and_who_booked_it_is_kept(ledger):
    assert str(await settle(ledger)) == "2.50 KES"
    assert await owed(ledger) == "3.90"
    async with transaction(ledger) as connection:
        [one, two] = await partner_accounts(connection)
        found = (
            await connection.execute(text("SELECT operator, action, subject, reason, detail FROM operator_actions"))
        ).all()
    assert (one.partner_id, one.fee_bps, str(one.earned), str(one.paid), str(one.owed)) == (
        "par_1",
        50,
        "6.40 KES",
        "2.50 KES",
        "3.90 KES",
    )
    assert (two.partner_id, two.earned, two.owed) == ("par_2", None, None)
    detail = {"amount": "2.50 KES", "reference": "bank 1", "left": "3.90 KES"}
    assert [tuple(row) for row in found] == [("amina", "partner_settle", "par_1", "May", detail)]


async def test_a_reference_counts_once_and_names_one_payment(ledger):
    await settle(ledger)
    assert await settle(ledger) is None
    with pytest.raises(ReferenceTaken, match=r"booked before, with 2\.50 KES"):
        await settle(ledger, "2.51")
    assert await owed(ledger) == "3.90"
    await settle(ledger, "3.90", reference="bank 2")
    # Also where nothing is owed any more.
    assert await settle(ledger) is None
    assert await owed(ledger) == "0.00"


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"amount": "6.41"}, MoreThanOwed),
        ({"amount": "0"}, NothingToSettle),
        ({"amount": "-1"}, NothingToSettle),
        ({"amount": "1.005"}, NothingToSettle),
        ({"currency": "USDC@31337"}, NothingToSettle),
        ({"name": "Two"}, NothingToSettle),
        ({"name": "Three"}, UnknownPartner),
        ({"reference": ""}, BadReference),
        ({"reference": " bank 1"}, BadReference),
        ({"reference": "bank\n1"}, BadReference),
        ({"reference": "x" * 201}, BadReference),
        ({"operator": "nobody"}, UnknownOperator),
        ({"reason": " "}, ReasonMissing),
    ],
)
async def test_what_is_refused_books_nothing(ledger, changes, refusal):
    with pytest.raises(refusal):
        await settle(ledger, **changes)
    assert await owed(ledger) == "6.40"


async def test_of_many_at_once_no_more_is_booked_than_is_owed(ledger):
    done = await asyncio.gather(
        *(settle(ledger, "3.00", reference=f"bank {number % 5}") for number in range(10)), return_exceptions=True
    )
    assert sum(isinstance(one, Money) for one in done) == 2
    assert {type(one) for one in done} <= {Money, type(None), MoreThanOwed}
    assert await owed(ledger) == "0.40"


async def test_payouts_that_come_back_after_their_fee_was_paid_leave_a_debt_that_is_shown(ledger):
    await settle(ledger, "6.40")
    await earn(ledger, 240, cause="two:returned", back=True)
    async with transaction(ledger) as connection:
        [one, _] = await partner_accounts(connection)
    assert (str(one.earned), str(one.paid), one.owed.units) == ("4.00 KES", "6.40 KES", -240)
    with pytest.raises(MoreThanOwed):
        await settle(ledger, "0.01", reference="bank 2")


async def test_a_statement_lists_every_entry_between_two_moments(ledger):
    await settle(ledger, now=NOW + timedelta(days=2))
    async with transaction(ledger) as connection:
        everything = await partner_statement(connection, name="One", since=NOW, until=NOW + timedelta(days=3))
        days = await partner_statement(connection, name="One", since=NOW + timedelta(days=1), until=NOW + timedelta(days=2))
        with pytest.raises(UnknownPartner):
            await partner_statement(connection, name="Three", since=NOW, until=NOW)
    assert [(line.money.units, line.kind, line.order_id) for line in everything] == [
        (400, "payout", "ord_1"),
        (240, "payout", "ord_1"),
        (-250, "partner_paid", None),
    ]
    assert [line.money.units for line in days] == [240]
