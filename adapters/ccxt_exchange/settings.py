"""The settings under [adapters.NAME] of an exchange."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Literal

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key
from pydantic import AfterValidator, Field

from gateway.money import Asset, Money, MoneyError
from gateway.railkit.settings import RailSettings, Secret

BPS = 10_000
"""A hundred percent in hundredths of a percent."""
MXN, PHP = Asset("MXN", 2), Asset("PHP", 2)


def _amount(text: str) -> str:
    try:
        Money.parse(text, MXN)
    except MoneyError:
        raise ValueError from None
    return text


def _key(text: str) -> str:
    if not isinstance(load_der_public_key(base64.b64decode(text, validate=True)), RSAPublicKey):
        raise ValueError  # noqa: TRY004 - pydantic reads ValueError as "wrong value"
    return text


Amount = Annotated[str, AfterValidator(_amount)]
Bps = Annotated[int, Field(ge=0, lt=BPS)]


class ExchangeSettings(RailSettings):
    """One account at one exchange. What is marked [?] in the README stands here and is no certainty."""

    exchange: Literal["bitso", "coinsph"] = Field(description='"bitso" or "coinsph"')
    api_key: Secret = Field(description="the API key, with the rights to trade and to withdraw")
    api_secret: Secret = Field(description="the API key's secret")
    sell: bool = Field(default=True, description="true to sell coins for each payment, false to pay from our float there")
    coin: str = Field(default="USDC", pattern="^[A-Z0-9]{2,10}$", description='the coin that is sold, as in "USDC"')
    coin_decimals: int = Field(default=6, ge=0, le=18, description="digits after the point of an order's amount, as in 6")
    least: Amount | None = Field(default=None, description='the smallest payment, as in "10.00"')
    most: Amount | None = Field(default=None, description='the largest payment, as in "50000.00"')
    withdraw_fee: Amount = Field(default="0.00", description='what the exchange takes for a payment, as in "3.00"')
    sell_fee_bps: Bps = Field(default=65, description="the most it takes of a sale, in hundredths of a percent, as in 65")
    slippage_most_bps: Bps = Field(
        default=100, description="how far below the best price we sell, in hundredths of a percent, as in 100"
    )
    cushion_bps: Bps = Field(
        default=20, description="how much more we sell than today's prices need, in hundredths of a percent, as in 20"
    )
    least_sale: Amount = Field(default="10.00", description='the smallest sale that is taken, as in "10.00"')
    signed_prefix: str = Field(
        default="/api", pattern="^(/[a-z0-9-]+)*$", description='what stands before the signed path at Bitso, as in "/api"'
    )
    float_codes: tuple[str, ...] = Field(
        default=("0379", "0343"), description='a list of codes that say "too little money there", as in ["0379"]'
    )
    returns_within_s: int = Field(
        default=432_000, ge=0, description="seconds after a payment in which its money may come back, from 0"
    )
    webhook_keys: Mapping[str, Annotated[str, AfterValidator(_key)]] = Field(
        default={}, description="the public keys of webhooks by id, in base64, as Bitso lists them"
    )

    subjects: Mapping[str, str] = Field(
        default={"gcash": "gcash"},
        description='Coins.ph\'s name of each wallet and bank by our code (wallet, or BIC), as in { gcash = "gcash" }',
    )
    signs_body: bool = Field(
        default=True, description="true if Coins.ph wants a payment's body signed behind the query, false if the query alone"
    )

    @property
    def asset(self) -> Asset:
        """What is sold. At an exchange a coin is on no chain."""
        return Asset(self.coin, self.coin_decimals)

    @property
    def returns_within(self) -> timedelta:
        """For `Capabilities.returns_within`."""
        return timedelta(seconds=self.returns_within_s)
