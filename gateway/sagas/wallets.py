"""The wallets that pay legs on chain: one per chain, filled by the operator. Values, without keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from eth_utils.address import is_hex_address

from gateway.legs import CoinTransfer
from gateway.money import Asset


@dataclass(frozen=True, slots=True, kw_only=True)
class LegWallet:
    """What [chains.legs] comes to."""

    chain_id: int
    address: str
    """EIP-55."""
    account: str
    """Where the ledger says that its coins lie."""
    coins: Mapping[str, Asset]
    """By the contract's address in lower case: those that this gateway takes on that chain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LegWallets:
    """All of them."""

    by_chain: Mapping[int, LegWallet]
    ours: frozenset[str]
    """Lower-case addresses of treasuries, wallets, keys, tokens and factories: nothing is sent there."""

    def refusal(self, wanted: CoinTransfer) -> str | None:
        """Why these coins can never be sent as the adapter wants them, in a sentence; None: they can."""
        wallet = self.by_chain.get(wanted.chain_id)
        if wallet is None:
            return f"chain {wanted.chain_id} has no wallet for legs: the operator has to give it a [chains.legs] table"
        if wallet.coins.get(wanted.contract.lower()) != wanted.amount.asset:
            return f"{wanted.amount.asset} at {wanted.contract} is no coin of this gateway's on chain {wanted.chain_id}"
        if not is_hex_address(wanted.to) or not int(wanted.to, 16) or wanted.to.lower() in self.ours:
            return "the address to pay to is none, or our own"
        return None if wanted.amount.units > 0 else "there is nothing to send"


NO_LEG_WALLETS = LegWallets(by_chain={}, ours=frozenset())
"""No leg is paid on chain."""
