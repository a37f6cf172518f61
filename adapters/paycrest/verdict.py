"""What Paycrest's answers mean for a leg of ours."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any, NamedTuple

from adapters.paycrest import wire
from adapters.paycrest.codes import Place, error_meaning, order_meaning
from adapters.paycrest.settings import PaycrestSettings, is_address
from gateway.legs import CoinTransfer, Leg, LegReport, attempt_of_leg
from gateway.money import Money, MoneyError
from gateway.offramp import Fault, Instruction, OfframpError, Outcome
from gateway.railkit.documents import inner, money_of, text_of
from gateway.railkit.evidence import chosen, clean, words
from gateway.railkit.http import Answer
from gateway.railkit.meanings import OUTCOMES, Kind, Meaning

KEPT = (
    "id", "status", "reference", "orderType", "amount", "rate", "senderFee", "transactionFee", "amountPaid",
    "amountReturned", "txHash", "timestamp", "createdAt", "updatedAt",
)  # fmt: skip
"""What is kept of an order as evidence."""


class Problem(NamedTuple):
    """Why an order isn't funded. Unfunded it costs nothing: it expires."""

    fault: Fault
    reason: str


def unknown(reason: str) -> LegReport:
    """Nobody knows: ask."""
    return LegReport(outcome=Outcome.UNKNOWN, reason=clean(reason))


def of_error(answer: Answer) -> tuple[Meaning, str]:
    """What an error means, and the sentence to tell it by."""
    field, message = wire.refused_field(answer)
    return error_meaning(answer.status, field), clean(f"HTTP {answer.status} {field or ''}: {words(message)}")


def of_order(order: wire.Order, leg: Leg, *, settings: PaycrestSettings, now: datetime) -> LegReport:
    """What an order means for the leg that makes it: PAID if its coins may be sent, or have been seen."""
    evidence = chosen(order.fields, KEPT)
    if order.reference != leg.leg_id:
        return _told(Outcome.UNKNOWN, order, "the answer names another order")
    means = order_meaning(Place.ORDER, order.status)
    if means.kind is not Kind.PAID:
        return _plain(means, order)
    problem = _problem(order, leg.payment, settings=settings, now=now)
    if problem is not None:
        return _told(Outcome.FAILED, order, f"not funded: {problem.reason}", fault=problem.fault)
    account = inner(order.fields, "providerAccount")
    transfer, until = _transfer(order, settings), order.valid_until()
    assert transfer is not None
    assert until is not None
    facts = {"address": account["receiveAddress"], "transfer": transfer.decimal(), "valid_until": until.isoformat()}
    return LegReport(
        outcome=Outcome.PAID,
        provider_ref=order.id,
        facts=facts,
        reason=clean(f"{order.status}: {means.text}"),
        evidence=evidence,
    )


def of_delivery(order: wire.Order, leg: Leg, *, settings: PaycrestSettings) -> LegReport:
    """What an order means for the leg that delivers, when its coins have been sent."""
    if attempt_of_leg(order.reference or "") != leg.payment.attempt_id:
        return _told(Outcome.UNKNOWN, order, "the answer names another order")
    means = order_meaning(Place.FUNDED, order.status)
    if means.kind is Kind.FAILED:
        return _refunded(order, means, settings=settings)
    if means.kind is not Kind.PAID:
        return _plain(means, order)
    got = order.delivers(leg.payment.deliver.asset)
    if got is None:
        return _told(Outcome.UNKNOWN, order, "delivered, it says, but not how much")
    gave, worth = transfer_of(leg, settings=settings).amount, order.coins("amount", settings.coin)
    return LegReport(
        outcome=Outcome.PAID,
        provider_ref=order.id,
        receipt=text_of(order.fields.get("txHash")),
        gave=gave,
        got=got,
        fee=gave - worth if worth is not None and worth <= gave else None,
        reason=clean(f"{order.status}: {means.text}"),
        evidence=chosen(order.fields, KEPT),
    )


def _refunded(order: wire.Order, means: Meaning, *, settings: PaycrestSettings) -> LegReport:
    """Nothing was delivered. Only coins that are back at our own address make that a plain failure."""
    to = order.refund_address
    if to is None or to.lower() != settings.refund_address.lower():
        return _told(Outcome.UNKNOWN, order, "refunded, it says, but not to our refund address")
    back = order.coins("amountReturned", settings.coin)
    facts = {
        "refund_address": settings.refund_address,
        "returned": back.decimal() if back else "",
        "asset": settings.coin.code,
    }
    return _told(Outcome.FAILED, order, f"refunded: {means.text}", fault=means.fault, facts=facts)


def transfer_of(leg: Leg, *, settings: PaycrestSettings) -> CoinTransfer:
    """What the leg on chain sends, out of the facts of the order. Raises `OfframpError`."""
    facts = leg.done["order"].facts if "order" in leg.done else {}
    try:
        to, amount = facts["address"], Money.parse(facts["transfer"], settings.coin)
        until = datetime.fromisoformat(facts["valid_until"])
    except (KeyError, ValueError, MoneyError):
        raise OfframpError("the order's facts are incomplete") from None
    return CoinTransfer(
        chain_id=settings.chain,
        contract=settings.token_contract,
        to=to,
        amount=amount,
        before=until - timedelta(seconds=settings.fund_before_s),
    )


def _problem(order: wire.Order, payment: Instruction, *, settings: PaycrestSettings, now: datetime) -> Problem | None:
    """Why this order may not be funded; None if it may: exact, ours, in time, at a fair price."""
    account, source = inner(order.fields, "providerAccount"), inner(order.fields, "source")
    coin = {source.get("currency", settings.token), account.get("currency", settings.token)}
    refund = order.refund_address or settings.refund_address
    until = order.valid_until()
    checks = (
        (order.fields.get("orderType") in (None, "regular"), Fault.TRANSIENT, "it goes to a trading desk"),
        (account.get("network") == settings.network, Fault.RAIL, "it wants coins on another chain"),
        (coin == {settings.token}, Fault.RAIL, "it wants another coin"),
        (not account.get("memo"), Fault.RAIL, "it wants a memo"),
        (is_address(account.get("receiveAddress")), Fault.RAIL, "it names no address"),
        (refund.lower() == settings.refund_address.lower(), Fault.RAIL, "it refunds somebody else"),
        (order.delivers(payment.deliver.asset) == payment.deliver, Fault.RAIL, "it doesn't deliver what was ordered"),
        (_transfer(order, settings) is not None, Fault.RAIL, "its amounts don't add up"),
        (_is_cheap(order, settings), Fault.TRANSIENT, "its fees are too high"),
        (_is_fair(order, payment.deliver.asset.code, settings), Fault.TRANSIENT, "its rate is too low"),
        (until is not None and now + timedelta(seconds=settings.fund_before_s) < until, Fault.TRANSIENT, "it ends too soon"),
    )
    return next((Problem(fault, reason) for holds, fault, reason in checks if not holds), None)


def _is_cheap(order: wire.Order, settings: PaycrestSettings) -> bool:
    transfer, amount = _transfer(order, settings), order.coins("amount", settings.coin)
    most = Money.parse(settings.fee_most, settings.coin)
    return transfer is not None and amount is not None and transfer - amount <= most


def _is_fair(order: wire.Order, currency: str, settings: PaycrestSettings) -> bool:
    least, rate = settings.least_rates.get(currency), order.coins("rate", wire.FINEST)
    return least is None or (rate is not None and Fraction(rate.units, 10**wire.FINEST.decimals) >= Fraction(least))


def _transfer(order: wire.Order, settings: PaycrestSettings) -> Money | None:
    """The amount and both fees, which `amountToTransfer` has to be too where it is told; None if it isn't so."""
    parts = [order.coins(key, settings.coin) for key in ("amount", "senderFee", "transactionFee")]
    told = [each for each in parts if each is not None]
    if len(told) != len(parts):
        return None
    total = sum(told, start=Money(0, settings.coin))
    named: Mapping[str, Any] = inner(order.fields, "providerAccount")
    if "amountToTransfer" in named and money_of(named["amountToTransfer"], settings.coin) != total:
        return None
    return total if total.units > 0 else None


def _plain(means: Meaning, order: wire.Order) -> LegReport:
    return _told(OUTCOMES[means.kind], order, f"{order.status}: {means.text}", fault=means.fault)


def _told(
    outcome: Outcome, order: wire.Order, reason: str, *, fault: Fault | None = None, facts: Mapping[str, str] | None = None
) -> LegReport:
    return LegReport(
        outcome=outcome,
        provider_ref=order.id,
        fault=fault if outcome is Outcome.FAILED else None,
        reason=clean(reason),
        facts=dict(facts or {}),
        evidence=chosen(order.fields, KEPT),
    )
