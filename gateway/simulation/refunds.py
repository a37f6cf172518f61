"""Money that goes back: people order it by the product's own functions, and a wallet of ours pays it on the simulated chain.

What stands between the queue of transactions and the chain (nonces, fees, signatures) is a stand-in here.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from eth_abi.abi import decode
from eth_utils.address import to_checksum_address
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.chain.accounts import Log, Receipt
from gateway.chain.logs import ADDRESS_PADDING, TRANSFER
from gateway.db.session import transaction
from gateway.errors import Refusal
from gateway.ledger.post import Entry, Transfer, post
from gateway.money import Money
from gateway.refunds.addresses import Confirmation, Source, confirm_address
from gateway.refunds.order import Of, RefundWish, order_refund
from gateway.refunds.transfers import SELECTOR
from gateway.refunds.wallets import Coin, Wallet, Wallets
from gateway.simulation.chain import CHAIN_ID, STOCK, TOKEN, TREASURY, USDC, Credit, SimChain, word
from gateway.simulation.eye import Eye
from gateway.simulation.faults import Dice
from gateway.simulation.people import FIRST

REASON = "the sender wants it back"
OLD_S = 7_200
"""After that nobody sends more for an order."""
ONE_OF = 4
"""One of so many senders wants it back."""
HOLDS = ("late", "underpaid", "refund_failed")
_COIN = Coin(asset=USDC, contract=to_checksum_address(TOKEN), per_day=Money(STOCK, USDC))
_WALLET = Wallet(
    chain_id=CHAIN_ID,
    address=to_checksum_address(TREASURY),
    treasury=to_checksum_address(TREASURY),
    coins={USDC.code: _COIN},
)
WALLETS = Wallets(by_chain={CHAIN_ID: _WALLET}, ours=frozenset({TREASURY, TOKEN}))


class Back(NamedTuple):
    """Whose money goes to an address that nobody else has: an order's, what it was paid for or what came beyond."""

    order_id: str
    of: Of


@dataclass(kw_only=True)
class Refunds:
    """Those who order refunds, and the wallet that pays them."""

    engine: AsyncEngine
    eye: Eye
    dice: Dice
    chain: SimChain
    note: Callable[[str], None]
    ordered: dict[str, Back] = field(default_factory=dict)
    """By address."""
    _waiting: dict[str, str] = field(default_factory=dict)
    """Of what was sent, by its hash: the transaction's id in the queue."""

    async def stock(self, connection: AsyncConnection, *, now: datetime) -> None:
        """The operator puts coins into the wallet, and books it. On the chain they are in its first block."""
        put_in = Transfer(_WALLET.account, "capital", Money(STOCK, USDC))
        await post(connection, entries=[Entry("wallet stocked", "top_up", (put_in,))], now=now)

    async def work(self, now: datetime) -> None:
        """Order some, pay what is queued."""
        for back in self.eye.refundable(HOLDS, born_before=now.timestamp() - OLD_S):
            if zlib.crc32(back.order_id.encode()) % ONE_OF == 0:
                await self._order(Back(back.order_id, Of(back.of)), now)
        self._pay()

    async def read(self, hashes: Sequence[str]) -> Sequence[Receipt | None]:
        """Receipts, as the product's `settle_refunds` wants them."""
        found = self._final()
        return [_receipt(found[tx_hash]) if tx_hash in found else None for tx_hash in hashes]

    async def _order(self, back: Back, now: datetime) -> None:
        address = word(f"{back.of} of {back.order_id}")[:42]
        confirmation = Confirmation(
            order_id=back.order_id,
            address=address,
            source=Source.OPERATOR,
            confirmed_by=FIRST,
            evidence={"said": "a letter"},
            reason=REASON,
        )
        wish = RefundWish(order_id=back.order_id, of=back.of, reason=REASON, operator=FIRST)
        try:
            async with transaction(self.engine) as connection:
                await confirm_address(connection, confirmation=confirmation, wallets=WALLETS, now=now)
                await order_refund(connection, wish=wish, wallets=WALLETS, now=now)
        except Refusal as refusal:
            self.note(f"no refund of {back.order_id}: {refusal.code}")
        else:
            self.note(f"a refund of {back.order_id}")
            self.ordered[address] = back

    def _pay(self) -> None:
        """The wallet's part: what is queued is sent, refused by the token, or displaced; what is final has succeeded."""
        for row in self.eye.queued():
            match self.dice.first("refund_reverts", "refund_displaced"):
                case "refund_reverts":
                    self.eye.mined(row.id, state="reverted", tx_hash=word(f"reverted {row.id}"), block=self.chain.final)
                case "refund_displaced":
                    self.eye.mined(row.id, state="displaced", tx_hash=None, block=None)
                case _:
                    to, units = decode(["address", "uint256"], row.data[len(SELECTOR) :])
                    self.eye.sent(row.id)
                    self._waiting[self.chain.send(address=to, units=units, sender=TREASURY)] = row.id
        final = self._final()
        for tx_hash, transaction_id in list(self._waiting.items()):
            if tx_hash in final:
                del self._waiting[tx_hash]
                self.eye.mined(transaction_id, state="succeeded", tx_hash=tx_hash, block=final[tx_hash].block)

    def _final(self) -> Mapping[str, Credit]:
        return {credit.tx_hash: credit for credit in self.chain.credits() if credit.sender == TREASURY}


def _receipt(credit: Credit) -> Receipt:
    topics = (TRANSFER, ADDRESS_PADDING + credit.sender[2:], ADDRESS_PADDING + credit.address[2:])
    log = Log(address=TOKEN, topics=topics, data=credit.units.to_bytes(32), index=credit.log_index)
    return Receipt(
        hash=credit.tx_hash, block_number=credit.block, block_hash=word("any"), succeeded=True, fee=0, logs=(log,)
    )
