"""Where each unit of a quote goes. Pure, exact, in whole units.

What the coins are worth at the middle rate = margin + fee + rounding + what the recipient gets. The margin is the
difference between middle and applied rate; the rounding is what is left of a unit that the rail can't pay.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.errors import Refusal
from gateway.money import Money, Rate
from gateway.pricing.offer import Terms

SEND_FIELD = "send.amount"
RECEIVE_FIELD = "receive.amount"


class BelowMinimum(Refusal):
    """Less than this way of payment pays; also where the fee leaves nothing."""

    code = "below_minimum"

    def __init__(self, least: Money, *, send: Money, field: str) -> None:
        super().__init__(f"The recipient has to get at least {least}: send at least {send}.", field=field)


class AboveMaximum(Refusal):
    """More than this way of payment pays at once."""

    code = "above_maximum"

    def __init__(self, most: Money, *, send: Money, field: str) -> None:
        super().__init__(f"The recipient can get at most {most} at once: send at most {send}.", field=field)


class NotPayable(Refusal):
    """Between two amounts that the rail pays."""

    code = "not_payable"

    def __init__(self, asked: Money, step: Money) -> None:
        super().__init__(
            f"{asked} can't be paid out exactly. The nearest amounts are {asked.floor_to(step)} and {asked.ceil_to(step)}.",
            field=RECEIVE_FIELD,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Breakdown:
    """The amounts of one quote: all but `send` in the receive currency, none negative."""

    send: Money
    receive: Money
    value: Money
    """What `send` is worth at the middle rate: margin + fee + rounding + receive."""
    margin: Money
    fee: Money
    rounding: Money

    @property
    def cost_percent(self) -> str:
        """All that isn't received, in percent of the value, as the World Bank's Remittance Prices Worldwide counts it."""
        return (self.value - self.receive).percent_of(self.value)


def of_send(send: Money, *, mid: Rate, applied: Rate, terms: Terms) -> Breakdown:
    """What the recipient gets for `send`. Raises `BelowMinimum` or `AboveMaximum`."""
    receive = (applied.floor(send) - terms.fee).floor_to(terms.step)
    _check_limits(receive, applied=applied, terms=terms, field=SEND_FIELD)
    return _breakdown(send, receive, mid=mid, applied=applied, fee=terms.fee)


def of_receive(receive: Money, *, mid: Rate, applied: Rate, terms: Terms) -> Breakdown:
    """The least to send for exactly `receive`. Raises `BelowMinimum`, `AboveMaximum` or `NotPayable`."""
    _check_limits(receive, applied=applied, terms=terms, field=RECEIVE_FIELD)
    if receive != receive.floor_to(terms.step):
        raise NotPayable(receive, terms.step)
    send = applied.ceil_base(receive + terms.fee)
    return _breakdown(send, receive, mid=mid, applied=applied, fee=terms.fee)


def _breakdown(send: Money, receive: Money, *, mid: Rate, applied: Rate, fee: Money) -> Breakdown:
    value, gross = mid.floor(send), applied.floor(send)
    return Breakdown(send=send, receive=receive, value=value, margin=value - gross, fee=fee, rounding=gross - fee - receive)


def _check_limits(receive: Money, *, applied: Rate, terms: Terms, field: str) -> None:
    """Refuse what the corridor doesn't pay, telling the limit on both sides; a payout is never nothing."""
    least = max(terms.least, terms.step).ceil_to(terms.step)
    most = terms.most.floor_to(terms.step)
    if receive < least:
        raise BelowMinimum(least, send=applied.ceil_base(least + terms.fee), field=field)
    if most < receive:
        raise AboveMaximum(most, send=applied.ceil_base(most + terms.fee), field=field)
