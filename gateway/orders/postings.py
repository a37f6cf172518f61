"""Posting templates: which money moves where when an order takes a step. One table, turned into SQL once.

Accounts. What the outside holds for us is a source: `chain:<id>` and `rail:<name>` stand below zero by exactly what the
treasury and the rail hold. What we owe stands above zero: `order:<id>:funds`, `:payout`, `:refund`, `:unallocated`, and
never goes below (the database refuses). `exchange` is our position in each asset, `revenue:*` what we earned,
`rounding` the residue, `capital` what the operator put in.

A change of asset happens when a payout settles: until then a customer's money is the stablecoin that they sent, so that
a refund gives back exactly that. It is exchanged at the middle rate; margin and fee are postings of their own.
"""

from __future__ import annotations

from typing import NamedTuple

from gateway.orders.states import P


class Line(NamedTuple):
    """One posting of a template. The texts are SQL over o (order), q (its quote), d (the event's data)."""

    source: str
    destination: str
    asset: str
    units: str


def _own(name: str) -> str:
    return f"'order:' || o.id || '\\:{name}'"  # the backslash keeps SQLAlchemy from reading a parameter


_CHAIN = "'chain:' || q.chain_id"
_RAIL = "'rail:' || (d.data ->> 'adapter')"
_FUNDS, _PAYOUT, _REFUND, _UNALLOCATED = (_own(name) for name in ("funds", "payout", "refund", "unallocated"))
_SEND = "q.send_asset"
_RECEIVE = "q.receive_asset"


def _data(key: str) -> str:
    return f"(d.data ->> '{key}')::numeric"


_SETTLED = (
    Line(_PAYOUT, "'exchange'", _SEND, "q.send_units"),
    Line("'exchange'", _PAYOUT, _RECEIVE, "q.mid_units"),
    Line(_PAYOUT, "'revenue:fx_margin'", _RECEIVE, "q.margin_units"),
    Line(_PAYOUT, "'revenue:service_fee'", _RECEIVE, "q.fee_units"),
    Line(_PAYOUT, "'rounding'", _RECEIVE, "q.rounding_units"),
    Line(_PAYOUT, _RAIL, _RECEIVE, "q.receive_units"),
)

TEMPLATES: dict[P, tuple[Line, ...]] = {
    P.DEPOSIT_RECEIVED: (
        Line(_CHAIN, _FUNDS, _SEND, _data("funds")),
        Line(_CHAIN, _UNALLOCATED, _SEND, _data("unallocated")),
    ),
    P.PAYOUT_RESERVED: (Line(_FUNDS, _PAYOUT, _SEND, "q.send_units"),),
    P.PAYOUT_SETTLED: _SETTLED,
    P.PAYOUT_RELEASED: (Line(_PAYOUT, _FUNDS, _SEND, "q.send_units"),),
    # What came back is undone line by line, our earnings too: nothing was delivered, so nothing was earned.
    P.PAYOUT_RETURNED: (
        *(Line(line.destination, line.source, line.asset, line.units) for line in reversed(_SETTLED)),
        Line(_PAYOUT, _FUNDS, _SEND, "q.send_units"),
    ),
    P.REFUND_RESERVED: (Line(_FUNDS, _REFUND, _SEND, _data("units")),),
    P.REFUND_SETTLED: (Line(_REFUND, _CHAIN, _SEND, _data("units")),),
    P.REFUND_RELEASED: (Line(_REFUND, _FUNDS, _SEND, _data("units")),),
}


def lines_sql() -> str:
    """All templates as one row source: (template, line, source, destination, asset, units) for o, q, d in scope."""
    rows = [
        f"('{template}', {number}, {line.source}, {line.destination}, {line.asset}, {line.units})"
        for template, lines in TEMPLATES.items()
        for number, line in enumerate(lines, start=1)
    ]
    return "(VALUES " + ",\n        ".join(rows) + ") AS line (template, number, source, destination, asset, units)"
