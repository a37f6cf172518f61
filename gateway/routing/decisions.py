"""Decisions, kept: which rails could have paid an order, what they promised, why one was taken and others weren't.

Written in the transaction of the claim that decides, one row for a set of hundreds of orders. What can be worked out again
isn't written: `rank` says the same of the same scene, experience, room and order as it did then. Scenes and outlooks are
kept once for all claims that saw them.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from itertools import islice
from typing import NamedTuple

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.db.session import quick, transaction
from gateway.ids import new_id
from gateway.routing.choose import Tried, Way
from gateway.routing.documents import read_outlooks, read_scene, write_outlooks, write_scene
from gateway.routing.experience import Experience
from gateway.routing.scene import Scene

REFRESHED_AFTER = timedelta(days=1)
"""What is in use for so long is marked as such: pruning spares it."""
PRUNED_AT_ONCE = 1_000
SHELF_MOST = 64
"""Scenes that a reader remembers."""


class RoomKept(msgspec.Struct, frozen=True, array_like=True):
    """What a rail could be given when the claim began."""

    most: int | None = None
    """Calls; None: any number."""
    again_at: datetime | None = None
    reason: str | None = None
    left: dict[str, int] | None = None
    """Float by asset; None: not tracked. Nor is it of assets that aren't named."""
    in_bulk: bool = True


class Facts(msgspec.Struct, frozen=True, array_like=True):
    """What was known of an order that may change later."""

    ways: tuple[Way, ...]
    """But for the first."""
    tried: tuple[Tried, ...]


class Choices(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a claim saw of rails and orders, beside scene and experience."""

    rooms: dict[str, RoomKept] = {}
    """By rail; one that isn't named had room for anything."""
    facts: dict[str, Facts] = {}
    """By order; one that isn't named had one way, and none was tried."""
    held: tuple[str, ...] = ()
    """Orders for which nothing could be sent."""
    planned: bool = False
    """Whether orders were assigned together before: then a rail may be taken that isn't the best for its order alone."""


@dataclass(slots=True)
class Asked:
    """A snapshot of experience, and how many of its answers are kept."""

    experience: Experience
    id: str
    since: datetime
    number: int = 0


@dataclass(frozen=True, slots=True)
class KeptScene:
    """A scene that is kept already."""

    scene: Scene
    id: bytes
    asked: Asked
    since: datetime

    def committed(self, number: int) -> None:
        """So many answers are kept now."""
        self.asked.number = max(self.asked.number, number)


@dataclass(slots=True)
class Keeper:
    """Keeps scenes before claims see them; one per process."""

    latest: KeptScene | None = None

    async def kept(self, engine: AsyncEngine, *, scene: Scene, now: datetime) -> KeptScene:
        """The scene, kept: in a transaction of its own, so that claims never wait for each other's."""
        latest = self.latest
        fresh = latest is not None and now - latest.since < REFRESHED_AFTER
        if latest is not None and fresh and latest.scene is scene:
            return latest
        body = write_scene(scene)
        scene_id = sha256(body).digest()
        since = now
        if latest is not None and fresh and latest.id == scene_id:
            since = latest.since
        else:
            async with transaction(engine, point="dispatch.scene") as connection:
                await quick(connection, _KEEP_SCENE, {"id": scene_id, "body": zlib.compress(body), "now": now})
        self.latest = KeptScene(scene, scene_id, self._asked(scene.experience, now=now), since)
        return self.latest

    def _asked(self, experience: Experience, *, now: datetime) -> Asked:
        """The same one for the same experience, until its answers have to be kept anew."""
        asked = self.latest.asked if self.latest is not None else None
        if asked is not None and asked.experience is experience and now - asked.since < REFRESHED_AFTER:
            return asked
        return Asked(experience, new_id("exp", now=now), now)


class Span(NamedTuple):
    """The attempts of a claim: the first and the last one."""

    first: str | None = None
    last: str | None = None


async def keep(connection: AsyncConnection, *, kept: KeptScene, choices: Choices, span: Span, now: datetime) -> int:
    """Keep what a claim chose, in its transaction. Returns how many answers are kept once that is committed."""
    answers = kept.asked.experience.answers
    number = len(answers)
    if number > kept.asked.number:
        new = list(islice(answers.items(), kept.asked.number, number))
        values = {"experience": kept.asked.id, "body": zlib.compress(write_outlooks(new)), "now": now}
        await quick(connection, _KEEP_OUTLOOKS, values)
    values = {
        "at": now,
        "policy": kept.scene.policy.name,
        "scene": kept.id,
        "experience": kept.asked.id,
        "first": span.first,
        "last": span.last,
        "choices": msgspec.json.encode(choices).decode(),
    }
    await quick(connection, _KEEP, values)
    return number


_KEEP_SCENE = text("""
INSERT INTO route_scenes AS s (id, body, kept_at) VALUES (:id, :body, :now)
ON CONFLICT (id) DO UPDATE SET kept_at = GREATEST(s.kept_at, excluded.kept_at)
RETURNING true
""")
_KEEP_OUTLOOKS = text("""
INSERT INTO route_outlooks (experience, body, kept_at) VALUES (:experience, :body, :now) RETURNING id
""")
_KEEP = text("""
INSERT INTO route_decisions (at, policy, scene_id, experience, first, last, choices)
VALUES (:at, :policy, :scene, :experience, :first, :last, CAST(:choices AS jsonb))
RETURNING id
""")


_SCENE = text("SELECT body FROM route_scenes WHERE id = :id")
_OUTLOOKS = text("SELECT body FROM route_outlooks WHERE experience = :experience ORDER BY id")


@dataclass(slots=True)
class Shelf:
    """Scenes of the past, read once: whoever reads many decisions asks for few scenes."""

    scenes: dict[tuple[bytes, str], Scene] = field(default_factory=dict)

    async def scene(self, connection: AsyncConnection, *, scene_id: bytes, experience: str) -> Scene:
        """A kept scene, whose experience says what it said then. The database keeps it as long as its decisions."""
        key = (scene_id, experience)
        if key not in self.scenes:
            body = (await connection.execute(_SCENE, {"id": scene_id})).scalar_one()
            said = (await connection.execute(_OUTLOOKS, {"experience": experience})).scalars()
            answers = {asked: one for part in said for asked, one in read_outlooks(zlib.decompress(part)).items()}
            while len(self.scenes) >= SHELF_MOST:
                del self.scenes[next(iter(self.scenes))]
            self.scenes[key] = read_scene(zlib.decompress(body), answers=answers)
        return self.scenes[key]


_PRUNE = tuple(
    text(statement)
    for statement in (
        """
DELETE FROM route_decisions WHERE (at, id) IN (
    SELECT at, id FROM route_decisions WHERE at < :decisions ORDER BY at LIMIT :most)
""",
        """
DELETE FROM route_outlooks WHERE id IN (SELECT id FROM route_outlooks WHERE kept_at < :others ORDER BY kept_at LIMIT :most)
""",
        "DELETE FROM route_scenes WHERE kept_at < :others",
    )
)


async def prune(engine: AsyncEngine, *, keep_for: timedelta, now: datetime) -> int:
    """Delete what is older than that, a bounded piece at a time. Returns how many rows it deleted."""
    # What a decision rests on was kept a day before it at most.
    values = {"decisions": now - keep_for, "others": now - keep_for - 2 * REFRESHED_AFTER, "most": PRUNED_AT_ONCE}
    async with transaction(engine, point="routes.prune") as connection:
        return sum([(await connection.execute(statement, values)).rowcount for statement in _PRUNE])
