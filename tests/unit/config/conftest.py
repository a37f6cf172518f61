from __future__ import annotations

import copy

import pytest

from gateway.config import ConfigError, load, parse

USDC = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"
TREASURY = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
GOOD = {
    "server": {"public_url": "https://pay.example.org"},
    "chains": [
        {
            "name": "base",
            "chain_id": 8453,
            "rpc": ["https://one.example/v2/CANARY", "https://two.example"],
            "quorum": 2,
            "finality": {"tag": "finalized"},
            "treasury": TREASURY,
            "tokens": [{"symbol": "USDC", "address": USDC, "decimals": 6, "peg": "USD", "least": "0.5"}],
        }
    ],
    "corridors": [
        {
            "country": "KE",
            "currency": "KES",
            "methods": ["mobile_money", "bank"],
            "spread_bps": 50,
            "fee": "25",
            "min": "100",
            "max": "250000.50",
        }
    ],
    "pricing": {
        "sources": [
            {"name": "oxr", "kind": "open_exchange_rates", "app_id": "CANARY"},
            {"name": "desk", "kind": "file", "path": "rates.json"},
        ],
        "max_age_s": 7200,
        "max_spread_bps": 100,
        "quote_ttl_s": 900,
    },
    "adapters": {"mpesa": {"kind": "mpesa", "short_code": "600992", "consumer_secret": "CANARY"}},
}

TOML = """
[server]
public_url = "https://pay.example.org"
[[chains]]
name = "base"
chain_id = 8453
rpc = ["https://one.example", "https://two.example"]
quorum = 2
finality = { depth = 12 }
treasury = "0x70997970c51812dc3a010c7d01b50e0d17dc79c8"
[[chains.tokens]]
symbol = "USDC"
address = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"
decimals = 6
peg = "USD"
[[corridors]]
country = "KE"
currency = "KES"
methods = ["mobile_money"]
spread_bps = 50
fee = "25"
min = "100"
max = "250000"
[pricing]
max_age_s = 7200
max_spread_bps = 100
quote_ttl_s = 900
min_sources = 1
[[pricing.sources]]
name = "desk"
kind = "file"
[adapters.mpesa]
kind = "mpesa"
short_code = "600992"
"""


class Tree:
    """A good configuration as the tree that TOML gives, and as TOML itself ending in the adapter's table."""

    good = GOOD
    toml = TOML
    treasury = TREASURY

    def at(self, place):
        """The value at a place such as "chains.0.quorum"."""
        found = GOOD
        for part in self._parts(place):
            found = found[part]
        return found

    def changed(self, place, value):
        """A copy with this value there; in a list it becomes the last entry; `...` leaves the key out."""
        tree = copy.deepcopy(GOOD)
        *outer, last = self._parts(place)
        table = tree
        for part in outer:
            table = table[part]
        if isinstance(table, list):
            table[last:] = [value]
        elif value is ...:
            del table[last]
        else:
            table[last] = value
        return tree

    @staticmethod
    def _parts(place):
        return [int(part) if part.isdecimal() else part for part in place.split(".")]


@pytest.fixture(scope="session")
def tree():
    return Tree()


@pytest.fixture
def toml_file(tmp_path):
    """Writes a configuration file: the good one unless told otherwise."""

    def write(text=TOML):
        path = tmp_path / "lastmile.toml"
        path.write_text(text)
        return path

    return write


@pytest.fixture(scope="session")
def complaints():
    """The lines with which a tree, or a file with an environment, is refused."""

    def lines(tree=None, *, path=None, environment=None):
        with pytest.raises(ConfigError) as caught:
            parse(tree=tree) if tree is not None else load(path=path, environment=environment or {})
        return str(caught.value).splitlines()

    return lines
