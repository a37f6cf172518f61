"""The desk moves money once, never more than it holds, and loses nothing that it has written down."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.money import Asset, Money
from gateway.railsim import Codes, Desk, DuplicatePayment, Options, Payment, Scenario, Script, State

KES = Asset("KES", 2)
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
def open_desk() -> Iterator[Callable[[Path | None], Desk]]:
    opened: list[Desk] = []

    def make(path: Path | None = None) -> Desk:
        opened.append(
            Desk(
                options=Options(state=path),
                floats=(Money(100_00, KES),),
                offers=frozenset(Scenario),
                codes=Codes(failed="no", low_float="dry"),
                clock=lambda: NOW,
            )
        )
        return opened[-1]

    yield make
    for desk in opened:
        desk.shelf.close()


@pytest.fixture
def desk(open_desk: Callable[[], Desk]) -> Desk:
    return open_desk()


def payment(*scenarios: Scenario, id_: str = "att_1", amount: str = "10.00", **script: object) -> Payment:
    return Payment(
        id=id_,
        account="+254700000001",
        amount=amount,
        currency="KES",
        receipt="R1",
        at=NOW,
        script=Script.model_validate({"scenarios": list(scenarios), **script}),
    )


def settled(desk: Desk, taken: Payment) -> Payment:
    desk.accept(taken)
    desk.settle(taken)
    found = desk.find(taken.id)
    assert found is not None
    return found


def test_a_payment_is_paid_once_out_of_the_float(desk: Desk):
    paid = settled(desk, payment())
    assert (paid.status, paid.times, paid.final_at) == (State.PAID, 1, NOW)
    assert not desk.settle(paid)
    assert desk.held("KES") == Money(90_00, KES)


def test_an_id_is_taken_once(desk: Desk):
    desk.accept(payment())
    with pytest.raises(DuplicatePayment):
        desk.accept(payment(amount="11.00"))
    assert [each.amount for each in desk.payments()] == ["10.00"]


def test_the_float_is_never_overdrawn(desk: Desk):
    assert settled(desk, payment(amount="100.00")).status is State.PAID
    dry = settled(desk, payment(id_="att_2", amount="0.01"))
    assert (dry.status, dry.code, dry.times) == (State.FAILED, "dry", 0)
    assert desk.held("KES") == Money(0, KES)


@pytest.mark.parametrize(("code", "told"), [(None, "no"), ("8006", "8006")])
def test_a_scripted_failure_has_its_code_and_moves_nothing(desk: Desk, code: str | None, told: str):
    failed = settled(desk, payment(Scenario.FAILED, code=code))
    assert (failed.status, failed.code) == (State.FAILED, told)
    assert desk.held("KES") == Money(100_00, KES)


def test_the_rails_own_rule_fails_a_payment(desk: Desk):
    taken = payment()
    desk.accept(taken)
    assert desk.settle(taken, failure="2")
    assert (taken.status, taken.code) == (State.FAILED, "2")


def test_low_float_can_be_scripted_for_one_payment(desk: Desk):
    assert settled(desk, payment(Scenario.LOW_FLOAT)).code == "dry"


def test_a_short_payment_takes_one_unit_less(desk: Desk):
    settled(desk, payment(Scenario.PAID_SHORT))
    assert desk.held("KES") == Money(91_00, KES)


def test_pending_lasts_as_many_questions_as_scripted(desk: Desk):
    taken = payment(Scenario.PENDING_POLLS, polls=2)
    desk.accept(taken)
    became_final = []
    for _ in range(3):
        desk.note_question(taken)
        became_final.append(desk.settle(taken))
    assert became_final == [False, False, True]


def test_pending_for_ever_stays(desk: Desk):
    taken = payment(Scenario.PENDING_FOREVER)
    desk.accept(taken)
    assert not desk.settle(taken)


def test_money_that_comes_back_is_in_the_float_again(desk: Desk):
    paid = settled(desk, payment(Scenario.PAID_THEN_RETURNED))
    desk.note_question(paid)
    assert paid.status is State.PAID
    desk.note_question(paid)
    assert (paid.status, desk.held("KES")) == (State.RETURNED, Money(100_00, KES))
    desk.note_question(paid)
    assert desk.held("KES") == Money(100_00, KES)


def test_it_comes_back_by_questions_since_it_was_paid_however_often_it_was_asked_about_before(desk: Desk):
    taken = payment(Scenario.PAID_THEN_RETURNED)
    desk.accept(taken)
    for _ in range(3):
        desk.note_question(taken)
    desk.settle(taken)
    desk.note_question(taken)
    assert taken.status is State.PAID
    desk.note_question(taken)
    assert taken.status is State.RETURNED


def test_a_second_desk_on_the_same_file_knows_all(open_desk: Callable[[Path], Desk], tmp_path: Path):
    first = open_desk(tmp_path / "state" / "rail.sqlite")
    settled(first, payment(Scenario.PAID_THEN_RETURNED, polls=3))
    first.hold(Money(7_00, KES))
    second = open_desk(tmp_path / "state" / "rail.sqlite")
    assert second.payments() == first.payments() == second.payments_to("+254700000001")
    assert second.held("KES") == Money(7_00, KES)
