"""Failures of the database that pass: a cut connection, a deadlock, no connection free. Only transactions are repeated."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
from psycopg.errors import IdleInTransactionSessionTimeout
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionFree

log = structlog.get_logger()

T = TypeVar("T")

PAUSES_S = (0.05, 0.5)
"""Pauses before the second and the third try, in seconds. Who fails three times lets its loop wait."""


def passes(error: BaseException) -> bool:
    """Whether the same work may succeed another time: not the work was wrong, but the moment."""
    stood_still = isinstance(getattr(error, "orig", None), IdleInTransactionSessionTimeout)
    return stood_still or isinstance(error, OperationalError | InterfaceError | NoConnectionFree)


async def again(act: Callable[[], Awaitable[T]]) -> T:
    """Do one whole transaction, and do it again if what failed passes: what is known from the outside isn't thrown away.

    A connection cut during COMMIT leaves open whether it was done: `act` does nothing the second time if it was.
    """
    for pause in PAUSES_S:
        try:
            return await act()
        except Exception as error:
            if not passes(error):
                raise
            log.warning("transaction_repeated", error=type(error).__name__)
        await asyncio.sleep(pause)
    return await act()
