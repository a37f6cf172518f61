"""A frozen coin, as partners meet it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from gateway.db.session import transaction
from gateway.ledger.freezes import FreezeKind, freeze_asset
from tests.factories import USDC
from tests.integration.api.desk import ASK, RECEIVE, SEND, Desk, Partner, problem

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module")
async def frozen(desk: Desk, partner: Partner) -> AsyncIterator[str]:
    """USDC is paused; gives a quote from before."""
    quote_id = await desk.quoted(partner)
    async with transaction(desk.engine) as connection:
        reason = "Its issuer has paused the contract at 0x8335: internal words."
        await freeze_asset(connection, asset=USDC.code, kind=FreezeKind.PAUSED, reason=reason, now=desk.now)
    yield quote_id
    async with transaction(desk.engine) as connection:
        await connection.exec_driver_sql("DELETE FROM asset_freezes")


@pytest.mark.usefixtures("frozen")
async def test_there_is_no_quote_and_the_problem_says_why_and_what_to_do(desk: Desk, partner: Partner) -> None:
    refused = problem(await desk.quote(partner, ASK), 409, "asset_frozen", "/send/asset")
    assert refused["detail"] == (
        "USDC on this chain is not taken at the moment: its issuer has paused it. "
        "Choose another coin or chain, or come back later; don't send this one now."
    )
    assert "internal" not in str(refused)
    other = await desk.quote(partner, {"send": SEND | {"asset": "USDT", "amount": "10"}, "receive": RECEIVE})
    assert other.status_code == 201


async def test_there_is_no_order_of_a_quote_from_before(desk: Desk, partner: Partner, frozen: str) -> None:
    answer = await desk.order(partner, "frozen-1", frozen)
    problem(answer, 409, "asset_frozen", "/quote_id")
