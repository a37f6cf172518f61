"""Quotes: prices locked for a while, bound to all that they depend on.

Made in sets, in one transaction: one reading of the market, one INSERT, whatever the number. A request that can't be met
costs the others nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import msgspec
from sqlalchemy import Table, bindparam, select, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.db.session import Ask, Statement, rows_of_all
from gateway.ledger.freezes import OPEN_FREEZES, read_freezes
from gateway.ledger.models import AssetRow
from gateway.money import Asset, Money, Rate
from gateway.pricing.breakdown import Breakdown, Fee
from gateway.pricing.deals import Book
from gateway.pricing.drafts import Draft, Scene, draft_all
from gateway.pricing.drops import next_drop
from gateway.pricing.exposure import Place, fit, read_opened, reading_opened
from gateway.pricing.market import READ_MARKET
from gateway.pricing.models import Quote
from gateway.pricing.offer import Delivery, Offer, Speed
from gateway.pricing.requests import QuoteRequest

_quotes: Table = Quote.__table__  # type: ignore[attr-defined]
_assets: Table = AssetRow.__table__  # type: ignore[attr-defined]
_sent, _received = _assets.alias(), _assets.alias()

# Made once: composing SQL takes longer than running it.
_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]
_COLUMNS = ", ".join(column.name for column in _quotes.columns)
_TYPED = ", ".join(f"{column.name} {column.type.compile(_DIALECT)}" for column in _quotes.columns)
_STORE = text(
    f"INSERT INTO quotes ({_COLUMNS}) SELECT {_COLUMNS} FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS q ({_TYPED})"  # noqa: S608 - our own columns
)
_ASKERS = text("""
SELECT id, fee_bps, ARRAY(
    SELECT client_id FROM partner_clients AS c
    WHERE c.partner_id = p.id AND c.client_id = ANY(string_to_array(:clients, ',')) AND c.revoked_at IS NULL
        AND p.disabled_at IS NULL
) AS clients FROM partners AS p WHERE id = ANY(string_to_array(:partners, ','))
""")
_FIND = (
    select(_quotes, _sent.c.decimals.label("send_decimals"), _received.c.decimals.label("receive_decimals"))
    .join(_sent, _sent.c.code == _quotes.c.send_asset)
    .join(_received, _received.c.code == _quotes.c.receive_asset)
    .where(_quotes.c.id == bindparam("id"))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuoteView:
    """A quote, in values for pages and API."""

    id: str
    partner_id: str | None
    created_at: datetime
    expires_at: datetime
    chain: str
    chain_id: int
    country: str
    method: str
    mid: Rate
    applied: Rate
    mid_as_of: datetime
    sources: tuple[str, ...]
    parts: Breakdown
    """All its amounts."""
    speed: str = Speed.STANDARD
    drop_every: timedelta | None = None
    """For economy: the time between two drops."""
    delivery: Delivery | None = None

    @property
    def send(self) -> Money:
        """What has to be sent."""
        return self.parts.send

    @property
    def receive(self) -> Money:
        """What will land."""
        return self.parts.receive

    @property
    def fees(self) -> tuple[Fee, ...]:
        """All of them in the order to show them, in the receive currency, also those that are zero."""
        return self.parts.fees

    @property
    def total_cost_percent(self) -> str:
        """Everything that doesn't reach the recipient, in percent of what the coins are worth at the middle rate."""
        return self.parts.cost_percent

    def next_drop_at(self, now: datetime) -> datetime | None:
        """When the payout would be made if the money were there `now`; None: at once."""
        return None if self.drop_every is None else next_drop(now, every=self.drop_every)


async def make_quote(connection: AsyncConnection, *, request: QuoteRequest, offer: Offer, now: datetime) -> QuoteView:
    """Price one request and store the quote, in the caller's transaction. Raises what `make_quotes` answers."""
    [made] = await make_quotes(connection, requests=[request], offer=offer, now=now)
    if isinstance(made, Exception):
        raise made
    return made


async def make_quotes(
    connection: AsyncConnection, *, requests: Sequence[QuoteRequest], offer: Offer, now: datetime
) -> list[QuoteView | Exception]:
    """Price requests and store the quotes, in the caller's transaction. For each the quote, or why there is none.

    Refusals: `ClientRevoked`, `AmountMissing`, `TwoAmounts`, `UnknownAsset`, `UnknownCorridor`, `EconomyNotOffered`,
    `AssetFrozen`, `NoRate`, `BadAmount`, `BelowMinimum`, `AboveMaximum`, `NotPayable`, `ExposureFull`. Any other exception
    is a fault of ours, of that request alone.
    """
    ask = partial(rows_of_all, connection)
    made, writing = await price_quotes(ask, requests=requests, offer=offer, book=Book(), now=now)
    if writing:
        await ask(writing)
    return made


async def price_quotes(
    ask: Ask, *, requests: Sequence[QuoteRequest], offer: Offer, book: Book, now: datetime
) -> tuple[list[QuoteView | Exception], list[Statement]]:
    """What `make_quotes` answers, in the transaction of `ask`; and what has to be executed in it before it is answered."""
    if not requests:
        return [], []
    scene, opened = await _read(ask, requests=requests, offer=offer, book=book, now=now)
    drafts = draft_all(requests, scene)
    writing: list[Statement] = []
    if offer.rules.exposure_cap is not None:
        drafts, adding = await _within(ask, drafts, opened, cap=offer.rules.exposure_cap, now=now)
        writing = [adding] if adding else []
    if stored := [draft.row for draft in drafts if isinstance(draft, Draft)]:
        writing.append((_STORE, {"rows": msgspec.json.encode(stored).decode()}))
    return [_view_of_draft(draft) if isinstance(draft, Draft) else draft for draft in drafts], writing


async def _read(
    ask: Ask, *, requests: Sequence[QuoteRequest], offer: Offer, book: Book, now: datetime
) -> tuple[Scene, dict[Place, int]]:
    """What the quotes follow from, and what is promised already. From here on nobody else promises the same holders."""
    askers = {
        "partners": ",".join({request.partner_id for request in requests if request.partner_id is not None}),
        "clients": ",".join({request.client_id for request in requests if request.client_id is not None}),
    }
    reading: list[Statement] = [(READ_MARKET, {}), (OPEN_FREEZES, {}), (_ASKERS, askers)]
    if offer.rules.exposure_cap is not None:
        reading += reading_opened(sorted({request.place for request in requests}), now=now)
    market, freezes, partners, *opened = await ask(reading)
    scene = Scene(
        offer=offer,
        deals=book.deals(market, offer=offer, now=now),
        frozen={freeze.asset: freeze for freeze in reversed(read_freezes(freezes))},
        fees_bps={partner.id: partner.fee_bps for partner in partners},
        clients=frozenset(client for partner in partners for client in partner.clients),
        now=now,
    )
    return scene, read_opened(opened[-1]) if opened else {}


async def _within(
    ask: Ask, drafts: Sequence[Draft | Exception], opened: dict[Place, int], *, cap: Money, now: datetime
) -> tuple[list[Draft | Exception], Statement | None]:
    """The same, but for those whose holder is promised enough; and what notes down the others."""
    promises = [draft.promise for draft in drafts if isinstance(draft, Draft) and draft.promise is not None]
    refusals, adding = await fit(ask, promises, opened, cap=cap, now=now)
    answers = iter(refusals)
    return [(next(answers) or draft) if isinstance(draft, Draft) else draft for draft in drafts], adding


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
        fx_margin=Money(found["margin_units"], receive),
        service_fee=Money(found["fee_units"], receive),
        partner_fee=Money(found["partner_fee_units"], receive),
        rail_fee=Money(found["rail_fee_units"], receive),
        network_fee=Money(found["network_fee_units"], receive),
        rounding=Money(found["rounding_units"], receive),
        cash_out=Money(found["cash_out_units"], receive),
    )
    mid = Rate(send, receive, found["mid_num"], found["mid_den"])
    applied = Rate(send, receive, found["applied_num"], found["applied_den"])
    chains = {token.chain_id: token.chain for token in offer.tokens.values()}
    # CAIP-2 names a chain that the configuration no longer does.
    chain = chains.get(found["chain_id"], f"eip155:{found['chain_id']}")
    return _view(found, parts=parts, mid=mid, applied=applied, chain=chain)


def _view(row: Any, *, parts: Breakdown, mid: Rate, applied: Rate, chain: str) -> QuoteView:
    return QuoteView(
        id=row["id"],
        partner_id=row["partner_id"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        chain=chain,
        chain_id=row["chain_id"],
        country=row["country"],
        method=row["method"],
        mid=mid,
        applied=applied,
        mid_as_of=row["mid_as_of"],
        sources=tuple(row["sources"]),
        parts=parts,
        speed=row["speed"],
        drop_every=None if row["drop_every_s"] is None else timedelta(seconds=row["drop_every_s"]),
        delivery=None if row["delivery_p50_s"] is None else Delivery(row["delivery_p50_s"], row["delivery_p95_s"]),
    )


def _view_of_draft(draft: Draft) -> QuoteView:
    deal = draft.deal
    return _view(draft.row, parts=draft.parts, mid=deal.mid, applied=deal.applied, chain=deal.token.chain)
