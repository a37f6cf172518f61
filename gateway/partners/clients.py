"""Partners and their clients: making them, and proving who calls."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import insert, text
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.errors import Refusal
from gateway.ids import new_id
from gateway.partners.fees import check_fee
from gateway.partners.models import Partner, PartnerClient
from gateway.partners.secrets import hash_secret, new_client_id, new_client_secret, secret_matches

NAME_MOST = 100


class PartnerExists(Refusal):
    """The name is taken."""

    code = "partner_exists"

    def __init__(self, name: str) -> None:
        super().__init__(f'There is a partner named "{name}" already. Choose another name.')


class BadPartnerName(Refusal):
    """The name can't be used."""

    code = "bad_partner_name"

    def __init__(self) -> None:
        super().__init__(f"Give the partner a name of 1 to {NAME_MOST} printable characters.")


class InvalidClient(Refusal):
    """Unknown client id, wrong secret, revoked client or disabled partner: one answer for all."""

    code = "invalid_client"

    def __init__(self) -> None:
        super().__init__("The client id or the client secret is wrong, or access was revoked.")


class NewClient(NamedTuple):
    """A new client. The secret is shown this once."""

    partner_id: str
    client_id: str
    client_secret: str


async def add_partner(connection: AsyncConnection, *, name: str, now: datetime, fee_bps: int = 0) -> NewClient:
    """Make a partner with one client, in the caller's transaction. `fee_bps`: its own fee (gateway.partners.fees).

    Raises `PartnerExists`, `BadPartnerName` or `BadPartnerFee`.
    """
    check_fee(fee_bps)
    tidy = " ".join(name.split())
    if not tidy or len(tidy) > NAME_MOST or not tidy.isprintable():
        raise BadPartnerName
    partner_id, client_id, secret = new_id("par", now=now), new_client_id(now=now), new_client_secret()
    made = await connection.execute(
        upsert(Partner)
        .values(id=partner_id, name=tidy, created_at=now, fee_bps=fee_bps)
        .on_conflict_do_nothing(index_elements=["name"])
        .returning(text("id"))
    )
    if made.first() is None:
        raise PartnerExists(tidy)
    await connection.execute(
        insert(PartnerClient).values(
            client_id=client_id, partner_id=partner_id, secret_hash=hash_secret(secret=secret), created_at=now
        )
    )
    return NewClient(partner_id, client_id, secret)


_CLIENT = text("""
SELECT c.partner_id, c.secret_hash FROM partner_clients AS c JOIN partners AS p ON p.id = c.partner_id
WHERE c.client_id = :client_id AND c.revoked_at IS NULL AND p.disabled_at IS NULL
""")


async def authenticate(connection: AsyncConnection, *, client_id: str, client_secret: str) -> str:
    """The partner that this client speaks for. Raises `InvalidClient`."""
    row = (await connection.execute(_CLIENT, {"client_id": client_id})).one_or_none()
    if not secret_matches(secret=client_secret, secret_hash=None if row is None else row.secret_hash) or row is None:
        raise InvalidClient
    return str(row.partner_id)


async def is_active(connection: AsyncConnection, *, client_id: str) -> bool:
    """Whether a client may still act: a token outlives neither its client nor its partner."""
    return (await connection.execute(_CLIENT, {"client_id": client_id})).first() is not None
