"""Files that show something of an attempt. Kept in the database, so that they are backed up with what they prove."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.operators.actions import record_action
from gateway.payouts.casework import open_attempt
from gateway.payouts.errors import BadFile

SIZE_MOST = 5 * 1024 * 1024
"""Bytes of one file."""
FILES_MOST = 20
"""Files of one attempt."""
NAME_MOST = 120
_NAME = re.compile(r"[^/\\\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewFile:
    """A file to keep."""

    name: str = field(repr=False)
    content: bytes = field(repr=False)


class KeptFile(NamedTuple):
    """A file that is kept, without its content."""

    id: int
    name: str
    size: int
    """In bytes."""
    sha256: str
    added_by: str
    added_at: datetime


_COUNT = text("SELECT count(*) FROM evidence_files WHERE attempt_id = :attempt_id AND sha256 <> :sha256")
_ADD = text("""
INSERT INTO evidence_files (attempt_id, name, size, sha256, content, added_by, added_at)
VALUES (:attempt_id, :name, :size, :sha256, :content, :operator, :now)
ON CONFLICT ON CONSTRAINT a_file_is_kept_once DO NOTHING
""")
_LIST = text("""
SELECT id, name, size, sha256, added_by, added_at FROM evidence_files WHERE attempt_id = :attempt_id ORDER BY id
""")
_CONTENT = text("SELECT name, content FROM evidence_files WHERE id = :id AND attempt_id = :attempt_id")


async def add_file(
    connection: AsyncConnection, *, attempt_id: str, file: NewFile, operator: str, reason: str, now: datetime
) -> str:
    """Keep a file; gives its SHA-256. The same file of an attempt is kept once.

    Raises `AttemptNotFound`, `BadFile`, and as `record_action` does.
    """
    if len(file.name) > NAME_MOST or not _NAME.fullmatch(file.name):
        raise BadFile(f"give the file a name of at most {NAME_MOST} characters", field="file")
    if not 0 < len(file.content) <= SIZE_MOST:
        raise BadFile(f"a file has between 1 and {SIZE_MOST} bytes", field="file")
    case = await open_attempt(connection, attempt_id=attempt_id)
    sha256 = hashlib.sha256(file.content).hexdigest()
    others = (await connection.execute(_COUNT, {"attempt_id": attempt_id, "sha256": sha256})).scalar_one()
    if others >= FILES_MOST:
        raise BadFile(f"an attempt has at most {FILES_MOST} files; put what is left into one", field="file")
    await record_action(
        connection,
        operator=operator,
        action="payouts.file",
        subject=case.order_id,
        reason=reason,
        detail={"attempt": attempt_id, "sha256": sha256, "size": str(len(file.content))},
        now=now,
    )
    values = {"attempt_id": attempt_id, "name": file.name, "size": len(file.content), "sha256": sha256}
    await connection.execute(_ADD, {**values, "content": file.content, "operator": operator, "now": now})
    return sha256


async def list_files(connection: AsyncConnection, *, attempt_id: str) -> list[KeptFile]:
    """An attempt's files, the oldest first."""
    return [KeptFile(*row) for row in await connection.execute(_LIST, {"attempt_id": attempt_id})]


async def read_file(connection: AsyncConnection, *, attempt_id: str, file_id: int) -> NewFile | None:
    """One file with its content; None: the attempt has no such file."""
    row = (await connection.execute(_CONTENT, {"id": file_id, "attempt_id": attempt_id})).one_or_none()
    return None if row is None else NewFile(name=row.name, content=row.content)
