"""Legs on chain: coins sent by the core, as refunds are: one owner of nonces, one transaction per leg, paid when final.

`hand_over` queues the transaction in the step in which the leg is marked as sent; a `Submitter` sends it; `settle_coins`
takes note of what became of it. A leg that comes too late fails, if its transaction was never signed; a signed one may be
mined at any moment, and is waited for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from eth_abi.abi import encode
from eth_utils.address import to_checksum_address
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.chain.accounts import Receipt
from gateway.chain.transactions import Result, TransactionState, Wanted, queue, results, take_back
from gateway.clock import Clock
from gateway.db.session import reading, transaction
from gateway.ledger.freezes import frozen
from gateway.legs import CoinTransfer, Leg, LegReport
from gateway.money import Asset, Money
from gateway.offramp import Fault, OfframpError, Outcome
from gateway.operators.incidents import Alarm, open_incidents
from gateway.payouts.pace import next_ask
from gateway.payouts.rails import Rails
from gateway.refunds.settle import ReadReceipts
from gateway.refunds.transfers import GAS, SELECTOR, arrived
from gateway.sagas.due import OVERDUE_LEAST, in_legs, payment_of, read_done
from gateway.sagas.record import Told, lock_attempts, record_legs
from gateway.sagas.verdict import coins_entry, not_sent
from gateway.sagas.wallets import LegWallets

PURPOSE = "leg"
_ENDS = (Outcome.PAID, Outcome.FAILED)
SET = 50
_DUE = "SELECT id, attempt_id FROM legs WHERE on_chain AND closed_at IS NULL AND due_at <= :now"
_TO_SEND = text(f"{_DUE} AND sent_at IS NULL AND rail = ANY(CAST(:rails AS text[])) ORDER BY due_at LIMIT :most")
_SENT = text(
    f"{_DUE} AND sent_at IS NOT NULL AND facts ->> 'chain' = :chain AND rail = ANY(CAST(:rails AS text[])) LIMIT :most"
)
_TAKE = text("""
SELECT l.*, a.order_id, a.closed_at AS attempt_closed, a.deliver_units, a.deliver_asset, s.decimals,
    gave.decimals AS gave_decimals, q.country, COALESCE(w.method, q.method) AS method, r.name AS holder,
    COALESCE(w.account, r.account) AS account,
    CASE WHEN w.rank IS NULL THEN r.institution ELSE w.institution END AS institution
FROM legs AS l JOIN attempts AS a ON a.id = l.attempt_id
JOIN assets AS s ON s.code = a.deliver_asset
JOIN orders AS o ON o.id = a.order_id
JOIN quotes AS q ON q.id = o.quote_id
JOIN recipients AS r ON r.order_id = o.id
LEFT JOIN recipient_ways AS w ON w.order_id = o.id AND w.rank = a.way
LEFT JOIN assets AS gave ON gave.code = l.gave_asset
WHERE l.id = ANY(CAST(:ids AS text[])) AND l.closed_at IS NULL ORDER BY l.id FOR UPDATE OF l
""")
_MARK = text("UPDATE legs SET sent_at = :now, asks = asks + 1 WHERE id = :id")
_RESENT = text("UPDATE attempts SET resent_at = :now WHERE id = :id")
_LATER = text("UPDATE legs SET due_at = :later, reason = :reason, asks = asks + 1 WHERE id = :id")


async def hand_over(engine: AsyncEngine, *, rails: Rails, wallets: LegWallets, now: datetime) -> int:
    """Queue the transactions of legs that begin. Returns how many legs it looked at. No network."""
    adapters = in_legs(rails)
    async with transaction(engine, point="legs.coins") as connection:
        due = (await connection.execute(_TO_SEND, {"now": now, "rails": list(adapters), "most": SET})).all()
        if not due:
            return 0
        await lock_attempts(connection, attempts=[row.attempt_id for row in due])
        rows = (await connection.execute(_TAKE, {"ids": [row.id for row in due]})).all()
        rows = [row for row in rows if row.sent_at is None]
        done = await read_done(connection, attempts=[row.attempt_id for row in rows])
        stopped = await frozen(connection)
        told = []
        for row in rows:
            leg = Leg(leg_id=row.id, name=row.name, payment=payment_of(row), done=done.get(row.attempt_id, {}))
            heard = await _hand_over(connection, row, leg, rails=rails, wallets=wallets, stopped=stopped, now=now)
            if heard is not None:
                told.append(Told(leg_id=row.id, attempt_id=row.attempt_id, lease=None, heard=heard))
        await record_legs(connection, told=told, adapters=adapters, capabilities=rails.capabilities, now=now)
        await open_incidents(connection, alarms=_overdue(rows, rails, now=now), now=now)
        return len(rows)


async def _hand_over(
    connection: AsyncConnection,
    row: Any,
    leg: Leg,
    *,
    rails: Rails,
    wallets: LegWallets,
    stopped: Mapping[str, str],
    now: datetime,
) -> LegReport | None:
    """What is to be recorded of the leg; None: it waits."""
    wanted = _wanted(row, leg, rails=rails, wallets=wallets, now=now)
    if isinstance(wanted, LegReport):
        return wanted
    if (reason := stopped.get(wanted.amount.asset.code)) is not None:
        later = {"id": row.id, "later": next_ask(row.asks, now=now), "reason": f"its coin is frozen: {reason}"[:500]}
        await connection.execute(_LATER, later)
        return None
    wallet = wallets.by_chain[wanted.chain_id]
    await queue(connection, wanted=_transaction(row.id, wanted, sender=wallet.address), now=now)
    await connection.execute(_MARK, {"id": row.id, "now": now})
    await connection.execute(_RESENT, {"id": row.attempt_id, "now": now})
    before = {} if wanted.before is None else {"before": wanted.before.isoformat()}
    places = {"chain": str(wanted.chain_id), "token": wanted.contract.lower(), "to": wanted.to.lower()}
    facts = {**places, "wallet": wallet.account, **before}
    return LegReport(outcome=Outcome.PENDING, gave=wanted.amount, facts=facts, reason="its coins are being sent")


def _wanted(row: Any, leg: Leg, *, rails: Rails, wallets: LegWallets, now: datetime) -> CoinTransfer | LegReport:
    """What is to be sent, or why nothing ever will be."""
    if row.attempt_closed is not None:
        return not_sent("the payment was over", Fault.TRANSIENT)
    try:
        wanted = in_legs(rails)[row.rail].coins(leg)
    except OfframpError as error:
        return not_sent(str(error), Fault.TRANSIENT)
    except Exception as error:  # noqa: BLE001 - an adapter's bug fails its own leg, of which nothing has left us
        return not_sent(f"the adapter raised {type(error).__name__}", Fault.RAIL)
    if wanted.before is not None and now >= wanted.before:
        return not_sent("the time in which the coins had to be sent is over", Fault.TRANSIENT)
    refusal = wallets.refusal(wanted)
    return wanted if refusal is None else not_sent(refusal, Fault.RAIL)


def _transaction(leg_id: str, wanted: CoinTransfer, *, sender: str) -> Wanted:
    to = to_checksum_address(wanted.to)
    return Wanted(
        chain_id=wanted.chain_id,
        sender=sender,
        purpose=PURPOSE,
        reference=leg_id,
        to=to_checksum_address(wanted.contract),
        data=SELECTOR + encode(["address", "uint256"], [to, wanted.amount.units]),
        value=0,
        gas_limit=GAS,
    )


async def settle_coins(engine: AsyncEngine, *, chain_id: int, rails: Rails, read: ReadReceipts, clock: Clock) -> int:
    """Take note of what became of one set of a chain's transfers. Returns how many legs were closed.

    PAID only when the transaction is final and its token says that all of it arrived. Raises what `read` raises
    (`NodeFault`), with nothing written.
    """
    adapters, now = in_legs(rails), clock()
    values = {"now": now, "chain": str(chain_id), "rails": list(adapters), "most": SET}
    async with reading(engine) as connection:
        due = (await connection.execute(_SENT, values)).all()
        known = await results(connection, references=[row.id for row in due]) if due else {}
    if not due:
        return 0
    final = [one.hash for one in known.values() if one.state is TransactionState.SUCCEEDED and one.hash is not None]
    receipts = dict(zip(final, await read(final) if final else (), strict=True))
    now = clock()
    async with transaction(engine, point="legs.coins_record") as connection:
        await lock_attempts(connection, attempts=[row.attempt_id for row in due])
        rows = (await connection.execute(_TAKE, {"ids": [row.id for row in due]})).all()
        known = await results(connection, references=[row.id for row in rows])
        told = [await _told(connection, row, known.get(row.id), receipts, now=now) for row in rows]
        await record_legs(connection, told=told, adapters=adapters, capabilities=rails.capabilities, now=now)
        missing = [_alarm(row, "leg_unknown") for row, one in zip(rows, told, strict=True) if _is_unknown(one)]
        await open_incidents(connection, alarms=[*missing, *_overdue(rows, rails, now=now)], now=now)
        return sum(isinstance(one.heard, LegReport) and one.heard.outcome in _ENDS for one in told)


async def _told(
    connection: AsyncConnection, row: Any, result: Result | None, receipts: Mapping[str, Receipt | None], *, now: datetime
) -> Told:
    gave = Money(int(row.gave_units), Asset(row.gave_asset, row.gave_decimals))
    report, entry = _judged(row, result, receipts, gave=gave), None
    late = "before" in row.facts and now >= datetime.fromisoformat(row.facts["before"])
    queued = result is not None and result.state is TransactionState.QUEUED
    if (late or row.attempt_closed is not None) and queued:
        why = "the time in which the coins had to be sent is over" if late else "the payment was over"
        if await take_back(connection, reference=row.id, reason=why, now=now):
            report = not_sent(why, Fault.TRANSIENT)
    if report.outcome is Outcome.PAID and report.got is not None:
        wallet = row.facts["wallet"]
        entry = coins_entry(row.id, rail=row.rail, wallet=wallet, gave=gave, got=report.got, order_id=row.order_id)
    return Told(leg_id=row.id, attempt_id=row.attempt_id, lease=None, heard=report, entry=entry)


_WHY = {
    TransactionState.REVERTED: ("the transfer was refused on the chain", Fault.FLOAT),
    TransactionState.REFUSED: ("the transfer would have been refused on the chain, so it was not sent", Fault.FLOAT),
    TransactionState.DISPLACED: ("another transaction of the wallet took its place", Fault.TRANSIENT),
}


def _judged(row: Any, result: Result | None, receipts: Mapping[str, Receipt | None], *, gave: Money) -> LegReport:
    if result is None:
        return LegReport(outcome=Outcome.UNKNOWN, reason="its transaction is missing in our books; find out what was sent")
    evidence = {"transaction": result.hash or "", "state": str(result.state)}
    if result.state in _WHY:
        why, fault = _WHY[result.state]
        return LegReport(outcome=Outcome.FAILED, fault=fault, reason=": ".join(filter(None, (why, result.reason))))
    receipt = receipts.get(result.hash or "")
    if result.state is not TransactionState.SUCCEEDED or receipt is None:
        return LegReport(outcome=Outcome.PENDING, provider_ref=result.hash, reason=result.reason, evidence=evidence)
    units = arrived(receipt, token=row.facts["token"], address=row.facts["to"])
    if units == 0:
        return LegReport(outcome=Outcome.FAILED, fault=Fault.RAIL, reason="the token took the transfer and moved nothing")
    if units < gave.units:
        # Something is gone, and not enough arrived: neither paid nor failed. A person speaks with the provider.
        return LegReport(outcome=Outcome.UNKNOWN, reason=f"the token kept a part: {units} of {gave.units} units arrived")
    return LegReport(outcome=Outcome.PAID, provider_ref=result.hash, gave=gave, got=gave, evidence=evidence)


def _is_unknown(one: Told) -> bool:
    return isinstance(one.heard, LegReport) and one.heard.outcome is Outcome.UNKNOWN


def _overdue(rows: Sequence[Any], rails: Rails, *, now: datetime) -> list[Alarm]:
    within = {name: max(facts.settles_within, OVERDUE_LEAST) for name, facts in rails.capabilities.items()}
    return [_alarm(row, "leg_overdue") for row in rows if now - row.created_at > within[row.rail]]


def _alarm(row: Any, kind: str) -> Alarm:
    detail = {"attempt": row.attempt_id, "leg": row.name, "adapter": row.rail, "outcome": row.outcome}
    return Alarm(f"{row.id}:{kind}", kind, row.order_id, detail)
