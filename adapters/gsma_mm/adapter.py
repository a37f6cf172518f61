"""Disbursements by the GSMA Mobile Money API 1.2, at any operator that has a profile.

An operator answers at once (HTTP 201) or later (202, then a callback or questions). Callbacks aren't signed: each is a
doorbell. Every question goes by our own id, the X-CorrelationID, unless an answer has named the operator's.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import NamedTuple

from adapters.gsma_mm import verdict, wire
from adapters.gsma_mm.client import Operator
from adapters.gsma_mm.settings import Configuration
from gateway.money import Money
from gateway.offramp import (
    AdapterContext,
    AttemptRef,
    Callback,
    CallbackRequest,
    CallsBack,
    Capabilities,
    Destination,
    ForgedCallback,
    Holder,
    HoldsBalance,
    Instruction,
    LooksUpNames,
    NotSent,
    Offramp,
    Outcome,
    Report,
    Resend,
)
from gateway.railkit.documents import document_or_empty, inner, money_of, text_of
from gateway.railkit.evidence import clean
from gateway.railkit.http import Answer, NoAnswer, NotAsked
from gateway.railkit.keys import event_id, same, uuid4_of
from gateway.railkit.limits import corridor_of

RESULT = "result"
"""The label of our callback addresses."""
CORRELATION = "x-correlationid"
CAN_RECEIVE: Mapping[str | None, bool] = {"available": True, "unavailable": False, "unregistered": False}
"""The words of an account's status."""


class Heartbeat(NamedTuple):
    """What an operator says of its own system."""

    status: str
    """available, unavailable or degraded."""
    delay_ms: int | None
    restored_at: str | None
    """When it expects to be back, in ISO 8601."""


class GsmaMm:
    """The adapter: one account at one operator."""

    def __init__(self, context: AdapterContext) -> None:
        """Raises `BadSettings`."""
        configuration = Configuration.read(context.settings)
        self._settings, self._profile = configuration
        self._operator = Operator(configuration, clock=context.clock)
        self._address = context.callback_address
        self._clock = context.clock
        self._capabilities = Capabilities(
            name=context.name,
            corridors=tuple(each.corridor() for each in self._profile.corridors),
            resend=self._profile.resend,
            settles_within=self._settings.settles_within,
            resend_within=self._settings.resend_within if self._profile.resend is Resend.DEDUPED else timedelta(0),
            answer_within=self._settings.answer_within,
            returns_within=self._profile.returns_within,
            concurrency=self._profile.concurrency,
            calls_per_s=self._profile.calls_per_s,
        )

    @property
    def capabilities(self) -> Capabilities:
        """The profile's corridors and times."""
        return self._capabilities

    async def pay(self, instruction: Instruction) -> Report:
        """Ask the operator to pay: PENDING, or at once what became of it."""
        corridor = corridor_of(self._capabilities, instruction)
        body = wire.payment_body(profile=self._profile, settings=self._settings, corridor=corridor, instruction=instruction)
        try:
            answer = await self._operator.send(
                wire.DISBURSEMENT,
                body,
                correlation=uuid4_of(instruction.attempt_id),
                callback=self._address(instruction.attempt_id, RESULT),
            )
        except NoAnswer as error:
            return Report(outcome=Outcome.UNKNOWN, reason=str(error))
        return verdict.of_payment(
            answer, attempt_id=instruction.attempt_id, asset=instruction.deliver.asset, profile=self._profile
        )

    async def status(self, attempt: AttemptRef) -> Report:
        """Ask, by the operator's reference if we have one, else by our own id. Raises `NotAsked`.

        "Not found" is UNKNOWN: no operator documents how soon a payment is found.
        """
        known = wire.named(attempt.provider_ref)
        report = None if known is None else await self._report(known, attempt)
        if report is None and (found := await self._find(attempt)) is not None:
            report = await self._report(found, attempt)
        return report or Report(outcome=Outcome.UNKNOWN, reason="the operator doesn't find it")

    async def reverse(self, attempt: AttemptRef) -> Report:
        """Ask the operator to take a paid disbursement back: POST /transactions/{reference}/reversals.

        `provider_ref` must be the transaction's reference. PENDING once taken: `status` of the payment says RETURNED when it
        is done. The reversal has an id of its own, the same each time. Raises `NotSent` if it provably wasn't taken.
        """
        resource = wire.named(attempt.provider_ref)
        if resource is None or resource.kind != "transactions":
            raise NotSent("only a payment whose transaction has a reference can be reversed")
        correlation = uuid4_of(f"{attempt.attempt_id}/reversal")
        path = f"{resource.path}/reversals"
        try:
            answer = await self._operator.send(path, wire.REVERSAL, correlation=correlation, callback=None)
        except NoAnswer as error:
            return Report(outcome=Outcome.UNKNOWN, reason=str(error))
        if answer.status in (wire.CREATED, wire.ACCEPTED):
            return Report(outcome=Outcome.PENDING, provider_ref=attempt.provider_ref, reason="the reversal is taken")
        return verdict.of_refusal(answer, profile=self._profile)

    def read_callback(self, request: CallbackRequest) -> Callback:
        """Read what arrived at one of our addresses: a doorbell, never proof. Raises `ForgedCallback`."""
        if request.label != RESULT:
            raise ForgedCallback(f"we gave no address labelled {request.label}")
        correlation = request.headers.get(CORRELATION)
        if correlation is not None and not same(correlation.lower(), uuid4_of(request.attempt_id)):
            raise ForgedCallback("the callback names another attempt")
        assets = {each.asset.code: each.asset for each in self._capabilities.corridors}
        currency = text_of(document_or_empty(request.body).get("currency"))
        report = verdict.of_callback(
            request.body, attempt_id=request.attempt_id, asset=assets.get(currency or ""), profile=self._profile
        )
        return Callback(event_id=event_id(request), attempt_id=request.attempt_id, report=report)

    def callback_answer(self) -> tuple[int, Mapping[str, object]]:
        """HTTP 204: no content."""
        return wire.NO_CONTENT, {}

    async def look_up(self, to: Destination) -> Holder:
        """The holder's name, and whether the account can be paid. Raises `OfframpError` if the operator doesn't answer."""
        path = wire.account_path(self._profile, to, "accountname")
        named = await self._ask(path, but=wire.NOT_FOUND)
        stands = await self._ask(wire.account_path(self._profile, to, "status"), but=wire.NOT_FOUND)
        name = inner(document_or_empty(named.body), "name") if named.status == wire.OK else {}
        parts = [text_of(name.get(key)) for key in ("firstName", "middleName", "lastName")]
        word = text_of(document_or_empty(stands.body).get("status")) if stands.status == wire.OK else "unregistered"
        return Holder(
            name=text_of(name.get("fullName")) or " ".join(each for each in parts if each) or None,
            can_receive=CAN_RECEIVE.get(word),
        )

    async def balance(self) -> tuple[Money, ...]:
        """What our account there has available. Raises `OfframpError`."""
        values = document_or_empty((await self._ask(wire.balance_path(self._profile, self._settings))).body)
        assets = {each.asset.code: each.asset for each in self._capabilities.corridors}
        only = next(iter(assets)) if len(assets) == 1 else None
        asset = assets.get(text_of(values.get("currency")) or only or "")
        held = None if asset is None else money_of(values.get("availableBalance"), asset)
        if held is None:
            raise NotAsked("the operator's answer has no available balance in one of its currencies")
        return (held,)

    async def heartbeat(self) -> Heartbeat:
        """Whether the operator's system takes requests now. Raises `OfframpError`."""
        values = document_or_empty((await self._ask(wire.HEARTBEAT)).body)
        delay = text_of(values.get("delay"))
        return Heartbeat(
            status=text_of(values.get("serviceStatus")) or "unknown",
            delay_ms=int(delay) if delay is not None and wire.is_small(delay) else None,
            restored_at=text_of(values.get("plannedRestorationTime")),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._operator.close()

    async def _find(self, attempt: AttemptRef) -> wire.Resource | None:
        """What the request with our id became: GET /responses/{clientCorrelationId}."""
        return wire.linked(await self._ask(f"/responses/{uuid4_of(attempt.attempt_id)}", but=wire.NOT_FOUND))

    async def _report(self, resource: wire.Resource, attempt: AttemptRef) -> Report | None:
        """What a request's state or a transaction says; None if the operator doesn't find it."""
        answer = await self._ask(resource.path, but=wire.NOT_FOUND)
        if answer.status == wire.NOT_FOUND:
            return None
        values = document_or_empty(answer.body)
        if resource.kind == "transactions":
            asset = attempt.deliver.asset
            return verdict.of_transaction(values, attempt_id=attempt.attempt_id, asset=asset, profile=self._profile)
        made = wire.made_by(values)
        report = None if made is None else await self._report(made, attempt)
        return report or verdict.of_request_state(values, now=self._clock())

    async def _ask(self, path: str, *, but: int = wire.OK) -> Answer:
        """The answer to a question: 200, or the one other status that says something. Raises `NotAsked`."""
        try:
            answer = await self._operator.ask(path)
        except (NoAnswer, NotSent) as error:
            # Not as NotSent: that speaks of a payment, and this one may well have been made.
            raise NotAsked(f"no answer to a question ({error})") from None
        if answer.status not in (wire.OK, but):
            code, _, _ = wire.error_of(document_or_empty(answer.body))
            raise NotAsked(f"a question was answered with HTTP {answer.status} {clean(code or '')}".strip())
        return answer


_offramp: type[Offramp] = GsmaMm
_calls_back: type[CallsBack] = GsmaMm
_holds_balance: type[HoldsBalance] = GsmaMm
_looks_up_names: type[LooksUpNames] = GsmaMm
