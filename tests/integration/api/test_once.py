"""One order per key, one order per quote, however often and however many at once they are sent."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.api import conventions
from gateway.db.session import transaction
from tests.integration.api.desk import JSON, RECIPIENT, TTL, Desk, Partner, problem

pytestmark = pytest.mark.asyncio(loop_scope="module")
CROWD = 100


async def orders_of(desk: Desk, *quote_ids: str) -> int:
    (row,) = await desk.run("SELECT count(*) FROM orders WHERE quote_id = ANY(:ids)", ids=list(quote_ids))
    return int(row[0])


async def test_the_same_request_again_gives_the_same_answer(desk: Desk, partner: Partner) -> None:
    quote_id = await desk.quoted(partner)
    changes: dict[str, Any] = {"metadata": {"zebra": "1", "a": "2"}, "reference": "é🐘"}
    first = await desk.order(partner, "again", quote_id, **changes)
    async with desk.nothing_written():
        second = await desk.order(partner, "again", quote_id, **changes)
    assert (second.status_code, second.content) == (201, first.content)
    assert second.headers["idempotency-replayed"] == "true"
    assert second.headers["content-type"] == first.headers["content-type"] == "application/json"
    assert second.headers["cache-control"] == "no-store"


async def test_the_answer_stays_when_the_quote_is_over_and_the_order_has_moved(desk: Desk, partner: Partner) -> None:
    quote_id = await desk.quoted(partner)
    first = await desk.order(partner, "a year later", quote_id)
    await desk.run("UPDATE orders SET state = 'expired' WHERE id = :id", id=first.json()["id"])
    with desk.later(timedelta(days=366)):
        second = await desk.order(partner, "a year later", quote_id)
    assert (second.status_code, second.content) == (201, first.content)


@pytest.mark.parametrize("change", [{"reference": "other"}, {"recipient": RECIPIENT | {"name": "Another"}}])
async def test_a_key_stands_for_one_request(desk: Desk, partner: Partner, change: dict[str, Any]) -> None:
    quote_id, key = await desk.quoted(partner), f"one request {change}"
    first = await desk.order(partner, key, quote_id)
    async with desk.nothing_written():
        answer = await desk.order(partner, key, quote_id, **change)
    problem(answer, 422, "idempotency_key_reused", "Idempotency-Key")
    assert first.json()["id"] not in answer.text
    assert (await desk.order(partner, key, quote_id)).content == first.content


async def test_a_new_quote_under_an_old_key_is_another_request(desk: Desk, partner: Partner) -> None:
    await desk.order(partner, "old", await desk.quoted(partner))
    problem(await desk.order(partner, "old", await desk.quoted(partner)), 422, "idempotency_key_reused", "Idempotency-Key")


async def test_partners_share_no_keys(desk: Desk, partner: Partner, stranger: Partner) -> None:
    answers = [await desk.order(who, "shared", await desk.quoted(who)) for who in (partner, stranger)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json()["id"] != answers[1].json()["id"]
    assert "idempotency-replayed" not in answers[1].headers


async def test_a_refused_request_can_be_corrected_under_its_key(desk: Desk, partner: Partner) -> None:
    quote_id = await desk.quoted(partner)
    for recipient in (RECIPIENT | {"phone": "12"}, RECIPIENT | {"name": " "}):
        problem(
            await desk.order(partner, "corrected", quote_id, recipient=recipient),
            422,
            "bad_recipient",
            "/recipient/phone" if recipient["phone"] == "12" else "/recipient/name",
        )
    problem(await desk.order(partner, "corrected", "quo_none"), 404, "quote_not_found", "/quote_id")
    expired = await desk.quoted(partner)
    with desk.later(TTL):
        problem(await desk.order(partner, "corrected", expired), 409, "quote_expired", "/quote_id")
    answer = await desk.order(partner, "corrected", quote_id)
    assert answer.status_code == 201
    assert "idempotency-replayed" not in answer.headers


BAD_KEYS = {"empty": "", "too long": "k" * 256, "not ASCII": "schlüssel".encode("latin-1"), "tab": "a\tb"}


@pytest.mark.parametrize("key", BAD_KEYS.values(), ids=BAD_KEYS.keys())
async def test_a_key_that_cannot_be_kept_is_refused(desk: Desk, partner: Partner, key: str | bytes) -> None:
    await sent_with(desk, partner, [("Idempotency-Key", key)], code="bad_idempotency_key")


async def test_an_order_without_a_key_is_refused(desk: Desk, partner: Partner) -> None:
    await sent_with(desk, partner, [], code="idempotency_key_missing")


async def test_two_keys_are_refused_even_if_alike(desk: Desk, partner: Partner) -> None:
    await sent_with(desk, partner, [("Idempotency-Key", "k"), ("idempotency-key", "k")], code="bad_idempotency_key")


async def sent_with(desk: Desk, partner: Partner, keys: list[tuple[str, Any]], *, code: str) -> None:
    """An order with these headers meets this problem and writes nothing."""
    body = {"quote_id": await desk.quoted(partner), "recipient": RECIPIENT}
    headers: Any = [*desk.headers(partner).items(), *keys]
    async with desk.nothing_written():
        problem(await desk.client.post("/v1/orders", json=body, headers=headers), 400, code, "Idempotency-Key")


async def test_a_key_of_the_largest_size_is_kept(desk: Desk, partner: Partner) -> None:
    quote_id = await desk.quoted(partner)
    first = await desk.order(partner, "~ " + "k" * 253, quote_id)
    assert first.status_code == 201, first.text
    assert (await desk.order(partner, "~ " + "k" * 253, quote_id)).content == first.content


async def crowd(desk: Desk, partner: Partner, requests: list[tuple[str, str]]) -> list[httpx.Response]:
    """All these orders, each (key, quote), at once and each on a connection of its own, through a real server."""
    limits = httpx.Limits(max_connections=CROWD)
    async with desk.served() as url, httpx.AsyncClient(base_url=url, limits=limits, timeout=60) as client:

        async def post(key: str, quote_id: str) -> httpx.Response:
            body = {"quote_id": quote_id, "recipient": RECIPIENT}
            headers = desk.headers(partner, **{"Idempotency-Key": key})
            return await client.post("/v1/orders", json=body, headers=headers)

        return await asyncio.gather(*(post(*request) for request in requests))


async def test_a_hundred_at_once_with_one_key_are_one_order_and_one_answer(desk: Desk, partner: Partner) -> None:
    quote_id = await desk.quoted(partner)
    answers = await crowd(desk, partner, [("crowd", quote_id)] * CROWD)
    assert Counter(answer.status_code for answer in answers) == {201: CROWD}
    assert len({answer.content for answer in answers}) == 1
    assert Counter(answer.headers.get("idempotency-replayed") for answer in answers) == {"true": CROWD - 1, None: 1}
    assert await orders_of(desk, quote_id) == 1


async def test_a_hundred_at_once_for_one_quote_are_one_order(desk: Desk, partner: Partner) -> None:
    quote_id = await desk.quoted(partner)
    answers = await crowd(desk, partner, [(f"crowd {number}", quote_id) for number in range(CROWD)])
    assert Counter(answer.status_code for answer in answers) == {201: 1, 409: CROWD - 1}
    for answer in answers:
        if answer.status_code == 409:
            problem(answer, 409, "quote_used", "/quote_id")
    assert await orders_of(desk, quote_id) == 1
    (row,) = await desk.run("SELECT count(*) FROM idempotency_keys WHERE key LIKE 'crowd _%'")
    assert row[0] == 1


async def test_of_two_requests_at_once_under_one_key_one_stands(desk: Desk, partner: Partner) -> None:
    quotes = [await desk.quoted(partner), await desk.quoted(partner)]
    answers = await asyncio.gather(*(desk.order(partner, "race", quote_id) for quote_id in quotes * 10))
    counted = Counter(answer.status_code for answer in answers)
    assert counted == {201: 10, 422: 10}
    assert await orders_of(desk, *quotes) == 1


async def test_a_body_that_never_ends_holds_up_nobody(desk: Desk, partner: Partner) -> None:
    """Half a request on the wire takes neither its key nor its quote."""
    quote_id = await desk.quoted(partner)
    async with desk.served() as url:
        _, port = url.rsplit(":", 1)
        _, writer = await asyncio.open_connection("127.0.0.1", int(port))
        token = desk.headers(partner)["Authorization"]
        head = f"POST /v1/orders HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\nIdempotency-Key: half\r\n"
        writer.write(f"{head}Content-Type: application/json\r\nContent-Length: 500\r\n\r\n{{".encode())
        await writer.drain()
        assert (await desk.order(partner, "half", quote_id)).status_code == 201
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def cut_after_commit(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A transaction that is kept and doesn't say so."""
    async with transaction(engine) as connection:
        yield connection
    raise OperationalError("COMMIT", {}, ConnectionResetError())


async def test_an_answer_lost_after_the_commit_is_found_again_under_its_key(
    desk: Desk, partner: Partner, monkeypatch: pytest.MonkeyPatch
) -> None:
    quote_id = await desk.quoted(partner)
    with monkeypatch.context() as patch:
        patch.setattr(conventions, "transaction", cut_after_commit)
        problem(await desk.order(partner, "lost", quote_id), 503, "unavailable")
    again = await desk.order(partner, "lost", quote_id)
    assert (again.status_code, again.headers["idempotency-replayed"]) == (201, "true")
    assert await orders_of(desk, quote_id) == 1


async def test_json_that_can_be_read_two_ways_makes_no_order(desk: Desk, partner: Partner) -> None:
    quote_id = await desk.quoted(partner)
    body = f'{{"quote_id": "quo_1", "quote_id": "{quote_id}", "recipient": {{"name": "W", "phone": "0712345678"}}}}'
    headers = desk.headers(partner, **JSON, **{"Idempotency-Key": "two ways"})
    async with desk.nothing_written():
        problem(await desk.client.post("/v1/orders", content=body, headers=headers), 400, "malformed_request")
