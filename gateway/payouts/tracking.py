"""Where an order stands, in words: a pure function of order, attempts and deposits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

from gateway.money import Money
from gateway.orders.states import S
from gateway.payouts.views import Holder, Progress, PublicStatus, RefundView
from gateway.routing.choose import NO_RAIL, NO_RAIL_ALLOWED, RAIL_UNAVAILABLE, RECIPIENT_REFUSED, RETURNED


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the public status depends on."""

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
    fault: str | None = None
    """Of the latest attempt, if it failed or came back."""
    another_way: bool = False
    """An attempt before the latest one failed by another rail or way."""
    redirected: bool = False
    """A way was given after the latest attempt was refused."""
    drop_at: datetime | None = None
    """The drop with which a funded order goes; None: at once."""
    owed: Money | None = None
    """What a payment in part left the recipient without; None: nothing."""


class _Words(NamedTuple):
    status: PublicStatus
    reason: str
    sentence: str
    next_step: str
    holder: Holder = Holder.GATEWAY


_SIMPLE: dict[S, _Words] = {
    S.AWAITING_DEPOSIT: _Words(
        PublicStatus.AWAITING_DEPOSIT,
        "awaiting_deposit",
        "We are waiting for {due}.",
        "Send exactly {due} to the address shown, before {expires}.",
        Holder.SENDER,
    ),
    S.CONFIRMING: _Words(
        PublicStatus.DEPOSIT_SEEN,
        "confirming",
        "Your transfer has been seen on the network.",
        "Nothing to do: the network is confirming it.",
        Holder.NETWORK,
    ),
    S.EXPIRED: _Words(
        PublicStatus.EXPIRED,
        "expired",
        "No transfer arrived before {expires}, so this order has ended.",
        "Don't send anything to this address now. Start a new order; money that arrives late is kept for its sender.",
        Holder.SENDER,
    ),
    S.FUNDED: _Words(
        PublicStatus.FUNDED,
        "funded",
        "Your {due} arrived.",
        "Nothing to do: we are sending {receive} to {recipient}.",
    ),
    S.PAYING: _Words(
        PublicStatus.IN_TRANSIT,
        "in_transit",
        "{receive} are on their way to {recipient}.",
        "Nothing to do: the payment service is delivering it.",
        Holder.RAIL,
    ),
    S.UNCERTAIN: _Words(
        PublicStatus.INVESTIGATING,
        "outcome_unknown",
        "The payment service has not told us yet whether {recipient} was paid.",
        "Nothing to do: we keep asking, and pay nothing twice meanwhile.",
        Holder.RAIL,
    ),
    S.PAID: _Words(
        PublicStatus.DELIVERED, "delivered", "{recipient} received {receive}.", "Nothing to do.", Holder.RECIPIENT
    ),
    S.REFUNDING: _Words(
        PublicStatus.REFUNDING, "refunding", "We are sending {received} back.", "Nothing to do: the refund is on its way."
    ),
    S.REFUNDED: _Words(PublicStatus.REFUNDED, "refunded", "The money was sent back.", "Nothing to do.", Holder.SENDER),
}
_READY = _Words(
    PublicStatus.READY_FOR_PICKUP,
    "ready_for_pickup",
    "{receive} are ready for {recipient}.",
    "{recipient} can collect the money now.",
    Holder.RAIL,
)
_IN_PART = _Words(
    PublicStatus.ON_HOLD,
    "delivered_in_part",
    "{recipient} received {delivered} of {receive}. The missing {owed} are with us, and owed to them.",
    "Nothing to do: a person is looking at it.",
)
_OWED_WHOLE = _Words(
    PublicStatus.RETURNED,
    "returned",
    "The payment to {recipient} came back to us. The {owed} are with us, and owed to them.",
    "Nothing to do: a person is looking at it.",
)
_BY_ANOTHER_WAY = _Words(
    PublicStatus.IN_TRANSIT,
    "another_way",
    "An earlier try did not work; {receive} are on their way to {recipient} by another way.",
    "Nothing to do: the payment service is delivering it.",
    Holder.RAIL,
)
_SENT_BACK: dict[tuple[S, bool], tuple[str, str]] = {
    (S.REFUNDING, False): ("We are sending {refund} back to {address}.", "Nothing to do: the refund is on its way."),
    (S.REFUNDING, True): (
        "We are sending {refund} back to {address}.",
        "Nothing to do: the network is confirming transaction {transaction}.",
    ),
    (S.REFUNDED, True): ("{refund} were sent back to {address}.", "Nothing to do. The transaction is {transaction}."),
}
"""By state, and whether the transaction is known."""

# Funded orders that something happened to.
_WAITS_FOR_DROP = _Words(
    PublicStatus.FUNDED,
    "waits_for_drop",
    "Your {due} arrived. The payment goes out together with others at {drop}, as was chosen for its lower fee.",
    "Nothing to do: we send {receive} to {recipient} then.",
)
_NEXT_DROP = "It goes out together with others, next at {drop}."
_REDIRECTED = _Words(
    PublicStatus.FUNDED,
    "redirected",
    "Another way to pay {recipient} was given; we are sending {receive} there.",
    "Nothing to do.",
)
_CAME_BACK = _Words(
    PublicStatus.RETURNED,
    "returned",
    "The payment to {recipient} came back to us. The money is safe with us.",
    "Nothing to do yet: if we know another way to {recipient} we take it, else we ask here.",
)
_REFUSED = _Words(
    PublicStatus.FUNDED,
    "recipient_refused",
    "The payment service could not pay {recipient} this way. The money is safe with us.",
    "Nothing to do yet: if we know another way to {recipient} we take it, else we ask here.",
)
_DELAYED = _Words(
    PublicStatus.FUNDED,
    "rail_delayed",
    "Your {due} arrived. The payment service could not deliver just now; the money is safe with us.",
    "Nothing to do: we try again, or take another way to {recipient}.",
)

_ASK = "Check the number with {recipient}. Then give the right one, or another way to pay them, on the payment's page."
_UNDERPAID = "{received} arrived, {missing} less than the quote asks for. It is safe with us."
_SHORT = _Words(
    PublicStatus.NEEDS_INFO, "underpaid", _UNDERPAID, "Send {missing} more to the same address before {expires}."
)
_TOO_SHORT = _Words(
    PublicStatus.ON_HOLD, "underpaid", _UNDERPAID, "The quote has ended: contact us for a new quote or a refund."
)
_NO_SERVICE = "No payment service can deliver to {recipient} at the moment. The money is safe with us."
_PERSON = "Nothing to do: a person is looking at it."
_HELD = {
    words.reason: words
    for words in (
        _Words(
            PublicStatus.ON_HOLD,
            "late",
            "{received} arrived after the quote's end at {expires}. It is safe with us.",
            "We don't use an old rate without asking: contact us for a new quote or a refund.",
        ),
        _Words(
            PublicStatus.ON_HOLD,
            "refund_failed",
            "We could not send {received} back: the transfer did not take place. The money is safe with us.",
            "Contact us: a person is looking at it, and may need another address of yours.",
        ),
        _Words(
            PublicStatus.ON_HOLD,
            "frozen",
            "{received} arrived. Something about this coin has to be looked at before we go on; "
            "what arrived is on our books.",
            "Nothing to do, and don't send more of it: a person is looking at it.",
        ),
        _Words(
            PublicStatus.ON_HOLD,
            "depegged",
            "{received} arrived while this coin was not worth what it should be. What arrived is on our books.",
            "Nothing to do: once the coin is taken again, the order goes on at the rate that was promised. Before that you "
            "can ask us for a new price or for your coins back. Don't send more of it.",
        ),
        # Of the money we can't say that it is safe: what was in the chain isn't there any more.
        _Words(
            PublicStatus.ON_HOLD,
            "deposit_vanished",
            "Your transfer was final on the network, and has gone from it. We don't pay out before we know why.",
            "Nothing to do, and don't send it again: a person is looking at it.",
        ),
        _Words(
            PublicStatus.NEEDS_INFO,
            RECIPIENT_REFUSED,
            "The payment service could not pay {recipient}: it refused the number. The money is safe with us.",
            _ASK,
        ),
        _Words(
            PublicStatus.RETURNED,
            RETURNED,
            "The payment to {recipient} came back to us. The money is safe with us.",
            _ASK,
        ),
        _Words(PublicStatus.ON_HOLD, RAIL_UNAVAILABLE, _NO_SERVICE, _PERSON),
        _Words(PublicStatus.ON_HOLD, NO_RAIL, _NO_SERVICE, _PERSON),
        _Words(PublicStatus.ON_HOLD, NO_RAIL_ALLOWED, _NO_SERVICE, _PERSON),
    )
}
_OTHER_HOLD = "The order is on hold. The money is safe with us."
# Whatever else holds it while a payment may be on its way: of that money we can't say where it is.
_UNCLEAR_HOLD = "The order is on hold: it has to be found out what became of a payment to {recipient}."
_UNCLEAR = frozenset({"sending", "pending", "available", "unknown", "paid"})
"""Outcomes of a latest attempt after which an order is neither held nor funded, unless something went wrong."""


def progress(facts: Facts, *, now: datetime) -> Progress:
    """The public status, its sentence, the next step and who holds the money: nothing but a function of `facts`."""
    if facts.state is S.AWAITING_DEPOSIT and now >= facts.expires_at:
        facts = replace(facts, state=S.EXPIRED)  # by level: whether or not a worker has come by yet
    words = _words(facts, now=now)
    refund = facts.refund
    if refund is not None and (sent_back := _SENT_BACK.get((facts.state, refund.tx_hash is not None))):
        words = words._replace(sentence=sent_back[0], next_step=sent_back[1])
    values = {
        "due": facts.due,
        "received": facts.received,
        "missing": facts.due - facts.received,
        "receive": facts.receive,
        "recipient": facts.recipient,
        "refund": refund and refund.amount,
        "address": refund and refund.address,
        "transaction": refund and refund.tx_hash,
        "expires": _moment(facts.expires_at),
        "drop": facts.drop_at and _moment(facts.drop_at),
        "owed": facts.owed,
        "delivered": facts.receive - facts.owed if facts.owed else None,
    }
    return Progress(
        status=words.status,
        reason=words.reason,
        sentence=words.sentence.format_map(values),
        next_step=words.next_step.format_map(values),
        holder=words.holder,
    )


def _moment(at: datetime) -> str:
    return f"{at:%H:%M} UTC on {at:%d %B %Y}"


def _words(facts: Facts, *, now: datetime) -> _Words:
    if facts.state is S.HELD:
        return _held(facts, now=now)
    if facts.state is S.FUNDED:
        return _funded(facts, now=now)
    # An unknown outcome of which the rail has said meanwhile that it is working on it is on its way again.
    if facts.state is S.PAYING or (facts.state is S.UNCERTAIN and facts.outcome in ("pending", "available")):
        if facts.outcome == "available":
            return _READY
        return _BY_ANOTHER_WAY if facts.another_way else _SIMPLE[S.PAYING]
    if facts.state is S.PAID and facts.owed:
        return _IN_PART if facts.owed < facts.receive else _OWED_WHOLE
    return _SIMPLE[facts.state]


def _funded(facts: Facts, *, now: datetime) -> _Words:
    waits = facts.drop_at is not None and now < facts.drop_at
    if facts.redirected:
        words = _REDIRECTED
    elif facts.outcome == "returned":
        words = _CAME_BACK
    elif facts.outcome == "failed":
        words = _REFUSED if facts.fault == "recipient" else _DELAYED
    else:
        return _WAITS_FOR_DROP if waits else _SIMPLE[S.FUNDED]
    return words._replace(next_step=f"{words.next_step} {_NEXT_DROP}") if waits else words


def _held(facts: Facts, *, now: datetime) -> _Words:
    reason = facts.hold_reason or "on_hold"
    if reason == "underpaid":
        return _SHORT if now < facts.expires_at else _TOO_SHORT
    if reason == RECIPIENT_REFUSED and facts.outcome == "returned":
        reason = RETURNED
    sentence = _UNCLEAR_HOLD if facts.outcome in _UNCLEAR else _OTHER_HOLD
    return _HELD.get(reason) or _Words(PublicStatus.ON_HOLD, reason, sentence, "A person is looking at it.")
