"""What stops quotes, in the database: tripped breakers, and halts by hand. Read anew with each set of quotes.

A stop names what it stops: a pair ("USD/KES"), a coin ("USDC"), a corridor ("KE/KES/mobile_money"), or everything ("*").
Stops of prices end by themselves; those by hand by a person's word. What becomes of money in flight: `gateway.pricing.rule`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.errors import Refusal
from gateway.operators.actions import record_action
from gateway.pricing.breakers import Breaker
from gateway.pricing.consensus import NoRate

EVERYTHING = "*"
"""The subject that stands for all."""


class RateJumped(NoRate):
    """The price is too far from what was published last, and nobody has confirmed it yet."""

    code = "rate_jumped"

    def __init__(self, *, quote: str, detail: str) -> None:
        super().__init__(f"The exchange rate for {quote} has just moved a lot. Try again in a few minutes.", detail=detail)


class CoinDepegged(NoRate):
    """The coin isn't worth what it should be."""

    code = "coin_depegged"

    def __init__(self, *, symbol: str, detail: str, field: str | None = "send.asset") -> None:
        super().__init__(
            f"{symbol} is not worth what it should be at the moment, so we don't take it. "
            "Send another coin, or come back later; don't send this one now.",
            detail=detail,
        )
        self.field = field


class CoinUnpriced(NoRate):
    """Nobody says reliably what the coin is worth."""

    code = "coin_unpriced"

    def __init__(self, *, symbol: str, detail: str) -> None:
        super().__init__(
            f"What {symbol} is worth can't be told at the moment. Try again in a few minutes, or send another coin.",
            detail=detail,
        )
        self.field = "send.asset"


class CoinHalted(NoRate):
    """A person has stopped a coin."""

    code = "coin_halted"

    def __init__(self, *, symbol: str, detail: str, field: str | None = "send.asset") -> None:
        super().__init__(
            f"We don't take {symbol} at the moment. Send another coin, or come back later; don't send this one now.",
            detail=detail,
        )
        self.field = field


class CorridorHalted(NoRate):
    """A person has stopped a corridor, or all of them."""

    code = "corridor_halted"

    def __init__(self, *, detail: str, field: str | None = "receive") -> None:
        super().__init__("We don't take new orders of this kind at the moment. Come back later.", detail=detail)
        self.field = field


class AlreadyHalted(Refusal):
    """Somebody has stopped it before."""

    code = "already_halted"

    def __init__(self, subject: str) -> None:
        super().__init__(f"{told(subject)} was halted by hand before; `lastmile corridor list` shows by whom and why")


class NotHalted(Refusal):
    """There is nothing to lift."""

    code = "not_halted"

    def __init__(self, subject: str) -> None:
        super().__init__(f"nothing halts {told(subject)}; `lastmile corridor list` shows what is halted")


class BadSubject(Refusal):
    """What was named can't be halted."""

    code = "bad_subject"


class NoJump(Refusal):
    """There is no jump to believe."""

    code = "no_jump"

    def __init__(self, base: str, quote: str) -> None:
        super().__init__(f"no price of {base}/{quote} waits to be believed; `lastmile rates` shows which do")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """One open stop."""

    id: int
    breaker: Breaker
    subject: str
    reason: str
    """For operators."""
    since: datetime
    stopped_by: str | None = None
    well_since: datetime | None = None
    """DEPEG: since when the coin's price has been inside its band again."""


def corridor_subject(country: str, currency: str, method: str) -> str:
    """What a stop of a corridor names."""
    return f"{country}/{currency}/{method}"


def told(subject: str) -> str:
    """A subject in words."""
    return "everything" if subject == EVERYTHING else subject


_OPEN = text("""
SELECT id, breaker, subject, reason, since, stopped_by, well_since FROM market_stops WHERE lifted_at IS NULL
ORDER BY since, id
""")
_HALT = text("""
INSERT INTO market_stops (breaker, subject, reason, since, stopped_by)
VALUES ('by_hand', :subject, :reason, :now, :operator)
ON CONFLICT (breaker, subject) WHERE lifted_at IS NULL DO NOTHING
""")
_RESUME = text("""
UPDATE market_stops SET lifted_at = greatest(:now, since), lifted_by = :operator
WHERE subject = :subject AND lifted_at IS NULL AND breaker IN ('by_hand', 'depeg')
""")
_ACCEPT = text("""
UPDATE market_pairs SET price = pending, low = pending, high = pending, at = :now, since = :now, pending = NULL, rounds = 0
WHERE base = :base AND quote = :quote AND pending IS NOT NULL
""")


async def open_stops(connection: AsyncConnection) -> list[Stop]:
    """Every open stop, the oldest first."""
    return [
        Stop(**{**row._mapping, "breaker": Breaker(row.breaker)})  # noqa: SLF001 - a Row's public mapping
        for row in await connection.execute(_OPEN)
    ]


async def halt(connection: AsyncConnection, *, subject: str, operator: str, reason: str, now: datetime) -> None:
    """Stop what `subject` names, by a person's word. Raises `AlreadyHalted`, and as `record_action` does."""
    await record_action(
        connection, operator=operator, action="market.halt", subject=f"market:{subject}", reason=reason, now=now
    )
    values = {"subject": subject, "operator": operator, "reason": reason.strip(), "now": now}
    if not (await connection.execute(_HALT, values)).rowcount:
        raise AlreadyHalted(subject)


async def resume(connection: AsyncConnection, *, subject: str, operator: str, reason: str, now: datetime) -> None:
    """End a halt by hand, and a coin's depeg with it. Raises `NotHalted`, and as `record_action` does.

    A coin that is still outside its band isn't quoted all the same, and trips its breaker again.
    """
    await record_action(
        connection, operator=operator, action="market.resume", subject=f"market:{subject}", reason=reason, now=now
    )
    values = {"subject": subject, "operator": operator, "now": now}
    if not (await connection.execute(_RESUME, values)).rowcount:
        raise NotHalted(subject)


async def accept_jump(
    connection: AsyncConnection, *, base: str, quote: str, operator: str, reason: str, now: datetime
) -> None:
    """Believe a price that jumped, by a person's word. Raises `NoJump`, and as `record_action` does."""
    await record_action(
        connection, operator=operator, action="market.accept", subject=f"market:{base}/{quote}", reason=reason, now=now
    )
    if not (await connection.execute(_ACCEPT, {"base": base, "quote": quote, "now": now})).rowcount:
        raise NoJump(base, quote)


def refuse_halted(
    stops: Mapping[str, Collection[Stop]],
    *,
    symbol: str,
    corridor: str | None = None,
    fields: tuple[str | None, str | None] = (None, None),
    takes_depegged: bool = False,
) -> None:
    """Raise what an open stop of this coin or corridor refuses with; `stops` are by subject.

    `corridor` None: only the coin matters. `fields`: the client's fields that chose coin and corridor. Raises
    `CorridorHalted`, `CoinHalted`, `CoinDepegged`.
    """
    coin_field, corridor_field = fields
    for subject in () if corridor is None else (EVERYTHING, corridor):
        for stop in stops.get(subject, ()):
            raise CorridorHalted(detail=_detail(stop), field=corridor_field)
    for stop in stops.get(symbol, ()):
        if stop.breaker is Breaker.BY_HAND:
            raise CoinHalted(symbol=symbol, detail=_detail(stop), field=coin_field)
        if not takes_depegged:
            raise CoinDepegged(symbol=symbol, detail=_detail(stop), field=coin_field)


def by_subject(stops: Collection[Stop]) -> dict[str, list[Stop]]:
    """Stops by what they stop."""
    found: dict[str, list[Stop]] = {}
    for stop in stops:
        found.setdefault(stop.subject, []).append(stop)
    return found


def _detail(stop: Stop) -> str:
    by = f" by {stop.stopped_by}" if stop.stopped_by else ""
    return f"{told(stop.subject)} stopped ({stop.breaker}{by}) since {stop.since:%Y-%m-%d %H:%M:%S} UTC: {stop.reason}"
