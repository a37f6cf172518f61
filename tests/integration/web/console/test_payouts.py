"""Payouts in the console: what needs a person, all that is known of it, and what two people do about it."""

from __future__ import annotations

import hashlib
from itertools import pairwise

import pytest

from gateway.chain.health import Health
from gateway.money import Money
from gateway.payouts.evidence import ResolutionRules
from gateway.web.console.overview import Counts, tasks_of
from tests.factories import PENDING, USDC
from tests.integration.payouts.people import USD, Bureau
from tests.integration.web.console.conftest import SCREEN, hidden
from tests.unit.web.site import Outline

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'\u202eevil"
EVIDENCE = {
    "verdict": "paid",
    "said": "SG632NMUAB Completed, KES 1,249.00 to …78",
    "place": "portal, statement of 22 November, line 14",
    "seen_at": "2026-11-22T13:00",
    "provider_ref": "SG632NMUAB",
    "receipt": "SG632NMUAB",
    "amount": "1249",
}


@pytest.fixture
async def bureau(desk):
    return Bureau(desk.engine, now=desk.now)


@pytest.fixture
async def brian(desk):
    with desk.browser("203.0.113.8") as person:
        assert (await person.sign_in("brian")).status_code == 303
        yield person


async def proposal(bureau: Bureau) -> str:
    return str(await bureau.one("SELECT id FROM resolutions WHERE outcome IS NULL"))


async def test_two_people_settle_an_unknown_end_in_their_browsers(desk, bureau, amina, brian):
    attempt = await bureau.attempt()
    start = await amina.page("/console")
    assert start.one("a", href="/console/payouts?which=unknown")
    assert "Payouts whose end nobody knows: 1" in start.text
    listed = await amina.page("/console/payouts")
    assert listed.all("a", href=f"/console/payouts/{attempt}")
    page = await amina.page(f"/console/payouts/{attempt}")
    assert page.one("a", href=f"/console/decide/resolve/{attempt}")
    assert (await amina.decide(f"/console/decide/resolve/{attempt}", **EVIDENCE)).status_code == 303
    made = await proposal(bureau)
    assert "Evidence that waits for a second person: 1" in (await brian.page("/console")).text
    own = await amina.page(f"/console/payouts/{attempt}")
    assert own.all("a", href=f"/console/decide/approve-evidence/{made}") == []
    others = await brian.page(f"/console/payouts/{attempt}")
    assert others.one("a", href=f"/console/decide/approve-evidence/{made}")
    for words in (EVIDENCE["said"], EVIDENCE["place"], "1249.00 KES", "Proposed byamina"):
        assert words in (await brian.page(f"/console/decide/approve-evidence/{made}")).text
    assert (await brian.decide(f"/console/decide/approve-evidence/{made}")).status_code == 303
    assert await bureau.state(attempt) == ("paid", "paid")
    assert [(who, what) for who, what, _ in await desk.decided()] == [
        ("amina", "payouts.propose"),
        ("brian", "payouts.approve"),
    ]
    assert "recorded" in (await amina.page(f"/console/payouts/{attempt}")).text


async def test_nobody_approves_their_own_word_by_its_address(bureau, amina):
    attempt = await bureau.attempt()
    await amina.decide(f"/console/decide/resolve/{attempt}", **EVIDENCE)
    answer = await amina.decide(f"/console/decide/approve-evidence/{await proposal(bureau)}")
    assert answer.status_code == 409
    assert "another operator has to approve it" in answer.text
    assert await bureau.state(attempt) == ("uncertain", "unknown")


async def test_where_one_person_is_enough_it_is_recorded_at_once(desk, bureau, amina):
    object.__setattr__(desk.services, "payouts", ResolutionRules(above=Money(10_00, USD), dollars={USDC.code}))
    attempt = await bureau.attempt()
    await amina.decide(f"/console/decide/resolve/{attempt}", **EVIDENCE)
    assert await bureau.state(attempt) == ("paid", "paid")


async def test_what_the_rail_said_meanwhile_makes_the_second_person_look_again(bureau, amina, brian):
    attempt = await bureau.attempt()
    await amina.decide(f"/console/decide/resolve/{attempt}", **EVIDENCE)
    path = f"/console/decide/approve-evidence/{await proposal(bureau)}"
    asked = await brian.post(path, await brian.form(path) | {"reason": "seen it"})
    await bureau.hear(attempt, PENDING)
    answer = await brian.post(path, hidden(Outline(asked.text)))
    assert answer.status_code == 409
    assert "Look again, then decide." in answer.text
    assert "is void" in (await brian.decide(path)).text
    assert (await bureau.state(attempt))[1] == "pending"
    page = await brian.page(f"/console/payouts/{attempt}")
    assert page.all("a", href=path) == []
    assert page.one("a", href=path.replace("approve", "refuse"))
    assert "Evidence that waits" not in (await brian.page("/console")).text


async def test_a_refused_proposal_makes_room_for_another(bureau, amina, brian):
    attempt = await bureau.attempt()
    await amina.decide(f"/console/decide/resolve/{attempt}", **EVIDENCE)
    assert (await brian.decide(f"/console/decide/refuse-evidence/{await proposal(bureau)}")).status_code == 303
    failed = {**EVIDENCE, "verdict": "failed", "amount": "", "fault": "rail"}
    assert (await brian.decide(f"/console/decide/resolve/{attempt}", **failed)).status_code == 303
    assert await bureau.run("SELECT outcome, proposed_by FROM resolutions ORDER BY id") == [
        ("refused", "amina"),
        (None, "brian"),
    ]


LACKING = (
    ({"verdict": "forced"}, "is needed"),
    ({"verdict": "discharged"}, "is needed"),
    ({"said": "  "}, "is needed"),
    ({"amount": "1,249"}, "is not an amount"),
    ({"amount": "1249.001"}, "too many digits"),
    ({"amount": "1000"}, "paid in part"),
    ({"provider_ref": ""}, "reference of the payment"),
    ({"seen_at": "yesterday"}, "in UTC"),
    ({"seen_at": "2027-01-01T00:00"}, "in the future"),
    ({"said": "x" * 3_000}, "at most 2000 characters"),
    ({"fault": "god"}, "is needed"),
)


async def test_evidence_that_lacks_something_comes_back_with_what(bureau, amina):
    attempt = await bureau.attempt()
    for wrong, says in LACKING:
        answer = await amina.decide(f"/console/decide/resolve/{attempt}", **EVIDENCE | wrong)
        assert (answer.status_code, wrong) == (409, wrong)
        assert says in Outline(answer.text).text
    assert await bureau.one("SELECT count(*) FROM resolutions") == 0


async def test_long_words_of_any_script_fit_into_the_form(bureau, amina):
    attempt = await bureau.attempt()
    said = "已支付" * 600
    assert (await amina.decide(f"/console/decide/resolve/{attempt}", **EVIDENCE | {"said": said})).status_code == 303
    assert await bureau.one("SELECT said FROM resolutions") == said


async def test_what_strangers_wrote_is_shown_as_text_everywhere(bureau, amina, brian):
    attempt = await bureau.attempt()
    await bureau.run(
        "UPDATE attempts SET reason = :h, evidence = jsonb_build_object(CAST(:h AS text), CAST(:h AS text))", h=HOSTILE
    )
    await bureau.run(
        """
        INSERT INTO callbacks (adapter, event_id, attempt_id, label, headers, body, received_at)
        VALUES ('fake', 'e', :a, 'result', '{}', :body, :now)
        """,
        a=attempt,
        body=HOSTILE.encode() + b"\0\xff",
        now=bureau.now,
    )
    await amina.decide(f"/console/decide/resolve/{attempt}", **EVIDENCE | {"said": HOSTILE, "place": HOSTILE})
    made = await proposal(bureau)
    await upload(amina, attempt, name='"><script>alert(1)<', content=b"x", reason=HOSTILE)
    paths = (
        "/console/payouts",
        f"/console/payouts/{attempt}",
        f"/console/decide/approve-evidence/{made}",
        "/console/actions",
    )
    for path in paths:
        page = await brian.page(path)
        assert page.all("script", "img") == []
        assert not any("onerror" in name for _, found in page.elements for name in found)
        assert "alert(1)" in page.text


async def upload(person, attempt, *, name="statement.pdf", content=b"%PDF a page", reason="the statement's page", **headers):
    form = await person.form(f"/console/payouts/{attempt}")
    path = f"/console/payouts/{attempt}/files"
    fields = {"form_token": form["form_token"], "reason": reason}
    return await person.client.post(path, data=fields, files={"file": (name, content)}, headers=SCREEN | headers)


async def test_a_file_is_kept_once_and_given_back_to_be_saved_only(bureau, amina, brian):
    attempt = await bureau.attempt()
    content = b"<html><script>alert(1)</script>"
    for _ in range(2):
        assert (await upload(amina, attempt, name="Kontoauszug März.html", content=content)).status_code == 303
    assert await bureau.run("SELECT size, sha256, added_by FROM evidence_files") == [
        (len(content), hashlib.sha256(content).hexdigest(), "amina")
    ]
    page = await brian.page(f"/console/payouts/{attempt}")
    [link] = [found["href"] for found in page.all("a") if "/files/" in found["href"]]
    given = await brian.client.get(link)
    assert given.content == content
    assert given.headers["content-type"] == "application/octet-stream"
    assert given.headers["content-disposition"].startswith("attachment; filename*=UTF-8''Kontoauszug%20M%C3%A4rz.html")
    assert given.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in given.headers["content-security-policy"]
    for other in (link.replace(attempt, "att_none"), link + "9", f"/console/payouts/{attempt}/files/" + "9" * 30):
        assert (await brian.client.get(other)).status_code == 404


NOT_KEPT = (
    ({"content": b""}, 409),
    ({"content": b"x" * (5 * 1024 * 1024 + 1)}, 409),
    ({"content": b"x" * (6 * 1024 * 1024)}, 413),
    ({"name": ""}, 409),
    ({"name": "x" * 121}, 409),
    ({"name": "a\u202eb.pdf"}, 409),
    ({"name": "../../etc/passwd"}, 409),
    ({"reason": " "}, 409),
    ({"reason": "a\0b"}, 403),
    ({"origin": "https://elsewhere.example", "sec-fetch-site": "cross-site"}, 403),
    ({"origin": "null"}, 403),
    ({"content-type": "text/plain"}, 415),
    ({"content-type": "multipart/form-data"}, 400),
)


async def test_a_file_that_should_not_be_kept_is_not(bureau, amina):
    attempt = await bureau.attempt()
    for wrong, status in NOT_KEPT:
        assert ((await upload(amina, attempt, **wrong)).status_code, wrong) == (status, wrong)
    assert await bureau.one("SELECT count(*) FROM evidence_files") == 0


async def test_the_rest_of_a_payment_in_part_is_discharged(bureau, amina, brian):
    attempt = await bureau.attempt()
    decided = (
        ({**EVIDENCE, "verdict": "paid_in_part", "amount": "1000"}, "resolve"),
        ({**EVIDENCE, "amount": "249"}, "discharge"),
    )
    for fields, kind in decided:
        assert (await amina.decide(f"/console/decide/{kind}/{attempt}", **fields)).status_code == 303
        assert (await brian.decide(f"/console/decide/approve-evidence/{await proposal(bureau)}")).status_code == 303
        page = await amina.page(f"/console/payouts/{attempt}")
        assert bool(page.all("a", href=f"/console/decide/discharge/{attempt}")) is (kind == "resolve")
        listed = "Payouts in part, the rest is owed: 1" in (await amina.page("/console")).text
        assert listed is (kind == "resolve")
    assert (await bureau.books()).get("owed KES") is None


async def test_a_file_needs_a_form_of_this_session(bureau, amina, stranger):
    attempt = await bureau.attempt()
    path, files = f"/console/payouts/{attempt}/files", {"file": ("a", b"b")}
    answer = await amina.client.post(path, data={"form_token": "x", "reason": "y"}, files=files, headers=SCREEN)
    assert answer.status_code == 403
    shut = await stranger.client.post(path, data={"reason": "y"}, files=files, headers=SCREEN)
    assert (shut.status_code, shut.headers["location"]) == (303, "/console/sign-in")
    for page in ("/console/payouts", f"/console/payouts/{attempt}", f"/console/payouts/{attempt}/files/1"):
        assert (await stranger.client.get(page)).status_code == 303
    assert await bureau.one("SELECT count(*) FROM evidence_files") == 0


async def test_an_order_is_held_and_released_by_hand(desk, bureau, amina):
    [order_id] = await bureau.funded()
    page = await amina.page(f"/console/payouts/{order_id}")
    assert page.one("a", href=f"/console/decide/hold/{order_id}")
    assert (await amina.decide(f"/console/decide/hold/{order_id}")).status_code == 303
    assert "Held orders: 1" in (await amina.page("/console")).text
    listed = await amina.page("/console/payouts")
    assert "Held: by hand" in listed.text
    assert listed.one("a", href=f"/console/decide/release/{order_id}")
    assert "by hand" in (await amina.page(f"/console/decide/release/{order_id}")).text
    assert (await amina.decide(f"/console/decide/release/{order_id}")).status_code == 303
    assert await bureau.one("SELECT state FROM orders") == "funded"
    assert [what for _, what, _ in await desk.decided()] == ["payouts.hold", "deposits.release"]


async def test_the_recipient_of_a_held_order_is_redirected(bureau, amina):
    [order_id] = await bureau.funded()
    await bureau.hold(order_id, "recipient_refused")
    listed = await amina.page("/console/payouts")
    path = f"/console/decide/redirect/{order_id}"
    assert listed.one("a", href=path)
    assert listed.one("a", href=f"/console/decide/refund-order/{order_id}/{USDC.code}")
    refused = await amina.decide(f"/console/decide/release/{order_id}")
    assert "Redirect" in refused.text
    assert (await amina.decide(path, account="+254733000111")).status_code == 303
    assert await bureau.one("SELECT state FROM orders") == "funded"


async def test_what_is_not_there_is_not_found(amina):
    for path in ("nothing", "%00", "x" * 200, "att_none"):
        assert (await amina.client.get(f"/console/payouts/{path}")).status_code == 404
        for kind in ("resolve", "discharge", "approve-evidence", "refuse-evidence", "hold", "redirect"):
            assert (await amina.client.get(f"/console/decide/{kind}/{path}")).status_code == 404


async def test_odd_filters_show_a_page_all_the_same(amina):
    for query in ("?which=odd", "?after=%00", "?which=failed&after=" + "x" * 500, "?held_after=%0a"):
        assert (await amina.client.get(f"/console/payouts{query}")).status_code == 200


async def test_lists_are_shown_in_pages(bureau, amina):
    attempt = await bureau.attempt()
    await bureau.run("""
        INSERT INTO quotes SELECT (jsonb_populate_record(q, jsonb_build_object('id', 'quo_' || n))).*
        FROM quotes AS q, generate_series(1, 60) AS n
    """)
    await bureau.run("""
        INSERT INTO orders SELECT (jsonb_populate_record(o, jsonb_build_object('id', 'ord_' || n, 'quote_id', 'quo_' || n,
            'tracking_token', 't' || n))).* FROM orders AS o, generate_series(1, 60) AS n
    """)
    await bureau.run("""
        INSERT INTO attempts SELECT (jsonb_populate_record(a, jsonb_build_object('id', 'att_' || lpad(n::text, 30, '0'),
            'order_id', 'ord_' || n))).* FROM attempts AS a, generate_series(1, 60) AS n
    """)
    seen, path = [], "/console/payouts?which=unknown"
    while path:
        page = await amina.page(path)
        seen += [found["id"] for found in page.all("section") if found.get("id", "").startswith("att_")]
        more = [link["href"] for link in page.all("a") if "after=att" in link["href"]]
        path = more[0] if more else ""
    assert (len(seen), len(set(seen)), attempt in seen) == (61, 61, True)


async def test_headings_begin_at_one_and_leave_none_out(bureau, amina):
    attempt = await bureau.attempt()
    [order_id] = await bureau.funded()
    await bureau.hold(order_id, "rail_unavailable")
    await amina.decide(f"/console/decide/resolve/{attempt}", **EVIDENCE)
    for path in ("/console/payouts", f"/console/payouts/{attempt}", f"/console/payouts/{order_id}"):
        page = await amina.page(path)
        levels = [int(tag[1]) for tag, _ in page.elements if tag in ("h1", "h2", "h3", "h4")]
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(later - earlier <= 1 for earlier, later in pairwise(levels))


def test_what_waits_for_people_stands_before_what_waits():
    counts = Counts(held=1, uncertain=0, overdue=2, proposed=3, strays=0, stuck=0, unallocated=())
    assert [task.sentence for task in tasks_of(Health(chains=(), frozen={}), [], counts)] == [
        "Evidence that waits for a second person: 3",
        "Payouts that take too long: 2",
        "Held orders: 1",
    ]
