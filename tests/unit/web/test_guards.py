from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from gateway.web import tracker
from gateway.web.guards import BODY_MOST, FIELDS_MOST
from tests.unit.web.site import FILLED, TOKEN, URL, Outline, Site

FORM = {"content-type": "application/x-www-form-urlencoded"}
POSTS = ("/", "/quote", "/orders")


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "cross-site", "origin": URL},
        {"origin": "https://evil.example"},
        {"origin": "http://pay.example"},
        {"origin": "https://pay.example.evil.example"},
    ],
)
async def test_a_post_from_another_site_is_refused(
    client: httpx.AsyncClient, site: Site, path: str, headers: dict[str, str]
) -> None:
    answer = await client.post(path, data=FILLED, headers=headers)
    assert answer.status_code == 403
    assert Outline(answer.text).one("h1") is not None
    assert "another site" in answer.text
    assert site.asked == []


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"sec-fetch-site": "same-origin", "origin": "null"},
        {"sec-fetch-site": "none"},
        {"origin": "null"},
        {"origin": URL},
        {"origin": "http://localhost:8000", "host": "localhost:8000"},
    ],
)
async def test_a_post_from_our_own_page_is_taken(headers: dict[str, str], site: Site) -> None:
    base = "http://localhost:8000" if "host" in headers else URL
    transport = httpx.ASGITransport(app=site.app)
    async with httpx.AsyncClient(transport=transport, base_url=base) as client:
        assert (await client.post("/quote", data=FILLED, headers=headers)).status_code == 200


async def test_a_form_may_be_as_large_as_the_limit_and_no_larger(client: httpx.AsyncClient) -> None:
    body = b"name=" + b"a" * (BODY_MOST - 5)
    assert (await client.post("/", content=body, headers=FORM)).status_code == 200
    answer = await client.post("/", content=body + b"a", headers=FORM)
    assert answer.status_code == 413
    assert "longer than any payment needs" in answer.text


async def test_the_limit_holds_without_an_announced_length(client: httpx.AsyncClient) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(17):
            yield b"a" * 1024

    assert (await client.post("/", content=pieces(), headers=FORM)).status_code == 413


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"{}", {"content-type": "application/json"}, 415),
        (b"name=x", {}, 415),
        (
            b'--b\r\ncontent-disposition: form-data; name="name"\r\n\r\nx\r\n--b--',
            {"content-type": "multipart/form-data; boundary=b"},
            415,
        ),
        (b"name=%ff%fe", FORM, 400),
        (b"name=%ed%a0%80", FORM, 400),
        ("name=ü".encode(), FORM, 400),
        (b"&".join(b"a=1" for _ in range(FIELDS_MOST + 1)), FORM, 400),
    ],
)
async def test_what_no_browser_sends_gets_a_page_that_says_so(
    client: httpx.AsyncClient, content: bytes, headers: dict[str, str], status: int
) -> None:
    answer = await client.post("/quote", content=content, headers=headers)
    assert answer.status_code == status
    assert "We could not read that" in answer.text


async def test_the_api_keeps_its_own_answers(site: Site) -> None:
    @site.app.get("/v1/rates")
    def rates() -> dict[str, str]:
        return {"KES": "129"}

    async with site.open() as client:
        assert (await client.get("/v1/rates")).json() == {"KES": "129"}
        for answer in (await client.get("/v1/nothing"), await client.post("/v1/rates"), await client.get("/oauth/x")):
            assert answer.headers["content-type"] == "application/json"
            assert "content-security-policy" not in answer.headers
        assert (await client.post("/v1/rates")).status_code == 405
        assert (await client.get("/openapi.json")).status_code == 200


@pytest.mark.parametrize("token", [TOKEN, "x", "%00", "a" * 1000, "ünïcode", "' OR 1=1 --", "../../etc"])
async def test_an_unknown_order_looks_like_an_unknown_page(client: httpx.AsyncClient, token: str) -> None:
    nothing = await client.get("/nothing")
    for path in (f"/t/{token}", f"/t/{token}/status"):
        answer = await client.get(path)
        assert (answer.status_code, answer.text) == (404, nothing.text)


@pytest.mark.parametrize("token", ["%00", "a" * 65, "ünïcode", "' OR 1=1 --"])
async def test_what_is_no_token_never_reaches_the_database(client: httpx.AsyncClient, site: Site, token: str) -> None:
    await client.get(f"/t/{token}")
    assert site.asked == []


async def test_a_wrong_method_gets_a_page_and_the_list_of_right_ones(client: httpx.AsyncClient) -> None:
    answer = await client.delete(f"/t/{TOKEN}")
    assert answer.status_code == 405
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}
    assert Outline(answer.text).one("a", **{"class": "button"})["href"] == "/"


async def test_our_own_fault_gets_a_calm_page_and_reaches_the_log(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a secret inside")

    monkeypatch.setattr(tracker, "order_view", fail)
    async with site.open() as client:
        answer = await client.get(f"/t/{TOKEN}")
    assert answer.status_code == 500
    assert "broke on our side" in answer.text
    assert "secret" not in answer.text
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=site.app), base_url=URL) as loud:
        with pytest.raises(ZeroDivisionError):
            await loud.get(f"/t/{TOKEN}")


async def test_a_posted_pages_address_opened_anew_leads_to_the_beginning(client: httpx.AsyncClient) -> None:
    for path in ("/quote", "/orders"):
        answer = await client.get(path)
        assert (answer.status_code, answer.headers["location"]) == (303, "/")


async def test_static_files_stay_for_ever_under_an_address_of_their_contents(client: httpx.AsyncClient) -> None:
    page = Outline((await client.get("/")).text)
    for address in (page.one("link", rel="stylesheet")["href"], page.one("script")["src"]):
        answer = await client.get(address)
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        again = await client.get(address, headers={"if-none-match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        other = address.replace(address.split("/")[2], "0" * 16)
        assert (await client.get(other)).status_code == 404


async def test_a_page_can_be_asked_for_without_its_body(client: httpx.AsyncClient) -> None:
    answer = await client.head("/")
    assert (answer.status_code, answer.content) == (200, b"")


async def test_robots_stay_off_the_orders(client: httpx.AsyncClient) -> None:
    answer = await client.get("/robots.txt")
    assert answer.text == "User-agent: *\nDisallow: /t/\n"
    assert answer.headers["content-type"].startswith("text/plain")
