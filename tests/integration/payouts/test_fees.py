"""What a quote charges for others is booked when its payout settles, and undone when the money comes back."""

from __future__ import annotations

import pytest
from sqlalchemy import insert, text

from gateway.db.session import transaction
from gateway.ledger.post import register_assets
from gateway.ledger.queries import balances
from gateway.offramp import Fault, Outcome, Report
from gateway.orders.accept import Acceptance, accept_quote
from gateway.orders.funding import book_deposits
from gateway.orders.recipients import Recipient
from gateway.payouts.dispatch import dispatch
from gateway.payouts.rails import Rails
from gateway.payouts.record import News, record
from gateway.pricing.models import Quote
from tests.factories import FACTORIES, KES, NOW, USDC, USDT, FakeRail, make_deposit, quote_row

PARTS = {"partner_fee_units": 640, "rail_fee_units": 1_300, "network_fee_units": 646, "rounding_units": 22}
FEES = {**PARTS, "receive_units": 122_300, "cash_out_units": 3_512}


async def funded(engine, **quote):
    async with transaction(engine) as connection:
        await register_assets(connection, assets=[USDC, USDT, KES])
        await connection.execute(
            text("INSERT INTO partners (id, name, created_at) VALUES ('par_1', 'One', :now)"), {"now": NOW}
        )
        row = quote_row() | {"partner_id": "par_1"} | quote
        await connection.execute(insert(Quote).values(row))
        acceptance = Acceptance(
            quote_id=str(row["id"]), partner_id="par_1", recipient=Recipient(name="Wanjiku Kamau", account="+254712345678")
        )
        order = await accept_quote(connection, acceptance=acceptance, factories=FACTORIES, now=NOW)
    await make_deposit(engine, order)
    while await book_deposits(engine, least={}, now=NOW):
        pass
    return order


async def books(engine):
    async with transaction(engine) as connection:
        return {
            account: money.decimal() for account, money in await balances(connection) if money.asset == KES and money.units
        }


async def test_a_partner_is_owed_its_fee_on_an_account_of_its_own(engine):
    await funded(engine, **FEES)
    rails = Rails({"fake": FakeRail()})
    assert await dispatch(engine, rails=rails, clock=lambda: NOW) == 1
    assert await books(engine) == {
        "exchange": "-1292.00",
        "partner:par_1:fees": "6.40",
        "rail:fake": "1223.00",
        "revenue:fx_margin": "12.92",
        "revenue:network_fee": "6.46",
        "revenue:rail_fee": "13.00",
        "revenue:service_fee": "30.00",
        "rounding": "0.22",
    }


async def test_what_came_back_earned_nobody_anything(engine):
    await funded(engine, **FEES)
    rails = Rails({"fake": FakeRail()})
    await dispatch(engine, rails=rails, clock=lambda: NOW)
    back = Report(outcome=Outcome.RETURNED, fault=Fault.RECIPIENT, reason="account closed")
    async with transaction(engine) as connection:
        attempt = (await connection.execute(text("SELECT id FROM attempts"))).scalar_one()
        await record(connection, news=[News(attempt_id=attempt, report=back)], now=NOW)
    async with transaction(engine) as connection:
        state = (await connection.execute(text("SELECT state FROM orders"))).scalar_one()
    assert (state, await books(engine)) == ("funded", {})


async def test_a_quote_without_them_has_no_lines_for_them(engine):
    await funded(engine)
    await dispatch(engine, rails=Rails({"fake": FakeRail()}), clock=lambda: NOW)
    async with transaction(engine) as connection:
        lines = await connection.execute(
            text("SELECT count(*) FROM postings p JOIN journal j ON j.id = p.journal_id WHERE j.template = 'payout_settled'")
        )
        assert lines.scalar_one() == 5
    assert "partner:par_1:fees" not in await books(engine)


@pytest.mark.parametrize(
    "wrong",
    [
        {**FEES, "rail_fee_units": 1_301},
        {**FEES, "partner_id": None},
        {**FEES, "cash_out_units": 122_301},
        {**FEES, "network_fee_units": -1, "rail_fee_units": 1_947},
    ],
)
async def test_the_database_refuses_a_quote_that_doesnt_add_up(engine, wrong):
    with pytest.raises(Exception, match="violates check constraint"):
        await funded(engine, **wrong)
