from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any, ClassVar, Literal

import httpx
import pytest
from fastapi import FastAPI, Header, Query
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator
from starlette.exceptions import HTTPException
from starlette.requests import Request

from gateway.api import problems
from gateway.api.problems import ERRORS_MOST, PROGRAM_PATHS, SENTENCE_MOST, STATUS, install_problems, is_program_path
from gateway.errors import Refusal
from gateway.partners.tokens import InvalidToken

CANARY = "hunter2-canary"


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Send(Strict):
    chain: Literal["base", "polygon"]
    amount: str = Field(max_length=10)


class Order(Strict):
    send: Send
    count: int = 1
    tags: list[str] = []
    metadata: dict[str, str] = {}
    pin: SecretStr | None = None

    @field_validator("count")
    @classmethod
    def _even(cls, count: int) -> int:
        if count % 2 == 0:
            raise ValueError("Write an odd number.")
        return count


class QuoteExpired(Refusal):
    code: ClassVar[str] = "quote_expired"


class InvalidClient(Refusal):
    code: ClassVar[str] = "invalid_client"


class NeverHeardOf(Refusal):
    code: ClassVar[str] = "never_heard_of"


REFUSALS: dict[str, Refusal] = {
    "expired": QuoteExpired("This quote expired. Ask for a new one.", field="quote_id"),
    "phone": NeverHeardOf("Write the number like +254712345678.", field="phone"),
    "dotted": NeverHeardOf("Too small.", field="send.amount"),
    "unlisted": NeverHeardOf("We don't do that."),
    "token": InvalidToken("expired"),
    "client": InvalidClient("Wrong client_id or client_secret."),
    "long": NeverHeardOf("x" * 1000 + "\ud800", field="\ud800\r\n" * 1000),
}


def make_app() -> FastAPI:
    app = FastAPI()

    @app.exception_handler(HTTPException)
    async def page(_request: Request, error: HTTPException) -> HTMLResponse:
        return HTMLResponse(f"page {error.status_code}", error.status_code)

    install_problems(app)

    @app.post("/v1/orders")
    async def orders(order: Order) -> dict[str, str]:
        return {"amount": order.send.amount}

    @app.get("/v1/search")
    async def search(
        status: Annotated[Literal["paid", "held"], Query()], x_key: Annotated[str, Header(max_length=4)] = ""
    ) -> dict[str, str]:
        return {status: x_key}

    @app.get("/v1/refuse/{kind}")
    async def refuse(kind: str) -> None:
        raise REFUSALS[kind]

    @app.get("/v1/crash")
    @app.get("/page/crash")
    async def crash() -> None:
        raise ZeroDivisionError(f"SELECT secret FROM partners -- {CANARY}")

    @app.get("/v1/our-answer-is-wrong", response_model=Send)
    async def wrong() -> Any:
        return {"chain": CANARY}

    @app.get("/v1/teapot")
    async def teapot() -> None:
        raise HTTPException(418, detail=CANARY, headers={"X-Kept": "yes"})

    @app.get("/page/refuse")
    async def refuse_page() -> None:
        raise REFUSALS["unlisted"]

    return app


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(make_app(), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


def problem(response: httpx.Response, status: int) -> dict[str, Any]:
    """The document, after what holds for every one of them."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["cache-control"] == "no-store"
    document: dict[str, Any] = response.json()
    assert document.keys() - {"error"} == {"type", "title", "status", "detail", "code", "errors"}
    assert document["status"] == status
    assert document["type"] == f"urn:lastmile:problem:{document['code']}"
    assert document["title"].replace(" ", "_").lower() == document["code"]
    assert document["detail"].endswith((".", "?"))
    assert CANARY not in response.text
    return document


async def test_a_refusal_is_its_code_its_status_and_its_sentence(client: httpx.AsyncClient) -> None:
    document = problem(await client.get("/v1/refuse/expired"), 409)
    assert document["code"] == "quote_expired"
    assert document["title"] == "Quote expired"
    assert document["detail"] == "This quote expired. Ask for a new one."
    assert document["errors"] == [{"field": "/quote_id", "message": "This quote expired. Ask for a new one."}]
    assert "error" not in document


async def test_a_code_that_is_in_no_table_is_422(client: httpx.AsyncClient) -> None:
    document = problem(await client.get("/v1/refuse/unlisted"), 422)
    assert (document["code"], document["errors"]) == ("never_heard_of", [])


@pytest.mark.parametrize(("kind", "pointer"), [("phone", "/recipient/phone"), ("dotted", "/send/amount")])
async def test_a_refused_field_is_pointed_to_where_the_api_has_it(
    client: httpx.AsyncClient, kind: str, pointer: str
) -> None:
    assert problem(await client.get(f"/v1/refuse/{kind}"), 422)["errors"][0]["field"] == pointer


async def test_an_invalid_token_is_challenged_and_its_reason_stays_in_our_logs(client: httpx.AsyncClient) -> None:
    response = await client.get("/v1/refuse/token")
    assert problem(response, 401)["detail"] == "The access token is not valid. Ask POST /oauth/token for a new one."
    assert response.headers["www-authenticate"] == 'Bearer error="invalid_token"'


async def test_an_oauth_client_finds_the_error_where_rfc_6749_has_it(client: httpx.AsyncClient) -> None:
    response = await client.get("/v1/refuse/client")
    assert problem(response, 401)["error"] == "invalid_client"
    assert response.headers["www-authenticate"] == 'Basic realm="lastmile"'


async def test_a_long_or_unprintable_sentence_is_cut_and_cleaned(client: httpx.AsyncClient) -> None:
    response = await client.get("/v1/refuse/long")
    (fault,) = response.json()["errors"]
    assert fault["message"] == response.json()["detail"] == "x" * SENTENCE_MOST
    assert fault["field"] == "/" + "?" * (SENTENCE_MOST - 1)


async def test_an_unknown_address_is_404(client: httpx.AsyncClient) -> None:
    document = problem(await client.get(f"/v1/{CANARY}"), 404)
    assert (document["code"], document["detail"]) == ("not_found", "There is nothing at this address.")


async def test_another_method_is_405_and_names_those_allowed(client: httpx.AsyncClient) -> None:
    response = await client.delete("/v1/orders")
    assert problem(response, 405)["code"] == "method_not_allowed"
    assert response.headers["allow"] == "POST"


async def test_a_method_override_is_not_obeyed(client: httpx.AsyncClient) -> None:
    problem(await client.get("/v1/orders", headers={"X-HTTP-Method-Override": "POST"}), 405)


async def test_any_other_http_error_keeps_its_headers_and_not_its_detail(client: httpx.AsyncClient) -> None:
    response = await client.get("/v1/teapot")
    assert problem(response, 418)["code"] == "im_a_teapot"
    assert response.headers["x-kept"] == "yes"


@pytest.mark.parametrize("path", ["/v1/crash", "/v1/our-answer-is-wrong"])
async def test_our_own_fault_is_500_and_tells_nothing(client: httpx.AsyncClient, path: str) -> None:
    response = await client.get(path)
    document = problem(response, 500)
    assert document["code"] == "internal_error"
    for inside in ("ZeroDivision", "SELECT", "Traceback", "Validation", ".py"):
        assert inside not in response.text


async def test_a_crash_still_reaches_the_server_so_that_it_is_logged() -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(make_app()), base_url="http://test") as client:
        with pytest.raises(ZeroDivisionError):
            await client.get("/v1/crash")


RIGHT = {"send": {"chain": "base", "amount": "10.00"}}


async def test_a_right_request_passes(client: httpx.AsyncClient) -> None:
    assert (await client.post("/v1/orders", json=RIGHT)).json() == {"amount": "10.00"}


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        (None, "", "This is required."),
        ([], "", "Send a JSON object here."),
        ("text", "", "Send a JSON object here."),
        ({}, "/send", "This is required."),
        ({"send": 5}, "/send", "Send a JSON object here."),
        ({"send": {"chain": "base"}}, "/send/amount", "This is required."),
        ({"send": {"chain": "base", "amount": 10}}, "/send/amount", "Write this as text, in quotes."),
        ({"send": {"chain": "base", "amount": 10.5}}, "/send/amount", "Write this as text, in quotes."),
        ({"send": {"chain": "base", "amount": CANARY * 100}}, "/send/amount", "Write at most 10 characters."),
        ({"send": {"chain": CANARY, "amount": "1"}}, "/send/chain", "Write one of 'base' or 'polygon'."),
        (RIGHT | {"count": "many"}, "/count", "Write a whole number."),
        (RIGHT | {"count": [1]}, "/count", "Write a whole number, without quotes."),
        (RIGHT | {"count": 2}, "/count", "Write an odd number."),
        (RIGHT | {"tags": "x"}, "/tags", "Send a JSON array here."),
        (RIGHT | {"tags": ["ok", 1]}, "/tags/1", "Write this as text, in quotes."),
        (RIGHT | {"metadata": []}, "/metadata", "Send a JSON object here."),
        (RIGHT | {"status": "paid"}, "/status", "There is no such field here; leave it out."),
        (RIGHT | {"pin": {"value": CANARY}}, "/pin", "Write this as text, in quotes."),
    ],
)
async def test_a_wrong_field_gets_a_sentence_that_says_what_would_be_right(
    client: httpx.AsyncClient, body: Any, field: str, message: str
) -> None:
    document = problem(await client.post("/v1/orders", json=body), 422)
    assert document["code"] == "invalid_fields"
    assert document["errors"] == [{"field": field, "message": message}]
    assert document["detail"] == f"{field}: {message}"


async def test_a_wrong_parameter_or_header_is_named(client: httpx.AsyncClient) -> None:
    document = problem(await client.get("/v1/search", params={"status": CANARY}, headers={"X-Key": CANARY}), 422)
    assert document["detail"] == "Several fields are wrong; see errors."
    assert document["errors"] == [
        {"field": "status", "message": "Write one of 'paid' or 'held'."},
        {"field": "x-key", "message": "Write at most 4 characters."},
    ]


async def test_of_many_wrong_fields_the_first_are_listed(client: httpx.AsyncClient) -> None:
    document = problem(await client.post("/v1/orders", json=RIGHT | {str(n): n for n in range(500)}), 422)
    assert len(document["errors"]) == ERRORS_MOST


async def test_a_hostile_field_name_is_cut_and_cleaned(client: httpx.AsyncClient) -> None:
    body = b'{"\\u202e\\u0000\\r\\n\\u001b[31m' + b"x" * 5000 + b'": 1, "send": {"chain": "base", "amount": "1"}}'
    response = await client.post("/v1/orders", content=body, headers={"Content-Type": "application/json"})
    (fault,) = problem(response, 422)["errors"]
    assert fault["field"].startswith("/?????[31mxxx")
    assert len(fault["field"]) == SENTENCE_MOST


def test_the_sentences_for_pydantics_errors_name_variables_that_it_gives() -> None:
    from pydantic_core._pydantic_core import list_all_errors

    examples = {error["type"]: error for error in list_all_errors()}
    for kind, sentence in problems._FAULTS.items():
        assert sentence.format_map(examples[kind].get("example_context") or {})


def test_no_refusal_is_a_success_or_a_crash() -> None:
    assert all(400 <= status < 600 and status != 500 for status in STATUS.values())


# --- pages ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v1", "/v1/", "/v1/orders/x", "/oauth/token", "/callbacks/x", "/.well-known/jwks.json"])
def test_the_paths_of_programs(path: str) -> None:
    assert is_program_path(path=path)
    assert any(path.startswith(prefix.rstrip("/")) for prefix in PROGRAM_PATHS)


@pytest.mark.parametrize("path", ["", "/", "/v10", "/v1x/orders", "/t/v1/", "//v1/", "/track"])
def test_the_paths_of_people(path: str) -> None:
    assert not is_program_path(path=path)


async def test_people_get_the_pages_own_errors(client: httpx.AsyncClient) -> None:
    response = await client.get("/nowhere")
    assert (response.status_code, response.text) == (404, "page 404")


@pytest.mark.parametrize("path", ["/page/crash", "/page/refuse"])
async def test_what_no_page_handles_is_left_to_the_server(path: str) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(make_app()), base_url="http://test") as client:
        with pytest.raises((ZeroDivisionError, NeverHeardOf)):
            await client.get(path)


# --- OpenAPI -------------------------------------------------------------------------------------------------------------


async def test_the_openapi_document_describes_errors_as_they_are(client: httpx.AsyncClient) -> None:
    first, second = [(await client.get("/openapi.json")).json() for _ in range(2)]
    assert first == second
    assert first["openapi"].startswith("3.1")
    responses = first["paths"]["/v1/orders"]["post"]["responses"]
    assert responses.keys() == {"200", "default"}
    assert responses["default"] == {"$ref": "#/components/responses/Problem"}
    content = first["components"]["responses"]["Problem"]["content"]
    assert content == {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    schemas = first["components"]["schemas"]
    assert not schemas.keys() & {"HTTPValidationError", "ValidationError"}
    assert schemas["Problem"]["properties"]["errors"]["items"] == {"$ref": "#/components/schemas/FieldFault"}
    assert schemas["FieldFault"]["properties"].keys() == {"field", "message"}
