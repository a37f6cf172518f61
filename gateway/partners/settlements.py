"""What partners earned by their own fees, and what was paid to them of it.

A person pays a partner outside of the gateway and books it here. The money is the operator's own (`capital`); where it left
one of our accounts, that account's statement shows it, and the reconciliation books that as capital that was taken out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.db.session import rows
from gateway.errors import Refusal
from gateway.ledger.post import Entry, Transfer, post
from gateway.money import Asset, Money, MoneyError
from gateway.operators.actions import record_action
from gateway.partners.fees import UnknownPartner

TEMPLATE = "partner_paid"
REFERENCE_MOST = 200


class MoreThanOwed(Refusal):
    """A partner gets what it earned and no more."""

    code = "more_than_owed"

    def __init__(self, name: str, owed: Money) -> None:
        super().__init__(
            f"{name} is owed {owed}. Book at most that; what was paid beyond it is a matter between you and them."
        )


class NothingToSettle(Refusal):
    """An amount that says nothing, or in what the partner never earned."""

    code = "nothing_to_settle"


class ReferenceTaken(Refusal):
    """The same reference names one payment."""

    code = "reference_taken"

    def __init__(self, reference: str, booked: Money) -> None:
        super().__init__(
            f'The reference "{reference}" was booked before, with {booked}. Another payment has another reference.'
        )


class BadReference(Refusal):
    """A reference is what finds the payment again."""

    code = "bad_reference"

    def __init__(self) -> None:
        super().__init__(f"Give the payment's reference at your bank or wallet: 1 to {REFERENCE_MOST} printable characters.")


@dataclass(frozen=True, slots=True, kw_only=True)
class PartnerAccount:
    """A partner, its own fee, and in one asset what it has earned and was paid. `earned` None: nothing ever."""

    partner_id: str
    name: str
    fee_bps: int
    active: bool
    earned: Money | None = None
    paid: Money | None = None

    @property
    def owed(self) -> Money | None:
        """Below zero if payouts came back whose fees were paid already."""
        return None if self.earned is None or self.paid is None else self.earned - self.paid


class AccountLine(NamedTuple):
    """One entry on a partner's account; `money` below zero leaves it."""

    at: datetime
    order_id: str | None
    kind: str
    cause: str
    money: Money


_LINES = """
    SELECT destination AS account, asset, units, template, cause, order_id, posted_at, journal_id AS id
    FROM postings WHERE destination LIKE 'partner:%'
    UNION ALL
    SELECT source, asset, -units, template, cause, order_id, posted_at, journal_id
    FROM postings WHERE source LIKE 'partner:%'
"""
# The house's own entry in the table has no client, and earns nothing.
_ACCOUNTS = text(f"""
SELECT p.id, p.name, p.fee_bps, p.disabled_at IS NULL AS active, l.asset, a.decimals,
    sum(l.units) FILTER (WHERE l.template <> '{TEMPLATE}') AS earned,
    -sum(l.units) FILTER (WHERE l.template = '{TEMPLATE}') AS paid
FROM partners AS p LEFT JOIN ({_LINES}) AS l ON l.account = 'partner:' || p.id || '\\:fees'
LEFT JOIN assets AS a ON a.code = l.asset
WHERE l.asset IS NOT NULL OR EXISTS (SELECT FROM partner_clients AS c WHERE c.partner_id = p.id)
GROUP BY p.id, l.asset, a.decimals ORDER BY p.name, l.asset
""")  # noqa: S608 - our own texts, as below
_OWED = text(f"""
SELECT l.asset, a.decimals, sum(l.units) AS units FROM ({_LINES}) AS l JOIN assets AS a ON a.code = l.asset
WHERE l.account = :account GROUP BY l.asset, a.decimals
""")  # noqa: S608
_STATEMENT = text(f"""
SELECT l.posted_at, l.order_id, l.template, l.cause, l.asset, l.units, a.decimals
FROM ({_LINES}) AS l JOIN assets AS a ON a.code = l.asset
WHERE l.account = :account AND l.posted_at >= :since AND l.posted_at < :until ORDER BY l.id, l.asset
""")  # noqa: S608
# Orders of the partner go on being made: they only ask that it stays.
_LOCK = text("SELECT id FROM partners WHERE name = :name FOR NO KEY UPDATE")
_FIND = text("SELECT id FROM partners WHERE name = :name")
_BOOKED = text("""
SELECT p.asset, p.units, a.decimals FROM journal_entries AS j CROSS JOIN LATERAL unnest(j.postings) AS p
JOIN assets AS a ON a.code = p.asset WHERE j.cause = :cause
""")


async def partner_accounts(connection: AsyncConnection) -> list[PartnerAccount]:
    """Every partner, by name: once per asset in which it earned something."""
    return [_account(row) for row in await rows(connection, _ACCOUNTS, {})]


def _account(row: Row[Any]) -> PartnerAccount:
    known = {"partner_id": row.id, "name": row.name, "fee_bps": row.fee_bps, "active": row.active}
    if row.asset is None:
        return PartnerAccount(**known)
    asset = Asset(row.asset, row.decimals)
    return PartnerAccount(**known, earned=Money(int(row.earned or 0), asset), paid=Money(int(row.paid or 0), asset))


async def partner_statement(
    connection: AsyncConnection, *, name: str, since: datetime, until: datetime
) -> Sequence[AccountLine]:
    """Entries from `since` to before `until`, the oldest first. Raises `UnknownPartner`."""
    partner_id = (await connection.execute(_FIND, {"name": name})).scalar_one_or_none()
    if partner_id is None:
        raise UnknownPartner(name)
    values = {"account": _fees_of(partner_id), "since": since, "until": until}
    return [
        AccountLine(
            row.posted_at, row.order_id, row.template, row.cause, Money(int(row.units), Asset(row.asset, row.decimals))
        )
        for row in await rows(connection, _STATEMENT, values)
    ]


async def settle_partner(
    connection: AsyncConnection,
    *,
    name: str,
    amount: str,
    currency: str,
    reference: str,
    operator: str,
    reason: str,
    now: datetime,
) -> Money | None:
    """Book a payment that a person made to a partner, in the caller's transaction. None: its reference was booked before.

    `amount` is decimal, `currency` an asset's code. Raises `UnknownPartner`, `BadReference`, `NothingToSettle`,
    `MoreThanOwed`, `ReferenceTaken`, and what `record_action` raises.
    """
    if not 0 < len(reference) <= REFERENCE_MOST or not reference.isprintable() or reference != reference.strip():
        raise BadReference
    # The lock first: of two at once the second one sees what the first one paid.
    partner_id = (await connection.execute(_LOCK, {"name": name})).scalar_one_or_none()
    if partner_id is None:
        raise UnknownPartner(name)
    found = await rows(connection, _OWED, {"account": _fees_of(partner_id)})
    owed = {row.asset: Money(int(row.units), Asset(row.asset, row.decimals)) for row in found}
    if currency not in owed:
        raise NothingToSettle(f"{name} earned nothing in {currency}; it did in: {', '.join(sorted(owed)) or 'nothing yet'}.")
    money = _read(amount, owed[currency])
    cause = f"{TEMPLATE}:{partner_id}:{reference}"
    if booked := await rows(connection, _BOOKED, {"cause": cause}):
        before = Money(int(booked[0].units), Asset(booked[0].asset, booked[0].decimals))
        if before != money:
            raise ReferenceTaken(reference, before)
        return None
    if owed[currency] < money:
        raise MoreThanOwed(name, owed[currency])
    await post(connection, entries=[Entry(cause, TEMPLATE, (Transfer(_fees_of(partner_id), "capital", money),))], now=now)
    detail = {"amount": str(money), "reference": reference, "left": str(owed[currency] - money)}
    await record_action(
        connection, operator=operator, action="partner_settle", subject=partner_id, reason=reason, detail=detail, now=now
    )
    return money


def _read(amount: str, owed: Money) -> Money:
    try:
        money = Money.parse(amount, owed.asset)
    except MoneyError as error:
        raise NothingToSettle(str(error)) from None
    if not money.units:
        raise NothingToSettle(f"Give what was paid; {owed} is owed.")
    return money


def _fees_of(partner_id: str) -> str:
    return f"partner:{partner_id}:fees"
