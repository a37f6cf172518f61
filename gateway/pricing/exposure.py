"""How much is promised and not yet paid for, so that a locked price isn't a free option.

A promise is a quote, from its making until its time is over or its order's money is seen in the chain. What a holder (a
partner, or everybody on the form together) is promised in a corridor is kept as running sums, one for each short slot of
time in which promises end. A sum counts until its slot is over, so a promise counts for at most a sixty-fourth of its time
longer than it holds. Money that a reorganisation takes back is promised again.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.db.session import Ask, Statement, quick
from gateway.errors import Refusal
from gateway.money import Asset, Money
from gateway.pricing.drops import next_drop

DOLLARS = Asset("USD", 2)
SLOTS = 64
"""In how many slots, at least, the time of a promise is divided; at most in twice as many. None is shorter than a second."""

_SECOND = timedelta(seconds=1)


class Place(NamedTuple):
    """Whose promises, and of what, are limited together."""

    holder: str
    """A partner's id; "" for all on the form."""
    corridor: str
    """"KE/KES/mobile_money"."""


class ExposureFull(Refusal):
    """As much is promised as may be."""

    code = "exposure_full"

    def __init__(self, promise: Promise, *, opened: Money, cap: Money, room_at: datetime | None, now: datetime) -> None:
        left = max(cap - opened, Money(0, DOLLARS))
        remedy = (
            f"Ask for at most {left}."
            if room_at is None
            else f"Up to {left} fit now; there is room for this one at {room_at:%Y-%m-%d %H:%M:%S} UTC, "
            "or as soon as open orders are paid."
        )
        super().__init__(
            f"{opened} of at most {cap} are promised in open quotes and unpaid orders to {promise.place.corridor}; "
            f"this quote would add {promise.worth}. {remedy}",
            field=promise.field,
        )
        self.retry_after = None if room_at is None else room_at - now


class Promise(NamedTuple):
    """What one quote would add."""

    place: Place
    worth: Money
    """In US dollars."""
    until: datetime
    """The end of its slot."""
    field: str
    """Which of the client's fields chose the amount."""


def slot_end(created_at: datetime, expires_at: datetime) -> datetime:
    """The end of the slot in which a promise ends: never before the promise does.

    Slots are as long as the largest power of two, in seconds, of which at least `SLOTS` fit in its time.
    """
    seconds = max((expires_at - created_at) // (SLOTS * _SECOND), 1)
    return next_drop(expires_at, every=(1 << seconds.bit_length() - 1) * _SECOND)


# Sets come as JSON: as arrays, writing them took longer than sending them.
_LOCK = text("""
SELECT count(pg_advisory_xact_lock(hashtextextended(key, 20))) FROM jsonb_array_elements_text(CAST(:keys AS jsonb)) AS key
""")
# Asked after the lock is held, so that it sees what everybody before has added.
_OPENED = text("""
SELECT e.holder, e.corridor, sum(e.units) AS units
FROM jsonb_to_recordset(CAST(:places AS jsonb)) AS k (holder text, corridor text)
JOIN exposures AS e ON (e.holder, e.corridor) = (k.holder, k.corridor) AND e.until > :now
GROUP BY e.holder, e.corridor
""")
_ADD = text("""
WITH over AS (
    DELETE FROM exposures AS e USING jsonb_to_recordset(CAST(:slots AS jsonb)) AS k (holder text, corridor text)
    WHERE (e.holder, e.corridor) = (k.holder, k.corridor) AND e.until < :over
)
INSERT INTO exposures (holder, corridor, until, units)
SELECT * FROM jsonb_to_recordset(CAST(:slots AS jsonb)) AS n (holder text, corridor text, until timestamptz, units numeric)
ON CONFLICT (holder, corridor, until) DO UPDATE SET units = exposures.units + excluded.units
""")
_ENDS = text("""
SELECT until, units FROM exposures WHERE holder = :holder AND corridor = :corridor AND until > :now
""")
_KEPT_FOR = timedelta(hours=1)
"""How long sums are kept that no longer count: longer than any two clocks of ours differ."""
# In READ COMMITTED the sums are read anew once their rows are locked.
_ARRIVED = text("""
WITH moved AS (
    SELECT COALESCE(q.partner_id, '') AS holder, q.country || '/' || q.receive_asset || '/' || q.method AS corridor,
        q.exposed_until AS until, sum(CASE WHEN o.id = ANY(:arrived) THEN -q.exposed_units ELSE q.exposed_units END) AS units
    FROM orders AS o JOIN quotes AS q ON q.id = o.quote_id
    WHERE o.id = ANY(CAST(:arrived AS text[]) || CAST(:dropped AS text[])) AND q.exposed_until > :now
    GROUP BY 1, 2, 3
), locked AS MATERIALIZED (
    SELECT e.holder, e.corridor, e.until, m.units FROM exposures AS e JOIN moved AS m USING (holder, corridor, until)
    ORDER BY e.holder, e.corridor, e.until FOR UPDATE OF e
)
UPDATE exposures AS e SET units = e.units + l.units FROM locked AS l
WHERE (e.holder, e.corridor, e.until) = (l.holder, l.corridor, l.until)
RETURNING 1
""")


def reading_opened(places: Sequence[Place], *, now: datetime) -> list[Statement]:
    """The statements that read what is promised there; the last one's rows are for `read_opened`.

    From the first one on, until the transaction is over, others who want to promise there wait.
    """
    keys = _json(["/".join(place) for place in places])
    return [(_LOCK, {"keys": keys}), (_OPENED, {"places": _json([place._asdict() for place in places]), "now": now})]


def read_opened(rows: Iterable[Any]) -> dict[Place, int]:
    """US cents by place; nothing where nothing is promised."""
    return {Place(row.holder, row.corridor): int(row.units) for row in rows}


async def fit(
    ask: Ask, promises: Sequence[Promise], opened: Mapping[Place, int], *, cap: Money, now: datetime
) -> tuple[list[ExposureFull | None], Statement | None]:
    """For each, one after the other, why it doesn't fit, or None; and the statement that notes down those that do."""
    totals = defaultdict(int, opened)
    added: dict[Place, Counter[datetime]] = defaultdict(Counter)
    kept: dict[Place, Counter[datetime]] = {}
    answers: list[ExposureFull | None] = []
    for one in promises:
        place = one.place
        if totals[place] + one.worth.units <= cap.units:
            totals[place] += one.worth.units
            added[place][one.until] += one.worth.units
            answers.append(None)
            continue
        if place not in kept:
            kept[place] = await _slots(ask, place, now=now)
        room_at = _room_at(one, kept[place] + added[place], totals[place], cap=cap)
        answers.append(ExposureFull(one, opened=Money(totals[place], DOLLARS), cap=cap, room_at=room_at, now=now))
    return answers, _adding(added, now=now) if added else None


def _adding(added: Mapping[Place, Counter[datetime]], *, now: datetime) -> Statement:
    """In the order of the key: so do all who lock several of these rows."""
    slots = [
        {**place._asdict(), "until": until, "units": str(units)}
        for place in sorted(added)
        for until, units in sorted(added[place].items())
    ]
    return _ADD, {"slots": _json(slots), "over": now - _KEPT_FOR}


def _json(rows: Sequence[object]) -> str:
    return msgspec.json.encode(rows).decode()


async def _slots(ask: Ask, place: Place, *, now: datetime) -> Counter[datetime]:
    """What is promised there, by when it is over."""
    [found] = await ask([(_ENDS, {**place._asdict(), "now": now})])
    return Counter({slot.until: int(slot.units) for slot in found})


def _room_at(one: Promise, slots: Mapping[datetime, int], opened: int, *, cap: Money) -> datetime | None:
    """When it fits if nothing else happens; None: never."""
    if cap < one.worth:
        return None
    left = opened
    for until in sorted(slots):
        left -= slots[until]
        if left + one.worth.units <= cap.units:
            return until
    return None


async def money_arrived(
    connection: AsyncConnection, *, arrived: Sequence[str], dropped: Sequence[str], now: datetime
) -> None:
    """Free the promises of the orders `arrived`, whose money was seen; those `dropped`, whose money is gone, count again.

    In the transaction of the orders' steps, so that each counts once.
    """
    if arrived or dropped:
        await quick(connection, _ARRIVED, {"arrived": list(arrived), "dropped": list(dropped), "now": now})
