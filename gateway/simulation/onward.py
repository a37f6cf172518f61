"""What may lead an order on to its payout: all of its money in time, a coin that is taken, a hold that may be lifted."""

from __future__ import annotations

import math
from collections import Counter
from datetime import datetime
from typing import Any

from gateway.simulation.chain import SimChain
from gateway.simulation.market import Market
from gateway.simulation.model import Case, case_of
from gateway.simulation.scheduler import Violation

LEADS_ON = frozenset({"deposit_final", "hold_lifted", "credit_applied"})
REFUSED = frozenset({"recipient_refused", "returned"})
"""Holds to which another account is the answer."""
BY_ITSELF = ("repegged", "released")
"""What lifts a hold only while the coin is taken; whoever agreed to a new price or gave another account knew of its stop."""


class Onward:
    """Follows the steps of all orders."""

    def __init__(self, *, market: Market, chain: SimChain, checked: Counter[str]) -> None:
        self._market, self._chain, self._checked = market, chain, checked
        self._holds: dict[str, str] = {}
        """Why each order was held last."""
        self._funded_s: dict[str, float] = {}
        """When the deposit came that funded an order, unless somebody has led it on since then."""
        self._hasty: dict[str, str] = {}
        """Led on in this step although they mustn't be; unless the same step holds them again."""

    def follow(self, event: Any, *, since: datetime | None) -> None:
        """Look at one step of an order. `since`: from when on its coin is stopped."""
        since_s = math.inf if since is None else since.timestamp()
        if event.to_state == "held":
            self._holds[event.order_id] = event.data.get("reason") or ""
            self._hasty.pop(event.order_id, None)
        if event.event in LEADS_ON:
            self._led_on(event, since_s)
        if event.event == "dispatched":
            self._dispatched(event.order_id, since_s)

    def finish(self) -> None:
        """All that has been committed was looked at."""
        for order_id, why in self._hasty.items():
            raise Violation(f"order {order_id} is led on {why}")

    def _led_on(self, event: Any, since_s: float) -> None:
        self._checked["all of it, in time"] += 1
        order_id, case = event.order_id, self._case(event.order_id)
        if not case.funded:
            late = ", late" if case.late else ""
            raise Violation(f"order {order_id} is led on with {case.funds} of {case.deal.send}{late}")
        if event.cause.startswith("redirect:") and self._holds[order_id] not in REFUSED:
            raise Violation(f"order {order_id} is led on to another account, and was held as {self._holds[order_id]}")
        came_s = self._came_s(event)
        if event.event == "deposit_final":
            self._funded_s[order_id] = came_s
        else:
            self._funded_s.pop(order_id, None)
        # What a stop's end leads on, dispatch holds again if the coin is frozen, too.
        if self._market.frozen and not event.cause.startswith("repegged:"):
            self._hasty[order_id] = f"by {event.cause} while its coin is frozen"
        elif came_s >= since_s or (event.cause.startswith(BY_ITSELF) and since_s < math.inf):
            self._hasty[order_id] = f"by {event.cause} in a coin that is stopped"

    def _dispatched(self, order_id: str, since_s: float) -> None:
        """Nothing new is done with a coin that is frozen, nor with what came when it had left its par."""
        self._checked["coin is taken"] += 1
        if self._market.frozen:
            raise Violation(f"order {order_id} is paid while its coin is frozen")
        if self._funded_s.get(order_id, 0) >= since_s:
            raise Violation(f"order {order_id} is paid, and its deposit came after its coin was stopped")

    def _case(self, order_id: str) -> Case:
        first = self._market.first[order_id]
        credits_ = self._chain.credits_of(first.address)
        return case_of(first, credits=credits_, agreed=self._market.agreed.get(order_id))

    def _came_s(self, event: Any) -> float:
        """When the deposit came that makes this step; 0: none does."""
        name = event.data.get("deposit") or event.cause
        if not name.startswith("deposit:"):
            return 0
        tx_hash, index = name.split(":")[2:4]
        found = self._chain.credits_of(self._market.first[event.order_id].address)
        return next(credit.time for credit in found if (credit.tx_hash, str(credit.log_index)) == (tx_hash, index))
