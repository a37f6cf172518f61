"""What the simulated Paycrest has on its books: its sender's credentials, rates, orders."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Any
from uuid import uuid4

from pydantic import BaseModel

from gateway.railsim import Desk

RATES = {"NGN": "1515.37", "KES": "129.25", "GHS": "11.08", "UGX": "3712.5", "TZS": "2610.4", "MWK": "1733.9"}
"""Local currency for one coin."""
TRANSACTION_FEE = "0.02"
"""In coins, on every order."""


class Credentials(BaseModel):
    """What a sender has from Paycrest, and where it wants its coins back."""

    api_key: str
    api_secret: str
    refund_address: str

    @classmethod
    def of(cls, desk: Desk) -> Credentials:
        """Those on the desk's shelf, or new ones."""
        kept = desk.shelf.get("secrets", "paycrest")
        if kept is not None:
            return cls.model_validate(kept)
        made = cls(api_key=str(uuid4()), api_secret=secrets.token_urlsafe(32), refund_address=address())
        desk.shelf.put(("secrets", "paycrest", made.model_dump()))
        return made


class Order(BaseModel):
    """An order, and the coins that came for it. The payment with its reference is on the desk."""

    id: str
    reference: str
    amount: str
    """In coins."""
    transfer: str
    """Amount and fee: what has to come."""
    receive_address: str
    valid_until: datetime
    source: dict[str, Any]
    destination: dict[str, Any]
    came: str | None = None
    """What has come, if anything has."""
    came_at: datetime | None = None
    deposit: str | None = None
    """The hash of the transaction that brought it."""
    mismatched: bool = False
    """Whether it was not what had to come: then it goes back."""
    returned: str | None = None

    @property
    def in_time(self) -> bool:
        """Whether coins came before the end."""
        return self.came_at is not None and self.came_at < self.valid_until


class Orders:
    """The orders, by id, by reference and by receive address, newest last."""

    def __init__(self, desk: Desk) -> None:
        self._shelf = desk.shelf

    def keep(self, order: Order) -> None:
        """Write it."""
        names = (order.id, order.reference, order.receive_address.lower())
        pointers = (("order_named", name, {"id": order.id}) for name in names)
        self._shelf.put(("order", order.id, order.model_dump(mode="json")), *pointers)

    def find(self, name: str) -> Order | None:
        """By id, reference or receive address."""
        pointer = self._shelf.get("order_named", name if name.startswith("leg_") else name.lower())
        found = None if pointer is None else self._shelf.get("order", pointer["id"])
        return None if found is None else Order.model_validate(found)

    def all(self) -> list[Order]:
        """All of them, oldest first."""
        return [Order.model_validate(each) for each in self._shelf.all("order")]


def address() -> str:
    """A new address of nobody's."""
    return "0x" + secrets.token_hex(20)
