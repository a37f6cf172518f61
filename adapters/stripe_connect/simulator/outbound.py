"""The v2 API: outbound payments, payout methods, recipients and a financial account, as JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from fastapi import Request, Response
from fastapi.responses import JSONResponse

from adapters.stripe_connect import wire
from adapters.stripe_connect.currencies import asset_of, from_wire, to_wire
from adapters.stripe_connect.simulator import objects
from adapters.stripe_connect.simulator.base import STRANGER, StripeApi, new_id, trace
from adapters.stripe_connect.simulator.errors import FAILURE, Refused, invalid, missing, not_done
from adapters.stripe_connect.simulator.keys import Store
from adapters.stripe_connect.simulator.requests import document, query, shaped
from gateway.money import Money
from gateway.railsim import Codes, Desk, Options, Payment, RailApp, Scenario

FLOATS = tuple(Money(10_000_000_00, asset_of(code)) for code in ("USD", "UGX"))
ABSENT = frozenset({
    Scenario.TOKEN_EXPIRED, Scenario.QUOTE_EXPIRED, Scenario.CLAIM_OF_ANOTHER_AMOUNT, Scenario.CALLBACK_WRONG_AMOUNT,
    Scenario.CALLBACK_WRONG_PAYEE,
})  # fmt: skip
PATH = "/v2/money_management"
AMOUNT = {"value": int, "currency": str}
CREATE: Mapping[str, Any] = {
    "from": {"financial_account": str, "currency": str},
    "to": {"recipient": str, "payout_method": str, "currency?": str},
    "amount": AMOUNT,
    "recipient_notification?": {"setting": str},
    "metadata?": dict,
    "statement_descriptor?": str,
}
"""Fields of a new outbound payment, as far as we send them."""


def outbound_app(options: Options | None = None) -> RailApp:
    """Make the simulator. Without options they are read from the environment (see `Options.from_environment`)."""
    desk = Desk(
        options=options or Options.from_environment(),
        floats=FLOATS,
        offers=frozenset(Scenario) - ABSENT,
        codes=Codes(failed="payout_method_declined", low_float="payout_method_declined"),
    )
    return OutboundApi(desk).app


class OutboundApi(StripeApi):
    """One financial account, and as many recipients as anybody names; those with "gone" in their id aren't there."""

    refused = "invalid_payout_method"

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk, title="Stripe simulator: outbound payments")
        api = self.app
        api.post(f"{PATH}/outbound_payments")(self.create)
        api.get(f"{PATH}/outbound_payments")(self.list)
        api.get(f"{PATH}/outbound_payments/{{id}}")(self.retrieve)
        api.post(f"{PATH}/outbound_payments/{{id}}/cancel")(self.cancel)
        api.get(f"{PATH}/financial_accounts/{{id}}")(self.financial_account)
        api.get(f"{PATH}/payout_methods/{{id}}")(self.payout_method)
        api.get("/v2/core/accounts/{id}")(self.account)

    def settings(self, base_url: str) -> dict[str, Any]:
        """The adapter's settings: dollars, and Ugandan shillings, which Stripe writes with two decimals."""
        return {
            **super().settings(base_url),
            "product": "outbound_payments",
            "financial_account": self.credentials["financial_account"],
            "bank": {"US": {}, "UG": {"currency": "UGX", "least": "5000", "most": "100000"}},
            "card": {"US": {"most": "10000"}},
        }

    async def create(self, request: Request) -> Response:
        """POST /v2/money_management/outbound_payments."""

        async def work(store: Store) -> Response:
            given = shaped(await document(request), CREATE)
            payment = self._payment(given, key=request.headers.get("idempotency-key", ""))

            def act() -> None:
                if self.desk.held(payment.currency) < Money.parse(payment.amount, self.desk.assets[payment.currency]):
                    raise Refused(400, "insufficient_funds", "outbound_payment_insufficient_funds")
                self.desk.accept(payment)

            async def tell() -> None:
                await self.tell_early(payment)

            return await self.step(payment.script, store, act=act, answer=lambda: self._object(payment.id), tell=tell)

        return await self.post(request, work)

    async def retrieve(self, request: Request) -> Response:
        """GET one: a question about a payment."""
        self.check(request)
        payment = self._by_id(request.path_params["id"])
        self.asked(payment.id)
        self._break(payment)
        return JSONResponse(self._object(payment.id))

    async def list(self, request: Request) -> Response:
        """GET all since a time, newest first: a question about those that are on the page."""
        self.check(request)
        given = query(request, {"limit": False, "created[gte]": False, "page": False})
        since = given.get("created[gte]", "1970-01-01T00:00:00.000Z")
        if not re.fullmatch(r"[0-9-]{10}T[0-9:]{8}(\.[0-9]{3})?Z", since):
            raise invalid("parameter_invalid_string_empty", param="created")
        found = [each for each in self.desk.payments() if each.at >= datetime.fromisoformat(since)][::-1]
        first, size = int(given.get("page", "0")), min(given.get("limit", 10), self.page_most)
        data = []
        for payment in found[first : first + size]:
            self.asked(payment.id)
            asked = self._by_id(payment.rail["payout"])
            if self.question_fails(asked):
                raise Refused(*FAILURE)
            if not self.hides(asked):
                data.append(self._object(payment.id))
        more = {"limit": size, "created[gte]": since, "page": first + size}
        following = f"{PATH}/outbound_payments?{urlencode(more)}" if len(found) > first + size else None
        return JSONResponse({"data": data, "next_page_url": following, "previous_page_url": None})

    async def cancel(self, request: Request) -> Response:
        """POST …/cancel."""

        async def work(store: Store) -> Response:
            payment = self._by_id(request.path_params["id"])
            await self.cancelled(payment)
            store(200, made := self._object(payment.id))
            return JSONResponse(made)

        return await self.post(request, work)

    async def financial_account(self, request: Request) -> Response:
        """GET the financial account, with its balance."""
        self.check(request)
        if request.path_params["id"] != self.credentials["financial_account"]:
            raise missing("id")
        held = {
            code.lower(): {"value": to_wire(self.desk.held(code)), "currency": code.lower()} for code in self.desk.assets
        }
        told = {"available": held, "inbound_pending": {}, "outbound_pending": {}}
        kind = "v2.money_management.financial_account"
        return JSONResponse({"id": request.path_params["id"], "object": kind, "balance": told, "status": "open"})

    async def payout_method(self, request: Request) -> Response:
        """GET a payout method, in the recipient's context."""
        self.check(request)
        id_, recipient = request.path_params["id"], request.headers.get("stripe-context", "")
        if "gone" in id_ or not recipient.startswith("acct_"):
            raise missing("id")
        status = "ineligible" if self.scripted(Scenario.NAME_MISMATCH, f"{recipient}/{id_}") else "eligible"
        usage = {"payments": status, "transfers": "ineligible"}
        made = {"id": id_, "object": "v2.money_management.payout_method", "archived": False, "restricted": False}
        return JSONResponse({**made, "type": "bank_account", "usage_status": usage})

    async def account(self, request: Request) -> Response:
        """GET a recipient."""
        self.check(request)
        id_ = request.path_params["id"]
        if "gone" in id_:
            raise missing("id")
        return JSONResponse({"id": id_, "object": "v2.core.account", "display_name": objects.HOLDER})

    def event(self, payment: Payment) -> dict[str, Any]:
        """The event "created" is of our request, which it names by its key; every later event holds Stripe's ids only."""
        key = STRANGER if Scenario.CALLBACK_WRONG_ID in payment.script else payment.rail["key"]
        return objects.thin_event(payment, word="created", key=key, now=payment.at)

    def _payment(self, given: Mapping[str, Any], *, key: str) -> Payment:
        source, to, amount = given["from"], given["to"], given["amount"]
        asset = self.desk.assets.get(amount["currency"].upper())
        if asset is None or source["currency"] != amount["currency"]:
            raise invalid("parameter_unknown", param="amount.currency")
        money = from_wire(amount["value"], asset)
        if money is None or money.units == 0:
            raise invalid("parameter_invalid_integer", param="amount.value")
        if source["financial_account"] != self.credentials["financial_account"]:
            raise Refused(400, "financial_account_not_open", "financial_account_not_open")
        metadata, account = given.get("metadata", {}), f"{to['recipient']}/{to['payout_method']}"
        if "gone" in account:
            raise Refused(400, "invalid_payout_method", "invalid_payout_method")
        id_ = str(metadata.get(wire.ATTEMPT) or key)
        return Payment(
            id=self.unused(id_),
            account=account,
            amount=money.decimal(),
            currency=asset.code,
            receipt=trace("0210"),
            at=self.desk.clock(),
            script=self.desk.script_for(id=id_, account=account, amount=money),
            rail={
                "payout": new_id("obp"),
                "account": to["recipient"],
                "external": to["payout_method"],
                "financial_account": source["financial_account"],
                "metadata": json.dumps(metadata),
                "descriptor": given.get("statement_descriptor", ""),
                "key": key,
            },
        )

    def _by_id(self, id_: str) -> Payment:
        found = next((each for each in self.desk.payments() if each.rail["payout"] == id_), None)
        if found is None:
            raise missing("id")
        return found

    def _break(self, payment: Payment) -> None:
        asked = self._by_id(payment.rail["payout"])
        if self.question_fails(asked):
            raise Refused(*FAILURE) if asked.script.code is None else not_done(asked.script.code)
        if self.hides(asked):
            raise missing("id")

    def _object(self, payment_id: str) -> dict[str, Any]:
        payment = self.desk.find(payment_id)
        assert payment is not None
        return objects.outbound(payment, amount=self.desk.amount_of(payment))
