"""How often somebody may try to sign in: counted in the database, so that all processes count together."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from ipaddress import IPv6Address, ip_address, ip_network
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

WINDOW = timedelta(minutes=15)
ADDRESS_MOST, NAME_MOST, BOTH_MOST = 30, 60, 6
"""Attempts in a window: from one address, for one name, for one name from one address.

A name's own limit is wide, because whoever knows a name can use it up and lock that person out; with passwords of 15
characters it still leaves a guesser nothing.
"""
PURGED_AT_ONCE = 500
IPV6_PREFIX = 64
"""Bits of an IPv6 address that somebody usually holds alone with all that follows."""


class Limit(NamedTuple):
    """What is counted under which key, and how often it may be."""

    counted: str
    most: int


_COUNT = text("""
INSERT INTO sign_in_attempts AS a (counted, attempts, since) VALUES (:counted, 1, :now)
ON CONFLICT (counted) DO UPDATE SET
    attempts = CASE WHEN a.since <= :begin THEN 1 ELSE least(a.attempts, 1000000) + 1 END,
    since = CASE WHEN a.since <= :begin THEN excluded.since ELSE a.since END
RETURNING attempts
""")
_FORGET = text("DELETE FROM sign_in_attempts WHERE counted = :counted")
_PURGE = text("""
DELETE FROM sign_in_attempts WHERE counted IN (
    SELECT counted FROM sign_in_attempts WHERE since <= :begin ORDER BY since LIMIT :most FOR UPDATE SKIP LOCKED
)
""")


async def count_attempt(connection: AsyncConnection, *, name: str, address: str, now: datetime) -> bool:
    """Count an attempt before its password is looked at; whether it may go on. The caller commits either way."""
    await connection.execute(_PURGE, {"begin": now - WINDOW, "most": PURGED_AT_ONCE})
    for limit in _limits(name=name, address=address):
        counted = await connection.execute(_COUNT, {"counted": limit.counted, "now": now, "begin": now - WINDOW})
        if counted.scalar_one() > limit.most:
            # What is over one limit is not counted further: one address alone can't lock a name out, nor fill the table.
            return False
    return True


async def forget_attempts(connection: AsyncConnection, *, name: str, address: str) -> None:
    """After a success: the person's own attempts no longer count. Those of the address do: others may share it."""
    # In the order in which they are counted, or two sign-ins could wait for each other.
    for limit in _limits(name=name, address=address)[1:]:
        await connection.execute(_FORGET, {"counted": limit.counted})


def _limits(*, name: str, address: str) -> tuple[Limit, ...]:
    place, person = _place(address), hashlib.sha256(name.encode(errors="replace")).hexdigest()
    return (
        Limit(f"address:{place}", ADDRESS_MOST),
        Limit(f"name:{person}", NAME_MOST),
        Limit(f"both:{person}:{place}", BOTH_MOST),
    )


def _place(address: str) -> str:
    """An address as one person's: an IPv6 network; an IPv4 address however it is written; "unknown" for what is neither."""
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return "unknown"
    if not isinstance(ip, IPv6Address):
        return str(ip)
    return str(ip.ipv4_mapped or ip_network((ip, IPV6_PREFIX), strict=False))
