"""A frozen coin, as people meet it on the form."""

from __future__ import annotations

from gateway.db.session import transaction
from gateway.ledger.freezes import FreezeKind, freeze_asset
from tests.integration.web.test_orders import Pages, pages  # noqa: F401 - a fixture
from tests.unit.web.site import FILLED, USDC


async def freeze(pages: Pages) -> None:  # noqa: F811
    async with transaction(pages.engine) as connection:
        await freeze_asset(connection, asset=USDC.code, kind=FreezeKind.CHANGED, reason="internal words", now=pages.now)


async def test_the_form_says_that_the_coin_is_not_taken_and_what_to_do(pages: Pages) -> None:  # noqa: F811
    await freeze(pages)
    answer = await pages.client.post("/quote", data=FILLED)
    assert answer.status_code == 422
    assert "its contract was changed and has to be looked at first" in answer.text
    assert "Choose another coin" in answer.text
    assert "internal words" not in answer.text
    assert await pages.count("quotes") == 0


async def test_a_price_from_before_makes_no_order(pages: Pages) -> None:  # noqa: F811
    confirmed = await pages.confirming()
    await freeze(pages)
    answer = await pages.client.post("/orders", data=confirmed)
    assert answer.status_code in (409, 422)
    assert "is not taken at the moment" in answer.text
    assert await pages.count("orders") == 0
