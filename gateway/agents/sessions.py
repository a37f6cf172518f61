"""Agents at the counter page: signing in and out, as operators do. A session is a random token and its SHA-256 here."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.db.session import transaction
from gateway.operators.accounts import NAME
from gateway.operators.attempts import count_attempt, forget_attempts
from gateway.operators.passwords import Passwords
from gateway.operators.sessions import TOKEN, TOKEN_BYTES, Session, TooManyAttempts, WrongCredentials

IDLE, LIFETIME = timedelta(minutes=20), timedelta(hours=12)
"""How long a session lives unused, and at all."""
SEEN_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSession:
    """An agent who is signed in."""

    agent_id: str
    name: str
    shop: str
    token: str = field(repr=False)

    @property
    def form_token(self) -> str:
        """What a form of this session carries, so that no other site's form is one (CSRF)."""
        return Session(operator=self.name, token=self.token).form_token

    def made_form(self, form_token: str) -> bool:
        """Whether a form with this token is one of this session's."""
        return Session(operator=self.name, token=self.token).made_form(form_token)


_KEPT = text("SELECT id, shop, password_hash FROM agents WHERE name = :name AND disabled_at IS NULL")
_END_OLD = text("DELETE FROM agent_sessions WHERE expires_at <= :now OR seen_at <= :idle_since")
_BEGIN = text("""
INSERT INTO agent_sessions (token_hash, agent_id, created_at, seen_at, expires_at)
SELECT :token_hash, id, :now, :now, :expires_at FROM agents
WHERE id = :agent AND password_hash = :kept AND disabled_at IS NULL
""")
_FIND = text("""
SELECT a.id, a.name, a.shop, s.seen_at FROM agent_sessions AS s JOIN agents AS a ON a.id = s.agent_id
WHERE s.token_hash = :token_hash AND s.expires_at > :now AND s.seen_at > :idle_since AND a.disabled_at IS NULL
""")
_SEEN = text("UPDATE agent_sessions SET seen_at = :now WHERE token_hash = :token_hash AND seen_at < :now")
_END = text("DELETE FROM agent_sessions WHERE token_hash = :token_hash")


async def sign_in(
    engine: AsyncEngine, *, passwords: Passwords, name: str, password: str, address: str, now: datetime
) -> AgentSession:
    """A new session. Raises `WrongCredentials`, `TooManyAttempts` and `SignInBusy`.

    The attempt is committed before the password is looked at, so that many at once don't slip through the limit.
    """
    counted = f"agent/{name}"  # no operator's name has a slash
    async with passwords.turn():
        async with transaction(engine) as connection:
            allowed = await count_attempt(connection, name=counted, address=address, now=now)
            known = name if NAME.fullmatch(name) else ""
            row = (await connection.execute(_KEPT, {"name": known})).one_or_none()
        if not allowed:
            raise TooManyAttempts
        kept = None if row is None else row.password_hash
        if not await asyncio.to_thread(passwords.match, password, kept) or row is None:
            raise WrongCredentials
        async with transaction(engine) as connection:
            token = secrets.token_urlsafe(TOKEN_BYTES)
            await connection.execute(_END_OLD, {"now": now, "idle_since": now - IDLE})
            values = {"token_hash": _digest(token), "agent": row.id, "kept": kept, "now": now}
            # Only if he is still who he was when his password was looked at.
            if (await connection.execute(_BEGIN, values | {"expires_at": now + LIFETIME})).rowcount == 0:
                raise WrongCredentials
            await forget_attempts(connection, name=counted, address=address)
    return AgentSession(agent_id=row.id, name=name, shop=row.shop, token=token)


async def find_session(connection: AsyncConnection, *, token: str, now: datetime) -> AgentSession | None:
    """The session of a browser's token; None if there is none, or it ended, or its agent was disabled."""
    if not TOKEN.fullmatch(token):
        return None
    values = {"token_hash": _digest(token), "now": now}
    row = (await connection.execute(_FIND, values | {"idle_since": now - IDLE})).one_or_none()
    if row is None:
        return None
    if row.seen_at <= now - SEEN_EVERY:
        await connection.execute(_SEEN, values)
    return AgentSession(agent_id=row.id, name=row.name, shop=row.shop, token=token)


async def sign_out(connection: AsyncConnection, *, session: AgentSession) -> None:
    """End this session."""
    await connection.execute(_END, {"token_hash": _digest(session.token)})


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
