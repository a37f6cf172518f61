"""What adapters tell of our money at their rails, beside `gateway.offramp.HoldsBalance`: optional parts of the port."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from gateway.money import Money
from gateway.offramp import Asked, CallbackRequest

QUESTION = "ask"
"""What the ids of our questions begin with. Such an id, in place of an attempt's, makes an address for its answer alone."""


@runtime_checkable
class AsksBalance(Protocol):
    """An adapter whose rail tells our balance by callback only (Daraja)."""

    async def ask_balance(self, question_id: str) -> Asked:
        """Ask. The answer arrives at an address made with `question_id`. Raises `OfframpError` if it isn't taken."""

    def read_balance(self, request: CallbackRequest) -> tuple[Money, ...]:
        """What arrived there, as `HoldsBalance.balance` has it, without network. Raises `OfframpError` if it tells none."""


@runtime_checkable
class WantsTopUps(Protocol):
    """An adapter that knows when a person has to put money in."""

    @property
    def top_up_below(self) -> tuple[Money, ...]:
        """Below which balance, per currency; none: nobody is told."""
