"""Orders paid by a real exchange adapter over HTTP: coins are sold, pesos go out, and the books say so."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import insert

from adapters.ccxt_exchange import CcxtExchange
from adapters.ccxt_exchange.simulator.bitso import app
from gateway.clock import system_clock
from gateway.contract.harness import running
from gateway.db.session import transaction
from gateway.ledger.post import register_assets
from gateway.ledger.queries import balances
from gateway.money import Asset
from gateway.offramp import AdapterContext
from gateway.orders.accept import Acceptance, accept_quote
from gateway.orders.funding import book_deposits
from gateway.orders.recipients import Recipient
from gateway.payouts.dispatch import dispatch
from gateway.payouts.dossier import dossier
from gateway.payouts.rails import Rails
from gateway.pricing.models import Quote
from gateway.railsim import Options, Scenario
from gateway.sagas.step import step
from tests.factories import FACTORIES, USDC, make_deposit, quote_row
from tests.integration.sagas.test_engine import states

MXN = Asset("MXN", 2)
CLABE = "646180110400000007"
QUOTE = {"receive_asset": "MXN", "receive_units": 124_900, "country": "MX", "method": "bank"}


class Ahead:
    """A clock that is moved on, so that what is asked about later is asked about now."""

    by = 0

    def __call__(self):
        return system_clock() + timedelta(seconds=self.by)


async def ordered(engine, *, now):
    quote = quote_row(now=now) | QUOTE
    recipient = Recipient(name="María Hernández", account=CLABE)
    wanted = Acceptance(quote_id=str(quote["id"]), partner_id=None, recipient=recipient)
    async with transaction(engine) as connection:
        await connection.execute(insert(Quote).values(quote))
        return await accept_quote(connection, acceptance=wanted, factories=FACTORIES, now=now)


async def test_orders_are_paid_by_selling_and_withdrawing_whatever_answers_are_lost(engine):
    clock = Ahead()
    with running(app(Options(delay_s=0))) as rail:
        settings = {**rail.settings(), "answer_within_s": 5}
        context = AdapterContext(name="bitso", settings=settings, callback_address=lambda a, b: a + b, clock=system_clock)
        adapter = CcxtExchange(context)
        rails = Rails({"bitso": adapter})
        async with transaction(engine) as connection:
            await register_assets(connection, assets=[MXN, USDC])
        orders = [await ordered(engine, now=clock()) for _ in range(3)]
        for order in orders:
            await make_deposit(engine, order, at=clock())
        await book_deposits(engine, least={}, now=clock())
        rail.script(Scenario.ANSWER_LOST)
        rail.script(Scenario.PENDING_POLLS, polls=2)
        while await dispatch(engine, rails=rails, clock=clock):
            pass
        for _ in range(12):
            await step(engine, rails=rails, clock=clock)
            while await dispatch(engine, rails=rails, clock=clock):
                pass
            clock.by += 60
        assert set(await states(engine)) == {"paid"}
        taken = rail.client.get("/_sim/payouts").json()
        assert [(each["amount"], each["times"]) for each in taken] == [("1249.00", 1)] * 3
        left, held = rail.balances(), {}
        async with transaction(engine) as connection:
            for account, money in await balances(connection):
                held[account, money.asset.code] = money
            found = await dossier(connection, subject=orders[0].order_id)
        assert [(leg.name, leg.outcome) for leg in found.attempts[-1].legs] == [("sell", "paid"), ("withdraw", "paid")]
        sold = 1_000_000 * 10**6 - int(left["USDC"].replace(".", ""))
        assert held["rail:bitso", "USDC"].units == sold
        # What the rail says that it has more than at first is what the books say, but for centavos that we round down.
        more = int(left["MXN"].replace(".", "")) - 50_000_00
        assert 0 <= more + held["rail:bitso", "MXN"].units <= 6
        await adapter.close()
