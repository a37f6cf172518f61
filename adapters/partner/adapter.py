"""A partner exchange that fills our payouts: an offer under our id, which he accepts or declines, and fulfils with proof.

The other side keeps one fill per reference, so that an offer sent twice is one offer. Until the partner has accepted, the
offer may run out and nobody was paid. Once he has, only he ends it: by proof, by declining, or in writing.
"""

from __future__ import annotations

import re

from adapters.partner import codes, wire
from adapters.partner.settings import PartnerSettings
from gateway.offramp import (
    AdapterContext,
    AttemptRef,
    Cancels,
    Capabilities,
    Fault,
    Instruction,
    Method,
    NotSent,
    Offramp,
    Outcome,
    OutsideLimits,
    Report,
    Resend,
)
from gateway.railkit.documents import document_or_empty, text_of
from gateway.railkit.evidence import chosen, clean
from gateway.railkit.http import Answer, NoAnswer, NotAsked, RailHttp
from gateway.railkit.limits import corridor_of
from gateway.railkit.meanings import UNLISTED, Kind, Meaning, refuse_what_was_not_taken, report_of

OK, CREATED, NOT_FOUND = 200, 201, 404
ERRORS_FROM = 500
PHONE = re.compile(r"\+[1-9][0-9]{6,14}")
ACCOUNT = re.compile(r"(?=.*[0-9])[\x21-\x7e][\x20-\x7e]{2,98}[\x21-\x7e]")
SHOWN = ("id", "state", "reason", "amount", "currency", "offered_until", "fulfil_by", "late", "overdue")


class Partner:
    """The adapter: one partner, reached at one gateway."""

    def __init__(self, context: AdapterContext) -> None:
        """Raises `BadSettings`."""
        settings = PartnerSettings.read(context.settings)
        self._settings = settings
        self._clock = context.clock
        self._http = RailHttp(
            base_url=settings.base_url, answer_within_s=settings.answer_within_s, provider="the partner's side"
        )
        self._capabilities = Capabilities(
            name=context.name,
            corridors=tuple(each.corridor() for each in settings.places),
            resend=Resend.DEDUPED,
            settles_within=settings.settles_within,
            resend_within=settings.resend_within,
            answer_within=settings.answer_within,
            returns_within=settings.returns_within,
        )

    @property
    def capabilities(self) -> Capabilities:
        """What the contract with the partner says; the other side keeps one fill per reference."""
        return self._capabilities

    async def pay(self, instruction: Instruction) -> Report:
        """Offer it to the partner. PENDING once the offer stands."""
        corridor_of(self._capabilities, instruction)
        form = PHONE if instruction.to.method is Method.MOBILE_MONEY else ACCOUNT
        if not form.fullmatch(instruction.to.account):
            raise OutsideLimits("the partner needs the recipient's account as this method has it")
        try:
            answer = await self._send("POST", wire.PATH, wire.offer_body(self._settings, instruction))
        except NoAnswer as error:
            return Report(outcome=Outcome.UNKNOWN, reason=str(error))
        if answer.status in (OK, CREATED):
            return _verdict(answer, instruction)
        means, reason = _refusal(answer)
        refuse_what_was_not_taken(means, reason=reason)
        return report_of(means, reason=reason)

    async def status(self, attempt: AttemptRef) -> Report:
        """What became of it. Raises `NotAsked` if the other side doesn't answer."""
        answer = await self._ask("GET", f"{wire.PATH}/{attempt.attempt_id}")
        if answer.status == NOT_FOUND:
            return Report(outcome=Outcome.UNKNOWN, reason="no payment has our reference there")
        if answer.status != OK:
            raise NotAsked(f"the question was not answered (HTTP {answer.status})")
        return _verdict(answer, attempt)

    async def cancel(self, attempt: AttemptRef) -> Report:
        """Take the offer back, unless the partner has accepted it; what then holds is asked."""
        await self._ask("POST", f"{wire.PATH}/{attempt.attempt_id}/cancel")
        return await self.status(attempt)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def _send(self, method: str, path: str, body: bytes) -> Answer:
        headers = wire.signed(self._settings, method=method, path=path, body=body, now=self._clock())
        if body:
            headers["Content-Type"] = "application/json"
        return await self._http.call(method, path, content=body or None, headers=headers)

    async def _ask(self, method: str, path: str) -> Answer:
        """A call that isn't `pay`. Raises `NotAsked`: `NotSent` would speak of a payment that may well have been made."""
        try:
            return await self._send(method, path, b"")
        except (NotSent, NoAnswer) as error:
            raise NotAsked(f"the question did not arrive or was not answered: {error}") from None


def _verdict(answer: Answer, attempt: AttemptRef | Instruction) -> Report:
    document = document_or_empty(answer.body)
    fill = wire.Fill.read(document, attempt)
    evidence = chosen(document, SHOWN)
    if fill.reference != attempt.attempt_id:
        return Report(outcome=Outcome.UNKNOWN, reason="the answer is about another payment", evidence=evidence)
    means = codes.STATES.get(fill.state or "", UNLISTED)
    reason = f"{clean(fill.state)}: {means.text}"
    if means.kind is Kind.PAID:
        return _paid(fill, evidence)
    if fill.overdue:
        reason = "accepted, and not fulfilled in time: only the partner can say whether he paid"
        return Report(outcome=Outcome.UNKNOWN, provider_ref=fill.id, reason=reason, evidence=evidence)
    if means.kind is Kind.FAILED:
        fault = means.fault or codes.REASONS.get(fill.reason or "", Fault.RECIPIENT)
        said = (
            reason + (f" ({clean(fill.reason)})" if fill.reason else "") + ("; he claims to have paid" if fill.late else "")
        )
        return report_of(means._replace(fault=fault), reason=said, provider_ref=fill.id, evidence=evidence)
    return report_of(means, reason=reason, provider_ref=fill.id, evidence=evidence)


def _paid(fill: wire.Fill, evidence: dict[str, str]) -> Report:
    if fill.id is None or fill.delivered is None or fill.proof is None:
        return Report(outcome=Outcome.UNKNOWN, reason="fulfilled, it says, but not by what or how much", evidence=evidence)
    return Report(
        outcome=Outcome.PAID,
        provider_ref=fill.id,
        receipt=clean(fill.proof),
        delivered=fill.delivered,
        evidence=evidence,
    )


def _refusal(answer: Answer) -> tuple[Meaning, str]:
    """What an answer to an offer means that isn't a success: a server's own failure leaves it open, whatever its code."""
    code = text_of(document_or_empty(answer.body).get("code"))
    means = UNLISTED if code is None or answer.status >= ERRORS_FROM else codes.PROBLEMS.get(code, UNLISTED)
    return means, f"HTTP {answer.status} {clean(code or 'without a code')}: {means.text}"


_offramp: type[Offramp] = Partner
_cancels: type[Cancels] = Partner
