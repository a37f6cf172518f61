"""What must hold after every step, whatever has happened. Only what a step has touched is looked at."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

from gateway.offramp import Instruction
from gateway.orders.states import STEPS
from gateway.simulation.chain import SimChain
from gateway.simulation.eye import AttemptRow, Eye, OrderRow
from gateway.simulation.market import Market
from gateway.simulation.onward import Onward
from gateway.simulation.rails import Movement, SimRail
from gateway.simulation.scheduler import Violation

EDGES = frozenset((step.state.value, step.event.value, step.next.value) for step in STEPS)
WAITING = frozenset({"awaiting_deposit", "funded"})
"""States in which a worker has to look at the order at some time: `due_at` says when."""
OURS, OTHERS = -1, 1
SIDES = {
    "rail": OURS,
    "chain": OURS,
    "treasury": OURS,
    "claims": OURS,
    "order": OTHERS,
    "partner": OTHERS,
    "revenue": OTHERS,
}
"""Accounts of what we have stand below zero, and those of whose it is above."""
AT_A_RAIL = frozenset({"paying", "uncertain"})


class Invariants:
    """Holds what the database says against what chain and rails really did."""

    def __init__(self, *, eye: Eye, market: Market, chain: SimChain) -> None:
        self._eye, self._market, self._chain = eye, market, chain
        self.checked: Counter[str] = Counter()
        self._onward = Onward(market=market, chain=chain, checked=self.checked)
        self._sent: dict[str, str] = {}
        """Attempts that this step has made, with their orders."""
        self.accounts: dict[tuple[str, str], int] = defaultdict(int)
        self.movements: list[Movement] = []
        self._states: dict[str, tuple[str, int]] = {}
        self._orders: dict[str, str] = {}
        """Of attempts that have left."""
        self.delivered: dict[str, int] = defaultdict(int)
        """Paid out rightfully per order."""
        self._paid: set[str] = set()
        """Attempts that were paid at some time; wrongly or not."""
        self._rightly: set[str] = set()
        self._returned: set[str] = set()
        self._touched: dict[str, None] = {}
        self._final: dict[str, int] = {}
        self._final_seen = 0

    def leaving(self, rail: SimRail, instruction: Instruction) -> None:
        """An instruction is about to leave a process: it was committed before, as its order promised."""
        self.checked["reference first"] += 1
        row = self._eye.attempt(instruction.attempt_id)
        if row is None:
            raise Violation(f"attempt {instruction.attempt_id} leaves before it is committed")
        if (row.adapter, row.units) != (rail.kind.name, instruction.deliver.units):
            raise Violation(
                f"attempt {row.id} is {row.units} by {row.adapter}, but {instruction.deliver} leave to {rail.kind.name}"
            )
        if not row.open:
            raise Violation(f"attempt {row.id} is closed as {row.outcome}, and leaves all the same")
        deal = self._market.deals[row.order_id]
        if (instruction.deliver.asset.code, row.units) != (deal.asset, deal.receive):
            raise Violation(f"order {row.order_id} promised {deal.receive} {deal.asset}, but {instruction.deliver} leave")
        if instruction.to.account not in self._market.accounts[row.order_id]:
            raise Violation(f"order {row.order_id} is paid to {instruction.to.account}, which isn't its recipient's way now")
        self._orders[row.id] = row.order_id

    def moved(self, movement: Movement) -> None:
        """A rail has moved money."""
        self.movements.append(movement)
        order_id = self._orders[movement.attempt_id]
        (self._paid if movement.units > 0 else self._returned).add(movement.attempt_id)
        if not movement.wrong:
            self._rightly.add(movement.attempt_id)
            self.delivered[order_id] += movement.units
        self._touched[order_id] = None
        self.checked["at most once"] += 1
        owed = self._market.deals[order_id].receive
        if self.delivered[order_id] > owed:
            raise Violation(f"order {order_id} was paid {self.delivered[order_id]} of {owed}")

    def order_of(self, attempt_id: str) -> str:
        """The order of an attempt that has left."""
        return self._orders[attempt_id]

    def after_step(self) -> None:
        """Check all that has changed."""
        if not self._eye.news():
            return
        moved = self._eye.moved_orders()
        touched = list(dict.fromkeys([*moved, *self._touched]))
        self._touched.clear()
        if touched:
            self._check_events(self._eye.events(moved))
            self._onward.finish()
            self._check_orders(self._eye.orders(touched), self._eye.attempts(touched))
        self._check_postings(self._eye.new_postings())

    def _check_events(self, events: Iterable[Any]) -> None:
        since = self._eye.stopped_since()
        self._sent = {}
        for event in events:
            state, version = self._states.get(event.order_id, ("awaiting_deposit", 0))
            if event.version <= version:
                continue
            self.checked["only listed steps"] += 1
            if (event.from_state, event.version) != (state, version + 1):
                raise Violation(f"order {event.order_id} was {state}, version {version}, and {event.event} says otherwise")
            if (event.from_state, event.event, event.to_state) not in EDGES:
                raise Violation(f"order {event.order_id} went from {event.from_state} by {event.event} to {event.to_state}")
            self._states[event.order_id] = (event.to_state, event.version)
            if event.event == "dispatched":
                self._sent[event.data["attempt"]] = event.order_id
            self._onward.follow(event, since=since)
            self._check_outcome(event)

    def _check_outcome(self, event: Any) -> None:
        """What the books say a rail did, it did."""
        attempt_id = event.data.get("attempt")
        if event.event not in ("outcome_paid", "outcome_failed", "outcome_returned") or attempt_id is None:
            return
        self.checked["outcomes are true"] += 1
        true = {
            "outcome_paid": attempt_id in self._paid,
            "outcome_failed": attempt_id not in self._rightly,
            "outcome_returned": attempt_id in self._returned,
        }[event.event]
        if not true:
            raise Violation(f"attempt {attempt_id} is {event.event}, and that isn't what the rail did")

    def _check_orders(self, orders: Iterable[OrderRow], attempts: Iterable[AttemptRow]) -> None:
        live: dict[str, list[AttemptRow]] = defaultdict(list)
        sent = set(self._sent.values())
        for attempt in attempts:
            if attempt.open:
                live[attempt.order_id].append(attempt)
            elif attempt.outcome == "paid" and attempt.id not in self._sent and attempt.order_id in sent:
                raise Violation(f"order {attempt.order_id} is sent again, and attempt {attempt.id} is known to be paid")
        for order in orders:
            self.checked["one live attempt"] += 1
            state, version = self._states.get(order.id, ("awaiting_deposit", 0))
            if (order.state, order.version) != (state, version):
                raise Violation(f"order {order.id} is {order.state}, but its steps lead to {state}")
            mine = live[order.id]
            if len(mine) > 1:
                raise Violation(f"order {order.id} has {len(mine)} live attempts")
            if bool(mine) != (order.state in AT_A_RAIL):
                raise Violation(f"order {order.id} is {order.state} with {len(mine)} live attempts")
            self.checked["somebody looks"] += 1
            if order.state in WAITING and order.due_at is None:
                raise Violation(f"order {order.id} is {order.state}, and nobody will look at it")
            if mine and mine[0].due_at is None:
                raise Violation(f"attempt {mine[0].id} is {mine[0].outcome}, and nobody will ask about it")

    def _check_postings(self, postings: Iterable[Any]) -> None:
        below: dict[tuple[str, str], None] = {}
        for posting in postings:
            self.checked["no account beyond zero"] += 1
            units = int(posting.units)
            for account, moved in ((posting.source, -units), (posting.destination, units)):
                self.accounts[account, posting.asset] += moved
                if account.partition(":")[0] in SIDES:
                    below[account, posting.asset] = None
            if posting.source.startswith("chain:"):
                self._check_credit(posting)
        for key in below:
            if self.accounts[key] * SIDES[key[0].partition(":")[0]] < 0:
                raise Violation(f"the account {key[0]} is at {self.accounts[key]}")

    def _check_credit(self, posting: Any) -> None:
        """A deposit is credited once, and only what is final in the chain."""
        self.checked["deposits once"] += 1
        parts = posting.cause.split(":deposit:")[-1].removeprefix("deposit:").split(":")
        identity = ":".join(parts[1:3])
        for credit in self._chain.credits()[self._final_seen :]:
            self._final[f"{credit.tx_hash}:{credit.log_index}"] = credit.units
            self._final_seen += 1
        left = self._final.get(identity)
        if left is None:
            raise Violation(f"{posting.cause} credits a deposit that isn't final in the chain")
        self._final[identity] = left - int(posting.units)
        if self._final[identity] < 0:
            raise Violation(f"{posting.cause} credits more than arrived")
