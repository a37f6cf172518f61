"""Sweeps on a real node with a real USDC, and with tokens that misbehave."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from fractions import Fraction
from itertools import count
from typing import Any

import pytest
from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.chain.factory import Stands
from gateway.chain.forwarders import DEPLOYMENT_PROXY, NO_ADDRESS, factory_address, forwarder_address, salt_of, sweep_call
from gateway.chain.models import Deposit, DepositAddress
from gateway.chain.sweeper import NothingToSweep, Sweeper, SweepRules
from gateway.chain.terms import ChainTerms
from gateway.db.session import transaction
from gateway.devchain.chain import DevChain
from gateway.devchain.stablecoin import call
from gateway.ledger.freezes import FreezeKind, freeze_asset
from gateway.ledger.post import register_assets
from gateway.money import Asset
from gateway.operators.actions import ReasonMissing, UnknownOperator
from tests.chain_tools import balance, deal_native, deal_usdc, deploy, issue, mine, reorg, transact
from tests.databases import Spare
from tests.integration.chain.payer import ETH, Killed, Payer, make_payer

USDC = Asset("USDC@31337", 6)
ODD = Asset("ODD@31337", 6)
WHO = {"operator": "ada", "reason": "a customer asked for it"}
ROUNDS_MOST = 40
_numbers = count(1)

Contracts = Mapping[str, Mapping[str, Any]]


@pytest.fixture
def database_url(spare_database: Spare) -> Iterator[str]:
    """A database of the test's own: what was sent is not deleted."""
    yield spare_database.take()
    spare_database.give_back()


@dataclass
class Yard:
    """Deposit addresses, what lies there, and who sweeps it."""

    payer: Payer
    terms: ChainTerms
    chain: DevChain

    def sweeper(self, **rules: Any) -> Sweeper:
        whole: dict[str, Any] = {
            "sender": self.payer.sender,
            "worth": dict.fromkeys(self.terms.tokens, Fraction(1)),
            "native_usd": Fraction(2000),
            "cost_most_bps": 5_000,
            "every_s": 3600,
        }
        return Sweeper(
            terms=self.terms,
            rules=SweepRules(**whole | rules),
            quorum=self.payer.quorum,
            engine=self.payer.engine,
            clock=lambda: self.payer.now,
        )

    async def address(self, owner: str) -> str:
        """A deposit address for an order."""
        salt = salt_of(owner)
        factory = factory_address(treasury=self.terms.treasury)
        address = forwarder_address(factory=factory, salt=salt).lower()
        row = {"address": address, "factory": factory, "salt": salt.hex(), "owner": owner, "created_at": self.payer.now}
        async with transaction(self.payer.engine) as connection:
            await connection.execute(insert(DepositAddress).values(row))
        return address

    async def book(self, address: str, units: int, *, asset: Asset = USDC, status: str = "final") -> None:
        """What a watcher would write of a deposit in the newest block."""
        block = int(self.payer.rpc("eth_blockNumber"), 16)
        row = {
            "chain_id": 31337,
            "tx_hash": f"0x{next(_numbers):064x}",
            "log_index": 0,
            "block_number": block,
            "block_hash": f"0x{block:064x}",
            "block_time": self.payer.now,
            "asset": asset.code,
            "sender": "0x" + "11" * 20,
            "address": address,
            "units": units,
            "status": status,
            "seen_at": self.payer.now,
            "updated_at": self.payer.now,
        }
        async with transaction(self.payer.engine) as connection:
            await connection.execute(insert(Deposit).values(row))

    async def pay(self, owner: str, units: int) -> str:
        """A final deposit of USDC for an order."""
        address = await self.address(owner)
        deal_usdc(self.chain, address, units)
        await self.book(address, units)
        return address

    async def settle(self, sweeper: Sweeper | None = None) -> None:
        """All loops and the chain, until nothing more happens."""
        sweeper, submitter = sweeper or self.sweeper(), self.payer.submitter(terms=self.terms)
        for _ in range(ROUNDS_MOST):
            await self.payer.mined()
            self.payer.later()
            if await sweeper.step() + await submitter.step() == 0:
                return
            mine(self.chain, 1)
        raise AssertionError(f"no rest after {ROUNDS_MOST} rounds")

    async def states(self) -> dict[str, str]:
        rows = await self.payer.rows("SELECT address, state FROM sweep_items ORDER BY updated_at")
        return {row.address: row.state for row in rows}

    def treasury(self, token: str | None = None) -> int:
        return balance(self.chain, self.terms.treasury, token or self.chain.usdc)


@pytest.fixture
async def yard(devchain: DevChain, engine: AsyncEngine) -> AsyncIterator[Yard]:
    payer = make_payer(devchain, engine)
    async with transaction(engine) as connection:
        await register_assets(connection, assets=[USDC, ODD])
    await payer.rows("INSERT INTO operators (name, password_hash, created_at) VALUES ('ada', '-', now()) RETURNING name")
    yield Yard(payer, payer.terms(), devchain)
    payer.rpc("evm_setAutomine", True)
    await payer.way.disconnect()


async def test_what_is_worth_it_is_swept_in_one_transaction_and_booked_by_what_arrived(yard: Yard) -> None:
    addresses = [await yard.pay(f"ord_{number}", 10_000_000 + number) for number in range(3)]
    before = yard.treasury()
    await yard.settle()
    assert yard.treasury() - before == 30_000_003
    assert [balance(yard.chain, address, yard.chain.usdc) for address in addresses] == [0] * 3
    assert await yard.states() == dict.fromkeys(addresses, "flushed")
    ((purpose, state),) = await yard.payer.rows("SELECT purpose, state FROM chain_transactions")
    assert (purpose, state) == ("sweep", "succeeded")
    books = await yard.payer.books()
    assert books[f"treasury:31337 {USDC.code}"] == -30_000_003
    assert books[f"chain:31337 {USDC.code}"] == 30_000_003
    assert books[f"gas:31337 {ETH.code}"] > 0
    journal = await yard.payer.rows("SELECT cause FROM journal WHERE template = 'swept' ORDER BY cause")
    ((tx_hash,),) = await yard.payer.rows("SELECT hash FROM chain_transactions")
    assert all(row.cause.startswith(f"sweep:31337:{tx_hash}:") for row in journal)
    assert len(journal) == 3


async def test_what_was_swept_is_not_swept_again_until_more_comes(yard: Yard) -> None:
    address = await yard.pay("ord_1", 10_000_000)
    await yard.settle()
    yard.payer.later(4000)
    await yard.settle()
    assert len(await yard.payer.rows("SELECT FROM chain_transactions")) == 1
    assert await yard.payer.incidents() == [], "nobody else swept it"
    deal_usdc(yard.chain, address, 20_000_000)
    await yard.book(address, 20_000_000)
    yard.payer.later(4000)
    await yard.settle()
    assert yard.treasury() == 30_000_000
    assert (await yard.payer.books())[f"treasury:31337 {USDC.code}"] == -30_000_000


async def test_what_is_not_worth_its_gas_waits_and_the_plan_says_why(yard: Yard) -> None:
    await yard.pay("ord_1", 10_000_000)
    dear = yard.sweeper(native_usd=Fraction(10**9))
    await yard.settle(dear)
    assert await yard.payer.rows("SELECT FROM sweeps") == []
    plan = await dear.plan()
    (judged,) = plan.judged
    assert not judged.worth_it
    assert judged.why.startswith("worth 10.00 USD, gas would cost ")
    ((said,),) = await yard.payer.rows("SELECT said FROM sweep_schedules")
    assert said == "0 of 1 holdings are worth their gas now"
    yard.payer.later(4000)
    await yard.settle()
    assert yard.treasury() == 10_000_000


async def test_small_ones_ride_along_only_if_they_pay_their_own_gas(yard: Yard) -> None:
    large, dust = await yard.pay("ord_1", 100_000_000), await yard.pay("ord_2", 2)
    await yard.settle()
    assert await yard.states() == {large: "flushed"}
    assert balance(yard.chain, dust, yard.chain.usdc) == 2


async def _set(yard: Yard, columns: str) -> None:
    async with transaction(yard.payer.engine) as connection:
        await connection.execute(text(f"UPDATE deposits SET {columns}"))


async def test_money_that_is_not_final_or_has_vanished_is_left_alone(yard: Yard) -> None:
    address = await yard.address("ord_1")
    deal_usdc(yard.chain, address, 10_000_000)
    await yard.book(address, 10_000_000, status="seen")
    await yard.settle()
    assert await yard.states() == {}
    await _set(yard, "status = 'final', vanished_at = now()")
    yard.payer.now += timedelta(days=2)
    await yard.settle()
    assert await yard.states() == {}
    await _set(yard, "vanished_at = NULL")
    yard.payer.now += timedelta(days=2)
    await yard.settle()
    assert await yard.states() == {address: "flushed"}


async def test_plans_are_made_at_their_time_and_by_one_worker(yard: Yard) -> None:
    await yard.pay("ord_1", 10_000_000)
    first, second = yard.sweeper(), yard.sweeper()
    assert [await first.step(), await second.step(), await first.step()] == [1, 1, 0]
    assert len(await yard.payer.rows("SELECT FROM sweeps")) == 1
    assert len(await yard.payer.rows("SELECT FROM chain_transactions")) == 1


async def test_a_frozen_asset_is_not_swept(yard: Yard) -> None:
    await yard.pay("ord_1", 10_000_000)
    async with transaction(yard.payer.engine) as connection:
        await freeze_asset(
            connection, asset=USDC.code, kind=FreezeKind.PAUSED, reason="The issuer paused it.", now=yard.payer.now
        )
    await yard.settle()
    assert await yard.states() == {}
    (judged,) = (await yard.sweeper().plan()).judged
    assert judged.why == "frozen: The issuer paused it."
    with pytest.raises(NothingToSweep, match=r"USDC@31337 is frozen"):
        await yard.sweeper().order(addresses=[], owners=[], token=None, **WHO)


async def test_a_paused_token_keeps_its_coins_raises_an_alarm_and_is_left_alone_for_a_day(yard: Yard) -> None:
    address = await yard.pay("ord_1", 10_000_000)
    issue(yard.chain, "pause()")
    await yard.settle()
    assert await yard.states() == {address: "failed"}
    assert await yard.payer.incidents() == ["flush_failed"]
    assert f"treasury:31337 {USDC.code}" not in await yard.payer.books()
    issue(yard.chain, "unpause()")
    yard.payer.later(4000)
    await yard.settle()
    assert balance(yard.chain, address, yard.chain.usdc) == 10_000_000
    yard.payer.later(90_000)
    await yard.settle()
    assert yard.treasury() == 10_000_000


@pytest.mark.parametrize(
    ("name", "arrives", "kept", "states"),
    [("FalseToken", 0, 0, ["failed"]), ("SilentToken", 1000, 0, ["flushed"]), ("FeeToken", 990, 10, ["flushed"])],
)
async def test_tokens_that_misbehave_are_booked_by_what_arrived(
    yard: Yard, test_contracts: Contracts, name: str, arrives: int, kept: int, states: list[str]
) -> None:
    token = deploy(yard.chain, test_contracts[name]["bytecode"]).lower()
    yard.terms = replace(yard.terms, tokens={**yard.terms.tokens, token: ODD})
    address = await yard.address("ord_1")
    transact(yard.chain, to=token, data=call("mint(address,uint256)", address, 1000))
    await yard.book(address, 1000, asset=ODD)
    await yard.settle(yard.sweeper(worth={token: Fraction(10**6)}))
    assert list((await yard.states()).values()) == states
    assert yard.treasury(token) == arrives
    books = await yard.payer.books()
    assert books.get(f"treasury:31337 {ODD.code}", 0) == -arrives
    assert books.get(f"cost:token_fees {ODD.code}", 0) == -kept
    assert books.get(f"chain:31337 {ODD.code}", 0) == arrives + kept


async def test_a_token_whose_coins_vanish_on_the_way_is_not_booked_and_a_person_is_called(yard: Yard) -> None:
    """Code that answers any question with 5 and any transfer with nothing, and logs nothing."""
    token = "0x" + "cd" * 20
    yard.payer.rpc("anvil_setCode", token, "0x60003560e01c6370a0823114601357600080f35b600560005260206000f3")
    yard.terms = replace(yard.terms, tokens={token: ODD})
    address = await yard.address("ord_1")
    await yard.book(address, 5, asset=ODD)
    await yard.settle(yard.sweeper(worth={token: Fraction(10**9)}))
    assert await yard.payer.incidents() == ["sweep_does_not_add_up"]
    assert f"treasury:31337 {ODD.code}" not in await yard.payer.books()


async def test_a_factory_is_deployed_on_demand(yard: Yard) -> None:
    yard.terms = replace(yard.terms, treasury="0x" + "7e" * 20)
    address = await yard.pay("ord_1", 10_000_000)
    assert (await yard.sweeper().plan()).stands is Stands.NOT_YET
    await yard.settle()
    assert await yard.states() == {address: "flushed"}
    assert yard.treasury() == 10_000_000
    rows = await yard.payer.rows("SELECT purpose, state FROM chain_transactions ORDER BY created_at")
    assert [tuple(row) for row in rows] == [("factory", "succeeded"), ("sweep", "succeeded")]


async def test_a_chain_without_the_deployment_proxy_is_named(yard: Yard) -> None:
    yard.terms = replace(yard.terms, treasury="0x" + "7e" * 20)
    await yard.pay("ord_1", 10_000_000)
    code = yard.payer.rpc("eth_getCode", DEPLOYMENT_PROXY, "latest")
    yard.payer.rpc("anvil_setCode", DEPLOYMENT_PROXY, "0x00")
    try:
        plan = await yard.sweeper().plan()
        assert plan.stands is Stands.NO_PROXY
        assert DEPLOYMENT_PROXY in plan.said
        await yard.settle()
        assert await yard.payer.rows("SELECT FROM chain_transactions") == []
        await yard.sweeper().order(addresses=[], owners=[], token=None, **WHO)
        await yard.settle()
        assert await yard.payer.incidents() == ["no_factory"]
    finally:
        yard.payer.rpc("anvil_setCode", DEPLOYMENT_PROXY, code)


async def test_another_contract_at_the_factorys_address_is_never_used(yard: Yard) -> None:
    address = await yard.pay("ord_1", 10_000_000)
    code = yard.payer.rpc("eth_getCode", yard.chain.factory, "latest")
    # The same code but for one byte of the treasury.
    treasury = yard.chain.treasury[2:].lower()
    other = code.replace(treasury, treasury[:-2] + "ab")
    assert other != code
    yard.payer.rpc("anvil_setCode", yard.chain.factory, other)
    await yard.settle()
    assert (await yard.sweeper().plan()).stands is Stands.OTHER
    await yard.sweeper().order(addresses=[address], owners=[], token=None, **WHO)
    await yard.settle()
    assert await yard.payer.rows("SELECT FROM chain_transactions") == []
    assert await yard.payer.incidents() == ["no_factory"]
    assert balance(yard.chain, address, yard.chain.usdc) == 10_000_000


async def test_a_person_sweeps_what_is_not_worth_it_by_order_address_and_token(yard: Yard) -> None:
    one, two = await yard.pay("ord_1", 2), await yard.pay("ord_2", 3)
    sweeper = yard.sweeper()
    (ordered,) = (await sweeper.order(addresses=[], owners=["ord_1"], token=None, **WHO)).values()
    assert [holding.address for holding in ordered] == [one]
    await yard.settle()
    assert (await yard.states(), yard.treasury()) == ({one: "flushed"}, 2)
    checksummed = two[:2] + two[2:].upper()
    await sweeper.order(addresses=[checksummed], owners=[], token=yard.chain.usdc, **WHO)
    await yard.settle()
    assert yard.treasury() == 5
    actions = await yard.payer.rows("SELECT operator, action, subject, reason, detail FROM operator_actions")
    assert [(row.operator, row.action, row.subject, row.reason) for row in actions] == [
        ("ada", "sweep.run", "chain:31337", WHO["reason"])
    ] * 2
    assert actions[0].detail == {f"{one} {yard.chain.usdc.lower()}": "2"}


async def test_the_native_coin_and_unlisted_tokens_are_recovered(yard: Yard, test_contracts: Contracts) -> None:
    address = await yard.address("ord_1")
    token = deploy(yard.chain, test_contracts["GoodToken"]["bytecode"]).lower()
    transact(yard.chain, to=token, data=call("mint(address,uint256)", address, 77))
    deal_native(yard.chain, address, 10**17)
    before = yard.treasury(NO_ADDRESS)
    for coin in (NO_ADDRESS, token):
        await yard.sweeper().order(addresses=[address], owners=[], token=coin, **WHO)
    await yard.settle()
    assert yard.treasury(NO_ADDRESS) - before == 10**17
    assert yard.treasury(token) == 77
    items = await yard.payer.rows("SELECT token, state, asset, sent, arrived FROM sweep_items ORDER BY token")
    assert [tuple(item) for item in items] == sorted(
        [(NO_ADDRESS, "flushed", ETH.code, 10**17, 10**17), (token, "flushed", None, 77, 77)]
    )
    books = await yard.payer.books()
    assert books[f"treasury:31337 {ETH.code}"] == -(10**17)
    assert books[f"chain:31337 {ETH.code}"] == 10**17


async def test_what_cannot_be_swept_is_refused_with_a_sentence(yard: Yard) -> None:
    empty = await yard.address("ord_1")
    sweeper = yard.sweeper()
    with pytest.raises(NothingToSweep, match="nothing lies there"):
        await sweeper.order(addresses=[empty], owners=[], token=None, **WHO)
    with pytest.raises(NothingToSweep, match="is no token's contract"):
        await sweeper.order(addresses=[empty], owners=[], token="USDC", **WHO)
    with pytest.raises(NothingToSweep, match="is no transaction's hash"):
        await sweeper.adopt(tx_hash="0x12", **WHO)
    with pytest.raises(NothingToSweep, match="is no deposit address or order of ours"):
        await sweeper.order(addresses=[], owners=["ord_9"], token=None, **WHO)
    await yard.pay("ord_2", 5)
    for who, refusal in (({"operator": "bob", "reason": "x"}, UnknownOperator), (WHO | {"reason": " "}, ReasonMissing)):
        with pytest.raises(refusal):
            await sweeper.order(addresses=[], owners=["ord_2"], token=None, **who)
    assert await yard.payer.rows("SELECT FROM sweeps") == []
    yard.terms = replace(yard.terms, treasury="0x" + "7e" * 20)
    with pytest.raises(NothingToSweep, match="made for another treasury"):
        await yard.sweeper().order(addresses=[empty], owners=[], token=None, **WHO)


async def test_a_coin_is_in_one_open_sweep_only(yard: Yard) -> None:
    await yard.pay("ord_1", 10_000_000)
    yard.payer.later()
    assert len(await yard.sweeper().order(addresses=[], owners=["ord_1"], token=None, **WHO)) == 1
    assert await yard.sweeper().order(addresses=[], owners=["ord_1"], token=None, **WHO) == {}
    await yard.settle()
    assert len(await yard.payer.rows("SELECT FROM chain_transactions")) == 1
    assert yard.treasury() == 10_000_000


async def test_what_a_stranger_swept_is_found_missing_and_adopted(yard: Yard) -> None:
    address = await yard.pay("ord_1", 10_000_000)
    stranger = "0x" + "5e" * 20
    data = sweep_call(salts=[salt_of("ord_1")], tokens=[yard.chain.usdc])
    receipt = transact(yard.chain, to=yard.chain.factory, data=data, sender=stranger)
    await yard.settle()
    assert await yard.payer.incidents() == ["swept_elsewhere"]
    assert await yard.states() == {}
    mine(yard.chain, 2)
    for _ in range(2):
        (flush,) = await yard.sweeper().adopt(tx_hash=receipt["transactionHash"], **WHO)
        assert (flush.address, flush.sent, flush.arrived) == (address, 10_000_000, 10_000_000)
    assert (await yard.payer.books())[f"treasury:31337 {USDC.code}"] == -10_000_000
    assert (await yard.sweeper().plan()).judged == ()
    with pytest.raises(NothingToSweep):
        await yard.sweeper().adopt(tx_hash="0x" + "12" * 32, **WHO)


async def test_a_forwarder_that_was_flushed_directly_is_adopted_too(yard: Yard) -> None:
    address = await yard.pay("ord_1", 10_000_000)
    transact(yard.chain, to=yard.chain.factory, data=sweep_call(salts=[salt_of("ord_1")], tokens=[]))
    receipt = transact(yard.chain, to=address, data=call("flush(address,uint256)", yard.chain.usdc, 4_000_000))
    mine(yard.chain, 2)
    (flush,) = await yard.sweeper().adopt(tx_hash=receipt["transactionHash"], **WHO)
    assert (flush.sent, flush.arrived) == (4_000_000, 4_000_000)
    assert (await yard.payer.books())[f"treasury:31337 {USDC.code}"] == -4_000_000


async def test_a_reorganised_sweep_is_booked_once_and_where_it_ended(yard: Yard) -> None:
    address = await yard.pay("ord_1", 10_000_000)
    mine(yard.chain, 1)
    sweeper, submitter = yard.sweeper(), yard.payer.submitter(terms=yard.terms)
    for _ in range(3):
        yard.payer.later()
        await sweeper.step()
        await submitter.step()
    assert yard.treasury() == 10_000_000
    reorg(yard.chain, 1)
    assert balance(yard.chain, address, yard.chain.usdc) == 10_000_000
    await yard.settle(sweeper)
    assert yard.treasury() == 10_000_000
    assert (await yard.payer.books())[f"treasury:31337 {USDC.code}"] == -10_000_000


async def test_a_sweep_whose_transaction_never_happened_leaves_its_coins_to_the_next(yard: Yard) -> None:
    await yard.pay("ord_1", 10_000_000)
    sweeper = yard.sweeper()
    for _ in range(2):
        await sweeper.step()
    await yard.payer.rows(
        "UPDATE chain_transactions SET state = 'refused', due_at = NULL, reason = 'it would fail' RETURNING id"
    )
    await sweeper.step()
    assert list((await yard.states()).values()) == ["nothing"]
    assert await yard.payer.incidents() == ["sweep_failed"]
    yard.payer.later(4000)
    await yard.settle(sweeper)
    assert yard.treasury() == 10_000_000


async def test_the_gas_that_a_sweep_takes_is_what_the_plan_reckons_with(yard: Yard) -> None:
    """Within a third: this is what the decision is made of."""
    for number in range(10):
        await yard.pay(f"ord_{number}", 10_000_000)
    plan = await yard.sweeper().plan()
    reckoned = 60_000 + sum(holding.gas for holding in plan.chosen)
    await yard.settle()
    ((tx_hash,),) = await yard.payer.rows("SELECT hash FROM chain_transactions")
    used = int(yard.payer.rpc("eth_getTransactionReceipt", tx_hash)["gasUsed"], 16)
    assert abs(used - reckoned) * 3 < reckoned


@pytest.mark.parametrize("stride", [5, pytest.param(1, marks=pytest.mark.slow)])
async def test_killed_anywhere_every_coin_is_swept_and_booked_once(yard: Yard, stride: int) -> None:
    """The sweeper dies at each of its calls to the outside in turn, and another one takes over."""
    for done, number in enumerate(range(1, 200, stride), start=1):
        await yard.pay(f"ord_{number}", 10_000_000)
        calls = count(1)

        def die(_method: str, _params: object, number: int = number, calls: Iterator[int] = calls) -> None:
            if next(calls) == number:
                raise Killed

        yard.payer.later(4000)
        yard.payer.way.before = die
        died = False
        try:
            for _ in range(2):
                await yard.sweeper().step()
        except (Killed, BaseExceptionGroup):
            died = True
        yard.payer.way.before = lambda _method, _params: None
        yard.payer.later(4000)
        await yard.settle()
        assert yard.treasury() == done * 10_000_000
        assert (await yard.payer.books())[f"treasury:31337 {USDC.code}"] == -done * 10_000_000
        if not died:
            break
    assert number > 10
