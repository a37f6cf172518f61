"""One remittance through each rail, in the demo's own processes: public API, deposit on chain, the rail's simulator."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import entry_points
from itertools import count
from typing import Any

import httpx
import phonenumbers
import psycopg
import pytest

from gateway.clock import system_clock
from gateway.contract.harness import Rail
from gateway.money import Asset, Money
from gateway.offramp import AdapterContext, Corridor, Destination, Instruction, Outcome, Pickup, Report
from gateway.orders.accounts import BY_PHONE
from tests.e2e.conftest import Demo, data_with_tools, start_demo, stop_demo

CONTRACTS = {point.name: point for point in entry_points(group="lastmile.contracts")}
WITHIN_S = 60
_numbers = count(1)


@pytest.fixture(scope="module")
def all_rails(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    running = start_demo(data_with_tools(tmp_path_factory.mktemp("rails")), rails="all")
    yield running
    stop_demo(running)


@pytest.fixture(scope="module")
def partner(all_rails: Demo) -> Iterator[httpx.Client]:
    made = json.loads(all_rails.run("partner", "add", "Exchange", "--json"))
    form = {key: made[key] for key in ("client_id", "client_secret")}
    with httpx.Client(base_url=all_rails.url, timeout=30) as client:
        answer = client.post("/oauth/token", data={"grant_type": "client_credentials", **form})
        client.headers["authorization"] = f"Bearer {answer.raise_for_status().json()['access_token']}"
        yield client


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", sorted(CONTRACTS))
def test_an_order_is_paid_through_each_rail(name: str, all_rails: Demo, partner: httpx.Client) -> None:
    contract = CONTRACTS[name].load()()
    simulator = all_rails.simulator(name)
    settings = httpx.get(f"{simulator}/_sim/settings").json()
    context = AdapterContext(name=name, settings=settings, callback_address=lambda *_: "http://x/", clock=system_clock)
    corridor = next(each for each in type(contract).factory(context).capabilities.corridors if offered(partner, each))
    to = reachable(contract.destination(corridor, 9_000 + next(_numbers)))
    only(all_rails, name)
    quote = post(partner, "/v1/quotes", {"send": COIN, "receive": receive(corridor)})
    body = {"quote_id": quote["id"], "recipient": recipient(to, wallets=wallets(partner, corridor))}
    order = post(partner, "/v1/orders", body)
    all_rails.send(order["deposit"]["address"], Money.parse(order["deposit"]["amount"], USDC).units)
    with httpx.Client(base_url=simulator, timeout=30) as client:
        contract._rail = Rail(simulator, client)
        done = delivered(all_rails, partner, order["id"], contract, corridor, to)
    assert (done["status"], done["rail"]) == ("delivered", name), attempts(all_rails, order["id"])
    paid = [
        each for each in httpx.get(f"{simulator}/_sim/payouts").json() if each["account"] == contract.account_at_rail(to)
    ]
    assert [(each["amount"], each["times"]) for each in paid] == [(done["receive"]["amount"], 1)]


COIN = {"chain": "devchain", "asset": "USDC"}
USDC = Asset("USDC", 6)


def reachable(to: Destination) -> Destination:
    """The same with a number that its country really has, where the simulator is content with less."""
    if to.method not in BY_PHONE or phonenumbers.is_valid_number(phonenumbers.parse(to.account)):
        return to
    like = phonenumbers.example_number_for_type(to.country, phonenumbers.PhoneNumberType.MOBILE)
    number = phonenumbers.format_number(like, phonenumbers.PhoneNumberFormat.E164)
    return replace(to, account=f"{number[:-3]}{next(_numbers):03}")


def offered(partner: httpx.Client, corridor: Corridor) -> bool:
    place = (corridor.country, corridor.asset.code, str(corridor.method))
    there = partner.get("/v1/corridors").json()["receive"]
    return place in {(each["country"], each["currency"], each["method"]) for each in there}


def receive(corridor: Corridor) -> dict[str, str]:
    """Something above the least that every rail of the corridor takes: a hundred steps more."""
    amount = corridor.least + Money(100 * corridor.step.units, corridor.asset)
    place = {"country": corridor.country, "currency": corridor.asset.code, "method": str(corridor.method)}
    return place | {"amount": min(amount, corridor.most).decimal()}


def wallets(partner: httpx.Client, corridor: Corridor) -> list[str]:
    """The banks or wallets that all rails of the corridor reach together."""
    place = (corridor.country, corridor.asset.code, str(corridor.method))
    for each in partner.get("/v1/corridors").json()["receive"]:
        if (each["country"], each["currency"], each["method"]) == place:
            return [one["code"] for one in each["institutions"]]
    return []


def recipient(to: Destination, *, wallets: list[str]) -> dict[str, Any]:
    field = "phone" if to.method in BY_PHONE else "account"
    wanted = to.institution or (wallets[0] if len(wallets) > 1 else None)
    named = {} if wanted is None else {"institution": wanted}
    return {"name": "Wanjiku Kamau", field: to.account} | named


def post(partner: httpx.Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = partner.post(path, json=body, headers={"Idempotency-Key": f"{path}-{next(_numbers)}"})
    assert answer.is_success, answer.text
    return answer.json()


def only(demo: Demo, name: str) -> None:
    """Stop every rail but one, as an operator would, so that the choice is ours."""
    with psycopg.connect(demo.database) as connection:
        known = connection.execute("SELECT count(*) FROM operators WHERE name = 'tester'").fetchone()
        if known == (0,):
            connection.execute("INSERT INTO operators (name, password_hash, created_at) VALUES ('tester', 'x', now())")
        connection.execute("UPDATE rail_states SET state = 'closed', stopped_by = NULL WHERE stopped_by = 'tester'")
        for rail in CONTRACTS:
            if rail != name:
                connection.execute(
                    "INSERT INTO rail_states (rail, state, stopped_by, since) VALUES (%s, 'stopped', 'tester', now())"
                    " ON CONFLICT (rail) DO UPDATE SET state = 'stopped', stopped_by = 'tester'",
                    (rail,),
                )
        connection.execute("NOTIFY orders")


def attempts(demo: Demo, order_id: str) -> list[tuple[Any, ...]]:
    """What the rails said: the attempts of an order, oldest first."""
    wanted = "SELECT id, adapter, outcome, fault, reason, evidence FROM attempts WHERE order_id = %s ORDER BY id"
    with psycopg.connect(demo.database) as connection:
        return connection.execute(wanted, (order_id,)).fetchall()


def delivered(
    demo: Demo, partner: httpx.Client, order_id: str, contract: Any, corridor: Corridor, to: Destination
) -> dict[str, Any]:
    """Wait until the order is delivered; cash is collected with the code that the order shows."""
    ends = time.monotonic() + WITHIN_S
    while True:
        order = partner.get(f"/v1/orders/{order_id}").json()
        if order["status"] == "delivered" or time.monotonic() > ends:
            return order
        if order["pickup"]:
            deliver = Money.parse(order["receive"]["amount"], corridor.asset)
            code = order["pickup"]["code"]
            report = Report(outcome=Outcome.AVAILABLE, provider_ref="shown", pickup=Pickup(code=code))
            instruction = Instruction(attempt_id=attempts(demo, order_id)[-1][0], deliver=deliver, to=to)
            asyncio.run(contract.collect(contract._rail, instruction, report))
        time.sleep(0.2)
