"""The simulated anchor's counter: orders as they are shown, cash that waits and is taken, coins that go back, callbacks."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from fastapi import Request
from pydantic import BaseModel, ConfigDict
from stellar_sdk import Keypair

from adapters.sep24.simulator.books import COIN, CURRENCIES, FEE, Books, Keys, Order
from adapters.sep24.simulator.checks import refused
from adapters.sep24.simulator.ledger import Ledger
from gateway.money import Money
from gateway.railkit.documents import money_of
from gateway.railsim import Course, Delivery, Desk, Payment, Scenario, Script, State, start
from gateway.railsim.server import CONTROL

DAY_OLD_S = 86_400


class Claim(BaseModel):
    """Somebody comes to the counter. Posted to `/_sim/collect`."""

    model_config = ConfigDict(extra="forbid")

    code: str
    """The pick-up number."""
    amount: str | None = None
    """What they say it is; unless it is exactly that, nothing is paid out."""


class Counter(Course):
    """What becomes of an order. A payment is taken when its coins arrive; its cash waits until somebody takes it."""

    def __init__(self, desk: Desk) -> None:
        self.keys = Keys.of(desk)
        self.books = Books(desk)
        self.ledger = Ledger(desk, self.keys)
        super().__init__(desk, title="SEP-24 simulator")
        self.app.post(f"{CONTROL}/collect")(self.collect)

    def order(self, id_: str) -> Order:
        """The order with this id. Raises `Refused`."""
        order = self.books.find(id_)
        if order is None:
            raise refused("transaction not found", status=404)
        return order

    def shown(self, order: Order, *, at: Request | None = None) -> dict[str, Any]:
        """As SEP-24 has it, for whoever asks `at` an address."""
        payment = self.desk.find(order.reference)
        status = self._word(order, payment)
        deliver = Money.parse(order.quote.buy, CURRENCIES[order.quote.currency])
        out = deliver if payment is None else self.desk.amount_of(payment)
        now = self.desk.clock()
        shown: dict[str, Any] = {
            "id": order.id,
            "kind": "withdrawal",
            "status": status,
            "amount_in": order.quote.sell,
            "amount_in_asset": self.keys.coin,
            "amount_out": out.decimal(),
            "amount_out_asset": f"iso4217:{order.quote.currency}",
            "fee_details": {"total": FEE.decimal(), "asset": self.keys.coin},
            "quote_id": order.quote.id,
            "started_at": order.started_at.isoformat(),
            "updated_at": (payment.final_at or payment.at if payment else order.started_at).isoformat(),
            "more_info_url": f"{at.base_url if at else 'http://anchor.invalid/'}page/{order.id}",
            "from": self.keys.public("ours"),
            "to": None,
        }
        if status == "pending_user_transfer_start":
            shown["withdraw_anchor_account"] = self.keys.public("anchor")
            shown |= {"withdraw_memo": order.memo, "withdraw_memo_type": "id"}
            shown["user_action_required_by"] = order.quote.expires_at.isoformat()
        if order.transaction is not None:
            shown["stellar_transaction_id"] = order.transaction
        if payment is not None and "available" in payment.rail:
            shown["external_transaction_id"] = order.number
        if status == "completed":
            shown["completed_at"] = now.isoformat()
        if status == "refunded":
            back = {"id": order.transaction, "id_type": "stellar", "amount": order.quote.sell, "fee": "0"}
            shown["refunds"] = {"amount_refunded": order.quote.sell, "amount_fee": "0", "payments": [back]}
        return shown

    def _word(self, order: Order, payment: Payment | None) -> str:
        """The status, as SEP-24 has it."""
        if payment is None:
            if order.is_expired or self.desk.clock() >= order.quote.expires_at:
                return "expired"
            return "pending_user_transfer_start" if order.is_complete else "incomplete"
        if Scenario.UNLISTED_STATUS in payment.script:
            return payment.script.status
        if payment.status is State.PENDING:
            return "pending_user_transfer_complete" if "available" in payment.rail else "pending_anchor"
        return "completed" if payment.status is State.PAID else "refunded"

    # -- cash ------------------------------------------------------------------------------------------------------------

    async def settle(self, id: str) -> None:  # noqa: A002
        """Put the cash at the counter, or give the coins back; and tell."""
        payment = self.desk.find(id)
        if payment is not None and self._prepared(payment):
            await self.call_back(self.desk.find(id) or payment)
            await self._comes_by_itself(id)

    def asked(self, id: str) -> Payment | None:  # noqa: A002
        """The payment that a question is about; one that waits for questions may become ready by it."""
        payment = self.desk.find(id)
        if payment is None:
            return None
        self.desk.note_question(payment)
        if Scenario.PENDING_POLLS in payment.script and self._prepared(payment):
            start(self.app, self.call_back(self.desk.find(id) or payment))
        return self.desk.find(id)

    def failure(self, payment: Payment) -> str | None:
        """Coins that aren't exactly those that were quoted."""
        return "amount_mismatch" if "mismatch" in payment.rail else None

    def _prepared(self, payment: Payment) -> bool:
        """Make it ready at the counter, or fail it; whether that is new."""
        waits = Scenario.PENDING_POLLS in payment.script and payment.asked <= payment.script.polls
        if payment.status is not State.PENDING or "available" in payment.rail or waits:
            return False
        if Scenario.PENDING_FOREVER in payment.script:
            return False
        poor = self.desk.held(payment.currency) < self.desk.amount_of(payment)
        if poor or {Scenario.FAILED, Scenario.LOW_FLOAT} & set(payment.script.scenarios) or self.failure(payment):
            if self.desk.settle(payment, failure=self.failure(payment)):
                self._give_back(payment)
            return True
        payment.rail["available"] = "yes"
        self._keep(payment)
        return True

    def _give_back(self, payment: Payment) -> None:
        order = self.books.find(payment.id)
        if order is not None and not order.refunded:
            amount = Money.parse(payment.rail.get("mismatch", order.quote.sell), COIN)
            self.ledger.give_back(amount, ("hash", order.reference), secrets.token_hex(32), now=self.desk.clock())
            self.books.keep(order.model_copy(update={"refunded": True}))

    async def collect(self, claim: Claim) -> dict[str, str]:
        """POST /_sim/collect: the recipient is at the counter, with the pick-up number."""
        order = self.books.find(f"number:{claim.code}")
        payment = None if order is None else self.desk.find(order.reference)
        if payment is None or payment.status is not State.PENDING or "available" not in payment.rail:
            raise refused("nothing waits under this number", status=404)
        whole = self.desk.amount_of(payment)
        unit = Money(1, whole.asset)
        given = [whole if claim.amount is None else money_of(claim.amount, whole.asset)]
        if Scenario.CLAIM_OF_ANOTHER_AMOUNT in payment.script:
            given = [whole - unit, whole + unit, *given]
        refusals = [str(each or "no amount") for each in given if each != whole]
        payment.rail["refused_claims"] = "; ".join(filter(None, [payment.rail.get("refused_claims"), *refusals]))
        self._keep(payment)
        if given[-1] != whole:
            raise refused("it is paid out whole, or not at all", status=409)
        if self.desk.settle(payment):
            await self.call_back(self.desk.find(payment.id) or payment)
        return {"paid": whole.decimal(), "currency": payment.currency}

    async def _comes_by_itself(self, id_: str) -> None:
        """With a delay, the recipient comes to the counter after it; without one only by `/_sim/collect`."""
        payment = self.desk.find(id_)
        if payment is None or payment.status is not State.PENDING or not self.desk.delay_s(payment.script):
            return
        await asyncio.sleep(self.desk.delay_s(payment.script))
        payment = self.desk.find(id_)
        if payment is not None and payment.status is State.PENDING:
            await self.collect(Claim(code=payment.receipt))

    def _keep(self, payment: Payment) -> None:
        self.desk.shelf.put(("payment", payment.id, payment.model_dump(mode="json")))

    # -- callbacks -------------------------------------------------------------------------------------------------------

    async def tell_of_opening(self, order: Order) -> None:
        """The order may be paid for now; told with the errors that its script asks for."""
        if not order.is_complete or order.is_expired or order.callback is None:
            return
        script = order.script
        if Scenario.CALLBACK_LOST not in script:
            for _ in range(2 if Scenario.CALLBACK_TWICE in script else 1):
                await self.deliver(self._told(order, script))

    def callback(self, payment: Payment) -> Delivery | None:
        """The whole transaction, at the address that came with the page."""
        order = self.books.find(payment.id)
        return None if order is None or order.callback is None else self._told(order, payment.script)

    def forged(self, payment: Payment) -> Delivery | None:
        """A completion, signed with somebody else's key."""
        order = self.books.find(payment.id)
        if order is None or order.callback is None:
            return None
        shown = {**self.shown(order), "status": "completed"}
        return self._signed(order.callback, shown, key=Keypair.random(), age_s=0)

    def _told(self, order: Order, script: Script) -> Delivery:
        shown = self.shown(order)
        if Scenario.CALLBACK_WRONG_ID in script:
            shown["id"] = str(uuid4())
        if Scenario.CALLBACK_WRONG_AMOUNT in script:
            shown["amount_out"] = "1"
        if Scenario.CALLBACK_WRONG_PAYEE in script:
            shown["to"] = "+10000000000"
        age_s = DAY_OLD_S if Scenario.CALLBACK_STALE in script else 0
        assert order.callback is not None
        delivery = self._signed(order.callback, shown, key=Keypair.from_secret(self.keys.signing), age_s=age_s)
        return delivery._replace(headers={}) if Scenario.CALLBACK_UNSIGNED in script else delivery

    def _signed(self, url: str, shown: Mapping[str, Any], *, key: Keypair, age_s: int) -> Delivery:
        body = json.dumps({"transaction": shown}).encode()
        time = int((self.desk.clock() - timedelta(seconds=age_s)).timestamp())
        signature = base64.b64encode(key.sign(f"{time}.{urlsplit(url).netloc}.".encode() + body)).decode()
        return Delivery(url, body, {"Signature": f"t={time}, s={signature}"})
