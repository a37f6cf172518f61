"""Rows that tests start from, made through the product's own writers where there is one."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count

from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.chain.models import Deposit
from gateway.db.session import transaction
from gateway.ledger.post import register_assets
from gateway.money import Asset, Money
from gateway.offramp import (
    Asked,
    AttemptRef,
    Capabilities,
    Corridor,
    Fault,
    Instruction,
    Method,
    Outcome,
    Report,
    Resend,
)
from gateway.orders.accept import Acceptance, Accepted, accept_quote
from gateway.orders.recipients import Recipient
from gateway.pricing.models import Quote

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
USDC = Asset("USDC@31337", 6)
USDT = Asset("USDT@31337", 6)
KES = Asset("KES", 2)
FACTORY = "0x5FbDB2315678afecb367f032d93F642f64180aa3"
FACTORIES = {31337: FACTORY}
_numbers = count()
_CAPABILITIES: dict[tuple[str, Resend], Capabilities] = {}


async def know_assets(engine: AsyncEngine) -> None:
    async with transaction(engine) as connection:
        await register_assets(connection, assets=[USDC, USDT, KES])


def quote_row(*, now: datetime = NOW, send: int = 10_000_000, ttl: timedelta = timedelta(minutes=15)) -> dict[str, object]:
    """10 USDC at 129.20 KES, 1 % spread, 30 KES fee: 1249 KES land."""
    return {
        "id": f"quo_{next(_numbers):026}",
        "partner_id": None,
        "created_at": now,
        "expires_at": now + ttl,
        "chain_id": 31337,
        "send_asset": USDC.code,
        "send_units": send,
        "receive_asset": KES.code,
        "receive_units": 124_900,
        "country": "KE",
        "method": "mobile_money",
        "mid_num": 1292,
        "mid_den": 100_000,
        "applied_num": 127_908,
        "applied_den": 10_000_000,
        "mid_as_of": now,
        "sources": ["one", "two"],
        "mid_units": 129_200,
        "margin_units": 1_292,
        "fee_units": 3_000,
        "rounding_units": 8,
    }


async def make_orders(engine: AsyncEngine, number: int = 1, *, now: datetime = NOW, **quote: object) -> list[Accepted]:
    orders = []
    async with transaction(engine) as connection:
        await register_assets(connection, assets=[USDC, USDT, KES])
        for _ in range(number):
            row = quote_row(now=now) | quote
            await connection.execute(insert(Quote).values(row))
            acceptance = Acceptance(
                quote_id=str(row["id"]),
                partner_id=None,
                recipient=Recipient(name="Wanjiku Kamau", account="+254712345678"),
            )
            accepted = await accept_quote(connection, acceptance=acceptance, factories=FACTORIES, now=now)
            orders.append(accepted)
    return orders


async def make_deposit(
    engine: AsyncEngine,
    order: Accepted,
    *,
    units: int = 10_000_000,
    status: str = "final",
    asset: Asset = USDC,
    at: datetime = NOW,
    block: int = 7,
) -> dict[str, object]:
    number = next(_numbers)
    async with transaction(engine) as connection:
        address = (
            await connection.execute(text("SELECT deposit_address FROM orders WHERE id = :id"), {"id": order.order_id})
        ).scalar_one()
        row = {
            "chain_id": 31337,
            "tx_hash": f"0x{number:064x}",
            "log_index": 0,
            "block_number": block,
            "block_hash": f"0x{block:064x}",
            "block_time": at,
            "asset": asset.code,
            "sender": "0x" + "11" * 20,
            "address": address,
            "units": units,
            "status": status,
            "booked": None,
            "seen_at": at,
            "updated_at": at,
        }
        await connection.execute(insert(Deposit).values(row))
    return row


@dataclass
class FakeRail:
    """An adapter in this process whose answers a test sets. It dedupes by attempt id, as Daraja does."""

    name: str = "fake"
    resend: Resend = Resend.DEDUPED
    answers: list[Report | Exception] = field(default_factory=list)
    statuses: list[Report | Asked | Exception] = field(default_factory=list)
    paid: dict[str, Money] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)

    @property
    def capabilities(self) -> Capabilities:
        key = (self.name, self.resend)
        if key not in _CAPABILITIES:
            _CAPABILITIES[key] = self._capabilities()
        return _CAPABILITIES[key]

    def _capabilities(self) -> Capabilities:
        whole = Money(100, KES)
        corridor = Corridor(
            country="KE",
            method=Method.MOBILE_MONEY,
            asset=KES,
            least=Money(1_000, KES),
            most=Money(25_000_000, KES),
            step=whole,
        )
        return Capabilities(
            name=self.name,
            corridors=(corridor,),
            resend=self.resend,
            settles_within=timedelta(minutes=5),
            resend_within=timedelta(hours=24),
            answer_within=timedelta(seconds=5),
        )

    async def pay(self, instruction: Instruction) -> Report:
        self.calls.append(f"pay {instruction.attempt_id}")
        answer = self.answers.pop(0) if self.answers else paid(instruction.attempt_id, instruction.deliver)
        if isinstance(answer, Exception):
            raise answer
        if answer.outcome in (Outcome.PAID, Outcome.PENDING, Outcome.UNKNOWN):
            self.paid[instruction.attempt_id] = instruction.deliver
        return answer

    async def status(self, attempt: AttemptRef) -> Report | Asked:
        self.calls.append(f"status {attempt.attempt_id}")
        answer = self.statuses.pop(0) if self.statuses else paid(attempt.attempt_id, attempt.deliver)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def close(self) -> None:
        return None


def paid(attempt_id: str, deliver: Money) -> Report:
    return Report(outcome=Outcome.PAID, provider_ref=f"ref-{attempt_id}", receipt="SG632NMUAB", delivered=deliver)


def failed(fault: Fault = Fault.RECIPIENT) -> Report:
    return Report(outcome=Outcome.FAILED, fault=fault, reason="2040 not registered")


PENDING = Report(outcome=Outcome.PENDING, provider_ref="AG_1")
UNKNOWN = Report(outcome=Outcome.UNKNOWN, reason="lost")
