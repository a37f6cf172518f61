"""A market with one price: a book of bids, and orders that are filled from it."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field

from gateway.railsim import Desk, Scenario, Script

PRICE = 17
"""Whole pesos for a coin."""
FEE_BPS = 50
MICRO = 10**6


class Order(BaseModel):
    """A market order to sell, in millionths of a coin."""

    oid: str
    origin_id: str
    wanted: int
    filled: int = 0
    cancelled: bool = False
    at: datetime
    asked: int = 0
    script: Script = Field(default_factory=lambda: Script(scenarios=[Scenario.HAPPY]))

    @property
    def status(self) -> str:
        """As Bitso words it."""
        if self.cancelled:
            return "cancelled"
        if self.filled == self.wanted:
            return "completed"
        return "partially filled" if self.filled else "open"

    @property
    def is_open(self) -> bool:
        """Whether it may still be filled."""
        return self.status in ("open", "partially filled")


def orders(desk: Desk) -> list[Order]:
    """All orders, oldest first."""
    return [Order.model_validate(each) for each in desk.shelf.all("order")]


def keep(desk: Desk, order: Order) -> None:
    """Write an order."""
    desk.shelf.put(("order", order.oid, order.model_dump(mode="json")))


def script_of(desk: Desk, origin_id: str) -> Script:
    """The script that names this order by its id; payments use the scripts that name nothing."""
    for script in desk.scripts:
        if script.match.get("id") == origin_id:
            return desk.scripts.take({"id": origin_id})
    return Script(scenarios=[Scenario.HAPPY])
