"""A partner's own fee on the orders that it makes: charged for it, and owed to it when the payout has settled.

Of what the coins bring at the applied rate, in basis points. A quote is bound to the fee as it is when the quote is made.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.errors import Refusal
from gateway.operators.actions import record_action

FEE_BPS_MOST = 9_999


class BadPartnerFee(Refusal):
    """No fee can be that."""

    code = "bad_partner_fee"

    def __init__(self, fee_bps: int) -> None:
        super().__init__(
            f"A partner's fee of {fee_bps} basis points can't be. Give hundredths of a percent from 0 to {FEE_BPS_MOST}, "
            "as in 50 for 0.5 %."
        )


class UnknownPartner(Refusal):
    """There is no partner by that name."""

    code = "unknown_partner"

    def __init__(self, name: str) -> None:
        super().__init__(f'There is no partner named "{name}". `lastmile partner add NAME` makes one.')


def check_fee(fee_bps: int) -> None:
    """Raises `BadPartnerFee`."""
    if not 0 <= fee_bps <= FEE_BPS_MOST:
        raise BadPartnerFee(fee_bps)


_LOCK = text("SELECT id, fee_bps FROM partners WHERE name = :name FOR UPDATE")
_SET = text("UPDATE partners SET fee_bps = :fee_bps WHERE id = :id")


async def set_fee(connection: AsyncConnection, *, name: str, fee_bps: int, operator: str, reason: str, now: datetime) -> int:
    """Change a partner's fee from the next quote on, in the caller's transaction. Returns what it was.

    Raises `BadPartnerFee`, `UnknownPartner`, `UnknownOperator`, `ReasonMissing`, `ReasonUnreadable`.
    """
    check_fee(fee_bps)
    row = (await connection.execute(_LOCK, {"name": name})).one_or_none()
    if row is None:
        raise UnknownPartner(name)
    before: int = row.fee_bps
    await connection.execute(_SET, {"id": row.id, "fee_bps": fee_bps})
    detail = {"from_bps": str(before), "to_bps": str(fee_bps)}
    await record_action(
        connection, operator=operator, action="partner_fee", subject=row.id, reason=reason, now=now, detail=detail
    )
    return before
