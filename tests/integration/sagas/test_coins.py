"""A leg on chain: coins are sent once, in time, and it is paid when they have finally arrived."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import text

from gateway.chain.accounts import Log, Receipt
from gateway.chain.logs import ADDRESS_PADDING, TRANSFER
from gateway.db.session import transaction
from gateway.failpoints import arm
from gateway.ledger.freezes import FreezeKind, freeze_asset
from gateway.legs import CoinTransfer, LegPlan
from gateway.money import Money
from gateway.offramp import OutsideLimits
from gateway.payouts.rails import Rails
from gateway.sagas.coins import hand_over, settle_coins
from gateway.sagas.step import step
from gateway.sagas.wallets import NO_LEG_WALLETS, LegWallet, LegWallets
from tests.factories import NOW, USDC
from tests.integration.sagas.rail import SELL, WITHDRAW, LegRail, Time
from tests.integration.sagas.test_engine import dispatched, held, incidents, legs, rows, states
from tests.integration.sagas.test_kill import Killed, kill_at

CHAIN = 31337
WALLET = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"
THERE = "0x90F79bf6EB2c4f870365E785982E1f101E93b906"
TOKEN = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"
TEN = Money(10_000_000, USDC)
HASH = "0x" + "ab" * 32
WALLETS = LegWallets(
    by_chain={CHAIN: LegWallet(chain_id=CHAIN, address=WALLET, account="wallet:31337", coins={TOKEN.lower(): USDC})},
    ours=frozenset({WALLET.lower(), TOKEN.lower()}),
)


class CoinRail(LegRail):
    """Coins are sent, then they are withdrawn as pesos."""

    wanted = CoinTransfer(chain_id=CHAIN, contract=TOKEN, to=THERE, amount=TEN, before=NOW + timedelta(minutes=5))

    def coins(self, _leg):
        if isinstance(self.wanted, Exception):
            raise self.wanted
        return self.wanted


@pytest.fixture(autouse=True)
def _disarm():
    yield
    arm(None)


@pytest.fixture
def clock():
    return Time()


@pytest.fixture
def rail():
    return CoinRail(plans=(LegPlan(name=SELL, on_chain=True), LegPlan(name=WITHDRAW)))


@pytest.fixture
def rails(rail):
    return Rails({"legs": rail})


async def begun(engine, rails, clock, wallets=WALLETS):
    await dispatched(engine, rails, clock)
    await step(engine, rails=rails, clock=clock)
    return await hand_over(engine, rails=rails, wallets=wallets, now=clock())


def receipt(units):
    topics = (TRANSFER, ADDRESS_PADDING + WALLET[2:].lower(), ADDRESS_PADDING + THERE[2:].lower())
    log = Log(address=TOKEN.lower(), topics=topics, data=units.to_bytes(32), index=0)
    return Receipt(hash=HASH, block_number=9, block_hash="0x" + "cd" * 32, succeeded=True, fee=1, logs=(log,))


async def decide(engine, state, *, reason=None):
    mined = state in ("succeeded", "reverted")
    await rows(
        engine,
        """
UPDATE chain_transactions SET state = :state, reason = :reason, due_at = NULL, hash = :hash,
    block_number = CAST(:block AS bigint), fee_units = CAST(:block AS bigint), nonce = :nonce
""",
        state=state,
        reason=reason,
        hash=HASH if mined else None,
        block=9 if mined else None,
        nonce=None if state == "refused" else 1,
    )


async def settle(engine, rails, clock, *, units=TEN.units):
    async def read(hashes):
        return [receipt(units) for _ in hashes]

    clock.pass_(minutes=1)
    return await settle_coins(engine, chain_id=CHAIN, rails=rails, read=read, clock=clock)


async def test_coins_are_sent_by_one_transaction_and_the_next_leg_begins_when_they_have_finally_arrived(
    engine, rail, rails, clock
):
    assert await begun(engine, rails, clock) == 1
    [(sender, purpose, to, data, reference)] = await rows(
        engine, "SELECT sender, purpose, to_address, data, reference FROM chain_transactions"
    )
    assert (sender, purpose, to, reference[-2:]) == (WALLET.lower(), "leg", TOKEN.lower(), "_1")
    assert bytes(data).hex() == "a9059cbb" + THERE[2:].lower().rjust(64, "0") + f"{TEN.units:064x}"
    assert (await settle(engine, rails, clock), await legs(engine)) == (0, [(SELL, "pending")])
    assert rail.sent == []
    await decide(engine, "succeeded")
    assert await settle(engine, rails, clock) == 1
    assert await legs(engine) == [(SELL, "paid"), (WITHDRAW, "sending")]
    await step(engine, rails=rails, clock=clock)
    assert await states(engine) == ["paid"]
    assert rail.seen[-1].done[SELL].provider_ref == HASH
    books = await held(engine)
    assert (books["wallet:31337", USDC.code], books["rail:legs", USDC.code]) == (TEN.units, -TEN.units)


@pytest.mark.parametrize(("state", "fault"), [("refused", "float"), ("reverted", "float"), ("displaced", "transient")])
async def test_coins_that_never_moved_fail_the_attempt(engine, rails, clock, state, fault):
    await begun(engine, rails, clock)
    await decide(engine, state, reason="not enough")
    assert await settle(engine, rails, clock) == 1
    assert await rows(engine, "SELECT outcome, fault FROM attempts") == [("failed", fault)]
    assert ("wallet:31337", USDC.code) not in await held(engine)


@pytest.mark.parametrize(("units", "outcome"), [(0, "failed"), (TEN.units - 1, "unknown")])
async def test_what_did_not_arrive_whole_is_no_payment(engine, rails, clock, units, outcome):
    await begun(engine, rails, clock)
    await decide(engine, "succeeded")
    await settle(engine, rails, clock, units=units)
    assert await legs(engine) == [(SELL, outcome)]
    if outcome == "unknown":
        assert "leg_unknown" in await incidents(engine)


async def test_what_was_not_signed_in_time_is_taken_back_and_fails(engine, rails, clock):
    await begun(engine, rails, clock)
    clock.pass_(minutes=5)
    assert await settle(engine, rails, clock) == 1
    assert await rows(engine, "SELECT state FROM chain_transactions") == [("refused",)]
    assert await rows(engine, "SELECT outcome, fault FROM attempts") == [("failed", "transient")]


async def test_what_was_signed_in_time_is_waited_for_however_late_it_is(engine, rails, clock):
    await begun(engine, rails, clock)
    await rows(engine, "UPDATE chain_transactions SET state = 'sending', nonce = 1")
    clock.pass_(hours=1)
    assert (await settle(engine, rails, clock), await legs(engine)) == (0, [(SELL, "pending")])
    assert "leg_overdue" in await incidents(engine)


async def test_what_comes_too_late_is_never_queued(engine, rail, rails, clock):
    rail.wanted = CoinTransfer(chain_id=CHAIN, contract=TOKEN, to=THERE, amount=TEN, before=NOW)
    await begun(engine, rails, clock)
    assert (await legs(engine), await rows(engine, "SELECT 1 FROM chain_transactions")) == ([(SELL, "failed")], [])


@pytest.mark.parametrize(
    "wanted",
    [
        CoinTransfer(chain_id=1, contract=TOKEN, to=THERE, amount=TEN),
        CoinTransfer(chain_id=CHAIN, contract=THERE, to=THERE, amount=TEN),
        CoinTransfer(chain_id=CHAIN, contract=TOKEN, to=WALLET, amount=TEN),
        CoinTransfer(chain_id=CHAIN, contract=TOKEN, to="0x" + "0" * 40, amount=TEN),
        CoinTransfer(chain_id=CHAIN, contract=TOKEN, to=THERE, amount=Money(0, USDC)),
        OutsideLimits("no address to pay to"),
        KeyError("a bug"),
    ],
)
async def test_coins_go_nowhere_that_they_must_not(engine, rail, rails, clock, wanted):
    rail.wanted = wanted
    await begun(engine, rails, clock)
    assert (await legs(engine), await rows(engine, "SELECT 1 FROM chain_transactions")) == ([(SELL, "failed")], [])


async def test_without_a_wallet_such_a_leg_fails(engine, rails, clock):
    await begun(engine, rails, clock, wallets=NO_LEG_WALLETS)
    assert await rows(engine, "SELECT outcome, fault FROM attempts") == [("failed", "rail")]


async def test_a_frozen_coin_waits(engine, rails, clock):
    await dispatched(engine, rails, clock)
    await step(engine, rails=rails, clock=clock)
    async with transaction(engine) as connection:
        await freeze_asset(connection, asset=USDC.code, kind=FreezeKind.PAUSED, reason="paused", now=NOW)
    await hand_over(engine, rails=rails, wallets=WALLETS, now=clock())
    assert (await legs(engine), await rows(engine, "SELECT 1 FROM chain_transactions")) == ([(SELL, "sending")], [])


@pytest.mark.parametrize("side", ["before_commit", "after_commit"])
@pytest.mark.parametrize("point", ["legs.coins", "legs.coins_record"])
async def test_a_kill_loses_nothing_and_sends_nothing_twice(engine, rails, clock, point, side):
    await dispatched(engine, rails, clock)
    await step(engine, rails=rails, clock=clock)
    kill_at(f"{point}:{side}", 1)
    for _ in range(3):
        try:
            await hand_over(engine, rails=rails, wallets=WALLETS, now=clock())
            await rows(engine, "SELECT 1")
            await decide(engine, "succeeded")
            await settle(engine, rails, clock)
        except Killed:
            continue
    await step(engine, rails=rails, clock=clock)
    assert await states(engine) == ["paid"]
    async with transaction(engine) as connection:
        counts = (
            "SELECT (SELECT count(*) FROM chain_transactions), (SELECT count(*) FROM journal WHERE template = 'leg_paid')"
        )
        assert tuple((await connection.execute(text(counts))).one()) == (1, 2)
