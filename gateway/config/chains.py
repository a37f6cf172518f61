"""The settings of chains: who tells us about one, which coins we take there, where they end up."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator

from gateway.chain.registry import native_symbol
from gateway.config.coins import filled, refuse_contradictions, refuse_other_native
from gateway.config.fields import (
    Address,
    BlockHash,
    Bps,
    Currency,
    NotEmpty,
    Pause,
    Seconds,
    Slug,
    SocketUrl,
    Symbol,
    Url,
    Whole,
    amount,
    currency_asset,
)
from gateway.config.group import Group, needed, plural
from gateway.money import Asset, Money

NATIVE_DECIMALS = 18


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
        asset = Asset(needed(info, "symbol"), needed(info, "decimals"))
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


class Legs(KeyFile):
    """[chains.legs]: the wallet that pays those steps of payouts which are made on chain. The operator fills it."""

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
    legs: Legs | None = Field(None, description="a [chains.legs] table")
    tokens: Annotated[tuple[Token, ...], NotEmpty] = Field(description="at least one [[chains.tokens]] table")
    network_fee: str | None = Field(
        None, description='an amount in quotes, in the currency that a coin is worth one of, as in "0.05"'
    )
    """What a customer pays per payment for this chain's fees. Absent: nothing."""

    @field_validator("rpc")
    @classmethod
    def _all_different(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(urls)) < len(urls):
            raise ValueError("lists one url twice; give different providers, or the quorum is one provider's word")
        return urls

    @field_validator("quorum")
    @classmethod
    def _reachable(cls, quorum: int, info: ValidationInfo) -> int:
        urls = len(needed(info, "rpc"))
        if quorum > urls:
            raise ValueError(f"{quorum} is more than the {urls} rpc {plural(urls, 'url')} listed; give at most {urls}")
        operators = len({urlsplit(url).netloc.rpartition("@")[2].lower() for url in info.data["rpc"]})
        if quorum > operators:
            raise ValueError(
                f"{quorum} is more than the {operators} {plural(operators, 'operator')} of the rpc urls: "
                f"what one host says twice is one voice; give at most {operators}, or urls of other hosts"
            )
        return quorum

    @field_validator("native")
    @classmethod
    def _native_as_known(cls, native: str | None, info: ValidationInfo) -> str | None:
        if native is not None:
            refuse_other_native(native, chain_id=needed(info, "chain_id"))
        return native

    @field_validator("tokens", mode="before")
    @classmethod
    def _filled_in(cls, tokens: object, info: ValidationInfo) -> object:
        return filled(tokens, chain_id=info.data.get("chain_id"))

    @field_validator("tokens")
    @classmethod
    def _tokens_as_known(cls, tokens: tuple[Token, ...], info: ValidationInfo) -> tuple[Token, ...]:
        refuse_contradictions(tokens, chain_id=needed(info, "chain_id"))
        return tokens

    @field_validator("network_fee", mode="plain")
    @classmethod
    def _in_every_coin(cls, value: object, info: ValidationInfo) -> str:
        for token in needed(info, "tokens"):
            amount(value, Asset(token.symbol, token.decimals))
        return str(value)

    def network_fee_of(self, *, token: Token) -> Money | None:
        """What a customer pays for the chain's fees, in that coin; None: nothing."""
        fee = None if self.network_fee is None else Money.parse(self.network_fee, self.asset(token=token))
        return fee if fee is not None and fee.units else None

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
