"""The watcher's writes: whole or not at all, what a foreign key would refuse is refused, superuser or not."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from gateway.chain import queries, record
from gateway.chain.logs import Transfer
from gateway.chain.reorg import Place
from gateway.chain.wire import Header
from gateway.db.session import transaction
from gateway.money import Asset
from tests.integration.chain.desk import NOW, Desk
from tests.unit.chain.fake_chain import CHAIN_ID, TOKEN, USDC, address, word

OURS = address("ours")
OTHER_TOKEN = "0x" + "cc" * 20
USDT = Asset("USDT@31337", 6)
ASSETS = {TOKEN: USDC, OTHER_TOKEN: USDT}


def header(number: int, fork: str = "") -> Header:
    return Header(
        number=number,
        hash=word(f"{fork}{number}"),
        parent_hash=word(f"{fork}{number - 1}"),
        time=NOW + timedelta(seconds=number),
    )


def place(number: int, fork: str = "") -> Place:
    return Place(number=number, hash=header(number, fork).hash)


def transfer(name: object, **changes: Any) -> Transfer:
    plain: dict[str, Any] = {
        "token": TOKEN,
        "sender": address("sender"),
        "recipient": OURS,
        "units": 5_000_000,
        "block_number": 2,
        "block_hash": header(2).hash,
        "tx_hash": word(f"tx {name}"),
        "log_index": 0,
    }
    return Transfer(**plain | changes)


async def start(desk: Desk, *addresses: str) -> None:
    await desk.know([USDC, USDT], addresses or [OURS])
    async with transaction(desk.engine) as connection:
        await record.start_cursor(connection, chain_id=CHAIN_ID, header=header(0), now=NOW)


async def cursor_of(desk: Desk) -> queries.Cursor:
    async with transaction(desk.engine) as connection:
        found = await queries.read_cursor(connection, chain_id=CHAIN_ID)
    assert found is not None
    return found


async def write(
    desk: Desk,
    *transfers: Transfer,
    at: int = 2,
    final: int = 2,
    blocks: Sequence[Header] | None = None,
    was: queries.Cursor | None = None,
) -> int:
    scanned = record.Scanned(
        at=place(at),
        final=place(final),
        blocks=[header(at)] if blocks is None else blocks,
        transfers=transfers,
        times={number: header(number).time for number in {t.block_number for t in transfers}},
    )
    was = was or await cursor_of(desk)
    async with transaction(desk.engine) as connection:
        return await record.write_scanned(
            connection, chain_id=CHAIN_ID, was=was, scanned=scanned, assets=ASSETS, now=desk.now
        )


async def test_a_deposit_is_written_whole(desk: Desk) -> None:
    await start(desk)
    assert await write(desk, transfer("a", log_index=3, units=2**256 - 1)) == 1
    row = await desk.deposit()
    assert (row.chain_id, row.tx_hash, row.log_index) == (CHAIN_ID, word("tx a"), 3)
    assert (row.block_number, row.block_hash, row.block_time) == (2, header(2).hash, header(2).time)
    assert (row.asset, row.sender, row.address, row.units) == (USDC.code, address("sender"), OURS, 2**256 - 1)
    assert (row.status, row.booked, row.seen_at, row.updated_at) == ("final", None, NOW, NOW)
    cursor = await desk.cursor()
    assert (cursor.number, cursor.hash, cursor.finalized_number) == (2, header(2).hash, 2)


async def test_each_deposit_keeps_its_own_values_among_many(desk: Desk) -> None:
    ours = [address(f"ours {number}") for number in range(300)]
    await start(desk, *ours)
    transfers = [
        transfer(
            number,
            log_index=number,
            units=number + 1,
            recipient=one,
            block_number=1 + number % 2,
            block_hash=header(1 + number % 2).hash,
            token=(TOKEN, OTHER_TOKEN)[number % 3 == 0],
        )
        for number, one in enumerate(ours)
    ]
    assert await write(desk, *transfers) == 300
    found = {
        (row.tx_hash, row.log_index, row.units, row.address, row.block_number, row.block_hash, row.block_time, row.asset)
        for row in await desk.deposits()
    }
    assert found == {
        (
            t.tx_hash,
            t.log_index,
            t.units,
            t.recipient,
            t.block_number,
            t.block_hash,
            header(t.block_number).time,
            ASSETS[t.token].code,
        )
        for t in transfers
    }


async def test_what_lies_above_the_last_final_block_is_seen_and_becomes_final_later(desk: Desk) -> None:
    await start(desk)
    late = transfer("late", block_number=3, block_hash=header(3).hash)
    await write(desk, transfer("early"), late, at=3, final=2, blocks=[header(number) for number in (1, 2, 3)])
    await desk.check()
    assert {row.tx_hash: row.status for row in await desk.deposits()} == {word("tx early"): "final", word("tx late"): "seen"}
    desk.now = NOW + timedelta(minutes=1)
    assert await write(desk, at=4, final=3, blocks=[header(4)]) == 1
    rows = {row.tx_hash: row for row in await desk.deposits()}
    assert {row.status for row in rows.values()} == {"final"}
    assert rows[word("tx early")].updated_at == NOW
    assert rows[word("tx late")].updated_at == desk.now
    await desk.check()


async def test_what_was_written_before_moves_nothing(desk: Desk) -> None:
    await start(desk)
    await write(desk, transfer("a"))
    before = await desk.everything()
    with pytest.raises(record.UnsettledDeposit, match="1 of 2"):
        await write(desk, transfer("a"), transfer("b", log_index=1), at=3, final=3)
    assert await desk.everything() == before


async def test_what_would_become_final_and_arrives_again_moves_nothing(desk: Desk) -> None:
    await start(desk)
    await write(desk, transfer("a"), final=0, blocks=[header(1), header(2)])
    before = await desk.everything()
    with pytest.raises(record.UnsettledDeposit, match="1 of 1"):
        await write(desk, transfer("a"), at=3, final=3, blocks=[header(3)])
    assert await desk.everything() == before


async def test_of_two_that_move_the_cursor_one_is_overtaken(desk: Desk) -> None:
    await start(desk)
    was = await cursor_of(desk)
    outcomes = await asyncio.gather(*(write(desk, transfer("a"), was=was) for _ in range(4)), return_exceptions=True)
    assert sorted(map(str, outcomes)) == ["", "", "", "1"]
    assert sum(isinstance(outcome, record.Overtaken) for outcome in outcomes) == 3
    assert len(await desk.deposits()) == 1


async def test_a_vanished_deposit_is_found_again_elsewhere_and_with_another_amount_once_that_is_booked(desk: Desk) -> None:
    await start(desk)
    await write(desk, transfer("a"), final=0, blocks=[header(1), header(2)])
    was = await cursor_of(desk)
    async with transaction(desk.engine) as connection:
        assert await record.rewind(connection, chain_id=CHAIN_ID, was=was, ancestor=place(1), now=NOW) == 1
    assert (await desk.deposit()).status == "orphaned"
    await desk.run("UPDATE deposits SET booked = 'seen'")
    other = transfer("a", units=7, block_number=3, block_hash=header(3).hash)
    with pytest.raises(record.UnsettledDeposit):
        await write(desk, other, at=3, final=1, blocks=[header(2), header(3)])
    await desk.run("UPDATE deposits SET booked = 'orphaned'")
    assert await write(desk, other, at=3, final=3, blocks=[header(3)]) == 1
    row = await desk.deposit()
    assert (row.units, row.block_number, row.block_hash, row.status) == (7, 3, header(3).hash, "final")


INSERT = """INSERT INTO deposits (chain_id, tx_hash, log_index, block_number, block_hash, block_time, asset, sender, address,
    units, status, seen_at, updated_at)
    SELECT 31337, tx_hash, 1, 2, '0x', now(), asset, '0x', address, 5, 'seen', now(), now()
    FROM (VALUES {}) AS v (tx_hash, asset, address)"""


def run(url: str, *statements: str) -> None:
    """As superuser, as everything in these tests."""
    with psycopg.connect(url) as connection:
        assert connection.execute("SHOW is_superuser").fetchone() == ("on",)
        for statement in statements:
            connection.execute(statement.encode())


def rows(*rows: tuple[str, str, str]) -> str:
    return INSERT.format(", ".join(map(str, rows)))


async def test_no_deposit_without_its_address_or_its_asset(desk: Desk, database_url: str) -> None:
    await start(desk)
    good = (word("1"), USDC.code, OURS)
    for wrong in ((word("2"), USDC.code, address("stranger")), (word("2"), "EURC@31337", OURS)):
        with pytest.raises(psycopg.errors.ForeignKeyViolation, match="an address of ours"):
            run(database_url, rows(good, wrong))
        with pytest.raises(psycopg.errors.ForeignKeyViolation, match="an address of ours"):
            await asyncio.to_thread(copy, database_url, wrong)
        assert await desk.deposits() == []
    run(database_url, rows(good))
    for change in (f"address = '{address('stranger')}'", "asset = 'EURC@31337'"):
        with pytest.raises(psycopg.errors.ForeignKeyViolation, match="an address of ours"):
            run(database_url, f"UPDATE deposits SET {change}")
    run(database_url, "UPDATE deposits SET asset = 'USDT@31337'")
    assert (await desk.deposit()).asset == USDT.code


def copy(url: str, row: tuple[str, str, str]) -> None:
    columns = "chain_id, tx_hash, log_index, block_number, block_hash, block_time, asset, sender, address, units, status"
    tx_hash, asset, owner = row
    statement = f"COPY deposits ({columns}, seen_at, updated_at) FROM STDIN".encode()
    with psycopg.connect(url) as connection, connection.cursor() as cursor, cursor.copy(statement) as sink:
        sink.write_row((1, tx_hash, 1, 2, "0x", NOW, asset, "0x", owner, 5, "seen", NOW, NOW))


async def test_an_address_with_deposits_stays(desk: Desk, database_url: str) -> None:
    await start(desk, OURS, address("unused"))
    run(database_url, rows((word("1"), USDC.code, OURS)))
    for deed in ("DELETE FROM deposit_addresses", f"UPDATE deposit_addresses SET address = '{address('new')}'"):
        with pytest.raises(psycopg.errors.ForeignKeyViolation, match="has deposits"):
            run(database_url, f"{deed} WHERE address = '{OURS}'")
    with pytest.raises(psycopg.errors.RestrictViolation):
        run(database_url, "TRUNCATE deposit_addresses CASCADE")
    run(database_url, "DELETE FROM deposit_addresses WHERE owner LIKE '%' AND address <> '" + OURS + "'")
    assert len(await desk.deposits()) == 1


async def test_an_address_stays_while_a_deposit_is_being_written(desk: Desk, database_url: str) -> None:
    await start(desk)
    async with desk.engine.connect() as writing:
        await writing.execute(text(rows((word("1"), USDC.code, OURS))))
        deleting = asyncio.create_task(asyncio.to_thread(run, database_url, "DELETE FROM deposit_addresses"))
        await waits(desk, "DELETE")
        await writing.commit()
    with pytest.raises(psycopg.errors.ForeignKeyViolation, match="has deposits"):
        await deleting


async def test_a_deposit_waits_for_an_address_that_is_being_deleted(desk: Desk, database_url: str) -> None:
    await start(desk)
    async with desk.engine.connect() as deleting:
        await deleting.execute(text("DELETE FROM deposit_addresses"))
        writing = asyncio.create_task(asyncio.to_thread(run, database_url, rows((word("1"), USDC.code, OURS))))
        await waits(desk, "INSERT")
        await deleting.commit()
    with pytest.raises(psycopg.errors.ForeignKeyViolation, match="an address of ours"):
        await writing
    assert await desk.deposits() == []


async def waits(desk: Desk, deed: str) -> None:
    """Until a statement that begins with `deed` waits for another's lock."""
    counting = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE :deed")
    async with asyncio.timeout(20):
        while True:
            async with transaction(desk.engine) as connection:
                if (await connection.execute(counting, {"deed": f"{deed}%"})).scalar_one():
                    return
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    "tx_hash", ["0x12", word("1")[:-1], word("1") + "0", word("1").upper(), word("1")[:-1] + "g", word("1")[2:] + "00"]
)
async def test_a_transaction_s_hash_is_32_bytes_in_lower_case_hex(desk: Desk, database_url: str, tx_hash: str) -> None:
    await start(desk)
    with pytest.raises((psycopg.errors.CheckViolation, psycopg.errors.InvalidParameterValue)):
        run(database_url, rows((tx_hash, USDC.code, OURS)))
