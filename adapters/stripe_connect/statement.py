"""The platform's own account at Stripe: balance transactions as lines of a statement."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from adapters.stripe_connect.client import PAGE, NoAnswer, Stripe
from adapters.stripe_connect.currencies import asset_of, from_wire
from adapters.stripe_connect.wire import ATTEMPT, moment
from gateway.offramp import LineKind, StatementLine
from gateway.railkit.documents import inner, text_of

KINDS: Mapping[str, LineKind] = {
    "transfer": LineKind.PAYOUT,
    "transfer_refund": LineKind.RETURN,
    "transfer_cancel": LineKind.RETURN,
    "transfer_failure": LineKind.RETURN,
    "topup": LineKind.TOP_UP,
    "stripe_fee": LineKind.FEE,
    "stripe_fx_fee": LineKind.FEE,
    "tax_fee": LineKind.FEE,
    "network_cost": LineKind.FEE,
}
"""`type` of a balance transaction (docs.stripe.com/reports/balance-transaction-types); all else is OTHER."""
DIRECTIONS: Mapping[LineKind, bool] = {
    LineKind.PAYOUT: True,
    LineKind.FEE: True,
    LineKind.RETURN: False,
    LineKind.TOP_UP: False,
}
"""Whether such a line leaves the account; one that goes the other way is OTHER."""


async def lines_of(stripe: Stripe, *, since: datetime, until: datetime) -> list[StatementLine]:
    """All lines with since <= at < until, oldest first. Raises `OfframpError`."""
    params: Any = {
        "created": {"gte": math.floor(since.timestamp()), "lt": math.ceil(until.timestamp())},
        "expand": ["data.source"],
        "limit": PAGE,
    }
    found = [_line(each) async for each in stripe.all(stripe.v1.balance_transactions.list_async(params))]
    return sorted((each for each in found if since <= each.at < until), key=lambda line: (line.at, line.line_id))


def _line(values: Mapping[str, Any]) -> StatementLine:
    """One line. Raises `NoAnswer` for a transaction that can't be read: a statement with a hole is none."""
    id_, at, currency, net = (values.get(key) for key in ("id", "created", "currency", "amount"))
    at = moment(at)
    if not isinstance(id_, str) or at is None or not isinstance(currency, str) or not isinstance(net, int):
        raise NoAnswer("a balance transaction that can't be read")
    amount = from_wire(abs(net), asset_of(currency.upper()))
    if amount is None:
        raise NoAnswer("a balance transaction with an amount that can't be read")
    kind, leaves = KINDS.get(str(values.get("type")), LineKind.OTHER), net < 0
    if DIRECTIONS.get(kind, leaves) is not leaves:
        kind = LineKind.OTHER
    source = inner(values, "source")
    # The source of a reversal is the reversal: both carry the attempt's id.
    return StatementLine(
        line_id=id_,
        kind=kind,
        amount=amount,
        at=at,
        attempt_id=text_of(inner(source, "metadata").get(ATTEMPT)),
        provider_ref=text_of(source.get("id")),
        leaves=leaves,
    )
