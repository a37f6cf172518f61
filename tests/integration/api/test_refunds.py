"""POST /v1/orders/{id}/refund: a partner's own order, once, to an address that can be right."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from gateway.api.routes import install
from gateway.api.services import ApiServices
from tests.integration.api.desk import Desk, Partner, problem
from tests.integration.refunds.house import SENDER, WALLET, WALLETS, with_limit

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(autouse=True)
def wallets(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The application with refunds set up."""
    monkeypatch.setattr(desk, "client", client(desk, with_limit(10**15)))


def client(desk: Desk, wallets: Any) -> httpx.AsyncClient:
    gateway, app = desk.gateway, FastAPI()
    services = ApiServices(
        engine=gateway.engine,
        offer=gateway.offer,
        factories=gateway.factories,
        rails=gateway.rails,
        addresses=gateway.addresses,
        issuer=gateway.issuer,
        verifier=gateway.verifier,
        public_url="https://pay.example",
        clock=lambda: desk.now,
        wallets=wallets,
    )
    install(app, services)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="https://pay.example")


async def held(desk: Desk, partner: Partner, state: str = "held", **changes: Any) -> str:
    """An order of the partner's with 10 USDC in it."""
    quote_id = await desk.quoted(partner)
    answer = await desk.order(partner, f"for {quote_id}", quote_id, **changes)
    order_id = str(answer.json()["id"])
    await desk.run("UPDATE orders SET state = :state WHERE id = :id", state=state, id=order_id)
    await desk.run(
        """INSERT INTO journal_entries (cause, template, order_id, posted_at, postings)
        VALUES ('test:' || :id, 'deposit_received', :id, now(),
            ARRAY[CAST(ROW('chain\\:31337', 'order\\:' || :id || '\\:funds', 'USDC@31337', 10000000) AS posting)])""",
        id=order_id,
    )
    return order_id


async def refund(desk: Desk, partner: Partner, order_id: str, body: Any, key: str = "") -> httpx.Response:
    headers = desk.headers(partner, **{"Idempotency-Key": key or f"refund {order_id}"})
    return await desk.client.post(f"/v1/orders/{order_id}/refund", json=body, headers=headers)


@pytest.mark.parametrize("state", ["held", "funded"])
async def test_a_partner_has_its_order_refunded_once(desk: Desk, partner: Partner, state: str) -> None:
    order_id = await held(desk, partner, state)
    first = await refund(desk, partner, order_id, {"address": SENDER.lower()})
    assert first.status_code == 202, first.text
    order = first.json()
    assert (order["status"], order["refund_address"], order["money_is_with"]) == ("refunding", SENDER, "gateway")
    [told] = order["refunds"]
    assert (told["asset"], told["amount"], told["address"], told["status"]) == ("USDC", "10.000000", SENDER, "sending")
    again = await refund(desk, partner, order_id, {"address": SENDER.lower()})
    assert (again.content, again.headers["idempotency-replayed"]) == (first.content, "true")
    problem(await refund(desk, partner, order_id, {}, "another key"), 409, "refund_not_possible")
    [row] = await desk.run("SELECT owner FROM refunds WHERE order_id = :id", id=order_id)
    assert row.owner == f"partner:{partner.id}"


async def test_the_address_given_with_the_order_is_enough(desk: Desk, partner: Partner) -> None:
    order_id = await held(desk, partner, refund_address=SENDER)
    answer = await refund(desk, partner, order_id, {})
    assert (answer.status_code, answer.json()["refunds"][0]["address"]) == (202, SENDER)


async def test_without_any_address_nothing_goes_back(desk: Desk, partner: Partner) -> None:
    order_id = await held(desk, partner)
    async with desk.nothing_written():
        problem(await refund(desk, partner, order_id, {}), 422, "refund_address_missing", "/address")


@pytest.mark.parametrize("address", [WALLET, "0x" + "0" * 40, SENDER[:-1], SENDER.replace("C", "c", 1), ""])
async def test_a_bad_address_is_refused_and_the_key_is_free_again(desk: Desk, partner: Partner, address: str) -> None:
    order_id = await held(desk, partner)
    async with desk.nothing_written():
        problem(await refund(desk, partner, order_id, {"address": address}), 422, "bad_refund_address", "/address")
    assert (await refund(desk, partner, order_id, {"address": SENDER})).status_code == 202


@pytest.mark.parametrize("state", ["awaiting_deposit", "confirming", "expired", "paying", "uncertain", "paid", "refunded"])
async def test_an_order_in_another_state_is_left_alone(desk: Desk, partner: Partner, state: str) -> None:
    order_id = await held(desk, partner, state)
    async with desk.nothing_written():
        problem(await refund(desk, partner, order_id, {"address": SENDER}), 409, "refund_not_possible")


async def test_another_partners_order_is_not_there(desk: Desk, partner: Partner, stranger: Partner) -> None:
    order_id = await held(desk, partner)
    async with desk.nothing_written():
        for body in ({}, {"address": SENDER}, {"address": "no address"}):
            theirs = problem(await refund(desk, stranger, order_id, body, "k"), 404, "order_not_found")
            assert theirs == problem(await refund(desk, stranger, "ord_none", body, "k"), 404, "order_not_found")


async def test_what_is_not_a_refund_is_refused(desk: Desk, partner: Partner) -> None:
    order_id = await held(desk, partner)
    async with desk.nothing_written():
        problem(await refund(desk, partner, order_id, {"units": "1"}), 422, "invalid_fields", "/units")
        problem(await refund(desk, partner, order_id, {"address": 7}), 422, "invalid_fields", "/address")
        headers = desk.headers(partner)
        answer = await desk.client.post(f"/v1/orders/{order_id}/refund", json={}, headers=headers)
        problem(answer, 400, "idempotency_key_missing", "Idempotency-Key")
        answer = await desk.client.post(f"/v1/orders/{order_id}/refund", json={}, headers={"Idempotency-Key": "k"})
        problem(answer, 401, "invalid_token")


async def test_a_key_stands_for_one_orders_refund(desk: Desk, partner: Partner) -> None:
    first, second = await held(desk, partner), await held(desk, partner)
    assert (await refund(desk, partner, first, {"address": SENDER}, "one key")).status_code == 202
    problem(
        await refund(desk, partner, second, {"address": SENDER}, "one key"), 422, "idempotency_key_reused", "Idempotency-Key"
    )


async def test_a_chain_without_a_wallet_and_a_spent_limit_are_told(desk: Desk, partner: Partner) -> None:
    order_id = await held(desk, partner)
    desk.client = client(desk, replace(WALLETS, by_chain={}))
    problem(await refund(desk, partner, order_id, {"address": SENDER}), 409, "refunds_off")
    desk.client = client(desk, with_limit(1))
    problem(await refund(desk, partner, order_id, {"address": SENDER}), 409, "refund_limit")


async def test_twenty_at_once_have_one_effect_and_one_answer(desk: Desk, partner: Partner) -> None:
    order_id = await held(desk, partner)
    answers = await asyncio.gather(*(refund(desk, partner, order_id, {"address": SENDER}) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.content for answer in answers}) == 1
    assert len(await desk.run("SELECT FROM refunds WHERE order_id = :id", id=order_id)) == 1
