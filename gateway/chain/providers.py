"""What we think of each provider of a chain: trusted, or demoted with a reason and asked again after a growing pause.

Trust saves questions and names the culprit; it doesn't replace the vote: a provider that is trusted and lies is outvoted.
Seconds are those of a clock that only goes forward.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.chain.rpc import Final, Node
from gateway.chain.scan import Reach
from gateway.chain.wire import Header

PAUSE_FIRST_S = 1.0
PAUSE_MOST_S = 300.0
DOUBLINGS_MOST = 16
CALM_LEAST = 20
"""So many right answers in a row make a provider's past forgotten."""
HEALTH_S = 30.0
"""How often a provider that isn't needed at present is asked all the same."""
CHECK_AGAIN_S = 300.0
"""How often chain id and checkpoint are checked again."""
CLAIM_S = (60.0, 600.0)
"""How long a newest or final block may be one that no quorum has reached."""
TARDY_MOST = 8
REASON_MOST = 500
"""Longest reason kept, in characters."""
WRITE_EVERY = timedelta(seconds=5)
"""How old heads and counts in the table may be; a change of trust is written at once."""


class Claim(NamedTuple):
    """A block that only one provider has, and since when it says so."""

    number: int
    since_s: float


class Provider:
    """One operator's node."""

    def __init__(self, node: Node, *, name: str) -> None:
        self.node = node
        self.name = name
        """Unique in its chain; the operator's name, numbered if it has several nodes."""
        self.reach = Reach()
        """How wide a range of logs it answers."""
        self.reason: str | None = None
        """Why it isn't trusted; None: it is."""
        self.faults = 0
        self.head: Header | None = None
        """Its newest block, if it was asked in the present look."""
        self.final: Final | None = None
        self.highest: tuple[int | None, int | None] = (None, None)
        """Newest and newest final block, as it said last."""
        self.tardy = 0
        """How often of late the others were quicker or further; decides whom to ask first."""
        self.checked_s: float | None = None
        """When chain id and checkpoint were right; None: not since the last fault."""
        self.due_s = 0.0
        """When to ask it although it isn't needed."""
        self.went_back = 0
        """How often of late what it calls final was less than before."""
        self.fell = 0
        """By how many blocks at most."""
        self._claims: dict[str, Claim] = {}
        """What it claims to have reached before the others."""
        self._demotions = 0
        self._calm = 0

    @property
    def operator(self) -> str:
        """Whose word its answers are."""
        return self.node.name

    def met(self, head: Header, final: Final) -> None:
        """Note how far it says that the chain goes."""
        if final.header is not None and (fell := (self.highest[1] or 0) - final.number) > 0:
            self.went_back += 1
            self.fell = max(self.fell, fell)
        self.head, self.final, self.highest = head, final, (head.number, final.number)

    def claims_too_much(self, *, head: int, final: int, now_s: float) -> str | None:
        """A sentence if it said long ago that the chain goes further than where a quorum is now: `head` and `final`."""
        said = {"newest": self.highest[0] or 0, "newest final": self.highest[1] or 0}
        for (what, number), agreed, patience_s in zip(said.items(), (head, final), CLAIM_S, strict=True):
            least, since_s = self._claims.get(what, Claim(number, now_s))
            if number <= agreed or least <= agreed:
                self._claims.pop(what, None)
                continue
            self._claims[what] = Claim(min(least, number), since_s)
            if now_s - since_s > patience_s:
                return f"claims since {now_s - since_s:.0f} s that its {what} block is {least}, which others haven't reached"
        return None

    def needs_check(self, *, now_s: float) -> bool:
        """Whether chain id and checkpoint have to be looked at before its answer counts."""
        return self.checked_s is None or now_s - self.checked_s > CHECK_AGAIN_S

    def agreed(self, *, now_s: float) -> None:
        """It said what enough others said: it's trusted (again)."""
        self.reason = None
        self.tardy = max(self.tardy - 1, 0)
        self.due_s = now_s + HEALTH_S * random.uniform(0.5, 1)  # noqa: S311 - spreads questions, guards nothing
        self._calm += 1
        if self._calm >= CALM_LEAST:
            self._demotions = self.went_back = self.fell = 0

    def came_late(self) -> None:
        """Others were quicker or have newer blocks; no fault, but they are asked first from now on."""
        self.tardy = min(self.tardy + 1, TARDY_MOST)

    def demote(self, reason: str, *, now_s: float) -> None:
        """Stop asking it for a while: each time for twice as long, give or take, so that nobody is asked in step."""
        self.reason = reason[:REASON_MOST]
        self.faults += 1
        self.checked_s = None
        self._calm = self.went_back = self.fell = 0
        pause_s = min(PAUSE_FIRST_S * 2 ** min(self._demotions, DOUBLINGS_MOST), PAUSE_MOST_S)
        self._demotions += 1
        self.due_s = now_s + pause_s * random.uniform(0.5, 1)  # noqa: S311 - spreads retries, guards nothing


def providers_of(nodes: Sequence[Node]) -> tuple[Provider, ...]:
    """A provider per node, with names that differ."""
    taken: dict[str, int] = {}
    made = []
    for node in nodes:
        taken[node.name] = number = taken.get(node.name, 0) + 1
        made.append(Provider(node, name=node.name if number == 1 else f"{node.name} ({number})"))
    return tuple(made)


@dataclass(frozen=True, slots=True)
class _Row:
    """What the table was last told of a provider."""

    reason: str | None
    since: datetime
    at: datetime


_PUT = text("""
INSERT INTO chain_providers (chain_id, name, state, reason, since, head, final, faults, asked_at)
VALUES (:chain_id, :name, :state, :reason, :since, :head, :final, :faults, :now)
ON CONFLICT (chain_id, name) DO UPDATE
SET state = excluded.state, reason = excluded.reason, since = excluded.since, head = excluded.head, final = excluded.final,
    faults = excluded.faults, asked_at = excluded.asked_at
""")
_FORGET = text("DELETE FROM chain_providers WHERE chain_id = :chain_id AND name <> ALL(CAST(:names AS text[]))")


class Report:
    """Keeps the table of providers current for other processes, with few writes."""

    def __init__(self, *, chain_id: int, providers: Sequence[Provider]) -> None:
        self._chain_id = chain_id
        self._providers = providers
        self._told: dict[str, _Row] = {}

    def due(self, *, now: datetime) -> bool:
        """Whether there is something to write: trust has changed, or the numbers are old."""
        return any(self._news(provider, now=now) for provider in self._providers)

    async def write(self, connection: AsyncConnection, *, now: datetime) -> None:
        """Write what has changed; forget providers that are configured no more."""
        if not self._told:
            names = [provider.name for provider in self._providers]
            await connection.execute(_FORGET, {"chain_id": self._chain_id, "names": names})
        rows = [self._row(provider, now=now) for provider in self._providers if self._news(provider, now=now)]
        await connection.execute(_PUT, rows)

    def _news(self, provider: Provider, *, now: datetime) -> bool:
        told = self._told.get(provider.name)
        return told is None or (told.reason is None) != (provider.reason is None) or now - told.at >= WRITE_EVERY

    def _row(self, provider: Provider, *, now: datetime) -> dict[str, object]:
        told = self._told.get(provider.name)
        same = told is not None and (told.reason is None) == (provider.reason is None)
        since = told.since if told is not None and same else now
        self._told[provider.name] = _Row(provider.reason, since, now)
        head, final = provider.highest
        return {
            "chain_id": self._chain_id,
            "name": provider.name,
            "state": "trusted" if provider.reason is None else "demoted",
            "reason": provider.reason,
            "since": since,
            "head": head,
            "final": final,
            "faults": provider.faults,
            "now": now,
        }
