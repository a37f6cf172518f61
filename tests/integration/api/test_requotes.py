"""A partner sees what is offered for its order's money, and agrees for its customer, once."""

from __future__ import annotations

from datetime import timedelta

import pytest

from gateway.db.session import transaction
from gateway.desk.requote import offer_requote
from gateway.orders.accept import Accepted
from gateway.orders.funding import book_deposits
from tests.factories import NOW, make_deposit
from tests.integration.api.desk import OFFER, problem

pytestmark = pytest.mark.asyncio(loop_scope="module")
LATE = NOW + timedelta(minutes=20)


async def held(desk, partner, key):
    made = (await desk.order(partner, key, await desk.quoted(partner))).json()
    order = Accepted(order_id=made["id"], tracking_token="")
    await make_deposit(desk.engine, order, at=LATE)
    await book_deposits(desk.engine, least={}, now=NOW)
    return order


async def propose(desk, order):
    await desk.run("INSERT INTO operators VALUES ('wanjiku', 'x', :now) ON CONFLICT DO NOTHING", now=NOW)
    async with transaction(desk.engine) as connection:
        return await offer_requote(
            connection, order_id=order.order_id, offer=OFFER, operator="wanjiku", reason="late", now=desk.now
        )


async def ask(desk, partner, order_id):
    return await desk.client.get(f"/v1/orders/{order_id}/requote", headers=desk.headers(partner))


async def agree(desk, partner, order_id, requote_id, key):
    return await desk.client.post(
        f"/v1/orders/{order_id}/requote/consent",
        json={"requote_id": requote_id},
        headers=desk.headers(partner, **{"Idempotency-Key": key}),
    )


async def test_an_offer_is_seen_and_agreed_to_once(desk, partner):
    order = await held(desk, partner, "r1")
    problem(await ask(desk, partner, order.order_id), 404, "requote_not_found")
    requote = await propose(desk, order)
    seen = (await ask(desk, partner, order.order_id)).json()
    assert (seen["id"], seen["makes_order"], seen["quote"]["id"]) == (requote.id, False, requote.quote.id)
    assert seen["quote"]["receive"]["amount"] == requote.quote.receive.decimal()
    answer = await agree(desk, partner, order.order_id, requote.id, "c1")
    assert answer.status_code == 200
    assert (answer.json()["id"], answer.json()["status"], answer.json()["quote_id"]) == (
        order.order_id,
        "funded",
        requote.quote.id,
    )
    again = await agree(desk, partner, order.order_id, requote.id, "c1")
    assert (again.json(), again.headers["Idempotency-Replayed"]) == (answer.json(), "true")
    assert (await agree(desk, partner, order.order_id, requote.id, "c2")).status_code == 200
    [[lifted]] = await desk.run(
        "SELECT count(*) FROM order_events WHERE order_id = :id AND event = 'hold_lifted'", id=order.order_id
    )
    assert lifted == 1


async def test_another_partner_sees_and_agrees_to_nothing(desk, partner, stranger):
    order = await held(desk, partner, "r2")
    requote = await propose(desk, order)
    async with desk.nothing_written():
        problem(await ask(desk, stranger, order.order_id), 404, "order_not_found")
        problem(await agree(desk, stranger, order.order_id, requote.id, "s1"), 404, "order_not_found")
        problem(await ask(desk, partner, "ord_none"), 404, "order_not_found")
        problem(await agree(desk, partner, order.order_id, "rqt_none", "s2"), 404, "requote_not_found")


async def test_an_offer_that_is_over_or_replaced_is_refused(desk, partner):
    order = await held(desk, partner, "r3")
    older, newer = await propose(desk, order), await propose(desk, order)
    async with desk.nothing_written():
        problem(await agree(desk, partner, order.order_id, older.id, "e1"), 409, "requote_replaced")
        with desk.later(timedelta(minutes=15)):
            problem(await agree(desk, partner, order.order_id, newer.id, "e2"), 409, "requote_expired")
            problem(await ask(desk, partner, order.order_id), 404, "requote_not_found")
        await desk.run("SELECT 1")


async def test_consent_needs_a_key_and_a_whole_body(desk, partner):
    order = await held(desk, partner, "r4")
    path = f"/v1/orders/{order.order_id}/requote/consent"
    headers = desk.headers(partner)
    missing = await desk.client.post(path, json={"requote_id": "x"}, headers=headers)
    problem(missing, 400, "idempotency_key_missing", "Idempotency-Key")
    keyed = headers | {"Idempotency-Key": "k"}
    assert (await desk.client.post(path, json={"requote_id": "x", "rate": "1"}, headers=keyed)).status_code == 422
    assert (await desk.client.post(path, json={}, headers=keyed)).status_code == 422
    assert (await desk.client.post(path, json={"requote_id": "x"})).status_code == 401
