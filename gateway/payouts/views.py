"""What the outside sees of an order, as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum, auto

from gateway.money import Money


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
class AttemptView:
    """One instruction to a rail: by which way, and what became of it."""

    rail: str
    way: int
    """The rank of its `WayView`."""
    outcome: str
    """sending, pending, available, unknown, paid, failed, returned."""
    fault: str | None
    """Whose matter it was that it failed or came back: recipient, rail, float, transient."""
    receipt: str | None
    counts: bool
    """It is the payment that the order was settled by."""
    created_at: datetime
    closed_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WayView:
    """A way to the recipient. Rank 0 is the quote's; the others were given with the order, or after a refusal."""

    rank: int
    method: str
    account_masked: str
    given_later: bool
    """It came as the answer to our question, after another way was refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PickupView:
    """How the recipient is paid in cash: for them, the sender and the partner only."""

    code: str = field(repr=False)
    expires_at: datetime | None
    place: str | None


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
    """Of the way that counts now: the latest one given or tried."""
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
    ways: tuple[WayView, ...] = ()
    """By rank."""
    attempts: tuple[AttemptView, ...] = ()
    """The latest ones, oldest first."""
    speed: str = "standard"
    drop_at: datetime | None = None
    """For economy: the drop with which it goes; before the money is there, the next one. None: it waits for none."""
    there_by: datetime | None = None
    """When the money is there, as nineteen of twenty payments are. None: it isn't on its way, or that has passed."""
    owed: Money | None = None
    """What a payment in part left the recipient without."""
    pickup: PickupView | None = None
    """While the money waits at a counter."""
    answerable: bool = False
    """Held for its recipient: another way to pay them is the answer (gateway.payouts.redirect)."""
