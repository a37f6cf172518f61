"""Outbound payments (API v2): from our financial account to a recipient's bank account or card, in one request."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from adapters.stripe_connect import codes, wire
from adapters.stripe_connect.client import PAGE, Declined, Stripe
from adapters.stripe_connect.currencies import money_at
from adapters.stripe_connect.lookup import recipient_of
from adapters.stripe_connect.settings import StripeSettings
from adapters.stripe_connect.webhooks import Webhooks
from gateway.money import Money
from gateway.offramp import (
    AdapterContext,
    AttemptRef,
    Callback,
    CallbackRequest,
    Cancels,
    Capabilities,
    Destination,
    Holder,
    HoldsBalance,
    Instruction,
    LooksUpNames,
    NamesAttempt,
    NotSent,
    Offramp,
    Outcome,
    OutsideLimits,
    Report,
    Resend,
)
from gateway.railkit.documents import inner, text_of
from gateway.railkit.evidence import chosen, clean
from gateway.railkit.http import NoAnswer, NotAsked
from gateway.railkit.limits import corridor_of
from gateway.railkit.meanings import UNLISTED, Kind, refuse_what_was_not_taken, report_of

NOT_FOUND = 404
NEEDS = 'Stripe needs "acct_.../<payout method id>", a card for cards and a bank account for banks'


class OutboundPayments:
    """The adapter for one financial account."""

    def __init__(self, context: AdapterContext, settings: StripeSettings) -> None:
        assert settings.financial_account is not None
        self._settings = settings
        self._financial_account = settings.financial_account
        self._stripe = Stripe(settings)
        self._payments = self._stripe.v2.money_management.outbound_payments
        self._webhooks = Webhooks(settings)
        self._capabilities = Capabilities(
            name=context.name,
            corridors=settings.corridors,
            resend=Resend.DEDUPED,
            settles_within=settings.settles_within,
            resend_within=settings.resend_within,
            answer_within=settings.answer_within,
            calls_per_s=settings.calls_per_s,
            returns_within=settings.returns_within,
        )

    @property
    def capabilities(self) -> Capabilities:
        """Stripe honours our key, so that a repeated sending pays once."""
        return self._capabilities

    async def pay(self, instruction: Instruction) -> Report:
        """Ask Stripe to pay, under the attempt id."""
        corridor_of(self._capabilities, instruction)
        payee = wire.recipient_payee(instruction.to)
        if payee is None:
            raise OutsideLimits(NEEDS)
        params: Any = wire.outbound_params(
            instruction,
            payee,
            financial_account=self._financial_account,
            statement_descriptor=self._settings.statement_descriptor,
        )
        options: Any = {"idempotency_key": instruction.attempt_id}
        try:
            made = await self._stripe.call(self._payments.create_async(params, options))
        except Declined as declined:
            refuse_what_was_not_taken(declined.means, reason=declined.reason)
            return declined.report()
        except NoAnswer as silence:
            return Report(outcome=Outcome.UNKNOWN, reason=str(silence))
        return _verdict(made.values, attempt_id=instruction.attempt_id)

    async def status(self, attempt: AttemptRef) -> Report:
        """Ask by Stripe's id if we know it, else look through what was made since. Raises `NotAsked`."""
        try:
            found = await self._find(attempt)
        except (Declined, NoAnswer, NotSent) as error:
            # Not as NotSent: that speaks of a payment, and this one may well have been made.
            raise NotAsked(f"Stripe was not asked: {error}") from None
        if not found:
            return Report(outcome=Outcome.UNKNOWN, reason="no outbound payment is found, which proves nothing")
        if len(found) > 1:
            kept = {"payments": clean(" ".join(str(each.get("id")) for each in found))}
            reason = f"{len(found)} outbound payments carry this attempt's id"
            return Report(outcome=Outcome.UNKNOWN, reason=reason, evidence=kept)
        return _verdict(found[0], attempt_id=attempt.attempt_id)

    async def cancel(self, attempt: AttemptRef) -> Report:
        """Cancel it if Stripe still lets us. Raises `NotAsked`."""
        try:
            found = await self._find(attempt)
            if len(found) == 1 and found[0].get("cancelable") is True:
                options: Any = {"idempotency_key": f"{attempt.attempt_id}-cancel"}
                await self._stripe.call(self._payments.cancel_async(str(found[0]["id"]), {}, options))
        except Declined:
            pass  # too late, or not now: what it is, the question tells
        except (NoAnswer, NotSent) as error:
            raise NotAsked(f"Stripe was not asked: {error}") from None
        return await self.status(attempt)

    async def balance(self) -> tuple[Money, ...]:
        """What the financial account can pay now, per currency of the corridors."""
        accounts = self._stripe.v2.money_management.financial_accounts
        told = (await self._stripe.call(accounts.retrieve_async(self._financial_account))).values
        held = [
            money_at(each, amount="value") for each in inner(told, "balance", "available").values() if isinstance(each, dict)
        ]
        ours = {corridor.asset for corridor in self._settings.corridors}
        return tuple(money for money in held if money is not None and money.asset in ours)

    async def look_up(self, to: Destination) -> Holder:
        """The recipient's display name, and whether the payout method can be paid now. Raises `OfframpError`."""
        payee = wire.recipient_payee(to)
        if payee is None:
            raise OutsideLimits(NEEDS)
        return await recipient_of(self._stripe, payee)

    @property
    def webhooks(self) -> Mapping[str, str]:
        """Where a person enters our address."""
        return self._webhooks.labels

    def attempt_of(self, request: CallbackRequest) -> str | None:
        """Our id in a signed thin event that a request of ours has caused. Raises `ForgedCallback`."""
        return self._webhooks.attempt_of(request)

    def read_callback(self, request: CallbackRequest) -> Callback:
        """Read a signed thin event: it holds no facts, so that it only makes us ask."""
        return self._webhooks.read(request)

    def callback_answer(self) -> tuple[int, Mapping[str, object]]:
        """Stripe wants any 2xx."""
        return 200, {"received": True}

    async def close(self) -> None:
        """Close the connections."""
        await self._stripe.close()

    async def _find(self, attempt: AttemptRef) -> list[dict[str, Any]]:
        if attempt.provider_ref is not None:
            try:
                found = (await self._stripe.call(self._payments.retrieve_async(attempt.provider_ref))).values
            except Declined as declined:
                if declined.status == NOT_FOUND:
                    return []
                raise
            if not wire.is_of(found, attempt.attempt_id):
                raise NoAnswer("the outbound payment of this reference is another attempt's")
            return [found]
        # Our clock and theirs may disagree; the metadata decides what is ours.
        since = attempt.sent_at - timedelta(minutes=5)
        params: Any = {"created": {"gte": f"{since:%Y-%m-%dT%H:%M:%S}.000Z"}, "limit": PAGE}
        asked = self._stripe.all(self._payments.list_async(params))
        return [each async for each in asked if wire.is_of(each, attempt.attempt_id)]


def _verdict(values: Mapping[str, Any], *, attempt_id: str) -> Report:
    status, ref = text_of(values.get("status")), text_of(values.get("id"))
    means = codes.OUTBOUND.get(status or "", UNLISTED)
    kept = {**chosen(values, wire.EVIDENCE), **_times(values)}
    if not wire.is_of(values, attempt_id) or ref is None:
        return Report(outcome=Outcome.UNKNOWN, reason="Stripe answered with another payment than we ordered", evidence=kept)
    if means.kind is Kind.PAID:
        delivered = money_at(inner(values, "to", "credited"), amount="value")
        if delivered is None:
            return Report(outcome=Outcome.UNKNOWN, provider_ref=ref, reason="posted, but not how much", evidence=kept)
        tracking = inner(values, "tracking_details")
        receipt = text_of(inner(tracking, "bank_account").get("trace_id"))
        receipt = receipt or text_of(inner(tracking, "card").get("retrieval_reference")) or ref
        return Report(outcome=Outcome.PAID, provider_ref=ref, receipt=receipt, delivered=delivered, evidence=kept)
    reason = text_of(inner(values, "status_details", status or "").get("reason"))
    listed = codes.OUTBOUND_REASONS.get(reason or "", means)
    fault = codes.fault_of(reason, codes.OUTBOUND_REASONS, means)
    sentence = f"{clean(status)} {clean(reason or '')}: {listed.text}".replace(" :", ":")
    return report_of(means._replace(fault=fault), reason=sentence, provider_ref=ref, evidence=kept)


def _times(values: Mapping[str, Any]) -> dict[str, str]:
    return {key: clean(at) for key, at in inner(values, "status_transitions").items() if isinstance(at, str)}


_offramp: type[Offramp] = OutboundPayments
_cancels: type[Cancels] = OutboundPayments
_names_attempt: type[NamesAttempt] = OutboundPayments
_holds_balance: type[HoldsBalance] = OutboundPayments
_looks_up: type[LooksUpNames] = OutboundPayments
