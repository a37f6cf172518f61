"""Orders paid in cash by a real anchor adapter over HTTP: the pick-up number arrives, cash is taken, the books say so."""

from __future__ import annotations

from datetime import timedelta

from adapters.sep24 import Sep24
from adapters.sep24.simulator import app
from gateway.clock import system_clock
from gateway.contract.harness import running
from gateway.db.session import transaction
from gateway.ledger.queries import balances
from gateway.offramp import AdapterContext
from gateway.orders.funding import book_deposits
from gateway.payouts.dispatch import dispatch
from gateway.payouts.dossier import dossier
from gateway.payouts.queries import order_view
from gateway.payouts.rails import Rails
from gateway.railsim import Options, Scenario
from gateway.sagas.step import step
from tests.factories import make_deposit, make_orders
from tests.integration.sagas.test_engine import states


class Ahead:
    """A clock that is moved on, so that what is asked about later is asked about now."""

    by = 0

    def __call__(self):
        return system_clock() + timedelta(seconds=self.by)


async def test_cash_is_paid_for_once_whatever_answers_are_lost_and_its_number_is_shown(engine):
    clock = Ahead()
    with running(app(Options(delay_s=0))) as rail:
        context = AdapterContext(
            name="anchor",
            settings={**rail.settings(), "answer_within_s": 5},
            callback_address=lambda attempt, label: f"http://127.0.0.1:9/{attempt}/{label}",
            clock=system_clock,
        )
        adapter = Sep24(context)
        rails = Rails({"anchor": adapter})
        orders = await make_orders(engine, 3, now=clock(), method="cash")
        for order in orders:
            await make_deposit(engine, order, at=clock())
        await book_deposits(engine, least={}, now=clock())
        (before,) = await adapter.balance()
        rail.script(Scenario.ANSWER_LOST)
        rail.script(Scenario.PENDING_POLLS, polls=2)

        async def on(rounds: int) -> None:
            for _ in range(rounds):
                await step(engine, rails=rails, clock=clock)
                while await dispatch(engine, rails=rails, clock=clock):
                    pass
                clock.by += 30

        while await dispatch(engine, rails=rails, clock=clock):
            pass
        await on(12)
        assert "paid" not in set(await states(engine))
        async with transaction(engine) as connection:
            views = [await order_view(connection, order_id=order.order_id, now=clock()) for order in orders]
        for view in views:
            assert view.pickup is not None
            assert "/page/" in view.pickup.place
            rail.client.post("/_sim/collect", json={"code": view.pickup.code}).raise_for_status()
        clock.by += 3600
        await on(3)
        assert set(await states(engine)) == {"paid"}
        taken = rail.client.get("/_sim/payouts").json()
        assert [(each["amount"], each["times"]) for each in taken] == [("1249.00", 1)] * 3
        (after,) = await adapter.balance()
        async with transaction(engine) as connection:
            held = {(account, money.asset.code): money for account, money in await balances(connection)}
            found = await dossier(connection, subject=orders[0].order_id)
        assert held["rail:anchor", "USDC@stellar"] == before - after
        legs = [(leg.name, leg.outcome) for leg in found.attempts[-1].legs]
        assert legs == [(name, "paid") for name in ("quote", "open", "ready", "pay", "deliver")]
        await adapter.close()
