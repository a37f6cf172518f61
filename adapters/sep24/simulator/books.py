"""What the simulated anchor has on its books: keys, rates, quotes, transactions."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from fractions import Fraction
from uuid import uuid4

from pydantic import BaseModel
from stellar_sdk import Keypair

from gateway.money import Asset, Money, Rate
from gateway.railsim import Desk, Script

PASSPHRASE = "Lastmile simulated network ; 2026"  # noqa: S105 - the network's name, known to all
COIN = Asset("USDC@stellar", 7)
PLACES = (
    {"country": "KE", "currency": "KES", "least": "100", "most": "100000", "step": "1"},
    {"country": "UG", "currency": "UGX", "least": "5000", "most": "3000000", "step": "1000"},
    {"country": "MX", "currency": "MXN", "least": "50", "most": "20000", "step": "0.01"},
)
CURRENCIES = {"KES": Asset("KES", 2), "UGX": Asset("UGX", 0), "MXN": Asset("MXN", 2)}
COUNTRIES = {"KES": "KE", "UGX": "UG", "MXN": "MX"}
RATES = {"KES": "129.25", "UGX": "3712.5", "MXN": "18.37"}
"""Cash for one coin."""
FEE = Money(5_000_000, COIN)
"""In coins, on every order."""
FIRM_FOR = timedelta(minutes=30)


class Keys(BaseModel):
    """The accounts on the simulated network: secret seeds, and the coin's issuer."""

    signing: str
    """Signs challenges and callbacks: SIGNING_KEY."""
    anchor: str
    """Receives the coins."""
    ours: str
    """The adapter's, which pays."""
    issuer: str
    token: str
    """Signs JWTs."""

    @classmethod
    def of(cls, desk: Desk) -> Keys:
        """Those on the desk's shelf, or new ones."""
        kept = desk.shelf.get("secrets", "sep24")
        if kept is not None:
            return cls.model_validate(kept)
        seeds = {name: Keypair.random().secret for name in ("signing", "anchor", "ours", "issuer")}
        made = cls(**seeds, token=secrets.token_hex(32))
        desk.shelf.put(("secrets", "sep24", made.model_dump()))
        return made

    def public(self, name: str) -> str:
        """An account's public key."""
        return Keypair.from_secret(getattr(self, name)).public_key

    @property
    def coin(self) -> str:
        """As SEP-38 names it."""
        return f"stellar:USDC:{self.public('issuer')}"


class Quote(BaseModel):
    """A firm quote."""

    id: str
    subject: str
    """Whose token asked."""
    currency: str
    buy: str
    sell: str
    expires_at: datetime


class Order(BaseModel):
    """A SEP-24 transaction. Once coins come with its memo, a payment with its refund memo is on the desk."""

    id: str
    subject: str
    reference: str
    """The refund memo: the payer's own id."""
    account: str
    """The recipient's phone number."""
    quote: Quote
    memo: str
    number: str
    """What the recipient says at the counter."""
    script: Script
    started_at: datetime
    is_known: bool
    """Whether all that the page wants of the person was told before."""
    is_complete: bool = False
    """Whether the page has all it wants of the person."""
    is_expired: bool = False
    callback: str | None = None
    transaction: str | None = None
    """The hash of the transaction that paid for it."""
    refunded: bool = False


class Books:
    """Quotes and orders."""

    def __init__(self, desk: Desk) -> None:
        self._shelf = desk.shelf

    def keep(self, order: Order) -> None:
        """Write it."""
        names = (order.id, order.reference, f"memo:{order.memo}", f"number:{order.number}")
        pointers = [("order_named", name, {"id": order.id}) for name in names]
        self._shelf.put(("order", order.id, order.model_dump(mode="json")), *pointers)

    def find(self, name: str) -> Order | None:
        """By its id, its refund memo, "memo:" and its memo, or "number:" and its pick-up number."""
        pointer = self._shelf.get("order_named", name)
        found = None if pointer is None else self._shelf.get("order", pointer["id"])
        return None if found is None else Order.model_validate(found)

    def of(self, subject: str) -> list[Order]:
        """All orders of one customer, newest first."""
        all_of_them = (Order.model_validate(each) for each in self._shelf.all("order"))
        return [each for each in all_of_them if each.subject == subject][::-1]

    def quoted(self, deliver: Money, *, subject: str, now: datetime) -> Quote:
        """A new firm quote."""
        currency = deliver.asset.code
        made = Quote(
            id=str(uuid4()),
            subject=subject,
            currency=currency,
            buy=deliver.decimal(),
            sell=coins_for(deliver).decimal(),
            expires_at=now + FIRM_FOR,
        )
        self._shelf.put(("quote", made.id, made.model_dump(mode="json")))
        return made

    def quote(self, id_: str) -> Quote | None:
        """The quote with this id."""
        found = self._shelf.get("quote", id_)
        return None if found is None else Quote.model_validate(found)


def coins_for(deliver: Money) -> Money:
    """The least coins that are worth this much, and the fee."""
    rate = Rate.per_whole(Fraction(RATES[deliver.asset.code]), base=COIN, quote=deliver.asset)
    return rate.ceil_base(deliver) + FEE
