"""M-PESA in Kenya: business-to-customer payments by Safaricom's Daraja, B2C v3.

Daraja answers asynchronously and signs nothing. A callback about a payment ("result", "timeout") is therefore a doorbell. A
question about a payment is answered at an address of its own ("status"), and that answer is taken for the truth.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import timedelta

import httpx

from adapters.mpesa import verdict, wire
from adapters.mpesa.client import Daraja
from adapters.mpesa.settings import MpesaSettings
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
    Instruction,
    Method,
    NotSent,
    Offramp,
    OfframpError,
    Outcome,
    OutsideLimits,
    ReadsStatement,
    Report,
    Resend,
    StatementLine,
)

RESULT, TIMEOUT, STATUS, STATUS_TIMEOUT = "result", "timeout", "status", "status_timeout"
"""The labels of our callback addresses. Daraja refuses addresses with some words in them, such as "query"."""

KENYA = Corridor(
    country="KE",
    method=Method.MOBILE_MONEY,
    asset=wire.KES,
    least=Money(10_00, wire.KES),
    most=Money(250_000_00, wire.KES),
    step=Money(1_00, wire.KES),
)
"""Limits of one payment, as published on page BusinessToCustomer."""


class NotAsked(OfframpError):
    """Daraja did not take a question about a payment: we know as much of the payment as before."""


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
            settles_within=timedelta(seconds=self._settings.settles_within_s),
            resend_within=timedelta(seconds=self._settings.resend_within_s),
            answer_within=timedelta(seconds=self._settings.answer_within_s),
        )

    @property
    def capabilities(self) -> Capabilities:
        """Kenya, mobile money, whole shillings; Daraja honours our id, so that a repeated sending pays once."""
        return self._capabilities

    async def pay(self, instruction: Instruction) -> Report:
        """Ask Daraja to pay. PENDING once it has taken the request; it says later what became of it."""
        _refuse_outside(instruction)
        body = wire.payment_body(
            settings=self._settings,
            credential=self._daraja.credential(),
            instruction=instruction,
            result_url=self._address(instruction.attempt_id, RESULT),
            timeout_url=self._address(instruction.attempt_id, TIMEOUT),
        )
        try:
            answer = await self._daraja.post(wire.PAYMENT_PATH, body)
        except httpx.HTTPError as error:
            return Report(outcome=Outcome.UNKNOWN, reason=f"no answer from Daraja ({type(error).__name__})")
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
        try:
            answer = await self._daraja.post(wire.STATUS_PATH, body)
        except (httpx.HTTPError, NotSent) as error:
            # Not as NotSent: that speaks of a payment, and this one may well have been made.
            raise NotAsked(f"the question did not arrive ({type(error).__name__}: {error})") from None
        ack = wire.Ack.read(answer)
        if ack is None or ack.code != "0" or ack.conversation is None:
            raise NotAsked(f"the question was not taken: {verdict.refusal_sentence(answer)}")
        return Asked(question=ack.conversation)

    def read_callback(self, request: CallbackRequest) -> Callback:
        """Read what arrived at one of our addresses. Raises `ForgedCallback`.

        Only what answers our question is proof, even where it says UNKNOWN: to ask again at once would be of no use.
        """
        return Callback(
            event_id=_event_id(request),
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
            case _:
                raise ForgedCallback(f"we gave Daraja no address labelled {request.label}")


def _event_id(request: CallbackRequest) -> str:
    """The same for the same bytes at the same address: Daraja puts no id of its own on a delivery."""
    parts = (request.attempt_id.encode(), request.label.encode(), request.body)
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _refuse_outside(instruction: Instruction) -> None:
    """Raise `OutsideLimits` for what Daraja cannot pay, before anything is sent. The sentence names no recipient."""
    deliver, to = instruction.deliver, instruction.to
    if (to.country, to.method, deliver.asset) != (KENYA.country, KENYA.method, KENYA.asset):
        raise OutsideLimits("M-PESA pays KES by mobile money in Kenya (KE)")
    if not KENYA.least <= deliver <= KENYA.most or deliver.floor_to(KENYA.step) != deliver:
        raise OutsideLimits(f"M-PESA pays whole shillings from {KENYA.least} to {KENYA.most}, not {deliver}")
    if wire.msisdn(to.account) is None:
        raise OutsideLimits("M-PESA needs a Kenyan mobile number in E.164: +2547 or +2541 and eight digits")


_offramp: type[Offramp] = Mpesa
_calls_back: type[CallsBack] = Mpesa
_reads_statement: type[ReadsStatement] = Mpesa
