"""The port. Adapters import this module, `gateway.money` and `gateway.clock`, nothing else of ours.

An adapter speaks one provider's protocol. It is given values and returns values: no session, no row, no choice of an
order's state. Retries, timeouts, rate limits, leases and metrics are wrapped around it by the core.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from enum import StrEnum
from typing import Protocol, runtime_checkable

from gateway.clock import Clock
from gateway.money import Asset, Money


class Method(StrEnum):
    """How the recipient is reached."""

    MOBILE_MONEY = "mobile_money"
    BANK = "bank"
    CARD = "card"
    CASH = "cash"
    EXCHANGE = "exchange"


class Resend(StrEnum):
    """What happens if the same instruction reaches the provider twice."""

    DEDUPED = "deduped"  # provider honours our key: resending the same id is safe
    FINDABLE = "findable"  # no dedupe, but status() finds a payout by our reference
    BLIND = "blind"  # neither: an unknown outcome goes to a person


class Outcome(StrEnum):
    """What a rail says of an attempt, in our words. An unlisted status is UNKNOWN."""

    PENDING = "pending"
    AVAILABLE = "available"  # waits for the recipient: cash at a counter. For the core as PENDING
    PAID = "paid"
    FAILED = "failed"  # no money moved and this id can never pay
    RETURNED = "returned"  # was paid, the money came back
    UNKNOWN = "unknown"


class Fault(StrEnum):
    """Whose matter a FAILED or RETURNED is: it decides what happens next."""

    RECIPIENT = "recipient"  # wrong number, wallet full: the recipient has to choose again
    RAIL = "rail"  # our account or credential there: stop the rail, other rails may pay
    FLOAT = "float"  # our balance there is too low: other rails may pay, or this one after a top-up
    TRANSIENT = "transient"  # not now: the same rail may be asked again later


@dataclass(frozen=True, slots=True)
class Institution:
    """A bank or a wallet's operator. `code` is the same at every rail: a word in lower case, or the country's bank code."""

    code: str
    """Wallets: the operator's brand, as "mpesa", "mtn", "airtel". Banks: the national code, as "044", or the BIC."""
    name: str  # as its customers know it


@dataclass(frozen=True, slots=True, kw_only=True)
class Corridor:
    """Where and how an adapter can pay, and how much in one instruction: `least` to `most` in multiples of `step`."""

    country: str  # ISO 3166-1 alpha-2
    method: Method
    asset: Asset
    least: Money
    most: Money
    step: Money
    institutions: tuple[Institution, ...] = ()
    """The banks or wallets it reaches; none: the account says it all by itself, as a CLABE or an IBAN does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CutOff:
    """Until when a rail works on a day's payments: what comes later is worked on the next working day."""

    weekdays: frozenset[int]  # the rail's working days: 0 is Monday
    until: time
    zone: str  # IANA name of the time zone of `until`


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """Facts about an adapter, as data: used by routing, shown in documents."""

    name: str
    corridors: tuple[Corridor, ...]
    resend: Resend
    settles_within: timedelta
    """A payment of which the rail has said nothing final by then deserves a person's look."""
    resend_within: timedelta
    """How long the provider remembers our key. Later a resend could pay twice, so none is made."""
    answer_within: timedelta = timedelta(seconds=30)
    """How long one call to the provider may take before its outcome counts as unknown."""
    concurrency: int = 20
    """How many calls the provider takes at once from all our processes together."""
    calls_per_s: int | None = None
    """How many payments a second the provider takes from all our processes together; None: it has published no limit."""
    returns_within: timedelta = timedelta(0)
    """How long after a payment its money may still come back. Until then it is asked about, ever less often."""
    callbacks_are_proof: bool = False
    """Whether what the rail tells by callback is signed and documented as proof; else each one only makes us ask."""
    cut_offs: tuple[CutOff, ...] = ()
    """None: it pays at any hour of any day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Whom to pay. Account and holder never show in a repr, hence not in logs."""

    country: str
    method: Method
    account: str = field(repr=False)
    """Phone number in E.164 with "+", CLABE, IBAN…: as the method has it."""
    holder: str = field(repr=False)
    institution: str | None = None
    """`Institution.code` of the bank or wallet, where the corridor has several."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """One payout to make. `attempt_id` was committed before and is the idempotency key on the wire."""

    attempt_id: str
    deliver: Money
    to: Destination


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRef:
    """An attempt to ask about."""

    attempt_id: str
    provider_ref: str | None
    deliver: Money
    sent_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Pickup:
    """How the recipient gets cash: a secret between the rail, us and the recipient, in no log and no repr."""

    code: str = field(repr=False)
    expires_at: datetime | None = None
    where: str | None = None
    """Where it is paid out and what to bring, in a sentence or as an address of a page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The provider's view of one attempt, in our words.

    `evidence` is the redacted raw answer, kept for audit: no secret, no personal data. Raises ValueError for a PAID that
    does not name the provider's reference and the amount, and for a FAILED that does not say whose fault it is.
    """

    outcome: Outcome
    provider_ref: str | None = None
    receipt: str | None = None
    """What the recipient can show: the provider's public receipt number."""
    delivered: Money | None = None
    fault: Fault | None = None
    reason: str | None = None
    """The provider's code and text, short, without personal data."""
    evidence: Mapping[str, str] = field(default_factory=dict[str, str])
    pickup: Pickup | None = None
    """Of AVAILABLE: what the recipient shows at the counter."""

    def __post_init__(self) -> None:
        if self.outcome is Outcome.PAID and (self.provider_ref is None or self.delivered is None):
            raise ValueError("a PAID report names the provider reference and the amount delivered")
        if self.outcome in (Outcome.FAILED, Outcome.RETURNED) and self.fault is None:
            raise ValueError(f"a {self.outcome.name} report says whose fault it is")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The rail answers questions by callback (Daraja): this one was taken; the answer arrives in the inbox as proof."""

    question: str  # the provider's id of the question, for the logs


CallbackAddress = Callable[[str, str], str]
"""(attempt id, label) -> an absolute URL that nobody can guess; what arrives there is known to concern that attempt.

The label is the adapter's own word ("result", "status") and comes back with the request. Each address is bound to the
adapter, the attempt and the label by a keyed hash, and holds only URL-safe characters.
"""


RAILS_OWN = "-"
"""In place of an attempt id: the rail's own address, one for all its payments, which a person enters at the provider."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackRequest:
    """What arrived at one of our callback addresses. The address is already proven genuine."""

    attempt_id: str
    label: str
    headers: Mapping[str, str]  # names in lower case; when it is read again from the inbox, only those that sign are left
    body: bytes
    received_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Callback:
    """A callback, verified and read. Without `proof` it only makes the core ask `status()`."""

    event_id: str
    """The same for a repeated delivery, different for different news."""
    attempt_id: str
    report: Report
    proof: bool = False
    """True only if signed and documented as proof, or if it answers a question of ours at that question's own address."""


class OfframpError(Exception):
    """What an adapter may raise knowingly."""


class NotSent(OfframpError):
    """The request provably never took effect (refused connection, bad token, throttled): the same money may go elsewhere.

    Every other exception out of `pay` is UNKNOWN. The core trusts it only for the first sending of an attempt.
    """

    def __init__(self, reason: str, *, fault: Fault = Fault.TRANSIENT) -> None:
        super().__init__(reason)
        self.fault = fault


class OutsideLimits(OfframpError):
    """The corridor does not take this amount, country or method; nothing was sent."""


class ForgedCallback(OfframpError):
    """The callback fails verification or cannot be read."""


class Offramp(Protocol):
    """The whole required surface of an adapter."""

    @property
    def capabilities(self) -> Capabilities:
        """Facts about this adapter; the same for its whole life."""

    async def pay(self, instruction: Instruction) -> Report:
        """Send one instruction. Raises `NotSent` or `OutsideLimits` if nothing took effect; anything else is UNKNOWN."""

    async def status(self, attempt: AttemptRef) -> Report | Asked:
        """Ask the provider what became of an attempt. "Not found" is UNKNOWN unless the rail documents otherwise."""

    async def close(self) -> None:
        """Close connections. Called once, at the end."""


@runtime_checkable
class Cancels(Protocol):
    """An adapter whose rail can stop a payment that isn't paid yet."""

    async def cancel(self, attempt: AttemptRef) -> Report:
        """Stop it. FAILED if it will never be paid; PAID if it was too late."""


@runtime_checkable
class CallsBack(Protocol):
    """An adapter whose rail calls us. Verifying and reading are one act."""

    def read_callback(self, request: CallbackRequest) -> Callback:
        """Verify and parse, without network. Raises `ForgedCallback`."""

    def callback_answer(self) -> tuple[int, Mapping[str, object]]:
        """HTTP status and JSON body with which the rail wants its callbacks answered."""


@runtime_checkable
class NamesAttempt(CallsBack, Protocol):
    """An adapter whose rail calls one address about all payments: `read_callback` gets the attempt that the body names."""

    @property
    def webhooks(self) -> Mapping[str, str]:
        """The label of each such address, and where a person enters it at the provider, as a short sentence."""

    def attempt_of(self, request: CallbackRequest) -> str | None:
        """Our id in a verified body; None if it is about no payment of ours. No network. Raises `ForgedCallback`."""


@runtime_checkable
class HoldsBalance(Protocol):
    """An adapter whose rail tells our balance there."""

    async def balance(self) -> tuple[Money, ...]:
        """What can be paid out of our account there now, per currency."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """What a rail says of an account, before anything is paid to it."""

    name: str | None = field(default=None, repr=False)
    """The holder's name; None: the rail doesn't tell."""
    can_receive: bool | None = None  # None: the rail doesn't tell


@runtime_checkable
class LooksUpNames(Protocol):
    """An adapter whose rail tells whose account it is."""

    async def look_up(self, to: Destination) -> Holder:
        """Ask. `to.holder` is what the sender believes. Raises `OfframpError` if the rail doesn't answer."""


@runtime_checkable
class PaysInBulk(Protocol):
    """An adapter whose rail takes many payments in one instruction, each with a reference and a status of its own."""

    @property
    def bulk_most(self) -> int:
        """How many instructions fit into one."""

    async def pay_bulk(self, batch_id: str, instructions: Sequence[Instruction]) -> Mapping[str, Report]:
        """Send them as one, under `batch_id`, which was committed before as the attempts were.

        A report per attempt id; an attempt without one is UNKNOWN. Raises as `pay` does, for all of them at once.
        """


class LineKind(StrEnum):
    """What a line of a rail's statement is."""

    PAYOUT = "payout"
    RETURN = "return"
    TOP_UP = "top_up"
    FEE = "fee"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementLine:
    """One movement on our account at a rail, as its statement has it."""

    line_id: str
    """The provider's own id of this movement: unique on the statement, the same each time that it is read."""
    kind: LineKind
    amount: Money  # never negative: PAYOUT and FEE leave the account, RETURN and TOP_UP enter it
    at: datetime
    attempt_id: str | None = None  # our id, if the statement carries it
    provider_ref: str | None = None
    leaves: bool = True  # for OTHER: whether it left the account or entered it


@runtime_checkable
class KeepsStatement(Protocol):
    """An adapter whose rail tells every movement on our account."""

    async def statement(self, *, since: datetime, until: datetime) -> Sequence[StatementLine]:
        """All lines with since <= at < until, however many pages that takes. Raises if any of them can't be had."""


@runtime_checkable
class ReadsStatement(Protocol):
    """An adapter that reads the statement files which its provider lets people download."""

    def read_statement(self, content: bytes) -> Sequence[StatementLine]:
        """All lines of a file. Raises `BadStatement` with the row that can't be read."""


class BadStatement(OfframpError):
    """A statement file that can't be read; the text says where, and what was expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterContext:
    """What the core gives every adapter when it makes one."""

    name: str
    """The adapter's name in the configuration, unique: two adapters may speak to two accounts at one provider."""
    settings: Mapping[str, object]
    callback_address: CallbackAddress
    clock: Clock


AdapterFactory = Callable[[AdapterContext], Offramp]
"""An entry point of group "lastmile.adapters". Raises `BadSettings` for settings it can't work with."""


class BadSettings(Exception):
    """An adapter's settings are wrong. Each problem is a (key, sentence that says what would be right)."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{key}: {sentence}" for key, sentence in problems.items()))
        self.problems = problems
