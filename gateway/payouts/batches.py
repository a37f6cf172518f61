"""Batches: orders that wait for a drop go to a rail as one instruction, where the rail takes one.

A batch is sent once: right after the claim that made it, by the worker that claimed it. Whatever is lost then, each of its
payments is asked about and settled alone, as if it had been sent alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.ids import new_id
from gateway.offramp import PaysInBulk
from gateway.payouts.allowances import Allowance
from gateway.payouts.rails import Rails

_OPEN = text("""
INSERT INTO batches (id, rail, slot, created_at)
SELECT id, rail, slot, :now
FROM unnest(CAST(:ids AS text[]), CAST(:rails AS text[]), CAST(:slots AS timestamptz[])) AS b (id, rail, slot)
""")


async def open_batches(
    connection: AsyncConnection,
    *,
    economy: Sequence[tuple[str, datetime]],
    rails: Rails,
    allowances: Mapping[str, Allowance],
    now: datetime,
) -> list[str | None]:
    """Batch ids for payments of one claim, each given as (rail, the drop that its order waited for), in that order.

    None for those that go alone: their rail takes no bulk instructions, or is to get a single payment now. No batch has more
    payments than its rail takes. To be called in the claim's transaction; each id then goes to the payment's attempt.
    """
    most = {name: _most(rails, name, allowances) for name in {name for name, _ in economy}}
    ids: list[str | None] = []
    opened: dict[str, tuple[str, datetime]] = {}
    filling: dict[str, tuple[str, int]] = {}
    for rail, slot in economy:
        if most[rail] < 1:
            ids.append(None)
            continue
        batch_id, number = filling.get(rail, ("", most[rail]))
        if number >= most[rail]:
            batch_id, number = new_id("bat", now=now), 0
        filling[rail] = batch_id, number + 1
        opened[batch_id] = rail, max(slot, opened[batch_id][1]) if batch_id in opened else slot
        ids.append(batch_id)
    if opened:
        names, slots = zip(*opened.values(), strict=True)
        await connection.execute(_OPEN, {"now": now, "ids": list(opened), "rails": list(names), "slots": list(slots)})
    return ids


def _most(rails: Rails, name: str, allowances: Mapping[str, Allowance]) -> int:
    adapter = rails[name]
    allowance = allowances.get(name)
    if not isinstance(adapter, PaysInBulk) or (allowance is not None and not allowance.in_bulk):
        return 0
    return adapter.bulk_most
