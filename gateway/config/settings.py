"""The settings, in small groups. A field's description completes "… is wrong; give …"."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from gateway.chain.registry import native_symbol
from gateway.config.coins import filled, refuse_contradictions, refuse_other_native
from gateway.config.fields import (
    DEPENDS,
    AdapterName,
    Address,
    BaseUrl,
    BlockHash,
    Bps,
    Country,
    Currency,
    NotEmpty,
    Pause,
    PostgresUrl,
    Seconds,
    Site,
    Slug,
    SocketUrl,
    Symbol,
    Text,
    Url,
    Whole,
    amount,
    currency_asset,
)
from gateway.money import Asset, Money
from gateway.offramp import Method

METHODS = ", ".join(Method)
NATIVE_DECIMALS = 18


class Group(BaseModel):
    """A table of the file: immutable, and closed to keys it doesn't know."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Server(Group):
    """[server]: where people and partners reach this gateway."""

    public_url: Site = Field(description='the address at which people reach this gateway, as in "https://pay.example.org"')
    host: Text = Field("127.0.0.1", description='the address to listen on, as in "127.0.0.1"')
    port: Annotated[Whole, Field(ge=1, le=65_535)] = Field(8000, description="a port from 1 to 65535")
    token_key_file: Path | None = Field(None, description="the path of the file with the key that signs access tokens")
    metrics_token: Annotated[SecretStr, Field(min_length=16)] | None = Field(
        None, description="what a scraper of /metrics has to show, at least 16 characters"
    )
    """Absent: /metrics answers this machine only."""


class Database(Group):
    """[database]: absent, the gateway runs its own PostgreSQL under the data folder."""

    url: PostgresUrl | None = Field(
        None, description='the address of a PostgreSQL database, as in "postgresql://user@host/lastmile"'
    )


class Finality(Group):
    """When a block can't vanish any more: the node's own word for it, or a number of blocks on top."""

    tag: Literal["finalized"] | None = Field(None, description='"finalized"')
    depth: Annotated[Whole, Field(ge=1, le=100_000)] | None = Field(None, description="a number of blocks from 1 to 100000")

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.tag is None) == (self.depth is None):
            raise ValueError('must be one of { tag = "finalized" } and { depth = 12 }')
        return self


class Token(Group):
    """[[chains.tokens]]: a coin we take on that chain."""

    symbol: Symbol = Field(description='the symbol people know, as in "USDC"')
    """Where the registry (`gateway.chain.registry`) knows it, address and decimals may be left out."""
    address: Address = Field(description='the contract\'s address, "0x" and 40 hexadecimal digits')
    decimals: Annotated[Whole, Field(ge=0, le=36)] = Field(description="the contract's decimals, from 0 to 36; USDC has 6")
    peg: Currency = Field(description='the currency that one coin should be worth, as in "USD"')
    least: str | None = Field(None, description='the smallest amount that counts as a deposit, as in "1.5"')

    refund_per_day: str | None = Field(None, description='the most that is refunded in 24 hours, as in "5000"')
    """Absent: nothing is refunded in this coin."""

    @field_validator("least", "refund_per_day", mode="plain")
    @classmethod
    def _readable(cls, value: object, info: ValidationInfo) -> str:
        asset = Asset(_needed(info, "symbol"), _needed(info, "decimals"))
        if amount(value, asset).units == 0:
            raise ValueError("must be more than 0; leave it out instead")
        return str(value)


class Checkpoint(Group):
    """[chains.checkpoint]: a block that every honest node of this chain has, looked up by the operator somewhere else."""

    number: Annotated[Whole, Field(ge=0, lt=2**63)] = Field(description="a block's number, from 0")
    hash: BlockHash = Field(description='that block\'s hash, "0x" and 64 hexadecimal digits')


class KeyFile(Group):
    """A key of ours that signs transactions: an encrypted keystore file (Web3 Secret Storage, version 3)."""

    keystore: Path = Field(description="the path of a keystore file, as geth, Foundry and most wallets write it")
    password: Annotated[SecretStr, Field(min_length=1)] = Field(description="the keystore's password")


class Sweep(KeyFile):
    """[chains.sweep]: whose gas moves coins to the treasury, and when that is worth it. The key can't take the coins."""

    native_usd: str = Field(description='what one native coin is worth in US dollars, roughly, in quotes, as in "3200"')
    cost_most_bps: Bps = Field(
        100, description="hundredths of a percent of the swept value that gas may cost, from 0 to 9999"
    )
    every_s: Seconds = Field(3600, description="seconds between two sweeps, from 1 to 604800")
    gas_price_most_gwei: Annotated[Whole, Field(ge=1, le=1_000_000)] = Field(
        500, description="the most we pay for gas, in gwei, from 1 to 1000000"
    )

    @field_validator("native_usd", mode="plain")
    @classmethod
    def _in_dollars(cls, value: object) -> str:
        if amount(value, currency_asset("USD")).units == 0:
            raise ValueError("must be more than 0")
        return str(value)


class Refunds(KeyFile):
    """[chains.refunds]: the wallet that sends money back. It holds what the operator puts into it, and nothing else."""

    gas_price_most_gwei: Annotated[Whole, Field(ge=1, le=1_000_000)] = Field(
        500, description="the most we pay for gas, in gwei, from 1 to 1000000"
    )


class Chain(Group):
    """[[chains]]: an EVM chain, who tells us about it, and where the coins end up."""

    name: Slug = Field(description='a short name in small letters, as in "base"')
    chain_id: Annotated[Whole, Field(ge=1, lt=2**63)] = Field(description="the chain's number, as in 8453 for Base")
    rpc: Annotated[tuple[Url, ...], NotEmpty] = Field(
        repr=False,
        description='a list of http addresses of nodes, as in ["https://one.example", "https://two.example"]',
    )
    quorum: Annotated[Whole, Field(ge=1)] = Field(description="how many of the rpc urls must agree, at least 1")
    finality: Finality = Field(description='{ tag = "finalized" } or { depth = 12 }')
    treasury: Address = Field(description='the account that gets all coins, "0x" and 40 hexadecimal digits')
    factory: Address | None = Field(None, description='the forwarder factory\'s address, "0x" and 40 hexadecimal digits')
    """Absent: where CREATE2 puts this treasury's own."""
    start_block: Annotated[Whole, Field(ge=0, lt=2**63)] | None = Field(
        None, description="the first block to look at, from 0"
    )
    poll_s: Pause = Field(2.0, description="seconds between two looks at the chain, more than 0 and at most 3600")
    heads: tuple[SocketUrl, ...] = Field(
        (), repr=False, description='a list of websocket addresses of nodes, as in ["wss://one.example"]'
    )
    """Where new blocks are announced: a wake-up, never a fact."""
    checkpoint: Checkpoint | None = Field(None, description="a [chains.checkpoint] table")
    native: Symbol | None = Field(None, description='the symbol of the coin that pays gas, as in "ETH" or "POL"')
    """Absent: the registry's for this chain, else ETH."""
    sweep: Sweep | None = Field(None, description="a [chains.sweep] table")
    refunds: Refunds | None = Field(None, description="a [chains.refunds] table")
    tokens: Annotated[tuple[Token, ...], NotEmpty] = Field(description="at least one [[chains.tokens]] table")

    @field_validator("rpc")
    @classmethod
    def _all_different(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(urls)) < len(urls):
            raise ValueError("lists one url twice; give different providers, or the quorum is one provider's word")
        return urls

    @field_validator("quorum")
    @classmethod
    def _reachable(cls, quorum: int, info: ValidationInfo) -> int:
        urls = len(_needed(info, "rpc"))
        if quorum > urls:
            raise ValueError(f"{quorum} is more than the {urls} rpc {_plural(urls, 'url')} listed; give at most {urls}")
        operators = len({urlsplit(url).netloc.rpartition("@")[2].lower() for url in info.data["rpc"]})
        if quorum > operators:
            raise ValueError(
                f"{quorum} is more than the {operators} {_plural(operators, 'operator')} of the rpc urls: "
                f"what one host says twice is one voice; give at most {operators}, or urls of other hosts"
            )
        return quorum

    @field_validator("native")
    @classmethod
    def _native_as_known(cls, native: str | None, info: ValidationInfo) -> str | None:
        if native is not None:
            refuse_other_native(native, chain_id=_needed(info, "chain_id"))
        return native

    @field_validator("tokens", mode="before")
    @classmethod
    def _filled_in(cls, tokens: object, info: ValidationInfo) -> object:
        return filled(tokens, chain_id=info.data.get("chain_id"))

    @field_validator("tokens")
    @classmethod
    def _tokens_as_known(cls, tokens: tuple[Token, ...], info: ValidationInfo) -> tuple[Token, ...]:
        refuse_contradictions(tokens, chain_id=_needed(info, "chain_id"))
        return tokens

    def asset(self, *, token: Token) -> Asset:
        """A coin of this chain as an asset: USDC@8453 with its decimals."""
        return Asset(f"{token.symbol}@{self.chain_id}", token.decimals)

    @property
    def native_asset(self) -> Asset:
        """The coin that pays gas, with 18 decimals as on every EVM chain."""
        symbol = self.native or native_symbol(chain_id=self.chain_id) or "ETH"
        return Asset(f"{symbol}@{self.chain_id}", NATIVE_DECIMALS)

    def refund_per_day(self, *, token: Token) -> Money:
        """The most of that coin that goes back to senders in 24 hours; nothing unless configured."""
        asset = self.asset(token=token)
        return Money(0, asset) if token.refund_per_day is None else Money.parse(token.refund_per_day, asset)

    def least(self, *, token: Token) -> Money:
        """The smallest amount of that coin that counts as a deposit; one unit unless configured."""
        asset = self.asset(token=token)
        return Money(1, asset) if token.least is None else Money.parse(token.least, asset)


class Economy(Group):
    """[corridors.economy]: payouts that wait for each other and go together, for another fee."""

    every_s: Seconds = Field(description="seconds between two drops, from 1 to 604800, as in 3600")
    """Drops are at its multiples since midnight UTC of 1 January 1970."""
    fee: str = Field(description='an amount of the corridor\'s currency in quotes, as in "5" or "0"')


class Corridor(Group):
    """[[corridors]]: where we pay, how, and for what price. Amounts are in the corridor's currency."""

    country: Country = Field(description='an ISO 3166 country code, as in "KE"')
    currency: Currency = Field(description='an ISO 4217 currency code, as in "KES"')
    methods: Annotated[tuple[Method, ...], NotEmpty] = Field(description=f"a list of some of {METHODS}")
    spread_bps: Bps = Field(description="hundredths of a percent from 0 to 9999, as in 50 for 0.5 %")
    fee: Money = Field(description='an amount in quotes, as in "25" or "0"')
    least: Money = Field(alias="min", description='the smallest payout, in quotes, as in "100"')
    most: Money = Field(alias="max", description='the largest payout, in quotes, as in "250000"')
    economy: Economy | None = Field(None, description="a [corridors.economy] table")

    @field_validator("fee", "least", "most", mode="plain")
    @classmethod
    def _in_currency(cls, value: object, info: ValidationInfo) -> Money:
        return amount(value, currency_asset(_needed(info, "currency")))

    @field_validator("least")
    @classmethod
    def _something(cls, least: Money) -> Money:
        if least.units == 0:
            raise ValueError("must be more than 0; give the smallest payout that makes sense")
        return least

    @field_validator("most")
    @classmethod
    def _not_below(cls, most: Money, info: ValidationInfo) -> Money:
        least: Money = _needed(info, "least")
        if most < least:
            raise ValueError(f"{most} is less than min ({least}); give at least that")
        return most

    @property
    def asset(self) -> Asset:
        """The corridor's currency with its ISO 4217 decimals."""
        return currency_asset(self.currency)


class Source(Group):
    """[[pricing.sources]]: somebody who tells rates. What a kind needs is checked by `gateway.pricing`."""

    name: Slug = Field(description='a short name in small letters, as in "oxr"')
    kind: Slug = Field(description='a kind of source, as in "open_exchange_rates" or "file"')
    base_url: BaseUrl | None = Field(
        None, repr=False, description='an http or https address, as in "https://openexchangerates.org"'
    )
    app_id: Annotated[SecretStr, Field(min_length=1)] | None = Field(None, description="the key that the source gave you")
    path: Path | None = Field(None, description="the path of a file with rates")


class Pricing(Group):
    """[pricing]: whom we believe, for how long, and what we promise."""

    sources: Annotated[tuple[Source, ...], NotEmpty] = Field(description="at least one [[pricing.sources]] table")
    max_age_s: Seconds = Field(description="after how many seconds a rate is too old, from 1 to 604800, as in 7200")
    max_spread_bps: Bps = Field(
        description="by how many hundredths of a percent sources may differ, from 0 to 9999, as in 100"
    )
    quote_ttl_s: Seconds = Field(description="for how many seconds a quote holds, from 1 to 604800, as in 900")
    min_sources: Annotated[Whole, Field(ge=1)] = Field(
        2, validate_default=True, description="how many fresh sources a price needs, at least 1"
    )
    exposure_cap: Money | None = Field(None, description='US dollars in quotes, as in "500"')
    """In US dollars: how much we credit before finality. Absent: nothing."""

    @field_validator("min_sources")
    @classmethod
    def _enough(cls, wanted: int, info: ValidationInfo) -> int:
        listed = len(_needed(info, "sources"))
        if wanted > listed:
            raise ValueError(
                f"a price needs {wanted} sources and {listed} {_plural(listed, 'is', 'are')} listed; "
                f"add [[pricing.sources]] or give at most {listed}"
            )
        return wanted

    @field_validator("exposure_cap", mode="plain")
    @classmethod
    def _in_dollars(cls, value: object) -> Money:
        return amount(value, currency_asset("USD"))


class Adapter(Group):
    """[adapters.NAME]: `kind` is its entry point; all other keys are the adapter's own and checked by it."""

    model_config = ConfigDict(extra="allow")

    kind: Slug = Field(description='the kind of an installed adapter, as in "mpesa" (`lastmile rails` lists them)')

    @property
    def settings(self) -> Mapping[str, object]:
        """The adapter's own settings, secrets among them."""
        return MappingProxyType(self.model_extra or {})

    def __repr_args__(self) -> Iterable[tuple[str | None, object]]:
        return [("kind", self.kind)]


class Payouts(Group):
    """[payouts]: what people decide about payouts."""

    two_persons_above: Money | None = Field(None, description='US dollars in quotes, as in "200"')
    """In US dollars: an unknown outcome of more than that takes two persons to settle. Absent: every one does."""

    @field_validator("two_persons_above", mode="plain")
    @classmethod
    def _in_dollars(cls, value: object) -> Money:
        return amount(value, currency_asset("USD"))


class Treasury(Group):
    """[treasury]: how often books are compared with what chains and rails say."""

    reconcile_every_s: Seconds = Field(86_400, description="seconds between two reconciliations, from 1 to 604800")


class Settings(Group):
    """The whole configuration."""

    server: Server = Field(description="a [server] table")
    database: Database = Field(Database(), description="a [database] table")
    chains: Annotated[tuple[Chain, ...], NotEmpty] = Field(description="at least one [[chains]] table")
    corridors: Annotated[tuple[Corridor, ...], NotEmpty] = Field(description="at least one [[corridors]] table")
    pricing: Pricing = Field(description="a [pricing] table")
    payouts: Payouts = Field(Payouts(), description="a [payouts] table")
    treasury: Treasury = Field(Treasury(), description="a [treasury] table")
    adapters: Annotated[Mapping[AdapterName, Adapter], NotEmpty] = Field(
        description='at least one table such as [adapters.mpesa] with a "kind"'
    )


GROUPS: Mapping[tuple[str, ...], type[Group]] = {
    (): Settings,
    ("server",): Server,
    ("database",): Database,
    ("chains",): Chain,
    ("chains", "finality"): Finality,
    ("chains", "tokens"): Token,
    ("chains", "checkpoint"): Checkpoint,
    ("chains", "sweep"): Sweep,
    ("chains", "refunds"): Refunds,
    ("corridors",): Corridor,
    ("corridors", "economy"): Economy,
    ("payouts",): Payouts,
    ("treasury",): Treasury,
    ("pricing",): Pricing,
    ("pricing", "sources"): Source,
    ("adapters",): Adapter,
}
"""Which group a table is, by its names without list indexes and adapter names."""


def _needed(info: ValidationInfo, name: str) -> Any:
    """A field checked before this one. If it is wrong itself, this one can't be judged."""
    if name not in info.data:
        raise PydanticCustomError(DEPENDS, "another field is wrong")
    return info.data[name]


def _plural(count: int, one: str, many: str = "") -> str:
    return one if count == 1 else many or one + "s"
