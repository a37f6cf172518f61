"""Transfers and payouts: from our balance to a connected account, and from there to its bank account or debit card.

Two requests make one payment. The first, the transfer, carries all that the second, the payout, will need; so the second can
be made later from the first alone. What proves what:

- no transfer found: nothing is proven, for ever (UNKNOWN);
- a transfer without a payout: the payout is made now, under the key that it always has, as long as Stripe remembers keys;
  after that only a person may look (UNKNOWN);
- a payout that failed or was refused: its money lies on the connected account and is taken back by a reversal; only when all
  of it is back is the payment FAILED, or RETURNED if it had been called paid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from adapters.stripe_connect import codes, wire
from adapters.stripe_connect.client import PAGE, Answered, Declined, Stripe
from adapters.stripe_connect.currencies import money_at
from adapters.stripe_connect.lookup import holder_of
from adapters.stripe_connect.settings import StripeSettings
from adapters.stripe_connect.statement import lines_of
from adapters.stripe_connect.webhooks import Webhooks
from adapters.stripe_connect.wire import Transfer
from gateway.money import Money
from gateway.offramp import (
    AdapterContext,
    AttemptRef,
    Callback,
    CallbackRequest,
    Cancels,
    Capabilities,
    Destination,
    Fault,
    Holder,
    HoldsBalance,
    Instruction,
    KeepsStatement,
    LooksUpNames,
    NamesAttempt,
    NotSent,
    Offramp,
    Outcome,
    OutsideLimits,
    Report,
    Resend,
    StatementLine,
)
from gateway.railkit.documents import inner, text_of
from gateway.railkit.evidence import chosen, clean
from gateway.railkit.http import NoAnswer, NotAsked
from gateway.railkit.limits import corridor_of
from gateway.railkit.meanings import UNLISTED, Kind, refuse_what_was_not_taken, report_of


class Connect:
    """The adapter for one platform account: banks by standard payouts, debit cards by instant ones."""

    def __init__(self, context: AdapterContext, settings: StripeSettings) -> None:
        self._settings = settings
        self._clock = context.clock
        self._stripe = Stripe(settings)
        self._webhooks = Webhooks(settings)
        self._capabilities = Capabilities(
            name=context.name,
            corridors=settings.corridors,
            resend=Resend.DEDUPED,
            settles_within=settings.settles_within,
            resend_within=settings.resend_within,
            # Two requests make a payment, and a third takes it back; each has this long.
            answer_within=settings.answer_within * 3,
            calls_per_s=settings.calls_per_s,
            returns_within=settings.returns_within,
            callbacks_are_proof=True,
        )

    @property
    def capabilities(self) -> Capabilities:
        """Stripe honours our key for a day, so that a repeated sending within it pays once."""
        return self._capabilities

    async def pay(self, instruction: Instruction) -> Report:
        """Transfer to the connected account, then pay out from it. Both keys are made of the attempt id."""
        corridor_of(self._capabilities, instruction)
        payee = wire.connected_payee(instruction.to)
        if payee is None:
            raise OutsideLimits('Stripe needs "acct_.../ba_..." for a bank account and "acct_.../card_..." for a debit card')
        attempt_id = instruction.attempt_id
        params: Any = wire.transfer_params(instruction, payee)
        try:
            made = await self._stripe.call(self._stripe.v1.transfers.create_async(params, {"idempotency_key": attempt_id}))
        except Declined as declined:
            refuse_what_was_not_taken(declined.means, reason=declined.reason)
            return declined.report()
        except NoAnswer as silence:
            return Report(outcome=Outcome.UNKNOWN, reason=f"transfer: {silence}")
        transfer = Transfer.read(made.values, attempt_id=attempt_id)
        if transfer is None or (transfer.payee, transfer.amount) != (payee, instruction.deliver):
            return self._unknown("Stripe answered with another transfer than we ordered", made.values)
        if made.replayed:
            # It is the answer to an earlier sending: what has become of it since, only a question tells.
            now, ref = self._clock(), transfer.id
            sent = AttemptRef(attempt_id=attempt_id, provider_ref=ref, deliver=instruction.deliver, sent_at=now)
            return await self.status(sent)
        return await self._pay_out(transfer, attempt_id)

    async def status(self, attempt: AttemptRef) -> Report:
        """Ask by our id, and make the second step if it is missing, or take back what failed. Raises `NotAsked`."""
        try:
            return await self._report(attempt.attempt_id, deliver=attempt.deliver)
        except (Declined, NoAnswer, NotSent) as error:
            # Not as NotSent: that speaks of a payment, and this one may well have been made.
            raise NotAsked(f"Stripe was not asked: {error}") from None

    async def cancel(self, attempt: AttemptRef) -> Report:
        """Cancel the payout if it is still pending, and take the money back. Raises `NotAsked`."""
        try:
            payouts = [
                (transfer, payout)
                for transfer in await self._transfers(attempt.attempt_id)
                for payout in await self._payouts(transfer, attempt.attempt_id)
            ]
            if len(payouts) == 1 and payouts[0][1].get("status") == "pending":
                transfer, payout = payouts[0]
                options: Any = self._options(transfer, key=f"{attempt.attempt_id}-cancel")
                await self._stripe.call(self._stripe.v1.payouts.cancel_async(str(payout["id"]), {}, options))
        except Declined:
            pass  # too late, or not now: what it is, the question tells
        except (NoAnswer, NotSent) as error:
            raise NotAsked(f"Stripe was not asked: {error}") from None
        return await self.status(attempt)

    async def balance(self) -> tuple[Money, ...]:
        """What can be transferred now, per currency of the corridors. `instant_available` is part of it, not more."""
        told = (await self._stripe.call(self._stripe.v1.balance.retrieve_async())).values
        held = [money_at(each) for each in told.get("available") or [] if isinstance(each, dict)]
        ours = {corridor.asset for corridor in self._settings.corridors}
        return tuple(money for money in held if money is not None and money.asset in ours)

    async def look_up(self, to: Destination) -> Holder:
        """The name on the bank account or card, and whether it can be paid now. Raises `OfframpError`."""
        payee = wire.connected_payee(to)
        if payee is None:
            raise OutsideLimits('Stripe needs "acct_.../ba_..." or "acct_.../card_..."')
        return await holder_of(self._stripe, payee, method=to.method)

    async def statement(self, *, since: datetime, until: datetime) -> Sequence[StatementLine]:
        """Every balance transaction of the platform. Raises `OfframpError`."""
        return await lines_of(self._stripe, since=since, until=until)

    @property
    def webhooks(self) -> Mapping[str, str]:
        """Where a person enters our address."""
        return self._webhooks.labels

    def attempt_of(self, request: CallbackRequest) -> str | None:
        """Our id in a signed event about a payout or a transfer. Raises `ForgedCallback`."""
        return self._webhooks.attempt_of(request)

    def read_callback(self, request: CallbackRequest) -> Callback:
        """Read a signed event. "payout.paid" is proof; on all others we ask, for money may have to be taken back."""
        return self._webhooks.read(request)

    def callback_answer(self) -> tuple[int, Mapping[str, object]]:
        """Stripe wants any 2xx."""
        return 200, {"received": True}

    async def close(self) -> None:
        """Close the connections."""
        await self._stripe.close()

    # -- what has become of it -------------------------------------------------------------------------------------------

    async def _report(self, attempt_id: str, *, deliver: Money) -> Report:
        transfers = await self._transfers(attempt_id)
        if not transfers:
            return self._unknown("no transfer is found, which proves nothing")
        if len(transfers) > 1:
            return self._unknown(f"{len(transfers)} transfers carry this attempt's id", ids=transfers)
        transfer = transfers[0]
        if transfer.amount != deliver:
            return self._unknown("the transfer is of another amount than ordered", ids=transfers)
        payouts = await self._payouts(transfer, attempt_id)
        if len(payouts) > 1:
            return self._unknown(f"{len(payouts)} payouts carry this attempt's id", ids=transfers)
        if payouts:
            return await self._of_payout(transfer, payouts[0], attempt_id)
        return await self._without_payout(transfer, attempt_id)

    async def _without_payout(self, transfer: Transfer, attempt_id: str) -> Report:
        if transfer.back:
            return self._given_up(transfer)
        if transfer.reversed_units:
            return self._unknown("the transfer is reversed in part, and there is no payout", ids=[transfer])
        if self._is_late(transfer):
            sentence = "transferred, but no payout is found, and its key is too old to be sent again"
            return self._unknown(sentence, ids=[transfer])
        return await self._pay_out(transfer, attempt_id)

    def _is_late(self, transfer: Transfer) -> bool:
        """Whether Stripe may have forgotten the payout's key, which was used first after the transfer was made."""
        return self._clock() + self._capabilities.answer_within >= transfer.created + self._settings.resend_within

    async def _transfers(self, attempt_id: str) -> list[Transfer]:
        asked = self._stripe.v1.transfers.list_async({"transfer_group": attempt_id, "limit": PAGE})
        found = [Transfer.read(each, attempt_id=attempt_id) async for each in self._stripe.all(asked)]
        if None in found:
            raise NoAnswer("a transfer with this attempt's id that isn't of our making")
        return [each for each in found if each is not None]

    async def _payouts(self, transfer: Transfer, attempt_id: str) -> list[dict[str, Any]]:
        # Their clocks may disagree by a second or two; the metadata decides what is ours.
        since = int((transfer.created - timedelta(minutes=5)).timestamp())
        params: Any = {"created": {"gte": since}, "limit": PAGE}
        asked = self._stripe.v1.payouts.list_async(params, self._options(transfer))
        return [each async for each in self._stripe.all(asked) if wire.is_of(each, attempt_id)]

    # -- the second step -------------------------------------------------------------------------------------------------

    async def _pay_out(self, transfer: Transfer, attempt_id: str) -> Report:
        """Make the payout, or make it again under its key. Whatever happens, the transfer has been made: no NotSent."""
        params: Any = transfer.payout_params(attempt_id, statement_descriptor=self._settings.statement_descriptor)
        options: Any = self._options(transfer, key=wire.payout_key(attempt_id))
        try:
            made = await self._stripe.call(self._stripe.v1.payouts.create_async(params, options))
        except Declined as declined:
            if declined.is_final:
                fault = declined.means.fault or Fault.RECIPIENT
                return await self._give_up(transfer, attempt_id, reason=declined.code or "refused", fault=fault)
            waits = declined.means.kind is Kind.NOT_PROCESSED
            outcome = Outcome.PENDING if waits else Outcome.UNKNOWN
            return Report(outcome=outcome, reason=f"payout: {declined.reason}", evidence=declined.evidence)
        except NotSent as refused:
            return Report(outcome=Outcome.PENDING, reason=f"transferred; payout: {refused}")
        except NoAnswer as silence:
            return Report(outcome=Outcome.UNKNOWN, reason=f"transferred; payout: {silence}")
        if not wire.is_of(made.values, attempt_id):
            return self._unknown("Stripe answered with another payout than we ordered", made.values)
        # What it answered to an earlier request may be old: only a question tells what has become of it.
        is_news = not made.replayed
        return await self._of_payout(transfer, made.values, attempt_id) if is_news else self._pending(made)

    async def _of_payout(self, transfer: Transfer, payout: Mapping[str, Any], attempt_id: str) -> Report:
        status, ref, kept = text_of(payout.get("status")), text_of(payout.get("id")), self._kept(payout, transfer)
        means = codes.PAYOUTS.get(status or "", UNLISTED)
        delivered = money_at(payout)
        if means.kind is Kind.PAID and payout.get("reversed_by") is not None:
            return self._unknown("paid, and being taken back from the bank", payout)
        if means.kind is Kind.PAID and ref is not None and delivered is not None:
            receipt = text_of(inner(payout, "trace_id").get("value")) or ref
            return Report(outcome=Outcome.PAID, provider_ref=ref, receipt=receipt, delivered=delivered, evidence=kept)
        if means.kind is not Kind.FAILED or ref is None:
            return report_of(means, reason=f"payout {clean(status)}: {means.text}", provider_ref=ref, evidence=kept)
        code = text_of(payout.get("failure_code"))
        fault = codes.fault_of(code, codes.PAYOUT_FAILURES, means)
        text = codes.PAYOUT_FAILURES.get(code or "", means).text
        was_paid = status == "failed" and await self._was_paid(transfer, payout)
        reason = f"payout {clean(status)} {clean(code or '')}: {text}".replace(" :", ":")
        back = await self._take_back(transfer, attempt_id, reason=code or str(status), fault=fault)
        if back is not None:
            return Report(outcome=Outcome.UNKNOWN, provider_ref=ref, reason=f"{reason}; {back}", evidence=kept)
        outcome = Outcome.RETURNED if was_paid else Outcome.FAILED
        kept = {**kept, "back_on_platform_balance": str(transfer.amount)}
        return Report(outcome=outcome, provider_ref=ref, fault=fault, reason=reason, evidence=kept)

    async def _was_paid(self, transfer: Transfer, payout: Mapping[str, Any]) -> bool:
        """Whether Stripe had called a failed payout paid: the payout has forgotten it, its events are kept for 30 days."""
        params: Any = {"type": "payout.paid", "created": {"gte": payout.get("created")}, "limit": PAGE}
        asked = self._stripe.v1.events.list_async(params, self._options(transfer))
        events = [inner(each, "data", "object") async for each in self._stripe.all(asked)]
        return any(each.get("id") == payout.get("id") for each in events)

    # -- money that has to come back -------------------------------------------------------------------------------------

    async def _give_up(self, transfer: Transfer, attempt_id: str, *, reason: str, fault: Fault) -> Report:
        """After a payout that Stripe refused for good: the reversed transfer is what forbids every later payout."""
        back = await self._take_back(transfer, attempt_id, reason=reason, fault=fault)
        kept = {"transfer": transfer.id}
        sentence = f"payout refused with {clean(reason)}"
        if back is not None:
            return Report(outcome=Outcome.UNKNOWN, reason=f"{sentence}; {back}", evidence=kept)
        kept["back_on_platform_balance"] = str(transfer.amount)
        return Report(outcome=Outcome.FAILED, provider_ref=transfer.id, fault=fault, reason=sentence, evidence=kept)

    def _given_up(self, transfer: Transfer) -> Report:
        sentence = f"payout refused with {clean(transfer.reason or 'a code that the reversal does not name')}"
        kept = {"transfer": transfer.id, "back_on_platform_balance": str(transfer.amount)}
        fault = transfer.fault or Fault.RECIPIENT
        return Report(outcome=Outcome.FAILED, provider_ref=transfer.id, fault=fault, reason=sentence, evidence=kept)

    async def _take_back(self, transfer: Transfer, attempt_id: str, *, reason: str, fault: Fault) -> str | None:
        """Reverse what is left of the transfer. None once all of it is back; else the sentence that says why not.

        A transfer can't be reversed by more than its amount, so a new key each hour is safe, and a refusal that Stripe has
        stored does not last for a day.
        """
        if transfer.back:
            return None
        if transfer.reversed_units >= transfer.units:
            return "its reversal is not finished: the money is not back yet"
        params: Any = transfer.reversal_params(attempt_id, reason=reason, fault=fault)
        options: Any = {"idempotency_key": f"{attempt_id}-reversal-{self._clock():%Y%m%d%H}"}
        try:
            made = await self._stripe.call(self._stripe.v1.transfers.reversals.create_async(transfer.id, params, options))
        except (Declined, NoAnswer, NotSent) as error:
            return f"its money is still on the connected account ({error})"
        settled = made.values.get("status") in (None, "succeeded") and made.values.get("amount") == params["amount"]
        return None if settled else "its reversal is not finished: the money is not back yet"

    # -- small things ----------------------------------------------------------------------------------------------------

    def _options(self, transfer: Transfer, *, key: str | None = None) -> Any:
        options = {"stripe_account": transfer.payee.account}
        return options if key is None else {**options, "idempotency_key": key}

    def _kept(self, payout: Mapping[str, Any], transfer: Transfer) -> dict[str, str]:
        return {**chosen(payout, wire.EVIDENCE), "transfer": transfer.id}

    def _pending(self, made: Answered) -> Report:
        ref, kept = text_of(made.values.get("id")), chosen(made.values, wire.EVIDENCE)
        return Report(outcome=Outcome.PENDING, provider_ref=ref, reason="the payout was made before", evidence=kept)

    def _unknown(self, reason: str, values: Mapping[str, Any] | None = None, *, ids: Sequence[Transfer] = ()) -> Report:
        kept = chosen(values or {}, wire.EVIDENCE)
        if ids:
            kept["transfers"] = clean(" ".join(each.id for each in ids))
        return Report(outcome=Outcome.UNKNOWN, reason=reason, evidence=kept)


_offramp: type[Offramp] = Connect
_cancels: type[Cancels] = Connect
_names_attempt: type[NamesAttempt] = Connect
_holds_balance: type[HoldsBalance] = Connect
_looks_up: type[LooksUpNames] = Connect
_keeps_statement: type[KeepsStatement] = Connect
