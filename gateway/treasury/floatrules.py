"""What the operator says about floats, as values: marks, how a float is filled, when people are paid their wages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from gateway.money import Asset, Money
from gateway.offramp import Destination
from gateway.pricing.tariffs import FREE, Schedule

Mark = Money | timedelta
"""A level of a float: an amount, or the expected demand of so much time."""
Place = tuple[str, str]
"""A rail's name and an asset's code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """The levels of one float that mean something; None: that one means nothing."""

    low: Mark | None = None
    """Below: a person is told."""
    critical: Mark | None = None
    """Below: a person is told a second time."""
    target: Mark | None = None
    """Up to here a plan fills it."""
    reserve: Mark | None = None
    """Below this nothing of it is moved elsewhere. None: what the next three days may need."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """What a currency's demand follows."""

    countries: tuple[str, ...]
    """Whose public holidays count (ISO 3166-1 alpha-2)."""
    zone: str = "UTC"
    """IANA name of the time zone in which days begin."""
    month_end: tuple[int, int] = (25, 5)
    """Days of the month, both included, around the end of a month, when wages are sent home."""
    mid_month: tuple[int, int] = (14, 16)
    """The same in its middle, where people are paid twice a month."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """One way to fill a float: the adapter `by` pays to our own account at the rail, as it pays anybody."""

    rail: str
    by: str
    to: Destination
    """Our own collection account at `rail`."""
    pays: Asset
    """What arrives."""
    source: str
    """The account of the ledger that pays: "rail:bitso", "wallet:8453:legs", "treasury:8453"."""
    gives: Asset
    """What leaves there: a coin that is sold, or the same currency."""
    peg: str | None = None
    """The currency that one `gives` is worth one of; None: `gives` is what is paid."""
    lead: timedelta
    """From its beginning to the money's arrival at the rail."""
    working_days: bool = False
    """Whether `lead` counts on working days of the rail's country only."""
    fee_bps: int = 0
    """What the exchange keeps: fee and spread, in hundredths of a percent of what arrives."""
    fee: Money
    """What it takes besides, in `pays`: the withdrawal."""
    least: Money
    most: Money
    """Of one payment, in `pays`."""
    step: Money
    tariff: Schedule = FREE
    """What the adapter's rail charges us for such a payment, in units of `pays`, as far as [[tariffs]] says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CoinDeposit:
    """Coins of the treasury sent to our deposit address at an exchange, by a person who has the treasury's key."""

    by: str
    """The exchange's adapter."""
    source: str
    """ "treasury:8453"."""
    gives: Asset
    """The coin on its chain."""
    pays: Asset
    """The same coin, as the exchange has it."""
    address: str
    lead: timedelta
    fee: Money
    """What the transfer costs, in `pays`."""
    keep: Money
    """What stays in the treasury in any case, in `gives`."""
    least: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class FloatRules:
    """All of it."""

    marks: Mapping[Place, Marks] = field(default_factory=dict[Place, Marks])
    fills: tuple[Fill, ...] = ()
    deposits: tuple[CoinDeposit, ...] = ()
    calendars: Mapping[str, Calendar] = field(default_factory=dict[str, Calendar])
    """By currency code."""
    keep: timedelta = timedelta(days=90)
    """How long levels are kept."""
    history: timedelta = timedelta(days=400)
    """How much of the past a forecast may see."""
    plan_valid: timedelta = timedelta(hours=1)
    """How long a plan's moves may be approved."""

    def calendar(self, currency: str) -> Calendar:
        """What the demand for a currency follows; of one that nobody spoke of: weekdays in UTC, wages at a month's end."""
        return self.calendars.get(currency) or Calendar(countries=())


NO_RULES = FloatRules()
"""Nobody configured anything: levels are shown, nobody is told, nothing is planned."""
