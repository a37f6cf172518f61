"""Settings of one Paycrest sender."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, Field, field_validator

from adapters.paycrest.countries import COUNTRIES
from gateway.money import Asset
from gateway.railkit.settings import RailSettings, Secret

CHAINS: Mapping[str, int] = {
    "ethereum": 1,
    "base": 8453,
    "polygon": 137,
    "bnb-smart-chain": 56,
    "arbitrum-one": 42161,
    "celo": 42220,
    "lisk": 1135,
}
"""Paycrest's networks that are EVM chains."""


def is_address(text: object) -> bool:
    """Whether it is an address on an EVM chain, and not the zero address."""
    return isinstance(text, str) and re.fullmatch(r"0x[0-9a-fA-F]{40}", text) is not None and int(text, 16) != 0


def _address(text: str) -> str:
    if not is_address(text):
        raise ValueError
    return text


Address = Annotated[str, AfterValidator(_address)]
"""An address on an EVM chain, not the zero address."""


class PaycrestSettings(RailSettings):
    """What stands under [adapters.NAME] with kind = "paycrest"."""

    api_key: Secret = Field(description="the sender's API key")
    api_secret: Secret = Field(description="the sender's API secret, which signs the webhooks")
    network: str = Field(default="base", description=f"the chain on which orders are funded: one of {', '.join(CHAINS)}")
    chain_id: int | None = Field(default=None, gt=0, description="that chain's id, if it isn't the usual one")
    token: str = Field(default="USDC", pattern=r"^(USDC|USDT)$", description="USDC or USDT")
    token_contract: Address = Field(description="the token's address on that chain: 0x and 40 hexadecimal digits")
    token_decimals: int = Field(default=6, ge=6, le=18, description="the token's decimals: 6, on bnb-smart-chain 18")
    refund_address: Address = Field(description="an address of ours on that chain, for coins that come back")
    memo: str = Field(
        default="Family support", min_length=1, max_length=60, description="the narration, up to 60 characters"
    )
    countries: tuple[str, ...] = Field(
        default=tuple(COUNTRIES), min_length=1, description=f"a list of some of {', '.join(COUNTRIES)}"
    )
    limits: dict[str, tuple[int, int]] = Field(
        default={}, description='least and greatest payment per country in whole units, as {"KE": [100, 100000]}'
    )
    institutions: dict[str, str] = Field(
        default={}, description='Paycrest\'s code per bank or wallet where ours is out of date, as {"KE:mpesa": "SAFAKEPC"}'
    )
    least_rates: dict[str, str] = Field(
        default={}, description='the least currency for one coin at which an order is funded, as {"KES": "120.50"}'
    )
    fee_most: str = Field(
        default="1",
        pattern=r"^[0-9]{1,9}(\.[0-9]{1,6})?$",
        description="the most coins of fees on one order, such as 1 or 0.50",
    )
    fund_before_s: int = Field(
        default=60, ge=0, description="seconds before an order's end in which no coins are sent any more"
    )
    settles_within_s: int = Field(default=1800, gt=0, description="seconds until a silent payment deserves a person's look")

    @field_validator("network")
    @classmethod
    def _is_evm(cls, network: str) -> str:
        if network not in CHAINS:
            raise ValueError
        return network

    @field_validator("countries")
    @classmethod
    def _served(cls, countries: tuple[str, ...]) -> tuple[str, ...]:
        if set(countries) - set(COUNTRIES) or len(set(countries)) != len(countries):
            raise ValueError
        return countries

    @field_validator("limits")
    @classmethod
    def _ordered(cls, limits: dict[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
        if set(limits) - set(COUNTRIES) or any(not 0 < least <= most for least, most in limits.values()):
            raise ValueError
        return limits

    @field_validator("least_rates")
    @classmethod
    def _decimal(cls, rates: dict[str, str]) -> dict[str, str]:
        if not all(re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,12})?", each) for each in rates.values()):
            raise ValueError
        return rates

    @property
    def chain(self) -> int:
        """The id of the chain on which orders are funded."""
        return self.chain_id or CHAINS[self.network]

    @property
    def coin(self) -> Asset:
        """The token as an asset."""
        return Asset(f"{self.token}@{self.chain}", self.token_decimals)
