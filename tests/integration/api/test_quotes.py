from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest

from gateway.api.schemas import QuoteOut
from gateway.main import make_app
from gateway.money import Money
from gateway.offramp import Method
from gateway.pricing.exposure import DOLLARS
from gateway.pricing.tariffs import ENDLESS, Band, Cost, Schedule
from tests.factories import KES, USDC
from tests.integration.api.desk import ASK, OFFER, RECEIVE, SEND, URL, Desk, Partner, problem

pytestmark = pytest.mark.asyncio(loop_scope="module")


def sending(amount: Any = "10", **changes: Any) -> dict[str, Any]:
    return {"send": SEND | {"amount": amount} | changes, "receive": RECEIVE}


def receiving(amount: Any = "1249", **changes: Any) -> dict[str, Any]:
    return {"send": SEND, "receive": RECEIVE | {"amount": amount} | changes}


async def test_a_quote_for_what_is_sent_says_every_part_of_the_price(desk: Desk, partner: Partner) -> None:
    made = await desk.quote(partner, sending("10"))
    assert made.status_code == 201
    document = made.json()
    assert document.pop("id").startswith("quo_")
    assert document == {
        "created_at": "2026-11-22T12:00:00Z",
        "expires_at": "2026-11-22T12:15:00Z",
        "send": {"asset": "USDC", "amount": "10.000000", "chain": "dev", "chain_id": 31337},
        "receive": {"country": "KE", "currency": "KES", "method": "mobile_money", "amount": "1249.00"},
        "rate": {
            "mid": "129.20000000",
            "applied": "127.90800000",
            "as_of": "2026-11-22T12:00:00Z",
            "sources": ["one", "two"],
        },
        "fees": [
            {"kind": "fx_margin", "currency": "KES", "amount": "12.92"},
            {"kind": "service_fee", "currency": "KES", "amount": "30.00"},
            {"kind": "partner_fee", "currency": "KES", "amount": "0.00"},
            {"kind": "rail_fee", "currency": "KES", "amount": "0.00"},
            {"kind": "network_fee", "currency": "KES", "amount": "0.00"},
            {"kind": "rounding", "currency": "KES", "amount": "0.08"},
        ],
        "cash_out": {"asset": "KES", "amount": "0.00"},
        "in_hand": {"asset": "KES", "amount": "1249.00"},
        "total_cost_percent": "3.33",
        "sdg_target_percent": "3.00",
        "within_sdg_target": False,
        "speed": "standard",
        "next_drop_at": None,
        "delivery": None,
    }


async def test_a_quote_lists_what_partner_rail_and_network_take_and_what_cash_costs_the_recipient(desk: Desk) -> None:
    key, coin = ("KE", "KES", Method.MOBILE_MONEY), ("dev", "USDC")
    terms = replace(
        OFFER.corridors[key],
        fee=Money.parse("5", KES),
        rail_charge=Schedule((Band(ENDLESS, (Cost(fixed=900),)),)),
        pass_on_rail_fee=True,
        cash_out=Schedule((Band(ENDLESS, (Cost(fixed=1_000),)),)),
    )
    token = replace(OFFER.tokens[coin], network_fee=Money.parse("0.02", USDC))
    offer = replace(OFFER, corridors={key: terms}, tokens={coin: token})
    dear = await desk.partner("Dear Exchange")
    await desk.run("UPDATE partners SET fee_bps = 50 WHERE id = :id", id=dear.id)
    app = make_app(replace(desk.gateway, offer=offer))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=URL) as client:
        made = await client.post("/v1/quotes", json=sending("100"), headers=desk.headers(dear))
    document = made.json()
    assert [(fee["kind"], fee["amount"]) for fee in document["fees"]] == [
        ("fx_margin", "129.20"),
        ("service_fee", "5.00"),
        ("partner_fee", "63.96"),
        ("rail_fee", "9.00"),
        ("network_fee", "2.59"),
        ("rounding", "0.25"),
    ]
    assert document["receive"]["amount"] == "12710.00"
    assert document["cash_out"] == {"asset": "KES", "amount": "10.00"}
    assert document["in_hand"] == {"asset": "KES", "amount": "12700.00"}
    assert (document["total_cost_percent"], document["within_sdg_target"]) == ("1.71", True)


async def test_an_economy_quote_has_its_own_fee_and_says_when_it_goes(desk: Desk, partner: Partner) -> None:
    with desk.later(timedelta(minutes=1)):
        made = await desk.quote(partner, sending("10") | {"speed": "economy"})
    document = made.json()
    assert (made.status_code, document["speed"], document["next_drop_at"]) == (201, "economy", "2026-11-22T13:00:00Z")
    assert document["receive"]["amount"] == "1269.00"
    assert {"kind": "service_fee", "currency": "KES", "amount": "10.00"} in document["fees"]
    (row,) = await desk.run("SELECT speed, drop_every_s, fee_units FROM quotes WHERE id = :id", id=document["id"])
    assert tuple(row) == ("economy", 3600, 1000)


async def test_a_quote_without_speed_is_standard_and_another_speed_is_none(desk: Desk, partner: Partner) -> None:
    assert (await desk.quote(partner, sending("10") | {"speed": "standard"})).json()["speed"] == "standard"
    for speed in ("fast", "", None, 1):
        problem(await desk.quote(partner, sending("10") | {"speed": speed}), 422, "invalid_fields", "/speed")


async def test_a_quote_for_what_is_received_says_what_to_send(desk: Desk, partner: Partner) -> None:
    document = (await desk.quote(partner, receiving("1249"))).json()
    assert (document["send"]["amount"], document["receive"]["amount"]) == ("9.999375", "1249.00")


async def test_an_amount_that_is_null_is_not_given(desk: Desk, partner: Partner) -> None:
    ask = {"send": SEND | {"amount": None}, "receive": RECEIVE | {"amount": "1249"}}
    assert (await desk.quote(partner, ask)).status_code == 201


async def test_a_quote_belongs_to_the_partner_that_asked(desk: Desk, partner: Partner, stranger: Partner) -> None:
    ids = [(await desk.quote(who)).json()["id"] for who in (partner, stranger)]
    rows = await desk.run(
        "SELECT partner_id FROM quotes WHERE id = ANY(:ids) ORDER BY partner_id = :last", ids=ids, last=stranger.id
    )
    assert [row.partner_id for row in rows] == [partner.id, stranger.id]


NO_AMOUNTS = (
    *(
        "1e5",
        "-1",
        "+1",
        "NaN",
        "Infinity",
        "1_000",
        "1,000",
        "1 000",
        "\u0661\u0660",
        "\uff11\uff10",
        "",
        " 10",
        "10\n",
        "0x10",
    ),
    *("1." + "1" * 30, "1" * 61, "10.", ".5", "010", "0", "0.00", "--1", "1.0.0", "$10", "ten"),
)


async def refused(desk: Desk, partner: Partner, ask: Any, status: int, code: str, *fields: str) -> dict[str, Any]:
    """The problem that `ask` meets, and that it wrote nothing."""
    async with desk.nothing_written():
        return problem(await desk.quote(partner, ask), status, code, *fields)


@pytest.mark.parametrize("amount", NO_AMOUNTS)
async def test_what_is_no_amount_is_refused(desk: Desk, partner: Partner, amount: str) -> None:
    await refused(desk, partner, sending(amount), 422, "bad_amount", "/send/amount")
    await refused(desk, partner, receiving(amount), 422, "bad_amount", "/receive/amount")


@pytest.mark.parametrize("amount", [10, 10.5, True, ["10"], {"value": "10"}, "1" * 81])
async def test_an_amount_that_is_no_short_text_is_refused(desk: Desk, partner: Partner, amount: Any) -> None:
    await refused(desk, partner, sending(amount), 422, "invalid_fields", "/send/amount")
    await refused(desk, partner, receiving(amount), 422, "invalid_fields", "/receive/amount")


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e400"])
async def test_numbers_that_json_does_not_have_are_refused(desk: Desk, partner: Partner, number: bytes) -> None:
    body = b'{"send": {"chain": "dev", "asset": "USDC", "amount": ' + number + b'}, "receive": {}}'
    headers = desk.headers(partner, **{"Content-Type": "application/json"})
    async with desk.nothing_written():
        problem(await desk.client.post("/v1/quotes", content=body, headers=headers), 400, "malformed_request")


REFUSALS: dict[str, tuple[Any, str, tuple[str, ...], str]] = {
    "both amounts": (
        {"send": SEND | {"amount": "10"}, "receive": RECEIVE | {"amount": "1249"}},
        "two_amounts",
        ("/receive/amount",),
        "Give one amount only",
    ),
    "no amount": ({"send": SEND, "receive": RECEIVE}, "amount_missing", ("/send/amount",), "Give one amount"),
    "unknown chain": (sending(chain="base"), "unknown_asset", ("/send/asset",), "You can send: USDC on dev, USDT on dev."),
    "unknown coin": (sending(asset="DOGE"), "unknown_asset", ("/send/asset",), "You can send"),
    "coin in small letters": (sending(asset="usdc"), "unknown_asset", ("/send/asset",), "You can send"),
    "unknown country": (receiving(country="XX"), "unknown_corridor", ("/receive",), "KE KES mobile_money."),
    "unknown currency": (receiving(currency="UGX"), "unknown_corridor", ("/receive",), "KE KES mobile_money."),
    "unknown method": (receiving(method="pigeon"), "unknown_corridor", ("/receive",), "KE KES mobile_money."),
    "method not here": (receiving(method="bank"), "unknown_corridor", ("/receive",), "KE KES mobile_money."),
    "too little sent": (sending("0.1"), "below_minimum", ("/send/amount",), "send at least 0.312725 USDC."),
    "too little received": (receiving("9"), "below_minimum", ("/receive/amount",), "10.00 KES"),
    "less than the fee": (sending("0.000001"), "below_minimum", ("/send/amount",), "send at least"),
    "too much sent": (sending("9" * 60), "above_maximum", ("/send/amount",), "send at most 1954.764362 USDC."),
    "too much received": (receiving("250001"), "above_maximum", ("/receive/amount",), "250000.00 KES"),
    "no whole shilling": (receiving("1249.50"), "not_payable", ("/receive/amount",), "1249.00 KES and 1250.00 KES."),
    "own rate": (sending() | {"rate": "200"}, "invalid_fields", ("/rate",), "There is no such field here"),
    "own fee": (sending(fee="0"), "invalid_fields", ("/send/fee",), "There is no such field here"),
    "another's quote": (sending() | {"partner_id": "par_1"}, "invalid_fields", ("/partner_id",), "no such field"),
    "no document": ([], "invalid_fields", ("",), "Send a JSON object here."),
    "nothing in it": ({}, "invalid_fields", ("/send", "/receive"), "see errors"),
    "injection": (sending(asset="USDC'; DROP TABLE quotes --"), "unknown_asset", ("/send/asset",), "You can send"),
}


@pytest.mark.parametrize(("ask", "code", "fields", "sentence"), REFUSALS.values(), ids=REFUSALS.keys())
async def test_a_quote_that_cannot_be_made_is_refused_with_a_sentence_that_says_what_would_be_right(
    desk: Desk, partner: Partner, ask: Any, code: str, fields: tuple[str, ...], sentence: str
) -> None:
    document = await refused(desk, partner, ask, 422, code, *fields)
    assert sentence in document["detail"]


async def test_without_a_fresh_rate_no_quote_is_made(desk: Desk, partner: Partner) -> None:
    with desk.later(timedelta(hours=2, seconds=1)):
        document = await refused(desk, partner, ASK, 503, "rate_unavailable")
    assert document["detail"] == "There is no current exchange rate for KES. Try again in a few minutes."


@pytest.mark.parametrize("authorization", [None, "Bearer", "Bearer x.y.z", "Basic x", "Token x", "Bearer " + "x" * 5000])
async def test_without_a_token_of_ours_there_is_no_quote(desk: Desk, authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    async with desk.nothing_written():
        answer = await desk.client.post("/v1/quotes", json=ASK, headers=headers)
    problem(answer, 401, "invalid_token")
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_a_token_in_the_address_twice_or_under_another_scheme_is_no_token(desk: Desk, partner: Partner) -> None:
    (header,) = desk.headers(partner).items()
    token = header[1].removeprefix("Bearer ")
    problem(await desk.client.post(f"/v1/quotes?access_token={token}", json=ASK), 401, "invalid_token")
    problem(await desk.client.post("/v1/quotes", json=ASK, headers=[header, header]), 401, "invalid_token")
    for scheme in ("Token", "Basic", ""):
        headers = {"Authorization": f"{scheme} {token}"}
        problem(await desk.client.post("/v1/quotes", json=ASK, headers=headers), 401, "invalid_token")


async def test_a_token_is_good_for_fifteen_minutes(desk: Desk, partner: Partner) -> None:
    headers = desk.headers(partner)
    with desk.later(timedelta(minutes=14)):
        assert (await desk.client.post("/v1/quotes", json=ASK, headers=headers)).status_code == 201
    with desk.later(timedelta(minutes=16)):
        problem(await desk.client.post("/v1/quotes", json=ASK, headers=headers), 401, "invalid_token")


async def test_the_corridors_are_the_words_and_limits_of_a_quote(desk: Desk, partner: Partner) -> None:
    document = (await desk.client.get("/v1/corridors", headers=desk.headers(partner))).json()
    assert document["receive"] == [
        {
            "country": "KE",
            "currency": "KES",
            "method": "mobile_money",
            "min": "10.00",
            "max": "250000.00",
            "step": "1.00",
            "institutions": [],
            "economy": {"fee": "10.00", "every_s": 3600, "next_drop_at": "2026-11-22T12:00:00Z"},
        }
    ]
    assert document["send"][0] == {
        "chain": "dev",
        "chain_id": 31337,
        "asset": "USDC",
        "address": "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913",
        "decimals": 6,
    }
    coin, corridor = document["send"][0], document["receive"][0]
    for amount in (corridor["min"], corridor["max"]):
        receive = {name: corridor[name] for name in RECEIVE} | {"amount": amount}
        made = await desk.quote(partner, {"send": {name: coin[name] for name in SEND}, "receive": receive})
        assert made.status_code == 201, made.text


async def test_the_corridors_are_for_partners(desk: Desk) -> None:
    problem(await desk.client.get("/v1/corridors"), 401, "invalid_token")


async def test_who_was_revoked_or_disabled_is_refused_at_once_whatever_token_is_known(desk: Desk) -> None:
    for statement in (
        "UPDATE partner_clients SET revoked_at = now() WHERE partner_id = :id",
        "UPDATE partners SET disabled_at = now() WHERE id = :id",
    ):
        gone = await desk.partner(statement[:30])
        headers = desk.headers(gone)
        assert (await desk.client.post("/v1/quotes", json=ASK, headers=headers)).status_code == 201
        await desk.run(statement, id=gone.id)
        async with desk.nothing_written():
            problem(await desk.client.post("/v1/quotes", json=ASK, headers=headers), 401, "invalid_token")


async def test_many_at_once_are_made_in_few_transactions_and_everybody_gets_the_own(desk: Desk, partner: Partner) -> None:
    amounts = [str(10 + number) for number in range(60)]
    asks = [sending(amount) for amount in amounts] + [sending("none")] * 20
    before = (await desk.run("SELECT count(DISTINCT xmin::text) FROM quotes"))[0][0]
    answers = await asyncio.gather(*(desk.quote(partner, ask) for ask in asks))
    assert [answer.json()["send"]["amount"] for answer in answers[:60]] == [f"{amount}.000000" for amount in amounts]
    assert {answer.status_code for answer in answers[60:]} == {422}
    assert (await desk.run("SELECT count(DISTINCT xmin::text) FROM quotes"))[0][0] - before < 20


async def test_what_is_promised_already_limits_what_is_quoted_and_the_answer_says_when_to_come_back(desk: Desk) -> None:
    cap = Money.parse("50", DOLLARS)
    offer = replace(desk.gateway.offer, rules=replace(desk.gateway.offer.rules, exposure_cap=cap))
    eager = await desk.partner("Eager Exchange")
    async with AsyncExitStack() as stack:
        # Two, as if in two processes: each makes its own groups.
        transports = [httpx.ASGITransport(app=make_app(replace(desk.gateway, offer=offer))) for _ in range(2)]
        clients = [
            await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url=URL)) for transport in transports
        ]
        posts = (client.post("/v1/quotes", json=ASK, headers=desk.headers(eager)) for client in clients * 50)
        answers = await asyncio.gather(*posts)
    assert Counter(answer.status_code for answer in answers) == {201: 5, 429: 95}
    refused = next(answer for answer in answers if answer.status_code == 429)
    document = problem(refused, 429, "exposure_full", "/send/amount")
    assert document["detail"].startswith("50.00 USD of at most 50.00 USD are promised")
    assert 900 <= int(refused.headers["retry-after"]) <= 900 + 900 // 64


async def test_the_answer_is_what_its_description_says(desk: Desk, partner: Partner) -> None:
    made = await desk.quote(partner)
    assert QuoteOut.model_validate_json(made.content).model_dump_json() == made.text
    operation = desk.app.openapi()["paths"]["/v1/quotes"]["post"]
    assert operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("/QuoteBody")
    assert operation["responses"]["201"]["content"]["application/json"]["schema"]["$ref"].endswith("/QuoteOut")
    assert operation["security"] == [{"ClientCredentials": []}]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_quotes_are_only_posted(desk: Desk, partner: Partner, method: str) -> None:
    problem(await desk.client.request(method, "/v1/quotes", headers=desk.headers(partner)), 405, "method_not_allowed")


async def test_a_quote_without_a_body_is_asked_for_one(desk: Desk, partner: Partner) -> None:
    problem(await desk.client.post("/v1/quotes", headers=desk.headers(partner)), 422, "invalid_fields", "")
