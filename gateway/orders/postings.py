"""Posting templates: which money moves where when an order takes a step. One table, turned into SQL once.

Accounts. What the outside holds for us is a source: `chain:<id>` (deposit addresses), `treasury:<id>`, `wallet:<id>` (the
refund wallet) and `rail:<name>` stand below zero by exactly what lies there. What we owe stands above zero:
`order:<id>:funds`, `:payout`, `:refund`, `:unallocated`, `:owed` (to the recipient of a payment in part), and never goes
below (the database refuses). `claims:<rail>` is what a rail took from our account without right and owes us, `exchange` our
position in each asset, `revenue:*` what we earned, `partner:<id>:fees` what we charged for a partner and owe it, `rounding`
the residue, `capital` what the operator put in, `transit:<rail>` what approved moves of our own float bring to a rail
(gateway.treasury.house).

A change of asset happens when a payout settles: until then a customer's money is the stablecoin that they sent, so that
a refund gives back exactly that. It is exchanged at the middle rate; margin and fees are postings of their own.
"""

from __future__ import annotations

from typing import NamedTuple

from gateway.orders.states import P


class Line(NamedTuple):
    """One posting of a template.

    Accounts: an order's own by its last word, CHAIN, RAIL, WALLET, CREDIT, PARTNER or a whole name.
    """

    source: str
    destination: str
    asset: str
    """SEND or RECEIVE: the quote's side."""
    units: str
    """A column of the quote, or a key of the event's data."""
    rare: bool = False
    """Whether most quotes have none of it: such lines are looked at only for those that have some."""


FUNDS, PAYOUT, REFUND, UNALLOCATED, OWED = OWN = ("funds", "payout", "refund", "unallocated", "owed")
CHAIN, RAIL, WALLET, EXCHANGE, CREDIT, PARTNER = "chain", "rail", "wallet", "exchange", "credit", "partner"
SEND, RECEIVE = "send", "receive"
RARE = ("partner_fee_units", "rail_fee_units", "network_fee_units")
QUOTED = ("send_units", "receive_units", "margin_units", "fee_units", "rounding_units", *RARE)

_EARNED = (
    Line(EXCHANGE, "revenue:fx_margin", RECEIVE, "margin_units"),
    Line(EXCHANGE, "revenue:service_fee", RECEIVE, "fee_units"),
    Line(EXCHANGE, "rounding", RECEIVE, "rounding_units"),
    Line(EXCHANGE, PARTNER, RECEIVE, "partner_fee_units", rare=True),
    Line(EXCHANGE, "revenue:rail_fee", RECEIVE, "rail_fee_units", rare=True),
    Line(EXCHANGE, "revenue:network_fee", RECEIVE, "network_fee_units", rare=True),
)
_DELIVERED = (*_EARNED, Line(EXCHANGE, RAIL, RECEIVE, "receive_units"))
_SETTLED = (Line(PAYOUT, EXCHANGE, SEND, "send_units"), *_DELIVERED)

TEMPLATES: dict[P, tuple[Line, ...]] = {
    P.DEPOSIT_RECEIVED: (Line(CHAIN, FUNDS, SEND, "funds"), Line(CHAIN, UNALLOCATED, SEND, "unallocated")),
    P.PAYOUT_RESERVED: (Line(FUNDS, PAYOUT, SEND, "send_units"),),
    P.PAYOUT_SETTLED: _SETTLED,
    # The rail had paid after all, while the order waited to be paid again.
    P.PAYOUT_SETTLED_LATE: (Line(FUNDS, EXCHANGE, SEND, "send_units"), *_DELIVERED),
    # Our earnings are whole: what is missing is still owed to the recipient.
    P.PAYOUT_SETTLED_IN_PART: (
        Line(PAYOUT, EXCHANGE, SEND, "send_units"),
        *_EARNED,
        Line(EXCHANGE, OWED, RECEIVE, "owed"),
        Line(EXCHANGE, RAIL, RECEIVE, "delivered"),
    ),
    P.PAYOUT_RELEASED: (Line(PAYOUT, FUNDS, SEND, "send_units"),),
    # What came back is undone line by line, our earnings too: nothing was delivered, so nothing was earned.
    P.PAYOUT_RETURNED: (
        *(line._replace(source=line.destination, destination=line.source) for line in reversed(_SETTLED)),
        Line(PAYOUT, FUNDS, SEND, "send_units"),
    ),
    P.REFUND_RESERVED: (Line(FUNDS, REFUND, SEND, "units"),),
    P.REFUND_SETTLED: (Line(REFUND, WALLET, SEND, "units"),),
    P.REFUND_RELEASED: (Line(REFUND, FUNDS, SEND, "units"),),
    P.CREDIT_APPLIED: (Line(CREDIT, FUNDS, SEND, "send_units"),),
}


def template_rows() -> list[dict[str, object]]:
    """All templates as rows: template, number, source, destination, asset, units, rare."""
    return [
        {"template": template, "number": number, **line._asdict()}
        for template, lines in TEMPLATES.items()
        for number, line in enumerate(lines, start=1)
    ]


def account_sql(side: str) -> str:
    """SQL for the account that a line's `side` names, with the priced move in scope as d."""
    own = ",".join(f"'{name}'" for name in OWN)
    return (
        f"CASE WHEN line.{side} IN ({own}) THEN d.own || line.{side} "
        f"WHEN line.{side} = '{CHAIN}' THEN 'chain:' || d.chain_id "
        f"WHEN line.{side} = '{RAIL}' THEN d.rail "
        f"WHEN line.{side} = '{PARTNER}' THEN 'partner:' || d.partner_id || '\\:fees' "
        f"WHEN line.{side} = '{WALLET}' THEN d.data ->> 'wallet' "
        f"WHEN line.{side} = '{CREDIT}' THEN 'order:' || (d.data ->> 'from_order') || '\\:{UNALLOCATED}' "
        f"ELSE line.{side} END"
    )


def asset_sql() -> str:
    """SQL for a line's asset."""
    return f"CASE line.asset WHEN '{SEND}' THEN d.send_asset ELSE d.receive_asset END"


def units_sql() -> str:
    """SQL for a line's amount."""
    quoted = " ".join(f"WHEN '{column}' THEN d.{column}" for column in QUOTED)
    return f"CASE line.units {quoted} ELSE (d.data ->> line.units)::numeric END"


def worth_a_look_sql() -> str:
    """SQL for whether a line is one that this quote may have."""
    return f"(NOT line.rare OR {' + '.join(f'd.{column}' for column in RARE)} > 0)"
