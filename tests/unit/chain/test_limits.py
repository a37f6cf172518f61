"""What providers say when they refuse: their own words, as collected in 2025 and 2026."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from gateway.chain.limits import refusal, suggested_width
from gateway.chain.wire import NodeFault, Throttled, TooMuchAsked
from tests.unit.chain.test_wire import JSON

ASKED = 5_000_000


def error(message: str, code: int = -32602, **more: Any) -> dict[str, Any]:
    return {"code": code, "message": message, **more}


def read(answer: object, *, asked: int | None = ASKED) -> NodeFault:
    return refusal(answer, sentence="eth_getLogs: no", asked=asked)


WIDTHS: dict[str, tuple[dict[str, Any], int]] = {
    "Alchemy": (
        error(
            "Log response size exceeded. You can make eth_getLogs requests with up to a 2K block range and no limit on the "
            "response size, or you can request any block range with a cap of 10K logs in the response. Based on your "
            "parameters and the response size limit, this block range should work: [0x0, 0xd043b8]"
        ),
        0xD043B9,
    ),
    "Alchemy, free": (
        error(
            "Under the Free tier plan, you can make eth_getLogs requests with up to a 10 block range. Based on your "
            "parameters, this block range should work: [0x14b3c40, 0x14b3c49]. Upgrade to PAYG for expanded block range."
        ),
        10,
    ),
    "Infura": (
        error(
            "query returned more than 10000 results. Try with this block range [0xBDE5F8, 0x102DBCC].",
            -32005,
            data={"from": "0xBDE5F8", "to": "0x102DBCC", "limit": 10000},
        ),
        0x102DBCC - 0xBDE5F8 + 1,
    ),
    "Infura, words only": (
        error("query returned more than 10000 results. Try with this block range [0xBDE5F8, 0x102DBCC].", -32005),
        0x102DBCC - 0xBDE5F8 + 1,
    ),
    "Infura, data only": (error("limit exceeded", -32005, data={"from": "0x10", "to": "0x1f", "limit": 10000}), 16),
    "QuickNode": (error("eth_getLogs is limited to a 10,000 range", -32614), 9_999),
    "QuickNode, trial": (error("eth_getLogs is limited to a 5 range", -32614), 4),
    "Ankr": (error("block range is too wide: maximum [from, to] blocks distance: 3000", -32600), 2_999),
    "Cloudflare": (error("Max range: 800"), 799),
    "thirdweb": (error("Maximum allowed number of requested blocks is 1000", -32012), 999),
    "BlockPI": (error("eth_getLogs is limited to 1024 block range. Please check the parameter requirements"), 1_023),
    "dRPC": (error("ranges over 10000 blocks are not supported on freetier", 35), 9_999),
    "publicnode": (error("maximum block range: 50000", -32701), 49_999),
    "Merkle": (error("eth_getLogs range is too large, max is 1k blocks", -32603), 999),
    "Coinbase": (error("please limit the query to at most 1000 blocks"), 999),
    "Avalanche": (error("requested too many blocks from 100 to 5000, maximum is set to 2048", -32000), 2_047),
    "reth, range": (error("query exceeds max block range 100000"), 99_999),
    "reth, results": (error("query exceeds max results 20000, retry with the range 23879634-23879696"), 63),
    "Blast": (error("eth_getLogs exceeds the range allowed for your plan (5000 > 1000)", -32600), 999),
    "Infura, free": (error("range 1000000 exceeds limit of 10000"), 9_999),
    "HECO": (error("eth_getLogs block range too large, range: 855077, max: 3500", -32000), 3_499),
    "one block": (error("max range: 1"), 1),
    "none at all": (error("max range: 0"), 1),
}


@pytest.mark.parametrize(("answer", "width"), WIDTHS.values(), ids=WIDTHS)
def test_a_provider_s_words_say_how_wide_the_next_range_may_be(answer: dict[str, Any], width: int) -> None:
    fault = read(answer, asked=30_000_000)
    assert isinstance(fault, TooMuchAsked)
    assert fault.suggested == width == suggested_width(answer)


@pytest.mark.parametrize(("answer", "width"), WIDTHS.values(), ids=WIDTHS)
def test_a_width_that_isn_t_narrower_than_what_was_asked_is_no_suggestion(answer: dict[str, Any], width: int) -> None:
    for asked in (width, 1):
        fault = read(answer, asked=asked)
        assert isinstance(fault, TooMuchAsked)
        assert fault.suggested is None


HALVED = {
    "Ankr, results": error("query returned too many logs: more than 200000 logs in the response", -32600),
    "Chainstack": error("Block range limit exceeded. See more details at the documentation"),
    "Infura, no range": error("query returned more than 10000 results", -32005),
    "geth": error("query timeout exceeded", -32002),
    "erigon": error("query returned too many results, maximum 10000 logs", -32005),
    "a size": error("response is too large", -32008),
    "our own proxy": error("narrower please"),
    "an empty message": {"code": -32000},
    "words": "backend error",
    "a backwards range": error("this block range should work: [0x10, 0xf]"),
    "a silly range": error("too many results", data={"from": [], "to": 7}),
}


@pytest.mark.parametrize("answer", HALVED.values(), ids=HALVED)
def test_a_refusal_without_a_number_halves(answer: object) -> None:
    fault = read(answer)
    assert isinstance(fault, TooMuchAsked)
    assert fault.suggested is None


RATES = {
    "Infura, day": error("daily request count exceeded, request rate limited", -32005),
    "Infura, project": error("project ID request rate exceeded", -32005),
    "Alchemy": error("Your app has exceeded its compute units per second capacity. If you have retries enabled", 429),
    "QuickNode": error("50/second request limit reached - reduce calls per second or upgrade your account", -32007),
    "Ankr": error("Too many requests, rate limit is 30 per second", -32090),
    "dRPC": error("You've reached the quota limit for your current plan", 15),
    "BNB": error("limit exceeded", -32005),
    "BNB, per method": error("method eth_getLogs in batch triggered rate limit", -32005),
    "publicnode": error("slow down", -32029),
}


@pytest.mark.parametrize("answer", RATES.values(), ids=RATES)
def test_too_many_questions_are_another_matter_than_too_wide_ones(answer: object) -> None:
    assert isinstance(read(answer), Throttled)
    assert isinstance(read(answer, asked=None), Throttled)


OTHERS = {
    "no such method": error("the method eth_getLogs does not exist/is not available", -32601),
    "no such method, by its code": error("no", -32601),
    "disabled": error("eth_getLogs is disabled on this endpoint", -32000),
    "unsupported": error("method not supported", -32004),
    "no key": error("Must be authenticated!", -32600),
    "wrong key": error("invalid api key", -32000),
    "forbidden": error("403 Forbidden", -32000),
    "unknown block": error("unknown block", -32000),
    "header": error("header not found", -32000),
    "pruned": error("history has been pruned for this block", 4444),
}


@pytest.mark.parametrize("answer", OTHERS.values(), ids=OTHERS)
def test_what_no_narrower_range_cures_says_so(answer: object) -> None:
    assert type(read(answer)) is NodeFault


@pytest.mark.parametrize("answer", [*HALVED.values(), *(answer for answer, _ in WIDTHS.values())], ids=str)
def test_a_question_about_something_else_has_no_range(answer: object) -> None:
    assert not isinstance(read(answer, asked=None), TooMuchAsked)


@given(JSON)
def test_any_error_is_some_fault(answer: object) -> None:
    fault = read(answer)
    assert str(fault) == "eth_getLogs: no"
    assert not isinstance(fault, TooMuchAsked) or fault.suggested is None or 1 <= fault.suggested < ASKED
