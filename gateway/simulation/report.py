"""What a simulation came to, for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gateway.simulation.run import Result


def table(result: Result) -> str:
    """The result as lines of text."""
    return "\n".join(_lines(result))


def _lines(result: Result) -> Iterator[str]:
    yield f"Seed {result.seed}: {result.orders} orders in {result.simulated_days} simulated days, {result.steps} steps"
    yield from _section("Orders ended as", result.states)
    yield from _section("Faults", result.faults)
    crashes = {point: f"{result.crashes.get(point, 0)} of {passed}" for point, passed in result.passed.items()}
    yield from _section("Processes that died at a failpoint, of those that passed it", crashes)
    yield from _section("Failures of the outside that a loop told of", result.foreseen)
    yield from _section("Invariants checked", result.checked)
    yield f"People had to say what became of {result.decided} payments."
    yield f"The reference model agrees on all {result.accounts} accounts and on every order."
    yield f"Its own reconciliation compares {result.reconciled} places, and finds no difference."
    yield f"Of {result.mistakes} mistakes that are made then it finds each, and no other."
    yield f"Trace {result.trace}, {result.seconds} s"


def _section(title: str, rows: Mapping[str, object]) -> Iterator[str]:
    if not rows:
        return
    yield title
    width = max(len(name) for name in rows)
    for name, value in rows.items():
        yield f"  {name:<{width}}  {value:>12}"
