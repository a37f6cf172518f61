"""Decisions: looked at, given a reason, confirmed, carried out once and written down under a name."""

from __future__ import annotations

import json

import pytest

from gateway.operators.actions import REASON_MOST
from tests.unit.web.site import Outline

CLOSE = "/console/decide/close-incident/1"
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'\u202e"


@pytest.fixture
async def incident(desk):
    await desk.run(
        """
        INSERT INTO incidents (cause, kind, order_id, detail, opened_at)
        VALUES ('c', 'payout_overdue', :order, :detail, :now)
        """,
        order=f"ord_{HOSTILE}",
        detail=json.dumps({"why": HOSTILE, HOSTILE: "x"}),
        now=desk.now,
    )


@pytest.mark.usefixtures("incident")
async def test_an_incident_is_closed_in_three_steps_by_name_and_with_the_reason(desk, amina):
    listed = await amina.page("/console/incidents")
    assert listed.one("a", href=CLOSE)
    asked = await amina.post(CLOSE, await amina.form(CLOSE) | {"reason": "the rail has paid"})
    page = Outline(asked.text)
    assert "Please confirm" in page.text
    assert "the rail has paid" in page.text
    assert await desk.decided() == []
    done = await amina.post(CLOSE, {f["name"]: f["value"] for f in page.all("input", type="hidden")})
    assert (done.status_code, done.headers["location"]) == (303, "/console/actions?done=1")
    assert await desk.decided() == [("amina", "incident.close", "incident:1")]
    assert await desk.run("SELECT closed_by FROM incidents") == [("amina",)]
    record = (await amina.page("/console/actions?done=1")).text
    assert "Done, and written down here." in record
    assert "the rail has paid" in record
    assert "None is open." in (await amina.page("/console/incidents")).text


@pytest.mark.usefixtures("incident")
async def test_confirmed_twice_it_is_done_once(desk, amina):
    form = await amina.form(CLOSE) | {"reason": "why", "confirmed": "yes"}
    assert (await amina.post(CLOSE, form)).status_code == 303
    again = await amina.post(CLOSE, form)
    assert again.status_code == 409
    assert "has changed since you looked" in again.text
    fresh = await amina.decide(CLOSE)
    assert "incident 1 is not open" in fresh.text
    assert len(await desk.decided()) == 1


@pytest.mark.usefixtures("incident")
async def test_what_changed_meanwhile_is_looked_at_again(desk, amina):
    form = await amina.form(CLOSE) | {"reason": "why"}
    asked = await amina.post(CLOSE, form)
    await desk.run("""UPDATE incidents SET detail = '{"why": "something else"}'""")
    done = await amina.post(CLOSE, {f["name"]: f["value"] for f in Outline(asked.text).all("input", type="hidden")})
    assert done.status_code == 409
    assert "Look again, then decide." in done.text
    assert "something else" in done.text
    assert await desk.decided() == []


@pytest.mark.usefixtures("incident")
@pytest.mark.parametrize("reason", ["", "  \n ", "x" * (REASON_MOST + 1)])
async def test_without_a_reason_nothing_is_asked_for_confirmation_or_done(desk, amina, reason):
    form = await amina.form(CLOSE) | {"reason": reason}
    answer = await amina.post(CLOSE, form | {"confirmed": "yes"})
    assert answer.status_code == 409
    assert "reason" in answer.text
    if not reason.strip():
        assert (await amina.post(CLOSE, form)).status_code == 409
    assert await desk.decided() == []


@pytest.mark.usefixtures("incident")
async def test_what_strangers_wrote_is_shown_as_text_everywhere(desk, amina):
    await desk.run("UPDATE operators SET disabled_at = NULL")
    texts = [(await amina.client.get(path)).text for path in ("/console/incidents", CLOSE, "/console")]
    asked = await amina.post(CLOSE, await amina.form(CLOSE) | {"reason": HOSTILE})
    texts.append(asked.text)
    await amina.post(CLOSE, {f["name"]: f["value"] for f in Outline(asked.text).all("input", type="hidden")})
    texts.append((await amina.client.get("/console/actions")).text)
    for shown in texts:
        page = Outline(shown)
        assert page.all("script", "img") == []
        assert not any("onerror" in name for _, found in page.elements for name in found)
    assert sum(HOSTILE in Outline(shown).text for shown in texts) >= 3


@pytest.mark.parametrize(
    "path",
    [
        "/console/decide/nothing/1",
        "/console/decide/close-incident/1",
        "/console/decide/close-incident/x",
        "/console/decide/close-incident/%00",
        "/console/decide/close-incident/" + "9" * 30,
        "/console/decide/refund/ord_x",
        "/console/decide/refund/ord_x/USDC@31337",
        "/console/decide/release/ord_%00",
        "/console/decide/lift-freeze/USDC@31337",
        "/console/decide/freeze/NOPE@1",
        "/console/decide/accept/ord_x/rqt_x",
        "/console/nothing",
    ],
)
async def test_what_is_not_there_is_not_found(amina, path):
    assert (await amina.client.get(path)).status_code == 404
    assert (await amina.post(path, {"x": "y"})).status_code in (403, 404, 405)


async def test_a_coin_is_frozen_and_taken_again(desk, amina):
    assert (await amina.decide("/console/decide/freeze/USDC@31337", reason="its issuer is in trouble")).status_code == 303
    assert "USDC@31337 is frozen" in (await amina.page("/console")).text
    assert (await amina.decide("/console/decide/lift-freeze/USDC@31337", reason="all is well again")).status_code == 303
    assert "is frozen" not in (await amina.page("/console")).text
    assert await desk.decided() == [
        ("amina", "asset.freeze", "asset:USDC@31337"),
        ("amina", "asset.lift", "asset:USDC@31337"),
    ]


async def test_decisions_are_shown_in_pages(desk, amina):
    await desk.run("""
        INSERT INTO operator_actions (operator, action, subject, reason, detail, at)
        SELECT 'brian', 'x', 'number ' || n, 'why', '{}', now() FROM generate_series(1, 120) AS n
    """)
    seen, path = [], "/console/actions"
    while path:
        page = await amina.page(path)
        seen += [piece for piece in page.pieces if piece.startswith("number ")]
        older = [link["href"] for link in page.all("a") if "before=" in link["href"]]
        path = older[0] if older else ""
    assert seen == [f"number {n}" for n in range(120, 0, -1)]
    assert (await amina.client.get("/console/actions?before=x")).status_code == 200
    assert (await amina.client.get("/console/actions?before=" + "9" * 40)).status_code == 200
