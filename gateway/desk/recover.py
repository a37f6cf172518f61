"""Coins at deposit addresses that nobody sweeps unasked: a person has them taken to the treasury, or off the list."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.chain.sweep import Holding
from gateway.chain.sweeps import named, order_sweep
from gateway.db.session import wake
from gateway.desk.case import open_case
from gateway.desk.errors import NothingThere
from gateway.desk.unmatched import DeskRules
from gateway.errors import Refusal
from gateway.operators.actions import record_action


class AlreadyOrdered(Refusal):
    """An open sweep takes it."""

    code = "already_ordered"

    def __init__(self) -> None:
        super().__init__("A sweep that is on its way takes these coins already; `lastmile sweep list` tells how far it is.")


class NotSwept(Refusal):
    """Nobody would send the sweep."""

    code = "not_swept"

    def __init__(self, chain_id: int) -> None:
        super().__init__(f"No key sweeps chain {chain_id}: give it a [chains.sweep] table, then order the recovery again.")


# What came after the last sweep that emptied the address is still there.
_THERE = text("""
SELECT count(*) FROM (
    SELECT block_number FROM deposits AS d JOIN deposit_addresses AS w USING (address)
    WHERE w.owner = :order_id AND d.chain_id = :chain_id AND d.asset = :asset AND d.status = 'final'
    AND d.vanished_at IS NULL
    UNION ALL
    SELECT block_number FROM strays AS s JOIN deposit_addresses AS w USING (address)
    WHERE w.owner = :order_id AND s.chain_id = :chain_id AND s.token = :token
) AS arrived
WHERE block_number > COALESCE((
    SELECT max(i.block_number) FROM sweep_items AS i JOIN deposit_addresses AS w USING (address)
    WHERE w.owner = :order_id AND i.chain_id = :chain_id AND i.token = :token AND i.state = 'flushed'), -1)
""")
_CLOSE = text("""
UPDATE strays SET closed_at = :now, closed_by = :operator
WHERE chain_id = :chain_id AND identity = :identity AND asset IS NULL AND closed_at IS NULL
AND address = (SELECT address FROM deposit_addresses WHERE owner = :order_id)
""")


async def recover(
    connection: AsyncConnection,
    *,
    order_id: str,
    chain_id: int,
    token: str,
    rules: DeskRules,
    operator: str,
    reason: str,
    now: datetime,
) -> str:
    """Order a sweep of one coin from an order's deposit address to the treasury, on any chain; gives the sweep's id.

    `token`: the contract in lower case, all zero for the native coin. Raises `NotSwept`, `OrderNotFound`, `NothingThere`,
    `AlreadyOrdered`, `UnknownOperator` and `ReasonMissing`.
    """
    if chain_id not in rules.swept:
        raise NotSwept(chain_id)
    await open_case(connection, order_id=order_id)
    asset = rules.coins.get((chain_id, token))
    values = {"order_id": order_id, "chain_id": chain_id, "token": token, "asset": asset and asset.code}
    if not (await connection.execute(_THERE, values)).scalar_one():
        raise NothingThere(order_id, asset.code if asset else token)
    holdings = [
        Holding(address=one.address, salt=one.salt, owner=one.owner, token=token, asset=asset, booked=0)
        for one in await named(connection, chain_id=chain_id, addresses=(), owners=[order_id])
    ]
    await record_action(
        connection,
        operator=operator,
        action="deposits.recover",
        subject=order_id,
        reason=reason,
        detail={"chain_id": str(chain_id), "token": token},
        now=now,
    )
    sweep_id = await order_sweep(connection, chain_id=chain_id, holdings=holdings, operator=operator, now=now)
    if sweep_id is None:
        raise AlreadyOrdered
    await wake(connection, "sweeps")
    return sweep_id


async def close_stray(
    connection: AsyncConnection,
    *,
    order_id: str,
    chain_id: int,
    tx_hash: str,
    log_index: int,
    operator: str,
    reason: str,
    now: datetime,
) -> None:
    """Take coins of a contract that nobody vouches for off the list: there is nothing to them, or they were recovered.

    Raises `NothingThere`, `UnknownOperator` and `ReasonMissing`.
    """
    identity = f"{tx_hash}:{log_index}"
    await record_action(
        connection,
        operator=operator,
        action="deposits.close",
        subject=order_id,
        reason=reason,
        detail={"chain_id": str(chain_id), "transfer": identity},
        now=now,
    )
    values = {"order_id": order_id, "chain_id": chain_id, "identity": identity, "operator": operator, "now": now}
    if not (await connection.execute(_CLOSE, values)).rowcount:
        raise NothingThere(order_id, identity)
