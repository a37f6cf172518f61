"""`lastmile agents` and `lastmile fills`, as a person at a terminal and a program use them."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest
import typer
from sqlalchemy.ext.asyncio import AsyncEngine
from typer.testing import CliRunner

from gateway.agents.claims import find_claim
from gateway.agents.codes import find_code
from gateway.commands import agents, fills
from gateway.db.session import make_engine, transaction
from gateway.errors import Refusal
from gateway.fills.answers import accept
from gateway.fills.offers import Offer, find_fill, make_offer
from gateway.money import Money
from gateway.operators.accounts import add_operator
from gateway.partners.clients import add_partner
from tests.factories import KES, NOW
from tests.integration.agents.house import House
from tests.integration.agents.served import KEY

BY = ("--by", "amina", "--reason", "asked on the phone")


@pytest.fixture
def lastmile(database_url, monkeypatch):
    """The commands on this database, without all that they don't use."""

    def in_transaction(_config, _data, act):
        async def go():
            engine = make_engine(database_url)
            try:
                async with transaction(engine) as connection:
                    return await act(connection, SimpleNamespace(clock=lambda: NOW, fills=KEY))
            finally:
                await engine.dispose()

        return asyncio.run(go())

    app = typer.Typer()
    for name, module in (("agents", agents), ("fills", fills)):
        monkeypatch.setattr(module, "in_transaction", in_transaction)
        app.add_typer(module.app, name=name)

    def run(*arguments):
        done = CliRunner().invoke(app, arguments)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == 0, done.output
        return done.stdout.strip()

    return run


@asynccontextmanager
async def on(url):
    engine: AsyncEngine = make_engine(url)
    yield engine
    await engine.dispose()


def test_a_network_is_set_up_by_command(lastmile, database_url):
    async def operator():
        async with on(database_url) as engine, transaction(engine) as connection:
            await add_operator(connection, name="amina", password_hash="x", now=NOW)

    asyncio.run(operator())
    client = json.loads(lastmile("agents", "client", "own gateway", "--json"))
    assert client["client_id"].startswith("ncl_")
    first = json.loads(lastmile("agents", "fund", "own gateway", "5000", "KES", "--reference", "R1", "--json"))
    assert json.loads(lastmile("agents", "fund", "own gateway", "5", "KES", "--reference", "R2", "--json")) == first
    with pytest.raises(Refusal):
        lastmile("agents", "fund", "nobody", "5", "KES", "--reference", "R3")
    with pytest.raises(Refusal, match="is not an amount"):
        lastmile("agents", "fund", "own gateway", "5,000", "KES", "--reference", "R3")
    added = json.loads(lastmile("agents", "add", "kiosk.4", "--shop", "Gikomba, stall 4", "--json"))
    assert added["agent_id"].startswith("agt_")
    assert len(added["password"]) > 20
    assert added["password"] not in lastmile("agents", "list")
    lastmile("agents", "float", "kiosk.4", "50000", "KES")
    assert "owed 0.00 KES, reserved 0.00 KES, at most 50000.00 KES" in lastmile("agents", "list")
    lastmile("agents", "settle", "kiosk.4", "100", "KES", "--reference", "B1", *BY)
    lastmile("agents", "settle", "kiosk.4", "100", "KES", "--reference", "B1", *BY)
    assert "owed -100.00 KES" in lastmile("agents", "list")
    lastmile("agents", "disable", "kiosk.4", *BY)
    assert "disabled since" in lastmile("agents", "list")
    with pytest.raises(Refusal):
        lastmile("agents", "add", "Kiosk 4", "--shop", "x")


def test_a_claim_is_listed_and_released_by_a_person(lastmile, database_url):
    async def stock():
        async with on(database_url) as engine:
            house = House(engine)
            await house.stock()
            code, digits = await house.code()
            claimed = await house.claim(await house.agent(), digits)
            return house.client.client_id, code.id, claimed.id

    client, code, claimed = asyncio.run(stock())
    (line,) = [json.loads(each) for each in lastmile("agents", "claims", "--json").splitlines()]
    assert (line["claim"], line["state"], line["money"]) == (claimed, "reserved", "1000.00 KES")
    lastmile("agents", "release", claimed, *BY)
    lastmile("agents", "release", code, *BY)
    assert lastmile("agents", "claims") == ""

    async def after():
        async with on(database_url) as engine, transaction(engine) as connection:
            found = await find_code(connection, client_id=client, code_id=code, now=NOW)
            return (await find_claim(connection, claim_id=claimed)).state, found.state

    assert asyncio.run(after()) == ("released", "active")


def test_a_person_confirms_for_an_agent_who_cant(lastmile, database_url):
    async def stock():
        async with on(database_url) as engine:
            house = House(engine)
            await house.stock()
            _, digits = await house.code()
            return (await house.claim(await house.agent(), digits)).id

    claimed = asyncio.run(stock())
    with pytest.raises(Refusal, match="document"):
        lastmile("agents", "confirm", claimed, "--document", " ", *BY)
    for _ in range(2):
        lastmile("agents", "confirm", claimed, "--document", "passport A1234567", *BY)
    assert json.loads(lastmile("agents", "claims", "--all", "--json"))["state"] == "confirmed"
    assert "owed 1000.00 KES" in lastmile("agents", "list")
    with pytest.raises(Refusal, match="it is confirmed"):
        lastmile("agents", "release", claimed, *BY)


def test_fills_are_set_up_listed_and_closed_by_command(lastmile, database_url):
    first = json.loads(lastmile("fills", "clients", "add", "own gateway", "--json"))
    second = json.loads(lastmile("fills", "clients", "rotate", "own gateway", "--json"))
    assert first["client_id"] == second["client_id"]
    assert first["client_secret"] != second["client_secret"]
    with pytest.raises(Refusal):
        lastmile("fills", "clients", "add", "own gateway")

    async def stock():
        async with on(database_url) as engine, transaction(engine) as connection:
            await add_operator(connection, name="amina", password_hash="x", now=NOW)
            partner = (await add_partner(connection, name="Lagos", now=NOW)).partner_id
            offer = Offer(
                client_id=first["client_id"],
                reference="att_1",
                request_hash=bytes(32),
                partner_id=partner,
                money=Money.parse("5.00", KES),
                country="KE",
                method="bank",
                institution=None,
                account="1",
                holder="Ada",
                offered_for=NOW - NOW.replace(hour=1),
                fulfil_within=NOW - NOW.replace(hour=1),
            )
            fill, _ = await make_offer(connection, offer=offer, now=NOW)
            return (await accept(connection, partner_id=partner, fill_id=fill.id, now=NOW)).id

    fill_id = asyncio.run(stock())
    assert lastmile("fills", "list").startswith(f"{fill_id}  att_1")
    lastmile("fills", "declined", fill_id, *BY)
    assert lastmile("fills", "list") == ""

    async def after():
        async with on(database_url) as engine, transaction(engine) as connection:
            return (await find_fill(connection, fill_id=fill_id, now=NOW)).state

    assert asyncio.run(after()) == "declined"
