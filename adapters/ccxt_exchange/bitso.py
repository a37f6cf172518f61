"""Bitso: coins are sold for pesos, and the pesos go to a CLABE by SPEI.

A sale and a withdrawal each have an id of ours on the wire (`origin_id`), by which they are found again. Bitso rejects an id
that it knows, with a code that it doesn't publish: so nothing is sent twice, and what became of it is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapters.ccxt_exchange import codes, spei, webhooks
from adapters.ccxt_exchange.client import Client, Verb
from adapters.ccxt_exchange.market import to_sell
from adapters.ccxt_exchange.settings import MXN, ExchangeSettings
from gateway.legs import CoinTransfer, Leg, LegPlan, LegReport, PaysInLegs
from gateway.money import Money
from gateway.offramp import (
    AdapterContext,
    Callback,
    CallbackRequest,
    Capabilities,
    Corridor,
    Fault,
    ForgedCallback,
    HoldsBalance,
    Method,
    NamesAttempt,
    NotSent,
    OfframpError,
    Outcome,
    OutsideLimits,
    Report,
    Resend,
)
from gateway.prices import KeepsOrderBook, OrderBook
from gateway.railkit.documents import inner, money_of, text_of
from gateway.railkit.evidence import chosen
from gateway.railkit.http import Answer, NoAnswer, NotAsked
from gateway.railkit.keys import event_id
from gateway.railkit.limits import corridor_of
from gateway.railkit.meanings import OUTCOMES, Kind, Meaning, refuse_what_was_not_taken

SELL, WITHDRAW = "sell", "withdraw"
WEBHOOK = "withdrawals"
CONCURRENCY = 4
"""Signed requests go one after the other: each needs a higher nonce than the one before."""
LISTED_MOST = "100"


class Bitso:
    """The adapter: one account at Bitso."""

    def __init__(self, context: AdapterContext, settings: ExchangeSettings) -> None:
        """Raises `BadSettings`."""
        self._settings = settings
        self._client = Client(settings, provider="Bitso")
        self._book = f"{settings.coin.lower()}_mxn"
        self._capabilities = Capabilities(
            name=context.name,
            corridors=(
                Corridor(
                    country="MX",
                    method=Method.BANK,
                    asset=MXN,
                    least=Money.parse(settings.least or "10.00", MXN),
                    most=Money.parse(settings.most or "100000.00", MXN),
                    step=Money(1, MXN),
                ),
            ),
            resend=Resend.FINDABLE,
            settles_within=settings.settles_within,
            resend_within=settings.resend_within,
            answer_within=settings.answer_within,
            returns_within=settings.returns_within,
            concurrency=CONCURRENCY,
        )

    @property
    def capabilities(self) -> Capabilities:
        """Mexico, any CLABE but Nvio's, to the centavo."""
        return self._capabilities

    @property
    def legs(self) -> tuple[LegPlan, ...]:
        """A sale and a withdrawal; only the latter if we pay from pesos that lie there."""
        sale = (LegPlan(name=SELL),) if self._settings.sell else ()
        return (*sale, LegPlan(name=WITHDRAW))

    async def pay_leg(self, leg: Leg) -> LegReport:
        """Sell, or withdraw."""
        self._refuse_outside(leg)
        return await (self._sell(leg) if leg.name == SELL else self._withdraw(leg))

    async def leg_status(self, leg: Leg) -> LegReport:
        """Ask by our own id. Raises `NotAsked`."""
        try:
            return await (self._sale(leg) if leg.name == SELL else self._withdrawal(leg))
        except (NotSent, NoAnswer) as error:
            # Not as NotSent: that speaks of the leg, and this one may well have been made.
            raise NotAsked(f"the question failed: {error}") from None

    def coins(self, leg: Leg) -> CoinTransfer:
        """No leg of this adapter is on chain."""
        raise OfframpError(f"{leg.name} is made at Bitso")

    async def balance(self) -> tuple[Money, ...]:
        """`GET /v3/balance`: pesos and coins that can be paid out or sold now."""
        read = await self._ask("GET", "balance")
        held = {each.get("currency"): each for each in inner(read).get("balances", []) if isinstance(each, dict)}
        assets = (MXN, self._settings.asset)
        found = [money_of(held.get(asset.code.lower(), {}).get("available"), asset) for asset in assets]
        if None in found:
            raise NotAsked("Bitso tells no balance that can be read")
        return tuple(money for money in found if money is not None)

    async def order_book(self) -> OrderBook:
        """`GET /v3/order_book`: the bids for our coin, as old as `updated_at` says. Raises `NotAsked`."""
        try:
            answer = await self._client.public("order_book", {"book": self._book})
        except (NotSent, NoAnswer) as error:
            raise NotAsked(f"no order book: {error}") from None
        refused, as_of = spei.refusal(answer, settings=self._settings), spei.updated_at(answer)
        if refused is not None or as_of is None:
            raise NotAsked(f"no order book: {refused[0] if refused else 'it has no time'}")
        return OrderBook(base=self._settings.coin, quote=MXN.code, bids=tuple(spei.bids(answer)), as_of=as_of)

    @property
    def webhooks(self) -> Mapping[str, str]:
        """One address, for all withdrawals."""
        return {WEBHOOK: "Bitso's API: Create webhook subscriptions, event withdrawal"}

    def attempt_of(self, request: CallbackRequest) -> str | None:
        """The attempt of the withdrawal that a signed body is about. Raises `ForgedCallback`."""
        return webhooks.attempt_of(self._verified(request))

    def read_callback(self, request: CallbackRequest) -> Callback:
        """Verify and read. Never proof: legs are always asked about. Raises `ForgedCallback`."""
        read = self._verified(request)
        if webhooks.attempt_of(read) != request.attempt_id:
            raise ForgedCallback("it is about another payment")
        word, means = spei.status_of(read)
        outcome = Outcome.UNKNOWN if means.kind is Kind.PAID else OUTCOMES[means.kind]
        fault = means.fault if outcome is Outcome.FAILED else None
        report = Report(outcome=outcome, fault=fault, reason=f"{word}: {means.text}", evidence=_evidence(read))
        return Callback(event_id=event_id(request), attempt_id=request.attempt_id, report=report)

    def callback_answer(self) -> tuple[int, Mapping[str, object]]:
        """Any 2xx."""
        return 200, {"received": True}

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    # -- the sale --------------------------------------------------------------------------------------------------------

    async def _sell(self, leg: Leg) -> LegReport:
        try:
            book = await self._client.public("order_book", {"book": self._book})
        except NoAnswer as error:
            raise NotSent(f"no order book: {error}") from None
        if spei.refusal(book, settings=self._settings) is not None:
            raise NotSent("no order book")
        coins = to_sell(spei.bids(book), deliver=leg.payment.deliver, settings=self._settings)
        answer = await self._private("POST", "orders", spei.order_body(leg, book=self._book, coins=coins))
        if (refused := spei.refusal(answer, settings=self._settings)) is not None:
            return _refused(*refused)
        order = text_of(inner(spei.payload(answer)).get("oid"))
        if order is None:
            return LegReport(outcome=Outcome.UNKNOWN, reason="an answer without an order")
        try:
            # A market order is usually sold by now; if not, or if it can't be asked about, it is asked about later.
            found = await self._sale(leg)
        except OfframpError:
            found = LegReport(outcome=Outcome.UNKNOWN)
        return found if found.outcome is Outcome.PAID else LegReport(outcome=Outcome.PENDING, provider_ref=order)

    async def _sale(self, leg: Leg) -> LegReport:
        """What an order has come to. First whether it is still open: what is sold between the questions isn't lost then."""
        listed = await self._ask("GET", "orders", {"origin_ids": leg.leg_id})
        trades = await self._ask("GET", "order_trades", {"origin_id": leg.leg_id})
        orders = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
        means = codes.meaning(codes.BITSO_ORDERS, text_of(orders[0].get("status")) or "") if orders else None
        if means is not None and means.kind in (Kind.ACCEPTED, Kind.AMBIGUOUS):
            return LegReport(outcome=OUTCOMES[means.kind], reason=means.text, provider_ref=text_of(orders[0].get("oid")))
        found = spei.fills(trades if isinstance(trades, list) else [], coin=self._settings.asset)
        if found is not None:
            return LegReport(
                outcome=Outcome.PAID,
                provider_ref=found.order,
                gave=found.sold,
                got=found.brought,
                fee=found.fee,
                evidence={"order": found.order, "trades": str(len(trades))},
            )
        if means is not None and means.kind is Kind.FAILED and trades == []:
            return LegReport(outcome=Outcome.FAILED, fault=means.fault, reason=means.text)
        return LegReport(outcome=Outcome.UNKNOWN, reason="neither an order nor a trade of this id is there")

    # -- the withdrawal --------------------------------------------------------------------------------------------------

    async def _withdraw(self, leg: Leg) -> LegReport:
        answer = await self._private("POST", "withdrawals", spei.withdrawal_body(leg))
        refused = spei.refusal(answer, settings=self._settings)
        return _refused(*refused) if refused is not None else self._read(spei.payload(answer), leg)

    async def _withdrawal(self, leg: Leg) -> LegReport:
        if leg.provider_ref is not None:
            read = await self._ask("GET", f"withdrawals/{leg.provider_ref}")
        else:
            read = await self._ask("GET", "withdrawals", {"origin_id": leg.leg_id}, version="spei/v1")
        listed = read if isinstance(read, list) else [read]
        ours = [each for each in listed if inner(each, "details").get("origin_id") == leg.leg_id]
        if not ours:
            return LegReport(outcome=Outcome.UNKNOWN, reason="no withdrawal of this id is there")
        report = self._read(ours[0], leg)
        return await self._unless_returned(report) if report.outcome is Outcome.PAID else report

    async def _unless_returned(self, report: LegReport) -> LegReport:
        """A bank that can't credit a payment sends it back: it comes as a funding that names the trace of ours."""
        fundings = await self._ask("GET", "fundings", {"limit": LISTED_MOST})
        for each in fundings if isinstance(fundings, list) else []:
            details = inner(each, "details")
            back = spei.amount_of(each) == report.got and report.receipt in details.values()
            if report.receipt is not None and back and each.get("status") == "complete":
                return LegReport(
                    outcome=Outcome.RETURNED,
                    provider_ref=report.provider_ref,
                    fault=Fault.RECIPIENT,
                    reason="the bank sent it back by SPEI",
                    evidence={**report.evidence, "funding": text_of(each.get("fid")) or ""},
                )
        return report

    def _read(self, read: Any, leg: Leg) -> LegReport:
        read = inner(read)
        word, means = spei.status_of(read)
        wid, amount = text_of(read.get("wid")), spei.amount_of(read)
        receipt, evidence = text_of(inner(read, "details").get("clave_de_rastreo")), _evidence(read)
        if means.kind is Kind.PAID and wid is not None and amount is not None:
            gave = amount + Money.parse(self._settings.withdraw_fee, MXN)
            return LegReport(
                outcome=Outcome.PAID, provider_ref=wid, receipt=receipt, gave=gave, got=amount, evidence=evidence
            )
        outcome = OUTCOMES.get(means.kind, Outcome.UNKNOWN)
        fault = means.fault if outcome is Outcome.FAILED else None
        return LegReport(
            outcome=outcome,
            provider_ref=wid or leg.provider_ref,
            fault=fault,
            reason=f"{word}: {means.text}",
            evidence=evidence,
        )

    # -- parts -----------------------------------------------------------------------------------------------------------

    def _refuse_outside(self, leg: Leg) -> None:
        corridor_of(self._capabilities, leg.payment)
        account = leg.payment.to.account
        if not spei.is_clabe(account):
            raise OutsideLimits("SPEI needs a CLABE: 18 digits, of which the last one checks the others")
        if account.startswith(spei.NVIO):
            raise OutsideLimits("a CLABE that begins with 710 is Nvio's and can't be reached by SPEI")

    async def _private(
        self, verb: Verb, path: str, params: Mapping[str, str] | None = None, *, version: str | None = None
    ) -> Answer:
        return await self._client.private(verb, path, params, version=version, stale=self._is_stale)

    def _is_stale(self, answer: Answer) -> bool:
        refused = spei.refusal(answer, settings=self._settings)
        return refused is not None and refused[1].kind is Kind.BAD_TOKEN

    async def _ask(
        self, verb: Verb, path: str, params: Mapping[str, str] | None = None, *, version: str | None = None
    ) -> Any:
        """The payload of an answer; none for what isn't found. Raises `NotAsked`, and as `Client.private` does."""
        answer = await self._private(verb, path, params, version=version)
        if (refused := spei.refusal(answer, settings=self._settings)) is not None:
            if refused[0] == spei.NOT_FOUND:
                return None
            raise NotAsked(f"{refused[0]}: {refused[1].text}")
        return spei.payload(answer)

    def _verified(self, request: CallbackRequest) -> dict[str, Any]:
        if request.label != WEBHOOK:
            raise ForgedCallback(f"we gave Bitso no address labelled {request.label}")
        return webhooks.verified(request, keys=self._settings.webhook_keys)


def _refused(code: str, means: Meaning) -> LegReport:
    """What a refused request means for its leg. Raises `NotSent` for what was provably not taken."""
    reason = f"{code}: {means.text}"
    refuse_what_was_not_taken(means, reason=reason)
    outcome = OUTCOMES[means.kind]
    return LegReport(outcome=outcome, fault=means.fault if outcome is Outcome.FAILED else None, reason=reason)


def _evidence(read: Mapping[str, Any]) -> dict[str, str]:
    return {**chosen(read, spei.KEPT), **chosen(inner(read, "details"), spei.KEPT_DETAILS)}


_in_legs: type[PaysInLegs] = Bitso
_holds_balance: type[HoldsBalance] = Bitso
_names_attempt: type[NamesAttempt] = Bitso
_keeps_order_book: type[KeepsOrderBook] = Bitso
