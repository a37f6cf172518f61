"""A round of the market: find each pair's middle rate, publish it or doubt it, keep it, and open and end stops by it.

Quotes don't wait for rounds: what trips a breaker is refused at once (`gateway.pricing.market`). A round is what remembers:
what was published last, since when something is stopped, that a coin was outside its band. Any number of processes may make
rounds; one at a time does, and one that brings no newer price changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.db.session import rows, transaction, wake
from gateway.operators.incidents import Alarm, open_incidents
from gateway.pricing.breakers import Breaker, Published, depegged, doubt, jumped
from gateway.pricing.consensus import Mid, NoRate, RateDisputed
from gateway.pricing.halts import Stop
from gateway.pricing.market import Market, coins_of, leapt, outside, read_market
from gateway.pricing.offer import Offer, PricingRules
from gateway.pricing.volatility import variance

HISTORY_KEPT = timedelta(days=90)

Points = Sequence[tuple[datetime, Fraction]]


class Wrong(NamedTuple):
    """What a round found that stops quotes."""

    breaker: Breaker
    subject: str
    reason: str


@dataclass(slots=True)
class Found:
    """What a round writes."""

    published: dict[tuple[str, str], Published] = field(default_factory=dict)
    """What is known now of pairs with newer prices."""
    history: list[dict[str, Any]] = field(default_factory=list)
    wrong: list[Wrong] = field(default_factory=list)
    inside: dict[str, bool] = field(default_factory=dict)
    """Coins that have a price, and whether it is inside the band."""
    unsure: set[tuple[str, str]] = field(default_factory=set)
    """Pairs without a rate: of them nothing is known that would end a jump."""


async def make_round(engine: AsyncEngine, *, offer: Offer, now: datetime) -> int:
    """Make a round, unless another process is making one. Returns how many stops it opened or ended."""
    async with transaction(engine, point="market.round") as connection:
        if not (await rows(connection, _TURN, {}))[0].mine:
            return 0
        market = await read_market(connection, offer=offer, now=now)
        points = await _points(connection, market, now=now)
        found = find(market, points=points, now=now)
        await _keep(connection, found)
        changed = await _sync(connection, market, found, now=now)
        await connection.execute(_PRUNE, {"before": now - HISTORY_KEPT})
        if changed:
            await wake(connection, "orders")
        return changed


def pairs_of(offer: Offer) -> list[tuple[str, str]]:
    """Pegs and the currencies that are paid out, but a currency in itself."""
    pegs = {token.peg for token in offer.tokens.values()}
    currencies = {terms.currency.code for terms in offer.corridors.values()}
    return sorted((peg, currency) for peg in pegs for currency in currencies if peg != currency)


def find(market: Market, *, points: Mapping[tuple[str, str], Points], now: datetime) -> Found:
    """What a round finds. Pure. `points`: what was published within the windows of jump and volatility."""
    found = Found()
    for base, quote in pairs_of(market.offer):
        _judge_pair(market, (base, quote), points.get((base, quote), ()), found, now=now)
    for symbol, peg in coins_of(market.offer):
        _judge_coin(market, (symbol, peg), points.get((symbol, peg), ()), found, now=now)
    return found


def _judge_pair(market: Market, key: tuple[str, str], points: Points, found: Found, *, now: datetime) -> None:
    (base, quote), rules = key, market.rules
    last = market.pair(*key).last
    try:
        middle = market.agreed(base, quote, now)
    except NoRate as refusal:
        found.unsure.add(key)
        # What never had a price isn't new: it is told by who asks for it.
        if last is not None:
            breaker = Breaker.SPREAD if isinstance(refusal, RateDisputed) else Breaker.STALE
            found.wrong.append(Wrong(breaker, f"{base}/{quote}", refusal.detail))
        return
    if last is not None and jumped(middle.price, last, rules=rules.breakers, now=now):
        news = middle.newest > last.newest
        if news:
            last = found.published[key] = doubt(middle.price, last, newest=middle.newest, rules=rules.breakers)
        # Two that agree to lie outvote a third: while somebody contradicts, only a person may believe a jump.
        believed = last.rounds >= rules.breakers.jump_rounds and not middle.outvoted
        if news or believed:
            found.history.append(_row(key, middle, published=believed, now=now))
        if not believed:
            found.wrong.append(Wrong(Breaker.JUMP, f"{base}/{quote}", leapt(base, quote, middle, last)))
            return
        last = replace(last, since=now)
    elif last is not None and not _is_news(middle, last):
        return
    else:
        found.history.append(_row(key, middle, published=True, now=now))
    found.published[key] = _publish(middle, last, points, rules=rules, now=now)


def _is_news(middle: Mid, last: Published | None) -> bool:
    """Whether there is anything to keep."""
    return last is None or middle.newest > last.newest or middle.price != last.price


def _judge_coin(market: Market, key: tuple[str, str], points: Points, found: Found, *, now: datetime) -> None:
    (symbol, peg), pair = key, market.pair(*key)
    try:
        price = market.coin_price(symbol, peg, now)
    except NoRate as refusal:
        if pair.last is not None:
            found.wrong.append(Wrong(Breaker.STALE, f"{symbol}/{peg}", refusal.detail))
        return
    if price is None:
        return
    if depegged(price.price, rules=market.rules.breakers):
        found.wrong.append(Wrong(Breaker.DEPEG, symbol, outside(symbol, peg, price.price, market.rules)))
    found.inside[symbol] = not depegged(price.price, rules=market.rules.breakers)
    if _is_news(price, pair.last):
        found.history.append(_row(key, price, published=True, now=now))
        found.published[key] = _publish(price, pair.last, points, rules=market.rules, now=now)


def _publish(middle: Mid, last: Published | None, points: Points, *, rules: PricingRules, now: datetime) -> Published:
    """The new price, with what was published within the windows before it."""
    since = now if last is None else last.since
    near = [price for at, price in points if at >= max(now - rules.breakers.jump_per, since)]
    return Published(
        price=middle.price,
        at=now,
        low=min([*near, middle.price]),
        high=max([*near, middle.price]),
        since=since,
        moves=variance([*points, (now, middle.price)]),
        newest=middle.newest,
    )


def _row(key: tuple[str, str], middle: Mid, *, published: bool, now: datetime) -> dict[str, Any]:
    return {
        "base": key[0],
        "quote": key[1],
        "at": now.isoformat(),
        "price": str(middle.price),
        "as_of": middle.as_of.isoformat(),
        "sources": middle.sources,
        "published": published,
    }


_TURN = text("SELECT pg_try_advisory_xact_lock(hashtextextended('market_round', 0)) AS mine")
_POINTS = text("""
SELECT base, quote, at, price FROM market_history
WHERE published AND at > :after AND at < :now AND base || '/' || quote = ANY(string_to_array(:pairs, ','))
ORDER BY at
""")
_HISTORY = text("""
INSERT INTO market_history (base, quote, at, price, as_of, sources, published)
SELECT base, quote, at, price, as_of, sources, published FROM jsonb_to_recordset(CAST(:rows AS jsonb))
    AS h (base text, quote text, at timestamptz, price text, as_of timestamptz, sources jsonb, published boolean)
ON CONFLICT DO NOTHING
""")
_PUBLISH = text("""
INSERT INTO market_pairs (base, quote, price, at, low, high, since, moves, newest, pending, rounds)
SELECT base, quote, price, at, low, high, since, moves, newest, pending, rounds
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS p (base text, quote text, price text, at timestamptz, low text, high text,
    since timestamptz, moves numeric, newest timestamptz, pending text, rounds integer)
ON CONFLICT (base, quote) DO UPDATE SET (price, at, low, high, since, moves, newest, pending, rounds) = (excluded.price,
    excluded.at, excluded.low, excluded.high, excluded.since, excluded.moves, excluded.newest, excluded.pending,
    excluded.rounds)
""")
_OPEN = text("""
INSERT INTO market_stops (breaker, subject, reason, since) SELECT breaker, subject, reason, :now
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS s (breaker text, subject text, reason text)
ON CONFLICT (breaker, subject) WHERE lifted_at IS NULL DO NOTHING
RETURNING id, breaker, subject, reason
""")
_LIFT = text("UPDATE market_stops SET lifted_at = greatest(:now, since) WHERE id = ANY(:ids) AND lifted_at IS NULL")
_WELL = text("UPDATE market_stops SET well_since = :well_since WHERE id = :id AND lifted_at IS NULL")
_PRUNE = text("DELETE FROM market_history WHERE at < :before")


async def _points(connection: AsyncConnection, market: Market, *, now: datetime) -> dict[tuple[str, str], list[Any]]:
    """What was published within the windows, of pairs that have newer prices than were published."""
    told = dict.fromkeys(pairs_of(market.offer), market.agreed) | dict.fromkeys(coins_of(market.offer), market.coin_price)
    concerned = []
    for key, tell in told.items():
        try:
            middle, last = tell(*key, now), market.pair(*key).last
        except NoRate:
            continue
        if last is not None and middle is not None and _is_news(middle, last):
            concerned.append(key)
    found: dict[tuple[str, str], list[Any]] = {key: [] for key in concerned}
    if concerned:
        after = now - max(market.rules.ttl.window, market.rules.breakers.jump_per)
        values = {"pairs": ",".join("/".join(key) for key in concerned), "after": after, "now": now}
        for row in await rows(connection, _POINTS, values):
            found[row.base, row.quote].append((row.at, Fraction(row.price)))
    return found


async def _keep(connection: AsyncConnection, found: Found) -> None:
    if found.history:
        await connection.execute(_HISTORY, {"rows": json.dumps(found.history)})
    if found.published:
        published = [_published_row(key, one) for key, one in sorted(found.published.items())]
        await connection.execute(_PUBLISH, {"rows": json.dumps(published)})


def _published_row(key: tuple[str, str], one: Published) -> dict[str, Any]:
    return {
        "base": key[0],
        "quote": key[1],
        "price": str(one.price),
        "at": one.at.isoformat(),
        "low": str(one.low),
        "high": str(one.high),
        "since": one.since.isoformat(),
        "moves": _decimal(one.moves),
        "newest": one.newest.isoformat(),
        "pending": None if one.pending is None else str(one.pending),
        "rounds": one.rounds,
    }


def _decimal(moves: Fraction) -> str:
    whole, part = divmod(int(moves * 10**6), 10**6)
    return f"{whole}.{part:06d}"


async def _sync(connection: AsyncConnection, market: Market, found: Found, *, now: datetime) -> int:
    """Open what is wrong and isn't stopped yet, with an incident each; end what is well again. How many changed."""
    wrong = {(one.breaker, one.subject) for one in found.wrong}
    opened = []
    if found.wrong:
        documents = [one._asdict() for one in sorted(found.wrong)]
        opened = list(await connection.execute(_OPEN, {"rows": json.dumps(documents), "now": now}))
    await open_incidents(connection, alarms=[_alarm(row, now=now) for row in opened], now=now)
    over = []
    for stop in market.stops:
        if stop.breaker is Breaker.DEPEG:
            if await _recovered(connection, stop, inside=found.inside.get(stop.subject), rules=market.rules, now=now):
                over.append(stop.id)
        elif stop.breaker is not Breaker.BY_HAND and (stop.breaker, stop.subject) not in wrong:
            # While there is no rate nobody can say that a jump is over.
            if stop.breaker is Breaker.JUMP and any("/".join(key) == stop.subject for key in found.unsure):
                continue
            over.append(stop.id)
    if over:
        await connection.execute(_LIFT, {"ids": over, "now": now})
    return len(opened) + len(over)


async def _recovered(
    connection: AsyncConnection, stop: Stop, *, inside: bool | None, rules: PricingRules, now: datetime
) -> bool:
    """Whether a coin has been inside its band for long enough; a coin without a price has not."""
    if not inside:
        if stop.well_since is not None:
            await connection.execute(_WELL, {"id": stop.id, "well_since": None})
        return False
    if stop.well_since is None:
        await connection.execute(_WELL, {"id": stop.id, "well_since": now})
        return not rules.breakers.depeg_recovery
    return now - stop.well_since >= rules.breakers.depeg_recovery


def _alarm(row: Any, *, now: datetime) -> Alarm:
    # What trips and recovers all day would open one after the other: one in an hour says it. A depeg is always told.
    which = f"{row.id}" if row.breaker == Breaker.DEPEG else f"{now:%Y-%m-%dT%H}"
    detail = {"stopped": row.subject, "reason": row.reason}
    return Alarm(f"market:{row.breaker}:{row.subject}:{which}", f"market_{row.breaker}", None, detail)
