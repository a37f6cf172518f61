"""The demo's own keys: two accounts that every development node has. Never send them anything of worth."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import NamedTuple

from eth_keyfile.keyfile import create_keyfile_json

from gateway.demo.parts import replace

# As in gateway.chain.eth: py_ecc, which this brings along, sets it to 100,000, where deep JSON crashes the process.
sys.setrecursionlimit(1_000)

PASSWORD = "demo"  # noqa: S105 - the keys below are published with every development node


class Key(NamedTuple):
    """One of a development node's accounts."""

    name: str
    private: str
    address: str


GAS = Key(
    "gas",
    "5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
    "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC",
)
REFUNDS = Key(
    "refunds",
    "7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6",
    "0x90F79bf6EB2c4f870365E785982E1f101E93b906",
)


def keystore(key: Key, *, folder: Path) -> dict[str, str | dict[str, str]]:
    """Settings of a wallet whose key lies under `folder`, written there if it doesn't yet."""
    file, password = folder / f"{key.name}.json", folder / f"{key.name}.password"
    if not file.exists():
        # One round: a published key needs no slow lock, and the demo starts sooner.
        made = create_keyfile_json(bytes.fromhex(key.private), PASSWORD.encode(), kdf="pbkdf2", iterations=1)
        replace(file, json.dumps(made))
    replace(password, PASSWORD)
    return {"keystore": str(file), "password": {"file": str(password)}}
