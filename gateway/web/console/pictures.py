"""Pictures as numbers: where lines and bands run in a small SVG, and what they say in words for who can't see them.

Made on the server, without a script and without a style of their own: `console.css` colours them as it does the pages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from gateway.money import Asset, Money
from gateway.treasury.forecast import Forecast
from gateway.treasury.outlook import BAD_CASE, Standing
from gateway.treasury.paydays import DAY
from gateway.treasury.tables import BEST_CASE

WIDTH, HEIGHT = 640, 180
TOP, BOTTOM = 26, 154
"""Between these lies the picture; below is room for the dates."""
AHEAD = 14
"""Days of a forecast that are drawn."""
POINTS_MOST = 300
"""Points of a line; more can't be seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A horizontal line with its words."""

    name: str
    y: int
    money: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One day of a forecast, in numbers."""

    day: date
    low: Money
    expected: Money
    high: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One SVG."""

    id: str
    title: str
    description: str
    line: str = ""
    """Points of what was."""
    ahead: str = ""
    """Points of what is expected."""
    band: str = ""
    """The corners of what is likely."""
    marks: tuple[Line, ...] = ()
    top: Money
    """What the upper edge means."""
    first: str
    last: str
    rows: tuple[Row, ...] = ()


def level_picture(one: Standing, past: Sequence[tuple[datetime, int]]) -> Picture | None:
    """What was available of a float, with its marks. None: nothing was ever seen."""
    level = one.level
    if len(past) < 2:  # noqa: PLR2004 - a line has two ends
        return None
    past = past[:: len(past) // POINTS_MOST + 1]
    marks: Mapping[str, int | None] = {"low": one.low, "critical": one.critical, "target": one.target}
    top = max([units for _, units in past] + [units or 0 for units in marks.values()] + [1])
    since, until = past[0][0], past[-1][0]
    span = max((until - since).total_seconds(), 1)
    points = [(int((at - since).total_seconds() * WIDTH // span), _y(units, top)) for at, units in past]
    name = f"{level.rail} {level.asset.code}"
    lowest, highest = min(units for _, units in past), max(units for _, units in past)
    said = f"From {since:%d %B} to {until:%d %B} between {level.money(lowest)} and {level.money(highest)}; last "
    return Picture(
        id=f"level-{level.rail}-{level.asset.code}",
        title=f"{name}: available",
        description=said + f"{level.money(past[-1][1])}.",
        line=_points(points),
        marks=tuple(
            Line(name=mark, y=_y(units, top), money=level.money(units)) for mark, units in marks.items() if units is not None
        ),
        top=level.money(top),
        first=f"{since:%d %b}",
        last=f"{until:%d %b}",
    )


def demand_picture(asset: Asset, model: Forecast) -> Picture:
    """What was paid in the last days, and what the next ones may need: in nine of ten cases within the band."""
    days = [model.seen_until + n * DAY for n in range(1, AHEAD + 1)]
    demands = [model.day(day) for day in days]
    rows = tuple(
        Row(day=day, low=demand.quantile(BEST_CASE), expected=demand.money, high=demand.quantile(BAD_CASE))
        for day, demand in zip(days, demands, strict=True)
    )
    top = max([row.high.units for row in rows] + list(model.recent) + [1])
    step = WIDTH // (len(model.recent) + AHEAD - 1)
    past = [(n * step, _y(units, top)) for n, units in enumerate(model.recent)]
    places = [(len(past) + n) * step for n in range(AHEAD)]
    high = [(x, _y(row.high.units, top)) for x, row in zip(places, rows, strict=True)]
    low = [(x, _y(row.low.units, top)) for x, row in zip(places, rows, strict=True)]
    total = Money(sum(row.expected.units for row in rows), asset)
    most = max(rows, key=lambda row: row.expected.units)
    return Picture(
        id=f"demand-{asset.code}",
        title=f"{asset.code}: paid, and expected",
        description=f"{total} are expected in the {AHEAD} days from {days[0]:%d %B}, most on {most.day:%d %B}: "
        f"{most.expected}, from {most.low} to {most.high}. Days that the forecast saw: {model.days}.",
        line=_points(past),
        ahead=_points([(x, _y(row.expected.units, top)) for x, row in zip(places, rows, strict=True)]),
        band=_points(high + low[::-1]),
        top=Money(top, asset),
        first=f"{days[0] - len(past) * DAY:%d %b}",
        last=f"{days[-1]:%d %b}",
        rows=rows,
    )


def _y(units: int, top: int) -> int:
    return BOTTOM - units * (BOTTOM - TOP) // top


def _points(points: Sequence[tuple[int, int]]) -> str:
    return " ".join(f"{x},{y}" for x, y in points)
