"""What goes over the wire to Paycrest and comes back. Source: docs.paycrest.io, openapi-v2.yaml of 2026-09."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from fractions import Fraction
from typing import Any, NamedTuple

from adapters.paycrest.settings import PaycrestSettings
from gateway.money import Asset, Money, decimal_of
from gateway.offramp import Instruction, Method
from gateway.railkit.documents import document_or_empty, inner, money_of, text_of
from gateway.railkit.http import Answer

ORDERS, VERIFY = "/sender/orders", "/verify-account"
ORDER = ORDERS + "/{}"
RATES = "/rates/{}/{}/{}/{}"
"""Network, token, amount of coins, currency."""
PAGE = ORDERS + "?page={}&pageSize={}&direction=offramp"
FINEST = Asset("", 18)
"""As many digits as a rate or an amount of coins may have behind its point."""


class Order(NamedTuple):
    """An order as Paycrest shows it."""

    id: str
    status: str
    fields: Mapping[str, Any]

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Order | None:
        """From an object; None if it is no order."""
        id_, status = text_of(fields.get("id")), text_of(fields.get("status"))
        # The id becomes part of a path.
        is_id = id_ is not None and re.fullmatch(r"[A-Za-z0-9_-]{1,64}", id_) is not None
        return cls(id_, status, fields) if id_ and is_id and status else None

    @classmethod
    def read(cls, answer: Answer) -> Order | None:
        """From the answer about one order; None if it shows none."""
        return cls.of(inner(document_or_empty(answer.body), "data")) if answer.status in (200, 201) else None

    @property
    def reference(self) -> str | None:
        """Our leg's id."""
        return text_of(self.fields.get("reference"))

    @property
    def refund_address(self) -> str | None:
        """Where the coins go if nothing is delivered."""
        return text_of(inner(self.fields, "source").get("refundAddress"))

    def coins(self, key: str, coin: Asset) -> Money | None:
        """An amount of coins; None if it isn't told exactly."""
        return money_of(self.fields.get(key), coin)

    def delivers(self, asset: Asset) -> Money | None:
        """What the recipient gets: amount times rate, to the nearest unit. None if one of them isn't told.

        Paycrest names no amount of local currency anywhere: this is its own arithmetic, with its own two numbers.
        """
        amount, rate = (money_of(self.fields.get(key), FINEST) for key in ("amount", "rate"))
        if amount is None or rate is None:
            return None
        product = Fraction(amount.units * rate.units, 10 ** (2 * FINEST.decimals))
        nearest = product + Fraction(1, 2 * 10**asset.decimals)
        return Money.parse(decimal_of(nearest, digits=asset.decimals), asset)

    def valid_until(self) -> datetime | None:
        """Until when the coins have to be there."""
        try:
            read = datetime.fromisoformat(inner(self.fields, "providerAccount").get("validUntil") or "")
        except (ValueError, TypeError):
            return None
        return read if read.tzinfo else None


def order_body(instruction: Instruction, *, reference: str, institution: str, settings: PaycrestSettings) -> dict[str, Any]:
    """The body of an order: exactly this much of local currency, whatever that takes in coins."""
    to = instruction.to
    recipient: dict[str, Any] = {
        "institution": institution,
        "accountIdentifier": account(to.account),
        "accountName": to.holder,
        "memo": settings.memo,
    }
    if to.country == "KE" and to.method is Method.MOBILE_MONEY:
        recipient["metadata"] = {"channel": "Mobile"}
    return {
        "amount": instruction.deliver.decimal(),
        "amountIn": "fiat",
        "reference": reference,
        "source": {
            "type": "crypto",
            "currency": settings.token,
            "network": settings.network,
            "refundAddress": settings.refund_address,
        },
        "destination": {"type": "fiat", "currency": instruction.deliver.asset.code, "recipient": recipient},
    }


def account(ours: str) -> str:
    """An account as Paycrest has it: a phone number without "+"."""
    return ours.removeprefix("+")


def refused_field(answer: Answer) -> tuple[str | None, str]:
    """The field that an error names, and what it says. `data` is null, an object, or a list of objects."""
    fields = document_or_empty(answer.body)
    data = fields.get("data")
    each = data[0] if isinstance(data, list) and data else data
    named = each if isinstance(each, dict) else {}
    return text_of(named.get("field")), text_of(named.get("message")) or text_of(fields.get("message")) or ""
