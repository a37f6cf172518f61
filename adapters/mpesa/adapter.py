"""M-PESA in Kenya: business-to-customer payments by Safaricom's Daraja, B2C v3.

Daraja answers asynchronously and signs nothing. A callback about a payment ("result", "timeout") is therefore a doorbell. A
question about a payment is answered at an address of its own ("status"), and that answer is taken for the truth.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from adapters.mpesa import verdict, wire
from adapters.mpesa.client import Daraja
from adapters.mpesa.settings import KES, MpesaSettings
from adapters.mpesa.statement import read_statement
from gateway.money import Money
from gateway.offramp import (
    AdapterContext,
    Asked,
    AttemptRef,
    Callback,
    CallbackRequest,
    CallsBack,
    Capabilities,
    Corridor,
    ForgedCallback,
    Institution,
    Instruction,
    Method,
    NotSent,
    Offramp,
    Outcome,
    OutsideLimits,
    ReadsStatement,
    Report,
    Resend,
    StatementLine,
)
from gateway.railkit.floats import AsksBalance, WantsTopUps
from gateway.railkit.http import Answer, NoAnswer, NotAsked
from gateway.railkit.keys import event_id
from gateway.railkit.limits import corridor_of

RESULT, TIMEOUT, STATUS, STATUS_TIMEOUT = "result", "timeout", "status", "status_timeout"
BALANCE, BALANCE_TIMEOUT = "balance", "balance_timeout"
"""The labels of our callback addresses. Daraja refuses addresses with some words in them, such as "query"."""

KENYA = Corridor(
    country="KE",
    method=Method.MOBILE_MONEY,
    asset=KES,
    least=Money(10_00, KES),
    most=Money(250_000_00, KES),
    step=Money(1_00, KES),
    institutions=(Institution(code="mpesa", name="M-PESA"),),
)
"""Limits of one payment, as published on page BusinessToCustomer."""


class Mpesa:
    """The adapter: one Daraja app and one short code."""

    def __init__(self, context: AdapterContext) -> None:
        """Raises `BadSettings`."""
        self._settings = MpesaSettings.read(context.settings)
        self._daraja = Daraja(settings=self._settings, clock=context.clock)
        self._address = context.callback_address
        self._capabilities = Capabilities(
            name=context.name,
            corridors=(KENYA,),
            resend=Resend.DEDUPED,
            settles_within=self._settings.settles_within,
            resend_within=self._settings.resend_within,
            answer_within=self._settings.answer_within,
            returns_within=self._settings.returns_within,
        )

    @property
    def capabilities(self) -> Capabilities:
        """Kenya, mobile money, whole shillings; Daraja honours our id, so that a repeated sending pays once."""
        return self._capabilities

    async def pay(self, instruction: Instruction) -> Report:
        """Ask Daraja to pay. PENDING once it has taken the request; it says later what became of it."""
        self._refuse_outside(instruction)
        body = wire.payment_body(
            settings=self._settings,
            credential=self._daraja.credential(),
            instruction=instruction,
            result_url=self._address(instruction.attempt_id, RESULT),
            timeout_url=self._address(instruction.attempt_id, TIMEOUT),
        )
        try:
            answer = await self._daraja.post(wire.PAYMENT_PATH, body)
        except NoAnswer as error:
            return Report(outcome=Outcome.UNKNOWN, reason=str(error))
        return verdict.of_payment(answer, attempt_id=instruction.attempt_id)

    async def status(self, attempt: AttemptRef) -> Asked:
        """Ask by our own id. The answer arrives at the address labelled "status". Raises `NotAsked`."""
        body = wire.status_body(
            settings=self._settings,
            credential=self._daraja.credential(),
            attempt=attempt,
            result_url=self._address(attempt.attempt_id, STATUS),
            timeout_url=self._address(attempt.attempt_id, STATUS_TIMEOUT),
        )
        return await self._ask(wire.STATUS_PATH, body)

    async def ask_balance(self, question_id: str) -> Asked:
        """Ask what our accounts hold. The answer arrives at the question's address labelled "balance". Raises `NotAsked`."""
        body = wire.balance_body(
            settings=self._settings,
            credential=self._daraja.credential(),
            result_url=self._address(question_id, BALANCE),
            timeout_url=self._address(question_id, BALANCE_TIMEOUT),
        )
        return await self._ask(wire.BALANCE_PATH, body)

    def read_balance(self, request: CallbackRequest) -> tuple[Money, ...]:
        """What the Utility account holds, from which B2C pays. Raises `ForgedCallback` and `NotTold`."""
        if request.label != BALANCE:
            raise verdict.NotTold("the question about our balance expired in Daraja's queue")
        return (verdict.of_balance(request.body),)

    @property
    def top_up_below(self) -> tuple[Money, ...]:
        """The setting of this name."""
        below = self._settings.top_up_below
        return () if below is None else (Money.parse(below, KES),)

    def read_callback(self, request: CallbackRequest) -> Callback:
        """Read what arrived at one of our addresses. Raises `ForgedCallback`.

        Only what answers our question is proof, even where it says UNKNOWN: to ask again at once would be of no use.
        """
        return Callback(
            event_id=event_id(request),
            attempt_id=request.attempt_id,
            report=self._report(request),
            proof=request.label in (STATUS, STATUS_TIMEOUT),
        )

    def callback_answer(self) -> tuple[int, Mapping[str, object]]:
        """What Daraja expects for a callback that we have stored."""
        return 200, {"ResultCode": 0, "ResultDesc": "Accepted"}

    def read_statement(self, content: bytes) -> Sequence[StatementLine]:
        """The lines of a statement downloaded from the portal as CSV. Raises `BadStatement`."""
        return read_statement(content, reasons=self._settings.reasons, statuses=self._settings.statuses)

    async def close(self) -> None:
        """Close the connections to Daraja."""
        await self._daraja.close()

    def _report(self, request: CallbackRequest) -> Report:
        match request.label:
            case "result":
                return verdict.of_result(request.body, attempt_id=request.attempt_id)
            case "status":
                statuses = self._settings.statuses
                return verdict.of_status(request.body, attempt_id=request.attempt_id, statuses=statuses)
            case "timeout" | "status_timeout":
                return verdict.of_timeout(request.body)
            case "balance" | "balance_timeout":
                return Report(outcome=Outcome.UNKNOWN, reason="answers a question about our balance, not about a payment")
            case _:
                raise ForgedCallback(f"we gave Daraja no address labelled {request.label}")

    async def _ask(self, path: str, body: Mapping[str, str]) -> Asked:
        try:
            answer: Answer = await self._daraja.post(path, body)
        except (NoAnswer, NotSent) as error:
            # Not as NotSent: that speaks of a payment, and this one may well have been made.
            raise NotAsked(f"the question did not arrive ({type(error).__name__}: {error})") from None
        ack = wire.Ack.read(answer)
        if ack is None or ack.code != "0" or ack.conversation is None:
            raise NotAsked(f"the question was not taken: {verdict.refusal_sentence(answer)}")
        return Asked(question=ack.conversation)

    def _refuse_outside(self, instruction: Instruction) -> None:
        """Raise `OutsideLimits` for what Daraja cannot pay, before anything is sent. The sentence names no recipient."""
        corridor_of(self._capabilities, instruction)
        if wire.msisdn(instruction.to.account) is None:
            raise OutsideLimits("M-PESA needs a Kenyan mobile number in E.164: +2547 or +2541 and eight digits")


_offramp: type[Offramp] = Mpesa
_calls_back: type[CallsBack] = Mpesa
_reads_statement: type[ReadsStatement] = Mpesa
_asks_balance: type[AsksBalance] = Mpesa
_wants_top_ups: type[WantsTopUps] = Mpesa
