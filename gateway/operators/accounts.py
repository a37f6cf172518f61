"""Operators: added, listed, disabled. A name stays for ever, because decisions stand under it."""

from __future__ import annotations

import re
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.errors import Refusal
from gateway.operators.actions import UnknownOperator, record_action

NAME = re.compile(r"[a-z][a-z0-9._-]{0,63}")


class BadOperatorName(Refusal):
    """Not a name that can be typed, sorted and told from others."""

    code = "bad_operator_name"

    def __init__(self) -> None:
        super().__init__('a name has 1 to 64 of a-z, 0-9, ".", "_" and "-" and begins with a letter, as in "wanjiku.k"')


class OperatorExists(Refusal):
    """The name is taken, perhaps by somebody who is disabled."""

    code = "operator_exists"

    def __init__(self, name: str) -> None:
        super().__init__(f'"{name}" is taken: names are never given anew; choose another one')


class OperatorView(NamedTuple):
    """An operator, as lists show one."""

    name: str
    created_at: datetime
    disabled_at: datetime | None
    sessions: int
    """How many sign-ins of theirs are open."""


_ADD = text("""
INSERT INTO operators (name, password_hash, created_at) VALUES (:name, :password_hash, :now) ON CONFLICT DO NOTHING
""")
_LIST = text("""
SELECT o.name, o.created_at, o.disabled_at, (
    SELECT count(*) FROM operator_sessions AS s WHERE s.operator = o.name AND s.expires_at > :now
) AS sessions
FROM operators AS o ORDER BY o.name
""")
_DISABLE = text("UPDATE operators SET disabled_at = :now WHERE name = :name AND disabled_at IS NULL")
_SET_PASSWORD = text("UPDATE operators SET password_hash = :password_hash WHERE name = :name AND disabled_at IS NULL")
_END_SESSIONS = text("DELETE FROM operator_sessions WHERE operator = :name")


async def add_operator(connection: AsyncConnection, *, name: str, password_hash: str, now: datetime) -> None:
    """Add a person who may decide things. Raises `BadOperatorName` and `OperatorExists`."""
    if not NAME.fullmatch(name):
        raise BadOperatorName
    added = await connection.execute(_ADD, {"name": name, "password_hash": password_hash, "now": now})
    if added.rowcount == 0:
        raise OperatorExists(name)


async def list_operators(connection: AsyncConnection, *, now: datetime) -> list[OperatorView]:
    """Everybody, by name, the disabled among them."""
    return [OperatorView(*row) for row in await connection.execute(_LIST, {"now": now})]


async def disable_operator(connection: AsyncConnection, *, name: str, operator: str, reason: str, now: datetime) -> None:
    """Let `name` decide nothing more; their sessions end. `operator` decides so. Raises as `record_action` does."""
    await record_action(
        connection, operator=operator, action="operator.disable", subject=f"operator:{name}", reason=reason, now=now
    )
    disabled = await connection.execute(_DISABLE, {"name": name, "now": now})
    if disabled.rowcount == 0:
        raise UnknownOperator(name)
    await connection.execute(_END_SESSIONS, {"name": name})


async def set_password(connection: AsyncConnection, *, name: str, password_hash: str) -> None:
    """Replace a password; the person's sessions end. Raises `UnknownOperator`, also for a disabled one."""
    changed = await connection.execute(_SET_PASSWORD, {"name": name, "password_hash": password_hash})
    if changed.rowcount == 0:
        raise UnknownOperator(name)
    await connection.execute(_END_SESSIONS, {"name": name})
