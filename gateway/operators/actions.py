"""Decisions of people, written down in the transaction that carries them out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime

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


class ReasonMissing(Refusal):
    """A decision without its reason can't be judged later."""

    code = "reason_missing"

    def __init__(self) -> None:
        super().__init__("a decision needs its reason, in a sentence that still makes sense in a year")


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
    """Write down who did what to which `subject`, and why. Raises `UnknownOperator` and `ReasonMissing`."""
    if not reason.strip():
        raise ReasonMissing
    values = {"operator": operator, "action": action, "subject": subject, "reason": reason.strip(), "now": now}
    written = await connection.execute(_RECORD, {**values, "detail": json.dumps(dict(detail or {}))})
    if written.rowcount == 0:
        raise UnknownOperator(operator)
