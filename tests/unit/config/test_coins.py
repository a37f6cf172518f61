"""What the registry of known coins does to the configuration of a chain."""
# ruff: noqa: E501 - the sentences stand as their readers see them

from __future__ import annotations

import pytest

from gateway.config import parse
from gateway.money import Asset

USDC = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"
USDBC = "0xd9aAEc86B65D86f6A7B5B1b0c42FFA531710b6CA"
STRANGER = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
OWN_CHAIN = 31337


def on(tree, chain_id, *tokens, **chain):
    changed = tree.changed("chains.0.tokens", [{"peg": "USD"} | token for token in tokens])
    changed["chains"][0] |= {"chain_id": chain_id} | chain
    return changed


def chain_of(settings):
    return settings.chains[0]


@pytest.mark.parametrize(
    ("chain_id", "symbol", "address", "decimals"),
    [
        (8453, "USDC", USDC, 6),
        (8453, "USDbC", USDBC, 6),
        (56, "USDT", "0x55d398326f99059fF775485246999027B3197955", 18),
        (42161, "USDC.e", "0xFF970A61A04b1cA14834A43f5dE4533eBDDB5CC8", 6),
    ],
)
def test_a_known_symbol_is_enough(tree, chain_id, symbol, address, decimals):
    chain = chain_of(parse(tree=on(tree, chain_id, {"symbol": symbol})))
    assert (chain.tokens[0].address, chain.tokens[0].decimals) == (address, decimals)
    assert chain.asset(token=chain.tokens[0]) == Asset(f"{symbol}@{chain_id}", decimals)


@pytest.mark.parametrize(
    ("chain_id", "token", "line"),
    [
        (
            8453,
            {"symbol": "USDC", "address": USDBC, "decimals": 6},
            f'chains[0].tokens[0].symbol: the contract at {USDBC} is USDbC (bridged); give "USDbC" or correct address',
        ),
        (
            8453,
            {"symbol": "USDC", "address": STRANGER, "decimals": 6},
            f"chains[0].tokens[0].address: USDC on chain 8453 is the contract {USDC}; give that, or leave address out. Another coin needs another symbol",
        ),
        (
            8453,
            {"symbol": "UsDc", "address": STRANGER, "decimals": 6},
            f"chains[0].tokens[0].address: UsDc on chain 8453 is the contract {USDC}; give that, or leave address out. Another coin needs another symbol",
        ),
        (
            8453,
            {"symbol": "usdc"},
            f'chains[0].tokens[0].symbol: the contract at {USDC} is USDC (FiatToken); give "USDC" or correct address',
        ),
        (
            56,
            {"symbol": "USDT", "decimals": 6},
            "chains[0].tokens[0].decimals: the contract at 0x55d398326f99059fF775485246999027B3197955 has 18 decimals; give 18 or leave it out",
        ),
        (
            8453,
            {"symbol": "DAI", "decimals": 18},
            'chains[0].tokens[0].address: is missing; give the contract\'s address, "0x" and 40 hexadecimal digits',
        ),
    ],
)
def test_what_the_registry_knows_better_is_refused(tree, complaints, chain_id, token, line):
    assert complaints(on(tree, chain_id, token)) == [line]


def test_a_coin_that_nobody_knows_may_be_configured(tree):
    token = {"symbol": "USDC", "address": STRANGER, "decimals": 6}
    assert chain_of(parse(tree=on(tree, OWN_CHAIN, token))).tokens[0].address == STRANGER
    other = {"symbol": "DAI", "address": STRANGER, "decimals": 18}
    assert chain_of(parse(tree=on(tree, 8453, other))).tokens[0].decimals == 18


@pytest.mark.parametrize("tokens", [5, {}, ["USDC"], [{"symbol": 5, "address": USDC, "decimals": 6, "peg": "USD"}]])
def test_what_is_no_token_is_told_as_before(tree, complaints, tokens):
    (line,) = complaints(tree.changed("chains.0.tokens", tokens))
    assert line.startswith("chains[0].tokens")


@pytest.mark.parametrize(("chain_id", "code"), [(137, "POL@137"), (56, "BNB@56"), (OWN_CHAIN, "ETH@31337")])
def test_what_pays_gas_is_known_by_the_chain(tree, chain_id, code):
    token = {"symbol": "DAI", "address": STRANGER, "decimals": 18}
    assert chain_of(parse(tree=on(tree, chain_id, token))).native_asset == Asset(code, 18)


def test_what_pays_gas_may_be_named_on_an_unknown_chain_only(tree, complaints):
    token = {"symbol": "DAI", "address": STRANGER, "decimals": 18}
    assert chain_of(parse(tree=on(tree, OWN_CHAIN, token, native="XYZ"))).native_asset.code == "XYZ@31337"
    assert chain_of(parse(tree=on(tree, 137, token, native="POL"))).native_asset.code == "POL@137"
    assert complaints(on(tree, 137, token, native="ETH")) == [
        'chains[0].native: "ETH" doesn\'t pay gas on this chain; give "POL" or leave it out'
    ]
