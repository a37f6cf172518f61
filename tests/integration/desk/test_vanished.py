"""Money of a deposit that was final and is gone: neither promised nor taken before a person has closed the incident."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.chain.resume import FINAL_VANISHED
from gateway.db.session import transaction
from gateway.desk.errors import NothingThere
from gateway.desk.recover import recover
from gateway.desk.requote import open_requote
from gateway.desk.resolve import release_hold
from gateway.operators.incidents import Alarm, open_incidents
from gateway.orders.vanished import DepositVanished
from tests.factories import USDC
from tests.integration.desk.office import LATE, RULES
from tests.integration.desk.test_resolve import do, hold
from tests.integration.desk.test_unmatched import LISTED


async def vanish(office, order):
    await office.run("UPDATE deposits SET vanished_at = now()")
    async with transaction(office.engine) as connection:
        await open_incidents(connection, alarms=[Alarm("gone", FINAL_VANISHED, order.order_id, {})], now=LATE)


async def close(office):
    await office.run("UPDATE incidents SET closed_at = now(), closed_by = 'ada'")


async def test_a_hold_is_not_released_before_the_incident_is_closed(office):
    order = await office.order()
    await office.pay(order)
    await hold(office, order, "deposit_vanished")
    await vanish(office, order)
    with pytest.raises(DepositVanished):
        await do(office, release_hold, order.order_id)
    assert await office.state(order.order_id) == "held"
    await close(office)
    await do(office, release_hold, order.order_id)
    assert await office.state(order.order_id) == "funded"


async def test_no_new_price_is_offered_and_an_older_one_is_not_agreed_to(office):
    order = await office.late()
    requote = await office.propose(order)
    await vanish(office, order)
    with pytest.raises(DepositVanished):
        await office.propose(order)
    with pytest.raises(DepositVanished):
        await office.agree(order, requote)
    async with transaction(office.engine) as connection:
        what = {"order_id": order.order_id, "offer": office.offer, "now": office.now}
        assert await open_requote(connection, **what) is None
        await connection.exec_driver_sql("UPDATE incidents SET closed_at = now(), closed_by = 'ada'")
        assert (await open_requote(connection, **what)).id == requote.id
    await office.agree(order, requote)
    assert await office.state(order.order_id) == "funded"


async def test_coins_that_vanished_are_not_swept(office):
    order = await office.late()
    await vanish(office, order)
    what = {"chain_id": 31337, "token": LISTED, "rules": replace(RULES, coins={(31337, LISTED): USDC})}
    with pytest.raises(NothingThere):
        await do(office, recover, order.order_id, **what)
    await office.run("UPDATE deposits SET vanished_at = NULL")
    assert await do(office, recover, order.order_id, **what)
