"""Ranked ways to a recipient: given with the order, and again after a refusal."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from gateway.orders.accept import Accepted
from tests.integration.api.desk import RECIPIENT, Desk, Partner, problem
from tests.integration.payouts.refused import fund, refuse

pytestmark = pytest.mark.asyncio(loop_scope="module")
MASKED = "••••••••••"
SECOND = {"method": "mobile_money", "phone": "0722 000 111"}
THIRD = {"method": "mobile_money", "phone": "+254733111222"}


async def ordered(desk: Desk, partner: Partner, key: str, *alternatives: Any) -> httpx.Response:
    recipient = RECIPIENT | {"alternatives": list(alternatives)}
    return await desk.order(partner, key, await desk.quoted(partner), recipient=recipient)


async def refused(desk: Desk, partner: Partner, key: str, *, reason: str = "recipient_refused") -> str:
    made = (await ordered(desk, partner, key)).json()
    await fund(desk.engine, Accepted(order_id=made["id"], tracking_token=""))
    await refuse(desk.engine, made["id"], reason=reason)
    return str(made["id"])


async def redirect(
    desk: Desk, partner: Partner, order_id: str, way: Any = SECOND, *, key: str | None = None, **more: Any
) -> httpx.Response:
    headers = desk.headers(partner, **{"Idempotency-Key": key or f"redirect {order_id}"})
    return await desk.client.post(f"/v1/orders/{order_id}/redirect", json={"recipient": way} | more, headers=headers)


async def test_other_ways_are_kept_in_their_order_and_shown_masked(desk: Desk, partner: Partner) -> None:
    answer = await ordered(desk, partner, "ranked", SECOND, THIRD)
    assert answer.status_code == 201, answer.text
    assert answer.json()["recipient"] == {
        "name": "Wanjiku Kamau",
        "account": f"{MASKED}678",
        "ways": [
            {"rank": 0, "method": "mobile_money", "account": f"{MASKED}678", "given_later": False},
            {"rank": 1, "method": "mobile_money", "account": f"{MASKED}111", "given_later": False},
            {"rank": 2, "method": "mobile_money", "account": f"{MASKED}222", "given_later": False},
        ],
    }
    kept = await desk.run(
        "SELECT rank, method, account FROM recipient_ways WHERE order_id = :id ORDER BY rank", id=answer.json()["id"]
    )
    assert [tuple(row) for row in kept] == [(1, "mobile_money", "+254722000111"), (2, "mobile_money", "+254733111222")]


WRONG = {
    "the first one again": ([{"method": "mobile_money", "phone": "+254712345678"}], "same_way_twice", ""),
    "twice": ([SECOND, {"method": "mobile_money", "phone": "+254722000111"}], "same_way_twice", ""),
    "no such number": ([SECOND, {"method": "mobile_money", "phone": "0722"}], "bad_recipient", "/phone"),
    "an account": ([{"method": "mobile_money", "account": "1"}], "bad_recipient", "/phone"),
    "a phone for a bank": ([{"method": "bank", "phone": "0722000111"}], "bad_recipient", "/account"),
    "another method": ([{"method": "bank", "account": "1"}], "method_not_offered", "/method"),
    "no method": ([{"phone": "0722000111"}], "invalid_fields", "/method"),
    "another name": ([SECOND | {"name": "Somebody"}], "invalid_fields", "/name"),
}


@pytest.mark.parametrize(("ways", "code", "field"), WRONG.values(), ids=WRONG.keys())
async def test_a_wrong_way_is_refused_at_its_place(
    desk: Desk, partner: Partner, ways: list[Any], code: str, field: str
) -> None:
    quote_id = await desk.quoted(partner)
    recipient = RECIPIENT | {"alternatives": ways}
    async with desk.nothing_written():
        answer = await desk.order(partner, "wrong", quote_id, recipient=recipient)
        problem(answer, 422, code, f"/recipient/alternatives/{len(ways) - 1}{field}")


async def test_there_are_at_most_five_other_ways(desk: Desk, partner: Partner) -> None:
    ways = [{"method": "mobile_money", "phone": f"+25472200012{number}"} for number in range(6)]
    assert (await ordered(desk, partner, "five", *ways[:5])).status_code == 201
    problem(await ordered(desk, partner, "six", *ways), 422, "invalid_fields", "/recipient/alternatives")


async def test_a_refused_recipient_is_a_question_and_another_account_its_answer(desk: Desk, partner: Partner) -> None:
    order_id = await refused(desk, partner, "question")
    asked = (await desk.see(partner, order_id)).json()
    assert (asked["status"], asked["reason"], asked["money_is_with"]) == ("needs_info", "recipient_refused", "gateway")
    assert [(one["rail"], one["way"], one["outcome"], one["fault"]) for one in asked["attempts"]] == [
        ("fake", 0, "failed", "recipient")
    ]
    answer = await redirect(desk, partner, order_id)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert (told["status"], told["reason"], told["recipient"]["account"]) == ("funded", "redirected", f"{MASKED}111")
    assert told["recipient"]["ways"][1]["given_later"] is True
    (kept,) = await desk.run("SELECT by FROM order_redirects WHERE order_id = :id", id=order_id)
    assert kept.by == f"partner:{partner.id}"


async def test_money_that_came_back_is_the_same_question(desk: Desk, partner: Partner) -> None:
    order_id = await refused(desk, partner, "returned", reason="returned")
    asked = (await desk.see(partner, order_id)).json()
    assert (asked["status"], asked["reason"], asked["money_is_with"]) == ("returned", "returned", "gateway")
    assert (await redirect(desk, partner, order_id)).status_code == 200


async def test_a_repeated_redirect_gives_the_same_answer(desk: Desk, partner: Partner) -> None:
    order_id = await refused(desk, partner, "again")
    first = await redirect(desk, partner, order_id)
    second = await redirect(desk, partner, order_id)
    assert (second.json(), second.headers["idempotency-replayed"]) == (first.json(), "true")
    with_another_key = await redirect(desk, partner, order_id, key="another")
    assert (with_another_key.status_code, with_another_key.json()) == (200, first.json())
    problem(await redirect(desk, partner, order_id, THIRD), 422, "idempotency_key_reused", "Idempotency-Key")
    problem(await redirect(desk, partner, order_id, THIRD, key="third"), 409, "recipient_fixed")


async def test_of_twenty_at_once_one_account_is_taken(desk: Desk, partner: Partner) -> None:
    order_id = await refused(desk, partner, "parallel")
    ways = [{"method": "mobile_money", "phone": f"+2547220002{number:02}"} for number in range(20)]
    answers = await asyncio.gather(
        *(redirect(desk, partner, order_id, way, key=f"parallel {number}") for number, way in enumerate(ways))
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 19
    (kept,) = await desk.run("SELECT count(*) AS n FROM recipient_ways WHERE order_id = :id", id=order_id)
    assert kept.n == 1


async def test_another_partners_order_does_not_exist(desk: Desk, partner: Partner, stranger: Partner) -> None:
    order_id = await refused(desk, partner, "stranger")
    async with desk.nothing_written():
        theirs = problem(await redirect(desk, stranger, order_id, key="theirs"), 404, "order_not_found")
        nobodys = problem(await redirect(desk, stranger, "ord_none", key="nobodys"), 404, "order_not_found")
    assert theirs == nobodys


async def test_a_redirect_needs_a_key_and_a_way_and_takes_nothing_else(desk: Desk, partner: Partner) -> None:
    order_id = await refused(desk, partner, "bodies")
    async with desk.nothing_written():
        without = await desk.client.post(
            f"/v1/orders/{order_id}/redirect", json={"recipient": SECOND}, headers=desk.headers(partner)
        )
        problem(without, 400, "idempotency_key_missing", "Idempotency-Key")
        problem(await redirect(desk, partner, order_id, amount="1"), 422, "invalid_fields", "/amount")
        named = SECOND | {"name": "Somebody Else"}
        problem(await redirect(desk, partner, order_id, named), 422, "invalid_fields", "/recipient/name")
        same = {"method": "mobile_money", "phone": RECIPIENT["phone"]}
        problem(await redirect(desk, partner, order_id, same), 422, "same_way_twice", "/recipient/phone")
        problem(await redirect(desk, partner, order_id, SECOND | {"phone": "1"}), 422, "bad_recipient", "/recipient/phone")
        bank = {"method": "bank", "account": "1"}
        problem(await redirect(desk, partner, order_id, bank), 422, "method_not_offered", "/recipient/method")


async def test_an_economy_order_says_so(desk: Desk, partner: Partner) -> None:
    ask = {
        "send": {"chain": "dev", "asset": "USDC", "amount": "10"},
        "receive": {"country": "KE", "currency": "KES", "method": "mobile_money"},
        "speed": "economy",
    }
    quote = (await desk.quote(partner, ask)).json()
    made = (await desk.order(partner, "economy", quote["id"])).json()
    assert (made["speed"], made["drop_at"]) == ("economy", "2026-11-22T12:00:00Z")
    (kept,) = await desk.run("SELECT lane FROM orders WHERE id = :id", id=made["id"])
    assert kept.lane == "KE/KES/mobile_money/economy"
    assert kept.lane in desk.gateway.offer.drops()
