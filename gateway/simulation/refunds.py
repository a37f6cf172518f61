"""Money that goes back: people order it by the product's own functions, and a wallet of ours pays it on the simulated chain.

What stands between the queue of transactions and the chain (nonces, fees, signatures) is a stand-in here.
"""

from __future__ import annotations

import zlib
from collections import Counter
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
from gateway.simulation.market import Market
from gateway.simulation.people import FIRST
from gateway.simulation.scheduler import Violation

REASON = "the sender wants it back"
ONE_OF = 4
"""One of so many senders wants it back."""
HOLDS = ("late", "underpaid", "refund_failed")
WISHES_MOST = 4
TOO_MUCH = 10**13
TAKEN_FROM = {Of.FUNDS: (":funds", ":payout"), Of.UNALLOCATED: (":unallocated",)}
"""Accounts of an order with money that somebody may want back."""
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
    market: Market
    accounts: Mapping[tuple[str, str], int]
    """What the books have, by account and asset."""
    paid: Mapping[str, int]
    """What each order's recipient rightfully has."""
    note: Callable[[str], None]
    checked: Counter[str]
    ordered: dict[str, Back] = field(default_factory=dict)
    """By address."""
    _waiting: dict[str, str] = field(default_factory=dict)
    """Of what was sent, by its hash: the transaction's id in the queue."""
    _gone: Counter[str] = field(default_factory=Counter)
    """Units that went back, or may, by order."""
    _empty: dict[str, Receipt] = field(default_factory=dict)
    """Transactions in which the token said yes and moved nothing, by hash."""

    async def stock(self, connection: AsyncConnection, *, now: datetime) -> None:
        """The operator puts coins into the wallet, and books it. On the chain they are in its first block."""
        put_in = Transfer(_WALLET.account, "capital", Money(STOCK, USDC))
        await post(connection, entries=[Entry("wallet stocked", "top_up", (put_in,))], now=now)

    async def work(self, now: datetime) -> None:
        """Order some, pay what is queued."""
        held, under_way = set(self.eye.held(HOLDS)), self.eye.refunding()
        for (account, _), units in list(self.accounts.items()):
            _, order_id, of = account.split(":") if units and account.startswith("order:") else ("", "", "")
            wanted = zlib.crc32(order_id.encode()) % ONE_OF == 0 and order_id not in under_way
            may = of == Of.UNALLOCATED or (of == Of.FUNDS and order_id in held)
            if wanted and may and self.complete(order_id):
                await self._order(Back(order_id, Of(of)), now)
                if self.market.frozen:  # the others wouldn't fare better
                    break
        for _ in range(WISHES_MOST):
            if self.dice.happens("refund_wished"):
                await self._wish(now)
        self._pay()

    def complete(self, order_id: str) -> bool:
        """Whether nobody sends more for an order, and all that was sent is booked."""
        address = self.market.first[order_id].address
        planned = self.market.planned[address]
        return len(self.chain.credits_of(address)) == planned == self.eye.booked(address)

    async def read(self, hashes: Sequence[str]) -> Sequence[Receipt | None]:
        """Receipts, as the product's `settle_refunds` wants them."""
        found = {tx_hash: _receipt(credit) for tx_hash, credit in self._final().items()} | self._empty
        return [found.get(tx_hash) for tx_hash in hashes]

    async def _wish(self, now: datetime) -> None:
        """Somebody wants what may not be: at any time, of any order, any amount, to any address."""
        of = self.dice.pick(list(Of))
        ours = [account for (account, _), units in self.accounts.items() if units and account.endswith(TAKEN_FROM[of])]
        if not ours:
            return
        order_id = self.dice.pick(ours).split(":")[1]
        units = self.dice.pick((None, 1, TOO_MUCH))
        address = self.dice.pick((None, None, TREASURY, self.market.first[order_id].address))
        if of is Of.UNALLOCATED or self.complete(order_id):
            await self._order(Back(order_id, of), now, units=units, to=address)

    async def _order(self, back: Back, now: datetime, *, units: int | None = None, to: str | None = None) -> None:
        there = self.accounts.get((f"order:{back.order_id}:{back.of}", USDC.code), 0)
        address = to or word(f"{back.of} of {back.order_id}")[:42]
        confirmation = Confirmation(
            order_id=back.order_id,
            address=address,
            source=Source.OPERATOR,
            confirmed_by=FIRST,
            evidence={"said": "a letter"},
            reason=REASON,
        )
        wish = RefundWish(order_id=back.order_id, of=back.of, units=units, reason=REASON, operator=FIRST)
        try:
            async with transaction(self.engine) as connection:
                await confirm_address(connection, confirmation=confirmation, wallets=WALLETS, now=now)
                await order_refund(connection, wish=wish, wallets=WALLETS, now=now)
        except Refusal as refusal:
            self.note(f"no refund of {back.order_id}: {refusal.code}")
        except Exception as error:
            raise Violation(f"a refund of {back.order_id} isn't refused, and ends in {type(error).__name__}") from error
        else:
            self.note(f"a refund of {back.order_id}")
            self._check_ordered(back, there if units is None else units, there=there, to=to)
            self.ordered[address] = back

    def _check_ordered(self, back: Back, units: int, *, there: int, to: str | None) -> None:
        self.checked["refunds of what is there"] += 1
        said = f"a refund of {units} of the {there} {back.of} of {back.order_id}"
        if self.market.frozen:
            raise Violation(f"{said} is ordered while the coin is frozen")
        if to is not None:
            raise Violation(f"{said} is ordered to an address of our own")
        if units > there or (back.of is Of.FUNDS and units != there):
            raise Violation(f"{said} is ordered")
        if back.of is Of.FUNDS and any(attempt.open for attempt in self.eye.attempts([back.order_id])):
            raise Violation(f"{said} is ordered while a payout is open")

    def _check_leaving(self, order_id: str, units: int) -> None:
        """What came for an order goes to its recipient or back: never both, and never more than came."""
        self.checked["refunds once"] += 1
        self._gone[order_id] += units
        deal = self.market.deals[order_id]
        came = sum(credit.units for credit in self.chain.credits_of(deal.address))
        used = deal.send if self.paid.get(order_id) else 0
        if self._gone[order_id] + used > came:
            raise Violation(f"{self._gone[order_id]} go back of {came} that came for order {order_id}, and {used} were used")
        if self.market.frozen:
            raise Violation(f"{units} of order {order_id} go back while the coin is frozen")

    def _pay(self) -> None:
        """The wallet's part: what is queued is sent, refused by the token, or displaced; what is final has succeeded."""
        for row in self.eye.queued():
            to, units = decode(["address", "uint256"], row.data[len(SELECTOR) :])
            self._check_leaving(self.ordered[to].order_id, units)
            match fate := self.dice.first("refund_reverts", "refund_displaced", "refund_moves_nothing"):
                case "refund_reverts":
                    self.eye.mined(row.id, state="reverted", tx_hash=word(f"reverted {row.id}"), block=self.chain.final)
                case "refund_displaced":
                    self.eye.mined(row.id, state="displaced", tx_hash=None, block=None)
                case "refund_moves_nothing":
                    tx_hash = word(f"moves nothing {row.id}")
                    self._empty[tx_hash] = _receipt_of(tx_hash, block=self.chain.final)
                    self.eye.mined(row.id, state="succeeded", tx_hash=tx_hash, block=self.chain.final)
                case _:
                    self.eye.sent(row.id)
                    self._waiting[self.chain.send(address=to, units=units, sender=TREASURY)] = row.id
            if fate is not None:
                self._gone[self.ordered[to].order_id] -= units
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
    return _receipt_of(credit.tx_hash, log, block=credit.block)


def _receipt_of(tx_hash: str, *logs: Log, block: int) -> Receipt:
    return Receipt(hash=tx_hash, block_number=block, block_hash=word("any"), succeeded=True, fee=0, logs=logs)
