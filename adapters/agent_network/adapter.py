"""Cash from an agent: a code for exactly one amount, made under our id, that an agent redeems by a withdrawal.

The answer to the request shows the code once. Later it is found by our id, GET /responses/{X-CorrelationID}, which tells the
address of the code; so an answer that was lost never makes a second one.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from adapters.agent_network import codes, wire
from adapters.agent_network.settings import AgentNetworkSettings
from gateway.money import Money
from gateway.offramp import (
    AdapterContext,
    AttemptRef,
    Cancels,
    Capabilities,
    Fault,
    HoldsBalance,
    Instruction,
    NotSent,
    Offramp,
    Outcome,
    OutsideLimits,
    Report,
    Resend,
)
from gateway.railkit.documents import document_or_empty, money_of, text_of
from gateway.railkit.evidence import chosen, clean
from gateway.railkit.http import Answer, NoAnswer, NotAsked, RailHttp
from gateway.railkit.keys import uuid4_of
from gateway.railkit.limits import corridor_of
from gateway.railkit.meanings import UNLISTED, Kind, Meaning, refuse_what_was_not_taken, report_of

CREATED, TAKEN, OK, GONE = 201, 202, 200, 404
ERRORS_FROM = 500
PHONE = re.compile(r"\+[1-9][0-9]{6,14}")
SHOWN = (
    "codeState",
    "amount",
    "currency",
    "creationDate",
    "modificationDate",
    "codeLifetime",
    "transactionStatus",
    "amountType",
)


class _Found(NamedTuple):
    """A code, and its address at the network."""

    link: str
    code: wire.Code
    evidence: dict[str, str]


class AgentNetwork:
    """The adapter: one client at one network of agents."""

    def __init__(self, context: AdapterContext) -> None:
        """Raises `BadSettings`."""
        settings = AgentNetworkSettings.read(context.settings)
        self._settings = settings
        self._http = RailHttp(
            base_url=settings.base_url, answer_within_s=settings.answer_within_s, provider="the agent network"
        )
        self._capabilities = Capabilities(
            name=context.name,
            corridors=tuple(each.corridor() for each in settings.counters),
            resend=Resend.DEDUPED,
            settles_within=settings.settles_within,
            resend_within=settings.resend_within,
            answer_within=settings.answer_within,
            returns_within=settings.returns_within,
        )

    @property
    def capabilities(self) -> Capabilities:
        """Cash in the countries of `counters`; the network refuses our id a second time, so one id makes one code."""
        return self._capabilities

    async def pay(self, instruction: Instruction) -> Report:
        """Ask for a code. AVAILABLE with the `Pickup` once the network has made it."""
        corridor_of(self._capabilities, instruction)
        if not PHONE.fullmatch(instruction.to.account):
            raise OutsideLimits("the agent network needs the recipient's phone number, with + and country code")
        to, deliver = instruction.to, instruction.deliver
        account = self._settings.account_for(country=to.country, currency=deliver.asset.code)
        body = wire.payment_body(self._settings, instruction)
        headers = wire.headers(self._settings, correlation=uuid4_of(instruction.attempt_id), body=body)
        try:
            answer = await self._http.call("POST", wire.code_path(account), content=body, headers=headers)
        except NoAnswer as error:
            return Report(outcome=Outcome.UNKNOWN, reason=str(error))
        if answer.status == CREATED:
            return self._created(answer, instruction)
        if answer.status == TAKEN:
            return Report(outcome=Outcome.PENDING, reason="the network is making the code")
        means, reason = _refusal(answer)
        refuse_what_was_not_taken(means, reason=reason)
        return report_of(means, reason=reason)

    async def status(self, attempt: AttemptRef) -> Report:
        """Find the code by our id, and its withdrawal if it was redeemed. Raises `NotAsked` if the network doesn't answer.

        Asked about an attempt of which no reference is known, nobody has its code: a new one then takes the old one's place.
        """
        found = await self._find(attempt.attempt_id)
        if isinstance(found, Report):
            return found
        word = self._settings.states.get(found.code.state or "")
        match word:
            case "available":
                return await self._available(found, attempt)
            case "paid":
                return await self._redeemed(found, attempt)
            case "failed":
                return self._ended(found, attempt)
        reason = f"the code is {clean(found.code.state)}, which is in no table"
        return Report(outcome=Outcome.UNKNOWN, reason=reason, evidence=found.evidence)

    async def cancel(self, attempt: AttemptRef) -> Report:
        """Cancel the code unless an agent was first; what then holds is asked."""
        found = await self._find(attempt.attempt_id)
        if isinstance(found, Report):
            return found
        body = wire.cancel_body()
        await self._call("PATCH", found.link, content=body, headers=wire.headers(self._settings, body=body))
        return await self.status(attempt)

    async def balance(self) -> tuple[Money, ...]:
        """What is free on each account that `counters` names."""
        accounts = {each.account: each.asset for each in self._settings.counters}
        held = []
        for account, asset in accounts.items():
            answer = await self._get(f"/accounts/accountid/{account}/balance")
            document = document_or_empty(answer.body)
            money = money_of(document.get("availableBalance"), asset)
            if answer.status != OK or money is None or document.get("currency") != asset.code:
                raise NotAsked(f"the network told no balance (HTTP {answer.status})")
            held.append(money)
        return tuple(held)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    # -- what an answer means ------------------------------------------------------------------------------------------

    def _created(self, answer: Answer, instruction: Instruction) -> Report:
        document = document_or_empty(answer.body)
        code = wire.Code.read(document)
        if strange := _strange(code, instruction.attempt_id, instruction.deliver):
            return Report(outcome=Outcome.UNKNOWN, reason=strange, evidence=chosen(document, SHOWN))
        pickup = code.pickup(where=self._settings.where)
        if pickup is None or self._settings.states.get(code.state or "") != "available":
            return Report(outcome=Outcome.UNKNOWN, reason="a code was made, and the answer doesn't show it")
        return Report(
            outcome=Outcome.AVAILABLE,
            provider_ref=code.reference or uuid4_of(instruction.attempt_id),
            evidence=chosen(document, SHOWN),
            pickup=pickup,
        )

    async def _find(self, attempt_id: str) -> _Found | Report:
        answer = await self._get(f"/responses/{uuid4_of(attempt_id)}")
        if answer.status == GONE:
            return Report(outcome=Outcome.UNKNOWN, reason="the network has no answer under our id")
        link = wire.link_of(document_or_empty(answer.body)) if answer.status == OK else None
        if link is None:
            raise NotAsked(f"the network didn't say where the code is (HTTP {answer.status})")
        shown = await self._get(link)
        document = document_or_empty(shown.body)
        if shown.status != OK or not document:
            raise NotAsked(f"the network didn't show the code (HTTP {shown.status})")
        return _Found(link, wire.Code.read(document), chosen(document, SHOWN))

    async def _available(self, found: _Found, attempt: AttemptRef) -> Report:
        code = found.code
        if strange := _strange(code, attempt.attempt_id, attempt.deliver):
            return Report(outcome=Outcome.UNKNOWN, reason=strange, evidence=found.evidence)
        if code.digits is None and attempt.provider_ref is None:
            code = await self._renewed(found, attempt) or code
        pickup = code.pickup(where=self._settings.where)
        unseen = pickup is None and attempt.provider_ref is None
        return Report(
            outcome=Outcome.AVAILABLE,
            provider_ref=None if unseen else found.code.reference or uuid4_of(attempt.attempt_id),
            reason="the code waits, and nobody has been told it: cancel it" if unseen else None,
            evidence=found.evidence,
            pickup=pickup,
        )

    async def _renewed(self, found: _Found, attempt: AttemptRef) -> wire.Code | None:
        """Another code in the place of one that nobody has seen; None where the network knows no such thing."""
        answer = await self._call("POST", f"{found.link}/renewals", headers=wire.headers(self._settings))
        if answer.status != CREATED:
            return None
        code = wire.Code.read(document_or_empty(answer.body))
        return None if _strange(code, attempt.attempt_id, attempt.deliver) else code

    async def _redeemed(self, found: _Found, attempt: AttemptRef) -> Report:
        reference = found.code.transaction
        if reference is None or not wire.LINK.fullmatch(f"/{reference}") or "/" in reference:
            return Report(outcome=Outcome.UNKNOWN, reason="redeemed, it says, but not by which withdrawal")
        answer = await self._get(f"/transactions/{reference}")
        if answer.status != OK:
            raise NotAsked(f"the network didn't show the withdrawal (HTTP {answer.status})")
        document = document_or_empty(answer.body)
        word = clean(document.get("transactionStatus"))
        means = codes.TRANSACTIONS.get(word, UNLISTED)
        evidence = found.evidence | chosen(document, SHOWN)
        provider_ref = found.code.reference or uuid4_of(attempt.attempt_id)
        delivered = money_of(document.get("amount"), attempt.deliver.asset)
        if means.kind is not Kind.PAID:
            return report_of(means, reason=f"the withdrawal is {word}", provider_ref=provider_ref, evidence=evidence)
        if delivered is None or document.get("currency") != attempt.deliver.asset.code:
            reason = "redeemed, it says, but not how much"
            return Report(outcome=Outcome.UNKNOWN, reason=reason, evidence=evidence)
        receipt = text_of(document.get("transactionReceipt")) or reference
        return Report(
            outcome=Outcome.PAID, provider_ref=provider_ref, receipt=clean(receipt), delivered=delivered, evidence=evidence
        )

    def _ended(self, found: _Found, attempt: AttemptRef) -> Report:
        code = found.code
        if code.transaction is not None or (code.ours is not None and code.ours != attempt.attempt_id):
            reason = f"{clean(code.state)}, it says, and names a withdrawal or another payment"
            return Report(outcome=Outcome.UNKNOWN, reason=reason, evidence=found.evidence)
        return Report(
            outcome=Outcome.FAILED,
            provider_ref=code.reference,
            fault=codes.REASONS.get(code.reason or "", Fault.RECIPIENT),
            reason=f"the code is {clean(code.state)} ({clean(code.reason)})"
            if code.reason
            else f"the code is {clean(code.state)}",
            evidence=found.evidence,
        )

    # -- calls -----------------------------------------------------------------------------------------------------------

    async def _get(self, target: str) -> Answer:
        return await self._call("GET", target, headers=wire.headers(self._settings))

    async def _call(self, method: str, target: str, **request: object) -> Answer:
        """A call that isn't `pay`. Raises `NotAsked`: `NotSent` would speak of a payment that may well have been made."""
        try:
            return await self._http.call(method, target, **request)
        except (NotSent, NoAnswer) as error:
            raise NotAsked(f"the question did not arrive or was not answered: {error}") from None


def _refusal(answer: Answer) -> tuple[Meaning, str]:
    """What an answer to `pay` means that isn't a success: a server's own failure leaves it open, whatever its code."""
    code = text_of(document_or_empty(answer.body).get("errorCode"))
    means = UNLISTED if code is None or answer.status >= ERRORS_FROM else codes.ERRORS.get(code, UNLISTED)
    return means, f"HTTP {answer.status} {clean(code or 'without a code')}: {means.text}"


def _strange(code: wire.Code, attempt_id: str, deliver: Money) -> str | None:
    """Why a code can't be the one that we asked for; None if all that it tells agrees."""
    if code.ours is not None and code.ours != attempt_id:
        return "the network shows the code of another payment under our id"
    if code.currency != deliver.asset.code or money_of(code.amount, deliver.asset) != deliver:
        return "the code is for another amount than we asked for"
    return None


_offramp: type[Offramp] = AgentNetwork
_cancels: type[Cancels] = AgentNetwork
_holds_balance: type[HoldsBalance] = AgentNetwork
