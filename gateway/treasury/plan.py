"""Plans: what to move where, when, at what cost and why. Pure; nothing is moved without a person's approval.

The rule. Floats that fall to their critical mark first are filled first. Each is filled up to its target by the cheapest way
that still arrives in time, and by the quickest if none does: the cheapest by all fees for the amount, those of a deposit of
coins that has to come before it among them. A way takes what its source has above its reserve, within what one payment may
be; what one way can't bring the next does. Nothing is taken from a float below its own target, so nothing goes round in
circles. Amounts are rounded up to what the way can pay; less than its smallest amount becomes that amount.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from gateway.ids import new_id
from gateway.money import Asset, Money, Rate, share_up
from gateway.offramp import Destination
from gateway.treasury.floatrules import CoinDeposit, Fill, Place
from gateway.treasury.paydays import DAY, is_working_day

MOVES_MOST = 20
"""Moves for one float in one plan."""
BPS_PPM = 100
"""Millionths in a hundredth of a percent."""
HOUR = timedelta(hours=1)
EARLIER_MOST = 336
"""Hours before its time at which a move may have to begin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One step of a plan: a payment by an adapter to our own account at a rail, or coins that a person sends."""

    id: str
    """What a person approves: "mov_…"."""
    from_: str
    """The ledger's account that pays."""
    give: Money
    """The most that leaves there, fees included, at the rate at which it was planned."""
    by: str | None
    """The adapter that pays; None: a person sends coins to `address`."""
    to_rail: str
    money: Money
    """What arrives."""
    at: datetime
    """When to begin."""
    arrives_at: datetime
    cost: Money
    """Fees and spread, in the asset that arrives."""
    why: str
    to: Destination | None = None
    """Our own account at the rail; None with `address`."""
    address: str | None = None
    """Of a person's transfer: our deposit address at the exchange `to_rail`."""
    after: str | None = None
    """The move that has to have arrived before this one begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do now, and what can't be done."""

    id: str
    made_at: datetime
    valid_until: datetime
    """From then on its moves can't be approved: the world has changed."""
    moves: tuple[Move, ...]
    notes: tuple[str, ...] = ()
    """Floats that nothing can fill, and ways that can't be priced."""

    @property
    def costs(self) -> dict[Asset, Money]:
        """What all moves cost together, by asset."""
        found: dict[Asset, Money] = {}
        for move in self.moves:
            found[move.cost.asset] = found.get(move.cost.asset, Money(0, move.cost.asset)) + move.cost
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """One float that wants money."""

    rail: str
    asset: Asset
    available: int
    target: int
    due: datetime
    """When the money should be there at the latest."""
    because: str
    """What is the matter, with the numbers."""


@dataclass(slots=True, kw_only=True)
class Pool:
    """What may be taken from one source."""

    asset: Asset
    free: int
    """Above the reserve."""
    reserve: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A fill with today's price."""

    fill: Fill
    rate: Rate | None
    """What `fill.gives` buys in `fill.pays`; None: they are the same."""

    def fees(self, units: int) -> int:
        """What it costs to bring so much."""
        return share_up(units, ppm=self.fill.fee_bps * BPS_PPM) + self.fill.fee.units + self.fill.tariff.of(units)

    def give(self, units: int) -> Money:
        """What leaves the source so that so much arrives."""
        total = Money(units + self.fees(units), self.fill.pays)
        return total if self.rate is None else self.rate.ceil_base(total)

    def most_for(self, units: int) -> int:
        """How much can arrive at most for so much of the source, in whole steps."""
        step = self.fill.step.units
        low, high = 0, self.fill.most.units // step + 1
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.give(middle * step).units <= units else (low, middle)
        return low * step


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """What one way could do for a need now."""

    way: Way
    units: int
    deposit: Move | None
    """Coins that have to come first."""
    at: datetime
    arrives_at: datetime
    cost: int

    def rank(self, due: datetime) -> tuple[object, ...]:
        """The smaller, the better: in time, then cheap, then soon."""
        late = self.arrives_at > due
        dear = self.cost * 10**6 // self.units
        return (late, self.arrives_at, dear) if late else (late, dear, self.arrives_at)


@dataclass(slots=True, kw_only=True)
class Planner:
    """Makes one plan. `countries`: whose working days count at a rail's currency."""

    ways: Sequence[Way]
    deposits: Sequence[CoinDeposit]
    pools: dict[Place, Pool]
    """By source and asset code; what moves take is taken off."""
    countries: Callable[[str], tuple[str, ...]]
    now: datetime
    moves: list[Move] = field(default_factory=list[Move])
    notes: list[str] = field(default_factory=list[str])

    def plan(self, needs: Iterable[Need], *, valid_for: timedelta, notes: Iterable[str] = ()) -> Plan:
        """Fill what can be filled."""
        self.notes += notes
        for need in sorted(needs, key=lambda one: (one.due, one.rail, one.asset.code)):
            self._fill(need)
        return Plan(
            id=new_id("pln", now=self.now),
            made_at=self.now,
            valid_until=self.now + valid_for,
            moves=tuple(self.moves),
            notes=tuple(self.notes),
        )

    def _fill(self, need: Need) -> None:
        missing = need.target - need.available
        for _ in range(MOVES_MOST):
            options = list(self._options(need, missing)) if missing > 0 else []
            if not options:
                break
            best = min(options, key=lambda one: (*one.rank(need.due), one.way.fill.by))
            self._take(need, best, beside=len(options) - 1)
            missing -= best.units
        if missing > 0:
            self.notes.append(
                f"{need.rail}: {need.because}; {Money(missing, need.asset)} up to its target of "
                f"{Money(need.target, need.asset)} can't be brought: {self._why_not(need)}"
            )

    def _options(self, need: Need, missing: int) -> Iterator[Option]:
        for way in self.ways:
            fill = way.fill
            if (fill.rail, fill.pays) != (need.rail, need.asset) or (fill.source, fill.gives.code) not in self.pools:
                continue
            wanted = min(max(Money(missing, need.asset), fill.least).ceil_to(fill.step), fill.most.floor_to(fill.step))
            alone = self._by(way, need, wanted.units, None)
            deposits = [self._by(way, need, wanted.units, one) for one in self.deposits if _feeds(one, fill)]
            filled = [one for one in deposits if one is not None]
            # One payment with fresh coins instead of a small one before it, if they come in time.
            if alone is not None and not any(alone.units < one.units and one.arrives_at <= need.due for one in filled):
                yield alone
            yield from filled

    def _by(self, way: Way, need: Need, wanted: int, deposit: CoinDeposit | None) -> Option | None:
        """What a way can do of what is wanted, with a deposit or without; None: nothing, or it needs no deposit."""
        fill = way.fill
        free = self.pools[fill.source, fill.gives.code].free
        units = min(wanted, way.most_for(free + (0 if deposit is None else self._depositable(deposit))))
        lacking = way.give(units).units - free
        if units < max(fill.least.units, fill.step.units) or (deposit is not None and lacking <= 0):
            return None
        return self._option(way, need, units, deposit, lacking)

    def _option(self, way: Way, need: Need, units: int, deposit: CoinDeposit | None, lacking: int) -> Option:
        """`lacking`: units of the coin that the deposit has to bring."""
        countries = self.countries(way.fill.pays.code)
        at = latest_start(way.fill, due=need.due, countries=countries, now=self.now)
        cost, sent = way.fees(units), None
        if deposit is not None:
            sent = self._deposit(deposit, lacking, before=at)
            at = max(at, sent.arrives_at)
            cost += (sent.cost if way.rate is None else way.rate.floor(sent.cost)).units
        return Option(
            way=way,
            units=units,
            deposit=sent,
            at=at,
            arrives_at=arrival(at, lead=way.fill.lead, countries=countries if way.fill.working_days else None),
            cost=cost,
        )

    def _depositable(self, deposit: CoinDeposit) -> int:
        pool = self.pools.get((deposit.source, deposit.gives.code))
        units = 0 if pool is None else _as_paid(deposit).floor(Money(pool.free, deposit.gives)).units - deposit.fee.units
        return units if units >= deposit.least.units else 0

    def _deposit(self, deposit: CoinDeposit, lacking: int, *, before: datetime) -> Move:
        money = max(Money(lacking, deposit.pays), deposit.least)
        at = max(self.now, before - deposit.lead)
        give = _as_paid(deposit).ceil_base(money + deposit.fee)
        pool = self.pools[deposit.source, deposit.gives.code]
        why = (
            f"{deposit.by} lacks {Money(lacking, deposit.pays)} for the move after it; {deposit.source} has "
            f"{Money(pool.free, pool.asset)} that belong to no customer and are above its reserve of "
            f"{Money(pool.reserve, pool.asset)}"
        )
        return Move(
            id=new_id("mov", now=self.now),
            from_=deposit.source,
            give=give,
            by=None,
            to_rail=deposit.by,
            money=money,
            at=at,
            arrives_at=at + deposit.lead,
            cost=deposit.fee,
            why=why,
            address=deposit.address,
        )

    def _take(self, need: Need, option: Option, *, beside: int) -> None:
        way, fill = option.way, option.way.fill
        pool = self.pools[fill.source, fill.gives.code]
        if (sent := option.deposit) is not None:
            self.pools[sent.from_, sent.give.asset.code].free -= sent.give.units
            pool.free += sent.money.units
            self.moves.append(sent)
        give = way.give(option.units)
        pool.free -= give.units
        money, cost = Money(option.units, fill.pays), Money(way.fees(option.units), fill.pays)
        choice = "the only way" if not beside else f"the best of {beside + 1} ways"
        late = "" if option.arrives_at <= need.due else f", later than {need.due:%a %d %b %H:%M} UTC, and none is sooner"
        why = (
            f"{need.because}; {money} bring it towards its target of {Money(need.target, need.asset)}; {fill.by} is "
            f"{choice}, costs {cost} ({cost.percent_of(money)} %), arrives {option.arrives_at:%a %d %b %H:%M} UTC{late}, "
            f"and leaves {Money(pool.free + pool.reserve, pool.asset)} at {fill.source}, of which "
            f"{Money(pool.reserve, pool.asset)} are kept"
        )
        self.moves.append(
            Move(
                id=new_id("mov", now=self.now),
                from_=fill.source,
                give=give,
                by=fill.by,
                to_rail=fill.rail,
                money=money,
                at=option.at,
                arrives_at=option.arrives_at,
                cost=cost,
                why=why,
                to=fill.to,
                after=sent.id if sent else None,
            )
        )

    def _why_not(self, need: Need) -> str:
        ways = [way.fill for way in self.ways if (way.fill.rail, way.fill.pays) == (need.rail, need.asset)]
        if not ways:
            return "no way to fill it is configured ([[floats.fills]]) and can be priced now"
        said = []
        for fill in ways:
            pool = self.pools.get((fill.source, fill.gives.code))
            free = "nobody knows how much" if pool is None else str(Money(pool.free, pool.asset))
            said.append(f"{fill.by} has {free} above its reserve at {fill.source}, and the least is {fill.least}")
        return "; ".join(said)


def arrival(start: datetime, *, lead: timedelta, countries: tuple[str, ...] | None) -> datetime:
    """When a move that begins at `start` arrives. With `countries`, only their working days count, in UTC."""
    if countries is None:
        return start + lead
    moment, rest = _working(start, countries), lead
    while rest > timedelta(0):
        part = min(rest, _midnight(moment) + DAY - moment)
        moment, rest = moment + part, rest - part
        moment = _working(moment, countries)
    return moment


def latest_start(fill: Fill, *, due: datetime, countries: tuple[str, ...], now: datetime) -> datetime:
    """When a move has to begin to be there by `due`; `now`, if that is too late already."""
    days = countries if fill.working_days else None
    for hours in range(EARLIER_MOST):
        start = due - fill.lead - hours * HOUR
        if start <= now:
            return now
        if arrival(start, lead=fill.lead, countries=days) <= due:
            return start
    return now


def _feeds(deposit: CoinDeposit, fill: Fill) -> bool:
    return (f"rail:{deposit.by}", deposit.pays) == (fill.source, fill.gives)


def _as_paid(deposit: CoinDeposit) -> Rate:
    """One coin is one coin, on its chain and at the exchange; only their digits may differ."""
    return Rate(deposit.gives, deposit.pays, 10**deposit.pays.decimals, 10**deposit.gives.decimals)


def _midnight(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def _working(moment: datetime, countries: tuple[str, ...]) -> datetime:
    """The moment itself, or the beginning of the next working day."""
    while not is_working_day(moment.date(), countries):
        moment = _midnight(moment) + DAY
    return moment
