"""The balance, over HTTP: every byte of the question, and the answer where only it can arrive."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from adapters.mpesa import Mpesa
from adapters.mpesa.contract import CREDENTIAL
from adapters.mpesa.settings import KES
from adapters.mpesa.simulator import app
from adapters.mpesa.verdict import NotTold
from gateway.clock import system_clock
from gateway.contract.harness import Inbox, Rail, eventually, running
from gateway.contract.requests import Expected, mismatch
from gateway.money import Money
from gateway.offramp import AdapterContext
from gateway.railkit.floats import AsksBalance, WantsTopUps
from gateway.railsim import Options

QUESTION = "ask_01JD0000000000000000000001"


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    inbox = Inbox()
    yield inbox
    inbox.close()


@pytest.fixture
def rail() -> Iterator[Rail]:
    with running(app(Options(delay_s=0))) as rail:
        yield rail


@pytest.fixture
async def adapter(rail: Rail, inbox: Inbox) -> AsyncIterator[Mpesa]:
    context = AdapterContext(name="kenya", settings=rail.settings(), callback_address=inbox.address, clock=system_clock)
    made = Mpesa(context)
    inbox.answer = made.callback_answer()
    yield made
    await made.close()


async def test_the_question_is_the_documented_one_byte_for_byte_and_its_answer_is_read(
    adapter: Mpesa, rail: Rail, inbox: Inbox
):
    rail.hold(Money(1_234_567_89, KES))
    asked = await adapter.ask_balance(QUESTION)
    assert asked.question.startswith("AG_")
    settings = rail.settings()
    answered, timed_out = (inbox.address(QUESTION, label) for label in ("balance", "balance_timeout"))
    expected = Expected(
        name="balance",
        method="POST",
        target="/mpesa/accountbalance/v1/query",
        headers={"content-type": "application/json", "authorization": r"Bearer [A-Za-z0-9_-]{28}"},
        body=(
            rf'{{"Initiator":"lastmile","SecurityCredential":"{CREDENTIAL}","CommandID":"AccountBalance",'
            rf'"PartyA":"{settings["short_code"]}","IdentifierType":"4","ResultURL":"{answered}",'
            rf'"QueueTimeOutURL":"{timed_out}","Remarks":"OK"}}'
        ),
    )
    assert mismatch(expected, rail.requests()[-1]) is None
    (answer,) = await eventually(lambda: inbox.of(QUESTION), what="the answer")
    assert answer.label == "balance"
    assert adapter.read_balance(answer) == (Money(1_234_567_89, KES),)


async def test_an_id_that_happens_to_spell_a_word_which_daraja_refuses_in_addresses_is_answered(
    adapter: Mpesa, rail: Rail, inbox: Inbox
):
    rail.hold(Money(9_00, KES))
    await adapter.ask_balance("ask_01M817VAT0BWMNZT6WEXW7CMDN")
    (answer,) = await eventually(lambda: inbox.of("ask_01M817VAT0BWMNZT6WEXW7CMDN"), what="the answer")
    assert adapter.read_balance(answer) == (Money(9_00, KES),)


async def test_a_wrong_password_fails_the_question_and_tells_no_balance(rail: Rail, inbox: Inbox):
    settings = {**rail.settings(), "initiator_password": "wrong"}
    made = Mpesa(AdapterContext(name="kenya", settings=settings, callback_address=inbox.address, clock=system_clock))
    inbox.answer = made.callback_answer()
    await made.ask_balance(QUESTION)
    (answer,) = await eventually(lambda: inbox.of(QUESTION), what="the answer")
    with pytest.raises(NotTold, match="the question failed with 2001"):
        made.read_balance(answer)
    await made.close()


def test_the_core_sees_that_it_asks_for_its_balance_and_wants_top_ups(adapter: Mpesa):
    assert isinstance(adapter, AsksBalance)
    assert isinstance(adapter, WantsTopUps)
