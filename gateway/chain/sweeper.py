"""Moves coins from deposit addresses to the treasury when that is worth its gas, or when a person says so.

The gas key pays and can do no more: where the coins go was fixed when the factory was made, and the factory's code is
compared before each sweep.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from fractions import Fraction

from eth_utils.address import is_hex_address
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.chain import sweeps
from gateway.chain.accounts import Receipt, Sight, look, read_receipts
from gateway.chain.factory import SAID, Stands, deployment, factory_stands
from gateway.chain.forwarders import NO_ADDRESS, factory_address, sweep_call
from gateway.chain.gas import l1_fee, market
from gateway.chain.holdings import with_balances
from gateway.chain.quorum import Quorum
from gateway.chain.sends import know
from gateway.chain.sweep import ADDRESS_AT, Costs, Flush, Holding, Judged, batches, flushes, gas_limit, judge
from gateway.chain.sweeps import Named
from gateway.chain.terms import ChainTerms
from gateway.chain.transactions import OPEN, Wanted, queue
from gateway.chain.wire import NodeFault
from gateway.clock import Clock
from gateway.db.session import reading, transaction
from gateway.errors import Refusal
from gateway.ledger.freezes import frozen
from gateway.operators.actions import record_action
from gateway.operators.incidents import Alarm, open_incidents

PLAN_LEASE = timedelta(minutes=2)
DEPLOYMENTS_MOST = 3
"""How often a factory's deployment may fail before a person has to look."""
_HASH = re.compile(r"0x[0-9a-fA-F]{64}")
FULL_SALT = b"\xff" * 32
"""As expensive to post as any."""


class NothingToSweep(Refusal):
    """There is nothing at those addresses, or they aren't ours."""

    code = "nothing_to_sweep"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What lies at deposit addresses, what is worth sweeping now and why."""

    stands: Stands
    costs: Costs
    judged: tuple[Judged, ...]

    @property
    def chosen(self) -> list[Holding]:
        """What to sweep now."""
        ready = self.stands in (Stands.YES, Stands.NOT_YET)
        return [one.holding for one in self.judged if one.worth_it] if ready else []

    @property
    def said(self) -> str:
        """The plan in a sentence."""
        if self.stands in (Stands.NO_PROXY, Stands.OTHER):
            return SAID[self.stands]
        return f"{len(self.chosen)} of {len(self.judged)} holdings are worth their gas now"


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepRules:
    """Whose gas sweeps, and when that is worth it."""

    sender: str
    """The gas key's address."""
    worth: Mapping[str, Fraction]
    """US dollars for one whole coin, by token address in lower case. Others are swept by a person's word only."""
    native_usd: Fraction
    """US dollars for one whole native coin, roughly."""
    cost_most_bps: int
    """Hundredths of a percent of the swept value that gas may cost."""
    every_s: int
    """Seconds between two plans."""


class Sweeper:
    """Sweeps one chain. Any number may run at once. Transactions are sent by the gas key's `Submitter`."""

    def __init__(self, *, terms: ChainTerms, rules: SweepRules, quorum: Quorum, engine: AsyncEngine, clock: Clock) -> None:
        self._terms = terms
        self._chain_id = terms.chain_id
        self._rules = rules
        self._sender = rules.sender
        self._quorum = quorum
        self._engine = engine
        self._clock = clock
        self._factory = factory_address(treasury=terms.treasury)
        self._assets = {**terms.tokens, NO_ADDRESS: terms.native}

    async def step(self) -> int:
        """Book what was swept, send what was ordered, plan when it is time. Returns how much was done."""
        return await self._close() + await self._launch() + await self._plan_if_due()

    async def plan(self) -> Plan:
        """Look at what lies where. Writes nothing. Raises `NodeFault` when the nodes can't be believed."""
        sight = await look(self._quorum, address=self._sender)
        async with reading(self._engine) as connection:
            found = await sweeps.candidates(
                connection,
                chain_id=self._chain_id,
                factory=self._factory,
                tokens=self._terms.tokens,
                now=self._clock(),
            )
            frozen_now = await frozen(connection)
        costs = await self._costs(sight)
        holdings = await with_balances(self._quorum, found, sight=sight)
        judged = judge(holdings, worth=self._rules.worth, frozen=frozen_now, costs=costs)
        stands = await factory_stands(self._quorum, treasury=self._terms.treasury, sight=sight)
        return Plan(stands=stands, costs=costs, judged=tuple(judged))

    async def order(
        self,
        *,
        addresses: Sequence[str],
        owners: Sequence[str],
        token: str | None,
        operator: str,
        reason: str,
    ) -> dict[str, list[Holding]]:
        """Have a person's choice swept, worth it or not: at these addresses or orders, or all with money if none is named.

        `token`: a contract, or `NO_ADDRESS` for the native coin; None: all listed ones. Gives sweep ids and what each takes.
        Raises `NothingToSweep`, `UnknownOperator`, `ReasonMissing`, `NodeFault`.
        """
        if token is not None and not is_hex_address(token):
            raise NothingToSweep(f'"{token}" is no token\'s contract: give "0x" and 40 hexadecimal digits')
        sight = await look(self._quorum, address=self._sender)
        chosen = await self._chosen(addresses, owners, token, sight)
        now = self._clock()
        ordered: dict[str, list[Holding]] = {}
        async with transaction(self._engine) as connection:
            await record_action(
                connection,
                operator=operator,
                action="sweep.run",
                subject=f"chain:{self._chain_id}",
                reason=reason,
                detail={f"{holding.address} {holding.token}": str(holding.held) for holding in chosen},
                now=now,
            )
            await know(connection, asset=self._terms.native)
            for batch in batches(chosen):
                sweep_id = await sweeps.order_sweep(
                    connection, chain_id=self._chain_id, holdings=batch, operator=operator, now=now
                )
                if sweep_id is not None:
                    ordered[sweep_id] = batch
        return ordered

    async def adopt(self, *, tx_hash: str, operator: str, reason: str) -> list[Flush]:
        """Book a final transaction in which somebody else swept addresses of ours: anyone may. Raises `NothingToSweep`."""
        if not _HASH.fullmatch(tx_hash):
            raise NothingToSweep(f'"{tx_hash}" is no transaction\'s hash: give "0x" and 64 hexadecimal digits')
        sight = await look(self._quorum, address=self._sender)
        (receipt,) = await read_receipts(self._quorum, hashes=[tx_hash.lower()], sight=sight)
        if receipt is None or receipt.block_number > sight.final or not receipt.succeeded:
            raise NothingToSweep(f"{tx_hash} isn't a final transaction that succeeded; wait for it, or give another one")
        found = await self._flushes(receipt)
        if not found:
            raise NothingToSweep(f"{tx_hash} moved nothing from our deposit addresses to the treasury; give another one")
        now = self._clock()
        async with transaction(self._engine) as connection:
            await record_action(
                connection,
                operator=operator,
                action="sweep.adopt",
                subject=f"chain:{self._chain_id}",
                reason=reason,
                detail={"transaction": receipt.hash},
                now=now,
            )
            sweep_id = await sweeps.put_adopted(connection, chain_id=self._chain_id, operator=operator, now=now)
            await self._write(connection, sweep_id, receipt, found)
        return found

    async def _close(self) -> int:
        async with reading(self._engine) as connection:
            decided = await sweeps.over(connection, chain_id=self._chain_id)
        if not decided:
            return 0
        sight = await look(self._quorum, address=self._sender)
        for sweep in decided:
            if sweep.state != "succeeded" or sweep.hash is None:
                async with transaction(self._engine, point="sweeper.close") as connection:
                    await sweeps.close_without(connection, sweep=sweep, chain_id=self._chain_id, now=self._clock())
                continue
            (receipt,) = await read_receipts(self._quorum, hashes=[sweep.hash], sight=sight)
            if receipt is None:
                raise NodeFault(f"the nodes don't have the final transaction {sweep.hash} at block {sight.number}")
            found = await self._flushes(receipt)
            async with transaction(self._engine, point="sweeper.book") as connection:
                await self._write(connection, sweep.id, receipt, found)
        return len(decided)

    async def _flushes(self, receipt: Receipt) -> list[Flush]:
        named = {f"0x{topic[ADDRESS_AT:]}" for log in receipt.logs for topic in log.topics[1:2]}
        async with reading(self._engine) as connection:
            ours = await sweeps.which_ours(connection, addresses=sorted(named))
        return flushes(receipt, factory=self._factory, treasury=self._terms.treasury, ours=ours)

    async def _launch(self) -> int:
        """Queue the transactions of sweeps that have none, once the factory stands."""
        async with reading(self._engine) as connection:
            orders = await sweeps.waiting(connection, chain_id=self._chain_id, tokens=self._assets)
        if not orders:
            return 0
        sight = await look(self._quorum, address=self._sender)
        stands = await factory_stands(self._quorum, treasury=self._terms.treasury, sight=sight)
        if stands is Stands.NOT_YET:
            return await self._deploy()
        if stands is not Stands.YES:
            await self._alarm(f"factory:{self._chain_id}:{stands}", "no_factory", SAID[stands])
            return 0
        launched = 0
        for sweep_id, holdings in orders.items():
            wanted = self._wanted(sweep_id, holdings)
            async with transaction(self._engine, point="sweeper.launch") as connection:
                await queue(connection, wanted=wanted, now=self._clock())
                launched += await sweeps.launched(connection, sweep_id=sweep_id, reference=wanted.reference)
        return launched

    def _wanted(self, sweep_id: str, holdings: Sequence[Holding]) -> Wanted:
        tokens = sorted({holding.token for holding in holdings})
        return Wanted(
            chain_id=self._chain_id,
            sender=self._sender,
            purpose="sweep",
            reference=f"sweep:{sweep_id}",
            to=self._factory,
            data=sweep_call(salts=[holding.salt for holding in holdings], tokens=tokens),
            value=0,
            gas_limit=gas_limit(holdings),
        )

    async def _deploy(self) -> int:
        prefix = f"factory:{self._chain_id}:{self._factory}:"
        async with transaction(self._engine, point="sweeper.deploy") as connection:
            before = await sweeps.deployments(connection, chain_id=self._chain_id, prefix=prefix)
            if not OPEN.intersection(before) and len(before) < DEPLOYMENTS_MOST:
                wanted = deployment(
                    chain_id=self._chain_id,
                    sender=self._sender,
                    treasury=self._terms.treasury,
                    reference=f"{prefix}{len(before)}",
                )
                await queue(connection, wanted=wanted, now=self._clock())
                return 1
        if len(before) >= DEPLOYMENTS_MOST and not OPEN.intersection(before):
            said = f"the factory's deployment failed {len(before)} times; look at its transactions (`lastmile sweep status`)"
            await self._alarm(f"factory:{self._chain_id}:failed", "no_factory", said)
        return 0

    async def _plan_if_due(self) -> int:
        now = self._clock()
        async with transaction(self._engine, point="sweeper.claim") as connection:
            if not await sweeps.claim_plan(connection, chain_id=self._chain_id, again=now + PLAN_LEASE, now=now):
                return 0
        plan = await self.plan()
        now = self._clock()
        async with transaction(self._engine, point="sweeper.plan") as connection:
            for batch in batches(plan.chosen):
                await sweeps.order_sweep(connection, chain_id=self._chain_id, holdings=batch, operator=None, now=now)
            await sweeps.planned(
                connection, chain_id=self._chain_id, following=now + timedelta(seconds=self._rules.every_s), said=plan.said
            )
        for gone in (one.holding for one in plan.judged if one.holding.held == 0):
            said = (
                "final money isn't there any more: somebody else has swept it (`lastmile sweep adopt`), or the token took it"
            )
            await self._alarm(f"gone:{self._chain_id}:{gone.address}:{gone.token}", "swept_elsewhere", said, gone.address)
        return len(plan.chosen)

    async def _chosen(
        self, addresses: Sequence[str], owners: Sequence[str], token: str | None, sight: Sight
    ) -> list[Holding]:
        """What a person's choice holds now."""
        tokens = [token.lower()] if token is not None else list(self._terms.tokens)
        named: list[Holding] = []
        async with reading(self._engine) as connection:
            frozen_now = await frozen(connection)
            if addresses or owners:
                places = await sweeps.named(connection, chain_id=self._chain_id, addresses=addresses, owners=owners)
                self._refuse_strangers(places, addresses, owners)
                named = [self._holding(place, one) for place in places for one in tokens]
            else:
                found = await sweeps.candidates(
                    connection, chain_id=self._chain_id, factory=self._factory, tokens=self._terms.tokens, now=self._clock()
                )
                named = [holding for holding in found if holding.token in tokens]
        thawed = [one for one in named if one.asset is None or one.asset.code not in frozen_now]
        chosen = [one for one in await with_balances(self._quorum, thawed, sight=sight) if one.held]
        if not chosen:
            icy = sorted({one.asset.code for one in named if one.asset and one.asset.code in frozen_now})
            because = f" ({', '.join(icy)} is frozen: `lastmile tokens list`)" if icy else ""
            raise NothingToSweep(
                f"nothing lies there that can be swept{because}; `lastmile sweep plan` shows what lies where"
            )
        return chosen

    def _refuse_strangers(self, places: Sequence[Named], addresses: Sequence[str], owners: Sequence[str]) -> None:
        known = {place.address for place in places} | {place.owner for place in places}
        strange = [one for one in (*(address.lower() for address in addresses), *owners) if one not in known]
        if strange:
            raise NothingToSweep(
                f"{strange[0]} is no deposit address or order of ours; look it up with `lastmile sweep plan`"
            )
        other = [place for place in places if place.factory.lower() != self._factory.lower()]
        if other:
            raise NothingToSweep(
                f"{other[0].address} was made for another treasury, by the factory {other[0].factory}: "
                "configure the treasury of that time to sweep it"
            )

    def _holding(self, place: Named, token: str) -> Holding:
        return Holding(
            address=place.address,
            salt=place.salt,
            owner=place.owner,
            token=token,
            asset=self._assets.get(token),
            booked=0,
            stands=place.stands,
        )

    async def _costs(self, sight: Sight) -> Costs:
        prices = await market(self._quorum, sight=sight)
        one = await l1_fee(self._quorum, call_data=sweep_call(salts=[FULL_SALT], tokens=[self._factory]), sight=sight)
        return Costs(
            wei_per_gas=prices.least, l1_wei=one, native_usd=self._rules.native_usd, most_bps=self._rules.cost_most_bps
        )

    async def _write(self, connection: AsyncConnection, sweep_id: str, receipt: Receipt, found: Sequence[Flush]) -> None:
        await know(connection, asset=self._terms.native)
        await sweeps.close_with(
            connection,
            sweep_id=sweep_id,
            chain_id=self._chain_id,
            receipt=receipt,
            found=found,
            assets=self._assets,
            now=self._clock(),
        )

    async def _alarm(self, cause: str, kind: str, meaning: str, address: str | None = None) -> None:
        detail = {"chain": self._terms.name, "meaning": meaning} | ({"address": address} if address else {})
        async with transaction(self._engine, point="sweeper.alarm") as connection:
            await open_incidents(connection, alarms=[Alarm(cause, kind, None, detail)], now=self._clock())
