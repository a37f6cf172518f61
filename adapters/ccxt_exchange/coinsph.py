"""Coins.ph: a quote is locked, coins are sold by it, and the pesos go to a wallet or bank by InstaPay.

A quote moves nothing, so that another one does no harm. A sale has no id of ours; it is found by its quote's, which is known
before. The payment has ours (`internalOrderId`). What Coins.ph does with one that it knows isn't published: nothing is sent
twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from adapters.ccxt_exchange import cashout, codes
from adapters.ccxt_exchange.client import Client, Verb
from adapters.ccxt_exchange.market import needed
from adapters.ccxt_exchange.settings import BPS, PHP, ExchangeSettings
from gateway.legs import CoinTransfer, Leg, LegPlan, LegReport, PaysInLegs
from gateway.money import Money
from gateway.offramp import (
    AdapterContext,
    Capabilities,
    Corridor,
    Fault,
    HoldsBalance,
    Institution,
    Method,
    NotSent,
    OfframpError,
    Outcome,
    OutsideLimits,
    Resend,
)
from gateway.railkit.documents import document_or_empty, inner, money_of, text_of
from gateway.railkit.evidence import chosen
from gateway.railkit.http import Answer, NoAnswer, NotAsked
from gateway.railkit.limits import corridor_of
from gateway.railkit.meanings import OUTCOMES, Kind, Meaning, refuse_what_was_not_taken

QUOTE, SELL, WITHDRAW = "quote", "sell", "withdraw"
TICKER, ACCOUNT = "openapi/quote/v1/ticker/bookTicker", "openapi/v1/account"
GET_QUOTE, ACCEPT = "openapi/convert/v1/get-quote", "openapi/convert/v1/accept-quote"
HISTORY = "openapi/convert/v1/query-order-history"
CASH_OUT, DETAILS = "openapi/fiat/v1/cash-out", "openapi/fiat/v1/details"
PAGES_MOST, PAGE = 5, 100
CONCURRENCY = 4


class CoinsPh:
    """The adapter: one account at Coins.ph."""

    def __init__(self, context: AdapterContext, settings: ExchangeSettings) -> None:
        """Raises `BadSettings`."""
        self._settings = settings
        self._clock = context.clock
        self._client = Client(settings, provider="Coins.ph")
        self._capabilities = Capabilities(
            name=context.name,
            corridors=tuple(_corridors(settings)),
            resend=Resend.FINDABLE,
            settles_within=settings.settles_within,
            resend_within=settings.resend_within,
            answer_within=settings.answer_within,
            concurrency=CONCURRENCY,
        )

    @property
    def capabilities(self) -> Capabilities:
        """The Philippines, by InstaPay, to the centavo."""
        return self._capabilities

    @property
    def legs(self) -> tuple[LegPlan, ...]:
        """A quote, the sale by it and the payment; only the latter if we pay from pesos that lie there."""
        sale = (LegPlan(name=QUOTE, resend=Resend.DEDUPED), LegPlan(name=SELL)) if self._settings.sell else ()
        return (*sale, LegPlan(name=WITHDRAW))

    async def pay_leg(self, leg: Leg) -> LegReport:
        """Lock a price, sell, or pay."""
        account = self._checked(leg)
        if leg.name == QUOTE:
            return await self._quote(leg)
        return await (self._sell(leg) if leg.name == SELL else self._pay(leg, account))

    async def leg_status(self, leg: Leg) -> LegReport:
        """Ask by the quote's id, or by our own. Raises `NotAsked`."""
        if leg.name == QUOTE:
            return LegReport(outcome=Outcome.UNKNOWN, reason="a quote can't be asked for again")
        try:
            return await (self._sale(leg) if leg.name == SELL else self._payment(leg))
        except (NotSent, NoAnswer) as error:
            # Not as NotSent: that speaks of the leg, and this one may well have been made.
            raise NotAsked(f"the question failed: {error}") from None

    def coins(self, leg: Leg) -> CoinTransfer:
        """No leg of this adapter is on chain."""
        raise OfframpError(f"{leg.name} is made at Coins.ph")

    async def balance(self) -> tuple[Money, ...]:
        """`GET /openapi/v1/account`: pesos and coins that can be paid out or sold now."""
        answer = await self._private("GET", ACCOUNT)
        if (refused := cashout.refusal(answer, settings=self._settings)) is not None:
            raise NotAsked(f"{refused[0]}: {refused[1].text}")
        read = document_or_empty(answer.body).get("balances")
        held = {each.get("asset"): each for each in read or [] if isinstance(each, dict)}
        found = [money_of(held.get(asset.code, {}).get("free"), asset) for asset in (PHP, self._settings.asset)]
        if None in found:
            raise NotAsked("Coins.ph tells no balance that can be read")
        return tuple(money for money in found if money is not None)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    # -- the sale --------------------------------------------------------------------------------------------------------

    async def _quote(self, leg: Leg) -> LegReport:
        """Lock a price, if it isn't too far below the market's. Nothing of it moves money, so every failure is NotSent."""
        coin, now = self._settings.asset, self._clock()
        amount = max(needed(leg.payment.deliver, self._settings), Money.parse(self._settings.least_sale, PHP))
        try:
            ticker = await self._client.public(TICKER, {"symbol": f"{coin.code}{PHP.code}"})
            answer = await self._private("POST", GET_QUOTE, cashout.quote_query(coin=coin, amount=amount))
        except NoAnswer as error:
            raise NotSent(f"no quote: {error}") from None
        if (refused := cashout.refusal(answer, settings=self._settings)) is not None:
            raise NotSent(f"no quote: {refused[0]}", fault=refused[1].fault or Fault.TRANSIENT)
        read = inner(cashout.data(answer))
        best = cashout.price_of(document_or_empty(ticker.body), "bidPrice")
        price, quote = cashout.price_of(read, "price"), text_of(read.get("quoteId"))
        life = text_of(read.get("expiry"))
        if price is None or best is None or quote is None or life is None or not life.isdigit():
            raise NotSent("no quote that can be read, or no market price beside it")
        if price < best * (BPS - self._settings.slippage_most_bps) / BPS:
            raise NotSent("the quote is too far below the best price")
        expires = now + timedelta(seconds=int(life))
        facts = {"quote": quote, "expires": expires.isoformat()}
        return LegReport(outcome=Outcome.PAID, provider_ref=quote, facts=facts, evidence={"price": str(read.get("price"))})

    async def _sell(self, leg: Leg) -> LegReport:
        facts = leg.done[QUOTE].facts
        if self._clock() >= datetime.fromisoformat(facts["expires"]):
            return LegReport(outcome=Outcome.FAILED, fault=Fault.TRANSIENT, reason="the quote has run out")
        answer = await self._private("POST", ACCEPT, {"quoteId": facts["quote"]})
        if (refused := cashout.refusal(answer, settings=self._settings)) is not None:
            return _refused(*refused)
        try:
            found = await self._sale(leg)
        except OfframpError:
            found = LegReport(outcome=Outcome.UNKNOWN)
        order = text_of(inner(cashout.data(answer)).get("orderId"))
        return found if found.outcome is not Outcome.UNKNOWN else LegReport(outcome=Outcome.PENDING, provider_ref=order)

    async def _sale(self, leg: Leg) -> LegReport:
        """The sale of our quote, from the newest pages of the history."""
        quote = leg.done[QUOTE].facts["quote"]
        for page in range(1, PAGES_MOST + 1):
            answer = await self._private("POST", HISTORY, {"page": str(page), "size": str(PAGE)})
            if (refused := cashout.refusal(answer, settings=self._settings)) is not None:
                raise NotAsked(f"{refused[0]}: {refused[1].text}")
            listed = cashout.data(answer)
            listed = listed if isinstance(listed, list) else []
            ours = [each for each in listed if inner(each).get("quoteId") == quote]
            if ours:
                return self._sold(ours[0])
            if len(listed) < PAGE:
                break
        return LegReport(outcome=Outcome.UNKNOWN, reason="no sale by this quote is there")

    def _sold(self, read: Mapping[str, Any]) -> LegReport:
        word = text_of(read.get("status")) or "without a status"
        means, order = codes.meaning(codes.COINS_SALES, word), text_of(read.get("orderId"))
        gave, got = cashout.coins_of(read, self._settings.asset), money_of(read.get("targetAmount"), PHP)
        if means.kind is Kind.PAID and order is not None and gave is not None and got is not None:
            return LegReport(outcome=Outcome.PAID, provider_ref=order, gave=gave, got=got, evidence={"order": order})
        return _said(word, means, provider_ref=order)

    # -- the payment -----------------------------------------------------------------------------------------------------

    async def _pay(self, leg: Leg, account: str) -> LegReport:
        subject = self._settings.subjects[leg.payment.to.institution or ""]
        body = cashout.cash_out_body(leg, subject=subject, account=account)
        answer = await self._private("POST", CASH_OUT, body=body)
        if (refused := cashout.refusal(answer, settings=self._settings)) is not None:
            return _refused(*refused)
        order = text_of(inner(cashout.data(answer)).get("externalOrderId"))
        if order is None:
            return LegReport(outcome=Outcome.UNKNOWN, reason="an answer without an order")
        return LegReport(outcome=Outcome.PENDING, provider_ref=order, reason="taken")

    async def _payment(self, leg: Leg) -> LegReport:
        answer = await self._private("GET", DETAILS, {"internalOrderId": leg.leg_id})
        if (refused := cashout.refusal(answer, settings=self._settings)) is not None:
            raise NotAsked(f"{refused[0]}: {refused[1].text}")
        read = inner(cashout.data(answer))
        if read.get("internalOrderId") != leg.leg_id:
            return LegReport(outcome=Outcome.UNKNOWN, reason="no payment of this id is there")
        word, means = cashout.status_of(read)
        order, amount = text_of(read.get("externalOrderId")), money_of(read.get("fiatAmount"), PHP)
        evidence = chosen(read, cashout.KEPT)
        if means.kind is Kind.PAID and order is not None and amount is not None and read.get("fiatCurrency") == PHP.code:
            return LegReport(
                outcome=Outcome.PAID,
                provider_ref=order,
                receipt=text_of(read.get("paymentOrderId")) or order,
                gave=amount + Money.parse(self._settings.withdraw_fee, PHP),
                got=amount,
                evidence=evidence,
            )
        return _said(word, means, provider_ref=order, evidence=evidence)

    # -- parts -----------------------------------------------------------------------------------------------------------

    def _checked(self, leg: Leg) -> str:
        """The account as it is written. Raises `OutsideLimits`."""
        corridor_of(self._capabilities, leg.payment)
        account = cashout.account_of(leg.payment.to)
        if account is None:
            raise OutsideLimits(
                "InstaPay needs a mobile number as +639 and nine digits, or a bank account of 6 to 20 digits"
            )
        return account

    async def _private(
        self, verb: Verb, path: str, params: Mapping[str, str] | None = None, *, body: str | None = None
    ) -> Answer:
        def stale(answer: Answer) -> bool:
            refused = cashout.refusal(answer, settings=self._settings)
            return refused is not None and refused[1].kind is Kind.BAD_TOKEN

        return await self._client.private(verb, path, params, body=body, stale=stale)


def _corridors(settings: ExchangeSettings) -> list[Corridor]:
    """Wallets and banks, those of them that the settings name."""
    found = []
    for method, wallets in ((Method.MOBILE_MONEY, True), (Method.BANK, False)):
        names = [code for code in settings.subjects if cashout.is_wallet(code) is wallets]
        if names:
            found.append(
                Corridor(
                    country="PH",
                    method=method,
                    asset=PHP,
                    least=Money.parse(settings.least or "50.00", PHP),
                    most=Money.parse(settings.most or "50000.00", PHP),
                    step=Money(1, PHP),
                    institutions=tuple(Institution(code, code) for code in names),
                )
            )
    return found


def _refused(code: str, means: Meaning) -> LegReport:
    """What a refused request means for its leg. Raises `NotSent` for what was provably not taken."""
    refuse_what_was_not_taken(means, reason=f"{code}: {means.text}")
    return _said(code, means)


def _said(
    word: str, means: Meaning, *, provider_ref: str | None = None, evidence: Mapping[str, str] | None = None
) -> LegReport:
    outcome = OUTCOMES.get(means.kind, Outcome.UNKNOWN)
    return LegReport(
        outcome=outcome,
        provider_ref=provider_ref,
        fault=means.fault if outcome is Outcome.FAILED else None,
        reason=f"{word}: {means.text}",
        evidence=dict(evidence or {}),
    )


_in_legs: type[PaysInLegs] = CoinsPh
_holds_balance: type[HoldsBalance] = CoinsPh
