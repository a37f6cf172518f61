"""Everything about floats at one moment: levels, what is expected, chances, and the plan that follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fractions import Fraction

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.money import Asset, Money, Rate
from gateway.pricing.consensus import NoRate
from gateway.pricing.market import Market, read_market
from gateway.pricing.offer import Offer
from gateway.treasury import forecast as forecasts
from gateway.treasury.demand import read_histories, together
from gateway.treasury.floatrules import NO_RULES, Fill, FloatRules, Marks, Place
from gateway.treasury.forecast import Forecast
from gateway.treasury.levels import Judged, Level, percent, read_levels, units_of
from gateway.treasury.plan import Need, Plan, Planner, Pool, Way, arrival
from gateway.treasury.stockout import HOUR, StockOut, falls_below, stock_out

KEPT_FOR = timedelta(hours=72)
"""Where no reserve is given, what may be needed within that time isn't moved elsewhere."""
BAD_CASE = 95
"""In so many percent of all cases no more is needed."""
LOOKED_AT = timedelta(hours=24)
"""A float is planned for that long before it has to be: a person has to see the plan."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FloatBook:
    """What reading and planning need from the rest of the house."""

    rails: Sequence[str]
    """Their names, in the operator's order."""
    offer: Offer
    rules: FloatRules = field(default=NO_RULES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One float: how it stands, and what is expected of it."""

    level: Level
    marks: Marks
    low: int | None
    critical: int | None
    target: int | None
    reserve: int | None
    """None: nobody said, and nothing was ever paid there."""
    forecast: Forecast | None
    """None: nothing was ever paid there."""
    chances: StockOut | None

    @property
    def judged(self) -> Judged:
        """For alarms."""
        return Judged(level=self.level, low=self.low, critical=self.critical, chances=self.chances)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """All floats."""

    now: datetime
    standings: tuple[Standing, ...]
    currencies: Mapping[Asset, Forecast]
    """What is expected of each currency, by all rails together."""
    forecasts: Mapping[Place, Forecast]


async def read_outlook(connection: AsyncConnection, *, book: FloatBook, now: datetime) -> Outlook:
    """How floats stand and what is expected. Fits one model per float and one per currency: about 2 ms each."""
    levels = await read_levels(connection, rails=book.rails, now=now)
    histories = await read_histories(connection, rules=book.rules, now=now)
    assets = {terms.currency.code: terms.currency for terms in book.offer.corridors.values()}
    assets |= {level.asset.code: level.asset for level in levels}
    found = {
        (rail, code): model
        for (rail, code), history in histories.items()
        if code in assets
        and (model := forecasts.fit(history, asset=assets[code], calendar=book.rules.calendar(code))) is not None
    }
    currencies = {}
    for code in sorted({code for _, code in found}):
        whole = together(history for (_, each), history in histories.items() if each == code)
        if whole and (model := forecasts.fit(whole, asset=assets[code], calendar=book.rules.calendar(code))) is not None:
            currencies[assets[code]] = model
    return Outlook(
        now=now,
        standings=tuple(_standing(level, found.get(level.place), rules=book.rules) for level in levels),
        currencies=currencies,
        forecasts=found,
    )


def _standing(level: Level, model: Forecast | None, *, rules: FloatRules) -> Standing:
    now, marks = level.now, rules.marks.get(level.place, Marks())
    low, critical, target, reserve = (
        units_of(mark, asset=level.asset, forecast=model, now=now)
        for mark in (marks.low, marks.critical, marks.target, marks.reserve)
    )
    if reserve is None and model is not None:
        reserve = model.over(now, now + KEPT_FOR).quantile(BAD_CASE).units
    chances = None
    if model is not None and level.available is not None:
        fills = [fill for fill in rules.fills if (fill.rail, fill.pays) == (level.rail, level.asset)]
        arrivals = [_arrival(fill, now, rules) for fill in fills]
        chances = stock_out(model, available=level.available, now=now, top_up_at=min(arrivals, default=None))
    return Standing(
        level=level,
        marks=marks,
        low=low,
        critical=critical,
        target=target,
        reserve=reserve,
        forecast=model,
        chances=chances,
    )


def _arrival(fill: Fill, start: datetime, rules: FloatRules) -> datetime:
    countries = rules.calendar(fill.pays.code).countries if fill.working_days else None
    return arrival(start, lead=fill.lead, countries=countries)


async def make_plan(connection: AsyncConnection, *, outlook: Outlook, book: FloatBook) -> Plan:
    """What to move now. Writes nothing."""
    notes: list[str] = []
    market = await read_market(connection, offer=book.offer, now=outlook.now)
    ways = _ways(book, market, notes, now=outlook.now)
    pools = {**_rail_pools(outlook), **await _chain_pools(connection, book)}
    _keep_for_payouts(pools, ways, outlook)
    planner = Planner(
        ways=ways,
        deposits=book.rules.deposits,
        pools=pools,
        countries=lambda code: book.rules.calendar(code).countries,
        now=outlook.now,
    )
    needs = [need for one in outlook.standings if (need := _need(one, book.rules, notes)) is not None]
    return planner.plan(needs, valid_for=book.rules.plan_valid, notes=notes)


def _ways(book: FloatBook, market: Market, notes: list[str], *, now: datetime) -> list[Way]:
    """Fills with today's prices. What can't be priced is said and left out."""
    ways = []
    for fill in book.rules.fills:
        if fill.peg is None:
            ways.append(Way(fill=fill, rate=None))
            continue
        try:
            price = _price(book.offer, market, fill, peg=fill.peg, now=now)
        except NoRate as refusal:
            notes.append(f"{fill.by} can't be reckoned with for {fill.rail}: {refusal.detail}")
        else:
            ways.append(Way(fill=fill, rate=Rate.per_whole(price, base=fill.gives, quote=fill.pays)))
    return ways


def _price(offer: Offer, market: Market, fill: Fill, *, peg: str, now: datetime) -> Fraction:
    """What one coin is worth: its own price where we take that coin, else its peg's. Raises `NoRate`."""
    token = next((one for one in offer.tokens.values() if one.asset.symbol == fill.gives.symbol and one.peg == peg), None)
    mid = market.middle(peg, fill.pays.code, now) if token is None else market.value(token, fill.pays.code, now)
    return mid.price


def _need(one: Standing, rules: FloatRules, notes: list[str]) -> Need | None:
    """What a float wants; None: it has enough for now, or nobody said what enough is.

    What approved moves bring counts as there: the same isn't planned twice.
    """
    level, marks = one.level, one.marks
    if marks.target is None:
        return None
    if level.available is None or one.target is None:
        why = "nobody knows what is there" if level.available is None else "nothing was paid there yet: hours mean nothing"
        notes.append(f"{level.rail}: no plan for its {level.asset.code}: {why}")
        return None
    available, floor = level.available + level.incoming, one.critical or 0
    mark = next((units for units in (one.low, one.critical, one.target) if units is not None), 0)
    hit = None
    if one.forecast is not None:
        hit = falls_below(one.forecast, available=available, level=floor, now=level.now)
    leads = [_arrival(fill, level.now, rules) for fill in rules.fills if (fill.rail, fill.pays) == (level.rail, level.asset)]
    is_low = available < mark
    if not is_low and (hit is None or hit > max(leads, default=level.now) + LOOKED_AT):
        return None
    due = hit or level.now + LOOKED_AT
    return Need(
        rail=level.rail,
        asset=level.asset,
        available=available,
        target=one.target,
        due=due,
        because=_because(one, mark=mark if is_low else None, due=due),
    )


def _because(one: Standing, *, mark: int | None, due: datetime) -> str:
    level = one.level
    assert level.available is not None
    said = f"{level.rail} has {level.money(level.available)} free"
    if level.incoming:
        said += f" and {level.money(level.incoming)} on their way by approved moves"
    if mark is not None:
        said += f", below its mark of {level.money(mark)}"
    if one.forecast is None or one.chances is None:
        return said
    day = one.forecast.over(level.now, level.now + 24 * HOUR)
    said += (
        f"; 24 h need {day.money}, in a bad case {day.quantile(BAD_CASE)}, so that it is dry within 72 h with a chance of "
    )
    said += percent(one.chances.within[72])
    return said if mark is not None else f"{said} and may be at its critical mark by {due:%a %d %b %H:%M} UTC"


def _rail_pools(outlook: Outlook) -> dict[Place, Pool]:
    """What rails can spare: above the reserve and, where it has one, above its own target.

    What approved moves bring there counts, so that it isn't fetched a second time. It can't be approved before it is there.
    """
    pools = {}
    for one in outlook.standings:
        if one.level.available is not None:
            kept = max(one.reserve or 0, one.target or 0)
            there = one.level.available + one.level.incoming
            pool = Pool(asset=one.level.asset, free=max(there - kept, 0), reserve=kept)
            pools[f"rail:{one.level.rail}", one.level.asset.code] = pool
    return pools


_COINS = text("""
WITH held AS (
    SELECT account, asset, sum(units) AS units FROM (
        SELECT account, asset, held AS units FROM wallet_balances
        UNION ALL SELECT facts ->> 'wallet', gave_asset, -gave_units FROM legs WHERE on_chain AND closed_at IS NULL
            AND gave_units IS NOT NULL
    ) AS moves GROUP BY account, asset
), owing AS (
    SELECT order_id AS id FROM waiting_orders WHERE state = 'funded'
    UNION SELECT order_id FROM attempts WHERE closed_at IS NULL
    UNION SELECT order_id FROM waiting_orders WHERE state IN ('held', 'uncertain', 'refunding')
), owed AS (
    SELECT asset, sum(units) AS units FROM (
        SELECT q.send_asset AS asset, q.send_units AS units
        FROM owing AS w JOIN orders AS o ON o.id = w.id JOIN quotes AS q ON q.id = o.quote_id
        UNION ALL
        SELECT asset, unallocated FROM order_balances WHERE unallocated > 0
    ) AS customers GROUP BY asset
)
SELECT h.account, h.asset, s.decimals, h.units, COALESCE(w.units, 0) AS owed,
    COALESCE((SELECT sum(r.units) FROM float_reserved AS r WHERE (r.account, r.asset) = (h.account, h.asset)), 0) AS reserved
FROM held AS h JOIN assets AS s ON s.code = h.asset LEFT JOIN owed AS w ON w.asset = h.asset ORDER BY h.account, h.asset
""")


async def spare(connection: AsyncConnection, *, account: str, asset: Asset, now: datetime) -> int | None:
    """Units at an account of the ledger that nobody is owed or promised and no approved move will take; None: nobody knows.

    Below zero: moves were approved for more than is there.
    """
    kind, _, rail = account.partition(":")
    if kind == "rail":
        levels = await read_levels(connection, rails=[rail], now=now)
        return next((level.left for level in levels if level.asset == asset), None)
    rows = await connection.execute(_COINS)
    found = [int(row.units - row.owed - row.reserved) for row in rows if (row.account, row.asset) == (account, asset.code)]
    return sum(found)


async def _chain_pools(connection: AsyncConnection, book: FloatBook) -> dict[Place, Pool]:
    """What the books say of treasuries and wallets, without what customers have there and what approved moves will take."""
    kept = {(one.source, one.gives.code): one.keep.units for one in book.rules.deposits}
    pools = {}
    for row in await connection.execute(_COINS):
        keep = int(row.owed) + int(row.reserved) + kept.get((row.account, row.asset), 0)
        free = max(int(row.units) - keep, 0)
        pools[row.account, row.asset] = Pool(asset=Asset(row.asset, row.decimals), free=free, reserve=keep)
    return pools


def _keep_for_payouts(pools: Mapping[Place, Pool], ways: Sequence[Way], outlook: Outlook) -> None:
    """An adapter that sells coins for payouts, too, keeps what these may need within `KEPT_FOR`."""
    kept: set[tuple[Place, str, str]] = set()
    for way in ways:
        fill = way.fill
        pool = pools.get((fill.source, fill.gives.code))
        name = (fill.source, fill.gives.code), fill.by, fill.pays.code
        model = outlook.forecasts.get((fill.by, fill.pays.code))
        if pool is None or way.rate is None or model is None or name in kept:
            continue
        kept.add(name)
        wanted = model.over(outlook.now, outlook.now + KEPT_FOR).quantile(BAD_CASE)
        units = min(way.rate.ceil_base(Money(wanted.units, fill.pays)).units, pool.free)
        pool.free, pool.reserve = pool.free - units, pool.reserve + units
