"""A simulated pawaPay, an inbox for its callbacks, and adapters that speak to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from itertools import count
from typing import Any

import pytest

from adapters.pawapay import PawaPay
from adapters.pawapay.simulator import app
from gateway.clock import system_clock
from gateway.contract.harness import Inbox, Rail, running
from gateway.money import Asset, Money
from gateway.offramp import RAILS_OWN, AdapterContext, AttemptRef, Destination, Instruction, Method
from gateway.railsim import Options

RWF = Asset("RWF", 0)
_numbers = count(1)


@pytest.fixture(scope="session")
def shared_rail() -> Iterator[Rail]:
    with running(app(Options(delay_s=0))) as rail:
        yield rail


@pytest.fixture
def rail(shared_rail: Rail) -> Rail:
    shared_rail.forget_scripts()
    return shared_rail


@pytest.fixture
def inbox(rail: Rail) -> Iterator[Inbox]:
    inbox = Inbox()
    rail.enter_webhook(inbox.address(RAILS_OWN, "payouts"))
    yield inbox
    inbox.close()


@pytest.fixture
async def make(rail: Rail, inbox: Inbox) -> AsyncIterator[Callable[..., PawaPay]]:
    made: list[PawaPay] = []

    def make(**changes: Any) -> PawaPay:
        settings = {key: value for key, value in {**rail.settings(), **changes}.items() if value is not None}
        address = inbox.address
        made.append(PawaPay(AdapterContext(name="pawa", settings=settings, callback_address=address, clock=system_clock)))
        return made[-1]

    yield make
    for each in made:
        await each.close()


@pytest.fixture
def order() -> Callable[..., Instruction]:
    def order(account: str | None = None, units: int = 500, institution: str = "mtn") -> Instruction:
        number = next(_numbers)
        to = Destination(
            country="RW",
            method=Method.MOBILE_MONEY,
            account=account or f"+25078{number:06}1",
            holder="Uwase",
            institution=institution,
        )
        return Instruction(attempt_id=f"att_pawa{number:05}", deliver=Money(units, RWF), to=to)

    return order


@pytest.fixture
def ref() -> Callable[[Instruction], AttemptRef]:
    def ref(instruction: Instruction) -> AttemptRef:
        return AttemptRef(
            attempt_id=instruction.attempt_id,
            provider_ref=None,
            deliver=instruction.deliver,
            sent_at=system_clock(),
        )

    return ref
