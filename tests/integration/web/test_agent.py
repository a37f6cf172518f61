"""The counter page: signed in, an agent looks up, claims, confirms; and the code is in no address and no page's opening."""

from __future__ import annotations

import re

import pytest
from argon2 import PasswordHasher
from sqlalchemy import text

from gateway.db.session import transaction
from gateway.operators.passwords import Passwords
from gateway.web import agent as pages
from tests.integration.agents.house import House
from tests.integration.agents.served import opened
from tests.integration.api.desk import URL

PASSWORD = "mkate wa asubuhi na chai"
SCREEN = {"sec-fetch-site": "same-origin", "origin": URL}
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


class Shop:
    """A browser at a counter."""

    def __init__(self, client, name: str) -> None:
        self.client, self.name = client, name

    async def sign_in(self, password: str = PASSWORD):
        return await self.post("/agent/sign-in", {"name": self.name, "password": password})

    async def post(self, path, fields, **headers):
        return await self.client.post(path, data=fields, headers=SCREEN | headers)

    async def page(self, path):
        answer = await self.client.get(path)
        assert answer.status_code == 200, answer.headers
        return answer.text

    async def token(self):
        return hidden(await self.page("/agent"))["form_token"]


def hidden(page: str) -> dict[str, str]:
    return dict(re.findall(r'<input type="hidden" name="([a-z_]+)" value="([^"]*)">', page))


@pytest.fixture
async def house(engine):
    made = House(engine)
    await made.stock()
    return made


@pytest.fixture
async def shop(house, monkeypatch):
    monkeypatch.setattr(pages, "Passwords", lambda: Passwords(CHEAP))
    new = await house.agent()
    async with transaction(house.engine) as connection:
        await connection.execute(text("UPDATE agents SET password_hash = :hash"), {"hash": CHEAP.hash(PASSWORD)})
        name = (await connection.execute(text("SELECT name FROM agents"))).scalar_one()
    async with opened(house.engine) as desk:
        made = Shop(desk.client, name)
        made.new = new
        yield made


async def test_cash_is_paid_out_at_the_counter(shop, house):
    code, digits = await house.code("1249.50")
    entered = await shop.sign_in()
    assert (entered.status_code, entered.headers["location"]) == (303, "/agent")
    cookie = entered.headers["set-cookie"]
    assert all(
        part in cookie for part in ("__Secure-lastmile-agent=", "HttpOnly", "Secure", "SameSite=strict", "Path=/agent")
    )
    found = await shop.post("/agent/look", {"form_token": await shop.token(), "code": digits, "phone": "0712 345 678"[1:]})
    assert found.status_code == 200, found.text
    assert "1,249.50" in found.text
    assert "Wanjiku" not in found.text
    assert (await house.find(code)).state == "active"
    fields = hidden(found.text)
    claimed = await shop.post("/agent/claims", fields)
    assert claimed.status_code == 303
    again = await shop.post("/agent/claims", fields)
    assert again.headers["location"] == claimed.headers["location"]
    assert digits not in claimed.headers["location"]
    page = await shop.page(claimed.headers["location"])
    assert "Wanjiku Kamau" in page
    assert "Wanjiku Kamau" in await shop.page("/agent")
    without = await shop.post(claimed.headers["location"], hidden(page) | {"document": "passport", "number": " "})
    assert (without.status_code, (await house.find(code)).state) == (409, "claimed")
    given = {"document": "passport", "number": "A1234567"}
    for _ in range(2):
        done = await shop.post(claimed.headers["location"], hidden(page) | given)
        assert done.status_code == 303
    assert "Paid out" in await shop.page(claimed.headers["location"])
    assert (await house.find(code)).state == "redeemed"
    await house.check()


async def test_a_wrong_code_says_so_and_counts(shop, house):
    _, digits = await house.code()
    await shop.sign_in()
    token = await shop.token()
    for _ in range(10):
        wrong = await shop.post("/agent/look", {"form_token": token, "code": "000 000 0001", "phone": "5678"})
        assert (wrong.status_code, "Ask the recipient" in wrong.text) == (409, True)
    right = await shop.post("/agent/look", {"form_token": token, "code": digits, "phone": "5678"})
    assert (right.status_code, "Too many wrong codes" in right.text) == (409, True)


async def test_nobody_comes_in_without_signing_in(shop):
    for path in ("/agent", "/agent/claims/wdr_1"):
        answer = await shop.client.get(path)
        assert (answer.status_code, answer.headers["location"]) == (303, "/agent/sign-in")
    assert (await shop.sign_in("wrong wrong wrong")).status_code == 401
    page = await shop.client.get("/agent/sign-in")
    assert "script" not in page.headers["content-security-policy"]
    assert page.headers["cache-control"] == "no-store"


async def test_another_sites_or_another_sessions_form_does_nothing(shop, house):
    _, digits = await house.code()
    await shop.sign_in()
    fields = {"code": digits, "phone": "5678", "reference": "r1", "form_token": await shop.token()}
    assert (await shop.post("/agent/claims", fields | {"form_token": "0" * 64})).status_code == 403
    assert (await shop.post("/agent/claims", fields, **{"sec-fetch-site": "cross-site"})).status_code == 403
    assert (await shop.post("/agent/claims", fields, origin="null")).status_code == 403
    assert await house.run("SELECT FROM pickup_claims") == []


async def test_an_agent_sees_only_his_own_claims(shop, house):
    _, digits = await house.code()
    other = await house.claim(await house.agent(), digits)
    await shop.sign_in()
    answer = await shop.client.get(f"/agent/claims/{other.id}")
    assert (answer.status_code, "Wanjiku" in answer.text) == (404, False)


async def test_signing_out_and_being_disabled_end_the_session(shop, house):
    await shop.sign_in()
    out = await shop.post("/agent/sign-out", {"form_token": await shop.token()})
    assert out.headers["location"] == "/agent/sign-in"
    assert (await shop.client.get("/agent")).status_code == 303
    await shop.sign_in()
    await house.run("UPDATE agents SET disabled_at = now()")
    assert (await shop.client.get("/agent")).status_code == 303
