from __future__ import annotations

import asyncio
import gzip
import json
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from time import process_time
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from gateway.api import bodies
from gateway.api.bodies import BODY_MOST, DEPTH_MOST, BodyLimit, MalformedRequest, check_json
from gateway.api.problems import install_problems

JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def make_app() -> FastAPI:
    app = FastAPI()
    install_problems(app)
    app.add_middleware(BodyLimit)

    @app.post("/v1/echo")
    @app.post("/oauth/token")
    @app.post("/callbacks/x")
    @app.get("/v1/echo")
    @app.get("/page")
    async def echo(request: Request) -> dict[str, Any]:
        return {"length": len(await request.body()), "query": dict(request.query_params)}

    @app.post("/v1/typed")
    async def typed(body: dict[str, Any]) -> dict[str, Any]:
        return body

    return app


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(make_app()), base_url="http://test") as client:
        yield client


def refused(response: httpx.Response, status: int, code: str) -> str:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["code"] == code
    detail: str = response.json()["detail"]
    return detail


# --- size ----------------------------------------------------------------------------------------------------------------


async def test_a_body_of_the_largest_size_passes_whole(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/echo", content=b'"' + b"x" * (BODY_MOST - 2) + b'"', headers=JSON)
    assert response.json()["length"] == BODY_MOST


@pytest.mark.parametrize("path", ["/v1/echo", "/oauth/token", "/callbacks/x", "/v1/nowhere", "/page"])
async def test_a_body_of_one_byte_more_is_413_on_every_path(client: httpx.AsyncClient, path: str) -> None:
    detail = refused(await client.post(path, content=b"x" * (BODY_MOST + 1), headers=JSON), 413, "body_too_large")
    assert detail == "The body may have at most 65536 bytes."


def scope(path: str = "/v1/echo", **headers: str) -> Scope:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": raw}


class Exchange:
    """One request spoken as bare ASGI; counts what is read and keeps what is answered."""

    def __init__(self, messages: Iterator[Message]) -> None:
        self.messages = messages
        self.read = 0
        self.sent: list[Message] = []
        self.served: list[Message] = []

    async def receive(self) -> Message:
        self.read += 1
        message = next(self.messages, None)
        if message is None:
            await asyncio.Event().wait()
        assert message is not None
        return message

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    async def app(self, _scope: Scope, receive: Receive, _send: Send) -> None:
        self.served += [await receive(), await receive()]

    async def run(self, scope: Scope) -> int | None:
        await BodyLimit(self.app)(scope, self.receive, self.send)
        return self.sent[0]["status"] if self.sent else None


def chunk(body: bytes, *, more: bool = True) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


GONE: Message = {"type": "http.disconnect"}


@pytest.mark.parametrize("length", ["65537", "9" * 19, "9" * 5000])
async def test_a_body_announced_too_large_is_refused_before_a_byte_is_read(length: str) -> None:
    exchange = Exchange(iter([]))
    assert await exchange.run(scope(content_length=length)) == 413
    assert exchange.read == 0


@pytest.mark.parametrize("headers", [{}, {"content_length": "5"}, {"content_length": "-1"}, {"content_length": "five"}])
async def test_an_endless_body_is_refused_when_the_limit_is_passed_whatever_was_announced(headers: dict[str, str]) -> None:
    exchange = Exchange(chunk(b"x" * 1000) for _ in range(10**9))
    assert await exchange.run(scope(**headers)) == 413
    assert exchange.read == 66


async def test_a_flood_of_bytes_one_by_one_needs_little_memory() -> None:
    exchange = Exchange(chunk(b"x") for _ in range(10**9))
    tracemalloc.start()
    try:
        assert await exchange.run(scope()) == 413
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


async def test_a_body_that_does_not_arrive_in_time_is_408(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "BODY_WITHIN_S", 0.05)
    exchange = Exchange(iter([chunk(b"{")]))
    assert await exchange.run(scope()) == 408


async def test_a_client_that_goes_away_while_sending_is_served_and_answered_nothing() -> None:
    exchange = Exchange(iter([chunk(b"{"), GONE]))
    assert await exchange.run(scope()) is None
    assert exchange.served == []


async def test_the_app_reads_the_body_once_and_then_hears_the_server_again() -> None:
    exchange = Exchange(iter([chunk(b"[1,"), chunk(b"2]", more=False), GONE]))
    await exchange.run(scope(content_type="application/json"))
    assert exchange.served == [chunk(b"[1,2]", more=False), GONE]


async def test_what_is_not_http_passes_untouched() -> None:
    exchange = Exchange(iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]))
    await exchange.run({"type": "lifespan"})
    assert [message["type"] for message in exchange.served] == ["lifespan.startup", "lifespan.shutdown"]


# --- type ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", ["application/json", "Application/JSON", "application/json; charset=utf-8", "application/json ;x"]
)
async def test_json_by_any_spelling_of_its_type_passes(client: httpx.AsyncClient, kind: str) -> None:
    assert (await client.post("/v1/echo", content=b"{}", headers={"Content-Type": kind})).status_code == 200


@pytest.mark.parametrize(
    "kind",
    [
        "",
        "text/plain",
        "text/json",
        "application/jsonp",
        "application/json, text/plain",
        "application/xml",
        FORM["Content-Type"],
    ],
)
async def test_another_type_than_json_is_415_under_v1(client: httpx.AsyncClient, kind: str) -> None:
    headers = {"Content-Type": kind} if kind else {}
    detail = refused(await client.post("/v1/echo", content=b"{}", headers=headers), 415, "unsupported_media_type")
    assert detail == "Send the body as Content-Type: application/json."


async def test_two_content_types_are_415(client: httpx.AsyncClient) -> None:
    headers = [("Content-Type", "application/json"), ("Content-Type", "application/json")]
    refused(await client.post("/v1/echo", content=b"{}", headers=headers), 415, "unsupported_media_type")


async def test_the_token_endpoint_takes_a_form_as_rfc_6749_has_it(client: httpx.AsyncClient) -> None:
    assert (await client.post("/oauth/token", content=b"grant_type=client_credentials", headers=FORM)).status_code == 200
    detail = refused(await client.post("/oauth/token", content=b"{}", headers=JSON), 415, "unsupported_media_type")
    assert detail == "Send the body as Content-Type: application/x-www-form-urlencoded."


@pytest.mark.parametrize("kind", ["text/xml", "application/octet-stream", "application/json"])
async def test_a_callback_may_come_as_its_rail_likes(client: httpx.AsyncClient, kind: str) -> None:
    assert (await client.post("/callbacks/x", content=b"<a>", headers={"Content-Type": kind})).status_code == 200


async def test_a_request_without_body_needs_no_type(client: httpx.AsyncClient) -> None:
    assert (await client.post("/v1/echo")).json()["length"] == 0
    assert (await client.get("/v1/echo")).status_code == 200


@pytest.mark.parametrize("path", ["/v1/echo", "/oauth/token", "/callbacks/x"])
@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "identity, gzip", "x"])
async def test_a_compressed_body_is_415_and_not_unpacked(client: httpx.AsyncClient, path: str, encoding: str) -> None:
    bomb = gzip.compress(b"0" * 10_000_000)
    response = await client.post(path, content=bomb, headers=JSON | {"Content-Encoding": encoding})
    assert "uncompressed" in refused(response, 415, "unsupported_media_type")


async def test_a_second_content_encoding_is_seen_too(client: httpx.AsyncClient) -> None:
    headers = [*JSON.items(), ("Content-Encoding", "identity"), ("Content-Encoding", "gzip")]
    refused(await client.post("/v1/echo", content=b"{}", headers=headers), 415, "unsupported_media_type")


async def test_the_encoding_identity_passes(client: httpx.AsyncClient) -> None:
    assert (await client.post("/v1/echo", content=b"{}", headers=JSON | {"Content-Encoding": "Identity"})).status_code == 200


# --- JSON ----------------------------------------------------------------------------------------------------------------

MALFORMED = {
    "NaN": (b'{"a": NaN}', "NaN and Infinity are not JSON."),
    "Infinity": (b'{"a": Infinity}', "NaN and Infinity are not JSON."),
    "minus Infinity": (b"[-Infinity]", "NaN and Infinity are not JSON."),
    "1e400": (b'{"a": 1e400}', "A number in the body doesn't fit 64 bits. Write amounts as text, in quotes."),
    "-1E+400": (b"-1E+400", "A number in the body doesn't fit 64 bits. Write amounts as text, in quotes."),
    "1e99999999999999999999": (b"1e99999999999999999999", "A number in the body doesn't fit 64 bits."),
    "many digits and a fraction": (b"1" * 400 + b".0", "A number in the body doesn't fit 64 bits."),
    "a hundred and one digits": (b"1" * 101, "A number in the body has more than 100 digits."),
    "five thousand digits": (b"1" * 5000, "A number in the body has more than 100 digits."),
    "a name twice": (b'{"a": 1, "a": 1}', "An object in the body has the same name twice; give each name once."),
    "a name twice, deeper": (b'[{"a": {"b": 1, "\\u0062": 2}}]', "An object in the body has the same name twice"),
    "no JSON": (b"{'a': 1}", "The body is not JSON: Expecting property name enclosed in double quotes, line 1 column 2."),
    "cut": (b'{"a": ', "The body is not JSON: Expecting value, line 1 column 7."),
    "two documents": (b"{} {}", "The body is not JSON: Extra data, line 1 column 4."),
    "comment": (b"{} // hi", "The body is not JSON: Extra data"),
    "control character": (b'"a\nb"', "The body is not JSON: Invalid control character at"),
    "only spaces": (b"   ", "The body is not JSON: Expecting value"),
    "byte order mark": (b"\xef\xbb\xbf{}", "The body is not JSON: Unexpected UTF-8 BOM"),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), "The body is not JSON in UTF-8."),
    "UTF-16 without mark": ('{"a": 1}'.encode("utf-16-le"), "The body is not JSON"),
    "Latin-1": ('{"a": "é"}'.encode("latin-1"), "The body is not JSON in UTF-8."),
    "overlong": (b'"\xc0\x80"', "The body is not JSON in UTF-8."),
    "NUL": (b'{"a": ["x\\u0000"]}', "A text in the body contains NUL or half of a surrogate pair; leave it out."),
    "NUL in a name": (b'{"x\\u0000": 1}', "A text in the body contains NUL"),
    "lone surrogate": (b'"\\ud800"', "A text in the body contains NUL or half of a surrogate pair; leave it out."),
    "lone low surrogate in a name": (b'{"\\udfff": 1}', "A text in the body contains NUL"),
    "depth bomb": (b"[" * BODY_MOST, "The body is n"),
    "closed depth bomb": (b"[" * 30_000 + b"]" * 30_000, "The body is nested more than 16 levels deep."),
    "depth bomb of objects": (b'{"a":' * 9000 + b"1" + b"}" * 9000, "The body is nested more than 16 levels deep."),
    "one level too deep": (b"[" * 16 + b"1" + b"]" * 16, "The body is nested more than 16 levels deep."),
}


@pytest.mark.parametrize(("body", "sentence"), MALFORMED.values(), ids=MALFORMED.keys())
async def test_malformed_json_is_400_with_a_sentence_that_says_why(
    client: httpx.AsyncClient, body: bytes, sentence: str
) -> None:
    detail = refused(await client.post("/v1/typed", content=body, headers=JSON), 400, "malformed_request")
    assert detail.startswith(sentence)


GOOD = [
    b"{}",
    b"null",
    b"[1, 1.5, -0.1, 1e10, 1e-7, 1E+300]",
    b'{"a": {"a": {"a": 1}}}',
    b"9" * 100,
    '{"name": "Wanjikũ 🐘", "\\ud83d\\ude00": 1}'.encode(),
    b"[" * (DEPTH_MOST - 1) + b"1" + b"]" * (DEPTH_MOST - 1),
]


@pytest.mark.parametrize("body", GOOD, ids=range(len(GOOD)))
def test_right_json_passes(body: bytes) -> None:
    check_json(body=body)


@given(st.binary(max_size=200) | st.text().map(str.encode))
def test_whatever_passes_is_json_that_reads_the_same_elsewhere_and_nothing_else_is_raised(body: bytes) -> None:
    try:
        check_json(body=body)
    except MalformedRequest:
        return
    assert json.dumps(json.loads(body), allow_nan=False)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(-1e300, 1e300)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
DOCUMENTS = st.recursive(
    SCALARS | TEXTS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4), max_leaves=8
)


@given(DOCUMENTS.filter(lambda document: json.dumps(document).count("[") + json.dumps(document).count("{") < DEPTH_MOST))
def test_every_document_of_a_sane_client_passes(document: Any) -> None:
    check_json(body=json.dumps(document).encode())
    check_json(body=json.dumps(document, ensure_ascii=False).encode())


@pytest.mark.parametrize(
    "body",
    [b"[" * BODY_MOST, b"[" + b'{"a":1},' * 8000 + b"0]", b"1" * BODY_MOST, b'"' + b"\\u0001" * 10_000 + b'"'],
    ids="1234",
)
def test_no_body_of_the_largest_size_takes_long(body: bytes) -> None:
    started = process_time()
    with suppress(MalformedRequest):
        check_json(body=body)
    assert process_time() - started < 0.1


# --- parameters ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("query", ["status=paid&status=held", "a=1&b=2&%61=1", "a&a", "a=&a=1"])
async def test_a_parameter_that_comes_twice_is_400(client: httpx.AsyncClient, query: str) -> None:
    detail = refused(await client.get(f"/v1/echo?{query}"), 400, "malformed_request")
    assert detail == "A parameter comes twice; send it once."


async def test_a_form_field_that_comes_twice_is_400(client: httpx.AsyncClient) -> None:
    response = await client.post("/oauth/token", content=b"client_id=a&client_id=b", headers=FORM)
    refused(response, 400, "malformed_request")


@pytest.mark.parametrize("url", ["/v1/echo?a=%00", "/v1/echo?%00=a", "/page?a=x%00y", "/v1/ec%00ho", "/nowhere%00"])
async def test_nul_in_an_address_is_400_on_every_path(client: httpx.AsyncClient, url: str) -> None:
    assert "NUL" in refused(await client.get(url), 400, "malformed_request")


async def test_nul_in_a_form_is_400(client: httpx.AsyncClient) -> None:
    refused(await client.post("/oauth/token", content=b"client_id=%00", headers=FORM), 400, "malformed_request")


async def test_a_flood_of_parameters_is_400(client: httpx.AsyncClient) -> None:
    query = "&".join(f"p{n}=1" for n in range(101))
    assert refused(await client.get(f"/v1/echo?{query}"), 400, "malformed_request") == "There are more than 100 parameters."


async def test_right_parameters_pass(client: httpx.AsyncClient) -> None:
    assert (await client.get("/v1/echo?a=1&b=&c=%F0%9F%90%98")).json()["query"] == {"a": "1", "b": "", "c": "🐘"}
