"""Reconciliation with a real node and a real USDC: coins that moved past the books are found down to the log."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import psycopg
import pytest
from eth_hash.auto import keccak
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.chain.forwarders import salt_of, sweep_call
from gateway.chain.sweeper import Sweeper, SweepRules
from gateway.chain.watcher import Watcher
from gateway.chain.watchlist import Watchlist
from gateway.chain.wire import NodeFault
from gateway.db.session import transaction
from gateway.ledger.post import register_assets
from gateway.orders.accept import Acceptance, accept_quote
from gateway.orders.funding import book_deposits
from gateway.orders.recipients import Recipient
from gateway.payouts.rails import Rails
from gateway.pricing.models import Quote
from gateway.treasury.booking import As, book_break
from gateway.treasury.chains import ChainSide
from gateway.treasury.reconcile import reconcile
from gateway.treasury.report import Report
from tests.chain_tools import deal_usdc, mine, transact
from tests.factories import KES, USDC, quote_row
from tests.integration.chain.payer import ETH, Payer, make_payer

SENT = 10_000_000
BALANCES_SLOT = 9
"""Where FiatToken keeps its balances."""


@dataclass
class Yard:
    """Orders whose deposit addresses are watched on a real chain."""

    payer: Payer
    watcher: Watcher
    watched: Watchlist

    async def order(self) -> tuple[str, str]:
        """An order; its id and its deposit address."""
        row = quote_row(now=self.payer.now)
        factories = {31337: self.payer.chain.factory}
        async with transaction(self.payer.engine) as connection:
            await register_assets(connection, assets=[USDC, KES])
            await connection.execute(insert(Quote).values(row))
            acceptance = Acceptance(
                quote_id=str(row["id"]), partner_id=None, recipient=Recipient(name="W", account="+254712345678")
            )
            accepted = await accept_quote(connection, acceptance=acceptance, factories=factories, now=self.payer.now)
        [order] = await self.payer.rows("SELECT deposit_address FROM orders WHERE id = :id", id=accepted.order_id)
        return accepted.order_id, order.deposit_address

    async def paid(self) -> tuple[str, str]:
        """An order with a final deposit that is booked."""
        order_id, address = await self.order()
        deal_usdc(self.payer.chain, address, SENT)
        mine(self.payer.chain, 3)
        await self.watch()
        return order_id, address

    async def watch(self) -> None:
        while (await self.watcher.step()).more:
            pass
        while await book_deposits(self.payer.engine, least={}, now=self.payer.now):
            pass

    def sweep(self, order_id: str) -> dict[str, Any]:
        """As anybody may: all of an order's USDC to the treasury."""
        call = sweep_call(salts=[salt_of(order_id)], tokens=[self.payer.chain.usdc])
        receipt = transact(self.payer.chain, to=self.payer.chain.factory, data=call)
        assert receipt["status"] == "0x1"
        mine(self.payer.chain, 3)
        return receipt

    async def reconcile(self) -> Report:
        await self.watch()
        side = ChainSide(
            terms=self.payer.terms(),
            quorum=self.payer.quorum,
            watched=self.watched,
            wallet=None,
            keys=frozenset({self.payer.sender}),
        )
        self.payer.later(60)
        return await reconcile(self.payer.engine, rails=Rails({}), chains=[side], clock=lambda: self.payer.now)

    async def book(self, break_id: str, as_: As) -> None:
        async with transaction(self.payer.engine) as connection:
            await book_break(
                connection, break_id=break_id, as_=as_, operator="ada", reason="looked into", now=self.payer.now
            )

    def shrink(self, address: str, units: int) -> None:
        """The contract changes a balance without a transfer."""
        slot = keccak(bytes(12) + bytes.fromhex(address[2:]) + BALANCES_SLOT.to_bytes(32))
        self.payer.rpc("anvil_setStorageAt", self.payer.chain.usdc, "0x" + slot.hex(), f"0x{units:064x}")
        mine(self.payer.chain, 3)


@pytest.fixture
async def yard(devchain: Any, engine: AsyncEngine) -> AsyncIterator[Yard]:
    payer = make_payer(devchain, engine)
    await payer.rows("INSERT INTO operators (name, password_hash, created_at) VALUES ('ada', '-', now()) RETURNING name")
    watched = Watchlist(engine)
    watcher = Watcher(terms=payer.terms(), quorum=payer.quorum, engine=engine, clock=lambda: payer.now, watched=watched)
    try:
        made = Yard(payer, watcher, watched)
        mine(devchain, 3)
        # The gas that the key was given is booked first, as an operator does.
        first = await made.reconcile()
        assert not first.not_made
        [given] = first.breaks
        assert (given.kind, given.place, given.effect) == ("balance_differs", "gas:31337", 10 * 10**18)
        await made.book(first.ids[given.cause], As.CAPITAL)
        yield made
    finally:
        await payer.way.disconnect()


def told(report: Report) -> list[tuple[str, str, int]]:
    return sorted((one.kind, one.cause, one.effect) for one in report.breaks)


async def test_a_swept_coin_that_is_not_booked_is_found_down_to_its_log_in_one_run(yard: Yard) -> None:
    order_id, address = await yard.paid()
    await yard.paid()
    clean = await yard.reconcile()
    assert (told(clean), clean.not_made, clean.exit_code) == ([], (), 0)
    receipt = yard.sweep(order_id)
    [log] = [one for one in receipt["logs"] if one["address"] == yard.payer.chain.usdc.lower()]
    report = await yard.reconcile()
    place = f"{receipt['transactionHash']}:{int(log['logIndex'], 16)}"
    assert told(report) == [("sweep_unbooked", f"log:31337:{place}", SENT)]
    [found] = report.breaks
    assert found.detail["from"] == address
    assert f"lastmile sweep adopt dev {receipt['transactionHash']}" in found.next_step
    sums = {one.place.partition(" ")[0]: one.difference for one in report.comparisons if one.asset == USDC}
    assert sums == {"chain:31337": -SENT, "treasury:31337": SENT}
    # It stays one break although the next run reads later blocks only, and goes when it is booked.
    mine(yard.payer.chain, 3)
    assert (await yard.reconcile()).ids == report.ids
    sweeper = Sweeper(
        terms=yard.payer.terms(),
        rules=SweepRules(sender=yard.payer.sender, worth={}, native_usd=Fraction(1), cost_most_bps=1, every_s=3600),
        quorum=yard.payer.quorum,
        engine=yard.payer.engine,
        clock=lambda: yard.payer.now,
    )
    await sweeper.adopt(tx_hash=receipt["transactionHash"], operator="ada", reason="a customer swept it")
    after = await yard.reconcile()
    assert (told(after), after.closed, after.exit_code) == ([], 1, 0)


async def test_what_came_left_or_changed_past_the_books_is_each_named_and_nothing_else(yard: Yard) -> None:
    _, changing = await yard.paid()
    lost_order, lost = await yard.paid()
    await yard.reconcile()
    # A deposit that the watcher wrote and a bug deleted; a coin that shrinks by itself; a coin that came to the treasury.
    _, empty = await yard.order()
    await yard.watch()
    deal_usdc(yard.payer.chain, empty, 7)
    deal_usdc(yard.payer.chain, yard.payer.chain.treasury, 5)
    mine(yard.payer.chain, 3)
    await yard.watch()
    with psycopg.connect(str(yard.payer.engine.url.set(drivername="postgresql").render_as_string(False))) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("DELETE FROM order_events WHERE (postings[1]).units = 7")
        connection.execute("DELETE FROM order_balances WHERE funds = 7 OR unallocated = 7")
        connection.execute("DELETE FROM deposits WHERE units = 7")
    yard.shrink(changing, SENT - 3)
    report = await yard.reconcile()
    by_kind = {one.kind: one for one in report.breaks}
    assert sorted(by_kind) == ["address_differs", "coin_arrived", "deposit_missed"]
    assert (by_kind["address_differs"].detail["address"], by_kind["address_differs"].effect) == (changing, -3)
    assert (by_kind["deposit_missed"].detail["to"], by_kind["deposit_missed"].effect) == (empty, 7)
    assert (by_kind["coin_arrived"].place, by_kind["coin_arrived"].effect) == ("treasury:31337", 5)
    # A deposit that was final vanishes below finality: a loss with a name of its own.
    await yard.payer.rows("UPDATE deposits SET vanished_at = now() WHERE address = :lost RETURNING address", lost=lost)
    yard.shrink(lost, 0)
    report = await yard.reconcile()
    gone = next(one for one in report.breaks if one.kind == "deposit_vanished")
    assert (gone.order_id, gone.effect, gone.place) == (lost_order, -SENT, "chain:31337")
    for kind, as_ in (("deposit_vanished", As.LOSS), ("coin_arrived", As.CAPITAL), ("address_differs", As.LOSS)):
        await yard.book(report.ids[next(one.cause for one in report.breaks if one.kind == kind)], as_)
    books = await yard.payer.books()
    assert books[f"cost:reorg_loss {USDC.code}"] == -SENT - 3
    assert books[f"gas:31337 {ETH.code}"] == -10 * 10**18
    left = await yard.reconcile()
    assert sorted(one.kind for one in left.breaks) == ["deposit_missed"]


async def test_a_sweep_of_ours_is_explained_at_every_moment_and_silence_is_not_called_equal(yard: Yard) -> None:
    order_id, _ = await yard.paid()
    rules = SweepRules(sender=yard.payer.sender, worth={}, native_usd=Fraction(1), cost_most_bps=1, every_s=10**6)
    sweeper = Sweeper(
        terms=yard.payer.terms(),
        rules=rules,
        quorum=yard.payer.quorum,
        engine=yard.payer.engine,
        clock=lambda: yard.payer.now,
    )
    submitter = yard.payer.submitter()
    await sweeper.order(addresses=[], owners=[order_id], token=None, operator="ada", reason="now")
    in_flight: set[str] = set()
    while not await yard.payer.rows("SELECT FROM sweeps WHERE outcome = 'swept'"):
        await sweeper.step()
        await yard.payer.mined()
        await submitter.step()
        report = await yard.reconcile()
        assert (told(report), report.not_made) == ([], ())
        in_flight |= {item.what for one in report.comparisons for item in one.items}
        mine(yard.payer.chain)
    assert (await yard.reconcile()).exit_code == 0
    assert any(what.startswith("a sweep of 0x") for what in in_flight), in_flight

    def refuse(method: str, _params: object) -> None:
        if method == "eth_call":
            raise NodeFault("missing trie node")

    yard.payer.way.before = refuse
    report = await yard.reconcile()
    yard.payer.way.before = lambda _method, _params: None
    assert (report.exit_code, [one.check for one in report.not_made]) == (2, ["chain:31337"])
    assert "missing trie node" in report.not_made[0].why
    assert (await yard.reconcile()).exit_code == 0
