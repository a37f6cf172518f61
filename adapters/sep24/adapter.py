"""SEP-24: we order exactly so much cash at a firm quote, pay for it on Stellar, and pass the pick-up number on.

Five legs. "quote" asks for a firm price (SEP-38). "open" makes the order (SEP-24): until it is paid for it costs nothing.
"ready" waits until the anchor has what it needs of the person. "pay" sends one payment on Stellar, void after a known
moment. "deliver" sends nothing: it asks until the cash was taken or the coins are back.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Mapping
from datetime import timedelta
from typing import TypeVar
from urllib.parse import urlsplit

from adapters.sep24 import verdict, wire
from adapters.sep24.client import OK, Anchor, Horizon
from adapters.sep24.settings import Sep24Settings
from adapters.sep24.stellar import Order, Signed, is_signed_by, signed_payment
from gateway.legs import CoinTransfer, Leg, LegPlan, LegReport, PaysInLegs
from gateway.money import Money
from gateway.offramp import (
    AdapterContext,
    AttemptRef,
    Callback,
    CallbackRequest,
    CallsBack,
    Capabilities,
    Fault,
    ForgedCallback,
    HoldsBalance,
    Instruction,
    NotSent,
    OfframpError,
    Outcome,
    OutsideLimits,
    Report,
    Resend,
)
from gateway.railkit.documents import Unreadable, document, document_or_empty, inner, text_of
from gateway.railkit.evidence import clean, words
from gateway.railkit.http import NoAnswer, NotAsked, RailHttp
from gateway.railkit.keys import event_id, same
from gateway.railkit.limits import corridor_of
from gateway.railkit.meanings import Kind

CHANGE = "change"
"""How the label of a callback's address begins; the rest of it says for which of the anchor's transactions it is."""
PHONE = re.compile(r"\+[1-9][0-9]{6,14}")
FRESH = timedelta(seconds=120)
"""How old a callback's signature may be, and how far ahead its clock (SEP-24: 1 or 2 minutes)."""
CALLS_MOST = 6
"""So many calls one leg takes at most, with signing in."""
NOT_FOUND = 404
LEDGER_S = 6
"""How long until the next ledger is closed, in seconds."""
T = TypeVar("T")


class Sep24:
    """The adapter: one account on Stellar, one coin, one anchor."""

    def __init__(self, context: AdapterContext) -> None:
        """Raises `BadSettings`."""
        self._settings = settings = Sep24Settings.read(context.settings)
        self._clock = context.clock
        self._address = context.callback_address
        self._http = RailHttp(base_url="", answer_within_s=settings.answer_within_s, provider="the anchor or Stellar")
        self._anchor = Anchor(settings=settings, http=self._http, clock=context.clock)
        self._horizon = Horizon(settings=settings, http=self._http)
        self._paying = asyncio.Lock()
        self._capabilities = Capabilities(
            name=context.name,
            corridors=tuple(place.corridor() for place in settings.places),
            resend=Resend.FINDABLE,
            settles_within=settings.settles_within,
            resend_within=settings.resend_within,
            answer_within=settings.answer_within * CALLS_MOST,
        )

    @property
    def capabilities(self) -> Capabilities:
        """Cash in the settings' places. A payment on Stellar is found again by its memo."""
        return self._capabilities

    @property
    def legs(self) -> tuple[LegPlan, ...]:
        """Quote, open, ready, pay, deliver. Only "pay" moves anything."""
        return (
            LegPlan(name="quote", resend=Resend.DEDUPED),  # a quote that isn't used costs nothing
            LegPlan(name="open"),
            LegPlan(name="ready"),
            LegPlan(name="pay"),
            LegPlan(name="deliver"),
        )

    async def pay_leg(self, leg: Leg) -> LegReport:
        """Make one leg. Raises `NotSent` and `OutsideLimits`."""
        if leg.name == "quote":
            return await self._quote(leg)
        if leg.name == "open":
            return await self._open(leg)
        if leg.name == "pay":
            return await self._pay(leg)
        if leg.name == "ready":
            return await self._ready(leg)
        return LegReport(outcome=Outcome.PENDING, provider_ref=_opened(leg), reason="its coins are sent")

    async def leg_status(self, leg: Leg) -> LegReport:
        """Ask what became of a leg. Raises `OfframpError` for a question without an answer."""
        if leg.name == "quote":
            return await _asking(self._quote(leg))
        if leg.name == "open":
            return await self._find_opened(leg)
        if leg.name == "pay":
            return await self._find_paid(leg)
        if leg.name == "ready":
            return await self._ready(leg)
        shown = await self._look(leg, _opened(leg))
        if shown is None:
            return verdict.unknown("the anchor doesn't find the order that was paid for", provider_ref=_opened(leg))
        return verdict.of_cash(shown, leg, settings=self._settings)

    def coins(self, leg: Leg) -> CoinTransfer:
        """Never called: no leg is one of the core's own chain. Raises `OfframpError`."""
        raise OfframpError(f"{leg.name} sends nothing on an EVM chain")

    async def pay(self, instruction: Instruction) -> Report:
        """Never called: it pays in legs."""
        raise NotImplementedError(instruction.attempt_id)

    async def status(self, attempt: AttemptRef) -> Report:
        """Never called: it pays in legs."""
        raise NotImplementedError(attempt.attempt_id)

    async def balance(self) -> tuple[Money, ...]:
        """What our account on Stellar holds of the coin. Raises `OfframpError`."""
        _, held = await self._horizon.account()
        return (held,)

    def read_callback(self, request: CallbackRequest) -> Callback:
        """News of a transaction's status, signed by the anchor, fresh, and about the transaction of this address."""
        self._verify(request)
        try:
            shown = wire.Transaction.of(inner(document(request.body), "transaction"))
        except Unreadable as error:
            raise ForgedCallback(str(error)) from None
        if shown is None:
            raise ForgedCallback("it is about no transaction")
        if not same(request.label, _label(shown.id)):
            raise ForgedCallback("it is about another transaction")
        report = Report(outcome=Outcome.UNKNOWN, provider_ref=shown.id, reason=clean(f"told: {words(shown.status)}"))
        # Of a payment in legs only the answer to a question counts, therefore it never is proof.
        return Callback(event_id=event_id(request), attempt_id=request.attempt_id, report=report)

    def callback_answer(self) -> tuple[int, Mapping[str, object]]:
        """Any 2xx will do."""
        return 200, {}

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    def _verify(self, request: CallbackRequest) -> None:
        found = wire.signature_of(request.headers)
        if found is None:
            raise ForgedCallback("it isn't signed")
        time, signature = found
        if abs(request.received_at.timestamp() - time) > FRESH.total_seconds():
            raise ForgedCallback("its signature isn't fresh")
        payloads = wire.signed_payloads(time, self._address(request.attempt_id, request.label), request.body)
        if not any(is_signed_by(self._settings.signing_key, each, signature) for each in payloads):
            raise ForgedCallback("its signature isn't the anchor's")

    # -- before anything is paid -----------------------------------------------------------------------------------------

    async def _quote(self, leg: Leg) -> LegReport:
        payment = leg.payment
        corridor_of(self._capabilities, payment)
        if not PHONE.fullmatch(payment.to.account) or not payment.to.holder.strip():
            raise OutsideLimits("the recipient of cash has a phone number and a name")
        body = wire.quote_body(payment, settings=self._settings)
        try:
            answer = await self._anchor.post("quotes", wire.QUOTE, body, customer=self._customer(leg))
        except NoAnswer as error:
            return verdict.unknown(f"quoted or not, nothing is paid: {error}")
        return verdict.of_quote(answer, leg, settings=self._settings, now=self._clock())

    async def _open(self, leg: Leg) -> LegReport:
        quote_id, sell, _ = verdict.quoted(leg, self._settings.coin)
        body = wire.open_body(leg.payment, quote_id=quote_id, sell=sell, settings=self._settings)
        try:
            answer = await self._anchor.post("transfer", wire.OPEN, body, customer=self._customer(leg))
        except NoAnswer as error:
            return verdict.unknown(f"opened or not, nothing is paid: {error}")
        if answer.status != OK:
            return verdict.of_refusal(answer)
        fields = document_or_empty(answer.body)
        made = wire.Transaction.of({"id": fields.get("id"), "status": "incomplete"})
        if made is None:
            return verdict.unknown("the answer names no transaction")
        page = await self._page(leg, made.id, text_of(fields.get("url")))
        return verdict.of_opened(made.id, now=self._clock(), page=page)

    async def _page(self, leg: Leg, id_: str, url: str | None) -> str | None:
        """The page for the person, told where to call us. Fetched by ourselves only if the anchor needs nobody there."""
        if url is None or urlsplit(url).scheme not in {"https", urlsplit(self._settings.base_url).scheme}:
            return None
        page = wire.page_url(wire.with_callback(url, self._address(leg.payment.attempt_id, _label(id_))))
        if page is None:
            return None
        if self._settings.opens_page:
            await self._anchor.open_page(page)
        return page

    async def _find_opened(self, leg: Leg) -> LegReport:
        """The order with our quote, out of the recipient's own. One that isn't there is never paid for."""
        quote_id, _, expires_at = verdict.quoted(leg, self._settings.coin)
        query = {"asset_code": self._settings.asset_code, "kind": "withdrawal", "limit": str(wire.LISTED_MOST)}
        answer = await self._anchor.ask(wire.ALL, query, customer=self._customer(leg))
        listed = document_or_empty(answer.body).get("transactions")
        if answer.status != OK or not isinstance(listed, list):
            raise NotAsked(f"no list of transactions: HTTP {answer.status}")
        shown = [wire.Transaction.of(each) for each in listed if isinstance(each, dict)]
        ours = [each for each in shown if each is not None and each.text("quote_id") == quote_id]
        if ours:
            return verdict.of_opened(ours[0].id, now=self._clock(), page=wire.page_url(ours[0].text("more_info_url")))
        if self._clock() >= expires_at:
            return verdict.failed("never opened, and its quote ran out", Fault.TRANSIENT)
        return verdict.unknown("no transaction has our quote")

    async def _ready(self, leg: Leg) -> LegReport:
        shown = await self._look(leg, _opened(leg))
        if shown is None:
            return verdict.unknown("the anchor doesn't find the order", provider_ref=_opened(leg))
        return verdict.of_unpaid(shown, leg, settings=self._settings, now=self._clock())

    # -- the payment -----------------------------------------------------------------------------------------------------

    async def _pay(self, leg: Leg) -> LegReport:
        """Look whether it was paid; if not, send one transaction. Raises `NotSent` only for what can never be applied."""
        order = verdict.order_of(leg, self._settings.coin)
        found = await _before(self._horizon.find(order))
        if found is not None:
            return verdict.of_payment(found, is_right=self._horizon.is_right(found, order))
        async with self._paying:
            return await self._send(order)

    async def _send(self, order: Order) -> LegReport:
        """One transaction. Others of this process wait: the next sequence number is known when this one is applied."""
        sequence, held = await _before(self._horizon.account())
        if held < order.amount:
            raise NotSent("our account on Stellar holds too little", fault=Fault.FLOAT)
        if self._clock().timestamp() >= order.pay_by:
            return verdict.failed("too late: nothing was sent", Fault.TRANSIENT)
        signed = signed_payment(order, sequence=sequence, settings=self._settings)
        try:
            answer = await self._horizon.submit(signed.envelope)
        except NoAnswer as error:
            return verdict.unknown(str(error), provider_ref=signed.hash)
        means, report = verdict.of_submission(answer, signed.hash)
        return await self._used(signed, report) if means.kind is Kind.DUPLICATE else report

    async def _used(self, signed: Signed, report: LegReport) -> LegReport:
        """Our sequence number is used already: see by whom, now and when the next ledger is closed. Raises `NotSent`."""
        for pause_s in (0, LEDGER_S):
            await asyncio.sleep(pause_s)
            try:
                used_by = await self._horizon.used_by(signed.sequence)
            except OfframpError:
                return report
            if used_by is not None:
                break
        return verdict.of_used(used_by, signed.hash, otherwise=report)

    async def _find_paid(self, leg: Leg) -> LegReport:
        """Our payment by its memo. Not found is final only when a ledger was closed after the transaction's end."""
        order = verdict.order_of(leg, self._settings.coin)
        closed_at = await self._horizon.closed_at()
        found = await self._horizon.find(order)
        if found is not None:
            return verdict.of_payment(found, is_right=self._horizon.is_right(found, order))
        if verdict.is_void(order, closed_at=closed_at):
            return verdict.failed("never applied, and void by now", Fault.TRANSIENT)
        return verdict.unknown("not on our account yet, and still valid", provider_ref=leg.provider_ref)

    # -- asking ----------------------------------------------------------------------------------------------------------

    def _customer(self, leg: Leg) -> int:
        return self._anchor.customer(leg.payment.to.account)

    async def _look(self, leg: Leg, id_: str) -> wire.Transaction | None:
        """The transaction with this id; None if the anchor finds none. Raises `OfframpError`."""
        answer = await self._anchor.ask(wire.ONE, {"id": id_, "lang": "en"}, customer=self._customer(leg))
        shown = wire.Transaction.of(inner(document_or_empty(answer.body), "transaction")) if answer.status == OK else None
        if shown is None and answer.status != NOT_FOUND:
            raise NotAsked(f"no answer about the transaction: HTTP {answer.status}")
        if shown is not None and shown.id != id_:
            raise NotAsked("the answer is about another transaction")
        return shown


def _opened(leg: Leg) -> str:
    """The anchor's id of the order. Raises `OfframpError`."""
    opened = leg.done.get("open")
    if opened is None or opened.provider_ref is None:
        raise OfframpError("there is no order")
    return opened.provider_ref


def _label(id_: str) -> str:
    """Of the address for news of one of the anchor's transactions; its ids have only characters that fit an address."""
    return f"{CHANGE}-{id_}"


async def _before(question: Awaitable[T]) -> T:
    """The answer to a question before anything is sent: without it nothing is. Raises `NotSent`."""
    try:
        return await question
    except OfframpError as error:
        raise NotSent(str(error)) from None


async def _asking(request: Awaitable[LegReport]) -> LegReport:
    """A request that moves nothing, made to ask: it never says "not sent". Raises `NotAsked`."""
    try:
        return await request
    except NotSent as error:
        raise NotAsked(str(error)) from None


_in_legs: type[PaysInLegs] = Sep24
_calls_back: type[CallsBack] = Sep24
_holds_balance: type[HoldsBalance] = Sep24
