"""The wallets that send money back: one per chain, filled by the operator from the treasury. Values, without keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.money import Asset, Money
from gateway.refunds.errors import AssetFrozen, RefundsOff


@dataclass(frozen=True, slots=True, kw_only=True)
class Coin:
    """An asset that goes back to its senders."""

    asset: Asset
    contract: str | None
    """The token's address (EIP-55); None: the chain's native coin."""
    per_day: Money
    """The most that goes back in 24 hours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wallet:
    """A chain's refund wallet: what [chains.refunds] and the tokens' refund_per_day come to."""

    chain_id: int
    address: str
    """EIP-55."""
    treasury: str
    """EIP-55."""
    coins: Mapping[str, Coin]
    """By asset code; only those with a limit per day."""

    @property
    def treasury_account(self) -> str:
        """Where the ledger says that the treasury's coins lie."""
        return f"treasury:{self.chain_id}"

    @property
    def account(self) -> str:
        """Where the ledger says that this wallet's coins lie. A wallet that is the treasury has no account of its own."""
        return self.treasury_account if self.address == self.treasury else f"wallet:{self.chain_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wallets:
    """All of them."""

    by_chain: Mapping[int, Wallet]
    """By chain id; chains without [chains.refunds] are missing: nothing goes back there."""
    ours: frozenset[str]
    """Lower-case addresses of treasuries, wallets, gas keys, tokens and factories, on any chain: nothing is sent there.

    Deposit addresses are known to the database.
    """

    def usable(self, asset: str, *, halted: Mapping[str, str]) -> tuple[Wallet, Coin]:
        """The wallet and coin that refund an asset. `halted`: frozen ones and why. Raises `RefundsOff` or `AssetFrozen`."""
        if asset in halted:
            raise AssetFrozen(asset, halted[asset])
        for wallet in self.by_chain.values():
            if asset in wallet.coins:
                return wallet, wallet.coins[asset]
        chain_id = asset.rpartition("@")[2]
        raise RefundsOff.of_coin(asset) if chain_id in map(str, self.by_chain) else RefundsOff.on_chain(asset)


NO_WALLETS = Wallets(by_chain={}, ours=frozenset())
"""Nothing is refunded."""
