"""What rails say, in whatever order: nothing is paid twice without a claim, nothing said is lost, somebody always looks."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from datetime import timedelta

import pytest
from msgspec import structs
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from gateway.db.session import transaction
from gateway.ledger.post import Entry, Transfer, post
from gateway.ledger.queries import balances
from gateway.money import Money
from gateway.offramp import Capabilities, Fault, Outcome, Report
from gateway.orders.advance import Move, advance
from gateway.orders.funding import book_deposits
from gateway.orders.states import E
from gateway.payouts.dispatch import dispatch
from gateway.payouts.rails import Rails
from gateway.payouts.record import OLD_LEASE, OPERATOR, News, record
from tests.factories import KES, NOW, PENDING, USDC, FakeRail, failed, make_deposit, make_orders, paid

DUE = Money(124_900, KES)
LATER = NOW + timedelta(hours=1)


class Slow(FakeRail):
    """Takes as many as there are, and says nothing final of any."""

    def _capabilities(self):
        known = super()._capabilities()
        fields = {name: getattr(known, name) for name in Capabilities.__dataclass_fields__}
        return Capabilities(**{**fields, "concurrency": 10_000})

    async def pay(self, instruction):
        self.calls.append(instruction.attempt_id)
        return PENDING


@pytest.fixture
def rails():
    return Rails({name: Slow(name=f"slow_{name}") for name in ("one", "two")})


COPY = """
INSERT INTO quotes SELECT c.* FROM quotes AS q, generate_series(2, {n}) AS n,
    jsonb_populate_record(q, jsonb_build_object('id', q.id || n)) AS c WHERE q.id = '{quote}';
INSERT INTO deposit_addresses SELECT c.* FROM deposit_addresses AS d, generate_series(2, {n}) AS n,
    jsonb_populate_record(d, jsonb_build_object('address', '0x' || lpad(to_hex(n), 40, '0'), 'owner', d.owner || n)) AS c
    WHERE d.owner = '{order}';
INSERT INTO orders SELECT c.* FROM orders AS o, generate_series(2, {n}) AS n, jsonb_populate_record(o, jsonb_build_object(
    'id', o.id || n, 'quote_id', o.quote_id || n, 'tracking_token', o.tracking_token || n,
    'deposit_address', '0x' || lpad(to_hex(n), 40, '0'))) AS c WHERE o.id = '{order}';
INSERT INTO recipients SELECT order_id || n, name, account FROM recipients, generate_series(2, {n}) AS n
    WHERE order_id = '{order}';
"""
"""Copies of an order that was made as orders are: making a thousand that way takes longer than all that is tested."""


async def funded(engine, number=1):
    """Funded orders, without a deposit each: booking has tests of its own."""
    [made] = await make_orders(engine)
    async with transaction(engine) as connection:
        [quote] = (await connection.execute(text("SELECT quote_id FROM orders"))).scalars()
        await connection.exec_driver_sql(COPY.format(n=number, quote=quote, order=made.order_id))
        orders = list((await connection.execute(text("SELECT id FROM orders ORDER BY id"))).scalars())
        for event, data in ((E.DEPOSIT_SEEN, {}), (E.DEPOSIT_FINAL, {"funds": "10000000", "unallocated": "0"})):
            moves = [Move(order_id=order, event=event, cause=event.value, data=data, due_at=NOW) for order in orders]
            await advance(connection, moves=moves, now=NOW)
    return orders


async def send(engine, rails, now=LATER):
    while await dispatch(engine, rails=rails, clock=lambda: now):
        pass


async def tell(engine, news, now=LATER):
    async with transaction(engine) as connection:
        return await record(connection, news=news, now=now)


async def rows(engine, sql, **values):
    async with transaction(engine) as connection:
        return (await connection.execute(text(sql), values)).all()


async def scalar(engine, sql, **values):
    [[value]] = await rows(engine, sql, **values)
    return value


async def attempts(engine):
    """Ids of every order's attempts, oldest first."""
    found: dict[str, list[str]] = {}
    for row in await rows(engine, "SELECT order_id, id FROM attempts ORDER BY id"):
        found.setdefault(row.order_id, []).append(row.id)
    return found


async def books(engine):
    async with transaction(engine) as connection:
        return {account: money for account, money in await balances(connection) if not account.startswith("order:ord")}


def said(outcome, number, delivered=DUE):
    """A report that can be told from every other."""
    evidence = {"number": str(number)}
    if outcome is Outcome.PAID:
        return Report(outcome=outcome, provider_ref=f"ref-{number}", delivered=delivered, evidence=evidence)
    fault = Fault.RAIL if outcome in (Outcome.FAILED, Outcome.RETURNED) else None
    return Report(outcome=outcome, fault=fault, evidence=evidence)


async def asked(engine, news):
    """The same as answers to questions, each under a lease of its own."""
    take = "UPDATE attempts SET lease_token = nextval('lease_tokens'), lease_until = :until WHERE id = ANY(:ids) RETURNING *"
    ids = [item.attempt_id for item in news]
    taken = {row.id: row for row in await rows(engine, take, ids=ids, until=LATER + timedelta(hours=1))}
    return [
        structs.replace(item, lease=taken[item.attempt_id].lease_token, order_id=taken[item.attempt_id].order_id)
        for item in news
    ]


FINAL = (Outcome.PAID, Outcome.FAILED, Outcome.RETURNED)
STEPS = ("send", *itertools.product((0, 1), FINAL))
LENGTH = 3


async def test_no_sequence_of_reports_pays_twice_unseen_or_is_forgotten(engine, rails):
    stories = [(first, *rest) for first in FINAL for rest in itertools.product(STEPS, repeat=LENGTH)]
    orders = await funded(engine, len(stories))
    await send(engine, rails)
    numbers, told = itertools.count(), {}
    for place in range(LENGTH + 1):
        known, news = await attempts(engine), []
        for order, story in zip(orders, stories, strict=True):
            step = (0, story[0]) if place == 0 else story[place]
            if step != "send" and step[0] < len(known[order]):
                number = next(numbers)
                attempt = known[order][step[0]]
                told[str(number)] = attempt
                news.append(News(attempt_id=attempt, report=said(step[1], number)))
        await tell(engine, await asked(engine, news))
        if place < LENGTH and any(story[place + 1] == "send" for story in stories):
            await send_to(engine, rails, [o for o, story in zip(orders, stories, strict=True) if story[place + 1] == "send"])
    await check_orders(engine)
    await check_ledger(engine)
    kept = await rows(
        engine,
        "SELECT id AS attempt, evidence ->> 'number' AS number FROM attempts "
        "UNION ALL SELECT attempt_id, evidence ->> 'number' FROM attempt_reports",
    )
    assert {(row.number, row.attempt) for row in kept if row.number} == set(told.items())


async def send_to(engine, rails, chosen):
    """Dispatch these orders only: the others' time hasn't come."""
    async with transaction(engine) as connection:
        await connection.execute(
            text("UPDATE orders SET due_at = CASE WHEN id = ANY(:ids) THEN :now ELSE :never END WHERE state = 'funded'"),
            {"ids": chosen, "now": LATER, "never": LATER + timedelta(days=1)},
        )
    await send(engine, rails)


async def check_orders(engine):
    for row in await rows(
        engine,
        """SELECT o.id, o.state, o.due_at, count(a.id) FILTER (WHERE a.closed_at IS NULL) AS open,
            count(a.id) FILTER (WHERE a.closed_at IS NULL AND a.due_at IS NULL) AS forgotten,
            count(a.id) FILTER (WHERE a.outcome = 'paid') AS paid, count(a.id) FILTER (WHERE a.claimed) AS claimed
        FROM orders AS o LEFT JOIN attempts AS a ON a.order_id = o.id GROUP BY o.id""",
    ):
        assert row.open == (row.state in ("paying", "uncertain")), row
        assert row.forgotten == 0, row
        assert row.due_at is not None or row.state == "paid", row
        assert row.paid == row.claimed + (row.state == "paid"), row
        assert row.state != "held" or row.claimed == 0, row


async def check_ledger(engine):
    found = await books(engine)
    by_rail = await rows(
        engine,
        "SELECT adapter, count(*) AS paid, count(*) FILTER (WHERE claimed) AS claimed FROM attempts "
        "WHERE outcome = 'paid' GROUP BY adapter",
    )
    for row in by_rail:
        assert found[f"rail:{row.adapter}"] == Money(row.paid * DUE.units, KES)
        assert found.get(f"claims:{row.adapter}", Money(0, KES)) == Money(-row.claimed * DUE.units, KES)
    assert sum(row.claimed for row in by_rail) > 20  # else the stories are too tame


async def test_a_late_success_counts_where_the_order_waits_and_is_a_claim_where_it_does_not(engine, rails):
    _waits, held, sent, settled, refunding = orders = await funded(engine, 5)
    await send(engine, rails)
    first = {order: ids[0] for order, ids in (await attempts(engine)).items()}
    await tell(engine, [News(attempt_id=first[order], report=failed(Fault.RAIL)) for order in orders])
    async with transaction(engine) as connection:
        hold = [Move(order_id=held, event=E.HOLD_PLACED, cause="h", data={"reason": "by_hand"})]
        refund = [Move(order_id=refunding, event=E.REFUND_ORDERED, cause="r", data={"units": "10000000"})]
        await advance(connection, moves=[*hold, *refund], now=LATER)
    await send_to(engine, rails, [sent, settled])
    await tell(engine, [News(attempt_id=(await attempts(engine))[settled][1], report=paid("b", DUE))])
    await tell(engine, [News(attempt_id=first[order], report=paid("a", DUE)) for order in orders])
    states = {row.id: row.state for row in await rows(engine, "SELECT id, state FROM orders")}
    assert [states[order] for order in orders] == ["paid", "paid", "paying", "paid", "refunding"]
    claimed = {row.order_id for row in await rows(engine, "SELECT order_id FROM attempts WHERE claimed")}
    assert claimed == {sent, settled, refunding}
    assert (await books(engine))["claims:one"] == Money(-3 * DUE.units, KES)
    assert await scalar(engine, "SELECT count(*) FROM incidents WHERE kind = 'paid_after_failed'") == 5
    # The second attempt fails: the order isn't sent a third time, for the first one paid it.
    await tell(engine, [News(attempt_id=(await attempts(engine))[sent][1], report=failed(Fault.RAIL))])
    assert await scalar(engine, "SELECT state FROM orders WHERE id = :id", id=sent) == "paid"
    assert (await books(engine))["claims:one"] == Money(-2 * DUE.units, KES)
    assert len((await attempts(engine))[sent]) == 2


async def test_an_order_that_is_funded_again_after_a_refund_failed_is_settled_by_the_late_success(engine, rails):
    [order] = await funded(engine)
    await send(engine, rails)
    [[attempt]] = (await attempts(engine)).values()
    await tell(engine, [News(attempt_id=attempt, report=failed(Fault.RAIL))])
    steps = ((E.REFUND_ORDERED, "r"), (E.REFUND_FAILED, "f"), (E.HOLD_LIFTED, "l"))
    data = {"units": "10000000"}
    async with transaction(engine) as connection:
        await advance(connection, moves=[Move(order_id=order, event=steps[0][0], cause="r", data=data)], now=LATER)
    await tell(engine, [News(attempt_id=attempt, report=paid("a", DUE))])
    assert (await books(engine))["claims:one"] == Money(-DUE.units, KES)
    async with transaction(engine) as connection:
        for event, cause in steps[1:]:
            await advance(
                connection, moves=[Move(order_id=order, event=event, cause=cause, data=data, due_at=NOW)], now=LATER
            )
    await send(engine, rails)
    assert await scalar(engine, "SELECT state FROM orders") == "paid"
    assert "claims:one" not in await books(engine)
    assert len(rails["two"].calls) == 0


async def test_paid_and_returned_again_and_again_is_booked_each_time(engine, rails):
    await funded(engine)
    await send(engine, rails)
    [[attempt]] = (await attempts(engine)).values()
    for number, outcome in enumerate((Outcome.PAID, Outcome.RETURNED) * 3):
        assert await tell(engine, await asked(engine, [News(attempt_id=attempt, report=said(outcome, number))])) == 1
        paid_now = outcome is Outcome.PAID
        assert await scalar(engine, "SELECT state FROM orders") == ("paid" if paid_now else "funded")
        assert (await books(engine)).get("rail:one", Money(0, KES)) == (DUE if paid_now else Money(0, KES))
    assert await scalar(engine, "SELECT turns FROM attempts") == 5
    assert await scalar(engine, "SELECT count(*) FROM attempt_reports") == 5 + 1  # PENDING was the first


async def test_another_amount_after_a_failure_stops_the_order_and_is_a_claim(engine, rails):
    await funded(engine)
    await send(engine, rails)
    [[attempt]] = (await attempts(engine)).values()
    await tell(engine, [News(attempt_id=attempt, report=failed(Fault.RAIL))])
    less = News(attempt_id=attempt, report=paid("a", Money(60_000, KES)))
    await tell(engine, [less])
    await tell(engine, [less])
    assert await scalar(engine, "SELECT state FROM orders") == "held"
    assert (
        await scalar(engine, "SELECT data ->> 'reason' FROM order_events WHERE event = 'hold_placed'") == "paid_other_amount"
    )
    assert await scalar(engine, "SELECT kind FROM incidents") == "paid_other_amount"
    assert (await books(engine))["claims:one"] == Money(-60_000, KES)
    assert await scalar(engine, "SELECT outcome FROM attempts") == "failed"


async def test_a_person_may_say_that_it_was_paid_in_part_and_a_rail_may_not(engine, rails):
    [order] = await funded(engine)
    await send(engine, rails)
    [[attempt]] = (await attempts(engine)).values()
    part = paid("a", Money(100_000, KES))
    await tell(engine, [News(attempt_id=attempt, report=part)])
    assert await scalar(engine, "SELECT state FROM orders") == "uncertain"
    await tell(engine, [News(attempt_id=attempt, report=part, source=OPERATOR)])
    assert await scalar(engine, "SELECT state FROM orders") == "paid"
    assert await scalar(engine, "SELECT event FROM order_events ORDER BY version DESC LIMIT 1") == "outcome_partial"
    assert (await books(engine))["rail:one"] == Money(100_000, KES)
    assert await scalar(engine, "SELECT units FROM balances WHERE account LIKE '%owed'") == 24_900
    async with transaction(engine) as connection:
        owed = Transfer(f"order:{order}:owed", "rail:one", Money(24_900, KES))
        await post(connection, entries=[Entry("d", "discharged", (owed,), order)], now=LATER)
    assert (await books(engine))["rail:one"] == DUE
    await tell(engine, [News(attempt_id=attempt, report=said(Outcome.RETURNED, 1))])
    assert await scalar(engine, "SELECT units FROM balances WHERE account LIKE '%owed'") == 100_000
    assert await scalar(engine, "SELECT count(*) FROM incidents WHERE kind = 'returned_after_partial'") == 1
    assert await scalar(engine, "SELECT state FROM orders") == "paid"


@pytest.mark.parametrize("delivered", [Money(130_000, KES), Money(124_900, USDC), Money(0, KES)])
async def test_even_a_person_cannot_make_another_amount_the_payment(engine, rails, delivered):
    await funded(engine)
    await send(engine, rails)
    [[attempt]] = (await attempts(engine)).values()
    await tell(engine, [News(attempt_id=attempt, report=paid("a", delivered), source=OPERATOR)])
    assert await scalar(engine, "SELECT state FROM orders") == "uncertain"


async def test_what_a_frozen_worker_says_too_late_is_kept_and_counts_for_nothing(engine, rails):
    await funded(engine)
    await send(engine, rails)
    [row] = await rows(engine, "SELECT id, lease_token FROM attempts")
    assert await tell(engine, [News(attempt_id=row.id, report=paid("a", DUE), lease=row.lease_token - 1)]) == 0
    assert await scalar(engine, "SELECT outcome FROM attempts") == "pending"
    assert await scalar(engine, "SELECT source FROM attempt_reports") == OLD_LEASE


async def test_even_a_first_answer_counts_only_under_the_newest_lease_and_for_the_amount(engine, rails):
    await funded(engine)
    await send(engine, rails)
    [row] = await rows(engine, SENDING)
    late = News(attempt_id=row.id, order_id=row.order_id, report=paid("a", DUE), lease=row.lease_token - 1)
    assert await tell(engine, [late]) == 0
    assert await scalar(engine, "SELECT outcome FROM attempts") == "sending"
    less = News(attempt_id=row.id, order_id=row.order_id, report=paid("b", Money(60_000, KES)), lease=row.lease_token)
    assert await tell(engine, [less]) == 1
    assert await scalar(engine, "SELECT state FROM orders") == "uncertain"


SENDING = "UPDATE attempts SET outcome = 'sending' RETURNING id, order_id, lease_token"


async def behind(engine, rails, *deeds):
    """A first answer that waits for its order, while another transaction does these `deeds`, and when that has ended."""
    await funded(engine)
    await send(engine, rails)
    [row] = await rows(engine, SENDING)
    news = [News(attempt_id=row.id, order_id=row.order_id, report=paid("a", DUE), lease=row.lease_token)]
    async with transaction(engine) as connection, asyncio.timeout(SOON_S):
        await connection.execute(text("SELECT FROM orders FOR UPDATE"))
        telling = asyncio.create_task(tell(engine, news))
        while not await scalar(engine, WAITING):
            await asyncio.sleep(0.01)
        for deed in deeds:
            await connection.exec_driver_sql(deed)
    return news, telling


WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
SOON_S = 20


async def test_a_first_answer_settles_the_order_as_those_left_it_who_held_it(engine, rails):
    """The statement began before they had finished, and what it wrote is no less than what they did, and one step more."""
    _, telling = await behind(engine, rails, """UPDATE orders SET version = version + 5, details = '{"a": 1}'""")
    assert await telling == 1
    [order] = await rows(engine, "SELECT id, version, state, details FROM orders")
    assert (order.state, order.details) == ("paid", {"a": 1})
    told = "SELECT version FROM order_events WHERE event = 'outcome_paid'"
    assert await scalar(engine, told) == order.version
    assert await scalar(engine, "SELECT outcome FROM attempts") == "paid"


async def test_no_order_steps_by_a_quote_that_the_statement_does_not_see(engine, rails):
    quote = """INSERT INTO quotes SELECT c.* FROM quotes AS q, jsonb_populate_record(q, '{"id": "quo_other"}') AS c"""
    news, telling = await behind(engine, rails, quote, "UPDATE orders SET quote_id = 'quo_other'")
    with pytest.raises(IntegrityError, match="from_state"):
        await telling
    assert await tell(engine, news) == 1
    assert await scalar(engine, "SELECT state FROM orders") == "paid"


async def test_a_first_answer_that_another_one_overtook_counts_no_more(engine, rails):
    """By the time that it has the order, the attempt has been taken over, under a lease of its own."""
    _, telling = await behind(engine, rails, "UPDATE attempts SET lease_token = lease_token + 1")
    assert await telling == 0
    assert await scalar(engine, "SELECT state FROM orders") == "paying"
    assert await scalar(engine, "SELECT source FROM attempt_reports") == OLD_LEASE


async def test_a_first_answer_leaves_no_row_beside_and_the_same_words_twice_are_kept_once(engine, rails):
    await funded(engine)
    await send(engine, rails)
    assert await scalar(engine, "SELECT count(*) FROM attempt_reports") == 0
    [[attempt]] = (await attempts(engine)).values()
    for outcome in (Outcome.PENDING, Outcome.PENDING, Outcome.FAILED, Outcome.PENDING, Outcome.PENDING):
        await tell(engine, [News(attempt_id=attempt, report=said(outcome, outcome.value))])
    kept = await rows(engine, "SELECT outcome, evidence ->> 'number' AS number FROM attempt_reports ORDER BY id")
    assert [tuple(row) for row in kept] == [("pending", None), ("pending", "pending"), ("pending", "pending")]


async def test_several_news_of_one_order_are_judged_one_after_the_other(engine, rails):
    [order] = await funded(engine)
    await send(engine, rails)
    [[attempt]] = (await attempts(engine)).values()
    news = [News(attempt_id=attempt, report=said(outcome, outcome.value)) for outcome in (Outcome.FAILED, Outcome.PAID)]
    assert await tell(engine, [*news, News(attempt_id="att_unknown", report=PENDING)]) == 2
    assert Counter(
        row.event for row in await rows(engine, "SELECT event FROM order_events WHERE order_id = :id", id=order)
    ) == {
        "deposit_seen": 1,
        "deposit_final": 1,
        "dispatched": 1,
        "outcome_failed": 1,
        "outcome_paid": 1,
    }


async def test_reports_are_kept_for_ever(engine, rails):
    await test_a_first_answer_leaves_no_row_beside_and_the_same_words_twice_are_kept_once(engine, rails)
    for change in ("UPDATE attempt_reports SET reason = 'x'", "DELETE FROM attempt_reports", "TRUNCATE attempt_reports"):
        with pytest.raises(Exception, match="append-only"):
            await rows(engine, change)


async def test_a_deposit_that_is_booked_is_paid_as_well(engine, rails):
    """The orders here are funded by hand; this one is as in life."""
    [order] = await make_orders(engine)
    await make_deposit(engine, order)
    while await book_deposits(engine, least={}, now=NOW):
        pass
    await send(engine, rails)
    [[attempt]] = (await attempts(engine)).values()
    await tell(engine, [News(attempt_id=attempt, report=paid("a", DUE))])
    assert await scalar(engine, "SELECT state FROM orders") == "paid"
