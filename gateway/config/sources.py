"""Settings of rate sources."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr

from gateway.config.fields import Address, BaseUrl, Bps, Currency, Seconds, Slug, Symbol, Text
from gateway.config.group import Group

BOUNDS_BPS = {"ecb": 500}
"""Kinds that never vote, and how far from them rates may be unless `bound_bps` says otherwise.

The ECB's reference rates are published once a working day and not meant for transactions: to a rate of now they may be off
by whatever happened since.
"""


class PriceFeed(Group):
    """One of feeds in [[pricing.sources]] of kind "chainlink"."""

    base: Symbol = Field(description='a currency or a coin, as in "USDC"')
    quote: Currency = Field(description='a currency, as in "USD"')
    address: Address = Field(description="the address of the feed's proxy contract: 0x and 40 hexadecimal digits")
    heartbeat_s: Seconds = Field(description="after how many seconds the feed renews its price at the latest, as in 86400")


class Source(Group):
    """[[pricing.sources]]: somebody who tells rates. What a kind needs is checked by `gateway.pricing`."""

    name: Slug = Field(description='a short name in small letters, as in "oxr"')
    kind: Slug = Field(description='a kind of source, as in "open_exchange_rates" or "file"')
    max_age_s: Seconds | None = Field(
        None, description="after how many seconds a rate of this source is too old, from 1 to 604800, as in 7200"
    )
    bound_bps: Annotated[Bps, Field(ge=1)] | None = Field(
        None,
        description="by how many hundredths of a percent a rate that others agree on may be off this source's, which then "
        "doesn't vote, from 1 to 9999, as in 500",
    )
    base_url: BaseUrl | None = Field(
        None, repr=False, description='an http or https address, as in "https://openexchangerates.org"'
    )
    app_id: Annotated[SecretStr, Field(min_length=1)] | None = Field(None, description="the key that the source gave you")
    path: Path | None = Field(None, description="the path of a file with rates")
    signature: Path | None = Field(None, description="the path of the signature of the file with rates")
    public_key: Text | None = Field(None, description="the signer's Ed25519 key, its 32 bytes in base64")
    chain: Slug | None = Field(None, description='the name of a chain in [[chains]], as in "base"')
    feeds: tuple[PriceFeed, ...] | None = Field(None, description="feeds with base, quote, address and heartbeat_s")
    sequencer: Address | None = Field(None, description="the address of the rollup's sequencer uptime feed")
    grace_s: Seconds | None = Field(
        None, description="for how many seconds nothing is believed after the sequencer came back, as in 3600"
    )
    adapter: Text | None = Field(None, description='the name of an adapter in [adapters], as in "yellowcard"')
    size: Annotated[Decimal, Field(gt=0)] | None = Field(
        None, description='for how many whole coins or dollars it is asked, a decimal in quotes, as in "200"'
    )

    @property
    def bounds_bps(self) -> int | None:
        """By how many basis points what others agree on may be off its prices; None: it votes with the others."""
        return BOUNDS_BPS.get(self.kind) if self.bound_bps is None else self.bound_bps
