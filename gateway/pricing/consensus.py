"""The middle rate: what several sources agree on. Pure.

1. Only fresh prices count (`Observation.is_fresh`) of sources that are configured (`PricingRules.listed`), one of each, so
   that nobody has two voices: what it told of the pair itself, or else the newest that was made of a coin's price
   (`gateway.pricing.local`).
2. Sources that only bound (`PricingRules.bounds`) don't vote. All venues of one coin are one voice together, each with an
   equal part of it: the same price of that coin, or the same assumption of par, is in all of them, and if that is wrong they
   are wrong together.
3. With three prices or more, outliers are left out: those further from the median than `PricingRules.max_spread_bps` allows
   between sources, and whose modified z-score 0.6745 * |price - median| / MAD is above 3.5, where MAD is the median of the
   absolute deviations from the median (B. Iglewicz, D. Hoaglin: How to Detect and Handle Outliers, ASQC 1993, p. 11).
4. As many voices as `PricingRules.min_sources` have to be left, and no two of their prices further apart than
   `max_spread_bps` of the median: else there is no rate.
5. The rate is their median, by voices. If it is further from the fresh price of a bound than that one allows there is none.
6. Its confidence, from 0 to 1, is

       left / fresh * left / (left + 1) * (1 - spread / (2 * most))

   how many of the fresh voices agree; how many they are; and how closely they agree, with `spread` between the lowest and
   the highest that are left and `most` the largest that is allowed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from operator import attrgetter, itemgetter

from gateway.errors import Refusal
from gateway.money import decimal_of
from gateway.pricing.observations import Observation
from gateway.pricing.offer import PricingRules

Z_MOST = Fraction(35, 10)
Z_OF_MAD = Fraction(6745, 10_000)
"""The 75th percentile of the normal distribution: by it a MAD is as wide as a standard deviation."""
JURY_LEAST = 3
"""Of two that differ nobody can say which one is wrong."""
INVERSE_WITHIN = Fraction(1, 5)
APART_LEAST = 2
"""One price is the other's inverse if their product is as near to 1 as that, and one is that many times the other."""
BPS = 10_000
PRICE: Callable[[Observation], Fraction] = attrgetter("price")


class NoRate(Refusal):
    """There is no rate to quote at. The sentence is for the customer; `detail` is for the operator's log."""

    def __init__(self, sentence: str, *, detail: str) -> None:
        super().__init__(sentence)
        self.detail = detail


class RateUnavailable(NoRate):
    """Too few sources have a fresh price that others confirm."""

    code = "rate_unavailable"

    def __init__(
        self, *, base: str, quote: str, fresh: int, needed: int, seen: Sequence[Observation], out: Sequence[str] = ()
    ) -> None:
        known = ", ".join(f"{_who(one)} of {one.as_of:%Y-%m-%d %H:%M:%S %Z}" for one in seen) or "none"
        left_out = "".join(f"; left out: {sentence}" for sentence in out)
        super().__init__(
            f"There is no current exchange rate for {quote}. Try again in a few minutes.",
            detail=f"{base}/{quote}: {fresh} fresh sources, {needed} needed; known: {known}{left_out}",
        )


class RateDisputed(NoRate):
    """The sources are further apart than the operator allows, or what they agree on is too far from a bound."""

    code = "rate_disputed"

    def __init__(self, *, base: str, quote: str, detail: str) -> None:
        super().__init__(
            f"The exchange rate for {quote} is unsettled right now. Try again in a few minutes.",
            detail=f"{base}/{quote}: {detail}",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Mid:
    """The middle rate: one whole base is worth `price` whole quote."""

    price: Fraction
    as_of: datetime
    """The oldest price used: the rate is no newer than that."""
    sources: tuple[str, ...]
    """Whose prices were used, in alphabetical order; empty where a token's peg is the currency itself."""
    newest: datetime
    """As many voices as a rate needs have told prices that are no older than that: one that repeats itself isn't news."""
    confidence: Fraction = Fraction(1)
    """From 0 to 1; the formula stands above."""
    out: tuple[str, ...] = ()
    """Whose fresh prices were left out, and why: a sentence each, for the operator."""
    outvoted: bool = False
    """Whether some of them had a voice, and the others were more."""


def mid(
    observations: Iterable[Observation],
    *,
    base: str,
    quote: str,
    rules: PricingRules,
    now: datetime,
    silent: Sequence[str] = (),
    wary: bool = False,
) -> Mid:
    """The median of what fresh sources agree on for one base in quote; of an even number the mean of the middle two, exact.

    `silent`: sentences about prices that the caller has left out. `wary`: of an even number the lower of the middle two, so
    that a source that says too much can't make up for one that says a coin has fallen; nor hide it by a dispute.

    Raises `RateUnavailable` if fewer voices than `rules.min_sources` are left, `RateDisputed` if lowest and highest of them
    are more than `rules.max_spread_bps` of the median apart, or the median is too far from a bound.
    """
    if base == quote:
        return Mid(price=Fraction(1), as_of=now, sources=(), newest=now)
    seen = [one for one in observations if (one.base, one.quote) == (base, quote)]
    fresh = [one for one in seen if one.is_fresh(max_age=rules.max_age, now=now)]
    votes = _one_of_each(one for one in fresh if rules.votes(one.source))
    used, out = _without_outliers(votes, rules=rules)
    out = (*silent, *out)
    newest = _newest_of_voices(used)
    needed = max(rules.min_sources, 1)
    if len(newest) < needed:
        voting = [one for one in seen if rules.votes(one.source)]
        raise RateUnavailable(base=base, quote=quote, fresh=len(newest), needed=needed, seen=voting, out=out)
    middle, closeness = _median(used, PRICE, wary=wary), Fraction(1)
    lowest, highest = min(one.price for one in used), max(one.price for one in used)
    if lowest != highest:
        most = middle * rules.max_spread_bps / BPS
        if highest - lowest > most and not wary:
            raise RateDisputed(base=base, quote=quote, detail=_apart(used, most_bps=rules.max_spread_bps))
        closeness = max(1 - (highest - lowest) / (2 * most), Fraction(0))
    for bound in _one_of_each(one for one in fresh if one.source in rules.bounds):
        if abs(middle - bound.price) * BPS > bound.price * rules.bounds[bound.source]:
            raise RateDisputed(base=base, quote=quote, detail=_beyond(middle, used, bound, rules=rules))
    left, heard = len(newest), len(newest if len(used) == len(votes) else _newest_of_voices(votes))
    return Mid(
        price=middle,
        as_of=min(one.as_of for one in used),
        sources=tuple(one.source for one in used),
        newest=newest[needed - 1],
        confidence=Fraction(left * left, heard * (left + 1)) * closeness,
        out=out,
        outvoted=len(used) < len(votes),
    )


def _one_of_each(observations: Iterable[Observation]) -> list[Observation]:
    """One per source, so that nobody has two votes; by source name."""
    best = {one.source: one for one in sorted(observations, key=lambda one: (one.via is None, one.as_of, one.via or ""))}
    return [best[source] for source in sorted(best)]


def _newest_of_voices(used: Sequence[Observation]) -> list[datetime]:
    """When each voice spoke last, the newest first. The venues of a coin are one."""
    newest: dict[tuple[str, str], datetime] = {}
    for one in used:
        voice = ("source", one.source) if one.via is None else ("coin", one.via)
        newest[voice] = max(one.as_of, newest.get(voice, one.as_of))
    return sorted(newest.values(), reverse=True)


def _median(voices: Sequence[Observation], value: Callable[[Observation], Fraction], *, wary: bool = False) -> Fraction:
    """The median of what `voices` say, where the venues of one coin share one voice. `wary`: the lower of a middle two."""
    if len(voices) == 1:
        return value(voices[0])
    venues = Counter(one.via for one in voices if one.via is not None)
    parts = [(value(one), Fraction(1, venues[one.via]) if one.via is not None else 1) for one in voices]
    parts.sort(key=itemgetter(0))
    whole: Fraction | int = sum(weight for _, weight in parts)
    below: Fraction | int = 0
    for at, (found, weight) in enumerate(parts):
        below += weight
        if 2 * below >= whole:
            return found if wary or 2 * below > whole else (found + parts[at + 1][0]) / 2
    raise ValueError("there is no median of nothing")


def _without_outliers(fresh: Sequence[Observation], *, rules: PricingRules) -> tuple[list[Observation], tuple[str, ...]]:
    """The prices that are left, and a sentence about each of the others."""
    if len(fresh) < JURY_LEAST:
        return list(fresh), ()
    middle = _median(fresh, PRICE)
    deviation = _median(fresh, lambda one: abs(one.price - middle))
    within = max(middle * rules.max_spread_bps / BPS, Z_MOST * deviation / Z_OF_MAD)
    left = [one for one in fresh if abs(one.price - middle) <= within]
    return left, tuple(_why_out(one, middle) for one in fresh if one not in left)


def _who(one: Observation) -> str:
    return one.source if one.via is None else f"{one.source} by {one.via}"


def _why_out(one: Observation, middle: Fraction) -> str:
    said = f"{_who(one)} says {decimal_of(one.price, digits=6)} {one.quote} for one {one.base}"
    others = f"the others {decimal_of(middle, digits=6)}"
    if _inverse(one.price, middle):
        return f"{said}, {others}: about the inverse, so its pair is swapped"
    return f"{said}, {others}: too far away"


def _apart(used: Sequence[Observation], *, most_bps: int) -> str:
    prices = ", ".join(f"{_who(one)} {decimal_of(one.price, digits=6)}" for one in used)
    lowest, highest = min(one.price for one in used), max(one.price for one in used)
    swapped = "; one looks like the inverse of another: is a pair swapped?" if _inverse(lowest, highest) else ""
    return f"sources more than {most_bps} bps apart: {prices}{swapped}"


def _beyond(middle: Fraction, used: Sequence[Observation], bound: Observation, *, rules: PricingRules) -> str:
    agreed = f"{', '.join(_who(one) for one in used)} agree on {decimal_of(middle, digits=6)}"
    said = f"{decimal_of(bound.price, digits=6)} of {bound.as_of:%Y-%m-%d %H:%M:%S %Z}"
    return f"{agreed}, more than {rules.bounds[bound.source]} bps from what {_who(bound)} bounds it by: {said}"


def _inverse(one: Fraction, other: Fraction) -> bool:
    """Whether one price seems to be the other's inverse. Near 1, where coins are, nobody can tell."""
    return abs(one * other - 1) <= INVERSE_WITHIN and max(one, other) >= APART_LEAST * min(one, other)
