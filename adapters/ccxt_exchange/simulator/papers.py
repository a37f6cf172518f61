"""What the simulated Bitso says, in its own words: errors, orders, trades, keys."""

from __future__ import annotations

import base64
import json
import re
import secrets
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from fastapi.responses import JSONResponse

from adapters.ccxt_exchange.simulator.market import FEE_BPS, MICRO, PRICE, Order
from gateway.money import Asset, Money

USDC = Asset("USDC", 6)
BOOK = "usdc_mxn"


class Refused(Exception):
    """An error, as Bitso words it."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status, self.code = status, code

    def answer(self) -> JSONResponse:
        """The HTTP answer."""
        error = {"code": self.code, "message": f"Refused: {self.code}"}
        return JSONResponse({"success": False, "error": error}, status_code=self.status)


def new_credentials() -> dict[str, str]:
    """A key, its secret, and the keys that sign webhooks."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return {
        "key": secrets.token_hex(5),
        "secret": secrets.token_hex(16),
        "key_id": secrets.token_hex(8),
        "private": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        "public": base64.b64encode(public).decode(),
    }


def compact(read: Mapping[str, Any]) -> bytes:
    """The bytes that are signed."""
    return json.dumps(read, separators=(",", ":")).encode()


def fits(form: str | None, value: object) -> bool:
    """Whether a field is known, and of its form."""
    return form is not None and isinstance(value, str) and re.fullmatch(form, value) is not None


def brought(units: int) -> int:
    """Centavos for so many millionths of a coin, after fees."""
    return units * PRICE * 100 * (10_000 - FEE_BPS) // (MICRO * 10_000)


def order_of(order: Order) -> dict[str, str]:
    """An order, as it is listed."""
    left = order.wanted - order.filled
    return {
        "book": BOOK,
        "oid": order.oid,
        "origin_id": order.origin_id,
        "side": "sell",
        "type": "market",
        "status": order.status,
        "created_at": order.at.isoformat(timespec="seconds"),
        "original_amount": Money(order.wanted, USDC).decimal(),
        "unfilled_amount": Money(left, USDC).decimal(),
    }


def trade_of(order: Order) -> dict[str, object]:
    """All that an order has sold, as one trade."""
    minor = Money(order.filled * PRICE, USDC)
    fee = Money(order.filled * PRICE * FEE_BPS // 10_000, USDC)
    return {
        "book": BOOK,
        "oid": order.oid,
        "origin_id": order.origin_id,
        "side": "sell",
        "price": f"{PRICE}.00",
        "major": f"-{Money(order.filled, USDC).decimal()}",
        "minor": minor.decimal(),
        "fees_amount": fee.decimal(),
        "fees_currency": "mxn",
        "tid": 1,
        "created_at": order.at.isoformat(timespec="seconds"),
    }


def good(payload: object) -> JSONResponse:
    """A success."""
    return JSONResponse({"success": True, "payload": payload})
