"""Paycrest: we order a delivery of exactly so much local money, send the coins that the order names, and its providers pay.

Three legs. "order" asks for an address and a rate; unfunded, an order costs nothing and expires. "fund" is the core's: it
sends exactly what the order names, in time. "deliver" sends nothing: it asks until the recipient has the money or the coins
are back at our own address.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import count

from adapters.paycrest import verdict, wire
from adapters.paycrest.client import Client, webhook_signature
from adapters.paycrest.codes import REFUSED_PAYLOAD, Place, order_meaning
from adapters.paycrest.countries import corridors, institution, is_account
from adapters.paycrest.settings import PaycrestSettings
from gateway.legs import CoinTransfer, Leg, LegPlan, LegReport, PaysInLegs, attempt_of_leg
from gateway.money import decimal_of
from gateway.offramp import (
    AdapterContext,
    AttemptRef,
    Callback,
    CallbackRequest,
    Capabilities,
    Destination,
    ForgedCallback,
    Holder,
    Instruction,
    LooksUpNames,
    NamesAttempt,
    Offramp,
    OfframpError,
    Outcome,
    OutsideLimits,
    Report,
    Resend,
)
from gateway.prices import RailRate, TellsRates
from gateway.railkit.documents import Unreadable, document, document_or_empty, inner, money_of, text_of
from gateway.railkit.evidence import clean
from gateway.railkit.http import NoAnswer
from gateway.railkit.keys import same
from gateway.railkit.limits import corridor_of
from gateway.railkit.meanings import Kind, refuse_what_was_not_taken, report_of

WEBHOOK = "webhook"
"""The label of the one address that Paycrest calls."""
PAGE_SIZE, PAGES_MOST = 100, 50
"""How far back an order is looked for by its reference: the list has no filter for it."""
NO_NAME = "OK"
"""What verify-account says of a good account whose holder it doesn't tell."""


class Paycrest:
    """The adapter: one sender, one token on one chain."""

    def __init__(self, context: AdapterContext) -> None:
        """Raises `BadSettings`."""
        self._settings = settings = PaycrestSettings.read(context.settings)
        self._clock = context.clock
        self._client = Client(settings=settings)
        self._capabilities = Capabilities(
            name=context.name,
            corridors=corridors(settings.countries, settings.limits),
            resend=Resend.DEDUPED,
            settles_within=settings.settles_within,
            resend_within=settings.resend_within,
            answer_within=settings.answer_within * 2,
        )

    @property
    def capabilities(self) -> Capabilities:
        """Its countries, in whole units. A reference that it has seen is refused."""
        return self._capabilities

    @property
    def legs(self) -> tuple[LegPlan, ...]:
        """Order, fund, deliver."""
        return (
            LegPlan(name="order", resend=Resend.DEDUPED),
            LegPlan(name="fund", on_chain=True),
            LegPlan(name="deliver", resend=Resend.FINDABLE),
        )

    async def pay_leg(self, leg: Leg) -> LegReport:
        """Make the order; of the last leg, nothing: with the coins sent, all that is left is to ask.

        Raises `NotSent` and `OutsideLimits` for the order.
        """
        if leg.name == "order":
            return await self._order(leg)
        return LegReport(outcome=Outcome.PENDING, provider_ref=self._placed(leg), reason="its coins are sent")

    async def leg_status(self, leg: Leg) -> LegReport:
        """Ask what became of the order, or of its delivery. Raises `OfframpError` for a question without an answer."""
        if leg.name == "order":
            order = await self._look(leg.provider_ref) if leg.provider_ref else await self._find(leg.leg_id)
            return verdict.unknown("no order is found") if order is None else self._ordered(order, leg)
        order = await self._look(self._placed(leg))
        if order is None:
            return verdict.unknown("the order is not found")
        return verdict.of_delivery(order, leg, settings=self._settings)

    def coins(self, leg: Leg) -> CoinTransfer:
        """Exactly what the order names, to its own address, before it ends. Raises `OfframpError`."""
        return verdict.transfer_of(leg, settings=self._settings)

    async def pay(self, instruction: Instruction) -> Report:
        """Never called: it pays in legs."""
        raise NotImplementedError(instruction.attempt_id)

    async def status(self, attempt: AttemptRef) -> Report:
        """Never called: it pays in legs."""
        raise NotImplementedError(attempt.attempt_id)

    async def look_up(self, to: Destination) -> Holder:
        """Whose account it is, where the corridor tells. Raises `OfframpError`."""
        theirs = institution(to.country, to.method, to.institution, self._settings.institutions)
        if theirs is None:
            raise OfframpError("this bank or wallet is not in our table")
        body = {"institution": theirs, "accountIdentifier": wire.account(to.account)}
        answer = await self._client.ask(wire.VERIFY, body)
        if answer.status in REFUSED_PAYLOAD:
            return Holder(can_receive=False)
        name = text_of(document_or_empty(answer.body).get("data"))
        if answer.status != 200 or name is None:  # noqa: PLR2004 - OK
            raise OfframpError(f"no name: {verdict.of_error(answer)[1]}")
        return Holder(name=None if name == NO_NAME else name, can_receive=True)

    async def rates(self, currencies: Sequence[str], *, size: Fraction) -> Sequence[RailRate]:
        """`GET /rates/{network}/{token}/{amount}/{fiat}`, side sell, asked per currency. Raises `OfframpError`."""
        ours = {corridor.asset.code for corridor in self._capabilities.corridors}
        found = [await self._rate(currency, size) for currency in currencies if currency in ours]
        return [rate for rate in found if rate is not None]

    async def _rate(self, currency: str, size: Fraction) -> RailRate | None:
        """What it pays for one coin now, if it pays in this currency at all."""
        settings, amount = self._settings, decimal_of(size, digits=self._settings.token_decimals)
        answer = await self._client.ask(wire.RATES.format(settings.network, settings.token, amount, currency))
        told = money_of(inner(document_or_empty(answer.body), "data", "sell").get("rate"), wire.FINEST)
        if answer.status != 200 or told is None or not told.units:  # noqa: PLR2004 - OK
            return None
        price = Fraction(told.units, 10**wire.FINEST.decimals)
        return RailRate(base=settings.token, quote=currency, price=price, as_of=self._clock())

    @property
    def webhooks(self) -> Mapping[str, str]:
        """One address for all orders."""
        return {WEBHOOK: "Sender Dashboard (app.paycrest.io) > Settings > Webhook URL"}

    def attempt_of(self, request: CallbackRequest) -> str | None:
        """The attempt whose leg is the order's reference; None for an order of another origin. Raises `ForgedCallback`."""
        return attempt_of_leg(text_of(inner(self._verified(request), "data").get("reference")) or "")

    def read_callback(self, request: CallbackRequest) -> Callback:
        """A webhook, signed; its signature has no time, and it tells no amount of local money: a doorbell."""
        body = self._verified(request)
        order, event = wire.Order.of(inner(body, "data")), text_of(body.get("event"))
        if order is None or event is None:
            raise ForgedCallback("it is about no order")
        if attempt_of_leg(order.reference or "") != request.attempt_id:
            raise ForgedCallback("it names another payment")
        means = order_meaning(Place.FUNDED, order.status)
        if means.kind is Kind.PAID:
            means = means._replace(kind=Kind.ACCEPTED)  # until it has told us how much
        report = report_of(means, reason=clean(f"{event}: {means.text}"), provider_ref=order.id)
        # Each news comes once per order and status; a repeated delivery is the same bytes with the same ids.
        event_id = clean(f"{order.id}/{event}/{order.status}")
        return Callback(event_id=event_id, attempt_id=request.attempt_id, report=report)

    def callback_answer(self) -> tuple[int, Mapping[str, object]]:
        """Any 2xx stops the repetitions."""
        return 200, {}

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _order(self, leg: Leg) -> LegReport:
        payment, to = leg.payment, leg.payment.to
        corridor_of(self._capabilities, payment)
        theirs = institution(to.country, to.method, to.institution, self._settings.institutions)
        if theirs is None or not is_account(to.country, to.method, to.account):
            raise OutsideLimits(f"that is no account number of {to.method} in {to.country}")
        body = wire.order_body(payment, reference=leg.leg_id, institution=theirs, settings=self._settings)
        try:
            answer = await self._client.post(wire.ORDERS, body)
        except NoAnswer as error:
            return verdict.unknown(f"ordered or not, no coins were sent: {error}")
        order = wire.Order.read(answer)
        if order is not None:
            return self._ordered(order, leg)
        means, sentence = verdict.of_error(answer)
        if means.kind is Kind.DUPLICATE:
            earlier = await self._find(leg.leg_id)
            return verdict.unknown(f"not found: {sentence}") if earlier is None else self._ordered(earlier, leg)
        refuse_what_was_not_taken(means, reason=sentence)
        return verdict.unknown(sentence)

    def _placed(self, leg: Leg) -> str:
        """Paycrest's id of the order that the legs before this one made. Raises `OfframpError`."""
        placed = leg.done.get("order")
        if placed is None or placed.provider_ref is None:
            raise OfframpError("there is no order")
        return placed.provider_ref

    def _ordered(self, order: wire.Order, leg: Leg) -> LegReport:
        return verdict.of_order(order, leg, settings=self._settings, now=self._clock())

    async def _look(self, order_id: str) -> wire.Order | None:
        """The order with this id of Paycrest's; None if the answer shows none. Raises `OfframpError`."""
        answer = await self._client.ask(wire.ORDER.format(order_id))
        order = wire.Order.read(answer)
        if order is None and answer.status != 404:  # noqa: PLR2004 - not found
            raise OfframpError(f"no answer about the order: {verdict.of_error(answer)[1]}")
        return order

    async def _find(self, reference: str) -> wire.Order | None:
        """The order with this reference, by paging the list. Raises `OfframpError` if any page can't be had."""
        for page in count(1):
            answer = await self._client.ask(wire.PAGE.format(page, PAGE_SIZE))
            data = inner(document_or_empty(answer.body), "data")
            listed, total = data.get("orders"), data.get("total")
            if answer.status != 200 or not isinstance(listed, list) or not isinstance(total, int):  # noqa: PLR2004 - OK
                raise OfframpError(f"no list of orders: {verdict.of_error(answer)[1]}")
            orders = [wire.Order.of(each) for each in listed if isinstance(each, dict)]
            found = [each for each in orders if each is not None and each.reference == reference]
            if found:
                return found[0]
            if page * PAGE_SIZE >= total or not listed or page >= PAGES_MOST:
                break
        return None

    def _verified(self, request: CallbackRequest) -> dict[str, object]:
        """The body of a webhook that Paycrest signed. Raises `ForgedCallback`."""
        if request.label != WEBHOOK:
            raise ForgedCallback(f"we gave Paycrest no address labelled {request.label}")
        right = webhook_signature(secret=self._settings.api_secret.get_secret_value(), body=request.body)
        if not same(request.headers.get("x-paycrest-signature", "").strip().lower(), right):
            raise ForgedCallback("the signature is missing or wrong")
        try:
            return document(request.body)
        except Unreadable as error:
            raise ForgedCallback(str(error)) from None


_offramp: type[Offramp] = Paycrest
_pays_in_legs: type[PaysInLegs] = Paycrest
_names_attempt: type[NamesAttempt] = Paycrest
_looks_up_names: type[LooksUpNames] = Paycrest
_tells_rates: type[TellsRates] = Paycrest
