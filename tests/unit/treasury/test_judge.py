"""Whatever a statement has: each planted difference is named once, with what it does to the account, and nothing else is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from gateway.treasury.judge import Case, Kind, Line, judge

NOW = datetime(2026, 11, 22, tzinfo=UTC)
AMOUNTS = st.integers(1, 10**12)


def line(number, units, *, leaves=True):
    return Line(f"L{number}", units, leaves, NOW + timedelta(seconds=number))


PLANTS = {
    "nothing": lambda units, _more: ([units], [], [line(1, units)], []),
    "paid twice": lambda units, _more: ([units], [], [line(1, units), line(2, units)], [(Kind.PAID_TWICE, -units)]),
    "paid three times": lambda units, _more: (
        [units],
        [],
        [line(n, units) for n in (1, 2, 3)],
        [(Kind.PAID_TWICE, -units)] * 2,
    ),
    "missing": lambda units, _more: ([units], [], [], [(Kind.MISSING, units)]),
    "more taken": lambda units, more: ([units], [], [line(1, units + more)], [(Kind.WRONG_AMOUNT, -more)]),
    "less taken": lambda units, more: ([units + more], [], [line(1, units)], [(Kind.WRONG_AMOUNT, more)]),
    "turned": lambda units, _more: ([units], [], [line(1, units, leaves=False)], [(Kind.WRONG_DIRECTION, 2 * units)]),
    "came back": lambda units, _more: (
        [units],
        [],
        [line(1, units), line(2, units, leaves=False)],
        [(Kind.RETURN_UNBOOKED, units)],
    ),
    "came back and is booked": lambda units, _more: ([units], [units], [line(1, units), line(2, units, leaves=False)], []),
    "return never came": lambda units, _more: ([units], [units], [line(1, units)], [(Kind.RETURN_MISSING, -units)]),
    "other amount came back": lambda units, more: (
        [units],
        [units],
        [line(1, units), line(2, units + more, leaves=False)],
        [(Kind.WRONG_AMOUNT, more)],
    ),
    "failed yet paid": lambda units, _more: ([], [], [line(1, units)], [(Kind.FAILED_YET_PAID, -units)]),
    "failed and undone by the rail": lambda units, _more: ([], [], [line(1, units), line(2, units, leaves=False)], []),
    "booked both ways, shown neither": lambda units, _more: ([units], [units], [], []),
    "claimed already": lambda units, _more: ([units, units], [], [line(1, units), line(2, units)], []),
}


@given(st.sampled_from(sorted(PLANTS)), AMOUNTS, AMOUNTS, st.randoms())
def test_every_planted_difference_is_named_and_nothing_else(name, units, more, order):
    outs, ins, lines, expected = PLANTS[name](units, more)
    order.shuffle(lines)
    case = Case(paid=bool(outs), outs=outs, ins=ins, lines=lines, covered=True)
    found = judge(case)
    assert sorted((one.kind, one.effect) for one in found) == sorted(expected)


@given(
    st.lists(AMOUNTS, max_size=4),
    st.lists(AMOUNTS, max_size=4),
    st.lists(st.tuples(st.integers(0, 9), st.one_of(AMOUNTS, st.integers(1, 3)), st.booleans()), max_size=6),
    st.booleans(),
)
def test_the_effects_always_add_up_to_the_difference(outs, ins, rows, paid):
    lines = [Line(f"L{n}", units, leaves, NOW + timedelta(seconds=at)) for n, (at, units, leaves) in enumerate(rows)]
    found = judge(Case(paid=paid, outs=outs, ins=ins, lines=lines, covered=True))
    books = sum(ins) - sum(outs)
    account = sum(-one.units if one.leaves else one.units for one in lines)
    assert sum(one.effect for one in found) == account - books
    assert len({one.line.line_id for one in found if one.line}) == sum(one.line is not None for one in found)


@given(st.lists(AMOUNTS, max_size=3), st.lists(AMOUNTS, max_size=3))
def test_a_line_that_is_not_there_proves_nothing_unless_its_time_is_covered(outs, ins):
    assert judge(Case(paid=True, outs=outs, ins=ins, lines=[], covered=False)) == []
