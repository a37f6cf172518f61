"""The v1 API: transfers, payouts of connected accounts, reversals, balance, events, external accounts, as form and JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse

from adapters.stripe_connect import wire
from adapters.stripe_connect.currencies import asset_of, from_wire, step_of, to_wire
from adapters.stripe_connect.simulator import objects
from adapters.stripe_connect.simulator.base import STRANGER, StripeApi, new_id, trace
from adapters.stripe_connect.simulator.errors import FAILURE, Refused, invalid, missing, not_done
from adapters.stripe_connect.simulator.keys import Store
from adapters.stripe_connect.simulator.platform import PlatformDesk
from adapters.stripe_connect.simulator.requests import LIST, account_of, form, query
from gateway.money import Asset, Money
from gateway.railsim import Codes, Options, Payment, RailApp, Scenario, Script, State
from gateway.railsim.scenario import Scripts

FLOATS = tuple(Money(10_000_000_00, asset_of(code)) for code in ("USD", "GBP", "HUF", "JPY"))
ABSENT = frozenset({Scenario.TOKEN_EXPIRED, Scenario.QUOTE_EXPIRED, Scenario.CLAIM_OF_ANOTHER_AMOUNT})
TRANSFER = {"amount": True, "currency": True, "destination": True, "transfer_group": False, "description": False}
PAYOUT = {"amount": True, "currency": True, "method": False, "destination": False, "statement_descriptor": False}


def app(options: Options | None = None) -> RailApp:
    """Make the simulator. Without options they are read from the environment (see `Options.from_environment`)."""
    desk = PlatformDesk(
        options=options or Options.from_environment(),
        floats=FLOATS,
        offers=frozenset(Scenario) - ABSENT,
        codes=Codes(failed="no_account", low_float="insufficient_funds"),
    )
    return ConnectApi(desk).app


class ConnectApi(StripeApi):
    """A platform with as many connected accounts as anybody names; those with "gone" in their id aren't there.

    A payment's request is its transfer: that is what scripts break. `/_sim/payout_faults` takes scripts for the payout.
    """

    refused = "insufficient_capabilities_for_transfer"

    desk: PlatformDesk

    def __init__(self, desk: PlatformDesk) -> None:
        super().__init__(desk, title="Stripe simulator: transfers and payouts")
        self.payout_scripts = Scripts()
        self.stuck = False
        """Whether connected accounts are empty, so that no transfer can be reversed; tests say so."""
        api = self.app
        api.post("/v1/transfers")(self.transfer)
        api.get("/v1/transfers")(self.transfers)
        api.post("/v1/transfers/{id}/reversals")(self.reverse)
        api.post("/v1/payouts")(self.payout)
        api.get("/v1/payouts")(self.payouts)
        api.post("/v1/payouts/{id}/cancel")(self.cancel)
        api.get("/v1/events")(self.events)
        api.get("/v1/balance")(self.balance)
        api.get("/v1/balance_transactions")(self.transactions)
        api.get("/v1/accounts/{account}")(self.account)
        api.get("/v1/accounts/{account}/external_accounts/{id}")(self.external)
        api.post("/_sim/payout_faults", status_code=201)(self.add_payout_fault)

    def settings(self, base_url: str) -> dict[str, Any]:
        """The adapter's settings: banks in three currencies with their own decimals and steps, cards in one."""
        return {**super().settings(base_url), "bank": {"US": {}, "HU": {}, "JP": {}}, "card": {"GB": {}}}

    async def add_payout_fault(self, script: Script) -> list[Script]:
        """Queue a script for the request for the next payout that matches it."""
        self.payout_scripts.add(script)
        return list(self.payout_scripts)

    # -- first step ------------------------------------------------------------------------------------------------------

    async def transfer(self, request: Request) -> Response:
        """POST /v1/transfers."""

        async def work(store: Store) -> Response:
            given = await form(request, TRANSFER)
            payment = self._payment(given, _amount(given, self.desk.assets))

            def act() -> None:
                self._take_from_balance(payment)
                self.desk.accept(payment)
                self._put(payment.id, given)

            return await self.step(payment.script, store, act=act, answer=lambda: self._transfer(payment.rail["transfer"]))

        return await self.post(request, work)

    async def transfers(self, request: Request) -> Response:
        """GET /v1/transfers: a question about a payment, if it names one by its group."""
        self.check(request)
        given = query(request, {**LIST, "transfer_group": False, "destination": False, "created[gte]": False})
        group = given.get("transfer_group")
        found = [each for each in self.desk.shelf.all("transfer") if group in (None, each["transfer_group"])]
        for payment in [each for one in found if (each := self.asked(one["payment"])) is not None]:
            if self.question_fails(payment):
                raise Refused(*FAILURE) if payment.script.code is None else not_done(payment.script.code)
            if self.hides(payment):
                found = []
        return self._page([objects.transfer(each) for each in found], given, url="/v1/transfers")

    async def reverse(self, request: Request) -> Response:
        """POST /v1/transfers/{id}/reversals: what lies on the connected account comes back."""
        id_ = request.path_params["id"]

        async def work(store: Store) -> Response:
            given = await form(request, {"amount": False, "description": False})
            kept = self.desk.shelf.get("transfer", id_)
            if kept is None:
                raise missing("id")
            left = kept["amount"] - sum(each["amount"] for each in kept["reversals"])
            amount = given.get("amount", left)
            payment = self.desk.find(kept["payment"])
            if payment is None or not 0 < amount <= left:
                raise not_done("amount_too_large")
            if self.stuck or payment.status is State.PAID or (payment.rail["payout"] and payment.status is State.PENDING):
                raise not_done("balance_insufficient")
            made = {
                "id": new_id("trr"),
                "object": "transfer_reversal",
                "amount": amount,
                "created": self._now(),
                "currency": kept["currency"],
                "metadata": given.get("metadata", {}),
                "transfer": id_,
            }
            kept["reversals"].insert(0, made)
            self.desk.shelf.put(("transfer", id_, kept))
            back = from_wire(amount, self.desk.assets[payment.currency])
            assert back is not None
            self.desk.hold(self.desk.held(payment.currency) + back)
            store(200, made)
            return JSONResponse(made)

        return await self.post(request, work)

    # -- second step -----------------------------------------------------------------------------------------------------

    async def payout(self, request: Request) -> Response:
        """POST /v1/payouts on a connected account."""

        async def work(store: Store) -> Response:
            account = account_of(request)
            given = await form(request, PAYOUT)
            amount = _amount(given, self.desk.assets)
            _check_payee(given)
            payment = self._funded_by(account, given, amount)
            facts = {"id": payment.id, "account": payment.account, "amount": amount.decimal()}
            script = self.payout_scripts.take(facts)

            def act() -> None:
                payment.rail |= {
                    "payout": new_id("po"),
                    "payout_created": str(self._now()),
                    "metadata": json.dumps(given.get("metadata", {})),
                    "method": given.get("method", "standard"),
                    "descriptor": given.get("statement_descriptor", ""),
                }
                self.desk.shelf.put(("payment", payment.id, payment.model_dump(mode="json")))

            async def tell() -> None:
                await self.tell_early(payment)

            return await self.step(script, store, act=act, answer=lambda: self._payout(payment.id), tell=tell)

        return await self.post(request, work)

    async def payouts(self, request: Request) -> Response:
        """GET /v1/payouts of a connected account."""
        self.check(request)
        account = account_of(request)
        given = query(request, {**LIST, "created[gte]": False, "destination": False, "status": False})
        ours = [each for each in self._on(account) if int(each.rail["payout_created"]) >= given.get("created[gte]", 0)]
        return self._page([self._payout(each.id) for each in ours], given, url="/v1/payouts")

    async def cancel(self, request: Request) -> Response:
        """POST /v1/payouts/{id}/cancel: back to the connected account's balance."""

        async def work(store: Store) -> Response:
            payment = next(
                (each for each in self._on(account_of(request)) if each.rail["payout"] == request.path_params["id"]), None
            )
            if payment is None:
                raise missing("payout")
            await self.cancelled(payment)
            store(200, document := self._payout(payment.id))
            return JSONResponse(document)

        return await self.post(request, work)

    # -- what is told ----------------------------------------------------------------------------------------------------

    def event(self, payment: Payment) -> dict[str, Any] | None:
        """payout.paid, payout.failed or payout.canceled: the events that our endpoint is entered for."""
        about = objects.payout(payment, amount=self.desk.amount_of(payment))
        about["status"] = objects.CANCELED if payment.code == objects.CANCELED else objects.PAYOUT_STATUS[payment.status]
        if about["status"] not in ("paid", "failed", objects.CANCELED):
            return None
        if Scenario.CALLBACK_WRONG_ID in payment.script:
            about["metadata"] = {**about["metadata"], wire.ATTEMPT: STRANGER}
        if Scenario.CALLBACK_WRONG_AMOUNT in payment.script:
            about["amount"] += 100
        if Scenario.CALLBACK_WRONG_PAYEE in payment.script:
            about["destination"] = "ba_somebodyelse"
        number = f"{payment.rail['payout'][3:]}{payment.status.value}"
        return objects.snapshot_event(
            about, account=payment.rail["account"], number=number, now=payment.final_at or payment.at
        )

    async def events(self, request: Request) -> Response:
        """GET /v1/events of a connected account: what has been paid there."""
        self.check(request)
        account = account_of(request)
        given = query(request, {**LIST, "type": True, "created[gte]": False})
        paid = [each for each in self._on(account) if each.status in (State.PAID, State.RETURNED)]
        paid = [each.model_copy(update={"status": State.PAID, "code": None}) for each in paid]
        found = [event for each in paid if (event := self.event(each)) is not None and event["type"] == given["type"]]
        return self._page(found, given, url="/v1/events")

    async def balance(self, request: Request) -> Response:
        """GET /v1/balance of the platform."""
        self.check(request)
        held = [self.desk.held(currency) for currency in self.desk.assets]
        told = [
            {"amount": to_wire(each), "currency": each.asset.code.lower(), "source_types": {"card": to_wire(each)}}
            for each in held
        ]
        document = {"object": "balance", "available": told, "instant_available": told, "livemode": False, "pending": []}
        return JSONResponse(document)

    async def transactions(self, request: Request) -> Response:
        """GET /v1/balance_transactions of the platform."""
        self.check(request)
        given = query(request, {**LIST, "created[gte]": False, "created[lt]": False, "expand[0]": False})
        since, until = given.get("created[gte]", 0), given.get("created[lt]", 10**11)
        lines = []
        for movement in self.desk.movements():
            if since <= movement.at.timestamp() < until:
                amount = Money.parse(movement.amount, self.desk.assets[movement.currency])
                payment = None if movement.payment_id is None else self.desk.find(movement.payment_id)
                source = None if payment is None else self._transfer(payment.rail["transfer"])
                lines.append(objects.transaction(movement, source=source, amount=amount))
        return self._page(lines, given, url="/v1/balance_transactions")

    async def account(self, request: Request) -> Response:
        """GET /v1/accounts/{account}."""
        self.check(request)
        account = request.path_params["account"]
        if "gone" in account:
            raise Refused(403, "invalid_request_error", "account_invalid")
        payouts = {"schedule": {"interval": "manual", "delay_days": 2}}
        document = {"id": account, "object": "account", "payouts_enabled": True, "settings": {"payouts": payouts}}
        return JSONResponse(document)

    async def external(self, request: Request) -> Response:
        """GET /v1/accounts/{account}/external_accounts/{id}."""
        self.check(request)
        account, id_ = request.path_params["account"], request.path_params["id"]
        if "gone" in account or "gone" in id_:
            raise missing("id")
        other = self.scripted(Scenario.NAME_MISMATCH, f"{account}/{id_}")
        name = objects.OTHER_HOLDER if other else objects.HOLDER
        if id_.startswith("card_"):
            return JSONResponse(
                {"id": id_, "object": "card", "name": name, "available_payout_methods": ["standard", "instant"]}
            )
        return JSONResponse(
            {
                "id": id_,
                "object": "bank_account",
                "account_holder_name": name,
                "status": "new",
                "available_payout_methods": ["standard"],
            }
        )

    # -- small things ----------------------------------------------------------------------------------------------------

    def _payment(self, given: Mapping[str, Any], amount: Money) -> Payment:
        metadata = given.get("metadata", {})
        id_ = str(metadata.get(wire.ATTEMPT) or given.get("transfer_group"))
        account = f"{given['destination']}/{metadata.get(wire.PAYEE)}"
        if "gone" in account:
            raise not_done("account_invalid")
        return Payment(
            id=self.unused(id_),
            account=account,
            amount=amount.decimal(),
            currency=amount.asset.code,
            receipt=trace("0910"),
            at=self.desk.clock(),
            script=self.desk.script_for(id=id_, account=account, amount=amount),
            rail={"transfer": new_id("tr"), "account": given["destination"], "external": "", "payout": ""},
        )

    def _take_from_balance(self, payment: Payment) -> None:
        amount = Money.parse(payment.amount, self.desk.assets[payment.currency])
        if self.desk.held(payment.currency) < amount:
            raise not_done("balance_insufficient")
        self.desk.move(payment, -1)

    def _put(self, payment_id: str, given: Mapping[str, Any]) -> None:
        payment = self.desk.find(payment_id)
        assert payment is not None
        kept = {
            "id": payment.rail["transfer"],
            "payment": payment_id,
            "amount": given["amount"],
            "currency": given["currency"],
            "destination": given["destination"],
            "transfer_group": given.get("transfer_group"),
            "metadata": given.get("metadata", {}),
            "created": self._now(),
            "reversals": [],
        }
        self.desk.shelf.put(("transfer", kept["id"], kept))

    def _transfer(self, id_: str) -> dict[str, Any]:
        kept = self.desk.shelf.get("transfer", id_)
        assert kept is not None
        return objects.transfer(kept)

    def _payout(self, payment_id: str) -> dict[str, Any]:
        payment = self.desk.find(payment_id)
        assert payment is not None
        return objects.payout(payment, amount=self.desk.amount_of(payment))

    def _funded_by(self, account: str, given: Mapping[str, Any], amount: Money) -> Payment:
        """The payment whose transfer lies on the account and is paid out by this.

        Stripe knows no such tie: any money there will do, so that a payout whose own transfer was reversed takes another's.
        """
        id_ = given.get("metadata", {}).get(wire.ATTEMPT)
        there = [self.desk.find(each["payment"]) for each in self.desk.shelf.all("transfer") if self._lies(each, account)]
        fitting = [each for each in there if each is not None and each.amount == amount.decimal()]
        own = [each for each in fitting if each.id.partition("~")[0] == id_]
        if not fitting:
            raise not_done("balance_insufficient")
        payment = (own or fitting)[0]
        payment.rail["external"] = given["destination"]
        return payment

    def _lies(self, kept: Mapping[str, Any], account: str) -> bool:
        payment = self.desk.find(kept["payment"])
        return (
            kept["destination"] == account and not kept["reversals"] and payment is not None and not payment.rail["payout"]
        )

    def _on(self, account: str) -> list[Payment]:
        paid = [each for each in self.desk.payments() if each.rail["account"] == account and each.rail["payout"]]
        return paid[::-1]

    def _page(self, found: Sequence[Mapping[str, Any]], given: Mapping[str, Any], *, url: str) -> Response:
        after, size = given.get("starting_after"), min(given.get("limit", 10), self.page_most)
        ids = [each["id"] for each in found]
        first = ids.index(after) + 1 if after in ids else 0
        return JSONResponse(objects.page(found[first : first + size], more=len(found) > first + size, url=url))

    def _now(self) -> int:
        return int(self.desk.clock().timestamp())


def _amount(given: Mapping[str, Any], assets: Mapping[str, Asset]) -> Money:
    asset = assets.get(given["currency"].upper())
    if asset is None or given["currency"] != given["currency"].lower():
        raise invalid("parameter_unknown", param="currency")
    amount = from_wire(given["amount"], asset)
    if amount is None or amount.units == 0 or amount.floor_to(step_of(asset)) != amount:
        raise invalid("parameter_invalid_integer", param="amount")
    return amount


def _check_payee(given: Mapping[str, Any]) -> None:
    external, speed = given.get("destination", ""), given.get("method", "standard")
    if not external.startswith(("ba_", "card_")) or "gone" in external:
        raise missing("destination")
    if speed not in ("standard", "instant"):
        raise invalid("parameter_unknown", param="method")
    if speed == "instant" and not external.startswith("card_"):
        raise not_done("instant_payouts_unsupported")
