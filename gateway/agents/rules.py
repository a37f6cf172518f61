"""What the operator decides about the network."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

WINDOW = timedelta(minutes=15)
"""In which an agent's wrong codes are counted."""
RENEWALS_MOST = 20
"""How often one code may get new digits."""
LIFETIME_LEAST = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class PickupRules:
    """Limits of codes and counters, and the key of their hashes."""

    key: bytes = field(repr=False)
    lifetime_most: timedelta = timedelta(days=90)
    wrong_per_agent: int = 10
    """Wrong codes of one agent in `WINDOW`."""
    wrong_per_code: int = 5
    """Wrong amounts and phone numbers given for one code until it is locked."""
