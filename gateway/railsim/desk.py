"""The state of a simulated rail: payments, float and scripts, in memory or in a file that outlives the process."""

from __future__ import annotations

import json
import os
import sqlite3
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, Field

from gateway.clock import Clock, system_clock
from gateway.money import Asset, Money
from gateway.railsim.scenario import Scenario, Script, Scripts

REMEMBERED_MOST = 20_000
"""How many requests and callbacks are kept for inspection; the oldest go first."""


class Options(BaseModel):
    """How a simulator runs."""

    state: Path | None = None
    """A file for what must outlive a kill; None keeps it in memory."""
    delay_s: float = Field(default=0.3, ge=0)
    """Seconds from acceptance of a payment or a question to its result."""

    @classmethod
    def from_environment(cls) -> Options:
        """Read LASTMILE_SIMULATOR_STATE and LASTMILE_SIMULATOR_DELAY_S."""
        names = {"state": "LASTMILE_SIMULATOR_STATE", "delay_s": "LASTMILE_SIMULATOR_DELAY_S"}
        return cls.model_validate({key: os.environ[name] for key, name in names.items() if os.environ.get(name)})


class State(StrEnum):
    """Where a simulated payment is."""

    PENDING = "pending"
    PAID = "paid"
    FAILED = "failed"
    RETURNED = "returned"


class Payment(BaseModel):
    """One payment that the rail has taken. `/_sim/payouts` shows it as it is."""

    id: str
    """The payer's own id."""
    account: str
    amount: str
    currency: str
    status: State = State.PENDING
    code: str | None = None
    """The rail's code for a failure."""
    receipt: str
    times: int = 0
    """How often money moved for this id: anything above 1 is a double payment."""
    asked: int = 0
    at: datetime
    final_at: datetime | None = None
    script: Script
    rail: dict[str, str] = Field(default_factory=dict)
    """The rail's own fields: its ids, the address for its callback."""


class Movement(BaseModel):
    """One movement on the account that pays, as the rail's own books have it. `/_sim/statement` shows it as it is."""

    number: int
    kind: str
    """payout, return or top_up."""
    payment_id: str | None
    """The payer's id."""
    account: str | None
    receipt: str
    amount: str
    currency: str
    leaves: bool
    at: datetime


class DuplicatePayment(Exception):
    """This id was taken before; nothing was taken now."""


Entry = tuple[str, str, Mapping[str, Any]]
"""A kind, a key and a document."""


class Shelf:
    """Documents by kind and key. A write is on the shelf when the call returns, and survives a kill if there is a file."""

    def __init__(self, path: Path | None) -> None:
        # The app may be made in one thread and served in another; only the serving one uses it.
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path or ":memory:", check_same_thread=False)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=OFF")
        self._db.execute("CREATE TABLE IF NOT EXISTS shelf (kind TEXT, key TEXT, body TEXT, PRIMARY KEY (kind, key))")

    def put(self, *entries: Entry) -> None:
        """Write all entries (kind, key, document), or none."""
        rows = [(kind, key, json.dumps(document)) for kind, key, document in entries]
        with self._db:
            self._db.executemany(
                "INSERT INTO shelf VALUES (?, ?, ?) ON CONFLICT (kind, key) DO UPDATE SET body = excluded.body", rows
            )

    def get(self, kind: str, key: str) -> dict[str, Any] | None:
        """The document, or None."""
        row = self._db.execute("SELECT body FROM shelf WHERE kind = ? AND key = ?", (kind, key)).fetchone()
        return None if row is None else json.loads(row[0])

    def all(self, kind: str) -> list[dict[str, Any]]:
        """All documents of a kind, oldest first."""
        rows = self._db.execute("SELECT body FROM shelf WHERE kind = ? ORDER BY rowid", (kind,))
        return [json.loads(body) for (body,) in rows]

    def close(self) -> None:
        """Close the file."""
        self._db.close()


class Codes(NamedTuple):
    """The rail's own codes for what the desk decides."""

    failed: str
    """For a script that says `failed` and no code."""
    low_float: str


class Desk:
    """A simulated rail without its protocol: it takes payments, moves the float, plays the scripts."""

    def __init__(
        self,
        *,
        options: Options,
        floats: Sequence[Money],
        offers: frozenset[Scenario],
        codes: Codes,
        clock: Clock = system_clock,
    ) -> None:
        """`floats` is what we hold there at first, per currency; `offers` are the scenarios the rail's protocol can play."""
        self.options = options
        self.offers = offers
        self.codes = codes
        self.clock = clock
        self.shelf = Shelf(options.state)
        self.scripts = Scripts()
        self.requests: deque[dict[str, Any]] = deque(maxlen=REMEMBERED_MOST)
        self.callbacks: deque[dict[str, Any]] = deque(maxlen=REMEMBERED_MOST)
        self.assets: dict[str, Asset] = {money.asset.code: money.asset for money in floats}
        self._moved = len(self.movements())
        self._ids_to: dict[str, list[str]] = defaultdict(list)
        for payment in self.payments():
            self._ids_to[payment.account].append(payment.id)
        for money in floats:
            if self.shelf.get("float", money.asset.code) is None:
                self.hold(money)

    @property
    def webhook(self) -> str | None:
        """The address that was entered here for callbacks about all payments; None if none was."""
        kept = self.shelf.get("webhook", "url")
        return None if kept is None else kept["url"]

    def enter_webhook(self, url: str) -> None:
        """Call this address from now on."""
        self.shelf.put(("webhook", "url", {"url": url}))

    def script_for(self, *, id: str, account: str, amount: Money) -> Script:  # noqa: A002 - the word on the wire
        """The script for a payment with these facts, taken from the queue."""
        return self.scripts.take({"id": id, "account": account, "amount": amount.decimal()})

    def delay_s(self, script: Script) -> float:
        """Seconds until the payment of this script is final."""
        return self.options.delay_s if script.delay_s is None else script.delay_s

    def find(self, id: str) -> Payment | None:  # noqa: A002
        """The payment with this id of the payer's."""
        found = self.shelf.get("payment", id)
        return None if found is None else Payment.model_validate(found)

    def payments(self) -> list[Payment]:
        """All payments, oldest first."""
        return [Payment.model_validate(each) for each in self.shelf.all("payment")]

    def accept(self, payment: Payment) -> None:
        """Take a payment. Raises `DuplicatePayment`."""
        if self.find(payment.id) is not None:
            raise DuplicatePayment(payment.id)
        self._ids_to[payment.account].append(payment.id)
        self._keep(payment)

    def payments_to(self, account: str) -> list[Payment]:
        """All payments to one account, oldest first."""
        return [payment for id_ in self._ids_to[account] if (payment := self.find(id_)) is not None]

    def settle(self, payment: Payment, *, failure: str | None = None) -> bool:
        """Make a pending payment final, unless its script keeps it pending. Tells whether it became final now.

        `failure` is the rail's code if its own rules refuse the payment.
        """
        script = payment.script
        waits = Scenario.PENDING_POLLS in script and payment.asked <= script.polls
        if payment.status is not State.PENDING or waits or Scenario.PENDING_FOREVER in script:
            return False
        payment.final_at = self.clock()
        amount, held = self.amount_of(payment), self.held(payment.currency)
        if Scenario.FAILED in script:
            failure = script.code or self.codes.failed
        if failure is None and (held < amount or Scenario.LOW_FLOAT in script):
            failure = self.codes.low_float
        if failure is not None:
            payment.status, payment.code = State.FAILED, failure
            self._keep(payment)
        else:
            self._pay(payment, amount)
        return True

    def movements(self) -> list[Movement]:
        """All movements, oldest first."""
        return [Movement.model_validate(each) for each in self.shelf.all("movement")]

    def top_up(self, money: Money) -> None:
        """Hold this much more from now on."""
        put_in = self._movement("top_up", money, leaves=False)
        self.shelf.put(_float_entry(self.held(money.asset.code) + money), put_in)

    def _pay(self, payment: Payment, amount: Money) -> None:
        """What is called paid, and what really moves."""
        payment.status = State.PAID
        if Scenario.PAID_THEN_RETURNED in payment.script:
            payment.asked = 0  # what was asked while it was under way, how often depends on the machine, brings nothing back
        taken = [amount]
        if Scenario.MOVED_TWICE in payment.script:
            taken = [amount, amount]
        elif Scenario.MOVED_NOTHING in payment.script:
            taken = []
        elif Scenario.MOVED_OTHER_AMOUNT in payment.script:
            taken = [amount + Money(10**amount.asset.decimals, amount.asset)]
        held = self.held(payment.currency)
        entries = []
        for money in taken:
            payment.times += 1
            held = held - money
            entries.append(self._movement("payout", money, leaves=True, payment=payment))
        self._keep(payment, held=held, moved=entries)

    def note_question(self, payment: Payment) -> None:
        """Count a question about a payment; one that is paid and due to come back comes back."""
        payment.asked += 1
        if (
            payment.status is State.PAID
            and Scenario.PAID_THEN_RETURNED in payment.script
            and payment.asked > payment.script.polls
        ):
            payment.status = State.RETURNED
            amount = self.amount_of(payment)
            back = self._movement("return", amount, leaves=False, payment=payment)
            self._keep(payment, held=self.held(payment.currency) + amount, moved=[back])
        else:
            self._keep(payment)

    def amount_of(self, payment: Payment) -> Money:
        """What is paid: the ordered amount, or one whole unit less if the script says so."""
        asset = self.assets[payment.currency]
        amount = Money.parse(payment.amount, asset)
        return amount - Money(10**asset.decimals, asset) if Scenario.PAID_SHORT in payment.script else amount

    def held(self, currency: str) -> Money:
        """What we hold at the rail in one currency."""
        held = self.shelf.get("float", currency)
        assert held is not None
        return Money(held["units"], self.assets[currency])

    def hold(self, money: Money) -> None:
        """Hold exactly this from now on."""
        self.shelf.put(_float_entry(money))

    def _keep(self, payment: Payment, *, held: Money | None = None, moved: Sequence[Entry] = ()) -> None:
        entries = [("payment", payment.id, payment.model_dump(mode="json"))]
        self.shelf.put(*entries, *([] if held is None else [_float_entry(held)]), *moved)

    def _movement(self, kind: str, amount: Money, *, leaves: bool, payment: Payment | None = None) -> Entry:
        """The next line of the account. The first one of a payment has its receipt, others one of their own."""
        self._moved += 1
        first = payment is not None and kind == "payout" and payment.times == 1
        line = Movement(
            number=self._moved,
            kind=kind,
            payment_id=payment and payment.id,
            account=payment and payment.account,
            receipt=payment.receipt if payment is not None and first else f"MOVE{self._moved:06}",
            amount=amount.decimal(),
            currency=amount.asset.code,
            leaves=leaves,
            at=self.clock(),
        )
        return ("movement", f"{self._moved:012}", line.model_dump(mode="json"))


def _float_entry(money: Money) -> Entry:
    return ("float", money.asset.code, {"units": money.units})
