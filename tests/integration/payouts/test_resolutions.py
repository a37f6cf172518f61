"""People say what became of a payment: with evidence, by two, once, under the guards that a rail's own answer meets."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy.exc import IntegrityError

from gateway.db.session import transaction
from gateway.errors import Refusal
from gateway.ledger.queries import balances
from gateway.money import Money
from gateway.offramp import Fault, Outcome, Report, Resend
from gateway.operators.accounts import disable_operator
from gateway.operators.actions import ReasonMissing, UnknownOperator
from gateway.payouts.attention import Waiting, Which, count_waiting, list_attempts
from gateway.payouts.dispatch import dispatch
from gateway.payouts.errors import (
    AttemptClosed,
    AttemptNotFound,
    NothingOwed,
    ProposalDecided,
    ProposalNotFound,
    ProposalOpen,
    ProposalVoid,
    ProposerDisabled,
    SamePerson,
    StillRunning,
)
from gateway.payouts.evidence import BadEvidence, ResolutionRules, Verdict
from gateway.payouts.poll import poll
from gateway.payouts.resolutions import approve
from tests.factories import KES, NOW, PENDING, UNKNOWN, failed, paid
from tests.integration.payouts.people import ALONE, Bureau, open_bureau

ORDERED = Money(124_900, KES)


@pytest.fixture
async def bureau(engine):
    return await open_bureau(engine)


async def test_two_persons_settle_an_unknown_end_as_paid(bureau: Bureau):
    attempt = await bureau.attempt()
    made = await bureau.propose(attempt)
    assert not made.recorded
    assert await bureau.state(attempt) == ("uncertain", "unknown")
    assert (await bureau.approve(made.resolution_id)).recorded
    assert await bureau.state(attempt) == ("paid", "paid")
    assert await bureau.run("SELECT provider_ref, receipt FROM attempts") == [("SG632NMUAB", "SG632NMUAB")]
    assert await bureau.actions() == [("amina", "payouts.propose"), ("brian", "payouts.approve")]
    assert (await bureau.books())["fake KES"] == "1249.00"
    assert await bureau.incidents() == []
    assert await bureau.run("SELECT outcome, decided_by, persons FROM resolutions") == [("recorded", "brian", 2)]


@pytest.mark.parametrize(("cents", "alone"), [(10_00, True), (9_99, False)])
async def test_up_to_the_configured_amount_one_person_is_enough(bureau: Bureau, cents, alone):
    bureau.above = Money(cents, ALONE.asset)
    attempt = await bureau.attempt()
    assert (await bureau.propose(attempt)).recorded is alone
    assert await bureau.state(attempt) == (("paid", "paid") if alone else ("uncertain", "unknown"))
    assert await bureau.actions() == [("amina", "payouts.resolve" if alone else "payouts.propose")]


async def test_coins_that_are_no_dollars_always_take_two(bureau: Bureau):
    bureau.above = ALONE
    attempt = await bureau.attempt()
    rules = type(bureau.rules)(above=ALONE, dollars=(), capabilities=bureau.rails.capabilities)
    assert not (await bureau.propose(attempt, rules=rules)).recorded


async def test_nobody_approves_what_they_proposed_themselves(bureau: Bureau):
    attempt = await bureau.attempt()
    made = await bureau.propose(attempt)
    with pytest.raises(SamePerson):
        await bureau.approve(made.resolution_id, by="amina")
    with pytest.raises(UnknownOperator):
        await bureau.approve(made.resolution_id, by="nobody")
    with pytest.raises(ReasonMissing):
        await bureau.approve(made.resolution_id, reason=" ")
    assert await bureau.state(attempt) == ("uncertain", "unknown")
    assert len(await bureau.actions()) == 1


async def test_the_database_knows_that_four_eyes_are_two_persons(bureau: Bureau):
    await bureau.propose(await bureau.attempt())
    for by in ("'amina'", "NULL"):
        with pytest.raises(IntegrityError):
            await bureau.run(f"UPDATE resolutions SET outcome = 'recorded', decided_by = {by}, decided_at = now()")


async def disable(bureau: Bureau, name: str, by: str = "chausiku"):
    async with transaction(bureau.engine) as connection:
        await disable_operator(connection, name=name, operator=by, reason="left us", now=bureau.now)


async def test_what_a_disabled_person_proposed_is_not_approved_but_proposed_anew(bureau: Bureau):
    attempt = await bureau.attempt()
    made = await bureau.propose(attempt)
    await disable(bureau, "amina")
    with pytest.raises(ProposerDisabled):
        await bureau.approve(made.resolution_id)
    await bureau.refuse(made.resolution_id)
    again = await bureau.propose(attempt, by="brian")
    await bureau.approve(again.resolution_id, by="chausiku")
    assert await bureau.state(attempt) == ("paid", "paid")


async def test_a_disabled_person_neither_proposes_nor_approves(bureau: Bureau):
    attempt = await bureau.attempt()
    made = await bureau.propose(attempt)
    await disable(bureau, "brian")
    with pytest.raises(UnknownOperator):
        await bureau.approve(made.resolution_id)
    await bureau.refuse(made.resolution_id, by="amina")
    with pytest.raises(UnknownOperator):
        await bureau.propose(attempt, by="brian")


async def test_one_proposal_of_an_attempt_is_open_at_a_time(bureau: Bureau):
    attempt = await bureau.attempt()
    made = await bureau.propose(attempt)
    with pytest.raises(ProposalOpen, match=made.resolution_id):
        await bureau.propose(attempt, bureau.evidence(Verdict.FAILED), by="chausiku")
    await bureau.refuse(made.resolution_id, by="amina")
    with pytest.raises(ProposalDecided, match="refused by amina"):
        await bureau.approve(made.resolution_id)
    await bureau.propose(attempt, bureau.evidence(Verdict.FAILED), by="chausiku")
    assert await bureau.state(attempt) == ("uncertain", "unknown")


async def test_news_of_the_rail_makes_a_proposal_void(bureau: Bureau):
    attempt = await bureau.attempt()
    made = await bureau.propose(attempt)
    assert await bureau.hear(attempt, PENDING) == 1
    with pytest.raises(ProposalVoid, match="is pending now"):
        await bureau.approve(made.resolution_id)
    assert (await bureau.state(attempt))[1] == "pending"
    await bureau.hear(attempt, UNKNOWN)
    again = await bureau.propose(attempt)
    assert await bureau.run("SELECT outcome, decided_by FROM resolutions ORDER BY id") == [("void", None), (None, None)]
    await bureau.approve(again.resolution_id)
    assert await bureau.state(attempt) == ("paid", "paid")


async def test_that_a_rail_still_knows_nothing_is_no_news(bureau: Bureau):
    bureau.rail.resend = Resend.BLIND
    attempt = await bureau.attempt()
    made = await bureau.propose(attempt)
    bureau.rail.statuses = [UNKNOWN, Report(outcome=Outcome.UNKNOWN, reason="in other words")] * 9
    for _ in range(2):
        bureau.pass_(minutes=10)
        await poll(bureau.engine, rails=bureau.rails, clock=bureau.clock)
    await bureau.approve(made.resolution_id)
    assert await bureau.state(attempt) == ("paid", "paid")


async def test_a_rail_that_was_faster_is_heard_and_the_person_is_told(bureau: Bureau):
    attempt = await bureau.attempt()
    made = await bureau.propose(attempt, bureau.evidence(Verdict.FAILED))
    await bureau.hear(attempt, paid("x", ORDERED))
    with pytest.raises(ProposalVoid, match="is paid now"):
        await bureau.approve(made.resolution_id)
    with pytest.raises(AttemptClosed, match=f"{attempt} is paid since"):
        await bureau.propose(attempt, bureau.evidence(Verdict.FAILED))
    assert await bureau.state(attempt) == ("paid", "paid")
    assert await bureau.incidents() == []


async def test_a_rail_that_contradicts_a_person_opens_an_incident_and_nothing_disappears(bureau: Bureau):
    attempt = await bureau.attempt()
    made = await bureau.propose(attempt, bureau.evidence(Verdict.FAILED, fault=Fault.RECIPIENT))
    await bureau.approve(made.resolution_id)
    assert await bureau.state(attempt) == ("funded", "failed")
    await bureau.hear(attempt, paid("x", ORDERED))
    assert await bureau.incidents() == ["paid_after_failed"]
    assert await bureau.state(attempt) == ("paid", "paid")
    assert await bureau.run("SELECT outcome FROM resolutions") == [("recorded",)]
    assert ("operator", "failed") in await bureau.run("SELECT source, outcome FROM attempt_reports")


async def test_what_never_will_be_paid_goes_on_by_whose_fault_it_was(bureau: Bureau):
    attempt = await bureau.attempt()
    made = await bureau.propose(attempt, bureau.evidence(Verdict.FAILED, fault=Fault.TRANSIENT))
    await bureau.approve(made.resolution_id)
    bureau.pass_(minutes=1)
    await dispatch(bureau.engine, rails=bureau.rails, clock=bureau.clock)
    assert await bureau.one("SELECT state FROM orders") == "paid"
    assert len([call for call in bureau.rail.calls if call.startswith("pay")]) == 2


async def test_a_payment_that_came_back_is_resolved_even_after_it_was_paid(bureau: Bureau):
    attempt = await bureau.attempt(paid("x", ORDERED))
    assert await bureau.state(attempt) == ("paid", "paid")
    made = await bureau.propose(attempt, bureau.evidence(Verdict.RETURNED))
    await bureau.approve(made.resolution_id)
    assert await bureau.state(attempt) == ("funded", "returned")
    assert (await bureau.books())["funds USDC"] == "10.000000"
    with pytest.raises(AttemptClosed, match="is returned"):
        await bureau.propose(attempt, bureau.evidence(Verdict.RETURNED))


async def test_a_payment_of_unknown_end_that_came_back_was_not_delivered(bureau: Bureau):
    attempt = await bureau.attempt()
    made = await bureau.propose(attempt, bureau.evidence(Verdict.RETURNED))
    await bureau.approve(made.resolution_id)
    assert await bureau.state(attempt) == ("funded", "returned")
    await dispatch(bureau.engine, rails=bureau.rails, clock=bureau.clock)
    assert await bureau.one("SELECT state FROM orders") == "held"
    assert len(bureau.rail.calls) == 1


async def test_a_rail_that_may_still_settle_it_is_not_overruled(bureau: Bureau):
    attempt = await bureau.attempt(PENDING)
    with pytest.raises(StillRunning, match="12:05 UTC"):
        await bureau.propose(attempt)
    bureau.pass_(minutes=5, seconds=1)
    made = await bureau.propose(attempt)
    await bureau.approve(made.resolution_id)
    assert await bureau.state(attempt) == ("paid", "paid")


async def test_a_rail_that_is_not_configured_any_more_has_a_day(bureau: Bureau):
    attempt = await bureau.attempt(PENDING)
    bureau.pass_(hours=23)
    with pytest.raises(StillRunning):
        await bureau.propose(attempt, rules=type(bureau.rules)())
    bureau.pass_(hours=2)
    assert not (await bureau.propose(attempt, rules=type(bureau.rules)())).recorded


async def test_more_than_was_ordered_settles_the_order_and_is_owed_to_us(bureau: Bureau):
    attempt = await bureau.attempt(paid("x", Money(134_900, KES)))
    assert await bureau.state(attempt) == ("uncertain", "unknown")
    made = await bureau.propose(attempt, bureau.evidence(delivered=Money(134_900, KES)))
    await bureau.approve(made.resolution_id)
    assert await bureau.state(attempt) == ("paid", "paid")
    async with transaction(bureau.engine) as connection:
        books = {account: money.decimal() for account, money in await balances(connection)}
    assert (books["rail:fake"], books["claims:fake"]) == ("1349.00", "-100.00")


async def paid_in_part(bureau: Bureau, cents: int = 100_000) -> str:
    attempt = await bureau.attempt(paid("x", Money(cents, KES)))
    evidence = bureau.evidence(Verdict.PAID_IN_PART, delivered=Money(cents, KES))
    made = await bureau.propose(attempt, evidence)
    await bureau.approve(made.resolution_id)
    return attempt


async def test_what_was_paid_in_part_stays_owed_until_the_rest_is_discharged(bureau: Bureau):
    attempt = await paid_in_part(bureau)
    assert (await bureau.state(attempt))[1] == "paid"
    books = await bureau.books()
    assert (books["owed KES"], books["fake KES"]) == ("249.00", "1000.00")
    for cents, settled in ((20_000, "49.00"), (4_900, None)):
        evidence = bureau.evidence(Verdict.DISCHARGED, delivered=Money(cents, KES), provider_ref=f"SG{cents}")
        made = await bureau.propose(attempt, evidence)
        await bureau.approve(made.resolution_id)
        assert (await bureau.books()).get("owed KES") == settled
    assert (await bureau.books())["fake KES"] == "1249.00"
    with pytest.raises(NothingOwed):
        await bureau.propose(attempt, bureau.evidence(Verdict.DISCHARGED))


async def test_nothing_is_owed_while_a_payment_that_was_called_failed_has_reached_the_recipient_after_all(bureau: Bureau):
    first = await bureau.attempt(failed(Fault.TRANSIENT))
    bureau.pass_(hours=1)
    bureau.rail.answers = [paid("y", Money(100_000, KES))]
    await dispatch(bureau.engine, rails=bureau.rails, clock=bureau.clock)
    second = str(await bureau.one("SELECT max(id) FROM attempts"))
    evidence = bureau.evidence(Verdict.PAID_IN_PART, delivered=Money(100_000, KES))
    made = await bureau.propose(second, evidence)
    await bureau.approve(made.resolution_id)
    assert await listed(bureau, Which.OWED) == [second]
    await bureau.hear(first, paid("x", ORDERED))
    assert (await bureau.books())["fake KES"] == "2249.00"
    assert await listed(bureau, Which.OWED) == []
    with pytest.raises(NothingOwed):
        await bureau.propose(second, bureau.evidence(Verdict.DISCHARGED, delivered=Money(24_900, KES)))
    returned = Report(outcome=Outcome.RETURNED, fault=Fault.RECIPIENT, provider_ref="x")
    await bureau.hear(first, returned)
    assert await listed(bureau, Which.OWED) == [second]


async def listed(bureau: Bureau, which: Which | None = None) -> list[str]:
    async with transaction(bureau.engine) as connection:
        lines = await list_attempts(connection, rules=bureau.rules, now=bureau.now, which=which)
    return [line.attempt_id for line in lines]


async def test_what_needs_a_person_is_listed_and_counted_until_it_does_not(bureau: Bureau):
    unknown, pending, part = await bureau.attempt(), await bureau.attempt(PENDING), await paid_in_part(bureau)
    proposed = await bureau.attempt(PENDING)
    assert await listed(bureau) == [unknown, part]
    assert await listed(bureau, Which.UNKNOWN) == [unknown]
    assert await listed(bureau, Which.PENDING) == [pending, proposed]
    assert await listed(bureau, Which.OWED) == [part]
    assert await listed(bureau, Which.OVERDUE) == await listed(bureau, Which.FAILED) == []
    bureau.pass_(minutes=5, seconds=1)
    made = await bureau.propose(proposed)
    assert await listed(bureau) == sorted([unknown, pending, part, proposed])
    assert await listed(bureau, Which.OVERDUE) == sorted([unknown, pending, proposed])
    assert await listed(bureau, Which.PROPOSED) == [proposed]
    async with transaction(bureau.engine) as connection:
        assert await count_waiting(connection, rules=bureau.rules, now=bureau.now) == Waiting(
            unknown=1, overdue=2, proposed=1, owed=1, held=0
        )
    await bureau.hear(pending, paid("x", ORDERED))
    await bureau.hear(unknown, failed())
    await bureau.hear(proposed, UNKNOWN)
    assert await listed(bureau) == [part, proposed]
    assert await listed(bureau, Which.PROPOSED) == []
    assert await listed(bureau, Which.FAILED) == [unknown]
    await bureau.refuse(made.resolution_id)
    await bureau.propose(proposed)
    assert await listed(bureau, Which.PROPOSED) == [proposed]
    await bureau.hear(proposed, Report(outcome=Outcome.PENDING))
    assert await listed(bureau, Which.PROPOSED) == []
    again = await bureau.propose(proposed)
    await bureau.approve(again.resolution_id)
    assert await listed(bureau) == [part]


async def test_no_more_is_discharged_than_is_owed(bureau: Bureau):
    attempt = await paid_in_part(bureau)
    with pytest.raises(BadEvidence, match=r"249\.00 KES are owed"):
        await bureau.propose(attempt, bureau.evidence(Verdict.DISCHARGED, delivered=Money(24_901, KES)))
    evidence = bureau.evidence(Verdict.DISCHARGED, delivered=Money(24_900, KES))
    made = await bureau.propose(attempt, evidence)
    with pytest.raises(ProposalOpen):
        await bureau.propose(attempt, evidence, by="chausiku")
    await asyncio.gather(*(bureau.approve(made.resolution_id) for _ in range(9)), return_exceptions=True)
    assert "owed KES" not in await bureau.books()


async def test_a_part_is_only_a_persons_to_say(bureau: Bureau):
    attempt = await bureau.attempt(paid("x", Money(100_000, KES)))
    assert await bureau.state(attempt) == ("uncertain", "unknown")
    await bureau.hear(attempt, paid("x", Money(100_000, KES)))
    assert await bureau.state(attempt) == ("uncertain", "unknown")
    assert await bureau.incidents() == ["paid_other_amount"]


async def test_one_of_a_hundred_approvals_at_once_counts(bureau: Bureau):
    attempt = await bureau.attempt()
    made = await bureau.propose(attempt)
    done: Counter[str] = Counter()

    async def one(number: int) -> None:
        try:
            await bureau.approve(made.resolution_id, by=("brian", "chausiku")[number % 2])
            done["approved"] += 1
        except ProposalDecided:
            done["told"] += 1

    await asyncio.gather(*(one(number) for number in range(100)))
    assert done == {"approved": 1, "told": 99}
    assert await bureau.state(attempt) == ("paid", "paid")
    assert len(await bureau.actions()) == 2
    assert await bureau.one("SELECT count(*) FROM journal WHERE template = 'payout_settled'") == 1


async def test_of_a_hundred_proposals_at_once_one_is_open(bureau: Bureau):
    attempt = await bureau.attempt()
    done: Counter[str] = Counter()

    async def one(number: int) -> None:
        try:
            await bureau.propose(attempt, by=("amina", "brian", "chausiku")[number % 3])
            done["proposed"] += 1
        except ProposalOpen:
            done["told"] += 1

    await asyncio.gather(*(one(number) for number in range(100)))
    assert done == {"proposed": 1, "told": 99}


async def test_of_a_person_and_a_rail_at_the_same_time_the_first_is_heard_once(bureau: Bureau):
    for number in range(10):
        bureau.pass_(hours=1)
        attempt = await bureau.attempt()
        made = await bureau.propose(attempt, bureau.evidence(Verdict.FAILED))

        async def person(resolution_id: str = made.resolution_id) -> None:
            with suppress(Refusal):
                await bureau.approve(resolution_id)

        async def rail(attempt_id: str = attempt) -> None:
            await bureau.hear(attempt_id, paid("x", ORDERED))

        first, second = (person, rail) if number % 2 else (rail, person)
        await asyncio.gather(*(act() for act in (first, second) for _ in range(3)))
        # The rail's word counts either way; where it contradicts the person's, both are kept and a third is told.
        assert await bureau.state(attempt) == ("paid", "paid")
        recorded = "SELECT count(*) FROM resolutions WHERE outcome = 'recorded' AND attempt_id = :a"
        alarms = await bureau.run("SELECT kind FROM incidents WHERE cause LIKE :a", a=f"attempt:{attempt}:%")
        assert alarms == [("paid_after_failed",)] * await bureau.one(recorded, a=attempt)
        assert await bureau.one("SELECT count(*) FROM journal WHERE template LIKE 'payout_settled%'") == number + 1


async def test_what_was_refused_left_nothing_behind(bureau: Bureau):
    attempt = await bureau.attempt()
    for wrong, refusal in (
        ({"attempt_id": "att_none"}, AttemptNotFound),
        ({"operator": "nobody"}, UnknownOperator),
        ({"reason": ""}, ReasonMissing),
        ({"evidence": bureau.evidence(Verdict.DISCHARGED)}, NothingOwed),
        ({"evidence": bureau.evidence(said=" ")}, BadEvidence),
    ):
        with pytest.raises(refusal):
            await bureau.propose(**{"attempt_id": attempt, **wrong})
    for act in (bureau.approve, bureau.refuse):
        with pytest.raises(ProposalNotFound):
            await act("res_none")
    assert await bureau.one("SELECT count(*) FROM resolutions") == 0
    assert await bureau.actions() == []


WRONG = (
    ({"said": ""}, "said"),
    ({"said": "x" * 2_001}, "said"),
    ({"said": "a\0b"}, "said"),
    ({"said": "\x1b[2J"}, "said"),
    ({"said": "\udc80"}, "said"),
    ({"place": "\n"}, "place"),
    ({"place": "x" * 201}, "place"),
    ({"provider_ref": None}, "provider_ref"),
    ({"provider_ref": "<script>" * 20}, "provider_ref"),
    ({"provider_ref": "SG632\u202eNMUAB"}, "provider_ref"),
    ({"receipt": "a\nb"}, "receipt"),
    ({"delivered": None}, "amount"),
    ({"delivered": Money(0, KES)}, "amount"),
    ({"delivered": Money(124_899, KES)}, "amount"),
    ({"verdict": Verdict.PAID_IN_PART}, "amount"),
    ({"verdict": Verdict.FAILED, "fault": None}, "fault"),
    ({"verdict": Verdict.FAILED, "delivered": ORDERED}, "amount"),
    ({"seen_at": NOW + timedelta(minutes=6)}, "seen_at"),
    ({"seen_at": NOW - timedelta(minutes=2)}, "seen_at"),
)


async def test_evidence_that_does_not_say_what_it_must_is_refused_by_field(bureau: Bureau):
    attempt = await bureau.attempt()
    for changes, field in WRONG:
        with pytest.raises(BadEvidence) as refused:
            await bureau.propose(attempt, bureau.evidence(**changes))
        assert (refused.value.field, changes) == (field, changes)
    assert await bureau.one("SELECT count(*) FROM resolutions") == 0


async def test_words_of_every_script_are_kept_as_they_were_given(bureau: Bureau):
    said = "دُفعت 1,249.00\u200f\n<script>alert(1)</script> 已支付 'x\"; DROP TABLE attempts;--"
    attempt = await bureau.attempt()
    await bureau.propose(attempt, bureau.evidence(said=said))
    assert await bureau.one("SELECT said FROM resolutions") == said


async def test_money_that_may_still_come_back_is_watched_after_a_person_called_it_paid(bureau: Bureau):
    able = replace(bureau.rail.capabilities, returns_within=timedelta(days=3))
    rules = ResolutionRules(capabilities={"fake": able})
    attempt = await bureau.attempt()
    made = await bureau.propose(attempt, rules=rules)
    async with transaction(bureau.engine) as connection:
        given = {"operator": "brian", "reason": "seen it too", "rules": rules, "now": bureau.now}
        await approve(connection, resolution_id=made.resolution_id, **given)
    assert await bureau.state(attempt) == ("paid", "paid")
    assert await bureau.one("SELECT due_at IS NOT NULL FROM attempts")
