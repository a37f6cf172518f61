"""Coins that are what they say they are: `registry.toml`, and what it says of a configured token.

A token is its chain and its address, never its symbol: anybody can call a contract USDC, and a bridged USDC is another coin
than its issuer's own.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from gateway.chain.terms import ChainTerms


@dataclass(frozen=True, slots=True, kw_only=True)
class Coin:
    """One contract of the registry."""

    chain_id: int
    symbol: str
    """What we call it; where an issuer's own and a bridged coin stand side by side, each has its own."""
    address: str
    """With EIP-55 capitals."""
    decimals: int
    kind: str
    """Who made the contract, and so what it can do: "FiatToken", "TetherToken", "Tether", "Binance-Peg", "bridged"."""
    answers: tuple[str, ...]
    """Functions that a contract of its kind has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """All that is known."""

    coins: tuple[Coin, ...]
    natives: Mapping[int, str]
    """The symbol of each known chain's own coin, which pays gas."""


@cache
def registry() -> Registry:
    """The registry, read once."""
    tree = tomllib.loads(files("gateway.chain").joinpath("registry.toml").read_text(encoding="utf-8"))
    return Registry(
        coins=tuple(
            Coin(chain_id=chain["chain_id"], answers=tuple(tree["kinds"][coin["kind"]]), **coin)
            for chain in tree["chains"]
            for coin in chain["coins"]
        ),
        natives={chain["chain_id"]: chain["native"] for chain in tree["chains"]},
    )


def coin_at(*, chain_id: int, address: str) -> Coin | None:
    """The known coin whose contract stands there, however its address is capitalised."""
    found = (coin for coin in registry().coins if (coin.chain_id, coin.address.lower()) == (chain_id, address.lower()))
    return next(found, None)


def coin_called(*, chain_id: int, symbol: str) -> Coin | None:
    """The known coin of that symbol on that chain, in whatever capitals: USDt is no other coin than USDT."""
    wanted = (chain_id, symbol.casefold())
    found = (coin for coin in registry().coins if (coin.chain_id, coin.symbol.casefold()) == wanted)
    return next(found, None)


def native_symbol(*, chain_id: int) -> str | None:
    """What pays gas on that chain; None: the chain isn't known."""
    return registry().natives.get(chain_id)


def contradictions(*, chain_id: int, symbol: str, address: str, decimals: int) -> Iterator[tuple[str, str]]:
    """What the registry says against a configured token: (which of its keys is wrong, a sentence)."""
    here, called = coin_at(chain_id=chain_id, address=address), coin_called(chain_id=chain_id, symbol=symbol)
    if here is not None and here.symbol != symbol:
        yield "symbol", f'the contract at {address} is {here.symbol} ({here.kind}); give "{here.symbol}" or correct address'
    elif here is None and called is not None:
        sentence = f"{symbol} on chain {chain_id} is the contract {called.address}; give that, or leave address out"
        yield "address", f"{sentence}. Another coin needs another symbol"
    if here is not None and here.decimals != decimals:
        yield "decimals", f"the contract at {address} has {here.decimals} decimals; give {here.decimals} or leave it out"


def unknown_tokens(terms: ChainTerms) -> list[str]:
    """A sentence for each configured token that the registry doesn't know: a warning, for the operator to be sure of it."""
    return [
        f"token {address}: {asset.symbol} there is in no registry of ours. "
        "Compare address and decimals with its issuer's own page."
        for address, asset in terms.tokens.items()
        if coin_at(chain_id=terms.chain_id, address=address) is None
    ]
