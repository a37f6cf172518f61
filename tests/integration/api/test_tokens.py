from __future__ import annotations

import asyncio
import json
from base64 import b64encode, urlsafe_b64decode
from collections.abc import Mapping
from urllib.parse import quote_plus, urlsplit

import httpx
import pytest

from tests.integration.api.desk import ASK, Desk, Partner, problem

pytestmark = pytest.mark.asyncio(loop_scope="module")
GRANT = {"grant_type": "client_credentials"}
PATH = "/oauth/token"


def form(partner: Partner, **changes: str) -> dict[str, str]:
    return GRANT | {"client_id": partner.client_id, "client_secret": partner.client_secret} | changes


def basic(client_id: str, client_secret: str) -> dict[str, str]:
    return {"Authorization": "Basic " + b64encode(f"{client_id}:{client_secret}".encode()).decode()}


def own_basic(partner: Partner) -> dict[str, str]:
    return basic(partner.client_id, partner.client_secret)


async def refused(
    desk: Desk, data: Mapping[str, str], status: int, code: str, *, headers: Mapping[str, str] | None = None
) -> dict[str, object]:
    """The problem, in the form of RFC 6749 section 5.2 too, and that it repeats no secret."""
    answer = await desk.client.post(PATH, data=data, headers=headers)
    fields = [fault["field"] for fault in answer.json().get("errors", [])]
    document = problem(answer, status, code, *fields)
    assert document["error"] == code
    for secret in (data.get("client_secret"), (headers or {}).get("Authorization", "").partition(" ")[2]):
        assert not secret or secret not in answer.text
    if status == 401:
        assert answer.headers["www-authenticate"].startswith("Basic")
    return document


async def fresh(answer: httpx.Response, desk: Desk) -> None:
    """A token answer as RFC 6749 section 5.1 has it, with a token that opens the API."""
    assert answer.status_code == 200, answer.text
    assert (answer.headers["cache-control"], answer.headers["pragma"]) == ("no-store", "no-cache")
    assert answer.headers["content-type"] == "application/json"
    document = answer.json()
    assert document.keys() == {"access_token", "token_type", "expires_in"}
    assert (document["token_type"], document["expires_in"]) == ("Bearer", 900)
    headers = {"Authorization": f"bearer {document['access_token']}"}
    assert (await desk.client.post("/v1/quotes", json=ASK, headers=headers)).status_code == 201


async def test_a_token_for_id_and_secret_in_the_form(desk: Desk, partner: Partner) -> None:
    await fresh(await desk.client.post(PATH, data=form(partner)), desk)


async def test_a_token_for_id_and_secret_as_basic(desk: Desk, partner: Partner) -> None:
    await fresh(await desk.client.post(PATH, data=GRANT, headers=own_basic(partner)), desk)
    encoded = basic(quote_plus(partner.client_id), quote_plus(partner.client_secret).replace("_", "%5F"))
    encoded["Authorization"] = encoded["Authorization"].replace("Basic", "bAsIc")
    await fresh(await desk.client.post(PATH, data=GRANT | {"client_id": partner.client_id}, headers=encoded), desk)


WRONG = {
    "wrong secret": {"client_secret": "lm_secret_wrong"},
    "unknown client": {"client_id": "lm_nobody"},
    "secret of another case": {"client_secret": "LM_SECRET"},
    "injection": {"client_id": "' OR 1=1 --"},
    "ten thousand characters": {"client_secret": "x" * 10_000},
}


@pytest.mark.parametrize("changes", WRONG.values(), ids=WRONG.keys())
async def test_a_wrong_client_is_refused_in_one_sentence(desk: Desk, partner: Partner, changes: dict[str, str]) -> None:
    data = form(partner, **changes)
    said = [
        await refused(desk, data, 401, "invalid_client"),
        await refused(desk, GRANT, 401, "invalid_client", headers=basic(data["client_id"], data["client_secret"])),
    ]
    assert {one["detail"] for one in said} == {"The client id or the client secret is wrong, or access was revoked."}


async def test_one_partners_secret_does_not_fit_another(desk: Desk, partner: Partner, stranger: Partner) -> None:
    await refused(desk, form(partner, client_secret=stranger.client_secret), 401, "invalid_client")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE partner_clients SET revoked_at = now() WHERE client_id = :client_id",
        "UPDATE partners SET disabled_at = now() WHERE id = :partner_id",
    ],
    ids=["revoked client", "disabled partner"],
)
async def test_a_client_out_of_service_gets_no_token_and_the_one_it_has_ends_at_once(desk: Desk, statement: str) -> None:
    partner = await desk.partner(f"Gone {statement[7:16]}")
    token = (await desk.client.post(PATH, data=form(partner))).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    assert (await desk.client.post("/v1/quotes", json=ASK, headers=headers)).status_code == 201
    await desk.run(statement, **{"client_id": partner.client_id} if "client" in statement else {"partner_id": partner.id})
    await refused(desk, form(partner), 401, "invalid_client")
    await refused(desk, GRANT, 401, "invalid_client", headers=own_basic(partner))
    problem(await desk.client.post("/v1/quotes", json=ASK, headers=headers), 401, "invalid_token")


async def test_a_secret_both_ways_at_once_is_refused_even_if_right(desk: Desk, partner: Partner) -> None:
    await refused(desk, form(partner), 400, "invalid_request", headers=own_basic(partner))


async def test_the_form_may_not_name_another_client_than_the_header(desk: Desk, partner: Partner, stranger: Partner) -> None:
    data = GRANT | {"client_id": stranger.client_id}
    await refused(desk, data, 400, "invalid_request", headers=own_basic(partner))


async def test_two_authorization_headers_are_refused(desk: Desk, partner: Partner) -> None:
    headers = [*own_basic(partner).items()] * 2
    problem(await desk.client.post(PATH, data=GRANT, headers=headers), 400, "invalid_request")


NOBODY = {
    "nothing": ({}, {}),
    "no secret": ({"client_id": "lm_1"}, {}),
    "no id": ({"client_secret": "x"}, {}),
    "empty secret": ({"client_id": "lm_1", "client_secret": ""}, {}),
    "a bearer token": ({}, {"Authorization": "Bearer x.y.z"}),
    "no base64": ({}, {"Authorization": "Basic ***"}),
    "no UTF-8": ({}, {"Authorization": "Basic " + b64encode(b"\xff:\xfe").decode()}),
    "no colon": ({}, {"Authorization": "Basic " + b64encode(b"lm_1").decode()}),
    "NUL": ({}, basic("lm_1\0", "x")),
    "encoded NUL": ({}, basic("lm_1%00", "x")),
}


@pytest.mark.parametrize(("data", "headers"), NOBODY.values(), ids=NOBODY.keys())
async def test_who_does_not_say_who_it_is_is_refused(desk: Desk, data: dict[str, str], headers: dict[str, str]) -> None:
    await refused(desk, GRANT | data, 401, "invalid_client", headers=headers)


async def test_who_leaves_the_credentials_out_is_told_how_to_send_them(desk: Desk, partner: Partner) -> None:
    digest = {name: value.replace("Basic", "Digest") for name, value in own_basic(partner).items()}
    for headers in ({}, digest):
        document = await refused(desk, GRANT, 401, "invalid_client", headers=headers)
        assert document["detail"] == "Send client_id and client_secret, in the form or as HTTP Basic."


async def test_only_client_credentials_are_granted(desk: Desk, partner: Partner) -> None:
    data = form(partner)
    await refused(desk, data | {"grant_type": "password"}, 400, "unsupported_grant_type")
    await refused(desk, data | {"grant_type": ""}, 400, "invalid_request")
    del data["grant_type"]
    await refused(desk, data, 400, "invalid_request")
    await refused(desk, {}, 400, "invalid_request")


FORM = "application/x-www-form-urlencoded"
UNREADABLE = {
    "NUL in the id": (b"grant_type=client_credentials&client_id=%00&client_secret=x", FORM, 400, "malformed_request"),
    "raw NUL": (b"grant_type=client_credentials&client_id=\0&client_secret=x", FORM, 400, "malformed_request"),
    "a field twice": (b"grant_type=client_credentials&client_id=a&client_id=b", FORM, 400, "malformed_request"),
    "a flood of fields": (b"a&" * 200, FORM, 400, "malformed_request"),
    "JSON": (b'{"grant_type": "client_credentials"}', "application/json", 415, "unsupported_media_type"),
    "too large": (b"x" * 70_000, FORM, 413, "body_too_large"),
}


@pytest.mark.parametrize(("body", "kind", "status", "code"), UNREADABLE.values(), ids=UNREADABLE.keys())
async def test_an_unreadable_request_is_an_invalid_request_in_the_words_of_rfc_6749(
    desk: Desk, body: bytes, kind: str, status: int, code: str
) -> None:
    answer = await desk.client.post(PATH, content=body, headers={"Content-Type": kind})
    assert problem(answer, status, code)["error"] == "invalid_request"


async def test_bytes_that_are_no_text_are_a_wrong_client(desk: Desk) -> None:
    body = b"grant_type=client_credentials&client_id=%ff%fe&client_secret=\xff%ed%a0%80"
    problem(await desk.client.post(PATH, content=body, headers={"Content-Type": FORM}), 401, "invalid_client")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])
async def test_a_token_is_only_posted_for(desk: Desk, partner: Partner, method: str) -> None:
    answer = await desk.client.request(method, PATH, params=form(partner))
    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"
    if method != "HEAD":
        problem(answer, 405, "method_not_allowed")
    assert partner.client_secret not in answer.text


async def test_credentials_in_the_address_are_not_taken(desk: Desk, partner: Partner) -> None:
    answer = await desk.client.post(PATH, params=form(partner), data=GRANT)
    problem(answer, 401, "invalid_client")


async def test_the_published_key_is_the_one_that_signs(desk: Desk, partner: Partner) -> None:
    answer = await desk.client.get("/.well-known/jwks.json")
    assert answer.headers["cache-control"] == "public, max-age=300"
    (key,) = answer.json()["keys"]
    assert key.keys() == {"alg", "crv", "kid", "kty", "use", "x", "y"}
    token = (await desk.client.post(PATH, data=form(partner))).json()["access_token"]
    header = token.partition(".")[0]
    assert json.loads(urlsafe_b64decode(header + "==="))["kid"] == key["kid"]


async def test_raw_bytes_through_a_real_server_break_nothing(desk: Desk, partner: Partner) -> None:
    """What no HTTP client sends: NUL in a header and in the address, two lengths, a body cut short."""
    body = b"grant_type=client_credentials"
    requests = {
        b"POST /oauth/token HTTP/1.1\r\nHost: x\r\nAuthorization: Basic \0\r\nContent-Length: 0\r\n\r\n": b"400",
        b"POST /oauth/token%00 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n": b"400",
        b"POST /oauth/token HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!": b"400",
        b"POST /oauth/token HTTP/1.1\r\nHost: x\r\nContent-Type: " + FORM.encode() + b"\r\nConnection: close\r\n"
        b"Authorization: Basic \xff\xfe\r\nContent-Length: %d\r\n\r\n" % len(body) + body: b"401",
    }
    async with desk.served() as url:
        for request, status in requests.items():
            assert (await spoken(url, request)).split(b" ")[1] == status, request
        async with httpx.AsyncClient(base_url=url) as client:
            await fresh(await client.post(PATH, data=form(partner)), desk)


async def spoken(url: str, request: bytes) -> bytes:
    """What a server answers to these bytes."""
    place = urlsplit(url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    writer.write(request)
    await writer.drain()
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    await writer.wait_closed()
    return answer
