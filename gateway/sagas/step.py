"""The loop: legs that are due are sent or asked about, each rail by itself, and what was heard is recorded as sets."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from functools import partial

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.clock import Clock
from gateway.db.faults import again, passes
from gateway.db.session import transaction
from gateway.operators.incidents import Alarm, open_incidents
from gateway.payouts.rails import Rails
from gateway.sagas.calls import Heard, hear, settled
from gateway.sagas.due import DueLeg, begin, claim, in_legs, leg_alarm
from gateway.sagas.record import Told, record_legs

log = structlog.get_logger()

TICK_S = 0.25
"""How long answers wait for slower ones, in seconds: then those that are there are recorded, and their places taken."""

Answers = Sequence[tuple[DueLeg, Heard]]


async def step(engine: AsyncEngine, *, rails: Rails, clock: Clock) -> int:
    """Drive all legs that are due, until none is. Returns how many attempts and legs were looked at.

    A leg is claimed and committed before anything of it is sent, and is sent once, whatever is killed when: what became of
    it is asked for, by its rail's way with doubles. Any number of workers may do this at once.
    """
    adapters = in_legs(rails)
    if not adapters:
        return 0
    running: dict[asyncio.Task[Heard], DueLeg] = {}
    looked = 0
    try:
        while True:
            looked += await again(partial(begin, engine, rails=rails, now=clock()))
            taken = Counter(item.rail for item in running.values())
            due = await again(partial(claim, engine, rails=rails, taken=taken, now=clock()))
            looked += len(due)
            for item in due:
                facts = rails[item.rail].capabilities
                running[asyncio.create_task(hear(adapters[item.rail], item, capabilities=facts, clock=clock))] = item
            if not running:
                return looked
            done, _ = await asyncio.wait(running, timeout=TICK_S)
            answers = [(running.pop(task), task.result()) for task in list(running) if task in done]
            await _settle(engine, answers, rails=rails, clock=clock)
    finally:
        for task in running:
            task.cancel()


async def _settle(engine: AsyncEngine, answers: Answers, *, rails: Rails, clock: Clock) -> None:
    """Record answers as a set. One that can't be recorded goes to a person, and keeps none of the others."""
    if not answers:
        return
    try:
        await again(partial(_write, engine, answers, rails=rails, clock=clock))
    except Exception as error:
        if passes(error):
            raise
        log.exception("legs_not_recorded", number=len(answers))
    else:
        return
    for answer in answers:
        try:
            await again(partial(_write, engine, [answer], rails=rails, clock=clock))
        except Exception as error:
            if passes(error):
                raise
            item, _ = answer
            alarm = leg_alarm(item, "unrecordable", "answer_not_recorded")
            # The leg stays as it is: its rail is asked again, and the person is told.
            await again(partial(_write, engine, [(item, None)], rails=rails, clock=clock, alarms=[alarm]))


async def _write(engine: AsyncEngine, answers: Answers, *, rails: Rails, clock: Clock, alarms: Sequence[Alarm] = ()) -> None:
    now, capabilities = clock(), rails.capabilities
    told = [
        Told(
            leg_id=item.leg.leg_id,
            attempt_id=item.attempt_id,
            lease=item.lease,
            heard=settled(heard, item, capabilities=capabilities[item.rail], now=now),
        )
        for item, heard in answers
    ]
    async with transaction(engine, point="legs.record") as connection:
        await record_legs(connection, told=told, adapters=in_legs(rails), capabilities=capabilities, now=now)
        await open_incidents(connection, alarms=alarms, now=now)
