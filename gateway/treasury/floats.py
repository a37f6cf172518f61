"""Floats: what we hold at each rail, asked now, and a person told in time to put money in."""

from __future__ import annotations

import asyncio

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.clock import Clock
from gateway.db.session import reading, transaction
from gateway.ids import new_id
from gateway.money import Money
from gateway.offramp import CallbackRequest, HoldsBalance, Offramp, OfframpError
from gateway.operators.incidents import Alarm, open_incidents
from gateway.payouts.rails import Rails
from gateway.payouts.weather import hear
from gateway.railkit.floats import QUESTION, AsksBalance, WantsTopUps
from gateway.treasury.demand import sum_demand
from gateway.treasury.levels import judge, keep_told, prune
from gateway.treasury.outlook import FloatBook, make_plan, read_outlook
from gateway.treasury.plans import keep_plan, newest_plan

log = structlog.get_logger()

ANSWERED_WITHIN_S = 30.0
"""How long a rail that answers by callback may take; Daraja usually takes a few seconds."""
LOOK_S = 0.2
"""How often the inbox is looked into meanwhile."""

_LAST = text("SELECT COALESCE(max(id), 0) FROM callbacks")
# By the primary key: the inbox of a year is large, what has come since the question is not.
_ANSWERS = text("""
SELECT attempt_id, label, headers, body, received_at FROM callbacks
WHERE id > :after AND adapter = :rail AND attempt_id = :question ORDER BY id LIMIT 1
""")


class NotAnswered(OfframpError):
    """The rail took our question, and its answer did not arrive in time."""


def tells_balance(adapter: Offramp) -> bool:
    """Whether the rail tells what we hold there, at once or by callback."""
    return isinstance(adapter, HoldsBalance | AsksBalance)


async def balance_of(engine: AsyncEngine, *, rail: str, adapter: Offramp, clock: Clock) -> tuple[Money, ...]:
    """What the rail says that we can pay out there. Raises what the adapter raises, and `NotAnswered`.

    A rail that answers by callback is waited for: its answer comes to the inbox, in whichever process serves it.
    """
    if isinstance(adapter, HoldsBalance):
        return await adapter.balance()
    assert isinstance(adapter, AsksBalance)
    question = new_id(QUESTION, now=clock())
    async with reading(engine) as connection:
        after = (await connection.execute(_LAST)).scalar_one()
    await adapter.ask_balance(question)
    try:
        async with asyncio.timeout(ANSWERED_WITHIN_S):
            return adapter.read_balance(await _answer(engine, rail=rail, question=question, after=after))
    except TimeoutError:
        raise NotAnswered(f"no answer within {ANSWERED_WITHIN_S:g} s") from None


async def ask_all(engine: AsyncEngine, *, rails: Rails, clock: Clock) -> dict[str, tuple[Money, ...]]:
    """What the rails say that tell their balances, asked at the same time. Who doesn't answer is left out, and logged."""

    async def ask(rail: str, adapter: Offramp) -> tuple[Money, ...] | None:
        try:
            return await balance_of(engine, rail=rail, adapter=adapter, clock=clock)
        except Exception as error:  # noqa: BLE001 - whatever an adapter raises, the other rails are asked all the same
            log.warning("balance_not_told", adapter=rail, error=type(error).__name__)
            return None

    telling = {rail: adapter for rail, adapter in rails.items() if tells_balance(adapter)}
    answers = await asyncio.gather(*(ask(rail, adapter) for rail, adapter in telling.items()))
    return {rail: answer for rail, answer in zip(telling, answers, strict=True) if answer is not None}


async def watch_floats(engine: AsyncEngine, *, rails: Rails, clock: Clock) -> int:
    """Ask every rail and keep what it says; open an incident for a float below its adapter's mark, once a day while it is.

    Returns 0 for the loop that runs it: to look again at once would tell nothing new.
    """
    told = await ask_all(engine, rails=rails, clock=clock)
    now = clock()
    alarms = [
        _alarm(rail, money, mark, day=f"{now:%Y-%m-%d}")
        for rail, answer in told.items()
        if isinstance(adapter := rails[rail], WantsTopUps)
        for mark in adapter.top_up_below
        for money in answer
        if money.asset == mark.asset and money < mark
    ]
    async with transaction(engine, point="floats.watch") as connection:
        await keep_told(connection, told=told, now=now)
        for rail in told:
            await hear(connection, rail=rail, now=now)
        await open_incidents(connection, alarms=alarms, now=now)
    return 0


async def keep_floats(engine: AsyncEngine, *, rails: Rails, book: FloatBook, clock: Clock) -> int:
    """One round: ask, sum what was paid, tell who has to know, and make a plan if the last one is stale.

    Returns 0 for the loop that runs it.
    """
    await watch_floats(engine, rails=rails, clock=clock)
    await sum_demand(engine, rules=book.rules, now=clock())
    now = clock()
    async with transaction(engine, point="floats.judge") as connection:
        outlook = await read_outlook(connection, book=book, now=now)
        fallen = await judge(connection, judged=[one.judged for one in outlook.standings], now=now)
        await prune(connection, before=now - book.rules.keep)
        plan = await newest_plan(connection)
        if book.rules.fills and (fallen or plan is None or now >= plan.valid_until):
            await keep_plan(connection, plan=await make_plan(connection, outlook=outlook, book=book))
    return 0


async def _answer(engine: AsyncEngine, *, rail: str, question: str, after: int) -> CallbackRequest:
    while True:
        async with reading(engine) as connection:
            found = await connection.execute(_ANSWERS, {"after": after, "rail": rail, "question": question})
            row = found.one_or_none()
        if row is not None:
            return CallbackRequest(
                attempt_id=row.attempt_id, label=row.label, headers=row.headers, body=row.body, received_at=row.received_at
            )
        await asyncio.sleep(LOOK_S)


def _alarm(rail: str, held: Money, mark: Money, *, day: str) -> Alarm:
    detail = {
        "rail": rail,
        "held": str(held),
        "top_up_below": str(mark),
        "next": f"put money in, then book it: lastmile rails top-up {rail}",
    }
    return Alarm(f"float:{rail}:{mark.asset.code}:{day}", "float_low", None, detail)
