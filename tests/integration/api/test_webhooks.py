"""Rails that call one address about all their payments: the verified body names the attempt, or nobody is believed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from sqlalchemy import text

from gateway.db.session import transaction
from gateway.offramp import RAILS_OWN, Callback, CallbackRequest, ForgedCallback, Outcome, Report
from gateway.payouts.addresses import Callee, webhooks
from gateway.payouts.inbox import handle_callbacks
from tests.factories import FakeRail
from tests.integration.api.desk import Desk, problem

pytestmark = pytest.mark.asyncio(loop_scope="module")


class HookRail(FakeRail):
    """Its bodies are {"about": attempt id or null}, signed with the word "right"."""

    def __init__(self) -> None:
        super().__init__(name="hooks")

    @property
    def webhooks(self) -> Mapping[str, str]:
        return {"webhook": "dashboard > webhooks"}

    def attempt_of(self, request: CallbackRequest) -> str | None:
        if request.body == b"crash":
            raise ZeroDivisionError
        if request.headers.get("x-hooks-signature") != "right":
            raise ForgedCallback("not signed")
        return json.loads(request.body)["about"]

    def read_callback(self, request: CallbackRequest) -> Callback:
        if self.attempt_of(request) != request.attempt_id:
            raise ForgedCallback("another attempt's")
        return Callback(
            event_id="e" + request.attempt_id, attempt_id=request.attempt_id, report=Report(outcome=Outcome.PENDING)
        )

    def callback_answer(self) -> tuple[int, Mapping[str, object]]:
        return 200, {"ok": True}


@pytest.fixture(autouse=True)
def hooks(desk: Desk) -> Iterator[None]:
    adapters: Any = desk.gateway.rails.adapters
    adapters["hooks"] = HookRail()
    yield
    del adapters["hooks"]


def address(desk: Desk, *, label: str = "webhook", adapter: str = "hooks") -> str:
    return desk.gateway.addresses.address(Callee(adapter, RAILS_OWN, label))


async def tell(desk: Desk, about: object, *, signed: str = "right") -> None:
    body = json.dumps({"about": about})
    answer = await desk.client.post(address(desk), content=body, headers={"X-Hooks-Signature": signed})
    assert (answer.status_code, answer.json()) == (200, {"ok": True})


async def rows(desk: Desk, attempt_id: str) -> list[Any]:
    return await desk.run("SELECT * FROM callbacks WHERE attempt_id = :attempt_id ORDER BY id", attempt_id=attempt_id)


async def test_what_a_rail_tells_at_its_own_address_is_stored_as_the_attempts_that_it_names(desk: Desk) -> None:
    for _ in range(2):
        await tell(desk, "att_named")
    (row,) = await rows(desk, "att_named")
    assert (row.adapter, row.label, row.event_id) == ("hooks", "webhook", "eatt_named")
    assert row.headers["x-hooks-signature"] == "right"


async def test_genuine_news_about_nothing_of_ours_are_answered_and_not_kept(desk: Desk) -> None:
    async with desk.nothing_written():
        await tell(desk, None)


async def test_what_is_not_signed_names_nobody_and_a_person_is_told_once(desk: Desk) -> None:
    for number in range(3):
        await tell(desk, f"att_forged{number}", signed="wrong")
    assert await desk.client.post(address(desk), content=b"crash")
    await tell(desk, ["no", "id"])
    kept = await rows(desk, RAILS_OWN)
    assert [row.event_id[:11] for row in kept] == ["unreadable:"] * 5
    assert not await rows(desk, "att_forged0")
    # All of them in one go: they have nothing to do with each other.
    handled = [await handle_callbacks(desk.engine, rails=desk.gateway.rails, clock=desk.gateway.clock) for _ in range(2)]
    assert handled[1] == 0
    assert {row.result for row in await rows(desk, RAILS_OWN)} == {"callback_for_unknown_attempt"}
    async with transaction(desk.engine) as connection:
        incidents = await connection.execute(text("SELECT detail FROM incidents WHERE cause LIKE 'callback:-:%'"))
        assert len(incidents.all()) == 1


async def test_only_addresses_that_are_entered_at_a_provider_are_open(desk: Desk) -> None:
    async with desk.nothing_written():
        for place in (address(desk, label="status"), address(desk, adapter="calls"), address(desk, adapter="silent")):
            problem(await desk.client.post(place, json={}), 404, "not_found")


async def test_the_addresses_to_enter_are_listed(desk: Desk) -> None:
    (one,) = webhooks(desk.gateway.rails, desk.gateway.addresses)
    assert one == ("hooks", "webhook", address(desk), "dashboard > webhooks")
