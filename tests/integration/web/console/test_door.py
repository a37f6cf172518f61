"""The door: who gets in, how, and what a guesser, a thief and another site get."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text

from gateway.db.session import transaction
from gateway.operators.accounts import disable_operator
from gateway.operators.attempts import BOTH_MOST
from gateway.operators.sessions import IDLE, LIFETIME
from gateway.web.routes import install
from tests.unit.web.site import URL, Outline

PAGES = ("/console", "/console/deposits", "/console/incidents", "/console/actions", "/console/decide/close-incident/1")
COOKIE = "__Secure-lastmile-console"


@pytest.mark.parametrize("path", PAGES)
async def test_a_stranger_sees_the_sign_in_page_and_nothing_else(stranger, path):
    answer = await stranger.client.get(path)
    assert (answer.status_code, answer.headers["location"], answer.text) == (303, "/console/sign-in", "")
    assert (await stranger.post(path, {})).status_code in (303, 405)


async def test_who_signs_in_gets_in_and_is_named_on_the_page(stranger):
    answer = await stranger.sign_in()
    assert (answer.status_code, answer.headers["location"]) == (303, "/console")
    assert "amina" in (await stranger.page("/console")).text
    assert (await stranger.client.get("/console/sign-in")).headers["location"] == "/console"


async def test_the_cookie_is_as_closed_as_cookies_get(stranger):
    cookie = (await stranger.sign_in()).headers["set-cookie"]
    name, *attributes = cookie.split("; ")
    assert name.startswith(f"{COOKIE}=")
    assert {part.lower() for part in attributes} == {
        "httponly",
        "secure",
        "samesite=strict",
        "path=/console",
        f"max-age={int(LIFETIME.total_seconds())}",
    }


@pytest.mark.parametrize("path", ["/console/sign-in", *PAGES[:4]])
async def test_no_page_runs_a_script_or_stands_in_a_frame_or_is_kept(amina, stranger, path):
    person = stranger if path.endswith("sign-in") else amina
    answer = await person.client.get(path)
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "script-src" not in policy
    assert "unsafe-inline" not in policy
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-frame-options"] == "DENY"
    page = Outline(answer.text)
    assert page.all("script") == []
    assert [found for _, found in page.elements if "style" in found or any(name.startswith("on") for name in found)] == []


async def test_a_wrong_name_a_wrong_password_and_a_disabled_person_get_the_same_page(desk, stranger):
    async with transaction(desk.engine) as connection:
        await disable_operator(connection, name="brian", operator="amina", reason="left", now=desk.now)
    answers = [
        await stranger.sign_in(password="wrong"),
        await stranger.sign_in(name="nobody"),
        await stranger.sign_in(name="brian"),
    ]
    assert {answer.status_code for answer in answers} == {401}
    texts = {
        answer.text.replace('value="nobody"', 'value="amina"').replace('value="brian"', 'value="amina"')
        for answer in answers
    }
    assert len(texts) == 1
    assert all("set-cookie" not in answer.headers for answer in answers)


async def test_a_typed_password_is_never_shown_again(stranger):
    answer = await stranger.sign_in(name="amina", password="canary-canary-canary")
    assert "canary" not in answer.text


async def test_guessing_ends_soon_for_this_address_only(desk, stranger):
    for _ in range(BOTH_MOST):
        assert (await stranger.sign_in(password="guess")).status_code == 401
    answer = await stranger.sign_in()
    assert answer.status_code == 429
    assert "Too many attempts" in answer.text
    assert "set-cookie" not in answer.headers
    with desk.browser("198.51.100.1") as elsewhere:
        assert (await elsewhere.sign_in()).status_code == 303


async def test_a_session_that_somebody_planted_is_not_taken_over(desk, stranger):
    planted = "a" * 43
    stranger.client.cookies.set(COOKIE, planted, domain="pay.example", path="/console")
    assert (await stranger.client.get("/console")).status_code == 303
    await stranger.sign_in()
    with desk.browser() as thief:
        thief.client.cookies.set(COOKIE, planted, domain="pay.example", path="/console")
        assert (await thief.client.get("/console")).status_code == 303


async def test_each_sign_in_makes_another_session(stranger):
    tokens = {(await stranger.sign_in()).headers["set-cookie"] for _ in range(3)}
    assert len(tokens) == 3


async def test_signing_out_ends_the_session_also_for_who_copied_the_cookie(desk, amina):
    with desk.browser() as copy:
        for cookie in amina.client.cookies.jar:
            copy.client.cookies.jar.set_cookie(cookie)
        assert (await copy.client.get("/console")).status_code == 200
        form = await amina.form("/console")
        answer = await amina.post("/console/sign-out", form)
        assert (answer.status_code, answer.headers["location"]) == (303, "/console/sign-in")
        assert "max-age=0" in answer.headers["set-cookie"].lower()
        assert (await copy.client.get("/console")).status_code == 303


async def test_a_session_ends_unused(desk, amina):
    desk.now += IDLE
    assert (await amina.client.get("/console")).status_code == 303


async def test_who_is_disabled_is_out_at_once_also_in_the_middle_of_a_decision(desk, amina):
    await desk.run("INSERT INTO incidents (cause, kind, detail, opened_at) VALUES ('c', 'test', '{}', now())")
    form = await amina.form("/console/decide/close-incident/1") | {"reason": "why", "confirmed": "yes"}
    async with transaction(desk.engine) as connection:
        await disable_operator(connection, name="amina", operator="brian", reason="left", now=desk.now)
    assert (await amina.post("/console/decide/close-incident/1", form)).status_code == 303
    assert await desk.run("SELECT closed_at FROM incidents") == [(None,)]


@pytest.mark.parametrize("path", ["/console/decide/close-incident/1", "/console/sign-out"])
async def test_a_form_without_the_sessions_own_token_changes_nothing(desk, amina, path):
    await desk.run("INSERT INTO incidents (cause, kind, detail, opened_at) VALUES ('c', 'test', '{}', now())")
    good = await amina.form("/console/decide/close-incident/1") | {"reason": "why", "confirmed": "yes"}
    with desk.browser() as brian:
        await brian.sign_in("brian")
        others = (await brian.form("/console"))["form_token"]
    for token in ("", "x", others, good["form_token"].upper(), good["form_token"] + "0"):
        assert (await amina.post(path, good | {"form_token": token})).status_code == 403
    del good["form_token"]
    answer = await amina.post(path, good)
    assert (answer.status_code, "isn't of your present sign-in" in answer.text.replace("&#39;", "'")) == (403, True)
    assert await desk.run("SELECT closed_at FROM incidents") == [(None,)]
    assert (await amina.client.get("/console")).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "cross-site", "origin": URL},
        {"sec-fetch-site": "same-origin", "origin": "null"},
        {"origin": "null"},
        {"origin": "https://evil.example"},
    ],
)
async def test_a_post_from_elsewhere_changes_nothing_even_with_the_right_token(desk, amina, headers):
    await desk.run("INSERT INTO incidents (cause, kind, detail, opened_at) VALUES ('c', 'test', '{}', now())")
    path = "/console/decide/close-incident/1"
    form = await amina.form(path) | {"reason": "why", "confirmed": "yes"}
    assert (await amina.client.post(path, data=form, headers=headers)).status_code == 403
    assert await desk.run("SELECT closed_at FROM incidents") == [(None,)]


async def test_another_site_can_not_sign_somebody_in(stranger):
    answer = await stranger.sign_in(**{"sec-fetch-site": "cross-site"})
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


async def test_looking_never_changes_anything(desk, amina):
    await desk.run("INSERT INTO incidents (cause, kind, detail, opened_at) VALUES ('c', 'test', '{}', now())")
    form = await amina.form("/console/decide/close-incident/1")
    answer = await amina.client.get("/console/decide/close-incident/1", params=form | {"reason": "why", "confirmed": "yes"})
    assert answer.status_code == 200
    assert await desk.decided() == []


async def test_a_nul_in_a_field_is_refused(amina):
    form = await amina.form("/console")
    assert (await amina.post("/console/sign-out", form | {"x": "\0"})).status_code == 403


async def test_without_tls_the_cookie_has_no_such_prefix(desk):
    app = FastAPI()
    install(app, replace(desk.services, public_url="http://127.0.0.1:8000"))
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
        answer = await client.post("/console/sign-in", data={"name": "amina", "password": "mkate wa asubuhi na chai"})
        assert answer.headers["set-cookie"].startswith("lastmile-console=")
        assert "secure" not in answer.headers["set-cookie"].lower()
        assert (await client.get("/console")).status_code == 200


async def test_many_at_the_door_at_once_do_not_break_it(desk):
    async def try_one(number: int) -> int:
        with desk.browser(f"198.51.100.{number}") as person:
            return (await person.sign_in(password="guess")).status_code

    statuses = await asyncio.gather(*(try_one(number) for number in range(30)))
    assert set(statuses) <= {401, 503}
    async with transaction(desk.engine) as connection:
        counted = (await connection.execute(text("SELECT max(attempts) FROM sign_in_attempts"))).scalar_one()
    assert counted == statuses.count(401)
