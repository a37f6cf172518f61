"""A chain on which deposits, sweeps and refunds are real, and on which everything happens that loops have to live with."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from eth_account import Account
from eth_keyfile.keyfile import create_keyfile_json
from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.chain.forwarders import factory_address, salt_of, sweep_call
from gateway.chain.logs import ADDRESS_PADDING, TRANSFER
from gateway.config import Settings
from gateway.db.session import transaction
from gateway.devchain.chain import DevChain
from gateway.devchain.rpc import Rpc
from gateway.ledger.post import register_assets
from gateway.ledger.queries import balances
from gateway.orders.accept import Acceptance, Accepted, accept_quote
from gateway.orders.recipients import Recipient
from gateway.pricing.models import Quote
from gateway.wiring import make_wallets
from tests.chain_tools import balance, deal_usdc, mine, reorg
from tests.factories import KES, USDC, USDT, quote_row
from tests.integration.refunds.house import House

ORDER = 10_000_000
CHAIN = 31337
TREASURY = "0x" + "7e" * 20
"""A treasury whose factory doesn't stand yet."""
POOR, RICH = 2 * 10**14, 10**20
"""Wei: enough for one plain transfer, and for all that comes."""
SEEN_WITHIN_S = 4
"""Longer than a lease lasts by the children's clock, and than a busy machine takes to look at a block."""
FINAL_AFTER = 2
"""Blocks after which one is final on a development chain."""
UNRIGHT = {"illegal_step", "refund_paid_twice", "paid_after_failed"}
"""Incidents that no kill and no chain explains."""


@dataclass
class Harbour:
    """A development chain that mines when it is told to, with keys of ours."""

    chain: DevChain
    engine: AsyncEngine
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    gas: Any = field(default_factory=Account.create)
    wallet: Any = field(default_factory=Account.create)
    ends: dict[str, str] = field(default_factory=dict)
    refundees: list[str] = field(default_factory=list)
    taken: int = 0
    """What somebody else has swept, in millionths."""

    def settings_of_chain(self, folder: Path) -> dict[str, Any]:
        """The chain's part of the settings."""
        return {
            "rpc": [self.chain.rpc_url],
            "treasury": TREASURY,
            "start_block": self.number(),
            "tokens": [
                {
                    "symbol": "USDC",
                    "address": self.chain.usdc,
                    "decimals": 6,
                    "peg": "USD",
                    "least": "0.01",
                    "refund_per_day": "1000000",
                }
            ],
            "sweep": self._key("gas", self.gas, folder) | {"native_usd": "1", "cost_most_bps": 9_999, "every_s": 10},
            "refunds": self._key("wallet", self.wallet, folder),
        }

    def open(self) -> None:
        """Take the pace of blocks into our hands, and fill the refund wallet."""
        deal_usdc(self.chain, self.wallet.address, 1_000 * ORDER)
        with Rpc(self.chain.rpc_url) as rpc:
            rpc("evm_setAutomine", False)
            rpc("anvil_setBalance", self.gas.address, hex(POOR))
            rpc("anvil_setBalance", self.wallet.address, hex(RICH))

    def close(self) -> None:
        """Give the pace back."""
        with Rpc(self.chain.rpc_url) as rpc:
            rpc("evm_setAutomine", True)

    def _key(self, name: str, account: Any, folder: Path) -> dict[str, str]:
        file = folder / f"{name}.json"
        file.touch(mode=0o600)
        file.write_text(json.dumps(create_keyfile_json(bytes(account.key), b"let me in", kdf="pbkdf2", iterations=1)))
        return {"keystore": str(file), "password": "let me in"}

    # What people do.

    async def order(self, *, late: bool = False, account: str = "+254712345678") -> Accepted:
        """An order; a late one's quote is over before anybody can pay, also by a block's time, which is told in seconds."""
        now = self.now - timedelta(minutes=1) if late else self.now
        row = quote_row(now=now, ttl=timedelta(milliseconds=1) if late else timedelta(days=30))
        factories = {CHAIN: factory_address(treasury=TREASURY)}
        async with transaction(self.engine) as connection:
            await register_assets(connection, assets=[USDC, USDT, KES])
            await connection.execute(insert(Quote).values(row))
            recipient = Recipient(name="Wanjiku Kamau", account=account)
            acceptance = Acceptance(quote_id=str(row["id"]), partner_id=None, recipient=recipient)
            made = await accept_quote(connection, acceptance=acceptance, factories=factories, now=now)
        self.ends[made.order_id] = "refunded" if late else "paid"
        return made

    async def address_of(self, order: Accepted) -> str:
        """Where the order is paid to."""
        return str(await self.value("SELECT deposit_address FROM orders WHERE id = :id", id=order.order_id))

    async def pay(self, *orders: Accepted) -> None:
        """Have the sender send what each order asks for, and let it become final."""
        for order in orders:
            await asyncio.to_thread(self.chain.transfer, to=await self.address_of(order), units=ORDER)
        await asyncio.to_thread(mine, self.chain, 3)

    async def give_back(self, order: Accepted, settings: Settings) -> None:
        """A person orders the refund of a held order, to an address that nobody has used."""
        house = House(self.engine, wallets=make_wallets(settings), now=self.now)
        self.refundees.append(Account.create().address)
        await house.confirm(order, self.refundees[-1])
        await house.refund(order)

    async def taken_by_somebody(self, order: Accepted) -> None:
        """Pay an order, and let somebody else send its coins on before they are final: anybody may, to our treasury."""
        await asyncio.to_thread(self.chain.transfer, to=await self.address_of(order), units=ORDER)
        call = sweep_call(salts=[salt_of(order.order_id)], tokens=[self.chain.usdc])
        with Rpc(self.chain.rpc_url) as rpc:
            to = factory_address(treasury=TREASURY)
            data = {"from": self.chain.sender, "to": to, "data": "0x" + call.hex(), "gas": hex(2_000_000)}
            rpc("eth_sendTransaction", data)
        self.taken += ORDER
        await asyncio.to_thread(mine, self.chain, 3)

    # What the chain does.

    def number(self) -> int:
        """Of the newest block."""
        with Rpc(self.chain.rpc_url) as rpc:
            return int(rpc("eth_blockNumber"), 16)

    async def fork(self) -> None:
        """A block that the watcher has read is replaced by an empty one; nothing happens if nobody reads it in time."""
        await asyncio.to_thread(mine, self.chain, 1)
        number = await asyncio.to_thread(self.number)
        read = "SELECT COALESCE(max(number), 0) >= :number FROM chain_cursors"
        if await self._comes(read, number=number):
            await asyncio.to_thread(reorg, self.chain, 1)

    async def unplace(self) -> None:
        """A transaction of ours that has been seen in a block, and isn't final yet, is taken out of the chain.

        Blocks stand still from when it is mined until it is seen: else it would often be final by then.
        """
        if not await self.value("SELECT count(*) FROM chain_transactions WHERE state IN ('sending', 'mined')"):
            return
        seen = "SELECT count(*) > 0 FROM chain_transactions WHERE state = 'mined' AND block_number > :final"
        if await self._comes(seen, final=await asyncio.to_thread(self.number) - FINAL_AFTER):
            block = await self.value("SELECT max(block_number) FROM chain_transactions WHERE state = 'mined'")
            await asyncio.to_thread(reorg, self.chain, await asyncio.to_thread(self.number) - int(block) + 1)

    async def _comes(self, sql: str, **values: object) -> bool:
        """Whether it becomes true while a worker may be at it: one that has just begun waits for its predecessor's lease."""
        ends = time.monotonic() + SEEN_WITHIN_S
        while not (found := bool(await self.value(sql, **values))) and time.monotonic() < ends:
            await asyncio.sleep(0.02)
        return found

    def stray(self, address: str) -> None:
        """Native coin, and a coin that nobody knows, sent to an address of ours."""
        topics = [ADDRESS_PADDING + address[2:].lower(), ADDRESS_PADDING + self.chain.sender[2:].lower(), TRANSFER]
        pushes = b"".join(b"\x7f" + bytes.fromhex(topic.removeprefix("0x")) for topic in topics)
        emits = b"\x60\x05\x60\x00\x52" + pushes + b"\x60\x20\x60\x00\xa3\x00"
        with Rpc(self.chain.rpc_url) as rpc:
            rpc("eth_sendTransaction", {"from": self.chain.sender, "data": "0x" + emits.hex(), "gas": hex(200_000)})
            rpc("eth_sendTransaction", {"from": self.chain.sender, "to": address, "value": hex(5), "gas": hex(100_000)})

    def rival(self, nonce: int) -> None:
        """The gas key is used by somebody else: a transaction of theirs has this nonce."""
        with Rpc(self.chain.rpc_url) as rpc:
            price = int(rpc("eth_gasPrice"), 16)
            fields = {
                "chainId": CHAIN,
                "nonce": nonce,
                "to": self.chain.sender,
                "value": 0,
                "gas": 21_000,
                "maxFeePerGas": 50 * price if nonce else price + 10**9,
                "maxPriorityFeePerGas": price if nonce else 10**9,
            }
            signed = Account.sign_transaction(fields, self.gas.key)
            rpc("eth_sendRawTransaction", "0x" + signed.raw_transaction.hex())

    def undo(self, first: int) -> None:
        """Replace all blocks from number `first` on by others.

        A stranger's transaction makes them others: an empty block that is made anew is the same one.
        """
        stranger = Account.create()
        with Rpc(self.chain.rpc_url) as rpc:
            rpc("anvil_setBalance", stranger.address, hex(RICH))
            fields = {"chainId": CHAIN, "nonce": 0, "to": self.chain.sender, "value": 0, "gas": 21_000, "gasPrice": 10**11}
            signed = Account.sign_transaction(fields, stranger.key)
        reorg(self.chain, self.number() - first + 1, [("0x" + signed.raw_transaction.hex(), 0)])

    def enrich(self) -> None:
        """Somebody sends the gas key what it needs."""
        with Rpc(self.chain.rpc_url) as rpc:
            rpc("anvil_setBalance", self.gas.address, hex(RICH))

    async def ring(self) -> None:
        """The rail is asked about everything now: a payment that was killed at is asked about ever less often."""
        async with transaction(self.engine) as connection:
            sql = "UPDATE attempts SET asks = 0, due_at = :now WHERE closed_at IS NULL"
            await connection.execute(text(sql), {"now": self.now})

    # What must be true.

    async def value(self, sql: str, **values: object) -> Any:
        async with transaction(self.engine) as connection:
            return (await connection.execute(text(sql), values)).scalar()

    async def states(self) -> dict[str, str]:
        async with transaction(self.engine) as connection:
            return {row.id: row.state for row in await connection.execute(text("SELECT id, state FROM orders"))}

    async def unlike(self) -> list[str]:
        """What isn't where it has to rest."""
        states = await self.states()
        found = [f"{order}: {states[order]}, not {end}" for order, end in self.ends.items() if states[order] != end]
        sql = "SELECT concat_ws(' ', reference, state, nonce, reason) FROM chain_transactions WHERE state <> 'succeeded'"
        async with transaction(self.engine) as connection:
            return [*found, f"{await self.unswept()} unswept", *(await connection.execute(text(sql))).scalars()]

    async def unswept(self) -> int:
        """Deposits that are still where they were sent to."""
        moved = await self.value("SELECT COALESCE(sum(arrived), 0) FROM sweep_items WHERE state = 'flushed'")
        return len(self.ends) * ORDER - self.taken - int(moved)

    async def check(self) -> None:
        """Everybody has his coins once, and the books say what the chain says."""
        assert await self.states() == self.ends
        chain = self.chain
        assert [balance(chain, each, chain.usdc) for each in self.refundees] == [ORDER] * len(self.refundees)
        async with transaction(self.engine) as connection:
            found = {account: money.units for account, money in await balances(connection) if money.asset == USDC}
        swept = balance(chain, TREASURY, chain.usdc) - self.taken
        assert -found[f"treasury:{CHAIN}"] == swept == len(self.ends) * ORDER - self.taken
        assert -found.get(f"chain:{CHAIN}", 0) == self.taken
        spent = 1_000 * ORDER - balance(chain, self.wallet.address, chain.usdc)
        assert found[f"wallet:{CHAIN}"] == spent == len(self.refundees) * ORDER
        kinds = "SELECT COALESCE(string_agg(kind || ' ' || detail, E'\\n'), '') FROM incidents WHERE kind = ANY(:kinds)"
        assert await self.value(kinds, kinds=list(UNRIGHT)) == ""
