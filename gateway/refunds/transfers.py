"""What a refund is on the chain: one transaction that moves the coin from the wallet to the confirmed address."""

from __future__ import annotations

from eth_abi.abi import encode
from eth_utils.address import to_checksum_address

from gateway.chain.accounts import Receipt
from gateway.chain.logs import ADDRESS_PADDING, TRANSFER
from gateway.chain.transactions import Wanted
from gateway.refunds.wallets import Coin, Wallet

PURPOSE = "refund"
SELECTOR = bytes.fromhex("a9059cbb")
"""Selector of `transfer(address,uint256)` (ERC-20)."""
GAS = 300_000
"""Most gas a transfer may use; a USDC's takes 65,000. The rest is room for roll-ups that count their L1 costs as gas."""


def transfer(*, refund_id: str, wallet: Wallet, coin: Coin, address: str, units: int) -> Wanted:
    """The transaction of a refund. Its reference is the refund's id: asked for again, it is the same transaction."""
    to = to_checksum_address(address)
    token = coin.contract
    return Wanted(
        chain_id=wallet.chain_id,
        sender=wallet.address,
        purpose=PURPOSE,
        reference=refund_id,
        to=to if token is None else token,
        data=b"" if token is None else SELECTOR + encode(["address", "uint256"], [to, units]),
        value=units if token is None else 0,
        gas_limit=GAS,
    )


def arrived(receipt: Receipt, *, token: str, address: str) -> int:
    """Smallest units that came to `address` in a transaction, by the token's own events. Both in lower-case hex.

    ERC-20 allows tokens that keep a part as a fee, and tokens that answer false instead of reverting: then nothing came.
    """
    to = ADDRESS_PADDING + address.removeprefix("0x")
    return sum(
        int.from_bytes(log.data)
        for log in receipt.logs
        if log.address == token and log.topics[:1] == (TRANSFER,) and log.topics[2:] == (to,)
    )
