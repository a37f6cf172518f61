"""An account of ours on a development node, what may happen to its words on the way, and a clock that a test moves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from eth_account import Account
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.chain.quorum import Quorum
from gateway.chain.rpc import Node, Transport, connect
from gateway.chain.signer import KeystoreSigner
from gateway.chain.submit import Submitter
from gateway.chain.terms import ChainTerms, Finality, FinalizedTag
from gateway.chain.transactions import OPEN, Result, Wanted, queue, results
from gateway.db.session import transaction
from gateway.devchain.chain import DevChain
from gateway.devchain.rpc import Rpc
from gateway.ledger.queries import balances
from gateway.money import Asset
from tests.chain_tools import mine
from tests.integration.chain.desk import NOW

ETH = Asset("ETH@31337", 18)
STEPS_MOST = 60
_numbers = count(1)


class Killed(BaseException):
    """The process is gone: nothing after this line happens."""


@dataclass
class Way:
    """A transport whose calls a test follows: `before` may stop them, `after` may lose their answers or change them."""

    inner: Transport
    before: Callable[[str, Sequence[object]], None] = lambda _method, _params: None
    after: Callable[[str, Sequence[object], object], object] = lambda _method, _params, answer: answer
    sent: list[str] = field(default_factory=list)

    async def ask(self, method: str, params: Sequence[object]) -> object:
        self.before(method, params)
        if method == "eth_sendRawTransaction":
            self.sent.append(str(params[0]))
        return self.after(method, params, await self.inner.ask(method, params))

    async def fetch(self, method: str, params: Sequence[object], read: Callable[[bytes], Any]) -> tuple[Any, int]:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "result": await self.ask(method, params)}).encode()
        return read(body).result, len(body)

    async def fetch_all(
        self, method: str, each: Sequence[Sequence[object]], read: Callable[[bytes], Sequence[Any]]
    ) -> list[Any]:
        given = [{"jsonrpc": "2.0", "id": 1, "result": await self.ask(method, params)} for params in each]
        return [answer.result for answer in read(json.dumps(given).encode())]

    async def disconnect(self) -> None:
        await self.inner.disconnect()


def somebody() -> str:
    """An address that nobody has used."""
    return f"0x{next(_numbers):040x}".replace("0x00000000", "0xabcdef01")


@dataclass
class Payer:
    """One key of ours, and those who send for it."""

    chain: DevChain
    engine: AsyncEngine
    way: Way
    now: datetime = NOW
    signer: KeystoreSigner = field(default_factory=lambda: KeystoreSigner(Account.create()))
    most_gwei: int = 500

    @property
    def sender(self) -> str:
        return self.signer.address

    @property
    def quorum(self) -> Quorum:
        return self.quorum_of(self.way)

    def quorum_of(self, *ways: Way, quorum: int = 1, finality: Finality | None = None) -> Quorum:
        made = Quorum(nodes=[Node(way, name=f"node {number}") for number, way in enumerate(ways)], quorum=quorum)
        made.expect(chain_id=self.chain.chain_id, checkpoint=None, finality=finality or FinalizedTag())
        return made

    def terms(self, finality: Finality | None = None, **changes: Any) -> ChainTerms:
        whole: dict[str, Any] = {
            "name": "dev",
            "chain_id": self.chain.chain_id,
            "rpc": (self.chain.rpc_url,),
            "finality": finality or FinalizedTag(),
            "start_block": None,
            "tokens": {self.chain.usdc.lower(): Asset("USDC@31337", 6)},
            "poll_s": 1,
            "native": ETH,
            "treasury": self.chain.treasury,
        }
        return ChainTerms(**whole | changes)

    def submitter(self, **changes: Any) -> Submitter:
        whole: dict[str, Any] = {
            "terms": self.terms(),
            "quorum": self.quorum,
            "signer": self.signer,
            "engine": self.engine,
            "clock": lambda: self.now,
            "gas_price_most_gwei": self.most_gwei,
        }
        return Submitter(**whole | changes)

    def wanted(self, reference: str = "one", **changes: Any) -> Wanted:
        whole: dict[str, Any] = {
            "chain_id": self.chain.chain_id,
            "sender": self.sender,
            "purpose": "test",
            "reference": reference,
            "to": somebody(),
            "data": b"",
            "value": 1,
            "gas_limit": 100_000,
        }
        return Wanted(**whole | changes)

    async def queue(self, reference: str = "one", **changes: Any) -> Wanted:
        wanted = self.wanted(reference, **changes)
        async with transaction(self.engine) as connection:
            await queue(connection, wanted=wanted, now=self.now)
        return wanted

    async def result(self, reference: str = "one") -> Result:
        async with transaction(self.engine) as connection:
            return (await results(connection, references=[reference]))[reference]

    def later(self, seconds: int = 5) -> None:
        self.now += timedelta(seconds=seconds)

    async def mined(self) -> None:
        """Wait until the node has made its blocks: it makes them a moment after it has answered."""
        for _ in range(400):
            if not self.rpc("anvil_getAutomine") or int(self.rpc("txpool_status")["pending"], 16) == 0:
                return
            await asyncio.sleep(0.005)
        raise AssertionError("the node has transactions that it doesn't mine")

    async def step(self, submitter: Submitter | None = None) -> Result:
        """Look once more, when it is due."""
        await self.mined()
        self.later()
        await (submitter or self.submitter()).step()
        return await self.result()

    async def finish(self, reference: str = "one") -> Result:
        """Step and mine until it is decided."""
        submitter = self.submitter()
        for _ in range(STEPS_MOST):
            await self.mined()
            self.later()
            await submitter.step()
            result = await self.result(reference)
            if result.state not in OPEN:
                return result
            await asyncio.to_thread(mine, self.chain, 1)
        raise AssertionError(f"no end after {STEPS_MOST} steps: {result}")

    def rpc(self, method: str, *params: object) -> Any:
        with Rpc(self.chain.rpc_url) as rpc:
            return rpc(method, *params)

    def has(self, address: str) -> int:
        return int(self.rpc("eth_getBalance", address, "latest"), 16)

    def nonce(self) -> int:
        return int(self.rpc("eth_getTransactionCount", self.sender, "latest"), 16)

    async def rows(self, statement: str, **parameters: object) -> list[Any]:
        async with transaction(self.engine) as connection:
            return list((await connection.execute(text(statement), parameters)).all())

    async def incidents(self) -> list[str]:
        return [row.kind for row in await self.rows("SELECT kind FROM incidents ORDER BY id")]

    async def books(self) -> dict[str, int]:
        async with transaction(self.engine) as connection:
            return {f"{account} {money.asset.code}": money.units for account, money in await balances(connection)}


def make_payer(chain: DevChain, engine: AsyncEngine, *, ether: int = 10) -> Payer:
    """A payer with native coin, on a block that no test has undone."""
    node = connect(chain.rpc_url)
    payer = Payer(chain, engine, Way(node._transport))
    payer.rpc("anvil_setBalance", payer.sender, hex(ether * 10**18))
    # Anvil can't reorganise down to a block that was undone and comes again, so this one never was before.
    payer.rpc("evm_increaseTime", next(_numbers))
    payer.rpc("anvil_setNextBlockBaseFeePerGas", hex(10**9))
    payer.rpc("evm_mine")
    return payer
