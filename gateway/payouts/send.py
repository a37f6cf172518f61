"""Sending: what was claimed, all at once, within each rail's limits, while its worker's lease lasts.

`send_all` is an async generator: it yields lists of `News` as answers come in, so that what one rail answered is recorded
while another still thinks. Each payment it was given is in exactly one of the lists:

    async with aclosing(send_all(claimed, rails=rails, clock=clock)) as answers:
        async for news in answers: ...
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Coroutine, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from gateway.clock import Clock
from gateway.failpoints import failpoint
from gateway.legs import PaysInLegs
from gateway.offramp import Asked, AttemptRef, Fault, Instruction, Offramp, Outcome, PaysInBulk, Report
from gateway.payouts.calls import pay, pay_bulk, question
from gateway.payouts.rails import Rails, Slots
from gateway.payouts.record import News
from gateway.payouts.reports import LEASE_RAN_OUT

_T = TypeVar("_T")
GATHER_S = 0.25
"""How long an answer may wait for others, to be recorded with them as one set."""


class Claimed(msgspec.Struct, frozen=True, kw_only=True):
    """A committed attempt that this worker alone may send until `until`. Those of one `batch_id` go as one instruction."""

    adapter: str
    order_id: str
    instruction: Instruction
    lease: int
    until: datetime
    batch_id: str | None = None


async def send_all(claimed: Sequence[Claimed], *, rails: Rails, clock: Clock) -> AsyncGenerator[list[News], None]:
    """Send all of them, per rail at most as many at once as it takes; yield what is known of them as it becomes known.

    Never raises for an adapter's sake. No call is waited for longer than its rail's `answer_within`: then it is UNKNOWN, as
    is what closing the generator early breaks off (nothing is yielded of it; it is asked about when its lease has run out).
    """
    if not claimed:
        return
    sending = _Sending(claimed, rails=rails, clock=clock)
    try:
        while sending.left:
            yield await sending.news()
    finally:
        sending.stop()


class _Call(msgspec.Struct, frozen=True):
    """What goes as one instruction: one payment, or the payments of a batch."""

    items: Sequence[Claimed]
    latest: datetime
    """Later it is not sent: too little of a lease would be left for the answer."""


_TOO_LATE = Report(outcome=Outcome.FAILED, fault=Fault.TRANSIENT, reason=LEASE_RAN_OUT)
_BEGUN = Report(outcome=Outcome.PENDING, reason="its legs begin")
"""Of a rail that pays in legs: gateway.sagas makes them, one after the other, once this is recorded."""
_LoopSeconds = float
"""A moment by the event loop's clock."""
_abandoned: set[asyncio.Task[Any]] = set()
"""Calls that were told to stop and haven't yet. Only a reference keeps a task alive."""


class _Share:
    """One rail's part of a set: the calls that wait, those under way, and the tasks that make them."""

    __slots__ = ("adapter", "in_legs", "limit_s", "most", "running", "slots", "waiting", "workers")

    def __init__(self, adapter: Offramp, slots: Slots, items: Sequence[Claimed]) -> None:
        self.adapter = adapter
        self.in_legs = isinstance(adapter, PaysInLegs)
        self.slots = slots
        self.limit_s = adapter.capabilities.answer_within.total_seconds()
        self.most = adapter.capabilities.concurrency
        self.waiting = deque(_calls(adapter, items))
        self.running: dict[asyncio.Task[None], tuple[_LoopSeconds, _Call]] = {}
        """With the loop's time by which each has to end; in that order, for all of one rail may take equally long."""
        self.workers = 0


class _Sending:
    """The sending of one set. Tasks take calls one after the other: what is answered at once costs no task of its own."""

    def __init__(self, claimed: Sequence[Claimed], *, rails: Rails, clock: Clock) -> None:
        self.left = len(claimed)
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._answered: list[News] = []
        self._bell = asyncio.Event()
        self._error: BaseException | None = None
        by_rail: dict[str, list[Claimed]] = {}
        for item in claimed:
            by_rail.setdefault(item.adapter, []).append(item)
        self._shares = [_Share(rails[name], rails.slots(name), items) for name, items in by_rail.items()]
        self._tasks: set[asyncio.Task[None]] = set()
        for share in self._shares:
            self._employ(share)

    async def news(self) -> list[News]:
        """What became known since last time: never nothing. Raises what a failpoint raised."""
        while True:
            await self._pause()
            if self._error is not None:
                raise self._error
            self._give_up()
            if self._answered:
                news, self._answered = self._answered, []
                self.left -= len(news)
                return news

    def stop(self) -> None:
        """Break off what is under way."""
        for task in list(self._tasks):
            _abandon(task)

    async def _pause(self) -> None:
        """Until everything is answered, or long enough to look."""
        if len(self._answered) == self.left:
            return
        self._bell.clear()
        ends = [end for share in self._shares for end, _ in list(share.running.values())[:1]]
        pause = min([GATHER_S, *(end - self._loop.time() for end in ends)])
        timer = self._loop.call_later(max(pause, 0), self._bell.set)
        try:
            await self._bell.wait()
        finally:
            timer.cancel()

    def _give_up(self) -> None:
        """End what takes too long. A task that won't end when told to is left alone; its slot stays taken as long."""
        for share in self._shares:
            while share.running:
                task, (end, call) = next(iter(share.running.items()))
                if end > self._loop.time():
                    break
                del share.running[task]
                _abandon(task)
                share.workers -= 1
                self._answer_all(call, Report(outcome=Outcome.UNKNOWN, reason=f"no answer within {share.limit_s:g} s"))
            while share.waiting and self._clock() > share.waiting[0].latest:
                self._answer_all(share.waiting.popleft(), _TOO_LATE)
            self._employ(share)

    def _employ(self, share: _Share) -> None:
        if share.waiting and share.workers < share.most:
            share.workers += 1
            task = self._loop.create_task(self._work(share))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _work(self, share: _Share) -> None:
        try:
            await self._make_calls(share)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - a failpoint's, for whoever waits for the news
            self._error = error
            self._bell.set()

    async def _make_calls(self, share: _Share) -> None:
        task = asyncio.current_task()
        assert task is not None
        colleague = False
        while share.waiting:
            async with share.slots:
                while share.waiting:
                    call = share.waiting.popleft()
                    if not colleague:
                        # Takes the next one while this one is under way; finds nothing to do if all are answered at once.
                        self._employ(share)
                        colleague = True
                    failpoint("send:before")
                    # Too little of the lease is left for an answer (a frozen worker, a slow commit): it is not sent. Whoever
                    # took the lease over in between is not disturbed, for then this news is under an old lease.
                    if self._clock() > call.latest:
                        self._answer_all(call, _TOO_LATE)
                        continue
                    share.running[task] = (self._loop.time() + share.limit_s, call)
                    if share.in_legs:
                        reports = [_BEGUN] * len(call.items)
                    elif call.items[0].batch_id is None:
                        reports = [await pay(share.adapter, call.items[0].instruction)]
                    else:
                        reports = await _pay_batch(share.adapter, call.items)
                    failpoint("send:after_reply")
                    if share.running.pop(task, None) is None:
                        return  # nobody waited so long: it is UNKNOWN already
                    self._answer(call, reports)
                    if share.slots.awaited:
                        break
        share.workers -= 1

    def _answer(self, call: _Call, reports: Sequence[Report]) -> None:
        """Reports in the order of the call's payments."""
        for item, report in zip(call.items, reports, strict=True):
            attempt_id, order_id = item.instruction.attempt_id, item.order_id
            self._answered.append(News(attempt_id=attempt_id, order_id=order_id, report=report, lease=item.lease))
        if len(self._answered) == self.left:
            self._bell.set()

    def _answer_all(self, call: _Call, report: Report) -> None:
        self._answer(call, [report] * len(call.items))


def _calls(adapter: Offramp, items: Sequence[Claimed]) -> list[_Call]:
    """Payments one by one; those of a batch together where the rail can. It has one call: what doesn't fit goes alone."""
    batches: dict[str, list[Claimed]] = {}
    alone: list[Claimed] = []
    for item in items:
        if item.batch_id is None:
            alone.append(item)
        else:
            batches.setdefault(item.batch_id, []).append(item)
    most = adapter.bulk_most if isinstance(adapter, PaysInBulk) else 0
    for batch in batches.values():
        alone.extend(replace(item, batch_id=None) for item in batch[most:])
    together = [batch[:most] for batch in batches.values() if most]
    limit = adapter.capabilities.answer_within
    return [
        *(_Call(batch, min(item.until for item in batch) - limit) for batch in together),
        *(_Call((item,), item.until - limit) for item in alone),
    ]


async def _pay_batch(adapter: Offramp, items: Sequence[Claimed]) -> list[Report]:
    assert isinstance(adapter, PaysInBulk)
    assert items[0].batch_id is not None
    reports = await pay_bulk(adapter, items[0].batch_id, [item.instruction for item in items])
    return [reports[item.instruction.attempt_id] for item in items]


def _abandon(task: asyncio.Task[Any]) -> None:
    task.cancel()
    _abandoned.add(task)
    task.add_done_callback(_abandoned.discard)


async def send(adapter: Offramp, instruction: Instruction, *, again: bool = False) -> Report:
    """Send one instruction, as `pay` does; without an answer within the adapter's `answer_within` it is UNKNOWN."""
    try:
        return await _within(adapter, pay(adapter, instruction, again=again))
    except TimeoutError as error:
        return Report(outcome=Outcome.UNKNOWN, reason=str(error))


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """A question that failed: it tells nothing, so nothing changes but the time of the next one."""

    reason: str


async def ask(adapter: Offramp, attempt: AttemptRef) -> Report | Asked | NoAnswer:
    """Ask about an attempt; never raises but for cancellation."""
    try:
        answer = await _within(adapter, question(adapter, attempt))
    except TimeoutError as error:
        return NoAnswer(str(error))
    return NoAnswer(answer) if isinstance(answer, str) else answer


async def _within(adapter: Offramp, call: Coroutine[object, object, _T]) -> _T:
    """The call's result. Raises TimeoutError after `answer_within`, even if the adapter won't be told to stop."""
    limit_s = adapter.capabilities.answer_within.total_seconds()
    task = asyncio.get_running_loop().create_task(call)
    try:
        done, _ = await asyncio.wait({task}, timeout=limit_s)
    except asyncio.CancelledError:
        _abandon(task)
        raise
    if not done:
        _abandon(task)
        raise TimeoutError(f"no answer within {limit_s:g} s")
    return task.result()
