"""A person books what they can explain: the books then say what the outside says, and never twice."""

from __future__ import annotations

import asyncio

import pytest

pytest.register_assert_rewrite("tests.integration.treasury.till")

from gateway.db.session import transaction  # noqa: E402
from gateway.ledger.post import post, top_up  # noqa: E402
from gateway.money import Money  # noqa: E402
from gateway.offramp import LineKind  # noqa: E402
from gateway.operators.actions import ReasonMissing, UnknownOperator, list_actions  # noqa: E402
from gateway.treasury.booking import As, BreakClosed, CannotBook, NoSuchBreak, book_break  # noqa: E402
from gateway.treasury.queries import count_open_breaks, find_break, open_breaks  # noqa: E402
from tests.factories import KES  # noqa: E402
from tests.integration.treasury.till import House, kinds  # noqa: E402

PAID = Money(124_900, KES)


@pytest.fixture
async def house(engine):
    made = House(engine)
    await made.open()
    await made.rows("INSERT INTO operators VALUES ('ada', 'x', now()) RETURNING name")
    return made


async def book(house, break_id, as_, **changes):
    values = {"operator": "ada", "reason": "as the rail wrote to us", "now": house.now} | changes
    async with transaction(house.engine) as connection:
        return await book_break(connection, break_id=break_id, as_=as_, **values)


async def only_break(house):
    report = await house.run()
    [one] = report.breaks
    return report.ids[one.cause]


async def test_a_double_payment_becomes_a_claim_and_its_repayment_ends_it(house):
    [attempt] = await house.pay()
    house.till.write(LineKind.PAYOUT, PAID, attempt_id=attempt)
    booked = await book(house, await only_break(house), As.CLAIM)
    assert (booked.source, booked.destination, booked.money) == ("claims:till", "rail:till", PAID)
    assert (await house.run()).breaks == ()
    assert (await house.books())["claims:till"] == "-1249.00"
    house.till.write(LineKind.RETURN, PAID, provider_ref="their letter")
    await book(house, await only_break(house), As.CLAIM)
    assert (await house.run()).breaks == ()
    assert "claims:till" not in await house.books()


async def test_more_than_ordered_becomes_a_claim(house):
    [attempt] = await house.pay()
    house.till.change(house.line_of(attempt), amount=PAID + Money(51_00, KES))
    await book(house, await only_break(house), As.CLAIM)
    assert (await house.run()).breaks == ()
    assert (await house.books())["claims:till"] == "-51.00"


async def test_fees_are_booked_all_together_and_later_ones_anew(house):
    for _ in range(3):
        house.till.write(LineKind.FEE, Money(22_40, KES))
    await book(house, await only_break(house), As.FEE)
    assert (await house.books())["cost:rail_fees"] == "-67.20"
    assert (await house.run()).breaks == ()
    house.till.write(LineKind.FEE, Money(1_00, KES))
    await book(house, await only_break(house), As.FEE)
    assert (await house.run()).breaks == ()
    assert (await house.books())["cost:rail_fees"] == "-68.20"


async def test_a_top_up_is_booked_once_by_whichever_way(house):
    line = house.till.write(LineKind.TOP_UP, Money(500_00, KES))
    await book(house, await only_break(house), As.TOP_UP)
    async with transaction(house.engine) as connection:
        again = top_up(rail="till", money=line.amount, reference=line.line_id)
        assert await post(connection, entries=[again], now=house.now) == 0
    assert (await house.run()).breaks == ()
    other = house.till.write(LineKind.TOP_UP, Money(600_00, KES), provider_ref="SLIP 7")
    async with transaction(house.engine) as connection:
        await post(connection, entries=[top_up(rail="till", money=other.amount, reference="SLIP 7")], now=house.now)
    assert (await house.run()).breaks == ()


async def test_a_balance_without_lines_is_booked_as_often_as_it_moves(house):
    for _ in range(2):
        house.till.held = house.till.held - Money(7_00, KES)
        await book(house, await only_break(house), As.CAPITAL)
        assert (await house.run()).breaks == ()
    assert (await house.books())["capital"] == "999986.00"


async def test_booking_closes_break_and_incident_and_is_written_down(house):
    house.till.write(LineKind.OTHER, Money(3_00, KES), leaves=True)
    break_id = await only_break(house)
    async with transaction(house.engine) as connection:
        assert [one.id for one in await open_breaks(connection, most=10)] == [break_id]
        assert await count_open_breaks(connection) == {"unknown_line": 1}
    booked = await book(house, break_id, As.FEE)
    async with transaction(house.engine) as connection:
        view = await find_break(connection, break_id=break_id)
        [action] = await list_actions(connection, most=10)
        assert await open_breaks(connection, most=10) == []
    assert (view.closed_because, view.closed_by) == ("booked", "ada")
    assert (action.operator, action.action, action.subject) == ("ada", "reconcile.book", f"break:{break_id}")
    assert action.detail["entry"] == booked.cause
    [incident] = await house.rows("SELECT closed_by FROM incidents")
    assert incident.closed_by == "ada"


async def test_two_people_book_one_break_once(house):
    house.till.write(LineKind.OTHER, Money(3_00, KES), leaves=True)
    break_id = await only_break(house)
    results = await asyncio.gather(*(book(house, break_id, As.FEE) for _ in range(2)), return_exceptions=True)
    assert sorted(type(one).__name__ for one in results) == ["Booked", "BreakClosed"]
    assert (await house.books())["cost:rail_fees"] == "-3.00"


async def test_what_does_not_fit_is_refused_and_nothing_is_written(house):
    [attempt] = await house.pay()
    house.till.write(LineKind.RETURN, PAID, attempt_id=attempt)
    house.till.write(LineKind.TOP_UP, Money(500_00, KES), line_id="slip")
    house.till.write(LineKind.FEE, Money(1_00, KES))
    report = await house.run()
    by_kind = {one.kind: report.ids[one.cause] for one in report.breaks}
    assert len(by_kind) == 3
    with pytest.raises(CannotBook, match="isn't booked by hand"):
        await book(house, by_kind["return_unbooked"], As.CLAIM)
    with pytest.raises(CannotBook, match="no fee"):
        await book(house, by_kind["top_up_unbooked"], As.FEE)
    with pytest.raises(CannotBook, match="no top-up"):
        await book(house, by_kind["fees_unbooked"], As.TOP_UP)
    with pytest.raises(CannotBook, match="capital, claim, fee, top-up, not as loss"):
        await book(house, by_kind["fees_unbooked"], As.LOSS)
    with pytest.raises(NoSuchBreak):
        await book(house, "brk_0", As.FEE)
    with pytest.raises(UnknownOperator):
        await book(house, by_kind["fees_unbooked"], As.FEE, operator="eve")
    with pytest.raises(ReasonMissing):
        await book(house, by_kind["fees_unbooked"], As.FEE, reason=" ")
    assert kinds(await house.run()) == sorted(by_kind)
    assert "cost:rail_fees" not in await house.books()


async def test_fees_that_came_since_are_not_booked_unseen(house):
    house.till.write(LineKind.FEE, Money(22_40, KES))
    break_id = await only_break(house)
    [row] = await house.rows("SELECT seen_at FROM reconciliation_breaks")
    await house.rows(
        """INSERT INTO statement_lines (rail, line_id, kind, asset, units, leaves, at, imported_at)
        VALUES ('till', 'late', 'fee', 'KES', 100, true, :at, :at) RETURNING line_id""",
        at=row.seen_at,
    )
    with pytest.raises(CannotBook, match="other fees have come since"):
        await book(house, break_id, As.FEE)
    assert await house.rows("SELECT FROM statement_bookings") == []


async def test_a_break_that_is_over_cannot_be_booked(house):
    line = house.till.write(LineKind.OTHER, Money(3_00, KES), leaves=True)
    break_id = await only_break(house)
    await book(house, break_id, As.FEE)
    with pytest.raises(BreakClosed, match="booked before"):
        await book(house, break_id, As.FEE)
    assert line.line_id in str(await house.rows("SELECT line_id FROM statement_bookings"))
