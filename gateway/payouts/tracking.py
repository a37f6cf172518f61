"""What the outside sees of an order: a pure function of order, attempt and deposits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum, auto

from gateway.money import Money
from gateway.orders.states import S


class PublicStatus(StrEnum):
    """The words that partners and recipients see (design section 7)."""

    AWAITING_DEPOSIT = auto()
    DEPOSIT_SEEN = auto()
    FUNDED = auto()
    IN_TRANSIT = auto()
    READY_FOR_PICKUP = auto()
    DELIVERED = auto()
    CONFIRMED = auto()
    NEEDS_INFO = auto()
    ON_HOLD = auto()
    INVESTIGATING = auto()
    RETURNED = auto()
    REFUNDING = auto()
    REFUNDED = auto()
    EXPIRED = auto()
    CANCELLED = auto()


class Holder(StrEnum):
    """Who holds the money now."""

    SENDER = auto()
    NETWORK = auto()
    GATEWAY = auto()
    RAIL = auto()
    RECIPIENT = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where an order stands, in words for people and programs."""

    status: PublicStatus
    reason: str
    """A stable code: "underpaid", "late", "payee_refused"."""
    sentence: str
    next_step: str
    holder: Holder


@dataclass(frozen=True, slots=True, kw_only=True)
class DepositView:
    """One deposit of an order, as seen on chain."""

    tx_hash: str
    log_index: int
    amount: Money
    status: str
    block_number: int
    block_time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundView:
    """Money of an order that goes back, or went."""

    id: str
    of: str
    """What it is taken from: funds (the order's own money) or unallocated (what came beyond)."""
    amount: Money
    address: str
    """EIP-55 checksummed."""
    outcome: str
    """sending, pending, unknown, paid, failed."""
    note: str | None
    """Why it waits or failed."""
    tx_hash: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PastStep:
    """One line of the order's history: the state it came to, and when."""

    state: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderView:
    """Everything that pages and API tell of an order. No personal data but the masked account."""

    id: str
    tracking_token: str
    partner_id: str | None
    quote_id: str
    progress: Progress
    state: str
    """The internal state (gateway.orders.states.S); for operators, not for the outside."""
    chain_id: int
    deposit_address: str
    """EIP-55 checksummed."""
    send: Money
    received: Money
    """Final deposits that count for this order."""
    unallocated: Money
    """Money received beyond what the order needs, kept for its sender."""
    receive: Money
    country: str
    method: str
    recipient_name: str
    recipient_account_masked: str
    expires_at: datetime
    created_at: datetime
    updated_at: datetime
    deposits: tuple[DepositView, ...]
    steps: tuple[PastStep, ...]
    adapter: str | None
    receipt: str | None
    """The rail's receipt number, once paid."""
    reference: str | None
    refund_address: str | None
    """Where money may go back to: the address that counts now."""
    details: dict[str, object]
    refunds: tuple[RefundView, ...] = ()
    """Oldest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the public status depends on: order, latest attempt, deposits."""

    state: S
    hold_reason: str | None
    outcome: str | None
    """Of the latest attempt; None: there is none."""
    due: Money
    received: Money
    expires_at: datetime
    recipient: str
    """Masked: whoever has the tracking link reads the sentences."""
    receive: Money
    refund: RefundView | None = None
    """The newest one of the order's own money."""


_SIMPLE: dict[S, tuple[PublicStatus, str, str, str, Holder]] = {
    S.AWAITING_DEPOSIT: (
        PublicStatus.AWAITING_DEPOSIT,
        "awaiting_deposit",
        "We are waiting for {due}.",
        "Send exactly {due} to the address shown, before {expires}.",
        Holder.SENDER,
    ),
    S.CONFIRMING: (
        PublicStatus.DEPOSIT_SEEN,
        "confirming",
        "Your transfer has been seen on the network.",
        "Nothing to do: the network is confirming it.",
        Holder.NETWORK,
    ),
    S.EXPIRED: (
        PublicStatus.EXPIRED,
        "expired",
        "No transfer arrived before {expires}, so this order has ended.",
        "Don't send anything to this address now. Start a new order; money that arrives late is kept for its sender.",
        Holder.SENDER,
    ),
    S.FUNDED: (
        PublicStatus.FUNDED,
        "funded",
        "Your {due} arrived.",
        "Nothing to do: we are sending {receive} to {recipient}.",
        Holder.GATEWAY,
    ),
    S.PAYING: (
        PublicStatus.IN_TRANSIT,
        "in_transit",
        "{receive} are on their way to {recipient}.",
        "Nothing to do: the payment service is delivering it.",
        Holder.RAIL,
    ),
    S.UNCERTAIN: (
        PublicStatus.INVESTIGATING,
        "outcome_unknown",
        "The payment service has not told us yet whether {recipient} was paid.",
        "Nothing to do: we keep asking, and pay nothing twice meanwhile.",
        Holder.RAIL,
    ),
    S.PAID: (
        PublicStatus.DELIVERED,
        "delivered",
        "{recipient} received {receive}.",
        "Nothing to do.",
        Holder.RECIPIENT,
    ),
    S.REFUNDING: (
        PublicStatus.REFUNDING,
        "refunding",
        "We are sending {received} back.",
        "Nothing to do: the refund is on its way.",
        Holder.GATEWAY,
    ),
    S.REFUNDED: (PublicStatus.REFUNDED, "refunded", "The money was sent back.", "Nothing to do.", Holder.SENDER),
}
_SENT_BACK: dict[tuple[S, bool], tuple[str, str]] = {
    (S.REFUNDING, False): ("We are sending {refund} back to {address}.", "Nothing to do: the refund is on its way."),
    (S.REFUNDING, True): (
        "We are sending {refund} back to {address}.",
        "Nothing to do: the network is confirming transaction {transaction}.",
    ),
    (S.REFUNDED, True): ("{refund} were sent back to {address}.", "Nothing to do. The transaction is {transaction}."),
}
"""By state, and whether the transaction is known."""
_DELAYED = (
    PublicStatus.FUNDED,
    "rail_delayed",
    "Your {due} arrived. The payment service could not deliver just now; the money is safe with us.",
    "Nothing to do: we try again, or take another way to {recipient}.",
    Holder.GATEWAY,
)
_HELD: dict[str, tuple[PublicStatus, str, str]] = {
    "late": (
        PublicStatus.ON_HOLD,
        "{received} arrived after the quote's end at {expires}. It is safe with us.",
        "We don't use an old rate without asking: contact us for a new quote or a refund.",
    ),
    "refund_failed": (
        PublicStatus.ON_HOLD,
        "We could not send {received} back: the transfer did not take place. The money is safe with us.",
        "Contact us: a person is looking at it, and may need another address of yours.",
    ),
    "frozen": (
        PublicStatus.ON_HOLD,
        "{received} arrived. Something about this coin has to be looked at before we go on; what arrived is on our books.",
        "Nothing to do, and don't send more of it: a person is looking at it.",
    ),
    "recipient_refused": (
        PublicStatus.NEEDS_INFO,
        "The payment service could not pay {recipient}: it refused the number.",
        "Check the recipient's number with them and contact us. The money is safe with us.",
    ),
    "rail_unavailable": (
        PublicStatus.ON_HOLD,
        "No payment service can deliver to {recipient} at the moment. The money is safe with us.",
        "Nothing to do: a person is looking at it.",
    ),
}
_RETURNED = (
    PublicStatus.RETURNED,
    "The payment to {recipient} came back to us. The money is safe with us.",
    "Check the recipient's account with them and contact us.",
)
_OTHER_HOLD = (PublicStatus.ON_HOLD, "The order is on hold. The money is safe with us.", "A person is looking at it.")


def progress(facts: Facts, *, now: datetime) -> Progress:
    """The public status, its sentence, the next step and who holds the money: nothing but a function of `facts`."""
    if facts.state is S.AWAITING_DEPOSIT and now >= facts.expires_at:
        facts = replace(facts, state=S.EXPIRED)  # by level: whether or not a worker has come by yet
    if facts.state is S.HELD:
        reason, (status, sentence, next_step) = _held(facts, now=now)
        holder = Holder.GATEWAY
    else:
        delayed = facts.state is S.FUNDED and facts.outcome == "failed"
        status, reason, sentence, next_step, holder = _DELAYED if delayed else _SIMPLE[facts.state]
    refund = facts.refund
    if refund is not None:
        sent_back = _SENT_BACK.get((facts.state, refund.tx_hash is not None))
        sentence, next_step = sent_back or (sentence, next_step)
    # An unknown outcome of which the rail has said meanwhile that it is working on it.
    if facts.state is S.UNCERTAIN and facts.outcome in ("pending", "available"):
        status, reason, sentence, next_step, holder = _SIMPLE[S.PAYING]
    if facts.outcome == "available" and facts.state in (S.PAYING, S.UNCERTAIN):
        status, reason = PublicStatus.READY_FOR_PICKUP, "ready_for_pickup"
        sentence, next_step = "{receive} are ready for {recipient}.", "{recipient} can collect the money now."
    words = {
        "due": facts.due,
        "received": facts.received,
        "missing": facts.due - facts.received,
        "receive": facts.receive,
        "recipient": facts.recipient,
        "refund": refund and refund.amount,
        "address": refund and refund.address,
        "transaction": refund and refund.tx_hash,
        "expires": f"{facts.expires_at:%H:%M} UTC on {facts.expires_at:%d %B %Y}",
    }
    return Progress(
        status=status,
        reason=reason,
        sentence=sentence.format_map(words),
        next_step=next_step.format_map(words),
        holder=holder,
    )


def _held(facts: Facts, *, now: datetime) -> tuple[str, tuple[PublicStatus, str, str]]:
    reason = facts.hold_reason or "on_hold"
    if reason == "underpaid":
        arrived = "{received} arrived, {missing} less than the quote asks for. It is safe with us."
        if now < facts.expires_at:
            return reason, (PublicStatus.NEEDS_INFO, arrived, "Send {missing} more to the same address before {expires}.")
        return reason, (PublicStatus.ON_HOLD, arrived, "The quote has ended: contact us for a new quote or a refund.")
    if facts.outcome == "returned" and reason != "refund_failed":
        return "returned", _RETURNED
    return reason, _HELD.get(reason, _OTHER_HOLD)
