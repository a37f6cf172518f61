"""Quotes: a price locked for a while, bound to everything it depends on."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

import structlog
from sqlalchemy import Table, bindparam, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.errors import Refusal
from gateway.ids import new_id
from gateway.ledger.freezes import refuse_frozen
from gateway.ledger.models import AssetRow
from gateway.money import Asset, Money, MoneyError, Rate
from gateway.offramp import Method
from gateway.pricing import breakdown, consensus
from gateway.pricing.breakdown import RECEIVE_FIELD, SEND_FIELD, Breakdown
from gateway.pricing.drops import next_drop
from gateway.pricing.models import Quote, RateObservation
from gateway.pricing.observations import Observation
from gateway.pricing.offer import Offer, Speed, Terms, Token

OFFERED_MOST = 10
"""How many possibilities a refusal lists."""

_log = structlog.get_logger(__name__)

_rates: Table = RateObservation.__table__  # type: ignore[attr-defined]
_quotes: Table = Quote.__table__  # type: ignore[attr-defined]
_assets: Table = AssetRow.__table__  # type: ignore[attr-defined]
_sent, _received = _assets.alias(), _assets.alias()

# Made once: composing SQL takes longer than running it.
_RATES_OF_PAIR = select(_rates.c.source, _rates.c.num, _rates.c.den, _rates.c.as_of).where(
    _rates.c.base == bindparam("base"), _rates.c.quote == bindparam("quote")
)
_STORE = insert(_quotes)
_FIND = (
    select(_quotes, _sent.c.decimals.label("send_decimals"), _received.c.decimals.label("receive_decimals"))
    .join(_sent, _sent.c.code == _quotes.c.send_asset)
    .join(_received, _received.c.code == _quotes.c.receive_asset)
    .where(_quotes.c.id == bindparam("id"))
)


class AmountMissing(Refusal):
    """Neither amount is given."""

    code = "amount_missing"

    def __init__(self) -> None:
        super().__init__(f"Give one amount: {SEND_FIELD} or {RECEIVE_FIELD}.", field=SEND_FIELD)


class TwoAmounts(Refusal):
    """Both amounts are given: one of them would be the client's own rate."""

    code = "two_amounts"

    def __init__(self) -> None:
        super().__init__(f"Give one amount only, {SEND_FIELD} or {RECEIVE_FIELD}: the other follows.", field=RECEIVE_FIELD)


class BadAmount(Refusal):
    """The amount is no number that its asset can have, or zero."""

    code = "bad_amount"


class UnknownAsset(Refusal):
    """No such token on that chain is taken."""

    code = "unknown_asset"

    def __init__(self, offer: Offer) -> None:
        offered = _listed(f"{symbol} on {chain}" for chain, symbol in offer.tokens)
        super().__init__(f"This coin is not taken on this chain. You can send: {offered}.", field="send.asset")


class UnknownCorridor(Refusal):
    """Nothing is paid out there in that way."""

    code = "unknown_corridor"

    def __init__(self, offer: Offer, country: str) -> None:
        there = [key for key in offer.corridors if key[0] == country] or offer.corridors
        offered = _listed(f"{place} {currency} {method}" for place, currency, method in there)
        super().__init__(f"We don't pay out this way. Possible (country, currency, method): {offered}.", field="receive")


class EconomyNotOffered(Refusal):
    """This corridor pays everything at once."""

    code = "economy_not_offered"

    def __init__(self, offer: Offer) -> None:
        offered = _listed(" ".join(key) for key, terms in offer.corridors.items() if terms.economy is not None)
        super().__init__(
            "Payouts of this kind are made at once: ask for speed standard. "
            f"Economy is offered for (country, currency, method): {offered}.",
            field="speed",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class QuoteRequest:
    """What is asked for, as text from outside. Exactly one of the two amounts is given."""

    partner_id: str | None
    chain: str
    asset: str
    send_amount: str | None
    country: str
    currency: str
    method: str
    receive_amount: str | None
    speed: Speed = Speed.STANDARD


@dataclass(frozen=True, slots=True, kw_only=True)
class Fee:
    """One part of what the sending costs: kind "fx_margin", "service_fee" or "rounding"."""

    kind: str
    amount: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class QuoteView:
    """A quote, in values for pages and API."""

    id: str
    partner_id: str | None
    created_at: datetime
    expires_at: datetime
    chain: str
    chain_id: int
    send: Money
    receive: Money
    country: str
    method: str
    mid: Rate
    applied: Rate
    mid_as_of: datetime
    sources: tuple[str, ...]
    fees: tuple[Fee, ...]
    """In the order to show them, in the receive currency, without those that are zero."""
    total_cost_percent: str
    """Everything that doesn't reach the recipient, in percent of what the coins are worth at the middle rate."""
    speed: str = Speed.STANDARD
    drop_every: timedelta | None = None
    """For economy: the time between two drops."""

    def next_drop_at(self, now: datetime) -> datetime | None:
        """When the payout would be made if the money were there `now`; None: at once."""
        return None if self.drop_every is None else next_drop(now, every=self.drop_every)


async def make_quote(connection: AsyncConnection, *, request: QuoteRequest, offer: Offer, now: datetime) -> QuoteView:
    """Price a request and store the quote, in the caller's transaction: two SELECTs, one INSERT.

    Raises, with nothing written: `AmountMissing`, `TwoAmounts`, `UnknownAsset`, `UnknownCorridor`, `EconomyNotOffered`,
    `AssetFrozen`, `BadAmount`, `RateUnavailable`, `RateDisputed`, `BelowMinimum`, `AboveMaximum`, `NotPayable`.
    """
    token, terms = _asked(request, offer)
    await refuse_frozen(connection, asset=token.asset.code, field="send.asset")
    amount = _amount(request, token=token, terms=terms)
    middle = await _middle(connection, token=token, terms=terms, offer=offer, now=now)
    mid = Rate.per_whole(middle.price, base=token.asset, quote=terms.currency)
    applied = mid.less_bps(terms.spread_bps)
    price = breakdown.of_receive if request.send_amount is None else breakdown.of_send
    parts = price(amount, mid=mid, applied=applied, terms=terms)
    row = {
        "id": new_id("quo", now=now),
        "partner_id": request.partner_id,
        "created_at": now,
        "expires_at": now + offer.rules.quote_ttl,
        "chain_id": token.chain_id,
        "send_asset": token.asset.code,
        "send_units": parts.send.units,
        "receive_asset": terms.currency.code,
        "receive_units": parts.receive.units,
        "country": terms.country,
        "method": terms.method,
        "mid_num": mid.num,
        "mid_den": mid.den,
        "applied_num": applied.num,
        "applied_den": applied.den,
        "mid_as_of": middle.as_of,
        "sources": list(middle.sources),
        "mid_units": parts.value.units,
        "margin_units": parts.margin.units,
        "fee_units": parts.fee.units,
        "rounding_units": parts.rounding.units,
        "speed": request.speed,
        "drop_every_s": _drop_every_s(request.speed, terms),
    }
    await connection.execute(_STORE, row)
    return _view(row, parts=parts, mid=mid, applied=applied, chain=token.chain)


async def find_quote(connection: AsyncConnection, *, quote_id: str, offer: Offer) -> QuoteView | None:
    """A stored quote, also one of a token or corridor that is no longer offered."""
    found = (await connection.execute(_FIND, {"id": quote_id})).mappings().one_or_none()
    if found is None:
        return None
    send, receive = (
        Asset(found["send_asset"], found["send_decimals"]),
        Asset(found["receive_asset"], found["receive_decimals"]),
    )
    parts = Breakdown(
        send=Money(found["send_units"], send),
        receive=Money(found["receive_units"], receive),
        value=Money(found["mid_units"], receive),
        margin=Money(found["margin_units"], receive),
        fee=Money(found["fee_units"], receive),
        rounding=Money(found["rounding_units"], receive),
    )
    mid = Rate(send, receive, found["mid_num"], found["mid_den"])
    applied = Rate(send, receive, found["applied_num"], found["applied_den"])
    chains = {token.chain_id: token.chain for token in offer.tokens.values()}
    # CAIP-2 names a chain that the configuration no longer does.
    chain = chains.get(found["chain_id"], f"eip155:{found['chain_id']}")
    return _view(found, parts=parts, mid=mid, applied=applied, chain=chain)


def _view(row: Any, *, parts: Breakdown, mid: Rate, applied: Rate, chain: str) -> QuoteView:
    fees = (
        Fee(kind="fx_margin", amount=parts.margin),
        Fee(kind="service_fee", amount=parts.fee),
        Fee(kind="rounding", amount=parts.rounding),
    )
    return QuoteView(
        id=row["id"],
        partner_id=row["partner_id"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        chain=chain,
        chain_id=row["chain_id"],
        send=parts.send,
        receive=parts.receive,
        country=row["country"],
        method=row["method"],
        mid=mid,
        applied=applied,
        mid_as_of=row["mid_as_of"],
        sources=tuple(row["sources"]),
        fees=tuple(fee for fee in fees if fee.amount.units),
        total_cost_percent=parts.cost_percent,
        speed=row["speed"],
        drop_every=None if row["drop_every_s"] is None else timedelta(seconds=row["drop_every_s"]),
    )


def _drop_every_s(speed: Speed, terms: Terms) -> int | None:
    if speed is not Speed.ECONOMY or terms.economy is None:
        return None
    return terms.economy.every // timedelta(seconds=1)


def _asked(request: QuoteRequest, offer: Offer) -> tuple[Token, Terms]:
    if request.send_amount is None and request.receive_amount is None:
        raise AmountMissing
    if request.send_amount is not None and request.receive_amount is not None:
        raise TwoAmounts
    token = offer.tokens.get((request.chain, request.asset))
    if token is None:
        raise UnknownAsset(offer)
    with suppress(ValueError, KeyError):
        terms = offer.corridors[request.country, request.currency, Method(request.method)]
        return token, _at_speed(request.speed, terms, offer)
    raise UnknownCorridor(offer, request.country)


def _at_speed(speed: Speed, terms: Terms, offer: Offer) -> Terms:
    """A corridor's terms at that speed."""
    if speed is Speed.STANDARD:
        return terms
    if terms.at_drops is None:
        raise EconomyNotOffered(offer)
    return terms.at_drops


def _amount(request: QuoteRequest, *, token: Token, terms: Terms) -> Money:
    """The amount given, in the asset of its side."""
    if request.send_amount is not None:
        return _positive(request.send_amount, token.asset, field=SEND_FIELD)
    assert request.receive_amount is not None
    return _positive(request.receive_amount, terms.currency, field=RECEIVE_FIELD)


def _positive(text: str, asset: Asset, *, field: str) -> Money:
    try:
        amount = Money.parse(text, asset)
    except MoneyError as error:
        raise BadAmount(str(error), field=field) from None
    if amount.units == 0:
        raise BadAmount("The amount is zero. Give an amount above zero.", field=field)
    return amount


async def _middle(connection: AsyncConnection, *, token: Token, terms: Terms, offer: Offer, now: datetime) -> consensus.Mid:
    """The middle rate of a token, which is worth one of its peg."""
    base, quote = token.peg, terms.currency.code
    known: list[Observation] = []
    if base != quote:
        rows = await connection.execute(_RATES_OF_PAIR, {"base": base, "quote": quote})
        known = [
            Observation(source=row.source, base=base, quote=quote, price=Fraction(row.num, row.den), as_of=row.as_of)
            for row in rows
        ]
    try:
        return consensus.mid(known, base=base, quote=quote, rules=offer.rules, now=now)
    except consensus.NoRate as refusal:
        _log.warning(refusal.code, detail=refusal.detail)
        raise


def _listed(items: Iterable[str]) -> str:
    """The first few, and how many more there are."""
    known = sorted(items)
    more = [f"and {len(known) - OFFERED_MOST} more"] if len(known) > OFFERED_MOST else []
    return ", ".join(known[:OFFERED_MOST] + more) or "nothing"
