"""Paycrest's endpoints, on top of a desk that holds its providers' local money."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Mapping
from datetime import timedelta
from fractions import Fraction
from typing import Annotated, Any
from uuid import uuid4

import httpx
from fastapi import Query, Request, Response
from pydantic import BaseModel, ConfigDict

from adapters.paycrest.client import webhook_signature
from adapters.paycrest.countries import COUNTRIES
from adapters.paycrest.simulator import checks
from adapters.paycrest.simulator.books import RATES, TRANSACTION_FEE, Credentials, Order, Orders, address
from adapters.paycrest.simulator.chain import Watched
from adapters.paycrest.simulator.checks import Refused, invalid, success
from adapters.paycrest.simulator.directory import Directory
from gateway.money import Asset, Money, MoneyError, Rate
from gateway.railkit.keys import same
from gateway.railsim import Codes, Course, Delivery, Desk, Options, Payment, RailApp, Scenario, Script, State, start
from gateway.railsim.server import CONTROL

OPEN_FOR = timedelta(minutes=5)
"""How long an order waits for its coins."""
LOOK_EVERY_S = 0.5
COIN = Asset("USDC", 6)
ABSENT: Mapping[Scenario, str] = {
    Scenario.TOKEN_EXPIRED: "its API key doesn't expire",
    Scenario.PAID_THEN_RETURNED: "nothing leaves validated and settled but for settled",
    Scenario.CALLBACK_EARLY: "its webhooks begin with the coins, which are sent after the answer",
    Scenario.CALLBACK_STALE: "its signature has no time",
    Scenario.CANCEL_TOO_LATE: "it cancels nothing",
    Scenario.CLAIM_OF_ANOTHER_AMOUNT: "it pays no cash",
}
UNAVAILABLE = Refused(500, "Failed to initiate payment order")
REFUSALS: Mapping[Scenario, Refused] = {
    Scenario.ERROR_BEFORE_ACCEPT: UNAVAILABLE,
    Scenario.ERROR_AFTER_ACCEPT: UNAVAILABLE,
    Scenario.RATE_LIMITED: Refused(429, "Too many requests"),
    Scenario.DUPLICATE_ANSWER: invalid("Reference", "Reference already exists"),
}
NOT_FOUND = Refused(404, "Payment order not found")
NO_PROVIDER = "no_provider"


class Deposit(BaseModel):
    """Coins that arrive. Posted to `/_sim/deposits`."""

    model_config = ConfigDict(extra="forbid")

    address: str
    amount: str
    """As a plain decimal."""


def app(options: Options | None = None) -> RailApp:
    """Make the simulator. Without options they are read from the environment, as is the chain that it watches."""
    desk = Desk(
        options=options or Options.from_environment(),
        floats=[Money(10**12, each.asset) for each in COUNTRIES.values()],
        offers=frozenset(Scenario) - set(ABSENT),
        codes=Codes(failed=NO_PROVIDER, low_float=NO_PROVIDER),
    )
    return Aggregator(desk, Watched.from_environment()).app


class Aggregator(Course):
    """The protocol of one sender. A payment is taken when it is ordered, and worked on once its coins are there."""

    def __init__(self, desk: Desk, watched: Watched) -> None:
        self.credentials = Credentials.of(desk)
        self.orders = Orders(desk)
        self.watched = watched
        super().__init__(desk, title="Paycrest simulator")
        self.app.add_exception_handler(Refused, _refusal)
        self.app.post("/v2/sender/orders")(self.create)
        self.app.get("/v2/sender/orders")(self.page)
        self.app.get("/v2/sender/orders/{id}")(self.look)
        directory = Directory(desk)
        self.app.post("/v2/verify-account")(directory.verify)
        self.app.get("/v2/institutions/{currency}")(directory.institutions)
        self.app.get("/v2/rates/{network}/{token}/{amount}/{fiat}")(directory.rates)
        self.app.get(f"{CONTROL}/orders")(self.all_orders)
        self.app.post(f"{CONTROL}/deposits")(self.deposit)
        self.app.put(f"{CONTROL}/chain", status_code=204)(self.watch)
        self.app.post(f"{CONTROL}/orders/{{name}}/expire")(self.expire)

    def settings(self, base_url: str) -> dict[str, Any]:
        """The adapter's settings."""
        return {
            "base_url": f"{base_url}/v2",
            **self.credentials.model_dump(),
            "network": "base",
            "chain_id": self.watched.chain_id or 8453,
            "token_contract": self.watched.token,
            "countries": ["NG", "KE", "UG"],
        }

    async def watch(self, chain: Watched) -> None:
        """PUT /_sim/chain: the chain and the token with which orders are funded from now on."""
        self.watched = chain

    # -- orders ----------------------------------------------------------------------------------------------------------

    async def create(self, request: Request) -> Response:
        """POST /v2/sender/orders."""
        self._authenticate(request)
        given = checks.order(await request.body())
        if self.orders.find(given["reference"]) is not None:
            raise REFUSALS[Scenario.DUPLICATE_ANSWER]
        order, payment = self._made(given)

        def refusal(scenario: Scenario, script: Script) -> Response | None:
            if scenario is Scenario.REFUSED:
                return invalid(script.code or "Recipient", "Refused by script").answer()
            return REFUSALS[scenario].answer() if scenario in REFUSALS else None

        def accepted(_: Payment) -> Response:
            return success(self._shown(order), "Payment order created successfully", status=201)

        if not _is_refused(payment.script):
            self.orders.keep(order)
        return await self.take(payment, refusal=refusal, accepted=accepted)

    def _made(self, given: Mapping[str, Any]) -> tuple[Order, Payment]:
        destination, now = given["destination"], self.desk.clock()
        recipient = destination["recipient"]
        place = checks.CODES[recipient["institution"]]
        try:
            deliver = Money.parse(given["amount"], place.asset)
        except MoneyError as error:
            raise invalid("Amount", str(error)) from None
        is_phone = recipient["institution"] in {each.theirs for each in place.wallets}
        account = f"+{recipient['accountIdentifier']}" if is_phone else recipient["accountIdentifier"]
        script = self.desk.script_for(id=given["reference"], account=account, amount=deliver)
        amount = _coins_for(deliver)
        order = Order(
            id=str(uuid4()),
            reference=given["reference"],
            amount=amount.decimal(),
            transfer=(amount + Money.parse(TRANSACTION_FEE, COIN)).decimal(),
            receive_address=address(),
            valid_until=now if Scenario.QUOTE_EXPIRED in script else now + OPEN_FOR,
            source=given["source"],
            destination=destination,
        )
        payment = Payment(
            id=order.reference,
            account=account,
            amount=deliver.decimal(),
            currency=place.asset.code,
            receipt="0x" + secrets.token_hex(32),
            at=now,
            script=script,
        )
        return order, payment

    async def look(self, request: Request, id: str) -> Response:  # noqa: A002 - the word on the wire
        """GET /v2/sender/orders/{id}."""
        self._authenticate(request)
        order = self.orders.find(id)
        payment = None if order is None else self.asked(order.reference)
        if order is None or payment is None or order.id != id or self.hides(payment):
            raise NOT_FOUND
        if self.question_fails(payment):
            raise Refused(int(payment.script.code or 500), "Refused by script")
        await self._give_back(payment)
        return success(self._shown(self.orders.find(id) or order), "The order has been retrieved successfully")

    async def page(
        self,
        request: Request,
        number: Annotated[int, Query(ge=1, alias="page")] = 1,
        page_size: Annotated[int, Query(ge=1, le=100, alias="pageSize")] = 10,
        status: str | None = None,
    ) -> Response:
        """GET /v2/sender/orders, newest first."""
        self._authenticate(request)
        shown = [self._shown(each) for each in reversed(self.orders.all()) if not self._hides(each)]
        listed = [each for each in shown if status in (None, each["status"])]
        orders = listed[(number - 1) * page_size : number * page_size]
        data = {"total": len(listed), "page": number, "pageSize": page_size, "orders": orders}
        return success(data, "Payment orders retrieved successfully")

    def _hides(self, order: Order) -> bool:
        """Whether this listing must not show it yet; each listing is a question about those that a script hides."""
        payment = self.desk.find(order.reference)
        if payment is None or Scenario.NOT_FOUND not in payment.script:
            return payment is None
        self.desk.note_question(payment)
        return self.hides(payment)

    def _shown(self, order: Order) -> dict[str, Any]:
        payment = self.desk.find(order.reference)
        status = "initiated" if payment is None else self._word(order, payment)
        amount = order.amount
        if payment is not None and payment.status is State.PAID and Scenario.PAID_SHORT in payment.script:
            amount = _coins_for(self.desk.amount_of(payment)).decimal()
        shown: dict[str, Any] = {
            "id": order.id,
            "status": status,
            "orderType": "regular",
            "direction": "offramp",
            "timestamp": self.desk.clock().isoformat(),
            "amount": amount,
            "rate": RATES[order.destination["currency"]],
            "senderFee": "0",
            "senderFeePercent": "0",
            "transactionFee": TRANSACTION_FEE,
            "reference": order.reference,
            "amountPaid": order.came or "0",
            "amountReturned": order.returned or "0",
            "providerAccount": {
                "network": order.source["network"],
                "receiveAddress": order.receive_address,
                "validUntil": order.valid_until.isoformat(),
                "amountToTransfer": order.transfer,
                "currency": order.source["currency"],
            },
            "source": order.source,
            "destination": order.destination,
        }
        if payment is not None and payment.status is State.PAID:
            shown["txHash"] = payment.receipt
        return shown

    def _word(self, order: Order, payment: Payment) -> str:
        """The status, as Paycrest has it."""
        if Scenario.UNLISTED_STATUS in payment.script and order.came is not None:
            return payment.script.status
        if not order.in_time:
            return "expired" if self.desk.clock() >= order.valid_until else "initiated"
        if payment.status is State.FAILED:
            return "refunded" if order.returned is not None else "refunding"
        return "settled" if payment.status is State.PAID else "fulfilling"

    # -- coins -----------------------------------------------------------------------------------------------------------

    async def deposit(self, deposit: Deposit) -> dict[str, Any]:
        """POST /_sim/deposits: coins arrive at a receive address."""
        order = self.orders.find(deposit.address)
        if order is None or order.receive_address.lower() != deposit.address.lower():
            raise Refused(404, "no order has this address")
        try:
            came = Money.parse(deposit.amount, COIN)
        except MoneyError as error:
            raise Refused(422, str(error)) from None
        order = self._arrived(order, came)
        if (payment := self.desk.find(order.reference)) is not None:
            start(self.app, self.finish(payment))
        return order.model_dump(mode="json")

    def _arrived(self, order: Order, came: Money) -> Order:
        """Note what came. Too little or too much is no deposit of this order's: it goes back."""
        changes = {
            "came": came.decimal(),
            "came_at": self.desk.clock(),
            "deposit": "0x" + secrets.token_hex(32),
            "mismatched": came.decimal() != order.transfer,
        }
        order = order.model_copy(update=changes)
        self.orders.keep(order)
        return order

    async def expire(self, name: str) -> dict[str, Any]:
        """POST /_sim/orders/{name}/expire: its time is over now."""
        order = self.orders.find(name)
        if order is None:
            raise NOT_FOUND
        order = order.model_copy(update={"valid_until": self.desk.clock()})
        self.orders.keep(order)
        return order.model_dump(mode="json")

    async def all_orders(self) -> list[dict[str, Any]]:
        """GET /_sim/orders: with their addresses and what came there."""
        return [each.model_dump(mode="json") for each in self.orders.all()]

    async def finish(self, payment: Payment) -> None:
        """Work on a payment once its coins are there, in time; give them back if it can't be made."""
        order = self.orders.find(payment.id)
        if order is not None and order.came is None and self.watched.rpc is not None:
            order = await self._watch(order)
        if order is None or not order.in_time:
            return
        await super().finish(payment)

    async def settle(self, id: str) -> None:  # noqa: A002
        """Make a payment final; the coins of one that fails go back before anybody is told."""
        payment = self.desk.find(id)
        if payment is None or not self.desk.settle(payment, failure=self.failure(payment)):
            return
        await self._give_back(payment)
        await self.call_back(payment)

    def asked(self, id: str) -> Payment | None:  # noqa: A002
        """The payment that a question is about; without its coins it waits, however often it is asked about."""
        order, payment = self.orders.find(id), self.desk.find(id)
        if order is None or payment is None or order.in_time:
            return super().asked(id)
        self.desk.note_question(payment)
        return payment

    def failure(self, payment: Payment) -> str | None:
        """Coins that aren't exactly those of the order."""
        order = self.orders.find(payment.id)
        return "amount_mismatch" if order is not None and order.mismatched else None

    async def _watch(self, order: Order) -> Order:
        """Look at the receive address until coins are there or the order has ended."""
        client: httpx.AsyncClient = self.app.state.client
        while self.desk.clock() < order.valid_until:
            came = await self.watched.arrived(client, order.receive_address, COIN)
            if came.units:
                return self._arrived(order, came)
            await asyncio.sleep(LOOK_EVERY_S)
        return order

    async def _give_back(self, payment: Payment) -> None:
        order = self.orders.find(payment.id)
        if payment.status is not State.FAILED or order is None or order.came is None or order.returned is not None:
            return
        if self.watched.rpc is not None:
            to, amount = order.source["refundAddress"], Money.parse(order.came, COIN)
            await self.watched.give_back(self.app.state.client, giver=order.receive_address, to=to, amount=amount)
        self.orders.keep(order.model_copy(update={"returned": order.came}))

    # -- webhooks --------------------------------------------------------------------------------------------------------

    def callback(self, payment: Payment) -> Delivery | None:
        """payment_order.settled or payment_order.refunded."""
        order = self.orders.find(payment.id)
        if order is None:
            return None
        data = self._shown(order)
        if Scenario.CALLBACK_WRONG_ID in payment.script:
            data["reference"] = "leg_00000000000000000000000000_1"
        if Scenario.CALLBACK_WRONG_AMOUNT in payment.script:
            data["amount"] = (Money.parse(data["amount"], COIN) + Money(1_000_000, COIN)).decimal()
        if Scenario.CALLBACK_WRONG_PAYEE in payment.script:
            recipient = {**data["destination"]["recipient"], "accountIdentifier": "9999999999"}
            data["destination"] = {**data["destination"], "recipient": recipient}
        return self._webhook(
            data, secret=self.credentials.api_secret, signed=Scenario.CALLBACK_UNSIGNED not in payment.script
        )

    def forged(self, payment: Payment) -> Delivery | None:
        """A success, signed by somebody who doesn't know the secret."""
        order = self.orders.find(payment.id)
        if order is None:
            return None
        return self._webhook({**self._shown(order), "status": "settled"}, secret="not the API secret")  # noqa: S106

    def _webhook(self, data: Mapping[str, Any], *, secret: str, signed: bool = True) -> Delivery | None:
        if self.desk.webhook is None:
            return None
        event = {"event": f"payment_order.{data['status']}", "webhookVersion": "2", "data": data}
        body = json.dumps(event, separators=(",", ":")).encode()
        headers = {"X-Paycrest-Signature": webhook_signature(secret=secret, body=body)}
        return Delivery(self.desk.webhook, body, headers if signed else {})

    def _authenticate(self, request: Request) -> None:
        if not same(request.headers.get("api-key", ""), self.credentials.api_key):
            raise Refused(401, "Invalid API key or token")


def _is_refused(script: Script) -> bool:
    """Whether an order that plays this is never made."""
    never = {Scenario.CUT_BEFORE_ACCEPT, Scenario.REFUSED, Scenario.RATE_LIMITED, Scenario.ERROR_BEFORE_ACCEPT}
    return bool(never & set(script.scenarios))


def _coins_for(deliver: Money) -> Money:
    """The least coins that are worth this much."""
    return Rate.per_whole(Fraction(RATES[deliver.asset.code]), base=COIN, quote=deliver.asset).ceil_base(deliver)


async def _refusal(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return error.answer()
