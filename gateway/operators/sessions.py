"""Signing in and out. A session is a random token in the browser and its SHA-256 here; it ends by itself."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.db.session import transaction
from gateway.errors import Refusal
from gateway.operators.accounts import NAME
from gateway.operators.attempts import WINDOW, count_attempt, forget_attempts
from gateway.operators.passwords import Passwords

IDLE, LIFETIME = timedelta(minutes=30), timedelta(hours=12)
"""How long a session lives unused, and at all."""
SEEN_EVERY = timedelta(minutes=1)
"""How exactly its last use is kept: a write for each page would be one too many."""
TOKEN_BYTES = 32
TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")
FORM_PURPOSE = b"lastmile console form"


class WrongCredentials(Refusal):
    """No such name, a wrong password, or somebody who was disabled: one answer for all."""

    code = "wrong_credentials"

    def __init__(self) -> None:
        super().__init__("The name or the password is wrong.")


class TooManyAttempts(Refusal):
    """Too many sign-ins were tried for this name or from this address, whether or not the name exists."""

    code = "too_many_attempts"

    def __init__(self) -> None:
        minutes = int(WINDOW.total_seconds() // 60)
        super().__init__(f"Too many attempts to sign in. Wait {minutes} minutes, then try again.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Somebody who is signed in."""

    operator: str
    token: str = field(repr=False)

    @property
    def form_token(self) -> str:
        """What a form of this session carries, so that no other site's form is one (CSRF). Tells nothing of the token."""
        return hmac.new(self.token.encode(), FORM_PURPOSE, hashlib.sha256).hexdigest()

    def made_form(self, form_token: str) -> bool:
        """Whether a form with this token is one of this session's."""
        return hmac.compare_digest(self.form_token.encode(), form_token.encode())


_HASH = text("SELECT password_hash FROM operators WHERE name = :name AND disabled_at IS NULL")
_STILL = text("""
UPDATE operators SET password_hash = :new WHERE name = :name AND password_hash = :old AND disabled_at IS NULL
""")
_END_OLD = text("DELETE FROM operator_sessions WHERE expires_at <= :now OR seen_at <= :idle_since")
_BEGIN = text("""
INSERT INTO operator_sessions (token_hash, operator, created_at, seen_at, expires_at)
VALUES (:token_hash, :operator, :now, :now, :expires_at)
""")
_FIND = text("""
SELECT s.operator, s.seen_at FROM operator_sessions AS s JOIN operators AS o ON o.name = s.operator
WHERE s.token_hash = :token_hash AND s.expires_at > :now AND s.seen_at > :idle_since AND o.disabled_at IS NULL
""")
_SEEN = text("UPDATE operator_sessions SET seen_at = :now WHERE token_hash = :token_hash AND seen_at < :now")
_END = text("DELETE FROM operator_sessions WHERE token_hash = :token_hash")


async def sign_in(
    engine: AsyncEngine, *, passwords: Passwords, name: str, password: str, address: str, now: datetime
) -> Session:
    """A new session. Raises `WrongCredentials`, `TooManyAttempts` and `SignInBusy`.

    The attempt is committed before the password is looked at, so that many at once don't slip through the limit.
    """
    async with passwords.turn():
        async with transaction(engine) as connection:
            allowed = await count_attempt(connection, name=name, address=address, now=now)
            known = NAME.fullmatch(name) is not None
            kept = (await connection.execute(_HASH, {"name": name if known else ""})).scalar_one_or_none()
        if not allowed:
            raise TooManyAttempts
        new = await asyncio.to_thread(_checked, passwords, password, kept)
        async with transaction(engine) as connection:
            # Again, because it may have been replaced or its owner disabled meanwhile.
            still = await connection.execute(_STILL, {"name": name, "old": kept, "new": new}) if new else None
            if still is None or still.rowcount == 0:
                raise WrongCredentials
            await forget_attempts(connection, name=name, address=address)
            return await _begin(connection, operator=name, now=now)


async def find_session(connection: AsyncConnection, *, token: str, now: datetime) -> Session | None:
    """The session of a browser's token; None if there is none, or it ended, or its operator was disabled."""
    if not TOKEN.fullmatch(token):
        return None
    values = {"token_hash": _digest(token), "now": now}
    row = (await connection.execute(_FIND, values | {"idle_since": now - IDLE})).one_or_none()
    if row is None:
        return None
    if row.seen_at <= now - SEEN_EVERY:
        await connection.execute(_SEEN, values)
    return Session(operator=row.operator, token=token)


async def sign_out(connection: AsyncConnection, *, session: Session) -> None:
    """End this session; others of the same person go on."""
    await connection.execute(_END, {"token_hash": _digest(session.token)})


async def _begin(connection: AsyncConnection, *, operator: str, now: datetime) -> Session:
    await connection.execute(_END_OLD, {"now": now, "idle_since": now - IDLE})
    token = secrets.token_urlsafe(TOKEN_BYTES)
    values = {"token_hash": _digest(token), "operator": operator, "now": now, "expires_at": now + LIFETIME}
    await connection.execute(_BEGIN, values)
    return Session(operator=operator, token=token)


def _checked(passwords: Passwords, password: str, kept: str | None) -> str | None:
    """The hash to keep from now on, with today's parameters; None for a wrong password."""
    if not passwords.match(password, kept) or kept is None:
        return None
    return passwords.hashed(password) if passwords.outdated(kept) else kept


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
