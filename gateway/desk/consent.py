"""What an agreement does: the order goes on at its new price, or a new one is made, in one transaction and once."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.db.session import wake
from gateway.desk.case import Case, open_case
from gateway.desk.errors import OrderChanged
from gateway.desk.requote import Channel, Consent, judged
from gateway.ledger.post import Entry, Transfer, post
from gateway.money import Asset, Money
from gateway.operators.actions import record_action
from gateway.orders.accept import Acceptance, QuoteUsed, accept_quote
from gateway.orders.advance import Move, Verdict, advance
from gateway.orders.postings import FUNDS, UNALLOCATED
from gateway.orders.states import E


class Agreed(NamedTuple):
    """The order that is paid out now, and whether it was agreed to before."""

    order_id: str
    replayed: bool


# Both are locked: neither the new quote nor the replaced one may make an order of its own meanwhile.
_LOCK_QUOTES = text("SELECT id FROM quotes WHERE id IN (:new, :old) ORDER BY id FOR UPDATE")
_USED = text("SELECT id FROM orders WHERE quote_id = :quote_id")
_REPLACE = text("UPDATE orders SET quote_id = :new, updated_at = :now WHERE id = :order_id AND quote_id = :old")
_CONSENT = text("""
UPDATE requotes SET consent_by = :by, consent_at = :now, consent_evidence = :evidence, new_order_id = :new_order_id
WHERE id = :id AND consent_at IS NULL
""")

EVIDENCE = {
    Channel.TRACKER: "the form on the order's page, which only its link opens",
    Channel.PARTNER: "an authenticated request of the order's partner",
}


async def accept_requote(
    connection: AsyncConnection,
    *,
    order_id: str,
    requote_id: str,
    consent: Consent,
    factories: Mapping[int, str],
    now: datetime,
) -> Agreed:
    """Carry out what was agreed, in the caller's transaction; of any number of callers one does it, the others learn of it.

    `factories`: forwarder factory per chain id, for a new order's deposit address. Raises `OrderNotFound`,
    `RequoteNotFound`, `RequoteReplaced`, `RequoteExpired`, `OrderChanged`, `ConsentUnproven`, `DepositVanished`,
    `AssetFrozen`, `QuoteUsed`, and for an operator's word `UnknownOperator`. Then nothing may be committed.
    """
    case = await open_case(connection, order_id=order_id)
    offered, before = await judged(connection, case=case, requote_id=requote_id, consent=consent, now=now)
    if before:
        return Agreed(offered.new_order_id or order_id, replayed=True)
    if consent.channel is Channel.OPERATOR:
        await record_action(
            connection,
            operator=consent.name,
            action="deposits.accept",
            subject=order_id,
            reason=consent.evidence,
            detail={"requote": requote_id},
            now=now,
        )
    await connection.execute(_LOCK_QUOTES, {"new": offered.quote_id, "old": case.quote_id})
    if (await connection.execute(_USED, {"quote_id": offered.quote_id})).first() is not None:
        raise QuoteUsed
    if offered.order_version is None:
        paying = await _new_order(connection, case, offered, factories=factories, now=now)
    else:
        paying = await _go_on(connection, case, offered, now=now)
    evidence = consent.evidence.strip() or EVIDENCE[consent.channel]
    new = None if paying == order_id else paying
    await connection.execute(
        _CONSENT, {"id": requote_id, "by": consent.by, "evidence": evidence, "new_order_id": new, "now": now}
    )
    await wake(connection, "orders")
    return Agreed(paying, replayed=False)


async def _go_on(connection: AsyncConnection, case: Case, offered: Row[tuple[Any, ...]], *, now: datetime) -> str:
    """The held order takes the new price: what is beside is moved into its funds until they are what it asks for."""
    price = Money(int(offered.send_units), Asset(offered.send_asset, offered.send_decimals))
    cause, own = f"requote:{offered.id}", f"order:{case.order_id}"
    if (missing := price - case.funds).units:
        transfer = Transfer(f"{own}:{UNALLOCATED}", f"{own}:{FUNDS}", missing)
        await post(connection, entries=[Entry(cause, "requote_credited", (transfer,), case.order_id)], now=now)
    places = {"order_id": case.order_id, "new": offered.quote_id, "old": case.quote_id, "now": now}
    await connection.execute(_REPLACE, places)
    data = {"requote": offered.id, "quote": offered.quote_id, "replaced_quote": case.quote_id}
    await _step(connection, Move(order_id=case.order_id, event=E.HOLD_LIFTED, cause=cause, data=data, due_at=now), now=now)
    return case.order_id


async def _new_order(
    connection: AsyncConnection,
    case: Case,
    offered: Row[tuple[Any, ...]],
    *,
    factories: Mapping[int, str],
    now: datetime,
) -> str:
    """A new order for the same recipient and partner, funded at once by what lies beside the old one."""
    acceptance = Acceptance(
        quote_id=offered.quote_id,
        partner_id=case.partner_id,
        recipient=case.recipient,
        refund_address=case.refund_address,
        reference=case.reference,
        details=case.details,
    )
    accepted = await accept_quote(connection, acceptance=acceptance, factories=factories, now=now)
    data = {"requote": offered.id, "from_order": case.order_id}
    move = Move(order_id=accepted.order_id, event=E.CREDIT_APPLIED, cause=f"requote:{offered.id}", data=data, due_at=now)
    await _step(connection, move, now=now)
    return accepted.order_id


async def _step(connection: AsyncConnection, move: Move, *, now: datetime) -> None:
    [advanced] = await advance(connection, moves=[move], now=now)
    if advanced.verdict is not Verdict.STEPPED:
        raise OrderChanged
