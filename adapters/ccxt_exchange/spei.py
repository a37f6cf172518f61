"""Bitso's JSON: what we send for SPEI payments and sales, and what we read. docs.bitso.com/bitso-payouts-funding."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

from adapters.ccxt_exchange import codes
from adapters.ccxt_exchange.settings import MXN, ExchangeSettings
from gateway.legs import Leg
from gateway.money import Asset, Money
from gateway.railkit.documents import document_or_empty, inner, money_of, text_of
from gateway.railkit.http import Answer
from gateway.railkit.meanings import Meaning

WEIGHTS = (3, 7, 1)
CLABE_DIGITS = 18
NVIO = "710"
"""CLABEs that begin so are reached inside of Nvio, never by SPEI: error 0714."""
REFERENCE_MOST = 10_000_000
TOO_MANY, BROKEN = 429, 500
NOT_FOUND = "0310"
KEPT = frozenset({"wid", "status", "amount", "currency", "method", "network", "protocol", "created_at"})
KEPT_DETAILS = frozenset({"clave_de_rastreo", "cep_link", "numeric_ref", "origin_id"})


def is_clabe(text: str) -> bool:
    """18 digits, the last of them right: the others by weights 3, 7, 1, each modulo 10."""
    if len(text) != CLABE_DIGITS or not text.isdigit() or not text.isascii():
        return False
    total = sum(int(digit) * WEIGHTS[place % 3] % 10 for place, digit in enumerate(text[:-1]))
    return -total % 10 == int(text[-1])


def withdrawal_body(leg: Leg) -> dict[str, str]:
    """`POST /v3/withdrawals`: to a CLABE, from our pesos."""
    to = leg.payment.to
    return {
        "currency": "mxn",
        "protocol": "clabe",
        "amount": leg.payment.deliver.decimal(),
        "beneficiary": to.holder,
        "clabe": to.account,
        "notes_ref": "Lastmile",
        "numeric_ref": f"{zlib.crc32(leg.leg_id.encode()) % REFERENCE_MOST:07}",
        "origin_id": leg.leg_id,
    }


def order_body(leg: Leg, *, book: str, coins: Money) -> dict[str, str]:
    """`POST /v3/orders`: sell at the market's price."""
    return {"book": book, "side": "sell", "type": "market", "major": coins.decimal(), "origin_id": leg.leg_id}


def refusal(answer: Answer, *, settings: ExchangeSettings) -> tuple[str, Meaning] | None:
    """Why an answer is no success, as code and meaning; None: it is one."""
    if answer.status == TOO_MANY:
        return str(answer.status), codes.THROTTLED
    if answer.status >= BROKEN:
        return str(answer.status), codes.BROKEN
    read = document_or_empty(answer.body)
    if read.get("success") is True and "payload" in read:
        return None
    code = text_of(inner(read, "error").get("code")) or f"HTTP {answer.status}"
    return code, codes.meaning(codes.BITSO, code, float_codes=settings.float_codes)


def payload(answer: Answer) -> Any:
    """What a success brings."""
    return document_or_empty(answer.body).get("payload")


def bids(answer: Answer) -> list[tuple[Fraction, Fraction]]:
    """The order book's bids, the best first; none if it can't be read."""
    read = inner(payload(answer)).get("bids")
    found = [(_number(each, "price"), _number(each, "amount")) for each in read or [] if isinstance(each, dict)]
    good = [(price, amount) for price, amount in found if price is not None and amount is not None and price * amount > 0]
    return sorted(good, reverse=True)


def updated_at(answer: Answer) -> datetime | None:
    """Of when an order book is; None if it doesn't say."""
    try:
        read = datetime.fromisoformat(inner(payload(answer)).get("updated_at") or "")
    except (ValueError, TypeError):
        return None
    return read if read.tzinfo else None


class Fills(NamedTuple):
    """What an order has sold so far."""

    order: str
    sold: Money
    brought: Money
    """After fees, rounded down."""
    fee: Money


def fills(trades: Sequence[Any], *, coin: Asset) -> Fills | None:
    """The trades of one order together; None: there are none, or one that can't be read."""
    sold = brought = fee = coin_fee = Fraction(0)
    for trade in trades:
        major, minor, fees = (_number(trade, name) for name in ("major", "minor", "fees_amount"))
        if major is None or minor is None or fees is None:
            return None
        sold, brought = sold + abs(major), brought + abs(minor)
        if trade.get("fees_currency") == coin.code.lower():
            coin_fee += fees
        else:
            fee += fees
    order = text_of(trades[0].get("oid")) if trades else None
    if order is None:
        return None
    return Fills(
        order=order,
        sold=_money(sold + coin_fee, coin, up=True),
        brought=_money(brought - fee, MXN, up=False),
        fee=_money(fee, MXN, up=True),
    )


def status_of(read: Mapping[str, Any]) -> tuple[str, Meaning]:
    """A withdrawal's status, as word and meaning."""
    word = text_of(read.get("status")) or "without a status"
    return word, codes.meaning(codes.BITSO_WITHDRAWALS, word)


def amount_of(read: Mapping[str, Any]) -> Money | None:
    """What a withdrawal or a funding moved; None if that isn't pesos or can't be read."""
    return money_of(read.get("amount"), MXN) if read.get("currency") == "mxn" else None


def _number(read: Any, name: str) -> Fraction | None:
    value = read.get(name) if isinstance(read, dict) else None
    try:
        number = Decimal(value) if isinstance(value, str | int | Decimal) and not isinstance(value, bool) else None
    except ArithmeticError:
        return None
    small = number is not None and number.is_finite() and abs(number.adjusted()) <= CLABE_DIGITS
    return Fraction(number) if number is not None and small else None


def _money(whole: Fraction, asset: Asset, *, up: bool) -> Money:
    units = whole * 10**asset.decimals
    return Money(-(-units.numerator // units.denominator) if up else units.numerator // units.denominator, asset)
