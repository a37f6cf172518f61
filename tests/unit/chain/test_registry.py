"""The coins that are what they say they are."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from eth_utils.address import to_checksum_address

from gateway.chain.registry import coin_at, coin_called, contradictions, native_symbol, registry, unknown_tokens
from gateway.money import Asset
from tests.unit.chain.fake_chain import terms

STRANGER = "0x" + "5" * 40
KNOWN = {
    (1, "USDC"): ("0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48", 6, "FiatToken"),
    (1, "USDT"): ("0xdAC17F958D2ee523a2206206994597C13D831ec7", 6, "TetherToken"),
    (10, "USDC.e"): ("0x7F5c764cBc14f9669B88837ca1490cCa17c31607", 6, "bridged"),
    (56, "USDC"): ("0x8AC76a51cc950d9822D68b83fE1Ad97B32Cd580d", 18, "Binance-Peg"),
    (56, "USDT"): ("0x55d398326f99059fF775485246999027B3197955", 18, "Binance-Peg"),
    (137, "USDC"): ("0x3c499c542cEF5E3811e1192ce70d8cC03d5c3359", 6, "FiatToken"),
    (8453, "USDbC"): ("0xd9aAEc86B65D86f6A7B5B1b0c42FFA531710b6CA", 6, "bridged"),
    (42161, "USDT0"): ("0xFd086bC7CD5C481DCC9C85ebE478A1C0b69FCbb9", 6, "Tether"),
    (42220, "USDC"): ("0xcebA9300f2b948710d2653dD7B07f33A8B32118C", 6, "FiatToken"),
    (43114, "USDT"): ("0x9702230A8Ea53601f5cD2dc00fDBc13d4dF4A8c7", 6, "Tether"),
}


def test_the_chains_that_we_watch_are_known() -> None:
    natives = {1: "ETH", 10: "ETH", 56: "BNB", 137: "POL", 8453: "ETH", 42161: "ETH", 42220: "CELO", 43114: "AVAX"}
    assert natives.items() <= registry().natives.items()
    assert native_symbol(chain_id=31337) is None
    assert all(coin_called(chain_id=chain_id, symbol="USDC") for chain_id in natives)


@pytest.mark.parametrize(("chain_id", "symbol"), KNOWN)
def test_the_coins_are_those_of_their_issuers(chain_id: int, symbol: str) -> None:
    coin = coin_called(chain_id=chain_id, symbol=symbol)
    assert coin is not None
    assert (coin.address, coin.decimals, coin.kind) == KNOWN[chain_id, symbol]
    assert coin_at(chain_id=chain_id, address=coin.address.lower()) == coin
    assert coin_at(chain_id=chain_id + 1, address=coin.address) is None


def test_no_address_is_mistyped_and_nothing_stands_twice() -> None:
    coins = registry().coins
    assert [coin.address for coin in coins if coin.address != to_checksum_address(coin.address)] == []
    assert set(Counter((coin.chain_id, coin.address.lower()) for coin in coins).values()) == {1}
    assert set(Counter((coin.chain_id, coin.symbol.casefold()) for coin in coins).values()) == {1}
    assert len(coins) == 24


def test_what_is_not_certain_is_left_out() -> None:
    assert coin_called(chain_id=43114, symbol="USDC.e") is None
    assert 84532 not in registry().natives


@pytest.mark.parametrize(
    ("symbol", "address", "decimals", "keys"),
    [
        ("USDC", KNOWN[137, "USDC"][0], 6, []),
        ("USDC", KNOWN[137, "USDC"][0].lower(), 6, []),
        ("USDC", "0x2791Bca1f2de4661ED88A30C99A7a9449Aa84174", 6, ["symbol"]),
        ("USDC.e", KNOWN[137, "USDC"][0], 18, ["symbol", "decimals"]),
        ("USDC", STRANGER, 6, ["address"]),
        ("usdc", STRANGER, 6, ["address"]),
        ("DAI", STRANGER, 18, []),
    ],
)
def test_a_configured_token_is_compared_by_its_address(symbol: str, address: str, decimals: int, keys: list[str]) -> None:
    said = contradictions(chain_id=137, symbol=symbol, address=address, decimals=decimals)
    assert [key for key, _ in said] == keys


def test_unknown_tokens_are_told_one_by_one() -> None:
    known = KNOWN[8453, "USDbC"][0].lower()
    whole = replace(terms(), chain_id=8453, tokens={STRANGER: Asset("DAI@8453", 18), known: Asset("USDbC@8453", 6)})
    (warning,) = unknown_tokens(whole)
    assert warning.startswith(f"token {STRANGER}: DAI")
