"""A gateway that refunds, without a chain: what became of its transactions is written by the test."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.chain.accounts import Log, Receipt
from gateway.chain.logs import ADDRESS_PADDING, TRANSFER
from gateway.db.session import transaction
from gateway.ledger.post import Entry, Transfer, post
from gateway.ledger.queries import balances
from gateway.money import Asset, Money
from gateway.orders.accept import Accepted
from gateway.orders.funding import book_deposits
from gateway.payouts.queries import order_view
from gateway.payouts.views import OrderView
from gateway.refunds.addresses import Confirmation, Source, confirm_address
from gateway.refunds.order import Of, RefundWish, order_refund
from gateway.refunds.queries import RefundDetails, find_refund
from gateway.refunds.send import send_refunds
from gateway.refunds.settle import settle_refunds
from gateway.refunds.wallets import Coin, Wallet, Wallets
from tests.factories import FACTORY, NOW, USDC, USDT, make_deposit, make_orders

CHAIN = 31337
SENDER = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
OTHER = "0x90F79bf6EB2c4f870365E785982E1f101E93b906"
WALLET = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"
TREASURY = "0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65"
USDC_AT = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"
USDT_AT = "0xc2132D05D31c914a87C6611C10748AEb04B58e8F"
NATIVE = Asset("ETH@31337", 18)
LATE = NOW + timedelta(minutes=15)
PER_DAY = 100_000_000
WALLETS = Wallets(
    by_chain={
        CHAIN: Wallet(
            chain_id=CHAIN,
            address=WALLET,
            treasury=TREASURY,
            coins={
                asset.code: Coin(asset=asset, contract=contract, per_day=Money(PER_DAY, asset))
                for asset, contract in ((USDC, USDC_AT), (USDT, USDT_AT))
            },
        )
    },
    ours=frozenset(address.lower() for address in (WALLET, TREASURY, USDC_AT, USDT_AT, FACTORY)),
)
_numbers = count(1)


def with_limit(units: int) -> Wallets:
    """The same wallets with another limit per day."""
    wallet = WALLETS.by_chain[CHAIN]
    coins = {code: replace(coin, per_day=Money(units, coin.asset)) for code, coin in wallet.coins.items()}
    return replace(WALLETS, by_chain={CHAIN: replace(wallet, coins=coins)})


@dataclass
class House:
    """Orders, refunds and their books."""

    engine: AsyncEngine
    wallets: Wallets = WALLETS
    now: datetime = NOW
    receipts: dict[str, Receipt] = field(default_factory=dict)

    async def hold(self, number: int = 1, *, units: int = 10_000_000, address: bool = True) -> list[Accepted]:
        """Orders that are held because their money came late."""
        orders = await make_orders(self.engine, number, send_units=units)
        for order in orders:
            await make_deposit(self.engine, order, units=units, at=LATE)
        await self.book()
        for order in orders if address else ():
            await self.confirm(order)
        return orders

    async def book(self) -> None:
        while await book_deposits(self.engine, least={}, now=self.now):
            pass

    async def add_operator(self, name: str = "amina") -> None:
        await self.run(
            "INSERT INTO operators (name, password_hash, created_at) VALUES (:name, 'x', now()) ON CONFLICT DO NOTHING",
            name=name,
        )

    async def confirm(self, order: Accepted, address: str = SENDER, **changes: Any) -> str:
        await self.add_operator()
        confirmation = Confirmation(
            order_id=order.order_id,
            address=address,
            source=Source.OPERATOR,
            confirmed_by="amina",
            evidence={"said": "the sender called from the number on file"},
            reason="asked for by phone",
        )
        async with transaction(self.engine) as connection:
            return await confirm_address(
                connection, confirmation=replace(confirmation, **changes), wallets=self.wallets, now=self.now
            )

    async def refund(self, order: Accepted, of: Of = Of.FUNDS, **changes: Any) -> str:
        """Order a refund; its id."""
        by = {} if "partner" in changes else {"operator": "amina"}
        wish = {"order_id": order.order_id, "of": of, "reason": "came too late", **by, **changes}
        async with transaction(self.engine) as connection:
            return await order_refund(connection, wish=RefundWish(**wish), wallets=self.wallets, now=self.now)

    async def send(self) -> int:
        return await send_refunds(self.engine, wallets=self.wallets, now=self.now)

    async def settle(self) -> int:
        async def read(hashes: Any) -> list[Receipt | None]:
            return [self.receipts.get(tx_hash) for tx_hash in hashes]

        return await settle_refunds(self.engine, chain_id=CHAIN, read=read, clock=lambda: self.now)

    async def decide(self, refund_id: str, state: str, *, arrived: int | None = None, reason: str | None = None) -> None:
        """What became of a refund's transaction. `arrived`: by the token's event; by default all of it."""
        seen = state in ("mined", "succeeded", "reverted")
        tx_hash = f"0x{next(_numbers):064x}" if seen else None
        await self.run(
            """UPDATE chain_transactions SET state = :state, reason = :reason, hash = :hash, block_number = :block,
            fee_units = :fee, nonce = CASE WHEN :state IN ('queued', 'refused') THEN NULL ELSE :nonce END,
            due_at = CASE WHEN :state IN ('queued', 'sending', 'mined') THEN now() END WHERE reference = :reference""",
            state=state,
            reason=reason,
            hash=tx_hash,
            block=9 if seen else None,
            fee=21_000 if seen else None,
            nonce=next(_numbers),
            reference=refund_id,
        )
        if state == "succeeded":
            refund = await self.see(refund_id)
            units = refund.amount.units if arrived is None else arrived
            self.receipts[str(tx_hash)] = receipt(str(tx_hash), to=refund.address, units=units)

    async def see(self, refund_id: str) -> RefundDetails:
        async with transaction(self.engine) as connection:
            found = await find_refund(connection, refund_id=refund_id)
        assert found is not None
        return found

    async def view(self, order: Accepted) -> OrderView:
        async with transaction(self.engine) as connection:
            view = await order_view(connection, now=self.now, order_id=order.order_id)
        assert view is not None
        return view

    async def books(self) -> dict[str, str]:
        """Accounts that aren't empty. Of orders only the last word, so tests that use this have one order."""
        async with transaction(self.engine) as connection:
            return {
                account.rpartition(":")[2] if account.startswith("order:") else account: f"{money}"
                for account, money in await balances(connection)
            }

    async def credit(self, order: Accepted, units: int, asset: Asset = USDC) -> None:
        """Money that came beyond what the order needs."""
        transfer = Transfer(f"chain:{CHAIN}", f"order:{order.order_id}:unallocated", Money(units, asset))
        entry = Entry(f"test:{next(_numbers)}", "unallocated", (transfer,), order.order_id)
        async with transaction(self.engine) as connection:
            await post(connection, entries=[entry], now=self.now)

    async def run(self, statement: str, **values: Any) -> list[Any]:
        async with transaction(self.engine) as connection:
            result = await connection.execute(text(statement), values)
            return list(result.all()) if result.returns_rows else []


def receipt(tx_hash: str, *, to: str, units: int, token: str = USDC_AT) -> Receipt:
    """What a token's transfer leaves behind."""
    topics = (TRANSFER, ADDRESS_PADDING + WALLET[2:].lower(), ADDRESS_PADDING + to[2:].lower())
    log = Log(address=token.lower(), topics=topics, data=units.to_bytes(32), index=0)
    return Receipt(
        hash=tx_hash, block_number=9, block_hash="0x" + "9" * 64, succeeded=True, fee=21_000, logs=(log,) if units else ()
    )
