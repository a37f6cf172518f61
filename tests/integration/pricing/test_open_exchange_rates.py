"""The source against its simulator, over real HTTP; also what a broken server may send."""

from __future__ import annotations

import asyncio
import gzip
import logging
import socket
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from fractions import Fraction

import pytest

from gateway.pricing.sources import BODY_MOST, SourceFault

APP_ID = "0123456789abcdef0123456789abcdef"


async def test_the_price_set_is_the_price_read(simulator):
    simulator.tell("rates", {"KES": "128.7300000000000001"})
    (price,) = await simulator.source().fetch(simulator.now)
    assert (price.source, price.base, price.quote) == ("oxr", "USD", "KES")
    assert price.price == Fraction("128.7300000000000001")
    assert price.as_of == simulator.now


async def test_a_currency_that_open_exchange_rates_does_not_have_is_named(simulator):
    with pytest.raises(SourceFault, match="its rate of XXX is missing"):
        await simulator.source(currencies=("KES", "XXX")).fetch(simulator.now)


async def test_a_frozen_source_ages_until_it_is_refused(simulator):
    simulator.tell("faults", {"frozen": True})
    frozen_at = simulator.now
    simulator.now += timedelta(hours=2)
    assert (await simulator.source().fetch(simulator.now))[0].as_of == frozen_at
    simulator.now += timedelta(seconds=1)
    with pytest.raises(SourceFault, match="more than 2:00:00 ago"):
        await simulator.source().fetch(simulator.now)
    simulator.tell("faults", {})
    assert (await simulator.source().fetch(simulator.now))[0].as_of == simulator.now


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"app_id": "f" * 31}, r"the app_id is refused \(401\)"),
        ({"base": "EUR"}, r"the plan does not allow this request, or no more of them \(429\)"),
    ],
)
async def test_a_refused_request_says_what_to_check(simulator, changes, sentence):
    with pytest.raises(SourceFault, match=sentence):
        await simulator.source(**changes).fetch(simulator.now)


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ({"status": 500}, "answered with HTTP status 500"),
        ({"status": 403}, r"access is restricted \(403\)"),
        ({"status": 304}, "answered with HTTP status 304"),
        ({"body": "<html>Hello</html>"}, "this is not a JSON object"),
        ({"body": ""}, "this is not a JSON object"),
        ({"body": '{"base": "USD", "timestamp": 1795348800, "rates": {"KES": NaN}}'}, "its rate of KES is missing or no"),
        ({"body": " " * (BODY_MOST + 1)}, "the answer is longer than 1000000 bytes"),
    ],
)
async def test_garbage_is_refused_with_a_sentence(simulator, fault, sentence):
    simulator.tell("faults", fault)
    with pytest.raises(SourceFault, match=f"^rate source oxr: {sentence}"):
        await simulator.source().fetch(simulator.now)


async def test_a_slow_source_is_given_up(simulator):
    simulator.tell("faults", {"delay_ms": 1000})
    with pytest.raises(SourceFault, match=r"no (whole )?answer"):
        await simulator.source(timeout=timedelta(milliseconds=100)).fetch(simulator.now)


@asynccontextmanager
async def raw_server(*chunks: bytes, pause: float = 0, requests: list[bytes] | None = None):
    """A server that says these bytes, one chunk after the other, whatever it is asked."""

    served = []

    async def answer(reader, writer):
        served.append(asyncio.current_task())
        with suppress(ConnectionError):
            request = await reader.readuntil(b"\r\n\r\n")
            if requests is not None:
                requests.append(request)
            for chunk in chunks:
                writer.write(chunk)
                await writer.drain()
                await asyncio.sleep(pause)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await asyncio.gather(*served)


async def test_a_source_that_drips_is_given_up_as_a_whole(simulator):
    drops = [b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"] + [b" "] * 200
    async with raw_server(*drops, pause=0.02) as base_url:
        with pytest.raises(SourceFault, match=r"no whole answer within 0\.2 seconds"):
            await simulator.source(base_url=base_url, timeout=timedelta(milliseconds=200)).fetch(simulator.now)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
async def test_what_is_no_http_is_refused(simulator, answer):
    async with raw_server(answer) as base_url:
        with pytest.raises(SourceFault, match=f"no answer from {base_url}: RemoteProtocolError"):
            await simulator.source(base_url=base_url).fetch(simulator.now)


async def test_a_compressed_answer_is_not_unpacked_whatever_it_holds(simulator):
    packed = gzip.compress(b'{"base": "USD", "timestamp": 1795348800, "rates": {"KES": 129.2}}')
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n"
    requests: list[bytes] = []
    async with raw_server(head.encode() + packed, requests=requests) as base_url:
        with pytest.raises(SourceFault, match="this is not a JSON object"):
            await simulator.source(base_url=base_url).fetch(simulator.now)
    assert b"\r\nAccept-Encoding: identity\r\n" in requests[0]


async def test_what_is_asked_is_what_is_documented(simulator):
    requests: list[bytes] = []
    async with raw_server(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", requests=requests) as base_url:
        with pytest.raises(SourceFault):
            await simulator.source(base_url=base_url, currencies=("KES", "UGX")).fetch(simulator.now)
    assert requests[0].startswith(b"GET /api/latest.json?base=USD&symbols=KES%2CUGX HTTP/1.1\r\n")
    assert f"\r\nAuthorization: Token {APP_ID}\r\n".encode() in requests[0]


async def test_a_redirect_is_not_followed_with_our_app_id(simulator):
    location = f"Location: {simulator.base_url}/api/latest.json".encode()
    async with raw_server(b"HTTP/1.1 302 Found\r\n" + location + b"\r\nContent-Length: 0\r\n\r\n") as base_url:
        with pytest.raises(SourceFault, match="answered with HTTP status 302"):
            await simulator.source(base_url=base_url).fetch(simulator.now)


async def test_nobody_there_is_said(simulator):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        base_url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        with pytest.raises(SourceFault, match=f"no answer from {base_url}: ConnectError"):
            await simulator.source(base_url=base_url).fetch(simulator.now)


async def test_this_machine_is_never_asked_through_a_proxy(simulator, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert await simulator.source().fetch(simulator.now)


@pytest.mark.parametrize("fault", [{}, {"status": 500}, {"body": "x"}, {"delay_ms": 1000}])
async def test_the_app_id_is_in_no_log_and_no_error(simulator, caplog, fault):
    caplog.set_level(logging.DEBUG)
    simulator.tell("faults", fault)
    source = simulator.source(timeout=timedelta(milliseconds=200))
    said = repr(source)
    try:
        await source.fetch(simulator.now)
    except SourceFault as error:
        said += f"{error!r} {error.__cause__!r}"
    assert "GET" in caplog.text
    assert APP_ID not in caplog.text + said


def test_the_simulator_takes_the_app_id_in_the_address_as_well(simulator):
    assert simulator.client.get("/api/latest.json", params={"app_id": APP_ID}).json() == {
        "disclaimer": "simulated",
        "license": "simulated",
        "timestamp": 1795348800,
        "base": "USD",
        "rates": {"GHS": 15.3, "KES": 129.2, "NGN": 1540.5, "UGX": 3650, "ZAR": 18.15},
    }


def test_the_address_goes_before_the_header(simulator):
    answer = simulator.client.get(
        "/api/latest.json", params={"app_id": "wrong"}, headers={"Authorization": f"Token {APP_ID}"}
    )
    assert (answer.status_code, answer.json()["message"]) == (401, "invalid_app_id")


def test_without_an_app_id_the_simulator_says_so(simulator):
    answer = simulator.client.get("/api/latest.json")
    assert (answer.status_code, answer.json()["message"]) == (401, "missing_app_id")


@pytest.mark.parametrize(
    ("what", "document"),
    [("rates", {"KES": "-1"}), ("rates", {"KES": 129.2}), ("rates", {'K"S': "1"}), ("faults", {"frozzen": True})],
)
def test_the_simulator_refuses_orders_it_does_not_understand(simulator, what, document):
    assert simulator.tell(what, document).status_code == 422


def test_the_simulators_rates_can_be_read(simulator):
    simulator.tell("rates", {"KES": "130.05"})
    assert simulator.client.get("/_sim/rates").json()["KES"] == "130.05"
