from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest
from structlog.testing import capture_logs

from gateway.payouts.addresses import CallbackAddresses, Callee
from gateway.payouts.inbox import handle_callbacks
from tests.integration.api.desk import URL, Desk, problem

pytestmark = pytest.mark.asyncio(loop_scope="module")
CROWD = 100


def address(desk: Desk, attempt_id: str, *, adapter: str = "calls", label: str = "result") -> str:
    return desk.gateway.addresses.address(Callee(adapter, attempt_id, label))


async def stored(desk: Desk, attempt_id: str) -> list[Any]:
    return await desk.run("SELECT * FROM callbacks WHERE attempt_id = :attempt_id ORDER BY id", attempt_id=attempt_id)


def taken(answer: httpx.Response) -> None:
    """The rail's own answer."""
    assert (answer.status_code, answer.json()) == (202, {"ResultDesc": "taken"})


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_what_a_rail_tells_is_stored_before_it_is_answered_in_the_rails_own_words(desk: Desk, method: str) -> None:
    body = json.dumps({"id": f"by {method}"}).encode()
    headers = {"Content-Type": "text/plain", "X-Forwarded-For": "192.0.2.1", "Authorization": "Basic c2VjcmV0"}
    taken(await desk.client.request(method, address(desk, method), content=body, headers=headers))
    (row,) = await stored(desk, method)
    assert (row.adapter, row.event_id, row.label) == ("calls", f"by {method}", "result")
    assert (bytes(row.body), row.received_at, row.handled_at) == (body, desk.now, None)
    assert row.headers["x-forwarded-for"] == "192.0.2.1"
    assert "authorization" not in row.headers


async def test_the_workers_are_woken_by_what_is_new(desk: Desk) -> None:
    async with await psycopg.AsyncConnection.connect(
        desk.engine.url.set(drivername="postgresql").render_as_string(hide_password=False), autocommit=True
    ) as connection:
        await connection.execute("LISTEN lastmile")
        for _ in range(2):
            taken(await desk.client.post(address(desk, "waking"), json={"id": "waking"}))
        heard = [notice.payload async for notice in connection.notifies(timeout=5, stop_after=1)]
        heard += [notice.payload async for notice in connection.notifies(timeout=0.1)]
    assert heard == ["callbacks"]


async def test_a_hundred_deliveries_at_once_are_one_row_and_all_are_answered(desk: Desk) -> None:
    limits = httpx.Limits(max_connections=CROWD)
    async with desk.served() as url, httpx.AsyncClient(limits=limits, timeout=60) as client:
        place = url + urlsplit(address(desk, "crowd")).path
        answers = await asyncio.gather(*(client.post(place, json={"id": "crowd"}) for _ in range(CROWD)))
    assert Counter(answer.status_code for answer in answers) == {202: CROWD}
    assert len(await stored(desk, "crowd")) == 1


async def test_different_news_of_one_attempt_are_kept_apart(desk: Desk) -> None:
    for event_id in ("first", "second", "first"):
        taken(await desk.client.post(address(desk, "twice"), json={"id": event_id}))
    assert [row.event_id for row in await stored(desk, "twice")] == ["first", "second"]


UNREADABLE = {"no JSON": b"<xml/>", "nothing": b"", "no text": b"\xff\x00\xfe", "no id": b"[]", "NUL": b"\0"}


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE.keys())
async def test_what_cannot_be_read_is_kept_as_evidence_and_acted_on_by_nobody(desk: Desk, body: bytes) -> None:
    attempt_id = f"unreadable {body.hex()}"
    for _ in range(2):
        taken(await desk.client.post(address(desk, attempt_id), content=body))
    (row,) = await stored(desk, attempt_id)
    assert (bytes(row.body), row.event_id[:11]) == (body, "unreadable:")
    while await handle_callbacks(desk.engine, rails=desk.gateway.rails, clock=desk.gateway.clock):
        pass
    (row,) = await stored(desk, attempt_id)
    assert row.handled_at == desk.now
    assert not row.result.startswith(("rang", "proof"))


async def test_an_error_of_the_adapters_own_loses_nothing_and_is_logged(desk: Desk) -> None:
    with capture_logs() as logs:
        taken(await desk.client.post(address(desk, "crash"), content=b"crash"))
    assert [bytes(row.body) for row in await stored(desk, "crash")] == [b"crash"]
    (entry,) = [entry for entry in logs if entry["event"] == "callback_unreadable"]
    assert isinstance(entry["exc_info"], ZeroDivisionError)
    await desk.run("UPDATE callbacks SET handled_at = now() WHERE attempt_id = 'crash'")


async def test_news_of_an_unknown_attempt_are_kept_and_change_nothing(desk: Desk) -> None:
    taken(await desk.client.post(address(desk, "att_nobody"), json={"id": "nobody"}))
    while await handle_callbacks(desk.engine, rails=desk.gateway.rails, clock=desk.gateway.clock):
        pass
    (row,) = await stored(desk, "att_nobody")
    assert row.result == "callback_for_unknown_attempt"
    assert (await desk.run("SELECT count(*) FROM attempts"))[0][0] == 0


def forged(desk: Desk) -> dict[str, str]:
    """Addresses that we never gave away."""
    genuine = address(desk, "att_1")
    head, tag = genuine[:-32], genuine[-32:]
    other = address(desk, "att_2")
    guessed = CallbackAddresses(public_url=URL, key=b"1" * 32).address(Callee("calls", "att_1", "result"))
    return {
        "a digit changed": genuine[:-1] + ("0" if genuine[-1] != "0" else "1"),
        "the attempt changed": other[:-32] + tag,
        "another key": guessed,
        "no tag": head,
        "only a tag": f"{URL}/callbacks/{tag}",
        "cut": genuine[:-2],
        "longer": genuine + "00",
        "odd": genuine + "0",
        "no digits": f"{URL}/callbacks/none",
        "nothing": f"{URL}/callbacks/",
        "a folder": f"{genuine}/x",
        "ten thousand digits": f"{URL}/callbacks/{'0' * 10_000}",
        "an adapter that is gone": address(desk, "att_1", adapter="gone"),
        "an adapter that isn't called": address(desk, "att_1", adapter="silent"),
    }


async def test_an_address_that_we_never_gave_away_is_answered_like_any_unknown_page(desk: Desk) -> None:
    async with desk.nothing_written():
        answers = {why: await desk.client.post(place, json={"id": "forged"}) for why, place in forged(desk).items()}
    for why, answer in answers.items():
        assert problem(answer, 404, "not_found")["detail"] == "There is nothing at this address.", why
    assert len({answer.text for answer in answers.values()}) == 1


@pytest.mark.parametrize("method", ["GET", "DELETE", "PATCH"])
async def test_callbacks_are_only_posted_or_put(desk: Desk, method: str) -> None:
    for place in (address(desk, "att_1"), f"{URL}/callbacks/none"):
        problem(await desk.client.request(method, place), 405, "method_not_allowed")


async def test_a_large_body_is_refused(desk: Desk) -> None:
    async with desk.nothing_written():
        problem(await desk.client.post(address(desk, "large"), content=b"x" * 65_537), 413, "body_too_large")
    taken(await desk.client.post(address(desk, "large"), content=b"x" * 65_536))


async def test_while_the_database_is_away_nothing_is_answered_as_taken(desk: Desk) -> None:
    async with desk.without_database() as client:
        answer = await client.post(address(desk, "away"), json={"id": "away"})
    problem(answer, 503, "unavailable")
    assert answer.headers["retry-after"] == "30"


async def test_an_address_is_made_of_nothing_but_hexadecimal_digits(desk: Desk) -> None:
    """Daraja refuses addresses with words such as "query", "cmd" or "mpesa" in them."""
    token = address(desk, "att_mpesa_query", label="query").rpartition("/")[2]
    assert set(token) <= set("0123456789abcdef")
