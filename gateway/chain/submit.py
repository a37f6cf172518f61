"""Sends the transactions of one account, and finds out what became of each.

Nothing that a node says about a transaction it was given is believed ("already known", "nonce too low", "underpriced", no
answer at all): every signed form is kept before it is sent, and what happened is read from the chain by the forms' own
hashes. So it does no harm to send a form twice, to be killed at any instant, or to have this run in many processes at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from eth_hash.auto import keccak
from eth_utils.address import to_checksum_address
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.chain import nonces, sends
from gateway.chain.accounts import Sight, answers, look, most_pending, read_receipts
from gateway.chain.gas import GWEI, Fees, Market, l1_fee, market, replacement, simulate, within
from gateway.chain.queries import read_cursor
from gateway.chain.quorum import Quorum
from gateway.chain.rpc import Node
from gateway.chain.sends import Open, Send, after
from gateway.chain.signer import Signed, Signer
from gateway.chain.terms import ChainTerms
from gateway.chain.wire import NodeFault, shown
from gateway.clock import Clock
from gateway.db.session import reading, transaction
from gateway.failpoints import failpoint
from gateway.operators.incidents import Alarm, open_incidents

STUCK_AFTER_S = 120
"""Seconds that the next transaction in line waits for a block before its fees are raised."""
LOOK_LEAST_S = 1
"""Seconds between two looks at one transaction, at least."""

_OLD_NEWS = ("known", "nonce too low", "already imported")
"""What nodes say to a form that they have. Only for what is told to people."""


class NotWhatWasAsked(Exception):
    """The signer gave back another transaction than it was asked to sign, or another account's signature."""


class Submitter:
    """Sends for one account on one chain. Any number may run at once."""

    def __init__(
        self,
        *,
        terms: ChainTerms,
        quorum: Quorum,
        signer: Signer,
        engine: AsyncEngine,
        clock: Clock,
        gas_price_most_gwei: int,
    ) -> None:
        self._terms = terms
        self._chain_id = terms.chain_id
        self._quorum = quorum
        self._signer = signer
        self._sender = signer.address.lower()
        self._engine = engine
        self._clock = clock
        self._most = gas_price_most_gwei * GWEI
        self._seen = 0

    async def step(self) -> int:
        """Look at those transactions that are due; returns how many. Raises `NodeFault` when the nodes can't be believed.

        While a chain is halted, because what was final there has changed, nothing is sent and nothing is called final.
        """
        now = self._clock()
        again = after(now, seconds=max(self._terms.poll_s, LOOK_LEAST_S))
        async with transaction(self._engine, point="submit.claim") as connection:
            cursor = await read_cursor(connection, chain_id=self._chain_id)
            if cursor is not None and cursor.halted is not None:
                return 0
            rows = await sends.claim(connection, chain_id=self._chain_id, sender=self._sender, again=again, now=now)
        if not rows:
            return 0
        sight = await look(self._quorum, address=self._signer.address, beyond=self._seen)
        self._seen = sight.number
        if not await self._compare(sight, rows):
            return 0
        faults = [fault for row in rows if (fault := await self._look_at(row, sight)) is not None]
        if len(faults) == len(rows):
            raise faults[0]
        return len(rows)

    async def _look_at(self, row: Open, sight: Sight) -> NodeFault | None:
        """One that the nodes don't agree about says so and hinders no other."""
        try:
            if row.nonce is None:
                await self._start(row, sight)
            else:
                await self._follow(row, sight)
        except NodeFault as fault:
            await self._wait(row, str(fault))
            return fault
        return None

    async def _compare(self, sight: Sight, rows: Sequence[Open]) -> bool:
        """Compare our nonces with the chain's. False: the key is new to us, and somebody else is using it right now."""
        now = self._clock()
        async with reading(self._engine) as connection:
            known = await nonces.is_known(connection, chain_id=self._chain_id, address=self._sender)
        if not known and await most_pending(self._quorum, address=self._signer.address) > sight.nonce:
            alarm = nonces.used_elsewhere(self._chain_id, self._sender, sight.nonce)
            async with transaction(self._engine, point="submit.stranger") as connection:
                await open_incidents(connection, alarms=[alarm], now=now)
                for row in rows:
                    await sends.wait(connection, transaction_id=row.id, reason=alarm.detail["meaning"], now=now)
            return False
        async with transaction(self._engine, point="submit.compare") as connection:
            await nonces.compare(connection, chain_id=self._chain_id, address=self._sender, sight=sight, now=now)
        return True

    async def _start(self, row: Open, sight: Sight) -> None:
        """Give a queued transaction its nonce and send it, if it can be afforded and would succeed."""
        prices = await market(self._quorum, sight=sight)
        if (reason := await self._cannot_yet(row, sight, prices)) is not None:
            await self._wait(row, reason)
            return
        call = {"from": self._sender, "to": row.to, "data": "0x" + row.data.hex()}
        simulated = await simulate(
            self._quorum, call={**call, "value": hex(row.value), "gas": hex(row.gas_limit)}, sight=sight
        )
        now = self._clock()
        async with transaction(self._engine, point="submit.nonce") as connection:
            if simulated.fails:
                reason = f"it would fail, so it wasn't sent: {simulated.why}"
                await sends.refuse(connection, transaction_id=row.id, reason=reason, now=now)
                return
            nonce = await nonces.give_nonce(
                connection,
                chain_id=self._chain_id,
                address=self._sender,
                transaction_id=row.id,
                stuck_at=after(now, seconds=STUCK_AFTER_S),
                now=now,
            )
        if nonce is not None:
            await self._sign_and_send(_with_nonce(row, nonce), sight, within(prices.fees, most=self._most), number=1)

    async def _cannot_yet(self, row: Open, sight: Sight, prices: Market) -> str | None:
        """Why a queued transaction has to wait, in a sentence."""
        if prices.least > self._most:
            return (
                f"gas costs {_gwei(prices.least)} gwei and we pay at most {_gwei(self._most)}: it waits until it is cheaper"
            )
        fees = within(prices.fees, most=self._most)
        cost = row.value + row.gas_limit * fees.fee_per_gas
        cost += await l1_fee(self._quorum, call_data=row.data, sight=sight)
        async with transaction(self._engine, point="submit.afford") as connection:
            cost += await sends.reserved(connection, chain_id=self._chain_id, sender=self._sender)
            if cost <= sight.balance:
                return None
            await open_incidents(connection, alarms=[self._no_gas(sight, cost)], now=self._clock())
        return f"{self._signer.address} has {sight.balance} wei and needs up to {cost}: send it native coin for gas"

    def _no_gas(self, sight: Sight, cost: int) -> Alarm:
        # Once a day: an incident is opened once by its cause, and next month's shortage is another.
        return Alarm(
            f"no_gas:{self._chain_id}:{self._sender}:{self._clock():%Y-%m-%d}",
            "no_gas",
            None,
            {
                "chain": self._terms.name,
                "address": self._signer.address,
                "has_wei": str(sight.balance),
                "needs_wei": str(cost),
                "coin": self._terms.native.code,
            },
        )

    async def _follow(self, row: Open, sight: Sight) -> None:
        """Find out what became of a transaction that has a nonce; send it again if nothing did."""
        async with reading(self._engine) as connection:
            forms = await sends.read_sends(connection, transaction_id=row.id)
        receipts = await read_receipts(self._quorum, hashes=[form.hash for form in forms], sight=sight) if forms else []
        found = next((receipt for receipt in receipts if receipt is not None), None)
        assert row.nonce is not None
        if found is not None:
            async with transaction(self._engine, point="submit.place") as connection:
                await sends.place(
                    connection,
                    chain_id=self._chain_id,
                    native=self._terms.native,
                    row=row,
                    receipt=found,
                    final=found.block_number <= sight.final,
                    now=self._clock(),
                )
        elif row.nonce < sight.nonce:
            await self._gone(row, forms, sight)
        else:
            await self._push(row, forms, sight)

    async def _gone(self, row: Open, forms: Sequence[Send], sight: Sight) -> None:
        """Another transaction has used its nonce: for ever, once the block where that was seen is final and unchanged."""
        now = self._clock()
        number = row.gone_number
        unchanged = number is not None and await self._hash_of(number) == row.gone_hash
        async with transaction(self._engine, point="submit.gone") as connection:
            if not forms and await sends.begin_anew(connection, transaction_id=row.id, now=now):
                return
            if number is None or not unchanged:
                await sends.unplace(connection, row=row, gone=sight, now=now)
            elif number <= sight.final:
                reason = f"another transaction of {self._signer.address} has nonce {row.nonce}; this one never happened"
                await sends.displace(connection, transaction_id=row.id, reason=reason, now=now)
                alarm = nonces.used_elsewhere(self._chain_id, self._sender, row.nonce or 0)
                await open_incidents(connection, alarms=[alarm], now=now)

    async def _hash_of(self, number: int) -> str:
        return (await self._quorum.agreed(lambda node: node.header(number))).hash

    async def _push(self, row: Open, forms: Sequence[Send], sight: Sight) -> None:
        """Its nonce is free: it may still be mined. Send it again, with higher fees if it is stuck."""
        now = self._clock()
        async with transaction(self._engine, point="submit.unplace") as connection:
            await sends.unplace(connection, row=row, gone=None, now=now)
        if not forms:
            prices = await market(self._quorum, sight=sight)
            await self._sign_and_send(row, sight, within(prices.fees, most=self._most), number=1)
        elif self._is_stuck(row, forms[-1], sight, now) and (fees := await self._raised(row, forms[-1], sight)):
            await self._sign_and_send(row, sight, fees, number=len(forms) + 1)
        else:
            await self._send(row, forms[-1].raw)

    def _is_stuck(self, row: Open, form: Send, sight: Sight, now: datetime) -> bool:
        """Whether it has waited too long though it is next in line. While the chain stands still nobody is mined."""
        in_time = row.stuck_at is not None and now < row.stuck_at
        return row.nonce == sight.nonce and not in_time and form.signed_block < sight.number

    async def _raised(self, row: Open, form: Send, sight: Sight) -> Fees | None:
        prices = await market(self._quorum, sight=sight)
        fees = replacement(form.fees, prices.fees, most=self._most)
        if fees is None:
            reason = f"it waits for a block at {_gwei(form.fees.fee_per_gas)} gwei; we pay at most {_gwei(self._most)}"
            await self._wait(row, reason)
        return fees

    async def _sign_and_send(self, row: Open, sight: Sight, fees: Fees, *, number: int) -> None:
        """Commit the signed form, then send it: whatever happens in between, its hash is known."""
        assert row.nonce is not None
        fields: dict[str, object] = {
            "chainId": self._chain_id,
            "nonce": row.nonce,
            "to": to_checksum_address(row.to),
            "value": row.value,
            "data": row.data,
            "gas": row.gas_limit,
            **fees.fields(),
        }
        signed = await self._signer.sign(fields)
        self._check(signed)
        now = self._clock()
        async with transaction(self._engine, point="submit.sign") as connection:
            kept = await sends.keep(
                connection, row=row, number=number, signed=signed, fees=fees, block=sight.number, now=now
            )
            stuck_at = after(now, seconds=STUCK_AFTER_S)
            await sends.not_stuck_before(connection, transaction_id=row.id, stuck_at=stuck_at)
        if kept:
            await self._send(row, signed.raw)

    def _check(self, signed: Signed) -> None:
        """A signer may be a service: what it gives must be ours, or we would look for the wrong hash for ever."""
        from gateway.chain.eth import Account  # noqa: PLC0415 - slow to import; only who signs pays for it

        if signed.hash != "0x" + keccak(signed.raw).hex() or Account.recover_transaction(signed.raw) != self._signer.address:
            raise NotWhatWasAsked(f"the signer of {self._signer.address} gave a transaction of another account or hash")

    async def _send(self, row: Open, raw: bytes) -> None:
        """Give it to every node. Their answers only tell people why nothing happens."""
        refusals: list[str] = []

        async def to(node: Node) -> object:
            try:
                return await node.ask("eth_sendRawTransaction", ("0x" + raw.hex(),))
            except NodeFault as fault:
                refusals.append(str(fault))
                raise

        failpoint("submit:before_send")
        taken = await answers(self._quorum, to)
        failpoint("submit:after_reply")
        news = [text for text in refusals if not any(old in text for old in _OLD_NEWS)]
        if not taken and news:
            await self._wait(row, f"no node takes it: {shown(news[0])}")

    async def _wait(self, row: Open, reason: str) -> None:
        async with transaction(self._engine, point="submit.wait") as connection:
            await sends.wait(connection, transaction_id=row.id, reason=reason, now=self._clock())


def _with_nonce(row: Open, nonce: int) -> Open:
    return Open(**{name: getattr(row, name) for name in Open.__slots__} | {"nonce": nonce, "state": "sending"})


def _gwei(wei: int) -> str:
    return f"{wei // GWEI}.{wei % GWEI // 10**6:03d}"
