"""`lastmile chain`, as a person at a terminal and a program use it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner

import gateway
from gateway.chain.resume import NotHalted
from gateway.chain.watcher import Watcher
from gateway.chain.watchlist import Watchlist
from gateway.chain.wire import NodeFault
from gateway.clock import system_clock
from gateway.commands.chain import ProvidersDisagree, UnknownChain, app
from gateway.config import load
from gateway.db.session import make_engine
from gateway.wiring import chain_terms
from tests.integration.chain.desk import catch_up
from tests.unit.chain.fake_chain import FakeChain, address, quorum_of, transfer, word

EXAMPLE = Path(gateway.__file__).parent / "lastmile.example.toml"
ENVIRONMENT = {
    "LASTMILE_CHAINS__0__TREASURY": "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
    "LASTMILE_PRICING__SOURCES__0__APP_ID": "a" * 32,
    "LASTMILE_ADAPTERS__MPESA__CERTIFICATE": "x",
}
OURS = address("ours")
BY = ("--by", "amina", "--reason", "compared with others")


@pytest.fixture
def terms(monkeypatch, database_url):
    for name, value in {**ENVIRONMENT, "LASTMILE_DATABASE__URL": database_url}.items():
        monkeypatch.setenv(name, value)
    return chain_terms(load(path=EXAMPLE, environment={**ENVIRONMENT, "LASTMILE_DATABASE__URL": database_url}).chains[0])


@pytest.fixture
def chain(terms, database_url, monkeypatch):
    """Base, as three nodes tell of it, with one deposit of ours in block 10; not watched yet."""
    chain = FakeChain(blocks=10)
    chain.chain_id = terms.chain_id
    token = next(iter(terms.tokens))
    chain.mine(transfer(to=OURS, token=token, units=7, tx=word("lost")), blocks=10)
    nodes = [chain.twin() for _ in terms.rpc]
    for node in nodes:
        node.chain_id = terms.chain_id
    chain.nodes = nodes
    monkeypatch.setattr("gateway.chain.quorum.connect_all", lambda _terms: quorum_of(*nodes, quorum=terms.quorum))
    with psycopg.connect(database_url) as connection:
        connection.execute("INSERT INTO operators VALUES ('amina', 'x', now(), NULL)")
        connection.execute("INSERT INTO assets VALUES (%s, 6)", (terms.tokens[token].code,))
        connection.execute(
            "INSERT INTO deposit_addresses (address, factory, salt, owner, created_at) "
            "VALUES (%s, '0x', 's', 'ord_1', now())",
            (OURS,),
        )
    return chain


@pytest.fixture
def watch(terms, chain, database_url):
    def run():
        async def go():
            engine, quorum = make_engine(database_url), quorum_of(*chain.nodes, quorum=terms.quorum)
            watched = Watchlist(engine)
            try:
                await catch_up(Watcher(terms=terms, quorum=quorum, engine=engine, clock=system_clock, watched=watched))
                await quorum.settle()
            finally:
                await quorum.close()
                await engine.dispose()

        asyncio.run(go())

    return run


@pytest.fixture
def lastmile(chain, tmp_path):  # noqa: ARG001 - the settings and the database are there
    def run(*arguments):
        done = CliRunner().invoke(app, [*arguments, "--config", str(EXAMPLE), "--data", str(tmp_path)])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done

    return run


def test_status_of_a_chain_that_nobody_watched(lastmile):
    assert lastmile("status").stdout == "base: not watched yet\n"
    assert json.loads(lastmile("status", "--json").stdout) == {"name": "base", "state": None, "providers": []}


def test_status_names_who_keeps_a_chain_from_beginning(lastmile, watch, chain):
    for node in chain.nodes[:2]:
        node.chain_id = 5
    with pytest.raises(NodeFault):
        watch()
    text = lastmile("status").stdout
    assert text.startswith("base: nothing scanned yet\n")
    assert text.count("demoted: the node serves the chain with id 5") == 2
    document = json.loads(lastmile("status", "--json").stdout)
    assert (document["state"], [one["trusted"] for one in document["providers"]]) == (None, [False, False, True])


def test_status_says_where_the_chain_stands_and_what_we_think_of_each_provider(lastmile, watch, database_url):
    watch()
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE chain_cursors SET waiting = 'for b', halted = 'by hand'")
        connection.execute("UPDATE chain_providers SET state = 'demoted', reason = 'lags' WHERE name = 'b'")
    text = lastmile("status").stdout
    assert "base: scanned up to block 19, final up to 15; 0 blocks behind" in text
    assert "HALTED: by hand" in text
    assert "waiting: for b" in text
    assert "a: trusted since" in text
    assert "b: demoted: lags since" in text
    document = json.loads(lastmile("status", "--json").stdout)
    assert (document["state"]["cursor"], document["state"]["lag"], document["state"]["halted"]) == (19, 0, "by hand")
    assert {one["name"]: one["trusted"] for one in document["providers"]} == {"a": True, "b": False, "c": True}


def test_scan_adds_what_is_missing_and_says_so(lastmile, watch, database_url):
    watch()
    done = lastmile("scan", "base", "--from", "0", "--to", "15", "--json")
    summary = json.loads(done.stdout)
    assert summary == {"chain": "base", "from": 0, "to": 15, "found": 1, "added": 1, "differences": []}
    assert "up to block 15 (100 %), 1 added" in done.stderr
    assert lastmile("scan", "base", "--from", "0", "--to", "15").stdout == "base: 1 deposits found, 0 of them added\n"
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT address, units, status FROM deposits").fetchall() == [(OURS, 7, "final")]


def test_scan_names_differences_and_ends_with_one(lastmile, watch, database_url):
    watch()
    lastmile("scan", "base", "--from", "0", "--to", "15")
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE deposits SET units = 8")
    done = lastmile("scan", "base", "--from", "0", "--to", "15")
    assert done.exit_code == 1
    assert "units is 8 here and 7 in the chain" in done.stdout


def test_resume_shows_what_it_found_and_goes_on(lastmile, watch, chain, database_url):
    watch()
    lastmile("scan", "base", "--from", "0", "--to", "15")
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE deposits SET booked = 'final'")
    was = chain.of(15)["hash"]
    chain.reorg(12)
    chain.mine(blocks=30)
    watch()
    with pytest.raises(NotHalted):
        lastmile("resume", "base", *BY) and lastmile("resume", "base", *BY)
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT halted FROM chain_cursors").fetchall() == [(None,)]
        assert connection.execute("SELECT kind, order_id FROM incidents").fetchall() == [("final_deposit_vanished", "ord_1")]
        ((detail,),) = connection.execute("SELECT detail FROM operator_actions").fetchall()
    assert detail["was_final"] == f"15 {was}"
    assert detail["is_now"] == f"15 {chain.of(15)['hash']}"
    watch()
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT hash FROM chain_cursors").fetchall() == [(chain.of(chain.head)["hash"],)]


def test_an_unknown_chain_and_silent_providers_are_sentences(lastmile, watch, chain):
    with pytest.raises(UnknownChain, match='no chain is named "bass"; there are: base'):
        lastmile("scan", "bass", "--from", "0", "--to", "1")
    watch()
    for node in chain.nodes:
        node.lies["eth_getLogs"] = lambda _: None
    with pytest.raises(ProvidersDisagree, match="Nothing more was done"):
        lastmile("scan", "base", "--from", "0", "--to", "15")
