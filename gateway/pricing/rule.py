"""What a stop does to money in flight: one table. The code acts by it, and GET /v1/rates publishes it as it stands here."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum, auto
from typing import NamedTuple


class Cause(StrEnum):
    """What stops quotes, as far as it matters to money in flight."""

    RATE = auto()
    """The rate of a currency: stale, disputed or jumped; also a coin's price that can't be told."""
    CORRIDOR = auto()
    """A person has stopped a corridor, or all of them."""
    COIN = auto()
    """The coin has lost its peg, or a person has stopped it."""


class Stage(StrEnum):
    """How far a sending has come when quotes stop."""

    QUOTED = auto()
    """There is a firm quote, and no order."""
    AWAITING_DEPOSIT = auto()
    """There is an order, and its deposit comes (by its block's time) while quotes are stopped."""
    FUNDED = auto()
    """The deposit came before quotes were stopped."""


class Treatment(StrEnum):
    """What happens."""

    HONOURED = auto()
    REFUSED = auto()
    HELD = auto()


class Line(NamedTuple):
    """One line of the table."""

    treatment: Treatment
    sentence: str


_ACCEPTED = Line(Treatment.HONOURED, "The quote can be accepted at its price until it expires.")
_NO_ORDER = Line(Treatment.REFUSED, "The quote can't be accepted while the stop lasts: nothing is owed, send nothing.")
_PAID = Line(
    Treatment.HONOURED, "A deposit in time is paid out at its quoted rate, whatever became of the rate: we bear it."
)
_HELD = Line(
    Treatment.HELD,
    "The deposit is held. Once the coin is taken again the order goes on at its quoted rate; before that it can be paid out "
    "at a new price that its sender agrees to, or sent back.",
)

RULE: Mapping[tuple[Cause, Stage], Line] = {
    (Cause.RATE, Stage.QUOTED): _ACCEPTED,
    (Cause.RATE, Stage.AWAITING_DEPOSIT): _PAID,
    (Cause.RATE, Stage.FUNDED): _PAID,
    (Cause.CORRIDOR, Stage.QUOTED): _NO_ORDER,
    (Cause.CORRIDOR, Stage.AWAITING_DEPOSIT): _PAID,
    (Cause.CORRIDOR, Stage.FUNDED): _PAID,
    (Cause.COIN, Stage.QUOTED): _NO_ORDER,
    (Cause.COIN, Stage.AWAITING_DEPOSIT): _HELD,
    (Cause.COIN, Stage.FUNDED): _PAID,
}
"""What happens, by cause and stage."""
