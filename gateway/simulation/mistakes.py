"""Mistakes that rails, thieves and bookkeepers make in the end: the product's reconciliation finds each, and no other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import NamedTuple

from gateway.ledger.post import Entry, Transfer, top_up
from gateway.money import Money
from gateway.offramp import LineKind, StatementLine
from gateway.simulation.chain import CHAIN_ID, TREASURY, USDC, SimChain, word
from gateway.simulation.rails import KES, UGX, SimRail

THIEF = word("thief")[:42]
NOBODYS = "att_nobodys"
LITTLE = 7
"""Units by which something differs."""
LEAVES = frozenset({LineKind.PAYOUT, LineKind.FEE})

Found = dict[str, str]
"""Kinds of differences, by what the reconciliation calls their causes."""


class Wrong(NamedTuple):
    """How one line of a statement becomes wrong, or one more is there."""

    what: str
    """As the reconciliation calls it."""
    kind: LineKind = LineKind.PAYOUT
    more: int = 0
    """Units beyond what is right."""
    changes: bool = False
    """The right line is gone."""
    whose: str | None = ""
    """The attempt that it names; empty: the right one."""

    def cause(self, rail: str, line: StatementLine) -> str:
        """What the reconciliation calls it."""
        special = {"missing": f"attempt:{line.attempt_id}:missing", "fees_unbooked": f"fees:{rail}:{KES.code}"}
        return special.get(self.what, f"statement:{rail}:{line.line_id}")


TABLE = (
    Wrong("paid_twice"),
    Wrong("wrong_amount", more=LITTLE, changes=True),
    Wrong("wrong_direction", LineKind.RETURN, changes=True),
    Wrong("return_unbooked", LineKind.RETURN),
    Wrong("unknown_payout", whose=NOBODYS),
    Wrong("unknown_return", LineKind.RETURN, whose=NOBODYS),
    Wrong("top_up_unbooked", LineKind.TOP_UP, whose=None),
    Wrong("fees_unbooked", LineKind.FEE, whose=None),
    Wrong("missing", changes=True),
)


def of_all(rails: Mapping[str, SimRail], chain: SimChain, *, order_id: str, address: str) -> tuple[list[Entry], Found]:
    """Every mistake, each rail its own; those of the books are entries that are still to be posted."""
    entries, found = of_the_books(rails["delta"], order_id=order_id)
    found |= of_a_statement(rails["alpha"]) | of_a_balance(rails["bravo"]) | of_the_chain(chain, address=address)
    return entries, found


def of_a_statement(rail: SimRail) -> Found:
    """Change a rail's statement, and its balance with it; as much of it as it has lines for."""
    name, found = rail.kind.name, dict[str, str]()
    for wrong, right in zip(TABLE, _paid(rail), strict=False):
        line = replace(
            right,
            line_id=right.line_id if wrong.changes else wrong.what,
            kind=wrong.kind,
            amount=Money(right.amount.units + wrong.more, right.amount.asset),
            attempt_id=right.attempt_id if wrong.whose == "" else wrong.whose,
        )
        if wrong.changes:
            rail.statement.remove(right)
            rail.balance[KES.code] -= _effect(right)
        if wrong.what != "missing":
            rail.statement.append(line)
            rail.balance[KES.code] += _effect(line)
        found[wrong.cause(name, line)] = wrong.what
    return found


def of_a_balance(rail: SimRail) -> Found:
    """Money leaves our account, and no line says so."""
    rail.balance[UGX.code] -= LITTLE
    return {f"balance:rail:{rail.kind.name}:{UGX.code}": "balance_differs"}


def of_the_chain(chain: SimChain, *, address: str) -> Found:
    """A thief takes coins out of the treasury; somebody sweeps a deposit address, and doesn't book it."""
    stolen = chain.send(address=THIEF, units=LITTLE, sender=TREASURY)
    swept = chain.send(address=TREASURY, units=LITTLE, sender=address)
    # They go into the next block, in this order.
    return {f"log:{CHAIN_ID}:{stolen}:0": "coin_left", f"log:{CHAIN_ID}:{swept}:1": "sweep_unbooked"}


def of_the_books(rail: SimRail, *, order_id: str) -> tuple[list[Entry], Found]:
    """What never was is booked: a top-up, a deposit, a payout."""
    name, deposit = rail.kind.name, f"deposit:{CHAIN_ID}:{word('never')}:0"
    coins = Transfer(f"chain:{CHAIN_ID}", f"order:{order_id}:unallocated", Money(LITTLE, USDC))
    entries = [
        top_up(rail=name, money=Money(LITTLE, KES), reference="never"),
        Entry(deposit, "unallocated", (coins,), order_id),
    ]
    found = {
        f"balance:rail:{name}:{KES.code}": "balance_differs",
        f"balance:chain:{CHAIN_ID}:{USDC.code}": "balance_differs",
        f"ledger:deposit_not_its_entry:chain:{CHAIN_ID}:{deposit}:{USDC.code}": "deposit_not_its_entry",
    }
    for line in islice(_paid(rail), 1):
        attempt = f"attempt:{line.attempt_id}"
        payout = Transfer(f"claims:{name}", f"rail:{name}", Money(LITTLE, KES))
        entries.append(Entry(f"{attempt}:claimed:9", "payout_claimed", (payout,)))
        found[f"{attempt}:missing"] = "missing"
        found[f"ledger:attempt_not_its_entry:rail:{name}:{line.attempt_id}:{KES.code}"] = "attempt_not_its_entry"
    return entries, found


def _paid(rail: SimRail) -> Iterator[StatementLine]:
    """Lines that are all that the statement says of an attempt, the oldest first."""
    lines = Counter(line.attempt_id for line in rail.statement)
    for line in list(rail.statement):
        if line.kind is LineKind.PAYOUT and lines[line.attempt_id] == 1 and line.amount.asset == KES:
            yield line


def _effect(line: StatementLine) -> int:
    return -line.amount.units if line.kind in LEAVES else line.amount.units
