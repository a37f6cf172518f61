"""Money of a deposit that was final and is gone isn't sent back before a person has closed the incident."""

from __future__ import annotations

import pytest

from gateway.chain.resume import FINAL_VANISHED
from gateway.db.session import transaction
from gateway.operators.incidents import Alarm, open_incidents
from gateway.orders.vanished import DepositVanished
from gateway.refunds.order import Of
from tests.factories import NOW
from tests.integration.refunds.house import House


@pytest.mark.parametrize("of", Of)
async def test_nothing_goes_back_while_the_incident_is_open(house: House, of: Of) -> None:
    [order] = await house.hold()
    async with transaction(house.engine) as connection:
        await open_incidents(connection, alarms=[Alarm("gone", FINAL_VANISHED, order.order_id, {})], now=NOW)
    with pytest.raises(DepositVanished):
        await house.refund(order, of)
    assert await house.run("SELECT FROM refunds") == []
    await house.run("UPDATE incidents SET closed_at = now(), closed_by = 'amina'")
    await house.refund(order)
    assert (await house.view(order)).state == "refunding"
