"""What a decision about money is about, as a person reads it before they decide."""

from __future__ import annotations

import re

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.money import Asset, Money
from gateway.refunds.addresses import confirmed_address
from gateway.web.console.decide import Facts
from gateway.web.services import WebServices

_ORDER = text("""
SELECT o.state, o.reference, q.send_asset, q.send_units, q.expires_at, a.decimals, r.name
FROM orders AS o JOIN quotes AS q ON q.id = o.quote_id JOIN assets AS a ON a.code = q.send_asset
LEFT JOIN recipients AS r ON r.order_id = o.id WHERE o.id = :order_id
""")
_MONEY = text("""
SELECT name, asset, units, decimals FROM balances JOIN assets ON code = asset
WHERE order_id = :order_id AND name = ANY(CAST(:names AS text[])) ORDER BY name, asset
""")
_PLACE = re.compile(r"(?P<order_id>[^/]+)/(?P<chain_id>[0-9]{1,18})/(?P<token>0x[0-9a-f]{40})")
_LOG = re.compile(r"(?P<order_id>[^/]+)/(?P<chain_id>[0-9]{1,18})/(?P<tx_hash>0x[0-9a-f]{64})/(?P<log_index>[0-9]{1,9})")
_ACCOUNTS = {"funds": "For the payout", "unallocated": "Kept for the sender", "refund": "On its way back"}


async def look_at_order(connection: AsyncConnection, _services: WebServices, subject: str) -> Facts | None:
    """An order by its id, and all the money that it has."""
    row = (await connection.execute(_ORDER, {"order_id": subject})).one_or_none()
    if row is None:
        return None
    facts = {
        "Order": subject,
        "State": row.state.replace("_", " "),
        "Asked for": str(Money(int(row.send_units), Asset(row.send_asset, row.decimals))),
        "Price held until": row.expires_at.strftime("%Y-%m-%d %H:%M UTC"),
        "Recipient": row.name or "erased",
    }
    for one in await connection.execute(_MONEY, {"order_id": subject, "names": list(_ACCOUNTS)}):
        money = Money(int(one.units), Asset(one.asset, one.decimals))
        facts[f"{_ACCOUNTS[one.name]}, {one.asset}"] = str(money)
    facts["Refund address"] = await confirmed_address(connection, order_id=subject) or "none is confirmed"
    return facts


async def look_at_coin(connection: AsyncConnection, services: WebServices, subject: str) -> Facts | None:
    """An order and one of its coins, as in "ord_…/USDC@8453"."""
    order_id, asset = parts(subject)
    facts = await look_at_order(connection, services, order_id)
    return None if facts is None or not asset else {**facts, "Coin": asset}


async def look_at_place(connection: AsyncConnection, services: WebServices, subject: str) -> Facts | None:
    """An order's address and what to take from it, as in "ord_…/8453/0x…"; the native coin's contract is all zero."""
    place = _PLACE.fullmatch(subject)
    facts = await look_at_order(connection, services, place["order_id"]) if place else None
    if place is None or facts is None:
        return None
    coin = services.desk.coins.get((int(place["chain_id"]), place["token"]))
    known = {"Coin": "nobody vouches for it" if coin is None else coin.code}
    return {**facts, "Chain": place["chain_id"], "Contract": place["token"], **known}


async def look_at_log(connection: AsyncConnection, services: WebServices, subject: str) -> Facts | None:
    """An order and a transfer to its address that is on no ledger, as in "ord_…/8453/0x…/7"."""
    log = _LOG.fullmatch(subject)
    facts = await look_at_order(connection, services, log["order_id"]) if log else None
    if log is None or facts is None:
        return None
    return {**facts, "Chain": log["chain_id"], "Transaction": log["tx_hash"], "Log": log["log_index"]}


def parts(subject: str) -> tuple[str, str]:
    """A subject's two names; the second is empty if there is only one."""
    first, _, second = subject.partition("/")
    return first, second
