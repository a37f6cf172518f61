"""A refund's life: ordered, handed to the chain, and what became of it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.chain.transactions import TransactionState, results
from gateway.db.session import transaction
from gateway.ledger.freezes import FreezeKind, freeze_asset
from gateway.refunds.order import Of
from gateway.refunds.settle import OUTCOMES
from gateway.refunds.wallets import NO_WALLETS
from tests.factories import USDC, make_deposit, make_orders
from tests.integration.refunds.house import CHAIN, SENDER, WALLET, House

HOUR = timedelta(hours=1, seconds=1)


async def queued(house: House) -> list:
    return await house.run("SELECT * FROM chain_transactions ORDER BY id")


async def test_late_money_goes_back_whole_and_ends_the_order(house):
    [order] = await house.hold()
    refund_id = await house.refund(order)
    assert await house.books() == {f"chain:{CHAIN}": "-10.000000 USDC", "refund": "10.000000 USDC"}
    assert (await house.view(order)).progress.status == "refunding"
    assert await house.send() == 1
    [asked] = await queued(house)
    assert (asked.sender, asked.reference, asked.purpose) == (WALLET.lower(), refund_id, "refund")
    assert bytes(asked.data).hex() == "a9059cbb" + SENDER[2:].lower().rjust(64, "0") + f"{10_000_000:064x}"
    assert await house.settle() == 0
    house.now += timedelta(minutes=1)
    await house.decide(refund_id, "succeeded")
    assert await house.settle() == 1
    view = await house.view(order)
    assert (view.state, view.progress.status, view.progress.holder) == ("refunded", "refunded", "sender")
    [told] = view.refunds
    assert told.tx_hash in view.progress.next_step
    assert SENDER in view.progress.sentence
    refund = await house.see(refund_id)
    assert (refund.outcome, refund.note, refund.evidence["arrived"]) == ("paid", None, "10000000")
    assert refund.due_at is None
    # The wallet is a location of ours: it gave what deposit addresses still hold.
    assert await house.books() == {f"chain:{CHAIN}": "-10.000000 USDC", f"wallet:{CHAIN}": "10.000000 USDC"}


@pytest.mark.parametrize(
    ("state", "reason", "note"),
    [
        ("refused", "account is blacklisted", "not sent: account is blacklisted"),
        ("reverted", None, "refused on the chain"),
        ("displaced", None, "can never happen"),
    ],
)
async def test_a_transfer_that_never_took_effect_holds_the_money_again(house, state, reason, note):
    [order] = await house.hold()
    refund_id = await house.refund(order)
    await house.send()
    await house.decide(refund_id, state, reason=reason)
    assert await house.settle() == 1
    view = await house.view(order)
    assert (view.state, view.progress.status, view.progress.reason) == ("held", "on_hold", "refund_failed")
    assert note in (await house.see(refund_id)).note
    [incident] = await house.run("SELECT * FROM incidents")
    assert (incident.kind, incident.order_id, incident.detail["owner"]) == (
        "refund_failed",
        order.order_id,
        "operator:amina",
    )
    assert note in incident.detail["why"]
    assert await house.books() == {f"chain:{CHAIN}": "-10.000000 USDC", "funds": "10.000000 USDC"}
    again = await house.refund(order)
    assert again != refund_id
    await house.send()
    await house.decide(again, "succeeded")
    await house.settle()
    assert (await house.view(order)).state == "refunded"


@pytest.mark.parametrize("state", ["queued", "sending", "mined"])
async def test_an_open_transaction_decides_nothing(house, state):
    [order] = await house.hold()
    refund_id = await house.refund(order)
    await house.send()
    await house.decide(refund_id, state, reason="it waits until gas is cheaper")
    assert await house.settle() == 0
    refund = await house.see(refund_id)
    assert (refund.outcome, refund.note) == ("pending", "it waits until gas is cheaper")
    assert refund.due_at > house.now
    assert (await house.view(order)).state == "refunding"


def test_every_state_of_a_transaction_means_an_outcome():
    assert OUTCOMES.keys() == set(TransactionState)


async def test_a_transaction_that_nobody_knows_is_unknown_and_alarms_until_it_is_found(house):
    [order] = await house.hold()
    refund_id = await house.refund(order)
    await house.send()
    await house.run("UPDATE chain_transactions SET reference = 'lost'")
    assert await house.settle() == 0
    assert (await house.see(refund_id)).outcome == "unknown"
    assert (await house.view(order)).state == "refunding"
    [incident] = await house.run("SELECT kind, detail FROM incidents")
    assert (incident.kind, incident.detail["owner"]) == ("refund_unknown", "operator:amina")
    await house.run("UPDATE chain_transactions SET reference = :id", id=refund_id)
    await house.decide(refund_id, "succeeded")
    house.now += timedelta(minutes=2)
    assert await house.settle() == 1
    assert (await house.view(order)).state == "refunded"


async def test_a_token_that_keeps_a_fee_is_paid_and_the_evidence_says_what_arrived(house):
    [order] = await house.hold()
    refund_id = await house.refund(order)
    await house.send()
    await house.decide(refund_id, "succeeded", arrived=9_900_000)
    await house.settle()
    refund = await house.see(refund_id)
    assert (refund.outcome, refund.evidence["arrived"]) == ("paid", "9900000")
    assert "kept a part" in refund.note


async def test_a_token_that_says_yes_and_moves_nothing_has_not_paid(house):
    [order] = await house.hold()
    refund_id = await house.refund(order)
    await house.send()
    await house.decide(refund_id, "succeeded", arrived=0)
    await house.settle()
    refund = await house.see(refund_id)
    assert (refund.outcome, refund.note) == ("failed", "the token took the transfer without moving anything")
    assert (await house.view(order)).state == "held"


async def test_success_without_its_receipt_stays_open(house):
    [order] = await house.hold()
    refund_id = await house.refund(order)
    await house.send()
    await house.decide(refund_id, "succeeded")
    seen, house.receipts = house.receipts, {}
    assert await house.settle() == 0
    assert (await house.see(refund_id)).outcome == "pending"
    house.receipts = seen
    house.now += timedelta(minutes=1)
    assert await house.settle() == 1


async def test_what_came_beyond_goes_back_in_any_state_and_in_parts(house):
    [order] = await make_orders(house.engine)
    await make_deposit(house.engine, order, units=10_500_000)
    await house.book()
    await house.confirm(order)
    first = await house.refund(order, Of.UNALLOCATED, units=200_000)
    assert (await house.view(order)).state == "funded"
    await house.send()
    await house.decide(first, "succeeded")
    await house.settle()
    second = await house.refund(order, Of.UNALLOCATED)
    await house.send()
    await house.decide(second, "refused")
    await house.settle()
    assert await house.books() == {
        f"chain:{CHAIN}": "-10.500000 USDC",
        f"wallet:{CHAIN}": "0.200000 USDC",
        "funds": "10.000000 USDC",
        "unallocated": "0.300000 USDC",
    }
    assert [refund.outcome for refund in (await house.view(order)).refunds] == ["paid", "failed"]


async def test_a_wallet_that_is_the_treasury_pays_from_the_treasurys_account(house):
    wallet = house.wallets.by_chain[CHAIN]
    house.wallets = replace(house.wallets, by_chain={CHAIN: replace(wallet, treasury=wallet.address)})
    [order] = await house.hold()
    refund_id = await house.refund(order)
    await house.send()
    await house.decide(refund_id, "succeeded")
    await house.settle()
    assert await house.books() == {f"chain:{CHAIN}": "-10.000000 USDC", f"treasury:{CHAIN}": "10.000000 USDC"}


async def test_a_new_address_leaves_an_ordered_refund_alone(house):
    [order] = await house.hold()
    refund_id = await house.refund(order)
    await house.confirm(order, "0x90F79bf6EB2c4f870365E785982E1f101E93b906")
    await house.send()
    assert (await house.see(refund_id)).address == SENDER
    [asked] = await queued(house)
    assert SENDER[2:].lower() in bytes(asked.data).hex()


async def test_a_refund_in_a_coin_that_froze_meanwhile_waits_and_says_why(house):
    [order] = await house.hold()
    refund_id = await house.refund(order)
    async with transaction(house.engine) as connection:
        await freeze_asset(connection, asset=USDC.code, kind=FreezeKind.PAUSED, reason="it is paused", now=house.now)
    assert await house.send() == 0
    refund = await house.see(refund_id)
    assert (refund.outcome, await queued(house)) == ("sending", [])
    assert "it is paused" in refund.note
    await house.run("UPDATE asset_freezes SET lifted_at = now(), lifted_by = 'amina'")
    house.now += timedelta(minutes=1)
    assert await house.send() == 1
    assert (await house.see(refund_id)).note is None


async def test_a_refund_whose_wallet_is_gone_waits_and_a_person_is_told(house):
    [order] = await house.hold()
    await house.refund(order)
    house.wallets = NO_WALLETS
    house.now += HOUR
    assert await house.send() == 0
    [incident] = await house.run("SELECT kind, detail FROM incidents")
    assert (incident.kind, incident.detail["owner"]) == ("refund_overdue", "operator:amina")


async def test_a_refund_that_takes_too_long_alarms_once(house):
    [order] = await house.hold()
    await house.refund(order)
    await house.send()
    for _ in range(2):
        house.now += HOUR
        await house.settle()
    assert [row.kind for row in await house.run("SELECT kind FROM incidents")] == ["refund_overdue"]


async def test_many_workers_hand_over_each_refund_once_and_settle_it_once(house):
    orders = await house.hold(8)
    ids = [await house.refund(order) for order in orders]
    sent = await asyncio.gather(*(house.send() for _ in range(8)))
    assert sum(sent) == 8
    assert len(await queued(house)) == 8
    for refund_id in ids:
        await house.decide(refund_id, "succeeded")
    settled = await asyncio.gather(*(house.settle() for _ in range(8)))
    assert sum(settled) == 8
    assert (await house.books())[f"wallet:{CHAIN}"] == "80.000000 USDC"


async def test_a_worker_that_dies_before_it_commits_changes_nothing(house):
    """Handing over is one transaction: whatever was asked for in it is asked for again, under the same reference."""
    [order] = await house.hold()
    refund_id = await house.refund(order)
    await house.send()
    # As if the death came after the queue's row was there and before the refund's was.
    await house.run("UPDATE refunds SET outcome = 'sending', wallet = NULL, token = NULL")
    assert await house.send() == 1
    assert len(await queued(house)) == 1
    async with transaction(house.engine) as connection:
        assert (await results(connection, references=[refund_id])).keys() == {refund_id}
