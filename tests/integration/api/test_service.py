"""What holds for the whole application: health, unknown addresses, headers, and the document that describes it."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace
from typing import Any

import httpx
import pytest

from gateway.api import health, routes
from gateway.db.session import make_engine
from gateway.main import make_app
from tests.integration.api.desk import ASK, URL, Desk, Partner, problem

pytestmark = pytest.mark.asyncio(loop_scope="module")


# --- health --------------------------------------------------------------------------------------------------------------


async def test_a_process_that_runs_is_healthy_even_without_a_database(desk: Desk) -> None:
    async with desk.without_database() as client:
        for one in (desk.client, client):
            answer = await one.get("/healthz")
            assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
            assert answer.headers["cache-control"] == "no-store"


CURSOR = """
INSERT INTO chain_cursors VALUES (:chain_id, 70, :hash, 60, :hash, :halted, :now)
ON CONFLICT (chain_id) DO UPDATE SET halted = excluded.halted
"""


async def test_it_is_ready_when_no_chain_is_halted(desk: Desk) -> None:
    await desk.run(CURSOR, chain_id=31337, hash="0x0", halted=None, now=desk.now)
    answer = await desk.client.get("/readyz")
    document = answer.json()
    assert (answer.status_code, document["status"], document["problems"]) == (200, "ready", [])
    assert document["chains"]["31337"].items() >= {"block": 70, "as_of": "2026-11-22T12:00:00+00:00"}.items()
    assert answer.headers["cache-control"] == "no-store"


async def test_a_halted_chain_is_named_with_its_reason(desk: Desk) -> None:
    await desk.run(CURSOR, chain_id=31337, hash="0x0", halted="block 60 changed below finality", now=desk.now)
    answer = await desk.client.get("/readyz")
    assert answer.status_code == 503
    assert (answer.json()["status"], answer.json()["problems"]) == (
        "halted",
        ["chain 31337 is halted: block 60 changed below finality"],
    )
    await desk.run("UPDATE chain_cursors SET halted = NULL")
    assert (await desk.client.get("/readyz")).status_code == 200


async def test_without_a_database_it_is_not_ready_and_says_why(desk: Desk) -> None:
    async with desk.without_database() as client:
        answer = await client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json() == {
        "status": "unavailable",
        "problems": ["the database does not answer (OperationalError); start it or correct database.url"],
    }


async def test_a_database_that_says_nothing_is_not_waited_for_long(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "ANSWER_WITHIN_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        engine = make_engine(f"postgresql://nobody@127.0.0.1:{silent.getsockname()[1]}/nowhere")
        transport = httpx.ASGITransport(app=make_app(replace(desk.gateway, engine=engine)))
        async with asyncio.timeout(10), httpx.AsyncClient(transport=transport, base_url=URL) as client:
            answer = await client.get("/readyz")
        await engine.dispose()
    assert answer.status_code == 503
    assert "(TimeoutError)" in answer.json()["problems"][0]


# --- the database goes away ----------------------------------------------------------------------------------------------


async def test_without_a_database_every_answer_says_to_come_back(desk: Desk, partner: Partner) -> None:
    credentials = {"client_id": partner.client_id, "client_secret": partner.client_secret}
    headers = desk.headers(partner, **{"Idempotency-Key": "away"})
    order = {"quote_id": "quo_1", "recipient": {"name": "Wanjiku", "phone": "0712345678"}}
    async with desk.without_database() as client:
        answers = [
            await client.post("/oauth/token", data={"grant_type": "client_credentials"} | credentials),
            await client.post("/v1/quotes", json=ASK, headers=headers),
            await client.post("/v1/orders", json=order, headers=headers),
            await client.get("/v1/orders/ord_1", headers=headers),
            await client.get("/v1/corridors", headers=headers),
        ]
    for answer in answers:
        document = problem(answer, 503, "unavailable")
        assert answer.headers["retry-after"] == "30"
        for inside in ("psycopg", "sqlalchemy", "127.0.0.1", "Traceback", partner.client_secret):
            assert inside not in answer.text
        assert document["detail"].startswith("Our database does not answer.")


async def test_after_a_restart_of_the_database_service_goes_on_by_itself(desk: Desk, partner: Partner) -> None:
    assert (await desk.quote(partner)).status_code == 201
    await cut_all(desk)
    first = await desk.quote(partner)
    if first.status_code != 201:
        problem(first, 503, "unavailable")
    assert (await desk.quote(partner)).status_code == 201


async def cut_all(desk: Desk) -> None:
    """End every connection of the application, as a restart does."""
    other = make_engine(desk.engine.url.render_as_string(hide_password=False))
    async with other.connect() as connection:
        await connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    await other.dispose()


# --- addresses -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/v1", "/v1/", "/v1/nothing", "/v1/orders/x/y", "/oauth/x", "/.well-known/x", "/callbacks"]
)
async def test_an_unknown_address_of_programs_is_a_problem_although_pages_take_all_others(desk: Desk, path: str) -> None:
    problem(await desk.client.get(path), 404, "not_found")


METHODS = {
    "/v1/quotes": "POST",
    "/v1/orders": "POST",
    "/v1/orders/ord_1": "GET",
    "/v1/corridors": "GET",
    "/.well-known/jwks.json": "GET",
}


@pytest.mark.parametrize("path", METHODS)
async def test_another_method_is_a_problem_that_names_the_right_one(desk: Desk, path: str) -> None:
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "XYZZY"} - {METHODS[path]}:
        answer = await desk.client.request(method, path)
        problem(answer, 405, "method_not_allowed")
        assert answer.headers["allow"] == METHODS[path]


async def test_a_path_with_a_slash_too_many_leads_nobody_elsewhere(desk: Desk, partner: Partner) -> None:
    """A redirect would carry the token to wherever the Host header says."""
    for path in ("/v1/quotes/", "//v1/quotes", "/v1//quotes"):
        headers = desk.headers(partner, Host="evil.example")
        answer = await desk.client.post(path, json=ASK, headers=headers)
        assert "evil.example" not in answer.headers.get("location", ""), path
        assert answer.status_code in (404, 405), path


async def test_pages_stay_pages(desk: Desk) -> None:
    assert (await desk.client.get("/")).headers["content-type"].startswith("text/html")
    unknown = await desk.client.get("/nothing")
    assert (unknown.status_code, unknown.headers["content-type"][:9]) == (404, "text/html")


@pytest.mark.parametrize(
    "path", ["/nothing", "/healthz", "/readyz", "/docs", "/openapi.json", "/v1/nothing", "/oauth/token", "/callbacks/x"]
)
async def test_no_answer_is_guessed_at_or_kept_on_the_way(desk: Desk, path: str) -> None:
    answer = await desk.client.get(path)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"


async def test_a_fault_of_ours_tells_nothing_and_writes_nothing(
    desk: Desk, partner: Partner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_values: object, **_named: object) -> None:
        raise ZeroDivisionError("hunter2-canary")

    quote_id = await desk.quoted(partner)
    monkeypatch.setattr(routes, "order_document", broken)
    async with desk.nothing_written():
        answer = await desk.order(partner, "fault", quote_id)
    problem(answer, 500, "internal_error")
    assert "canary" not in answer.text


# --- the document --------------------------------------------------------------------------------------------------------


@pytest.fixture
async def document(desk: Desk) -> dict[str, Any]:
    return dict((await desk.client.get("/openapi.json")).json())


async def test_the_documentation_opens(desk: Desk) -> None:
    answer = await desk.client.get("/docs")
    assert (answer.status_code, "/openapi.json" in answer.text) == (200, True)


async def test_the_document_describes_what_partners_call_and_nothing_else(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    assert {path: set(operations) for path, operations in document["paths"].items()} == {
        "/oauth/token": {"post"},
        "/.well-known/jwks.json": {"get"},
        "/v1/corridors": {"get"},
        "/v1/rails": {"get"},
        "/v1/rates": {"get"},
        "/v1/quotes": {"post"},
        "/v1/orders": {"post"},
        "/v1/orders/{order_id}": {"get"},
        "/v1/orders/{order_id}/refund": {"post"},
        "/v1/orders/{order_id}/redirect": {"post"},
        "/v1/orders/{order_id}/route": {"get"},
        "/v1/orders/{order_id}/requote": {"get"},
        "/v1/orders/{order_id}/requote/consent": {"post"},
    }
    for operations in document["paths"].values():
        for operation in operations.values():
            assert operation["responses"]["default"] == {"$ref": "#/components/responses/Problem"}
            assert operation["description"]


async def test_the_document_says_how_to_get_in(document: dict[str, Any]) -> None:
    (name,) = document["components"]["securitySchemes"]
    scheme = document["components"]["securitySchemes"][name]
    assert scheme["type"] == "oauth2"
    assert scheme["flows"]["clientCredentials"]["tokenUrl"] == "/oauth/token"
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert operation.get("security") == ([{name: []}] if path.startswith("/v1/") else None), path


async def test_the_document_asks_for_a_key_with_every_order(document: dict[str, Any]) -> None:
    for path in ("/v1/orders", "/v1/orders/{order_id}/refund", "/v1/orders/{order_id}/redirect"):
        parameter = document["paths"][path]["post"]["parameters"][-1]
        assert (parameter["name"], parameter["in"], parameter["required"]) == ("Idempotency-Key", "header", True)


async def test_every_reference_of_the_document_leads_somewhere(document: dict[str, Any]) -> None:
    def references(part: Any) -> list[str]:
        match part:
            case {"$ref": str(target)}:
                return [target]
            case dict():
                return [found for value in part.values() for found in references(value)]
            case list():
                return [found for value in part for found in references(value)]
        return []

    found = references(document)
    assert len(found) > 10
    for target in found:
        place: Any = document
        for step in target.removeprefix("#/").split("/"):
            place = place[step]
