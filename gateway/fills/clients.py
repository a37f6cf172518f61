"""Gateways that offer fills, and their signatures: HMAC-SHA256 over time, method, path and the raw body.

No secret is kept. Each is made from our key, the client's id and the version of its secret, so that who reads the database
can sign nothing, and a new version ends the old secret.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.fills.errors import BadFill, InvalidSignature, StaleSignature
from gateway.ids import new_id

FRESH = timedelta(minutes=5)
NAME_MOST = 100
HEADER = re.compile(r"HMAC ([A-Za-z0-9_-]{1,64}):([0-9]{1,12}):([0-9a-f]{64})")
"""Authorization: client id, Unix seconds, signature in hex."""


class NewFillClient(NamedTuple):
    """A client and its secret, which can be made again from our key and is told to whoever asks by command only."""

    client_id: str
    client_secret: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FillKey:
    """The key that clients' secrets are made from. Raises ValueError for one shorter than 32 bytes."""

    key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.key) < hashlib.sha256().digest_size:
            raise ValueError("the key of fill clients' secrets has at least 32 bytes")

    def secret_of(self, *, client_id: str, version: int) -> str:
        """The secret of a client: 256 bits in hex."""
        return hmac.new(self.key, f"lastmile fills\0{client_id}\0{version}".encode(), hashlib.sha256).hexdigest()


_ADD = text("""
INSERT INTO fill_clients (id, name, secret_version, created_at) VALUES (:id, :name, 1, :now)
ON CONFLICT (name) DO NOTHING RETURNING id
""")
_ROTATE = text("""
UPDATE fill_clients SET secret_version = secret_version + 1 WHERE name = :name AND disabled_at IS NULL
RETURNING id, secret_version
""")
_VERSION = text("SELECT secret_version FROM fill_clients WHERE id = :id AND disabled_at IS NULL")


async def add_client(connection: AsyncConnection, *, name: str, key: FillKey, now: datetime) -> NewFillClient:
    """Make a client. Raises `BadFill`."""
    tidy = " ".join(name.split())
    if not tidy or len(tidy) > NAME_MOST or not tidy.isprintable():
        raise BadFill(f"Give the client a name of 1 to {NAME_MOST} printable characters.")
    client_id = new_id("flc", now=now)
    if (await connection.execute(_ADD, {"id": client_id, "name": tidy, "now": now})).first() is None:
        raise BadFill("There is a client of that name already; choose another.")
    return NewFillClient(client_id, key.secret_of(client_id=client_id, version=1))


async def rotate(connection: AsyncConnection, *, name: str, key: FillKey) -> NewFillClient:
    """A new secret; the old one ends at once. Raises `BadFill`."""
    row = (await connection.execute(_ROTATE, {"name": name})).one_or_none()
    if row is None:
        raise BadFill("There is no client of that name.")
    return NewFillClient(row.id, key.secret_of(client_id=row.id, version=row.secret_version))


async def client_of(
    connection: AsyncConnection, *, header: str, method: str, path: str, body: bytes, key: FillKey, now: datetime
) -> str:
    """The client who signed these bytes, and not long ago. Raises `InvalidSignature` and `StaleSignature`."""
    given = HEADER.fullmatch(header)
    if given is None:
        raise InvalidSignature
    client_id, seconds, signature = given.groups()
    version = (await connection.execute(_VERSION, {"id": client_id})).scalar_one_or_none()
    # For an unknown client the same work is done, so that time tells nothing.
    secret = key.secret_of(client_id=client_id, version=version or 0)
    message = f"{seconds}\n{method}\n{path}\n".encode() + body
    right = hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(signature, right) or version is None:
        raise InvalidSignature
    if abs(int(now.timestamp()) - int(seconds)) > FRESH.total_seconds():
        raise StaleSignature
    return client_id
