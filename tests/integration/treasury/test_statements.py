"""Reconciliation of a rail: planted differences, each alone and all at once, on the real database."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("tests.integration.treasury.till")

from gateway.money import Money  # noqa: E402
from gateway.offramp import LineKind  # noqa: E402
from gateway.treasury.reconcile import reconcile  # noqa: E402
from tests.factories import KES, PENDING  # noqa: E402
from tests.integration.treasury.till import House, kinds  # noqa: E402

PAID = Money(124_900, KES)


@pytest.fixture
async def house(engine):
    made = House(engine)
    await made.open()
    return made


async def test_a_clean_house_has_no_breaks(house):
    await house.pay(3)
    # The ledger has money on a chain that nobody compares here, and that is said, not hidden.
    report = await house.run()
    assert report.breaks == ()
    assert [one.check for one in report.not_made] == ["chain:31337"]
    assert report.exit_code == 2
    [rail] = report.comparisons
    assert (rail.place, rail.ledger, rail.outside, rail.difference) == ("rail:till", 99625300, 99625300, 0)


async def test_in_the_middle_of_traffic_what_is_in_flight_is_explained(house):
    await house.pay(2)
    house.till.answers = [PENDING, PENDING]
    await house.pay(2)
    # One of the two has left already, the other one hasn't; the books know of neither.
    house.till.held = house.till.held - PAID
    report = await house.run()
    assert report.breaks == ()
    [rail] = report.comparisons
    assert (rail.low, rail.high, rail.count, rail.difference) == (-2 * PAID.units, 0, 2, 0)
    assert all("is pending" in item.what for item in rail.items)


async def paid_twice(house, attempt):
    line = house.till.write(LineKind.PAYOUT, PAID, attempt_id=attempt)
    return ("paid_twice", f"statement:till:{line.line_id}", -PAID.units)


async def missing(house, attempt):
    house.till.forget(house.line_of(attempt))
    return ("missing", f"attempt:{attempt}:missing", PAID.units)


async def wrong_amount(house, attempt):
    line = house.till.change(house.line_of(attempt), amount=PAID + Money(51_00, KES))
    return ("wrong_amount", f"statement:till:{line.line_id}", -51_00)


async def wrong_direction(house, attempt):
    line = house.till.change(house.line_of(attempt), kind=LineKind.RETURN)
    return ("wrong_direction", f"statement:till:{line.line_id}", 2 * PAID.units)


async def unknown_payout(house, _attempt):
    line = house.till.write(LineKind.PAYOUT, Money(77_00, KES), attempt_id="att_that_we_lost")
    return ("unknown_payout", f"statement:till:{line.line_id}", -77_00)


async def return_unbooked(house, attempt):
    line = house.till.write(LineKind.RETURN, PAID, attempt_id=attempt)
    return ("return_unbooked", f"statement:till:{line.line_id}", PAID.units)


async def failed_yet_paid(house, attempt):
    line = house.till.write(LineKind.PAYOUT, PAID, attempt_id=f"{attempt}x")
    return ("failed_yet_paid", f"statement:till:{line.line_id}", -PAID.units)


async def fees(house, attempt):
    for _ in range(3):
        line = house.till.write(LineKind.FEE, Money(22_40, KES), attempt_id=attempt)
    del line
    return ("fees_unbooked", "fees:till:KES", -67_20)


async def top_up_unbooked(house, _attempt):
    line = house.till.write(LineKind.TOP_UP, Money(5_000_00, KES))
    return ("top_up_unbooked", f"statement:till:{line.line_id}", 5_000_00)


async def unknown_line(house, _attempt):
    line = house.till.write(LineKind.OTHER, Money(3_00, KES), leaves=True)
    return ("unknown_line", f"statement:till:{line.line_id}", -3_00)


async def balance_differs(house, _attempt):
    house.till.held = house.till.held - Money(11_00, KES)
    return ("balance_differs", "balance:rail:till:KES", -11_00)


PLANTS = [
    paid_twice,
    missing,
    wrong_amount,
    wrong_direction,
    unknown_payout,
    return_unbooked,
    failed_yet_paid,
    fees,
    top_up_unbooked,
    unknown_line,
    balance_differs,
]


async def failed_twin(house, attempt):
    """A failed attempt of the same order, as a rail leaves one behind before another pays."""
    await house.rows(
        """INSERT INTO attempts (id, order_id, adapter, deliver_asset, deliver_units, outcome, fault, evidence, asks,
            lease_token, created_at, updated_at, closed_at)
        SELECT id || 'x', order_id, adapter, deliver_asset, deliver_units, 'failed', 'rail', '{}', 0, 0, created_at,
            updated_at, closed_at FROM attempts WHERE id = :id RETURNING id""",
        id=attempt,
    )


async def plants(house, these):
    attempts = await house.pay(len(these) + 1)
    planted = []
    for plant, attempt in zip(these, attempts, strict=False):
        await failed_twin(house, attempt)
        planted.append(await plant(house, attempt))
    return planted


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
async def test_a_planted_difference_is_found_in_one_run_and_nothing_else(house, plant):
    [planted] = await plants(house, [plant])
    report = await house.run()
    assert [(one.kind, one.cause, one.effect) for one in report.breaks] == [planted]
    assert report.exit_code == 1
    assert report.breaks[0].next_step
    [incident] = await house.rows("SELECT kind, cause, detail FROM incidents")
    assert (incident.kind, incident.cause) == (planted[0], f"break:{report.ids[planted[1]]}")


async def test_all_differences_at_once_are_each_named_in_one_run(house):
    planted = await plants(house, PLANTS)
    report = await house.run()
    assert sorted((one.kind, one.cause, one.effect) for one in report.breaks) == sorted(planted)


async def test_the_same_difference_is_one_break_until_it_is_gone(house):
    [attempt] = await house.pay()
    line = house.line_of(attempt)
    await missing(house, attempt)
    first = await house.run()
    again = await house.run()
    assert again.ids == first.ids
    assert len(await house.rows("SELECT FROM incidents WHERE closed_at IS NULL")) == 1
    # The rail's line comes late.
    house.till.write(line.kind, line.amount, attempt_id=attempt)
    report = await house.run()
    assert (report.breaks, report.closed) == ((), 1)
    [kept] = await house.rows("SELECT closed_because, closed_at FROM reconciliation_breaks")
    assert (kept.closed_because, kept.closed_at) == ("gone", house.now)
    assert await house.rows("SELECT FROM incidents WHERE closed_at IS NULL") == []


async def test_what_could_not_be_compared_is_said_and_closes_nothing(house):
    [attempt] = await house.pay()
    await paid_twice(house, attempt)
    await house.run()
    house.till.broken = ConnectionError("https://secret")
    report = await house.run()
    assert {one.check for one in report.not_made} == {"chain:31337", "statement:till", "rail:till"}
    assert "secret" not in str(report.not_made)
    # What was read before is compared all the same, so the break stands.
    assert kinds(report) == ["paid_twice"]


async def test_a_rail_is_asked_from_where_we_were_with_overlap(house):
    await house.pay()
    await house.run()
    await house.run()
    (since, until), (since_again, until_again) = house.till.asked
    assert since < until
    assert since_again < until < until_again
    assert len(await house.rows("SELECT FROM statement_lines")) == 1


async def test_a_payment_whose_time_the_statement_does_not_reach_yet_is_not_missing(house):
    [attempt] = await house.pay()
    house.till.forget(house.line_of(attempt))
    house.till.held = house.till.held - PAID
    house.later(minutes=2)
    report = await reconcile(house.engine, rails=house.rails, chains=(), clock=house.clock)
    assert report.breaks == ()


async def test_what_a_rail_took_and_gave_back_is_nothing(house):
    [attempt] = await house.pay()
    await failed_twin(house, attempt)
    house.till.write(LineKind.PAYOUT, PAID, attempt_id=f"{attempt}x")
    house.till.write(LineKind.RETURN, PAID, attempt_id=f"{attempt}x")
    assert (await house.run()).breaks == ()


async def test_a_line_without_our_name_is_matched_by_its_reference(house):
    [attempt] = await house.pay()
    [row] = await house.rows("SELECT provider_ref FROM attempts WHERE id = :id", id=attempt)
    house.till.change(house.line_of(attempt), attempt_id=None, provider_ref=row.provider_ref)
    assert (await house.run()).breaks == ()


async def test_a_reference_that_two_attempts_have_names_neither(house):
    first, second = await house.pay(2)
    rows = await house.rows("SELECT DISTINCT receipt FROM attempts")
    assert len(rows) == 1
    house.till.change(house.line_of(second), attempt_id=None, provider_ref=rows[0].receipt)
    report = await house.run()
    assert sorted((one.kind, one.attempt_id) for one in report.breaks) == [("missing", second), ("unknown_payout", None)]
    assert first not in {one.attempt_id for one in report.breaks}


async def test_an_amount_and_a_time_only_suggest(house):
    [attempt] = await house.pay()
    house.till.change(house.line_of(attempt), attempt_id=None)
    report = await house.run()
    assert kinds(report) == ["missing", "unknown_payout"]
    unknown = next(one for one in report.breaks if one.kind == "unknown_payout")
    assert unknown.detail["alike"] == attempt
    assert sum(one.effect for one in report.breaks) == 0


async def test_a_statement_that_contradicts_itself_is_not_taken(house):
    [attempt] = await house.pay()
    await house.run()
    line = house.line_of(attempt)
    house.till.change(line, amount=Money(1, KES))
    report = await house.run()
    assert "contradicts itself" in next(one.why for one in report.not_made if one.check == "statement:till")
    assert [row.units for row in await house.rows("SELECT units FROM statement_lines")] == [PAID.units]


async def test_a_line_about_an_open_attempt_makes_the_poller_ask_at_once(house):
    house.till.answers = [PENDING]
    [attempt] = await house.pay()
    await house.rows("UPDATE attempts SET due_at = due_at + interval '1 year' RETURNING id")
    house.till.write(LineKind.PAYOUT, PAID, attempt_id=attempt)
    report = await house.run()
    assert report.breaks == ()
    [row] = await house.rows("SELECT due_at FROM attempts")
    assert row.due_at == house.now
