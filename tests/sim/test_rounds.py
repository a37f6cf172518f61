"""Rounds in which a hundred do the same thing at once: one of them does it, and nothing is spent twice."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from itertools import cycle
from typing import Any

import pytest
from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db.faults import again
from gateway.db.session import make_engine, transaction
from gateway.ledger.post import post, top_up
from gateway.ledger.queries import balances
from gateway.money import Money
from gateway.offramp import AttemptRef, Callback, CallbackRequest, Capabilities, Instruction, Report
from gateway.orders.accept import Acceptance, Accepted, QuoteUsed, accept_quote
from gateway.orders.funding import book_deposits
from gateway.orders.recipients import Recipient
from gateway.payouts.dispatch import dispatch
from gateway.payouts.errors import ProposalDecided
from gateway.payouts.evidence import Evidence, ResolutionRules, Verdict
from gateway.payouts.inbox import handle_callbacks, store
from gateway.payouts.rails import Rails
from gateway.payouts.resolutions import Decision, approve, propose
from gateway.pricing.models import Quote
from tests.factories import (
    FACTORIES,
    KES,
    NOW,
    PENDING,
    UNKNOWN,
    FakeRail,
    know_assets,
    make_deposit,
    make_orders,
    paid,
    quote_row,
)

MANY = 100
ORDERS = 3
FEW, ALL = 3, 1_000
BOUNDLESS = 10_000
"""A rail that takes so many calls at once has no limit, and no lock of it makes claims wait for each other."""


@dataclass
class Crowded(FakeRail):
    """A rail that lets others come between, leaves every payment pending, and proves it by callback."""

    sent: Counter[str] = field(default_factory=Counter)

    @property
    def capabilities(self) -> Capabilities:
        return replace(super().capabilities, concurrency=BOUNDLESS)

    says: Report = PENDING

    async def pay(self, instruction: Instruction) -> Report:
        self.sent[instruction.attempt_id] += 1
        await asyncio.sleep(0)
        return self.says

    async def status(self, attempt: AttemptRef) -> Report:  # noqa: ARG002 - the port's name
        return PENDING

    def read_callback(self, request: CallbackRequest) -> Callback:
        units = json.loads(request.body)["units"]
        return Callback(
            event_id=f"paid:{request.attempt_id}",
            attempt_id=request.attempt_id,
            report=paid(request.attempt_id, Money(units, KES)),
            proof=True,
        )

    def callback_answer(self) -> tuple[int, dict[str, object]]:
        return 200, {}


@pytest.fixture
async def crowd(database_url: str) -> AsyncIterator[AsyncEngine]:
    """A connection for each of the hundred."""
    made = make_engine(database_url, pool_size=MANY // 2)
    yield made
    await made.dispose()


@dataclass
class Rounds:
    """What the rounds share: a rail, and one way to count."""

    engine: AsyncEngine
    rail: Crowded = field(default_factory=Crowded)

    @property
    def rails(self) -> Rails:
        return Rails({"fake": self.rail})

    async def at_once(self, act: Callable[[], Awaitable[Any]]) -> list[Any]:
        """A hundred times at once; what came of each. Whom a busy database turns away comes again, as everybody does."""
        return await asyncio.gather(*(again(act) for _ in range(MANY)), return_exceptions=True)

    async def count(self, sql: str, **values: object) -> int:
        async with transaction(self.engine) as connection:
            return int((await connection.execute(text(sql), values)).scalar_one())

    async def column(self, sql: str, **values: object) -> list[Any]:
        async with transaction(self.engine) as connection:
            return list((await connection.execute(text(sql), values)).scalars())

    async def accepts(self) -> None:
        """One quote, accepted by a hundred: one order."""
        row = quote_row()
        async with transaction(self.engine) as connection:
            await connection.execute(insert(Quote).values(row))

        async def accept() -> Accepted:
            recipient = Recipient(name="Wanjiku Kamau", account="+254712345678")
            acceptance = Acceptance(quote_id=str(row["id"]), partner_id=None, recipient=recipient)
            async with transaction(self.engine) as connection:
                return await accept_quote(connection, acceptance=acceptance, factories=FACTORIES, now=NOW)

        done = Counter(type(each) for each in await self.at_once(accept))
        assert done == {Accepted: 1, QuoteUsed: MANY - 1}
        assert await self.count("SELECT count(*) FROM orders WHERE quote_id = :id", id=row["id"]) == 1

    async def fund(self) -> list[str]:
        orders = await make_orders(self.engine, ORDERS)
        for order in orders:
            await make_deposit(self.engine, order)
        return [order.order_id for order in orders]

    async def claims(self) -> list[str]:
        """A few orders, booked and claimed by a hundred workers: of each one deposit, one attempt, one sending."""
        ids = await self.fund()
        booked = await self.at_once(lambda: book_deposits(self.engine, least={}, now=NOW))
        assert sum(booked) == ORDERS
        moved = await self.at_once(lambda: dispatch(self.engine, rails=self.rails, clock=lambda: NOW))
        assert sum(moved) == ORDERS
        attempts = await self.column("SELECT id FROM attempts WHERE order_id = ANY(:ids)", ids=ids)
        assert len(attempts) == ORDERS
        assert [self.rail.sent[attempt] for attempt in attempts] == [1] * ORDERS
        return [str(attempt) for attempt in attempts]

    async def callbacks(self) -> None:
        """The rail's news of a few payments, a hundred times at once: each stored once, one step of each order."""
        attempts = await self.claims()
        turns = cycle(attempts)

        async def arrive() -> None:
            attempt_id = next(turns)
            body = json.dumps({"units": 124_900}).encode()
            request = CallbackRequest(attempt_id=attempt_id, label="result", headers={}, body=body, received_at=NOW)
            event_id = self.rail.read_callback(request).event_id
            async with transaction(self.engine) as connection:
                await store(connection, adapter="fake", event_id=event_id, request=request)
            await handle_callbacks(self.engine, rails=self.rails, clock=lambda: NOW)

        assert await self.at_once(arrive) == [None] * MANY
        while await handle_callbacks(self.engine, rails=self.rails, clock=lambda: NOW):
            pass
        told = "SELECT count(*) FROM callbacks WHERE attempt_id = ANY(:ids)"
        assert await self.count(told, ids=attempts) == ORDERS
        steps = "SELECT count(*) FROM order_events WHERE event = 'outcome_paid' AND data ->> 'attempt' = ANY(:ids)"
        assert await self.count(steps, ids=attempts) == ORDERS

    async def float_for_one(self, number: int) -> None:
        """More orders than what we hold at the rail pays for: a hundred workers send as many as it pays for."""
        await self.fund()
        while await book_deposits(self.engine, least={}, now=NOW):
            pass
        async with transaction(self.engine) as connection:
            entry = top_up(rail="fake", money=Money(124_900, KES), reference=str(number))
            await post(connection, entries=[entry], now=NOW)
        moved = await self.at_once(lambda: dispatch(self.engine, rails=self.rails, clock=lambda: NOW))
        assert sum(moved) == 1
        assert sum(self.rail.sent.values()) == number
        assert await self.count("SELECT count(*) FROM attempts") == number

    async def decisions(self) -> None:
        """What a person proposed, agreed to by a hundred at once: it is recorded once."""
        [order] = await make_orders(self.engine, 1)
        await make_deposit(self.engine, order)
        await book_deposits(self.engine, least={}, now=NOW)
        await dispatch(self.engine, rails=self.rails, clock=lambda: NOW)
        [attempt_id] = await self.column("SELECT id FROM attempts WHERE order_id = :id", id=order.order_id)
        evidence = Evidence(
            verdict=Verdict.PAID,
            said="completed",
            place="portal",
            seen_at=NOW,
            provider_ref=f"ref-{attempt_id}",
            delivered=Money(124_900, KES),
        )
        why = "seen in the portal"
        async with transaction(self.engine) as connection:
            proposal = await propose(
                connection,
                attempt_id=attempt_id,
                evidence=evidence,
                rules=ResolutionRules(),
                operator="amina",
                reason=why,
                now=NOW,
            )

        async def agree() -> Decision:
            async with transaction(self.engine) as connection:
                given = {"operator": "brian", "reason": why, "rules": ResolutionRules(), "now": NOW}
                return await approve(connection, resolution_id=proposal.resolution_id, **given)

        done = Counter(type(each) for each in await self.at_once(agree))
        assert done == {Decision: 1, ProposalDecided: MANY - 1}
        steps = "SELECT count(*) FROM order_events WHERE event = 'outcome_paid' AND order_id = :id"
        assert await self.count(steps, id=order.order_id) == 1

    async def check(self, rounds: int) -> None:
        """Every order of the rounds was paid with its own money and with nothing else."""
        assert await self.count("SELECT count(*) FROM orders WHERE state = 'paid'") == rounds * ORDERS
        async with transaction(self.engine) as connection:
            found = {account: money.units for account, money in await balances(connection) if money.asset == KES}
        assert found["rail:fake"] == rounds * ORDERS * 124_900
        assert await self.count("SELECT count(*) FROM balances WHERE units <> 0") == 0
        assert await self.count("SELECT count(*) FROM incidents") == 0


@pytest.fixture
async def persons(crowd: AsyncEngine) -> None:
    async with transaction(crowd) as connection:
        for name in ("amina", "brian"):
            row = {"name": name, "now": NOW}
            await connection.execute(
                text("INSERT INTO operators (name, password_hash, created_at) VALUES (:name, 'x', :now)"), row
            )


@pytest.fixture
async def rounds(crowd: AsyncEngine) -> Rounds:
    await know_assets(crowd)
    return Rounds(crowd)


slow = [pytest.mark.slow, pytest.mark.timeout(7_200)]
some = pytest.mark.parametrize("number", [FEW, pytest.param(ALL, marks=slow)])


@some
async def test_a_quote_that_a_hundred_accept_becomes_one_order(rounds: Rounds, number: int) -> None:
    for _ in range(number):
        await rounds.accepts()


@some
async def test_what_a_hundred_claim_and_a_hundred_callbacks_tell_happens_once(rounds: Rounds, number: int) -> None:
    for _ in range(number):
        await rounds.callbacks()
    await rounds.check(number)


@some
async def test_no_more_is_sent_than_the_float_pays_for(rounds: Rounds, number: int) -> None:
    for done in range(number):
        await rounds.float_for_one(done + 1)


@some
@pytest.mark.usefixtures("persons")
async def test_what_a_hundred_agree_to_is_recorded_once(rounds: Rounds, number: int) -> None:
    rounds.rail.says = UNKNOWN
    for _ in range(number):
        await rounds.decisions()
    assert await rounds.count("SELECT count(*) FROM orders WHERE state = 'paid'") == number
