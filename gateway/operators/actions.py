"""Decisions of people, written down in the transaction that carries them out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.errors import Refusal


class UnknownOperator(Refusal):
    """Nobody by that name may decide anything here."""

    code = "unknown_operator"

    def __init__(self, name: str) -> None:
        super().__init__(
            f'no operator is named "{name}"; `lastmile operator add NAME` adds one, `lastmile operator list` lists'
        )


REASON_MOST = 2_000
"""Characters of a reason; more belongs into a document that the reason names."""


class ReasonMissing(Refusal):
    """A decision without its reason can't be judged later."""

    code = "reason_missing"

    def __init__(self) -> None:
        super().__init__("a decision needs its reason, in a sentence that still makes sense in a year")


class ReasonUnreadable(Refusal):
    """A reason that can't be shown as it was given."""

    code = "reason_unreadable"

    def __init__(self) -> None:
        super().__init__(f"a reason is text of at most {REASON_MOST} characters; name the document that says more")


class ActionView(NamedTuple):
    """One decision, as lists show it."""

    id: int
    operator: str
    action: str
    subject: str
    reason: str
    detail: Mapping[str, Any]
    at: datetime


_RECORD = text("""
INSERT INTO operator_actions (operator, action, subject, reason, detail, at)
SELECT name, :action, :subject, :reason, CAST(:detail AS jsonb), :now
FROM operators WHERE name = :operator AND disabled_at IS NULL
""")


async def record_action(
    connection: AsyncConnection,
    *,
    operator: str,
    action: str,
    subject: str,
    reason: str,
    now: datetime,
    detail: Mapping[str, str] | None = None,
) -> None:
    """Write down who did what to which `subject`, and why. Raises `UnknownOperator`, `ReasonMissing`, `ReasonUnreadable`."""
    if not reason.strip():
        raise ReasonMissing
    if len(reason) > REASON_MOST or "\0" in reason:
        raise ReasonUnreadable
    values = {"operator": operator, "action": action, "subject": subject, "reason": reason.strip(), "now": now}
    written = await connection.execute(_RECORD, {**values, "detail": json.dumps(dict(detail or {}))})
    if written.rowcount == 0:
        raise UnknownOperator(operator)


_LIST = text("""
SELECT id, operator, action, subject, reason, detail, at FROM operator_actions
WHERE id < :before ORDER BY id DESC LIMIT :most
""")
_NEWEST = 2**63 - 1


async def list_actions(connection: AsyncConnection, *, most: int, before: int | None = None) -> list[ActionView]:
    """At most `most` decisions, newest first; those older than the one numbered `before`."""
    rows = await connection.execute(_LIST, {"before": _NEWEST if before is None else before, "most": most})
    return [ActionView(*row) for row in rows]
