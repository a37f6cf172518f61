"""A process that serves keeps knowing how rails do."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from types import SimpleNamespace

from sqlalchemy.exc import OperationalError

from gateway import main
from tests.factories import NOW


class Outlooks:
    """Can't be refreshed at first."""

    def __init__(self):
        self.asked, self.third = [], asyncio.Event()

    async def refresh(self, engine, *, now):
        self.asked.append((engine, now))
        if len(self.asked) == 1:
            raise OperationalError("SELECT", {}, Exception("gone"))
        if len(self.asked) == 2:
            raise ZeroDivisionError
        self.third.set()


async def test_what_is_known_is_read_again_even_after_it_could_not_be(monkeypatch):
    monkeypatch.setattr(main, "LEARN_EVERY", timedelta(0))
    outlooks = Outlooks()
    gateway = SimpleNamespace(outlooks=outlooks, engine="the engine", clock=lambda: NOW)
    task = asyncio.create_task(main._keep_looking(gateway))
    await asyncio.wait_for(outlooks.third.wait(), timeout=5)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert set(outlooks.asked) == {("the engine", NOW)}
