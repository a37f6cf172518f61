"""/metrics: values from the database, few labels, bounded cost, and only for who may ask."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.api import metrics
from gateway.api.measures import MEASURES
from gateway.api.metrics import metrics_router, read_measures
from gateway.chain.models import ChainBlock
from gateway.db.session import make_engine, transaction
from gateway.ledger.freezes import FreezeKind, freeze_asset
from gateway.ledger.post import Entry, Transfer, post
from gateway.money import Money
from gateway.operators.incidents import Alarm, open_incidents
from tests.factories import NOW, USDC, make_deposit, make_orders
from tests.integration.api.test_health import put_chain, put_provider, services, terms
from tests.integration.desk.office import Office, offer, stock

LOCAL = ("127.0.0.1", 5000)
TOKEN = "0123456789abcdef"


def asked(engine: AsyncEngine, *, client: tuple[str, int] = LOCAL, token: str | None = None) -> httpx.AsyncClient:
    app = FastAPI()
    app.include_router(metrics_router(services(engine, terms(), metrics_token=token)))
    transport = httpx.ASGITransport(app=app, client=client)
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000")


async def scrape(engine: AsyncEngine) -> dict[str, float]:
    """Samples by name and labels, as in `lastmile_orders{state="held"}`."""
    async with asked(engine) as client:
        answer = await client.get("/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=")
    found = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sample.labels.items())
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


async def test_each_chain_and_each_provider_is_measured(engine):
    await put_chain(engine, at=NOW - timedelta(seconds=30), waiting="too few agree")
    await put_provider(engine, "one.example", faults=2, asked_at=NOW - timedelta(seconds=4))
    await put_provider(engine, "two.example", reason="lags", head=900, faults=7, asked_at=NOW - timedelta(seconds=9))
    async with transaction(engine) as connection:
        block = {"chain_id": 31337, "number": 70, "hash": "0x70", "parent_hash": "0x69"}
        await connection.execute(ChainBlock.__table__.insert(), block | {"time": NOW - timedelta(seconds=40)})
    found = await scrape(engine)
    chain = {name.removeprefix("lastmile_chain_"): value for name, value in found.items() if "lastmile_chain_" in name}
    assert chain == {
        'cursor_block{chain="dev"}': 70,
        'final_block{chain="dev"}': 60,
        'head_block{chain="dev"}': 75,  # the demoted one's word doesn't count
        'lag_blocks{chain="dev"}': 5,
        'lag_seconds{chain="dev"}': 40,
        'checked_age_seconds{chain="dev"}': 4,
        'halted{chain="dev"}': 0,
        'waiting{chain="dev"}': 1,
        'provider_trusted{chain="dev",provider="one.example"}': 1,
        'provider_trusted{chain="dev",provider="two.example"}': 0,
        'provider_faults_total{chain="dev",provider="one.example"}': 2,
        'provider_faults_total{chain="dev",provider="two.example"}': 7,
        'provider_head_block{chain="dev",provider="one.example"}': 75,
        'provider_head_block{chain="dev",provider="two.example"}': 900,
    }


async def test_what_waits_for_workers_and_for_people_is_counted(engine):
    await stock(engine)
    office = Office(engine, offer())
    await office.late()
    paid = await office.order()
    await office.pay(paid)
    await office.pay(paid, units=4_500_000)
    seen = await office.order()
    await make_deposit(engine, seen, status="seen")
    await office.order()
    async with transaction(engine) as connection:
        await freeze_asset(connection, asset=USDC.code, kind=FreezeKind.BY_HAND, reason="why", now=NOW)
        await open_incidents(connection, alarms=[Alarm("a", "payout_overdue", None, {})], now=NOW)
        money = Money(7_250_000, USDC)
        await post(
            connection, entries=[Entry("w", "wallet_funded", (Transfer("wallet:31337", "treasury:31337", money),))], now=NOW
        )
    found = await scrape(engine)
    assert found['lastmile_orders{state="held"}'] == 1
    assert found['lastmile_orders{state="funded"}'] == 1
    assert found['lastmile_orders{state="awaiting_deposit"}'] == 2
    assert found['lastmile_orders{state="uncertain"}'] == 0
    assert found['lastmile_orders_of_last_day{state="held"}'] == 1
    assert found['lastmile_deposits{status="seen"}'] == 1
    assert found['lastmile_queue_depth{queue="deposits"}'] == 1
    assert found['lastmile_queue_depth{queue="dispatch"}'] == 1
    assert found[f'lastmile_unallocated_amount{{asset="{USDC.code}"}}'] == 4.5
    assert found[f'lastmile_asset_frozen{{asset="{USDC.code}",kind="by_hand"}}'] == 1
    assert found['lastmile_incidents_open{kind="payout_overdue"}'] == 1
    assert found[f'lastmile_refund_wallet_amount{{asset="{USDC.code}",chain="dev"}}'] == 7.25


async def test_an_order_on_its_way_is_counted_in_its_state(engine):
    orders = await make_orders(engine, 3)
    for order, state in zip(orders, ("confirming", "paying", "paid"), strict=True):
        await make_deposit(engine, order, status="seen")
        async with transaction(engine) as connection:
            await connection.execute(
                text("UPDATE orders SET state = :state WHERE id = :id"), {"state": state, "id": order.order_id}
            )
            await connection.execute(
                text("""
                    INSERT INTO attempts (id, order_id, adapter, deliver_asset, deliver_units, outcome, evidence, asks,
                        lease_token, created_at, updated_at)
                    VALUES (:id, :id, 'fake', 'KES', 1, 'pending', '{}', 0, 0, :now, :now)
                """),
                {"id": order.order_id, "now": NOW},
            )
    found = await scrape(engine)
    states = {name: value for name, value in found.items() if name.startswith("lastmile_orders{")}
    assert {name for name, value in states.items() if value == 1} == {
        'lastmile_orders{state="confirming"}',
        'lastmile_orders{state="paying"}',
    }
    assert found['lastmile_payout_attempts_open{adapter="fake",outcome="pending"}'] == 3


def test_names_follow_the_conventions_and_labels_are_few():
    for measure in MEASURES:
        assert set(measure.labels) <= {
            "chain", "provider", "status", "state", "adapter", "rail", "outcome", "asset", "kind", "purpose", "queue",
            "source", "base", "quote", "subject",
        }  # fmt: skip
        for family in measure.families.values():
            assert family.name.startswith("lastmile_")
            assert not family.name.endswith("_total")
            assert family.meaning.endswith(".")
    names = [family.name for measure in MEASURES for family in measure.families.values()]
    assert len(names) == len(set(names))


FILLED = """
INSERT INTO assets VALUES ('USDC@1', 6), ('KES', 2);
INSERT INTO quotes SELECT 'quo_' || n, NULL, now(), now() + interval '1 hour', 1, 'USDC@1', 1, 'KES', 1, 'KE', 'cash',
    1, 1, 1, 1, now(), '[]', 1, 0, 0, 0 FROM generate_series(1, 20000) AS n;
INSERT INTO deposit_addresses (address, factory, salt, owner, created_at)
    SELECT '0x' || lpad(to_hex(n), 40, '0'), 'f', 's', 'ord_0' || lpad(n::text, 24, '0'), now()
    FROM generate_series(1, 20000) AS n;
INSERT INTO orders SELECT 'ord_0' || lpad(n::text, 24, '0'), NULL, 'quo_' || n, 't' || n, 'paid', 1, NULL,
    '0x' || lpad(to_hex(n), 40, '0'), NULL, NULL, '{}', now(), now() FROM generate_series(1, 20000) AS n;
INSERT INTO deposits (chain_id, tx_hash, log_index, block_number, block_hash, block_time, asset, sender, address, units,
        status, booked, seen_at, updated_at)
    SELECT 1, '0x' || lpad(to_hex(n), 64, '0'), 0, n, 'h', now(), 'USDC@1', 's', '0x' || lpad(to_hex(n), 40, '0'), 1,
    'final', 'final', now(), now() FROM generate_series(1, 20000) AS n;
INSERT INTO journal_entries (cause, template, posted_at, postings) SELECT 'c' || n, 't', now(),
    ARRAY[ROW('chain:1', 'order:' || n || ':funds', 'USDC@1', 5)::posting] FROM generate_series(1, 20000) AS n;
INSERT INTO callbacks (adapter, event_id, attempt_id, label, headers, body, received_at, handled_at)
    SELECT 'fake', n::text, 'a', 'l', '{}', '', now(), now() FROM generate_series(1, 20000) AS n;
"""


async def test_no_query_reads_what_is_over(engine):
    """With 20,000 of everything done and over, no measure reads a big table from end to end."""
    async with transaction(engine) as connection:
        for statement in FILLED.split(";"):
            if statement.strip():
                await connection.exec_driver_sql(statement)
    async with engine.connect() as connection:
        await (await connection.execution_options(isolation_level="AUTOCOMMIT")).execute(text("VACUUM ANALYZE"))
    values = {"now": NOW, "order_of_day_ago": "ord_9", "transaction_of_day_ago": "ctx_9"}
    big = {"orders", "deposits", "journal", "postings", "balances", "callbacks", "deposit_addresses", "quotes"}
    async with transaction(engine) as connection:
        for measure in MEASURES:
            explain = text(f"EXPLAIN (ANALYZE, FORMAT JSON) {measure.query.text}")
            plan = json.dumps((await connection.execute(explain, values)).scalar_one())
            for node in _nodes(json.loads(plan)[0]["Plan"]):
                assert not (node["Node Type"] == "Seq Scan" and node.get("Relation Name") in big), (measure, node)
                read = (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
                assert node.get("Relation Name") not in big or read < 100, (measure, node)


def _nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for part in plan.get("Plans", ()) for node in _nodes(part))]


async def test_a_locked_table_gives_503_in_time_and_not_a_hang(engine, database_url, monkeypatch):
    monkeypatch.setattr(metrics, "QUERY_WITHIN_MS", 200)
    other = make_engine(database_url)
    async with other.begin() as locking:
        await locking.execute(text("LOCK TABLE chain_cursors IN ACCESS EXCLUSIVE MODE"))
        async with asked(engine) as client:
            started = time.monotonic()
            answer = await client.get("/metrics")
    assert (answer.status_code, time.monotonic() - started < 5) == (503, True)
    assert "does not answer in time" in answer.text
    assert "SELECT" not in answer.text
    await other.dispose()
    assert await scrape(engine)


async def test_a_database_that_says_nothing_is_not_waited_for(engine, monkeypatch):
    monkeypatch.setattr(metrics, "ANSWER_WITHIN_S", 0.2)

    async def slow(*_: object, **__: object) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(metrics, "read_measures", slow)
    async with asked(engine) as client:
        assert (await client.get("/metrics")).status_code == 503


@pytest.mark.parametrize(
    ("client", "headers", "status"),
    [
        (("127.0.0.1", 1), {}, 200),
        (("::1", 1), {"host": "[::1]:8000"}, 200),
        (("::1", 1), {"host": "[::1]"}, 200),
        (("127.0.0.1", 1), {"host": "localhost"}, 200),
        (("203.0.113.7", 1), {}, 403),
        (("10.0.0.1", 1), {}, 403),
        (("unix", 1), {}, 403),
        (("127.0.0.1", 1), {"host": "pay.example"}, 403),
        (("127.0.0.1", 1), {"host": "evil.example:8000"}, 403),
        (("127.0.0.1", 1), {"x-forwarded-for": "127.0.0.1"}, 403),
        (("127.0.0.1", 1), {"forwarded": "for=1.2.3.4"}, 403),
        (("127.0.0.1", 1), {"via": "1.1 proxy"}, 403),
        (("127.0.0.1", 1), {"x-real-ip": "1.2.3.4"}, 403),
    ],
)
async def test_without_a_token_only_this_machine_is_answered(engine, client, headers, status):
    async with asked(engine, client=client) as asking:
        answer = await asking.get("/metrics", headers=headers)
    assert answer.status_code == status
    assert ("lastmile_" in answer.text) == (status == 200)


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (f"Bearer {TOKEN}", 200),
        (f"bearer {TOKEN}", 200),
        (None, 401),
        ("Bearer", 401),
        ("Bearer ", 401),
        (f"Bearer {TOKEN}x", 401),
        (f"Basic {TOKEN}", 401),
        (TOKEN, 401),
    ],
)
@pytest.mark.parametrize("client", [LOCAL, ("203.0.113.7", 1)])
async def test_with_a_token_whoever_shows_it_is_answered_and_nobody_else(engine, client, header, status):
    async with asked(engine, client=client, token=TOKEN) as asking:
        answer = await asking.get(
            "/metrics", headers={"host": "pay.example"} | ({"authorization": header} if header else {})
        )
    assert answer.status_code == status
    assert ("lastmile_" in answer.text) == (status == 200)
    assert ("www-authenticate" in answer.headers) == (status == 401)


async def test_reading_changes_nothing(engine):
    async with transaction(engine) as connection:
        await connection.execute(text("SET TRANSACTION READ ONLY"))
        assert len(await read_measures(connection, now=NOW)) == len(MEASURES)
