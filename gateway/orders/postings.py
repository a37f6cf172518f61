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


FUNDS, PAYOUT, REFUND, UNALLOCATED, OWED = OWN = ("funds", "payout", "refund", "unallocated", "owed")
CHAIN, RAIL, WALLET, EXCHANGE, CREDIT, PARTNER = "chain", "rail", "wallet", "exchange", "credit", "partner"
SEND, RECEIVE = "send", "receive"
QUOTED = (
    "send_units",
    "receive_units",
    "margin_units",
    "fee_units",
    "rounding_units",
    "partner_fee_units",
    "rail_fee_units",
    "network_fee_units",
)

_EARNED = (
    Line(EXCHANGE, "revenue:fx_margin", RECEIVE, "margin_units"),
    Line(EXCHANGE, "revenue:service_fee", RECEIVE, "fee_units"),
    Line(EXCHANGE, "rounding", RECEIVE, "rounding_units"),
    Line(EXCHANGE, PARTNER, RECEIVE, "partner_fee_units"),
    Line(EXCHANGE, "revenue:rail_fee", RECEIVE, "rail_fee_units"),
    Line(EXCHANGE, "revenue:network_fee", RECEIVE, "network_fee_units"),
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


_ACCOUNTS = {
    CHAIN: "'chain:' || d.chain_id",
    RAIL: "'rail:' || (d.data ->> 'adapter')",
    PARTNER: "'partner:' || d.partner_id || '\\:fees'",
    WALLET: "d.data ->> 'wallet'",
    CREDIT: f"'order:' || (d.data ->> 'from_order') || '\\:{UNALLOCATED}'",
    **{name: f"'order:' || d.order_id || '\\:{name}'" for name in OWN},
}


def postings_sql() -> str:
    """SQL for what a step posts: an array of those of its template's lines that move something, in their order.

    In scope as d: the step's `posting`, `order_id` and `data`, and its quote's columns.
    """
    cases = (f"WHEN '{template}' THEN {_lines_sql(lines)}" for template, lines in TEMPLATES.items())
    return f"CASE d.posting {' '.join(cases)} END"


def _lines_sql(lines: tuple[Line, ...]) -> str:
    return f"array_remove(ARRAY[{', '.join(_line_sql(line) for line in lines)}], NULL)"


def _line_sql(line: Line) -> str:
    units = f"d.{line.units}" if line.units in QUOTED else f"(d.data ->> '{line.units}')::numeric"
    source, destination = (_ACCOUNTS.get(name, f"'{name}'") for name in (line.source, line.destination))
    return f"CASE WHEN {units} > 0 THEN ROW({source}, {destination}, d.{line.asset}_asset, {units})::posting END"
