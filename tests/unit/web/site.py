"""The pages on an application of their own, with values where the database would be."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from html.parser import HTMLParser
from typing import Any

import httpx
from fastapi import FastAPI

from gateway.desk.matters import NOTHING, Matters
from gateway.money import Asset, Money, MoneyError, Rate
from gateway.offramp import Method
from gateway.orders.recipients import masked_name
from gateway.orders.states import S
from gateway.payouts.tracking import Facts, progress
from gateway.payouts.views import DepositView, OrderView, PastStep
from gateway.pricing import breakdown
from gateway.pricing.offer import Offer, PricingRules, Terms, Token
from gateway.pricing.quotes import QuoteView
from gateway.pricing.requests import BadAmount, QuoteRequest
from gateway.routing.delivery import Outlooks
from gateway.routing.scene import Scene
from gateway.web.routes import WebServices, install

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
URL = "https://pay.example"
USDC, USDT, KES, UGX = Asset("USDC@8453", 6), Asset("USDT@137", 6), Asset("KES", 2), Asset("UGX", 0)
BASE = Token(chain="base", chain_id=8453, asset=USDC, address="0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913", peg="USD")
POLYGON = Token(chain="polygon", chain_id=137, asset=USDT, address="0xc2132D05D31c914a87C6611C10748AEb04B58e8F", peg="USD")
RULES = PricingRules(max_age=timedelta(hours=2), max_spread_bps=100, min_sources=1, quote_ttl=timedelta(minutes=15))
ADDRESS = "0x5FbDB2315678afecb367f032d93F642f64180aa3"
TOKEN = "s3cret-Tracking_token-0123456789"
TX = "0x" + "ab12" * 16


def terms(country: str, currency: Asset, method: Method = Method.MOBILE_MONEY) -> Terms:
    return Terms(
        country=country,
        currency=currency,
        method=method,
        spread_bps=50,
        fee=Money.parse("25", currency),
        least=Money.parse("100", currency),
        most=Money.parse("250000", currency),
        step=Money.parse("1", currency),
    )


def offer(*corridors: Terms, tokens: tuple[Token, ...] = (BASE,)) -> Offer:
    return Offer(
        tokens={(token.chain, token.asset.symbol): token for token in tokens},
        corridors={(t.country, t.currency.code, t.method): t for t in corridors or (terms("KE", KES),)},
        rules=RULES,
    )


MANY = offer(terms("KE", KES), terms("KE", KES, Method.BANK), terms("UG", UGX), tokens=(BASE, POLYGON))
FILLED = {
    "corridor": "KE-KES-mobile_money",
    "token": "USDC-base",
    "side": "receive",
    "amount": "12830",
    "name": "Wanjiku Mwangi",
    "phone": "0712 345 678",
}


def order(state: S = S.AWAITING_DEPOSIT, *, now: datetime = NOW, received: int = 0, **changes: Any) -> OrderView:
    """A view as the core makes it; `changes` replace its fields."""
    path = {
        S.CONFIRMING: (S.CONFIRMING,),
        S.FUNDED: (S.CONFIRMING, S.FUNDED),
        S.HELD: (S.CONFIRMING, S.HELD),
        S.PAYING: (S.CONFIRMING, S.FUNDED, S.PAYING),
        S.PAID: (S.CONFIRMING, S.FUNDED, S.PAYING, S.PAID),
    }.get(state, ())
    facts = Facts(
        state=state,
        hold_reason="underpaid",
        outcome=None,
        due=Money(99_977_543, USDC),
        received=Money(received, USDC),
        expires_at=NOW + timedelta(minutes=15),
        recipient=masked_name(changes.get("recipient_name", "Wanjiku Mwangi")),
        receive=Money(1_283_000, KES),
    )
    view = OrderView(
        id="ord_01M82KQWF9Q6BEEG62PCPFWWHY",
        tracking_token=TOKEN,
        partner_id=None,
        quote_id="quo_1",
        progress=progress(facts, now=now),
        state=state,
        chain_id=8453,
        deposit_address=ADDRESS,
        send=facts.due,
        received=facts.received,
        unallocated=Money(0, USDC),
        receive=facts.receive,
        country="KE",
        method="mobile_money",
        recipient_name=changes.get("recipient_name", "Wanjiku Mwangi"),
        recipient_account_masked="••••••••••678",
        expires_at=facts.expires_at,
        created_at=NOW,
        updated_at=NOW,
        deposits=(deposit(),) if path else (),
        steps=tuple(PastStep(state=s, at=NOW + timedelta(seconds=n)) for n, s in enumerate(path)),
        adapter="mpesa",
        receipt="SLE7XK21PQ" if state is S.PAID else None,
        reference=None,
        refund_address=None,
        details={},
    )
    return replace(view, **changes)


def deposit(**changes: Any) -> DepositView:
    made = DepositView(
        tx_hash=TX, log_index=0, amount=Money(99_977_543, USDC), status="final", block_number=9, block_time=NOW
    )
    return replace(made, **changes)


@dataclass
class FakeEngine:
    """Counts how transactions end."""

    committed: int = 0
    undone: int = 0

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[None]:
        try:
            yield
        except BaseException:
            self.undone += 1
            raise
        self.committed += 1


@dataclass
class Site:
    """A site to ask, what it stands on, and what its data functions say."""

    offer: Offer = field(default_factory=offer)
    engine: FakeEngine = field(default_factory=FakeEngine)
    now: datetime = NOW
    view: OrderView | None = None
    matters: Matters = NOTHING
    priced: QuoteView | None = None
    asked: list[Any] = field(default_factory=list)
    outlooks: Outlooks = field(default_factory=lambda: Outlooks(scene=Scene(capabilities={})))
    app: FastAPI = field(default_factory=FastAPI)

    def __post_init__(self) -> None:
        services = WebServices(
            engine=self.engine,  # type: ignore[arg-type]
            offer=self.offer,
            factories={8453: ADDRESS},
            public_url=URL,
            clock=lambda: self.now,
            outlooks=self.outlooks,
        )
        install(self.app, services)

    def forget(self) -> None:
        """As new, but for the templates, which take longest to load."""
        self.engine.committed = self.engine.undone = 0
        self.now, self.view, self.matters, self.priced = NOW, None, NOTHING, None
        self.asked.clear()

    def open(self) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url=URL)

    async def order_view(self, _connection: object, *, now: datetime, tracking_token: str) -> OrderView | None:
        self.asked.append((now, tracking_token))
        return self.view if self.view and tracking_token == self.view.tracking_token else None

    async def matters_of(self, _connection: object, *, order_id: str, offer: Offer, now: datetime) -> Matters:
        assert (self.view and self.view.id, offer, now) == (order_id, self.offer, self.now)
        return self.matters

    async def find_quote(self, _connection: object, *, quote_id: str, offer: Offer) -> QuoteView | None:
        assert (self.view and self.view.quote_id, offer) == (quote_id, self.offer)
        return self.priced

    async def make_quote(self, _connection: object, *, request: QuoteRequest, offer: Offer, now: datetime) -> QuoteView:
        """At 129.20 KES for a coin, by the real arithmetic."""
        self.asked.append(request)
        return quote(request, offer=offer, now=now)


def quote(request: QuoteRequest, *, offer: Offer, now: datetime) -> QuoteView:
    token = offer.tokens[request.chain, request.asset]
    to = offer.corridors[request.country, request.currency, Method(request.method)]
    mid = Rate.per_whole(Fraction(1292, 10), base=token.asset, quote=to.currency)
    sends = request.send_amount is not None
    try:
        amount = Money.parse(request.send_amount or request.receive_amount or "", token.asset if sends else to.currency)
    except MoneyError as error:
        raise BadAmount(str(error), field="send.amount" if sends else "receive.amount") from None
    price = breakdown.of_send if sends else breakdown.of_receive
    parts = price(amount, mid=mid, applied=mid.less_bps(to.spread_bps), terms=to)
    return QuoteView(
        id="quo_01M82KQWF9Q6BEEG62PCPFWWHY",
        partner_id=request.partner_id,
        created_at=now,
        expires_at=now + offer.rules.quote_ttl,
        chain=token.chain,
        chain_id=token.chain_id,
        country=to.country,
        method=to.method,
        mid=mid,
        applied=mid.less_bps(to.spread_bps),
        mid_as_of=now,
        sources=("desk", "oxr"),
        parts=parts,
        delivery=offer.deliveries and offer.deliveries.expect(to, parts.receive, now=now),
    )


class Outline(HTMLParser):
    """What is on a page: its elements with their attributes, in order, and its text without scripts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.pieces: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.pieces.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.pieces).split())

    def all(self, *tags: str, **attributes: str) -> list[dict[str, str]]:
        wanted = attributes.items()
        return [found for tag, found in self.elements if tag in tags and wanted <= found.items()]

    def one(self, *tags: str, **attributes: str) -> dict[str, str]:
        (found,) = self.all(*tags, **attributes)
        return found
