"""One effect per key: the answer is stored with the effect, in one transaction, and given again to whoever repeats it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.errors import Refusal

KEY_MOST = 255


class KeyMissing(Refusal):
    """A request that moves or promises money came without a key."""

    code = "idempotency_key_missing"

    def __init__(self) -> None:
        super().__init__(
            "Send an Idempotency-Key header: a text of your own, new for each order and the same when you repeat one.",
            field="Idempotency-Key",
        )


class BadKey(Refusal):
    """The key can't be kept."""

    code = "bad_idempotency_key"

    def __init__(self) -> None:
        super().__init__(
            f"Send one Idempotency-Key header, with 1 to {KEY_MOST} printable ASCII characters.", field="Idempotency-Key"
        )


class KeyReused(Refusal):
    """The key stands for another request."""

    code = "idempotency_key_reused"

    def __init__(self) -> None:
        super().__init__(
            "This Idempotency-Key was used for another request. Use a new key for a new order; the first one stands.",
            field="Idempotency-Key",
        )


class Answer(NamedTuple):
    """What a request came to."""

    status: int
    body: dict[str, Any]
    replayed: bool = False


def check_key(keys: Sequence[str]) -> str:
    """The key, of all that the request has, if it is one and can be kept. Raises `KeyMissing` or `BadKey`."""
    if not keys:
        raise KeyMissing
    key = keys[0]
    if len(keys) > 1 or not key or len(key) > KEY_MOST or not key.isascii() or not key.isprintable():
        raise BadKey
    return key


# A second request with the key waits here until the first has committed or failed; then it finds the row or takes its place.
_TAKE = text("""
INSERT INTO idempotency_keys (partner_id, key, request_hash, status, response, created_at)
VALUES (:partner_id, :key, :request_hash, 0, '{}', :now)
ON CONFLICT (partner_id, key) DO NOTHING RETURNING key
""")
_FIND = text("SELECT request_hash, status, response FROM idempotency_keys WHERE partner_id = :partner_id AND key = :key")
_KEEP = text("""
UPDATE idempotency_keys SET status = :status, response = CAST(:response AS jsonb)
WHERE partner_id = :partner_id AND key = :key
RETURNING status, response
""")


async def once(
    connection: AsyncConnection,
    *,
    partner_id: str,
    key: str,
    request: bytes,
    act: Callable[[], Awaitable[Answer]],
    now: datetime,
) -> Answer:
    """Run `act` in the caller's transaction unless this key has acted; then give the stored answer.

    `request` is what the key stands for (route and body): the same key with another one raises `KeyReused`. If `act`
    raises, the transaction takes the key back with everything else, so that a corrected request may use it.
    """
    parameters = {"partner_id": partner_id, "key": key}
    request_hash = hashlib.sha256(request).digest()
    taken = await connection.execute(_TAKE, {**parameters, "request_hash": request_hash, "now": now})
    if taken.first() is None:
        found = (await connection.execute(_FIND, parameters)).one()
        if found.request_hash != request_hash:
            raise KeyReused
        return Answer(found.status, found.response, replayed=True)
    answer = await act()
    keeping = {**parameters, "status": answer.status, "response": json.dumps(answer.body)}
    kept = (await connection.execute(_KEEP, keeping)).one()
    return Answer(kept.status, kept.response)  # as the database gives it, so that the first answer and all others are alike
