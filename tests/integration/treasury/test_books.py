"""The ledger against itself: what guards make impossible is planted behind their backs, and each is named."""

from __future__ import annotations

import psycopg
import pytest

pytest.register_assert_rewrite("tests.integration.treasury.till")

from gateway.db.session import snapshot  # noqa: E402
from gateway.orders.funding import book_deposits  # noqa: E402
from gateway.treasury.books import CHECKS, check_books  # noqa: E402
from tests.factories import PENDING, USDT, make_deposit, make_orders  # noqa: E402
from tests.integration.treasury.till import House  # noqa: E402


@pytest.fixture
async def house(engine):
    """Orders in many states."""
    made = House(engine)
    await made.open()
    await made.pay(2)
    made.till.answers = [PENDING]
    await made.pay()
    [held, late, extra] = await make_orders(engine, 3)
    await make_deposit(engine, held, units=9_000_000)
    await make_deposit(engine, late)
    await make_deposit(engine, late, units=5, block=8)
    await make_deposit(engine, extra, asset=USDT)
    while await book_deposits(engine, least={}, now=made.now):
        pass
    return made


def tamper(database_url, *statements):
    """As a superuser can: without triggers."""
    with psycopg.connect(database_url) as connection:
        connection.execute("SET session_replication_role = replica")
        for statement in statements:
            assert connection.execute(statement).rowcount == 1


async def found(engine):
    async with snapshot(engine) as connection:
        findings = await check_books(connection)
    assert len(findings.made) == len(CHECKS)
    return sorted((one.kind, one.place.partition(":")[0], one.ours, one.theirs) for one in findings.breaks)


@pytest.mark.usefixtures("house")
async def test_sound_books_have_no_breaks(engine):
    assert await found(engine) == []


FIRST = "(SELECT min(id) FROM attempts WHERE outcome = 'paid')"
PLANTED = {
    "a running balance changed": (
        ["UPDATE order_balances SET unallocated = 6 WHERE unallocated = 5"],
        [("balance_not_its_postings", "order", 6, 5)],
    ),
    "a rail's running balance changed": (
        ["UPDATE rail_balances SET held = held - 1"],
        [("rail_not_its_postings", "rail", 99_750_199, 99_750_200)],
    ),
    "a posting lost": (
        ["UPDATE journal_entries SET postings = '{}' WHERE (postings[1]).units = 5"],
        [
            ("balance_not_its_postings", "order", 5, 0),
            ("deposit_not_its_entry", "chain", 0, 5),
            ("entry_not_whole", "journal", 0, 1),
        ],
    ),
    "a wallet's running balance changed": (
        ["INSERT INTO wallet_balances VALUES ('wallet:31337', 'USDC@31337', 5)"],
        [("wallet_not_its_postings", "wallet", 5, 0)],
    ),
    "a state without its money": (
        ["UPDATE orders SET state = 'funded' WHERE id = (SELECT min(id) FROM orders WHERE state = 'awaiting_deposit')"],
        [("order_not_its_accounts", "order", 0, 10_000_000)],
    ),
    "money without its state": (
        ["UPDATE orders SET state = 'paid' WHERE state = 'paying'"],
        [("order_not_its_accounts", "order", 10_000_000, 0)],
    ),
    "an attempt turned": (
        [f"UPDATE attempts SET outcome = 'failed', fault = 'rail' WHERE id = {FIRST}"],
        [("attempt_not_its_entry", "rail", 124_900, 0)],
    ),
    "an attempt gone": (
        [f"DELETE FROM attempts WHERE id = {FIRST}"],
        [("attempt_not_its_entry", "rail", 124_900, 0)],
    ),
    "a deposit changed": (
        ["UPDATE deposits SET units = 6 WHERE units = 5"],
        [("deposit_not_its_entry", "chain", 5, 6)],
    ),
    "a deposit gone": (
        ["DELETE FROM deposits WHERE units = 5"],
        [("deposit_not_its_entry", "chain", 5, 0)],
    ),
    "a deposit booked as if": (
        ["UPDATE deposits SET booked = NULL WHERE units = 5"],
        [("deposit_not_its_entry", "chain", 5, 0)],
    ),
    "a paid refund without entry": (
        [
            """INSERT INTO refunds (id, order_id, taken_from, chain_id, asset, units, address, owner, reason, outcome,
            wallet, tx_hash, evidence, created_at, updated_at, closed_at)
            SELECT 'ref_1', min(id), 'funds', 31337, 'USDC@31337',
            7,
            '0x' || repeat('1', 40), 'operator:ada', 'r', 'paid', 'wallet:31337', '0x' || repeat('2', 64), '{}', now(),
            now(), now() FROM orders"""
        ],
        [("refund_not_its_entry", "wallet", 0, 7)],
    ),
    "a sweep without entry": (
        [
            """INSERT INTO sweep_items (sweep_id, chain_id, address, token, state, asset, sent, arrived, tx_hash, log_index,
            block_number, updated_at) SELECT 'swp_1', 31337, min(address), '0x' || repeat('3', 40), 'flushed',
            'USDC@31337', 9, 9, '0x' || repeat('4', 64), 0, 5, now() FROM deposit_addresses"""
        ],
        [("sweep_not_its_entry", "chain", 0, 9)],
    ),
}


@pytest.mark.usefixtures("house")
@pytest.mark.parametrize("what", PLANTED)
async def test_each_fault_in_the_books_is_named(engine, database_url, what):
    statements, expected = PLANTED[what]
    tamper(database_url, *statements)
    assert await found(engine) == expected


async def test_a_snapshot_is_one_moment_and_can_write_nothing(engine, house):
    async with snapshot(engine) as connection:
        before = await check_books(connection)
        await house.pay()
        again = await check_books(connection)
        assert (before.breaks, again.breaks) == ([], [])
        with pytest.raises(Exception, match="read-only transaction"):
            await connection.exec_driver_sql("UPDATE orders SET due_at = now()")
