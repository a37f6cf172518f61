"""Which faults happen: drawn from the seed, counted by kind. A seed has its own mixture, so that rare faults meet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from random import Random
from typing import TypeVar

T = TypeVar("T")

PER_MILLE: Mapping[str, int] = {
    # A payment instruction on its way, and what the rail makes of it.
    "request_lost": 6,
    "request_slow": 6,
    "answer_lost": 10,
    "answer_slow": 6,
    "refused_connection": 10,
    "machine_freezes": 2,
    "unlisted_status": 4,
    "answers_late": 40,
    "pends": 90,
    "refuses_recipient": 12,
    "refuses_for_now": 20,
    "refuses_account": 2,
    "fails_later": 12,
    "fails_then_pays": 6,
    "pays_part": 3,
    "returns": 12,
    # Questions and callbacks.
    "status_raises": 30,
    "status_slow": 10,
    "status_unlisted": 20,
    "status_behind": 300,
    "not_found_yet": 60,
    "callback_dropped": 150,
    "callback_late": 150,
    "callback_doubled": 120,
    "callback_out_of_order": 60,
    "callback_forged": 15,
    "callback_replayed": 10,
    "callback_unreadable": 8,
    # Per round: rails, machines, chain.
    "rail_down": 40,
    "float_runs_out": 30,
    "clock_jumps": 40,
    "clock_jumps_by_days": 6,
    "machine_restarts": 30,
    "loop_rests": 40,
    "reorganisation": 150,
    "chain_ahead": 60,
    "node_lags": 120,
    "node_down": 80,
    "node_lies": 60,
    "nodes_down": 30,
    "coin_frozen": 50,
    "coin_depegs": 40,
    "holder_rests": 500,
    "over_a_drop": 500,
    "quote_raced": 250,
    "quote_old": 300,
    # Per order that is held because its recipient couldn't be paid, and round.
    "redirect": 300,
    "asked_wrongly": 500,
    # Per order that is held for its deposit, and round.
    "requote": 200,
    "refund_reverts": 100,
    "refund_displaced": 50,
    "refund_moves_nothing": 50,
    "refund_wished": 700,
    # Deposits.
    "deposit_missing": 10,
    "deposit_late": 8,
    "deposit_short": 10,
    "deposit_in_parts": 15,
    "deposit_over": 20,
    "deposit_twice": 12,
    "deposit_dust": 10,
    "deposit_dropped": 80,
    # Commits and calls: at each failpoint.
    "crash": 1,
}
"""How often of a thousand times each happens, where it can."""
MIXTURES = (0, 1, 1, 1, 2, 3)
"""What a seed multiplies one kind with."""
ALWAYS = (
    *("crash", "pends", "answers_late", "coin_frozen", "coin_depegs", "quote_raced", "redirect", "refund_wished"),
    *("chain_ahead", "quote_old", "holder_rests", "over_a_drop", "status_behind", "asked_wrongly", "requote"),
)


class Dice:
    """One seed's chance."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)  # noqa: S311 - it has to be repeatable
        self.counts: Counter[str] = Counter()
        self.calm = False
        """Set when the faults end: nothing goes wrong from then on."""
        self._per_mille = {
            kind: rate * (1 if kind in ALWAYS else self.random.choice(MIXTURES)) for kind, rate in PER_MILLE.items()
        }

    def happens(self, kind: str) -> bool:
        """Whether this fault happens now."""
        if self.calm or self.random.randrange(1000) >= self._per_mille[kind]:
            return False
        self.counts[kind] += 1
        return True

    def first(self, *kinds: str) -> str | None:
        """The one of `kinds` that happens now; mostly None."""
        return next((kind for kind in kinds if self.happens(kind)), None)

    def between(self, least: int, most: int) -> int:
        """A number from `least` to `most`."""
        return self.random.randint(least, most)

    def pick(self, sequence: Sequence[T]) -> T:
        """One of them."""
        return sequence[self.random.randrange(len(sequence))]
