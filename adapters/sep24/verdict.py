"""What the anchor's and Horizon's answers mean for a leg. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

from stellar_sdk import StrKey

from adapters.sep24 import wire
from adapters.sep24.codes import MALFORMED, THROTTLED, Place, refusal_meaning, result_meaning, status_meaning
from adapters.sep24.settings import Sep24Settings
from adapters.sep24.stellar import Order, memo_of
from gateway.legs import Leg, LegReport
from gateway.money import Asset, Money, MoneyError
from gateway.offramp import Fault, NotSent, OfframpError, Outcome, Pickup
from gateway.railkit.documents import document_or_empty, inner, money_of, text_of
from gateway.railkit.evidence import chosen, clean, words
from gateway.railkit.http import Answer
from gateway.railkit.meanings import OUTCOMES, Kind, Meaning, refuse_what_was_not_taken

KEPT = (
    "id", "kind", "status", "quote_id", "amount_in", "amount_in_asset", "amount_out", "amount_out_asset",
    "stellar_transaction_id", "started_at", "updated_at", "completed_at", "user_action_required_by",
    "withdraw_anchor_account", "withdraw_memo", "withdraw_memo_type",
)  # fmt: skip
"""What is kept of a transaction as evidence: not the pick-up number, and no address of a page that shows it."""
KEPT_OF_QUOTE = ("id", "expires_at", "price", "total_price", "sell_asset", "sell_amount", "buy_asset", "buy_amount")
MARGIN = timedelta(seconds=60)
"""How much later than a transaction's end a ledger has to be closed, so that its absence is believed."""
PAGE = "interactive_url"


def unknown(reason: str, *, provider_ref: str | None = None) -> LegReport:
    """Nobody knows: ask."""
    return LegReport(outcome=Outcome.UNKNOWN, reason=clean(reason), provider_ref=provider_ref)


def failed(reason: str, fault: Fault, *, evidence: Mapping[str, str] | None = None) -> LegReport:
    """It won't be paid; nothing of ours is at the anchor."""
    return LegReport(outcome=Outcome.FAILED, fault=fault, reason=clean(reason), evidence=dict(evidence or {}))


def of_refusal(answer: Answer, *, is_about_person: bool = True) -> LegReport:
    """The anchor's error to what moves no money. Raises `NotSent` for what is worth another try with the same leg."""
    means = refusal_meaning(answer.status)
    said = clean(f"HTTP {answer.status}: {words(document_or_empty(answer.body).get('error', means.text))}")
    if means.kind is Kind.FAILED:
        blames = is_about_person or means.fault is not Fault.RECIPIENT
        return failed(said, (means.fault if blames else None) or Fault.TRANSIENT)
    refuse_what_was_not_taken(means, reason=said)
    return unknown(said)


# -- the quote -----------------------------------------------------------------------------------------------------------


def of_quote(answer: Answer, leg: Leg, *, settings: Sep24Settings, now: datetime) -> LegReport:
    """What a quote means: PAID if an order may be made by it. Raises `NotSent`."""
    if answer.status not in (200, 201):
        return of_refusal(answer, is_about_person=False)
    quote = wire.Quote.of(document_or_empty(answer.body), coin=settings.coin)
    if quote is None:
        return unknown("the quote can't be read")
    evidence = chosen(quote.fields, KEPT_OF_QUOTE)
    problem = _quote_problem(quote, leg, settings=settings, now=now)
    if problem is not None:
        return failed(f"not paid for: {problem[1]}", problem[0], evidence=evidence)
    facts = {"quote": quote.id, "sell": quote.sell.decimal(), "expires_at": quote.expires_at.isoformat()}
    return LegReport(outcome=Outcome.PAID, provider_ref=quote.id, reason="quoted", facts=facts, evidence=evidence)


def _quote_problem(quote: wire.Quote, leg: Leg, *, settings: Sep24Settings, now: datetime) -> tuple[Fault, str] | None:
    deliver = leg.payment.deliver
    assets = (quote.fields.get("sell_asset"), quote.fields.get("buy_asset"))
    checks = (
        (assets == (settings.asset_name, wire.currency_name(deliver.asset)), Fault.RAIL, "it quotes something else"),
        (money_of(quote.fields.get("buy_amount"), deliver.asset) == deliver, Fault.RAIL, "it quotes another amount"),
        (_is_fair(quote.sell, deliver, settings), Fault.TRANSIENT, "its rate is too low"),
        (now + timedelta(seconds=settings.pay_before_s) < quote.expires_at, Fault.TRANSIENT, "it ends too soon"),
    )
    return next(((fault, reason) for holds, fault, reason in checks if not holds), None)


def _is_fair(sell: Money, deliver: Money, settings: Sep24Settings) -> bool:
    least = settings.least_rates.get(deliver.asset.code)
    coins, cash = (Fraction(each.units, 10**each.asset.decimals) for each in (sell, deliver))
    return least is None or cash >= coins * Fraction(least)


# -- the order, unpaid ---------------------------------------------------------------------------------------------------


def quoted(leg: Leg, coin: Asset) -> tuple[str, Money, datetime]:
    """Id, coins and end of the quote that the first leg got. Raises `OfframpError`."""
    facts = leg.done["quote"].facts if "quote" in leg.done else {}
    try:
        return facts["quote"], Money.parse(facts["sell"], coin), datetime.fromisoformat(facts["expires_at"])
    except (KeyError, ValueError, MoneyError):
        raise OfframpError("the quote's facts are incomplete") from None


def of_opened(id_: str, *, now: datetime, page: str | None = None) -> LegReport:
    """The anchor has the order. Nothing is paid yet."""
    evidence = {"id": id_} | ({PAGE: page} if page else {})
    facts = {"opened_at": now.isoformat()}
    return LegReport(outcome=Outcome.PAID, provider_ref=id_, reason="opened", facts=facts, evidence=evidence)


def of_unpaid(transaction: wire.Transaction, leg: Leg, *, settings: Sep24Settings, now: datetime) -> LegReport:
    """What an order means before it is paid for: PAID, with all that the payment needs, if it may be paid for now."""
    means = status_meaning(Place.UNPAID, transaction.status)
    evidence = _evidence(transaction, leg)
    _, sell, expires_at = quoted(leg, settings.coin)
    if means.kind is Kind.ACCEPTED and now >= expires_at:
        return failed(f"{transaction.status}: the quote ran out meanwhile", Fault.TRANSIENT, evidence=evidence)
    if means.kind is not Kind.PAID:
        return _plain(means, transaction, evidence=evidence)
    before = [each for each in (expires_at, transaction.when("user_action_required_by")) if each is not None]
    ends = min(min(before) - timedelta(seconds=settings.pay_before_s), now + timedelta(seconds=settings.pay_within_s))
    if (problem := _order_problem(transaction, leg, sell=sell, settings=settings)) is not None:
        return failed(f"not paid for: {problem}", Fault.RAIL, evidence=evidence)
    if ends <= now:
        return failed("not paid for: it ends too soon", Fault.TRANSIENT, evidence=evidence)
    named = {key: transaction.text(f"withdraw_{key}") or "" for key in ("anchor_account", "memo", "memo_type")}
    facts = {**named, "amount": sell.decimal(), "pay_by": str(int(ends.timestamp()))}
    return LegReport(
        outcome=Outcome.PAID, provider_ref=transaction.id, reason=means.text, facts=facts, evidence=chosen(evidence, KEPT)
    )


def _order_problem(transaction: wire.Transaction, leg: Leg, *, sell: Money, settings: Sep24Settings) -> str | None:
    """Why this order may not be paid for; None if it is ours, exact, and says where to."""
    fields, deliver, ours = transaction.fields, leg.payment.deliver, settings.keypair.public_key
    account = transaction.text("withdraw_anchor_account") or ""
    memo = memo_of(transaction.text("withdraw_memo_type") or "", transaction.text("withdraw_memo") or "")
    out = fields.get("amount_out")
    checks = (
        (fields.get("kind", "withdrawal") == "withdrawal", "it is no withdrawal"),
        (fields.get("quote_id") in (None, quoted(leg, settings.coin)[0]), "it has another quote"),
        (transaction.amount("amount_in", settings.coin) == sell, "it wants another amount than was quoted"),
        (fields.get("amount_in_asset") in (None, settings.asset_name), "it wants another coin"),
        (out is None or money_of(out, deliver.asset) == deliver, "it doesn't deliver what was ordered"),
        (fields.get("amount_out_asset") in (None, wire.currency_name(deliver.asset)), "it delivers another currency"),
        (fields.get("from") in (None, "", ours), "it is another account's"),
        (StrKey.is_valid_ed25519_public_key(account) and account != ours, "it names no account"),
        (memo is not None, "it names no memo, and a payment without one is lost"),
    )
    return next((reason for holds, reason in checks if not holds), None)


# -- the payment on Stellar ----------------------------------------------------------------------------------------------


def order_of(leg: Leg, coin: Asset) -> Order:
    """What the leg that pays has to send, out of the facts of those before it. Raises `OfframpError`."""
    facts = {
        **(leg.done["open"].facts if "open" in leg.done else {}),
        **(leg.done["ready"].facts if "ready" in leg.done else {}),
    }
    try:
        return Order(
            account=facts["anchor_account"],
            memo=facts["memo"],
            memo_type=facts["memo_type"],
            amount=Money.parse(facts["amount"], coin),
            pay_by=int(facts["pay_by"]),
            opened_at=datetime.fromisoformat(facts["opened_at"]),
        )
    except (KeyError, ValueError, MoneyError):
        raise OfframpError("the order's facts are incomplete") from None


def of_payment(record: Mapping[str, Any], *, is_right: bool) -> LegReport:
    """A payment with our order's memo, found on our account."""
    evidence = chosen(record, ("transaction_hash", "amount", "asset_code", "created_at", "to"))
    tx_hash = text_of(record.get("transaction_hash"))
    if tx_hash is None or not is_right:
        return LegReport(outcome=Outcome.UNKNOWN, reason="another payment has this memo", evidence=evidence)
    return LegReport(outcome=Outcome.PAID, provider_ref=tx_hash, reason="paid on Stellar", evidence=evidence)


def of_submission(answer: Answer, tx_hash: str) -> tuple[Meaning, LegReport]:
    """What Horizon says to a transaction. A result that isn't final by itself has Kind.DUPLICATE or AMBIGUOUS."""
    fields = document_or_empty(answer.body)
    if answer.status == 200 and fields.get("hash") == tx_hash and fields.get("successful", True) is True:  # noqa: PLR2004
        means = Meaning(Kind.PAID, "paid on Stellar")
        evidence = chosen(fields, ("hash", "ledger", "created_at"))
        return means, LegReport(outcome=Outcome.PAID, provider_ref=tx_hash, reason=means.text, evidence=evidence)
    codes = _result_codes(fields)
    means = _rejection(answer.status, fields, codes)
    said = clean(f"HTTP {answer.status} {' '.join(codes) or words(fields.get('title', ''))}: {means.text}")
    refuse_what_was_not_taken(means, reason=said)
    if means.kind is Kind.FAILED:
        return means, failed(said, means.fault or Fault.RAIL)
    return means, unknown(said, provider_ref=tx_hash)


def _rejection(status: int, fields: Mapping[str, Any], codes: tuple[str, ...]) -> Meaning:
    if status == 429:  # noqa: PLR2004 - too many requests
        return THROTTLED
    if status == 400 and str(fields.get("type", "")).endswith("transaction_malformed"):  # noqa: PLR2004 - bad request
        return MALFORMED
    return result_meaning(codes if status == 400 else ())  # noqa: PLR2004


def _result_codes(fields: Mapping[str, Any]) -> tuple[str, ...]:
    told = inner(fields, "extras", "result_codes")
    operations = told.get("operations")
    each = [told.get("transaction"), *(operations if isinstance(operations, list) else [])]
    return tuple(clean(code) for code in each if isinstance(code, str) and code != "op_success")


def is_void(order: Order, *, closed_at: datetime) -> bool:
    """Whether no transaction that pays this order can be applied any more."""
    return closed_at.timestamp() > order.pay_by + MARGIN.total_seconds()


def of_used(record: Mapping[str, Any] | None, tx_hash: str, *, otherwise: LegReport) -> LegReport:
    """Who has used our sequence number: this payment, or provably another transaction. Raises `NotSent` for the latter.

    One record of one ledger proves it, however far a server behind a balancer may be behind the others.
    """
    used_by = None if record is None else text_of(record.get("hash"))
    if record is None or used_by is None:
        return otherwise
    if used_by != tx_hash:
        raise NotSent("another transaction of our account came first: this one can never be applied")
    evidence = chosen(record, ("hash", "ledger", "created_at", "successful"))
    if record.get("successful") is True:
        return LegReport(outcome=Outcome.PAID, provider_ref=tx_hash, reason="paid on Stellar", evidence=evidence)
    if record.get("successful") is False:
        return failed("the transaction failed on Stellar", Fault.TRANSIENT, evidence=evidence)
    return otherwise


# -- the cash ------------------------------------------------------------------------------------------------------------


def of_cash(transaction: wire.Transaction, leg: Leg, *, settings: Sep24Settings) -> LegReport:
    """What an order means once it is paid for."""
    means = status_meaning(Place.PAID_FOR, transaction.status)
    if means.kind is Kind.AVAILABLE:
        return _available(transaction, leg, means)
    if means.kind is Kind.PAID:
        return _taken(transaction, leg, means, settings=settings)
    if means.kind is Kind.FAILED:
        return _refunded(transaction, leg, means, settings=settings)
    return _plain(means, transaction, evidence=_evidence(transaction, leg))


def _available(transaction: wire.Transaction, leg: Leg, means: Meaning) -> LegReport:
    number, page = wire.pickup_number(transaction), wire.page_url(transaction.text("more_info_url"))
    expires_at = transaction.when("user_action_required_by")
    return LegReport(
        outcome=Outcome.AVAILABLE,
        provider_ref=transaction.id,
        reason=means.text if number else "the cash is there, and the anchor tells no pick-up number",
        pickup=Pickup(code=number, expires_at=expires_at, where=page) if number else None,
        evidence=_evidence(transaction, leg, with_page=number is None),
    )


def _taken(transaction: wire.Transaction, leg: Leg, means: Meaning, *, settings: Sep24Settings) -> LegReport:
    deliver = leg.payment.deliver
    evidence = _evidence(transaction, leg)
    named, got = transaction.fields.get("amount_out_asset"), transaction.amount("amount_out", deliver.asset)
    # Without a name an amount may be one of coins, unless it is just what was quoted.
    if got is None or not (named == wire.currency_name(deliver.asset) or (named is None and got == deliver)):
        return LegReport(outcome=Outcome.UNKNOWN, reason="completed, it says, but not how much", evidence=evidence)
    gave = order_of(leg, settings.coin).amount
    fees = inner(transaction.fields, "fee_details")
    fee = money_of(fees.get("total"), settings.coin) if fees.get("asset") == settings.asset_name else None
    return LegReport(
        outcome=Outcome.PAID,
        provider_ref=transaction.id,
        receipt=wire.pickup_number(transaction),
        gave=gave,
        got=got,
        fee=fee if fee is not None and fee <= gave else None,
        reason=means.text,
        evidence=evidence,
    )


def _refunded(transaction: wire.Transaction, leg: Leg, means: Meaning, *, settings: Sep24Settings) -> LegReport:
    """Nobody got cash. Only coins that are wholly accounted for make that a plain failure."""
    evidence = _evidence(transaction, leg)
    gave, back = order_of(leg, settings.coin).amount, transaction.refunds(settings.coin)
    if back != gave:
        return LegReport(outcome=Outcome.UNKNOWN, reason="refunded, it says, but it doesn't add up", evidence=evidence)
    # With a pick-up number it was there, and nobody came for it; without one the anchor couldn't pay it.
    fault = Fault.RECIPIENT if wire.pickup_number(transaction) else means.fault
    told = inner(transaction.fields, "refunds")
    facts = {key: str(told.get(key, "0"))[:100] for key in ("amount_refunded", "amount_fee")}
    return LegReport(
        outcome=Outcome.FAILED, provider_ref=transaction.id, fault=fault, reason=means.text, facts=facts, evidence=evidence
    )


def _plain(means: Meaning, transaction: wire.Transaction, *, evidence: Mapping[str, str]) -> LegReport:
    outcome = OUTCOMES[means.kind]
    return LegReport(
        outcome=outcome,
        provider_ref=transaction.id,
        fault=means.fault if outcome is Outcome.FAILED else None,
        reason=clean(f"{transaction.status}: {means.text}"),
        evidence=dict(evidence),
    )


def _evidence(transaction: wire.Transaction, leg: Leg, *, with_page: bool = False) -> dict[str, str]:
    """What is kept; for an order that waits for a person, with the page that the anchor gave for that."""
    evidence = chosen(transaction.fields, KEPT)
    opened = leg.done["open"].evidence.get(PAGE) if "open" in leg.done else None
    if transaction.status == "incomplete" and opened:
        evidence[PAGE] = opened
    more = wire.page_url(transaction.text("more_info_url"))
    if with_page and more:
        evidence["more_info_url"] = more
    return evidence
