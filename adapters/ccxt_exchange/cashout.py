"""Coins.ph's JSON: quotes, sales, InstaPay payments. What we send stands in the signed query; a payment is a JSON body."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from adapters.ccxt_exchange import codes
from adapters.ccxt_exchange.settings import PHP, ExchangeSettings
from gateway.legs import Leg
from gateway.money import Asset, Money
from gateway.offramp import Destination, Method
from gateway.railkit.documents import document_or_empty, inner, money_of, text_of
from gateway.railkit.http import Answer
from gateway.railkit.meanings import Meaning

CHANNEL = "INSTAPAY"
TOO_MANY, BROKEN = 429, 500
KEPT = frozenset(
    {"externalOrderId", "internalOrderId", "paymentOrderId", "fiatAmount", "fiatCurrency", "status", "errorCode"}
)
_MOBILE = re.compile(r"\+63(9[0-9]{9})")
_ACCOUNT = re.compile(r"[0-9]{6,20}")


def is_wallet(institution: str) -> bool:
    """Wallets have codes in small letters, banks their BIC."""
    return institution.islower()


def account_of(to: Destination) -> str | None:
    """The account as InstaPay writes it: a mobile number as in 09171234567, or a bank account's digits; None: it is none."""
    if to.method is Method.MOBILE_MONEY:
        mobile = _MOBILE.fullmatch(to.account)
        return None if mobile is None else f"0{mobile[1]}"
    return to.account if _ACCOUNT.fullmatch(to.account) else None


def quote_query(*, coin: Asset, amount: Money) -> dict[str, str]:
    """`POST /openapi/convert/v1/get-quote`: how many coins bring exactly this."""
    return {"sourceCurrency": coin.code, "targetCurrency": PHP.code, "targetAmount": amount.decimal()}


def cash_out_body(leg: Leg, *, subject: str, account: str) -> str:
    """`POST /openapi/fiat/v1/cash-out`."""
    to = leg.payment.to
    body = {
        "internalOrderId": leg.leg_id,
        "currency": PHP.code,
        "amount": leg.payment.deliver.decimal(),
        "channelName": CHANNEL,
        "channelSubject": subject,
        "extendInfo": {"recipientName": to.holder, "recipientAccountNumber": account},
    }
    return json.dumps(body, separators=(",", ":"))


def refusal(answer: Answer, *, settings: ExchangeSettings) -> tuple[str, Meaning] | None:
    """Why an answer is no success, as code and meaning; None: it is one."""
    if answer.status == TOO_MANY:
        return str(answer.status), codes.THROTTLED
    if answer.status >= BROKEN:
        return str(answer.status), codes.BROKEN
    read = document_or_empty(answer.body)
    code = read.get("code", read.get("status"))
    if read and code in (None, 0, 200) and answer.status == 200:  # noqa: PLR2004 - HTTP's OK
        return None
    word = text_of(code) or f"HTTP {answer.status}"
    return word, codes.meaning(codes.COINS, word, float_codes=settings.float_codes)


def data(answer: Answer) -> Any:
    """What a success brings."""
    return document_or_empty(answer.body).get("data")


def price_of(read: Mapping[str, Any], name: str) -> Fraction | None:
    """A price; None for what is none."""
    money = money_of(read.get(name), Asset("", 18))
    return None if money is None or not money.units else Fraction(money.units, 10**18)


def coins_of(read: Mapping[str, Any], coin: Asset) -> Money | None:
    """What a sale took, rounded up to the coin's decimals."""
    exact = money_of(read.get("sourceAmount"), Asset(coin.code, 18))
    return None if exact is None else Money(-(-exact.units // 10 ** (18 - coin.decimals)), coin)


def status_of(read: Any) -> tuple[str, Meaning]:
    """A payment's status, as word and meaning."""
    word = text_of(inner(read).get("status")) or "without a status"
    return word, codes.meaning(codes.COINS_PAYOUTS, word)
