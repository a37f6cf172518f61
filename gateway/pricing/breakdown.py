"""Where each unit of a quote goes. Pure, exact, in whole units.

What the coins are worth at the middle rate = exchange margin + our fee + the partner's + the rail's + the network's +
rounding + what the recipient gets. The margin is the difference between middle and applied rate; the partner's fee is a
share of what the coins bring at the applied rate; the rounding is what is left of a unit that the rail can't pay. Beside
that stands what the recipient is charged by others to have cash in hand.

The total cost is counted as the World Bank's Remittance Prices Worldwide does: fees, exchange margin and what is charged at
the receiving end, in percent of the amount sent (https://remittanceprices.worldbank.org/methodology). Target 10.c of the
Sustainable Development Goals is 3 % or less of it (indicator 10.c.1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from gateway.errors import Refusal
from gateway.money import MILLION, Money, Rate, before_share, share_up
from gateway.pricing.offer import Terms

SEND_FIELD = "send.amount"
RECEIVE_FIELD = "receive.amount"
SDG_TARGET_PERCENT = "3.00"
SDG_TARGET_PPM = 30_000
PPM_OF_BP = 100


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


class Fee(NamedTuple):
    """One part of what the sending costs; `kind` is one of `Breakdown.fees`'."""

    kind: str
    amount: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class Breakdown:
    """The amounts of one quote: all but `send` in the receive currency, none negative."""

    send: Money
    receive: Money
    value: Money
    """What `send` is worth at the middle rate: all fees + rounding + receive."""
    fx_margin: Money
    service_fee: Money
    partner_fee: Money
    """The partner's, who gets it when the payout has settled."""
    rail_fee: Money
    """What the rail charges us, if the corridor passes it on."""
    network_fee: Money
    rounding: Money
    cash_out: Money
    """What others charge the recipient for cash in hand: beside the sum, out of `receive`."""

    @property
    def in_hand(self) -> Money:
        """What the recipient holds in the end."""
        return self.receive - self.cash_out

    @property
    def fees(self) -> tuple[Fee, ...]:
        """All that lies between `value` and `receive`, in the order to show it, also what is zero."""
        return (
            Fee("fx_margin", self.fx_margin),
            Fee("service_fee", self.service_fee),
            Fee("partner_fee", self.partner_fee),
            Fee("rail_fee", self.rail_fee),
            Fee("network_fee", self.network_fee),
            Fee("rounding", self.rounding),
        )

    @property
    def cost(self) -> Money:
        """All that doesn't reach the recipient's hand."""
        return self.value - self.in_hand

    @property
    def cost_percent(self) -> str:
        """The cost in percent of the value."""
        return self.cost.percent_of(self.value)

    @property
    def within_sdg(self) -> bool:
        """Whether it keeps to the target of SDG 10.c."""
        return self.cost.units * MILLION <= self.value.units * SDG_TARGET_PPM


def of_send(
    send: Money, *, mid: Rate, applied: Rate, terms: Terms, partner_bps: int = 0, network_fee: Money | None = None
) -> Breakdown:
    """What the recipient gets for `send`. Raises `BelowMinimum` or `AboveMaximum`.

    `partner_bps`: the partner's fee, of what the coins bring. `network_fee`: in the coin, as `Token.network_fee` has it.
    """
    deal = _Deal(mid, applied, terms, partner_bps * PPM_OF_BP, _network(network_fee, mid))
    receive = terms.rail_fee.most_within(deal.left_of(send), terms.step)
    _check_limits(receive, deal=deal, field=SEND_FIELD)
    return deal.breakdown(send, receive)


def of_receive(
    receive: Money, *, mid: Rate, applied: Rate, terms: Terms, partner_bps: int = 0, network_fee: Money | None = None
) -> Breakdown:
    """The least to send for exactly `receive`. Raises `BelowMinimum`, `AboveMaximum` or `NotPayable`."""
    deal = _Deal(mid, applied, terms, partner_bps * PPM_OF_BP, _network(network_fee, mid))
    _check_limits(receive, deal=deal, field=RECEIVE_FIELD)
    if receive != receive.floor_to(terms.step):
        raise NotPayable(receive, terms.step)
    return deal.breakdown(deal.send_for(receive), receive)


class _Deal(NamedTuple):
    """All that a price depends on but the amount."""

    mid: Rate
    applied: Rate
    terms: Terms
    partner_ppm: int
    network: Money

    def left_of(self, send: Money) -> Money:
        """What is left for recipient and rail; below zero where the fees eat more than all."""
        gross = self.applied.floor(send)
        return gross - self._partner_fee(gross) - self.terms.fee - self.network

    def send_for(self, receive: Money) -> Money:
        """The least coins that leave enough for `receive`."""
        terms = self.terms
        needed = receive.units + terms.rail_fee.of(receive.units) + terms.fee.units + self.network.units
        return self.applied.ceil_base(Money(before_share(needed, ppm=self.partner_ppm), receive.asset))

    def breakdown(self, send: Money, receive: Money) -> Breakdown:
        value, gross, asset = self.mid.floor(send), self.applied.floor(send), receive.asset
        rail_fee = Money(self.terms.rail_fee.of(receive.units), asset)
        return Breakdown(
            send=send,
            receive=receive,
            value=value,
            fx_margin=value - gross,
            service_fee=self.terms.fee,
            partner_fee=self._partner_fee(gross),
            rail_fee=rail_fee,
            network_fee=self.network,
            rounding=self.left_of(send) - rail_fee - receive,
            cash_out=Money(min(self.terms.cash_out.of(receive.units), receive.units), asset),
        )

    def _partner_fee(self, gross: Money) -> Money:
        return Money(share_up(gross.units, ppm=self.partner_ppm), gross.asset)


def _network(fee: Money | None, mid: Rate) -> Money:
    return Money(0, mid.quote) if fee is None else mid.ceil(fee)


def _check_limits(receive: Money, *, deal: _Deal, field: str) -> None:
    """Refuse what the corridor doesn't pay, telling the limit on both sides; a payout is never nothing."""
    terms = deal.terms
    least = max(terms.least, terms.step).ceil_to(terms.step)
    most = terms.most.floor_to(terms.step)
    if receive < least:
        raise BelowMinimum(least, send=deal.send_for(least), field=field)
    if most < receive:
        raise AboveMaximum(most, send=deal.send_for(most), field=field)
