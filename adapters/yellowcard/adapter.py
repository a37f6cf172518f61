"""Yellow Card: bank and mobile-money payouts from one balance, at a rate that it locks for some minutes.

A payment takes two requests: submitted, it locks a rate and waits ten minutes at most; accepted, it is paid. Nothing but our
acceptance pays it (`forceAccept` is false), and we accept only what pays exactly the ordered amount in time. So whatever is
lost before the acceptance has moved nothing and expires by itself; what is lost from the acceptance on is asked about.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from fractions import Fraction

from adapters.yellowcard import verdict, wire
from adapters.yellowcard.client import Client, webhook_signature
from adapters.yellowcard.codes import NOT_FOUND, WAITS_FOR_US, status_meaning
from adapters.yellowcard.countries import ASSETS, corridors, is_account
from adapters.yellowcard.directory import Directory
from adapters.yellowcard.settings import YellowCardSettings
from gateway.money import Asset, Money, decimal_of
from gateway.offramp import (
    AdapterContext,
    AttemptRef,
    Callback,
    CallbackRequest,
    Cancels,
    Capabilities,
    Destination,
    Fault,
    ForgedCallback,
    Holder,
    HoldsBalance,
    Instruction,
    LooksUpNames,
    Method,
    NamesAttempt,
    NotSent,
    Offramp,
    OfframpError,
    Outcome,
    OutsideLimits,
    Report,
    Resend,
)
from gateway.prices import RailRate, TellsRates
from gateway.railkit.documents import Unreadable, document, document_or_empty, money_of, text_of
from gateway.railkit.http import Answer, NoAnswer
from gateway.railkit.keys import event_id, same
from gateway.railkit.limits import corridor_of
from gateway.railkit.meanings import Kind, refuse_what_was_not_taken, report_of

WEBHOOK = "webhook"
"""The label of the one address that Yellow Card calls."""
CALLS_PER_PAYMENT = 6
"""Channels, networks, submission, acceptance, and, if that came too early, a look and an acceptance more."""
FINEST = 18
"""Digits behind the point that a balance may have: dollars come with more than two."""
SETTLE_S = 1.0
"""How long a payment that is still being validated is left alone before it is accepted a second time."""


class YellowCard:
    """The adapter: one business account."""

    def __init__(self, context: AdapterContext) -> None:
        """Raises `BadSettings`."""
        self._settings = settings = YellowCardSettings.read(context.settings)
        self._clock = context.clock
        self._client = Client(settings=settings, clock=context.clock)
        self._directory = Directory(client=self._client, named=settings.networks, clock=context.clock)
        self._base = f"/business/{settings.naming}"
        self._capabilities = Capabilities(
            name=context.name,
            corridors=corridors(settings.countries, settings.limits),
            # That a sequenceId is refused a second time stands in no document: nothing is resent on that account, unless a
            # person has been told for how long it is.
            resend=Resend.DEDUPED if settings.resend_within_s else Resend.FINDABLE,
            settles_within=settings.settles_within,
            resend_within=settings.resend_within,
            answer_within=settings.answer_within * CALLS_PER_PAYMENT,
        )

    @property
    def capabilities(self) -> Capabilities:
        """Its countries, in whole units."""
        return self._capabilities

    async def pay(self, instruction: Instruction) -> Report:
        """Submit, compare what was locked with the order, accept. PENDING once accepted."""
        corridor_of(self._capabilities, instruction)
        to = instruction.to
        if not is_account(to.country, to.method, to.account):
            raise OutsideLimits(f"that is no account number of {to.method} in {to.country}")
        route = await self._directory.route(instruction)
        body = wire.submission(instruction, route=route, settings=self._settings)
        try:
            answer = await self._client.post(self._base, body)
        except NoAnswer as error:
            return verdict.unknown(f"submitted or not, it is not accepted: {error}")
        payment = wire.Payment.read(answer)
        if payment is None:
            return await self._refused(answer, instruction)
        return await self._decide(payment, instruction)

    async def _refused(self, answer: Answer, instruction: Instruction) -> Report:
        """A submission that was refused. A sequenceId that is known is refused with no code of its own, so look first."""
        means, sentence = verdict.of_error(answer)
        if means.kind is Kind.NOT_PROCESSED and means.fault is Fault.RECIPIENT:
            found = await self._client.ask(wire.BY_SEQUENCE.format(instruction.attempt_id))
            if wire.Payment.read(found) is not None:
                return verdict.unknown(f"this id arrived before: {sentence}")
            if wire.error_code(found) != NOT_FOUND:
                return verdict.unknown(f"refused, and whether it arrived before can't be told: {sentence}")
        refuse_what_was_not_taken(means, reason=sentence)
        return verdict.unknown(sentence)

    async def _decide(self, payment: wire.Payment, instruction: Instruction) -> Report:
        """Accept a payment that is exactly what was ordered, and locked still; deny any other."""
        exact = (
            payment.sequence_id == instruction.attempt_id and payment.pays(instruction.deliver.asset) == instruction.deliver
        )
        expires_at = payment.expires_at()
        in_time = expires_at is not None and self._clock() < expires_at
        if exact and in_time and payment.status in WAITS_FOR_US:
            return await self._accept(payment, instruction)
        try:
            await self._client.tell(f"{self._base}/{payment.id}/deny")
        except OfframpError as error:
            # Undenied it expires: nobody accepts it.
            return verdict.unknown(f"not accepted, for it isn't what was ordered; not denied: {error}")
        return await self._seen(f"{self._base}/{payment.id}", instruction.attempt_id, instruction.deliver.asset)

    async def _accept(self, payment: wire.Payment, instruction: Instruction) -> Report:
        """Accept; once more if the first acceptance provably came before the payment was ready for it."""
        for is_last in (False, True):
            try:
                answer = await self._client.post(f"{self._base}/{payment.id}/accept")
            except OfframpError as error:
                return verdict.unknown(f"accepted or not: {error}")
            accepted = wire.Payment.read(answer)
            if accepted is not None:
                return self._report(accepted, instruction.attempt_id, instruction.deliver.asset)
            means, sentence = verdict.of_error(answer)
            if means.kind is Kind.FAILED:
                return report_of(means, reason=sentence, provider_ref=payment.id)
            if is_last or wire.error_code(answer) != "PaymentInvalidState" or not await self._waits_still(payment):
                break
        return verdict.unknown(f"not accepted, or accepted before: {sentence}")

    async def _waits_still(self, payment: wire.Payment) -> bool:
        """Whether a payment that refused an acceptance waits for one all the same; then it is left alone for a moment."""
        try:
            seen = wire.Payment.read(await self._client.ask(f"{self._base}/{payment.id}"))
        except OfframpError:
            return False
        if seen is None or seen.status not in WAITS_FOR_US:
            return False
        await asyncio.sleep(SETTLE_S)
        return True

    async def status(self, attempt: AttemptRef) -> Report:
        """Ask by our own id. Raises `OfframpError` for a question without an answer."""
        answer = await self._client.ask(wire.BY_SEQUENCE.format(attempt.attempt_id))
        payment = wire.Payment.read(answer)
        if payment is not None:
            return self._report(payment, attempt.attempt_id, attempt.deliver.asset)
        _, sentence = verdict.of_error(answer)
        final = self._settings.final_when_missing_s
        missing = wire.error_code(answer) == NOT_FOUND
        if missing and final is not None and self._clock() - attempt.sent_at >= timedelta(seconds=final):
            return Report(outcome=Outcome.FAILED, fault=Fault.TRANSIENT, reason=f"never submitted: {sentence}")
        return verdict.unknown(sentence)

    async def cancel(self, attempt: AttemptRef) -> Report:
        """Deny what isn't accepted, give up what waits for our balance; all else is told as it stands."""
        path = wire.BY_SEQUENCE.format(attempt.attempt_id)
        payment = wire.Payment.read(await self._client.ask(path))
        if payment is not None and payment.status in WAITS_FOR_US:
            await self._client.tell(f"{self._base}/{payment.id}/deny")
        elif payment is not None and payment.status == "PENDING_LIQUIDITY":
            await self._client.tell(wire.FAIL_PENDING.format(payment.id))
        return await self._seen(path, attempt.attempt_id, attempt.deliver.asset)

    async def balance(self) -> tuple[Money, ...]:
        """What the accounts hold, in the currencies that we know, cut to whole cents. Raises `OfframpError`."""
        answer = await self._client.ask(wire.ACCOUNT)
        accounts = document_or_empty(answer.body).get("accounts")
        if not isinstance(accounts, list):
            raise OfframpError(f"no balance: {verdict.of_error(answer)[1]}")
        held = [_held(each) for each in accounts if isinstance(each, dict)]
        return tuple(each for each in held if each is not None)

    async def look_up(self, to: Destination) -> Holder:
        """Whose bank account it is; of wallets nothing is told. Raises `OfframpError`."""
        if to.method is not Method.BANK:
            return Holder()
        try:
            network = await self._directory.network_id(to)
        except NotSent as error:
            raise OfframpError(str(error)) from None
        answer = await self._client.tell(wire.RESOLVE, {"accountNumber": to.account, "networkId": network})
        if wire.error_code(answer) == "ResolveAccountError":
            return Holder(can_receive=False)
        name = text_of(document_or_empty(answer.body).get("accountName"))
        if answer.status not in (200, 201) or name is None:
            raise OfframpError(f"no name: {verdict.of_error(answer)[1]}")
        return Holder(name=name, can_receive=True)

    async def rates(self, currencies: Sequence[str], *, size: Fraction) -> Sequence[RailRate]:
        """`GET /business/rates`: `sell` is what one dollar brings in a payout, whatever the size. Raises `OfframpError`."""
        del size
        answer = await self._client.ask(wire.RATES)
        listed = document_or_empty(answer.body).get("rates")
        if answer.status != 200 or not isinstance(listed, list):  # noqa: PLR2004 - OK
            raise OfframpError(f"no rates: {verdict.of_error(answer)[1]}")
        found = [_rate(each) for each in listed if isinstance(each, dict) and each.get("code") in currencies]
        return [rate for rate in found if rate is not None]

    @property
    def webhooks(self) -> Mapping[str, str]:
        """One address for all payments."""
        return {WEBHOOK: "Treasury Portal > Developers > Webhooks, or POST /business/webhooks: without a state, so for all"}

    def attempt_of(self, request: CallbackRequest) -> str | None:
        """The sequenceId of a payment's webhook; None for a webhook about something else. Raises `ForgedCallback`."""
        body = self._verified(request)
        is_payment = str(body.get("event")).upper().startswith(("PAYMENT.", "SEND."))
        return text_of(body.get("sequenceId")) if is_payment else None

    def read_callback(self, request: CallbackRequest) -> Callback:
        """A webhook, signed. It tells no amount, and its signature has no time: a doorbell. Raises `ForgedCallback`."""
        body = self._verified(request)
        if body.get("sequenceId") != request.attempt_id:
            raise ForgedCallback("it names another payment")
        status = text_of(body.get("status"))
        if status is None:
            raise ForgedCallback("it has no status")
        means = status_meaning(status)
        if means.kind is Kind.PAID:
            report = verdict.unknown("paid, it says; how much is asked for")
        else:
            report = report_of(means, reason=means.text, provider_ref=text_of(body.get("id")))
        return Callback(event_id=event_id(request), attempt_id=request.attempt_id, report=report)

    def callback_answer(self) -> tuple[int, Mapping[str, object]]:
        """What a webhook that we have stored is answered with."""
        return 200, {}

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _seen(self, path: str, attempt_id: str, asset: Asset) -> Report:
        answer = await self._client.ask(path)
        payment = wire.Payment.read(answer)
        return verdict.unknown(verdict.of_error(answer)[1]) if payment is None else self._report(payment, attempt_id, asset)

    def _report(self, payment: wire.Payment, attempt_id: str, asset: Asset) -> Report:
        return verdict.of_payment(payment, attempt_id=attempt_id, asset=asset, failures=self._settings.failures)

    def _verified(self, request: CallbackRequest) -> dict[str, object]:
        """The body of a webhook that Yellow Card signed. Raises `ForgedCallback`."""
        if request.label != WEBHOOK:
            raise ForgedCallback(f"we gave Yellow Card no address labelled {request.label}")
        right = webhook_signature(secret=self._settings.secret_key.get_secret_value(), body=request.body)
        if not same(request.headers.get("x-yc-signature", ""), right):
            raise ForgedCallback("the signature is missing or wrong")
        try:
            return document(request.body)
        except Unreadable as error:
            raise ForgedCallback(str(error)) from None


def _rate(listed: Mapping[str, object]) -> RailRate | None:
    """One currency's rate; None if price or time can't be read."""
    told = money_of(listed.get("sell"), Asset("", FINEST))
    try:
        as_of = datetime.fromisoformat(str(listed.get("updatedAt")))
    except ValueError:
        return None
    if told is None or not told.units or as_of.tzinfo is None:
        return None
    return RailRate(base="USD", quote=str(listed.get("code")), price=Fraction(told.units, 10**FINEST), as_of=as_of)


def _held(account: Mapping[str, object]) -> Money | None:
    """What an account holds, cut to the currency's smallest unit; None for a currency that we don't know."""
    asset = ASSETS.get(str(account.get("currency")))
    available = money_of(account.get("available"), Asset("", FINEST))
    if asset is None or available is None:
        return None
    return Money.parse(decimal_of(Fraction(available.units, 10**FINEST), digits=asset.decimals), asset)


_offramp: type[Offramp] = YellowCard
_names_attempt: type[NamesAttempt] = YellowCard
_cancels: type[Cancels] = YellowCard
_holds_balance: type[HoldsBalance] = YellowCard
_looks_up_names: type[LooksUpNames] = YellowCard
_tells_rates: type[TellsRates] = YellowCard
