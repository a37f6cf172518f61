"""Codes: made with their funds held, found, renewed, cancelled, run out. Every change is made under the code's row lock."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.agents.digits import digest, new_digits
from gateway.agents.errors import (
    DuplicateCode,
    LifetimeWrong,
    NothingToPay,
    NotYours,
    TooLittle,
    TooManyRenewals,
    WrongState,
)
from gateway.agents.rules import LIFETIME_LEAST, RENEWALS_MOST, PickupRules
from gateway.db.session import reading, transaction
from gateway.ids import new_id
from gateway.ledger.post import Entry, Transfer, post
from gateway.money import Asset, Money

ACTIVE, CLAIMED, REDEEMED, CANCELLED, EXPIRED = "active", "claimed", "redeemed", "cancelled", "expired"
DRAWS_MOST = 5
EXPIRED_AT_ONCE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A request for a code."""

    client_id: str
    account_id: str
    correlation_id: str
    reference: str
    amount: str
    currency: str
    country: str
    holder: str = field(repr=False)
    msisdn: str = field(repr=False)
    lifetime: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeView:
    """A code, without its digits. While an agent has claimed it, others see it as active."""

    id: str
    client_id: str
    account_id: str
    reference: str
    state: str
    money: Money
    country: str
    holder: str = field(repr=False)
    msisdn: str = field(repr=False)
    misses: int
    renewals: int
    created_at: datetime
    updated_at: datetime
    expires_at: datetime
    withdrawal: str | None
    """The claim by which it was redeemed."""


_COLUMNS = """
c.id, c.client_id, c.account_id, c.reference, c.state, c.asset, s.decimals, c.units, c.country, c.holder, c.msisdn, c.misses,
c.renewals, c.created_at, c.updated_at, c.expires_at,
(SELECT w.id FROM pickup_claims AS w WHERE w.code_id = c.id AND w.state = 'confirmed') AS withdrawal
"""
_FROM = f"SELECT {_COLUMNS} FROM pickup_codes AS c JOIN assets AS s ON s.code = c.asset"  # noqa: S608 - all of it is ours
_READ = text(f"{_FROM} WHERE c.id = :id")
_LOCK = text("SELECT id FROM pickup_codes WHERE id = :id FOR UPDATE")
_LOCK_DIGITS = text("SELECT id FROM pickup_codes WHERE code_hash = :code_hash FOR UPDATE")
_BY_CORRELATION = text("SELECT id FROM pickup_codes WHERE client_id = :client AND correlation_id = :correlation")
_OF_ACCOUNT = text(f"""{_FROM} WHERE c.client_id = :client AND c.account_id = :account
AND :state IN ('', CASE c.state WHEN 'claimed' THEN 'active' ELSE c.state END)
ORDER BY c.created_at DESC, c.id DESC LIMIT :most OFFSET :skip""")
_ACCOUNT = text("""
SELECT a.asset, s.decimals, a.free_units, a.held_units FROM network_accounts AS a JOIN assets AS s ON s.code = a.asset
WHERE a.id = :account AND a.client_id = :client
""")
_HOLD = text("""
UPDATE network_accounts SET free_units = free_units - :units, held_units = held_units + :units
WHERE id = :account AND free_units >= :units
""")
_FREE = text("""
UPDATE network_accounts SET free_units = free_units + :units, held_units = held_units - :units WHERE id = :account
""")
_MAKE = text("""
INSERT INTO pickup_codes (id, client_id, account_id, correlation_id, reference, code_hash, state, asset, units, country,
    holder, msisdn, misses, renewals, created_at, updated_at, expires_at)
VALUES (:id, :client, :account, :correlation, :reference, :code_hash, 'active', :asset, :units, :country, :holder, :msisdn,
    0, 0, :now, :now, :expires_at)
ON CONFLICT DO NOTHING RETURNING id
""")
_KNOWN = text("""
SELECT FROM pickup_codes WHERE client_id = :client AND (correlation_id = :correlation OR reference = :reference)
""")
_SET = text("UPDATE pickup_codes SET state = :state, updated_at = :now WHERE id = :id")
_RENEW = text("""
UPDATE pickup_codes SET code_hash = :code_hash, renewals = renewals + 1, misses = 0, updated_at = :now WHERE id = :id
""")
_DUE = text("""
SELECT id FROM pickup_codes WHERE state = 'active' AND expires_at <= :now ORDER BY expires_at LIMIT :most
""")


async def make_code(connection: AsyncConnection, *, wish: Wish, rules: PickupRules, now: datetime) -> tuple[CodeView, str]:
    """A new code and its digits, which are told nowhere else.

    Raises `NotYours`, `LifetimeWrong`, `NothingToPay`, `DuplicateCode`, `TooLittle`; `MoneyError` for what is no amount.
    """
    account = (await connection.execute(_ACCOUNT, {"account": wish.account_id, "client": wish.client_id})).one_or_none()
    if account is None or account.asset != wish.currency:
        raise NotYours
    if not LIFETIME_LEAST <= wish.lifetime <= rules.lifetime_most:
        raise LifetimeWrong(int(rules.lifetime_most.total_seconds()))
    money = Money.parse(wish.amount, Asset(account.asset, account.decimals))
    if money.units == 0:
        raise NothingToPay
    code_id = new_id("cod", now=now)
    digits = await _insert(connection, wish=wish, money=money, code_id=code_id, rules=rules, now=now)
    held = await connection.execute(_HOLD, {"account": wish.account_id, "units": money.units})
    if held.rowcount == 0:
        raise TooLittle
    await _post(connection, code_id, "pickup_held", wish.account_id, "", ":held", money, now=now)
    return await _read(connection, code_id), digits


async def find_code(
    connection: AsyncConnection, *, client_id: str, now: datetime, code_id: str | None = None, correlation_id: str = ""
) -> CodeView:
    """A client's code by its id or by the correlation id that made it, locked; run out if its time has come.

    Raises `NotYours`.
    """
    if code_id is None:
        by_correlation = {"client": client_id, "correlation": correlation_id}
        code_id = (await connection.execute(_BY_CORRELATION, by_correlation)).scalar_one_or_none()
    found = None if code_id is None else await lock_code(connection, code_id=code_id, now=now)
    if found is None or found.client_id != client_id:
        raise NotYours
    return found


async def list_codes(
    connection: AsyncConnection, *, client_id: str, account_id: str, state: str = "", most: int = 50, skip: int = 0
) -> list[CodeView]:
    """A client's codes of one account, the newest first."""
    values = {"client": client_id, "account": account_id, "state": state, "most": most, "skip": skip}
    return [_view(row) for row in await connection.execute(_OF_ACCOUNT, values)]


async def renew_code(
    connection: AsyncConnection, *, client_id: str, code_id: str, rules: PickupRules, now: datetime
) -> tuple[CodeView, str]:
    """Other digits in the place of those that nobody has seen; the old ones are dead. Raises `NotYours`, `WrongState`."""
    code = await find_code(connection, client_id=client_id, code_id=code_id, now=now)
    if code.state != ACTIVE:
        raise WrongState(code.state)
    if code.renewals >= RENEWALS_MOST:
        raise TooManyRenewals
    digits = new_digits()
    await connection.execute(_RENEW, {"id": code_id, "code_hash": digest(digits, key=rules.key), "now": now})
    return await _read(connection, code_id), digits


async def cancel_code(connection: AsyncConnection, *, client_id: str, code_id: str, now: datetime) -> CodeView:
    """Cancel a code that no agent has. Again is the same. Raises `NotYours`, and `WrongState` if an agent was first."""
    code = await find_code(connection, client_id=client_id, code_id=code_id, now=now)
    if code.state in (CLAIMED, REDEEMED, EXPIRED):
        raise WrongState(code.state)
    if code.state == ACTIVE:
        await _end(connection, code, CANCELLED, now=now)
    return await _read(connection, code_id)


async def expire_codes(engine: AsyncEngine, *, now: datetime) -> int:
    """Let codes run out whose time has come, and free what they held. How many. Claimed ones wait for a person."""
    async with reading(engine) as connection:
        due = [row.id for row in await connection.execute(_DUE, {"now": now, "most": EXPIRED_AT_ONCE})]
    for code_id in due:
        async with transaction(engine, point="codes.expire") as connection:
            await lock_code(connection, code_id=code_id, now=now)
    return len(due)


async def lock_code(connection: AsyncConnection, *, code_id: str, now: datetime) -> CodeView | None:
    """A code under its row lock, run out if its time has come; None: there is none."""
    locked = (await connection.execute(_LOCK, {"id": code_id})).scalar_one_or_none()
    return None if locked is None else await _settled(connection, locked, now=now)


async def lock_digits(connection: AsyncConnection, *, digits: str, rules: PickupRules, now: datetime) -> CodeView | None:
    """The same by its digits."""
    values = {"code_hash": digest(digits, key=rules.key)}
    locked = (await connection.execute(_LOCK_DIGITS, values)).scalar_one_or_none()
    return None if locked is None else await _settled(connection, locked, now=now)


async def set_state(connection: AsyncConnection, *, code_id: str, state: str, now: datetime) -> None:
    """Write a state, under the lock that the caller has."""
    await connection.execute(_SET, {"id": code_id, "state": state, "now": now})


async def balance_of(connection: AsyncConnection, *, client_id: str, account_id: str) -> tuple[Money, Money]:
    """What is free on an account, and what is held. Raises `NotYours`."""
    row = (await connection.execute(_ACCOUNT, {"account": account_id, "client": client_id})).one_or_none()
    if row is None:
        raise NotYours
    asset = Asset(row.asset, row.decimals)
    return Money(int(row.free_units), asset), Money(int(row.held_units), asset)


async def _insert(
    connection: AsyncConnection, *, wish: Wish, money: Money, code_id: str, rules: PickupRules, now: datetime
) -> str:
    keys = {"client": wish.client_id, "correlation": wish.correlation_id, "reference": wish.reference}
    values = keys | {
        "id": code_id,
        "account": wish.account_id,
        "asset": money.asset.code,
        "units": money.units,
        "country": wish.country,
        "holder": wish.holder,
        "msisdn": wish.msisdn,
        "now": now,
        "expires_at": now + wish.lifetime,
    }
    for _ in range(DRAWS_MOST):
        digits = new_digits()
        made = await connection.execute(_MAKE, values | {"code_hash": digest(digits, key=rules.key)})
        if made.first() is not None:
            return digits
        if (await connection.execute(_KNOWN, keys)).first() is not None:
            raise DuplicateCode
    raise AssertionError("five times digits that were given out before: the source of randomness is broken")


async def _settled(connection: AsyncConnection, code_id: str, *, now: datetime) -> CodeView:
    code = await _read(connection, code_id)
    if code.state != ACTIVE or now < code.expires_at:
        return code
    await _end(connection, code, EXPIRED, now=now)
    return await _read(connection, code_id)


async def _read(connection: AsyncConnection, code_id: str) -> CodeView:
    # A statement of its own after the one that locks: that one began before whoever had the lock was done.
    return _view((await connection.execute(_READ, {"id": code_id})).one())


async def _end(connection: AsyncConnection, code: CodeView, state: str, *, now: datetime) -> None:
    await set_state(connection, code_id=code.id, state=state, now=now)
    await connection.execute(_FREE, {"account": code.account_id, "units": code.money.units})
    await _post(connection, code.id, "pickup_freed", code.account_id, ":held", "", code.money, now=now)


async def _post(
    connection: AsyncConnection,
    code_id: str,
    template: str,
    account: str,
    source: str,
    to: str,
    money: Money,
    *,
    now: datetime,
) -> None:
    transfer = Transfer(f"network:{account}{source}", f"network:{account}{to}", money)
    await post(connection, entries=[Entry(f"{template}:{code_id}", template, (transfer,))], now=now)


def _view(row: Any) -> CodeView:
    values = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for it
    money = Money(int(values.pop("units")), Asset(values.pop("asset"), values.pop("decimals")))
    return CodeView(money=money, **values)
