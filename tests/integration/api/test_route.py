"""GET /v1/orders/{id}/route: why an order's payment goes by its rail, for the partner whose order it is."""

from __future__ import annotations

import html

import pytest

from gateway.money import Money
from gateway.orders.accept import Accepted
from gateway.payouts.dispatch import dispatch
from gateway.routing.policy import Policy, Rule
from gateway.routing.scene import Scene, Scenes
from tests.factories import KES
from tests.integration.api.desk import Desk, Partner, problem
from tests.integration.payouts.refused import fund

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def funded(desk: Desk, partner: Partner, key: str) -> str:
    made = (await desk.order(partner, key, await desk.quoted(partner))).json()
    await fund(desk.engine, Accepted(order_id=made["id"], tracking_token=""))
    return str(made["id"])


async def stop(desk: Desk, *rails: str) -> None:
    for rail in rails:
        await desk.run(
            "INSERT INTO operators (name, password_hash, created_at) VALUES ('amina', 'x', now()) ON CONFLICT DO NOTHING"
        )
        await desk.run(
            "INSERT INTO rail_states (rail, state, reason, stopped_by) "
            "VALUES (:rail, 'stopped', 'the bank called', 'amina') "
            "ON CONFLICT (rail) DO UPDATE SET state = 'stopped', reason = 'the bank called', stopped_by = 'amina'",
            rail=rail,
        )


async def test_a_payment_s_choice_is_told_with_candidates_and_numbers(desk: Desk, partner: Partner) -> None:
    order = await funded(desk, partner, "told")
    await dispatch(desk.engine, rails=desk.gateway.rails, clock=lambda: desk.now)
    answer = await desk.client.get(f"/v1/orders/{order}/route", headers=desk.headers(partner))
    assert answer.status_code == 200, answer.text
    document = answer.json()
    assert (document["order_id"], document["now"]) == (order, None)
    [one] = document["decisions"]
    shown = await desk.client.get(f"/v1/orders/{order}", headers=desk.headers(partner))
    assert one["verdict"] == "pay"
    assert one["rail"] == shown.json()["rail"]
    assert "attempt" not in one
    assert one["at"] == desk.now.isoformat().replace("+00:00", "Z")
    assert {each["rail"] for each in one["candidates"]} == {"calls", "silent"}
    best = one["candidates"][0]
    assert best["rail"] == one["rail"]
    assert best["numbers"]["in_hand"] == {"asset": "KES", "amount": shown.json()["receive"]["amount"]}
    assert 0 < best["numbers"]["p50_s"] <= best["numbers"]["p95_s"]


async def test_whoever_waits_sees_why_but_not_what_an_operator_wrote(desk: Desk, partner: Partner) -> None:
    order = await funded(desk, partner, "waits")
    await stop(desk, "calls", "silent")
    try:
        await dispatch(desk.engine, rails=desk.gateway.rails, clock=lambda: desk.now)
        answer = await desk.client.get(f"/v1/orders/{order}/route", headers=desk.headers(partner))
    finally:
        await desk.run("UPDATE rail_states SET state = 'closed', stopped_by = NULL, reason = NULL")
    assert answer.status_code == 200, answer.text
    assert answer.json()["decisions"] == []
    now = answer.json()["now"]
    assert (now["verdict"], now["rail"]) == ("wait", None)
    assert {each["rail"] for each in now["refused"]} == {"calls", "silent"}
    assert "bank" not in answer.text
    assert "amina" not in answer.text


async def test_an_order_that_the_rules_leave_no_rail_is_held_and_everybody_is_told_why(desk: Desk, partner: Partner) -> None:
    order = await funded(desk, partner, "nobody")
    rails = desk.gateway.rails
    policy = Policy(name="nobody", rules=(Rule(never=frozenset(rails), above=Money(100, KES)),))
    scenes = Scenes(scene=Scene(capabilities=rails.capabilities, policy=policy))
    await dispatch(desk.engine, rails=rails, clock=lambda: desk.now, scenes=scenes)
    document = (await desk.client.get(f"/v1/orders/{order}/route", headers=desk.headers(partner))).json()
    [one] = document["decisions"]
    assert (one["verdict"], one["rail"], one["reason"], one["policy"]) == ("hold", None, "no_rail_allowed", "nobody")
    assert {(each["rail"], each["reason"]) for each in one["refused"]} == {(name, "policy") for name in rails}
    shown = (await desk.see(partner, order)).json()
    assert (shown["status"], shown["reason"]) == ("on_hold", "no_rail_allowed")
    page = await desk.client.get(shown["tracking_url"])
    assert html.escape(shown["message"]) in page.text
    assert html.escape(shown["next_step"]) in page.text


async def test_another_partner_s_order_is_not_there(desk: Desk, partner: Partner, stranger: Partner) -> None:
    order = await funded(desk, partner, "whose")
    theirs = await desk.client.get(f"/v1/orders/{order}/route", headers=desk.headers(stranger))
    nobodys = await desk.client.get("/v1/orders/ord_none/route", headers=desk.headers(stranger))
    problem(theirs, 404, "order_not_found")
    assert theirs.json() == nobodys.json()


async def test_without_a_token_nothing_is_told(desk: Desk) -> None:
    answer = await desk.client.get("/v1/orders/ord_none/route")
    assert answer.status_code == 401
