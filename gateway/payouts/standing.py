"""How each rail is doing, for people: its breaker, what is under way there, what we hold and what of it is promised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.money import Asset, Money
from gateway.payouts.breakers import BreakerState, breaker_states
from gateway.payouts.health import Breaker
from gateway.payouts.rails import Rails


@dataclass(frozen=True, slots=True, kw_only=True)
class Float:
    """What we hold at a rail in one currency, by the ledger."""

    held: Money
    promised: Money
    """To payments that are open: on their way, or nobody knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RailStanding:
    """One configured rail."""

    rail: str
    breaker: BreakerState | None
    """None: nothing was ever seen against it."""
    open_attempts: int
    floats: tuple[Float, ...]
    """Empty: no top-up was ever booked, so that its float isn't tracked."""

    @property
    def state(self) -> Breaker:
        """Its breaker's."""
        return Breaker.CLOSED if self.breaker is None else self.breaker.state

    def document(self) -> dict[str, Any]:
        """For programs."""
        breaker = self.breaker
        return {
            "rail": self.rail,
            "breaker": self.state,
            "since": breaker and breaker.since and breaker.since.isoformat(),
            "reason": breaker and breaker.reason,
            "stopped_by": breaker and breaker.stopped_by,
            "open_attempts": self.open_attempts,
            "float": [
                {"currency": one.held.asset.code, "held": one.held.decimal(), "promised": one.promised.decimal()}
                for one in self.floats
            ],
        }

    def text(self) -> str:
        """A line for people, and more where there is something to say."""
        floats = ", ".join(f"{one.held} held, {one.promised} promised" for one in self.floats) or "float not tracked"
        line = f"{self.rail}  {self.state}  {self.open_attempts} open  {floats}"
        if self.breaker is None or self.state is Breaker.CLOSED:
            return line
        by = f" by {self.breaker.stopped_by}" if self.breaker.stopped_by else ""
        return f"{line}\n  since {self.breaker.since:%H:%M UTC on %d %B}{by}: {self.breaker.reason}"


_OPEN = text("SELECT adapter, count(*) AS number FROM attempts WHERE closed_at IS NULL GROUP BY adapter")
_FLOATS = text("""
SELECT b.rail, b.asset, s.decimals, b.held, COALESCE((
    SELECT sum(a.deliver_units) FROM attempts AS a
    WHERE a.adapter = b.rail AND a.closed_at IS NULL AND a.deliver_asset = b.asset
), 0) AS promised
FROM rail_balances AS b JOIN assets AS s ON s.code = b.asset WHERE b.top_ups > 0 ORDER BY b.rail, b.asset
""")


async def rail_standings(connection: AsyncConnection, *, rails: Rails) -> list[RailStanding]:
    """Every configured rail, in the operator's order."""
    breakers = {state.rail: state for state in await breaker_states(connection)}
    attempts = {row.adapter: row.number for row in await connection.execute(_OPEN)}
    floats: dict[str, list[Float]] = {}
    for row in await connection.execute(_FLOATS):
        asset = Asset(row.asset, row.decimals)
        one = Float(held=Money(int(row.held), asset), promised=Money(int(row.promised), asset))
        floats.setdefault(row.rail, []).append(one)
    return [
        RailStanding(
            rail=name,
            breaker=breakers.get(name),
            open_attempts=attempts.get(name, 0),
            floats=tuple(floats.get(name, ())),
        )
        for name in rails
    ]
