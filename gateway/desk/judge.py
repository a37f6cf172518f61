"""What unmatched money is, and what can be done with it. Plain functions of facts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum, auto


class Kind(StrEnum):
    """Why money fits no order."""

    LATE = auto()
    """It arrived after the quote's end."""
    SECOND = auto()
    """The order had its money already, or was over."""
    SURPLUS = auto()
    """What a deposit brought beyond what was asked for."""
    WRONG_TOKEN = auto()
    """Another coin than the order asked for, on its chain."""
    WRONG_CHAIN = auto()
    """A coin on another chain than the order's."""
    DUST = auto()
    """Less than counts as a deposit."""
    UNDERPAID = auto()
    """The order's own money, too little of it."""
    FROZEN = auto()
    """The order's own money, in a coin that was frozen when it arrived."""
    HELD = auto()
    """The order's own money, held for another reason, that a person has to look at."""
    UNSUPPORTED_TOKEN = auto()
    """A contract that nobody vouches for. Not on the ledger: anybody can make such a thing."""
    NATIVE = auto()
    """The coin that pays gas."""


class Place(StrEnum):
    """Which of an order's money it is."""

    FUNDS = auto()
    """A held order's own."""
    UNALLOCATED = auto()
    """Beside an order, kept for its sender."""
    STRAY = auto()
    """Off the ledger."""


class Lies(StrEnum):
    """Where the coins are."""

    DEPOSIT_ADDRESS = auto()
    TREASURY = auto()


class Way(StrEnum):
    """A resolution."""

    REQUOTE = auto()
    """Offer a new price for it."""
    RELEASE = auto()
    """Let the order go on at its own price."""
    REFUND = auto()
    """Send it back to a confirmed address."""
    RECOVER = auto()
    """Sweep it from the deposit address to the treasury."""
    WRITE_OFF = auto()
    """Set it aside as not worth its way back."""
    CLOSE = auto()
    """Take it off the list: there is nothing to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the judgement depends on."""

    place: Place
    why: str
    """FUNDS: why the order is held. UNALLOCATED: the template of the entry that brought it."""
    asset: str | None
    """Its code; None: a contract that nobody vouches for."""
    quoted: str
    """Code of the asset that the order asks for."""
    native: bool
    dust: bool
    taken: bool
    """Prices are made for it."""
    held: bool
    """The order is."""
    late: bool
    """It arrived after the end of the order's quote."""
    lies: Lies


_HOLDS = {"late": Kind.LATE, "underpaid": Kind.UNDERPAID, "frozen": Kind.FROZEN}
_PARTS = frozenset({"deposit_received", "top_up_received"})
"""Templates that divide a deposit between an order's funds and what is beside."""
_PRICED_ANEW = frozenset({Kind.LATE, Kind.UNDERPAID})
"""Kinds whose own price doesn't hold."""


def kind_of(facts: Facts) -> Kind:
    """Why it fits no order."""
    if facts.asset is None:
        return Kind.UNSUPPORTED_TOKEN
    if facts.place is Place.FUNDS:
        return _HOLDS.get(facts.why, Kind.HELD)
    # The first that is true.
    reasons = {
        Kind.NATIVE: facts.native,
        Kind.WRONG_CHAIN: _chain(facts.asset) != _chain(facts.quoted),
        Kind.WRONG_TOKEN: facts.asset != facts.quoted,
        Kind.DUST: facts.dust,
        Kind.SURPLUS: facts.why in _PARTS,
        Kind.LATE: facts.late and facts.held,
        Kind.SECOND: True,
    }
    return next(kind for kind, holds in reasons.items() if holds)


def ways_of(kind: Kind, facts: Facts) -> tuple[Way, ...]:
    """What can be done with it; what is listed may still be refused for its amount or its state."""
    on_ledger, beside = facts.asset is not None, facts.place is Place.UNALLOCATED
    possible = {
        Way.REQUOTE: on_ledger and facts.taken and not facts.dust,
        Way.RELEASE: facts.place is Place.FUNDS and kind not in _PRICED_ANEW,
        Way.REFUND: on_ledger,
        Way.RECOVER: facts.lies is Lies.DEPOSIT_ADDRESS,
        Way.WRITE_OFF: on_ledger and beside,
        Way.CLOSE: not on_ledger,
    }
    return tuple(way for way, can in possible.items() if can)


def _chain(asset: str) -> str:
    return asset.rpartition("@")[2]
