"""Integer money: units of an asset, exact rates, and every rounding this product does.

An amount is always `Money`: a whole number of an asset's smallest units (cents, micro-dollars). Rounding happens in this
module only and names its direction: `floor` for what we deliver, `ceil` for what we charge.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

DIGITS_MOST = 60
"""Longest integer part that `Money.parse` reads; a uint256 in units has 78 digits, no honest amount comes near."""

MILLION = 1_000_000
"""Shares are in millionths (ppm): 1 % is 10,000, a basis point 100."""

SHOWN_MOST = 40
"""How much of a wrong text an error repeats, in characters."""

_DECIMAL = re.compile(r"(0|[1-9][0-9]*)(?:\.([0-9]+))?")


class MoneyError(Exception):
    """An amount that cannot be what its writer meant. `str()` of it is a sentence that says what would be right."""


class NotAnAmount(MoneyError):
    """The text is no plain decimal number."""

    def __init__(self, text: str, asset: Asset) -> None:
        example = Money(units=1050 * 10**asset.decimals // 100, asset=asset)
        super().__init__(
            f"{_shown(text)} is not an amount. Write digits with a point before the fraction, "
            f'for example "{example.decimal()}".'
        )


class TooPrecise(MoneyError):
    """More digits after the point than the asset has."""

    def __init__(self, text: str, asset: Asset) -> None:
        super().__init__(f"{_shown(text)} has too many digits: {asset.code} has at most {asset.decimals} after the point.")


class AssetMismatch(MoneyError):
    """Two assets met where one was needed."""

    def __init__(self, left: Asset, right: Asset) -> None:
        super().__init__(f"cannot mix {left} with {right}")


@dataclass(frozen=True, slots=True)
class Asset:
    """A currency ("KES") or a token on one chain ("USDC@8453"), with the number of digits after its point."""

    code: str
    decimals: int

    @property
    def symbol(self) -> str:
        """What people call it: the part before the chain."""
        return self.code.partition("@")[0]

    def __str__(self) -> str:
        return f"{self.code}/{self.decimals}"


@dataclass(frozen=True, slots=True)
class Money:
    """`units` of the smallest part of `asset`. Ordered and added only within one asset."""

    units: int
    asset: Asset

    @classmethod
    def parse(cls, text: str, asset: Asset) -> Money:
        """Read a plain non-negative decimal such as "12.50".

        Refused, each with its own sentence: signs, exponents, separators, digits of other scripts, NaN, more digits than
        the asset has. Raises `NotAnAmount` or `TooPrecise`.
        """
        match = _DECIMAL.fullmatch(text)
        if match is None or len(match[1]) > DIGITS_MOST:
            raise NotAnAmount(text, asset)
        fraction = match[2] or ""
        if len(fraction) > asset.decimals:
            raise TooPrecise(text, asset)
        return cls(int(match[1] + fraction.ljust(asset.decimals, "0")), asset)

    def decimal(self) -> str:
        """The amount as a decimal string with exactly the asset's decimals: "12.50"."""
        sign = "-" if self.units < 0 else ""
        digits = str(abs(self.units)).rjust(self.asset.decimals + 1, "0")
        if self.asset.decimals == 0:
            return sign + digits
        return f"{sign}{digits[: -self.asset.decimals]}.{digits[-self.asset.decimals :]}"

    def floor_to(self, step: Money) -> Money:
        """The largest multiple of `step` that is not above this amount: what a rail that pays whole shillings can pay."""
        self._check(step)
        return Money(self.units - self.units % step.units, self.asset)

    def ceil_to(self, step: Money) -> Money:
        """The smallest multiple of `step` that is not below this amount."""
        self._check(step)
        return Money(self.units + -self.units % step.units, self.asset)

    def percent_of(self, whole: Money) -> str:
        """This amount as a share of `whole`, in percent with two digits, rounded up: a cost is never shown too small."""
        self._check(whole)
        hundredths = -(-self.units * 10_000 // whole.units)
        return f"{hundredths // 100}.{hundredths % 100:02d}"

    def __add__(self, other: Money) -> Money:
        self._check(other)
        return Money(self.units + other.units, self.asset)

    def __sub__(self, other: Money) -> Money:
        self._check(other)
        return Money(self.units - other.units, self.asset)

    def __lt__(self, other: Money) -> bool:
        self._check(other)
        return self.units < other.units

    def __le__(self, other: Money) -> bool:
        self._check(other)
        return self.units <= other.units

    def __str__(self) -> str:
        return f"{self.decimal()} {self.asset.symbol}"

    def _check(self, other: Money) -> None:
        # Almost always the same object: to see that takes a fifth of comparing.
        if other.asset is not self.asset and other.asset != self.asset:
            raise AssetMismatch(self.asset, other.asset)


@dataclass(frozen=True, slots=True)
class Rate:
    """`num` smallest units of `quote` for every `den` smallest units of `base`: exact integers, no decimal context."""

    base: Asset
    quote: Asset
    num: int
    den: int

    @classmethod
    def per_whole(cls, price: Fraction, *, base: Asset, quote: Asset) -> Rate:
        """From a market price: how many whole `quote` one whole `base` buys (129.2 KES for 1 USDC)."""
        exact = price * 10**quote.decimals / 10**base.decimals
        return cls(base, quote, exact.numerator, exact.denominator)

    def whole(self) -> Fraction:
        """The market price again: whole `quote` per whole `base`."""
        return Fraction(self.num * 10**self.base.decimals, self.den * 10**self.quote.decimals)

    def less_bps(self, bps: int) -> Rate:
        """This rate lowered by a spread in basis points (1 bp = 0.01 %)."""
        return Rate(self.base, self.quote, self.num * (10_000 - bps), self.den * 10_000)

    def floor(self, money: Money) -> Money:
        """What `money` of base buys in quote, rounded down: for what we deliver."""
        self._check(money, self.base)
        return Money(money.units * self.num // self.den, self.quote)

    def ceil(self, money: Money) -> Money:
        """What `money` of base is worth in quote, rounded up: for what we charge."""
        self._check(money, self.base)
        return Money(-(-money.units * self.num // self.den), self.quote)

    def ceil_base(self, money: Money) -> Money:
        """The least base that buys at least `money` of quote: for what we charge."""
        self._check(money, self.quote)
        return Money(-(-money.units * self.den // self.num), self.base)

    def _check(self, money: Money, side: Asset) -> None:
        if money.asset is not side and money.asset != side:
            raise AssetMismatch(money.asset, side)


def share_up(units: int, *, ppm: int) -> int:
    """So many millionths of `units`, rounded up: for what is charged."""
    return -(-units * ppm // MILLION)


def without_share(total: int, *, ppm: int) -> int:
    """The most units that come to at most `total` together with their own share on top (`share_up`)."""
    return total * MILLION // (MILLION + ppm)


def before_share(left: int, *, ppm: int) -> int:
    """The least units of which at least `left` are left when their share is taken from them (`share_up`)."""
    return -(-left * MILLION // (MILLION - ppm))


def decimal_of(value: Fraction, *, digits: int) -> str:
    """A non-negative ratio as decimal text for people, cut (never rounded up) after `digits` digits."""
    scaled = value.numerator * 10**digits // value.denominator
    return Money(scaled, Asset("", digits)).decimal()


def _shown(text: str) -> str:
    """The reader's own text, short and on one line."""
    shortened = text if len(text) <= SHOWN_MOST else text[:SHOWN_MOST] + "..."
    return '"' + "".join(c if c.isprintable() else "?" for c in shortened) + '"'
