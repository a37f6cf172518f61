"""What holds for every page."""

from __future__ import annotations

import gzip
import re
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from gateway.errors import Refusal
from gateway.orders.states import S
from gateway.web import sending
from gateway.web.pages import STATIC
from tests.unit.web.site import FILLED, MANY, TOKEN, Outline, Site, deposit, order

FIRST_FLIGHT = 14_600
"""Bytes that arrive in the first round trip of a fresh connection (ten segments): a page costs no second one."""

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'><svg/onload=alert(1)>",
    "{{ 7 * 7 }}%(name)s",
    "</title><style>*{display:none}</style>",
    "javascript:alert(1)",
)


@dataclass
class Visit:
    """How to get to a page."""

    method: str
    path: str
    status: int
    data: dict[str, str] | None = None
    view: Any = None


VISITS = {
    "form": Visit("GET", "/", 200),
    "wrong form": Visit("POST", "/quote", 422, data=FILLED | {"amount": "1e5", "phone": "12", "name": ""}),
    "edited form": Visit("POST", "/", 200, data=FILLED),
    "quote": Visit("POST", "/quote", 200, data=FILLED),
    "stale quote": Visit("POST", "/orders", 409, data=FILLED),
    "deposit": Visit("GET", f"/t/{TOKEN}", 200, view=order()),
    "underpaid": Visit("GET", f"/t/{TOKEN}", 200, view=order(S.HELD, received=60_000_000)),
    "delivered": Visit("GET", f"/t/{TOKEN}", 200, view=order(S.PAID, received=99_977_543)),
    "not found": Visit("GET", "/nothing/here", 404),
    "not allowed": Visit("DELETE", "/", 405),
    "broken": Visit("GET", f"/t/{TOKEN}", 500, view="broken"),
}


@pytest.fixture(params=VISITS)
def visit(request: pytest.FixtureRequest) -> Visit:
    return VISITS[request.param]


async def go(client: httpx.AsyncClient, site: Site, visit: Visit) -> httpx.Response:
    site.view = visit.view
    response = await client.request(visit.method, visit.path, data=visit.data)
    assert response.status_code == visit.status
    return response


async def test_every_page_closes_the_doors_that_a_page_can_close(
    client: httpx.AsyncClient, site: Site, visit: Visit
) -> None:
    headers = (await go(client, site, visit)).headers
    policy = {rule.partition(" ")[0]: rule.partition(" ")[2] for rule in headers["content-security-policy"].split("; ")}
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["form-action"] == "'self'"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-type"] == "text/html; charset=utf-8"


async def test_only_the_empty_form_may_be_kept_or_indexed(client: httpx.AsyncClient, site: Site, visit: Visit) -> None:
    headers = (await go(client, site, visit)).headers
    if visit is VISITS["form"]:
        assert (headers["cache-control"], headers["x-robots-tag"]) == ("no-cache", "all")
    else:
        assert (headers["cache-control"], headers["x-robots-tag"]) == ("no-store", "noindex, nofollow")


async def test_every_page_arrives_in_the_first_flight(client: httpx.AsyncClient, site: Site, visit: Visit) -> None:
    page = await go(client, site, visit)
    weight = len(gzip.compress(page.content))
    for address in _files(Outline(page.text)):
        answer = await client.get(address)
        assert answer.headers["content-encoding"] == "gzip"
        weight += len(gzip.compress(answer.content))
    assert weight <= FIRST_FLIGHT


async def test_long_pages_travel_compressed(client: httpx.AsyncClient) -> None:
    assert (await client.get("/")).headers["content-encoding"] == "gzip"


async def test_pages_hold_nothing_inline_and_nothing_of_others(client: httpx.AsyncClient, site: Site, visit: Visit) -> None:
    page = Outline((await go(client, site, visit)).text)
    assert not page.all("style", "iframe", "object", "embed", "base")
    for tag, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on") or name == "style"], tag
        if tag == "script":
            assert attributes["src"].startswith("/static/")
        for name in ("href", "src", "action", "formaction"):
            assert attributes.get(name, "/").startswith(("/", "#", "data:image/svg+xml,", "ethereum:"))


async def test_pages_say_their_language_their_title_and_one_heading(
    client: httpx.AsyncClient, site: Site, visit: Visit
) -> None:
    response = await go(client, site, visit)
    page = Outline(response.text)
    assert page.one("html") == {"lang": "en-GB", "dir": "ltr"}
    assert len(page.all("h1")) == 1
    assert response.text.partition("<title>")[2][0].isalpha()
    assert page.one("meta", name="viewport")["content"] == "width=device-width, initial-scale=1"


async def test_every_input_has_a_label_and_every_reference_a_target(
    client: httpx.AsyncClient, site: Site, visit: Visit
) -> None:
    response = await go(client, site, visit)
    page = Outline(response.text)
    ids = [found["id"] for _, found in page.elements if found.get("id")]
    assert len(ids) == len(set(ids))
    labelled = {label.get("for") for label in page.all("label")}
    for found in page.all("input", "select", "textarea"):
        assert found.get("type") in ("hidden", "radio") or found["id"] in labelled
    for _, found in page.elements:
        references = [*found.get("aria-describedby", "").split(), *found.get("aria-labelledby", "").split()]
        references += [found["for"]] if "for" in found else []
        references += [found["href"][1:]] if found.get("href", "").startswith("#") else []
        references += [found["data-copy"]] if "data-copy" in found else []
        assert set(references) <= set(ids)


@pytest.mark.parametrize("text", HOSTILE)
async def test_what_was_typed_stays_text(client: httpx.AsyncClient, site: Site, text: str) -> None:
    for path in ("/", "/quote", "/orders"):
        answer = await client.post(path, data=FILLED | {"name": text, "amount": text, "phone": text, "side": text})
        page = Outline(answer.text)
        _assert_harmless(page)
        assert page.one("input", name="name")["value"] == text
    site.view = order(S.PAID, recipient_name=text, receipt=text, deposits=(deposit(tx_hash=text),))
    page = Outline((await client.get(f"/t/{TOKEN}")).text)
    _assert_harmless(page)
    assert text in page.text


@pytest.mark.parametrize("text", HOSTILE)
async def test_a_hostile_but_possible_name_stays_text_on_the_quote(client: httpx.AsyncClient, text: str) -> None:
    page = Outline((await client.post("/quote", data=FILLED | {"name": text})).text)
    _assert_harmless(page)
    assert text in page.text


async def test_sentences_of_other_modules_are_text(client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise Refusal("<script>alert(1)</script> 100 %")

    monkeypatch.setattr(sending, "find_quote", refuse)
    page = Outline((await client.post("/orders", data=FILLED | {"quote_id": "quo_1"})).text)
    _assert_harmless(page)
    assert "<script>alert(1)</script> 100 %" in page.text


async def test_many_choices_are_offered_by_country() -> None:
    async with Site(offer=MANY).open() as client:
        page = Outline((await client.get("/")).text)
        assert [group["label"] for group in page.all("optgroup")] == ["Kenya", "Uganda"]
        values = [option["value"] for option in page.all("option")]
        assert {"KE-KES-bank", "UG-UGX-mobile_money", "USDT-polygon", "USDC-base", ""} <= set(values)
        again = Outline((await client.post("/", data=FILLED | {"corridor": "UG-UGX-mobile_money"})).text)
        assert {option["value"] for option in again.all("option", selected="")} == {"UG-UGX-mobile_money", "USDC-base"}


async def test_one_choice_is_told_not_asked(client: httpx.AsyncClient) -> None:
    page = Outline((await client.get("/")).text)
    assert not page.all("select")
    assert page.one("input", name="corridor")["value"] == "KE-KES-mobile_money"
    assert page.one("input", name="token")["value"] == "USDC-base"
    assert "USDC on Base" in page.text
    assert "Mobile money, Kenya" in page.text
    assert "They can get 100.00 KES to 250,000.00 KES." in page.text


def _files(page: Outline) -> list[str]:
    return [page.one("link", rel="stylesheet")["href"], page.one("script")["src"]]


def _assert_harmless(page: Outline) -> None:
    assert len(page.all("script")) == 1
    assert not page.all("img", "style")
    assert not [name for _, found in page.elements for name in found if name.startswith("on")]


PAIRS = {
    4.5: "ink/ground ink/card ink/note ink/tint ink/bad-tint soft/ground soft/card main/ground main/card on-main/main "
    "bad/card bad/bad-tint",
    3.0: "field/card focus/card focus/ground main/tint note-edge/card",
}


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_the_colours_can_be_told_apart_as_wcag_asks(scheme: int) -> None:
    sheet = (STATIC / "page.css").read_text().split(":root {")[1 + scheme]
    colours = dict(re.findall(r"--([\w-]+): (#\w+);", sheet.partition("}")[0]))
    for least, pairs in PAIRS.items():
        for pair in pairs.split():
            one, other = sorted(_luminance(colours[name]) for name in pair.split("/"))
            assert (other + 0.05) / (one + 0.05) >= least, pair


def _luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
