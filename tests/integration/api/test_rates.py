"""GET /v1/rates, and what quotes and orders are refused with while something is stopped: through the application."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.pricing.rule import RULE
from tests.factories import NOW
from tests.integration.api.desk import Desk, Partner, problem

pytestmark = pytest.mark.asyncio(loop_scope="module")
QUOTE = {
    "send": {"chain": "dev", "asset": "USDC", "amount": "10"},
    "receive": {"country": "KE", "currency": "KES", "method": "mobile_money"},
}
OPEN = {"state": "open", "breaker": None, "cause": None, "code": None, "reason": None, "since": None}
SECRET = "the treasurer doubts it"


async def rates(desk: Desk, partner: Partner) -> dict[str, Any]:
    answer = await desk.client.get("/v1/rates", headers=desk.headers(partner))
    assert answer.status_code == 200
    return dict(answer.json())


async def stop(desk: Desk, subject: str) -> None:
    await desk.run("INSERT INTO operators VALUES ('amina', 'x', now()) ON CONFLICT DO NOTHING")
    await desk.run(
        "INSERT INTO market_stops (breaker, subject, reason, since, stopped_by)"
        f" VALUES ('by_hand', '{subject}', '{SECRET}', '{NOW.isoformat()}', 'amina')"
    )


async def resume(desk: Desk) -> None:
    await desk.run("UPDATE market_stops SET lifted_at = since, lifted_by = 'amina' WHERE lifted_at IS NULL")


async def test_rates_are_for_partners(desk: Desk) -> None:
    assert problem(await desk.client.get("/v1/rates"), 401, "invalid_token")


async def test_rates_say_what_is_applied_where_and_that_par_is_assumed(desk: Desk, partner: Partner) -> None:
    told = await rates(desk, partner)
    coin = next(one for one in told["coins"] if one["asset"] == "USDC")
    assert coin == OPEN | {
        "asset": "USDC",
        "peg": "USD",
        "price": None,
        "worth": "1.00000000",
        "par_assumed": True,
        "as_of": None,
        "sources": [],
    }
    pair = next(one for one in told["rates"] if (one["asset"], one["currency"]) == ("USDC", "KES"))
    assert (pair["mid"], pair["sources"], pair["state"]) == ("129.20000000", ["one", "two"], "open")
    assert 0 < float(pair["confidence"]) <= 1
    way = next(one for one in pair["corridors"] if one["method"] == "mobile_money")
    assert way == OPEN | {"country": "KE", "method": "mobile_money", "applied": "127.90800000", "quote_holds_s": 900}


async def test_the_rule_for_money_in_flight_is_published_as_the_code_has_it(desk: Desk, partner: Partner) -> None:
    told = (await rates(desk, partner))["money_in_flight"]
    assert {(one["stopped"], one["stage"]): (one["treatment"], one["rule"]) for one in told} == dict(RULE)


async def test_what_is_stopped_says_so_and_quotes_are_refused_with_the_same_words(desk: Desk, partner: Partner) -> None:
    await stop(desk, "KE/KES/mobile_money")
    told = await rates(desk, partner)
    pair = next(one for one in told["rates"] if (one["asset"], one["currency"]) == ("USDC", "KES"))
    way = next(one for one in pair["corridors"] if one["method"] == "mobile_money")
    assert (way["state"], way["breaker"], way["cause"], way["applied"]) == ("stopped", "by_hand", "corridor", None)
    assert (pair["mid"], pair["state"]) == ("129.20000000", "open")
    answer = await desk.client.post("/v1/quotes", json=QUOTE, headers=desk.headers(partner))
    assert (answer.status_code, answer.json()["code"]) == (409, way["code"])
    assert answer.json()["detail"] == way["reason"]
    assert SECRET not in f"{told} {answer.text}"  # what operators write is for operators
    await resume(desk)
    answer = await desk.client.post("/v1/quotes", json=QUOTE, headers=desk.headers(partner))
    assert answer.status_code == 201


async def test_a_halted_coin_is_refused_with_the_field_that_chose_it(desk: Desk, partner: Partner) -> None:
    await stop(desk, "USDC")
    answer = await desk.client.post("/v1/quotes", json=QUOTE, headers=desk.headers(partner))
    assert (answer.status_code, answer.json()["code"]) == (409, "coin_halted")
    assert [fault["field"] for fault in answer.json()["errors"]] == ["/send/asset"]
    coin = next(one for one in (await rates(desk, partner))["coins"] if one["asset"] == "USDC")
    assert (coin["state"], coin["cause"], coin["worth"], coin["par_assumed"]) == ("stopped", "coin", None, False)
    await resume(desk)
