"""Bugs to plant: each takes one guard away, by replacing text that has to be there exactly once, and names its nets.

`python -m tests.sim.planted SEED ORDERS URL` simulates, in whatever tree it is run.
"""

from __future__ import annotations

import logging
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

ROOT = Path(__file__).parents[2]
TREE = ("gateway", "adapters", "migrations", "tests", "pyproject.toml", "README.md")
BROKEN = 3
"""How a simulation ends that found something."""


class CannotPlant(Exception):
    """The text isn't there, or more than once: the guard was moved, and this table has to follow it."""


@dataclass(frozen=True, slots=True)
class Change:
    """In one file, one text becomes another."""

    path: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Simulation:
    """A simulation with this seed and so many orders."""

    seed: int
    orders: int = 200


@dataclass(frozen=True, slots=True)
class Planted:
    """A bug, and the nets that catch it: the quick one each time, the simulation by name."""

    name: str
    changes: Sequence[Change]
    quick: Sequence[str]
    """What pytest is told."""
    simulation: Simulation | None = None


PAYOUTS = "gateway/payouts"
LIFE, INBOX = "tests/integration/payouts/test_life.py", "tests/integration/payouts/test_inbox.py"
ROUNDS, FROZEN = "tests/sim/test_rounds.py", "tests/crash/test_frozen.py"

BUGS = (
    Planted(
        "an unknown outcome is taken for a failure",
        [
            Change(
                f"{PAYOUTS}/calls.py",
                'return Report(outcome=Outcome.UNKNOWN, reason=f"the adapter raised {type(error).__name__}"[:100])',
                'fault, reason = Fault.TRANSIENT, "it raised"',
            )
        ],
        [LIFE, "-k", "lost_answer"],
    ),
    Planted(
        "no answer in time is taken for a failure",
        [
            Change(
                f"{PAYOUTS}/send.py",
                "self._answer_all(call, Report(outcome=Outcome.UNKNOWN",
                "self._answer_all(call, Report(outcome=Outcome.FAILED, fault=Fault.TRANSIENT",
            )
        ],
        ["tests/integration/payouts/test_sending.py", "-k", "hangs"],
    ),
    Planted(
        "a question without an answer is taken for a failure",
        [
            Change(
                f"{PAYOUTS}/poll.py",
                "return None if isinstance(answer, Asked | NoAnswer) else answer",
                "from gateway.offramp import Fault\n"
                "    lost = Report(outcome=Outcome.FAILED, fault=Fault.TRANSIENT, reason='lost')\n"
                "    return None if isinstance(answer, Asked) else lost if isinstance(answer, NoAnswer) else answer",
            )
        ],
        [LIFE, "-k", "question_that_fails"],
        Simulation(4, orders=400),
    ),
    Planted(
        "an unknown outcome lets the order be sent again",
        [
            Change(f"{PAYOUTS}/outcomes.py", "Outcome.UNKNOWN: E.OUTCOME_UNKNOWN", "Outcome.UNKNOWN: E.OUTCOME_FAILED"),
            Change(
                f"{PAYOUTS}/outcomes.py",
                "CLOSING = frozenset({Outcome.PAID,",
                "CLOSING = frozenset({Outcome.UNKNOWN, Outcome.PAID,",
            ),
        ],
        ["tests/integration/payouts/test_failover.py", "-k", "nobody_is_asked"],
    ),
    Planted(
        "an attempt is sent before it is committed",
        [
            Change(
                f"{PAYOUTS}/dispatch.py",
                "claimed = await _open_attempts(connection, desk, plan, allowed)",
                "claimed = await _open_attempts(connection, desk, plan, allowed)\n"
                "        async with aclosing(send_all(claimed, rails=desk.rails, clock=lambda: desk.now)) as early:\n"
                "            async for _ in early:\n"
                "                pass",
            )
        ],
        [ROUNDS, "-k", "claim"],
        Simulation(1),
    ),
    Planted(
        "whoever is late may record all the same",
        [Change(f"{PAYOUTS}/record.py", "if item.lease not in (None, attempts[item.attempt_id].lease_token)", "if False")],
        [FROZEN, "-k", "record"],
    ),
    Planted(
        "whoever is late may send all the same",
        [Change(f"{PAYOUTS}/send.py", "if self._clock() > call.latest:", "if self._clock is None:")],
        [FROZEN, "-k", "send"],
    ),
    Planted(
        "a callback is believed whoever wrote it",
        [Change(f"{PAYOUTS}/inbox.py", "proof=callback.proof is True", "proof=True")],
        [INBOX, "-k", "forged_callback"],
        Simulation(1, orders=900),
    ),
    Planted(
        "any amount will do",
        [
            Change(
                f"{PAYOUTS}/judging.py",
                "if row.closed_at is None and _is_other_amount(row, report) and not _is_part(row, item):",
                "if row.closed_at is None and row.id is None:",
            )
        ],
        [LIFE, "-k", "another_amount"],
    ),
    Planted(
        "a payment that was called failed and was made is forgotten",
        [
            Change(
                f"{PAYOUTS}/outcomes.py",
                "(Outcome.FAILED, Outcome.PAID): Act.PAID_AFTER_ALL",
                "(Outcome.FAILED, Outcome.PAID): Act.KEEP",
            )
        ],
        [LIFE, "-k", "success_after_failure"],
        Simulation(1),
    ),
    Planted(
        "the same id is sent again when the rail has forgotten it",
        [
            Change(
                f"{PAYOUTS}/poll.py",
                "now + capabilities.answer_within < item.sent_at + capabilities.resend_within",
                "now >= item.sent_at",
            )
        ],
        [LIFE, "-k", "only_while_the_rail_remembers"],
    ),
    Planted(
        "a deposit counts before it is final",
        [
            Change(
                "gateway/chain/record.py",
                "CASE WHEN d.block_number <= :final_number THEN 'final' ELSE 'seen' END",
                "CASE WHEN CAST(:final_number AS bigint) >= 0 THEN 'final' ELSE 'seen' END",
            )
        ],
        ["tests/integration/chain/test_record.py"],
        Simulation(1),
    ),
    Planted(
        "a first answer counts under an old lease too",
        [Change(f"{PAYOUTS}/record.py", " AND a.lease_token = n.lease\n", "\n")],
        ["tests/integration/payouts/test_record.py", "-k", "newest_lease"],
    ),
    Planted(
        "an order steps though its quote isn't seen",
        [Change("gateway/orders/advance.py", "CASE WHEN d.id = d.quote_id THEN d.state END", "d.state")],
        ["tests/integration/payouts/test_record.py", "-k", "does_not_see"],
    ),
    Planted(
        "two workers may claim the same order, and nothing else keeps them apart",
        [
            Change(f"{PAYOUTS}/dispatch.py", "LIMIT l.most FOR UPDATE OF o SKIP LOCKED", "LIMIT l.most"),
            Change(
                "migrations/versions/0028_steps.py",
                "CREATE UNIQUE INDEX one_open_attempt_per_order",
                "CREATE INDEX one_open_attempt_per_order",
            ),
        ],
        [ROUNDS, "-k", "claim"],
    ),
    Planted(
        "a quote may be accepted by several at once",
        [
            Change(
                "gateway/orders/accept.py",
                "WHERE id = :quote_id FOR UPDATE",
                "WHERE id = :quote_id",
            )
        ],
        [ROUNDS, "-k", "accept"],
        Simulation(4, orders=300),
    ),
    Planted(
        "what is on its way doesn't count against the float",
        [Change(f"{PAYOUTS}/allowances.py", "b.held - COALESCE((", "b.held - 0 * COALESCE((")],
        [ROUNDS, "-k", "float"],
    ),
    Planted(
        "a proposal may be agreed to by several at once",
        [
            Change(
                f"{PAYOUTS}/resolutions.py",
                'proposal = (await connection.execute(_FIND, {"resolution_id": resolution_id})).one()',
                "proposal = found",
            )
        ],
        [ROUNDS, "-k", "agree"],
    ),
)


def copy_tree(to: Path) -> None:
    """The product and its tests, as they are."""
    for name in TREE:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, to / name, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
        else:
            shutil.copy(source, to / name)


def plant(bug: Planted, root: Path) -> None:
    """Take the guard away in the tree of `root`. Raises `CannotPlant`."""
    for change in bug.changes:
        file = root / change.path
        text = file.read_text()
        if (times := text.count(change.old)) != 1:
            raise CannotPlant(
                f"{change.path}: {change.old!r} stands there {times} times; the guard has moved: plant it anew"
            )
        file.write_text(text.replace(change.old, change.new))


def main() -> int:
    seed, orders, url = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    from gateway.simulation.run import simulate
    from gateway.simulation.scheduler import Broken

    try:
        simulate(seed=seed, orders=orders, database_url=url)
    except Broken as broken:
        sys.stdout.write(f"{broken}\n")
        return BROKEN
    return 0


if __name__ == "__main__":
    sys.exit(main())
