"""The simulated network: codes, their redemption, and the counter."""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import Any
from uuid import uuid4

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ValidationError

from adapters.agent_network.simulator.wire import (
    FORMAT,
    NOT_FOUND,
    SCRIPTED,
    STATE,
    Claim,
    Fault,
    Refused,
    Wanted,
    refusal_answer,
)
from gateway.money import Asset, Money, MoneyError
from gateway.railkit.keys import same
from gateway.railsim import Course, Desk, Payment, Scenario, Script, State

KES, UGX = Asset("KES", 2), Asset("UGX", 0)
HELD = (Money.parse("1000000", KES), Money.parse("1000000", UGX))
COUNTERS = (
    {"country": "KE", "currency": "KES", "least": "100", "most": "35000", "step": "50"},
    {"country": "UG", "currency": "UGX", "least": "5000", "most": "1000000", "step": "500"},
)
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
HIDDEN = "**********"


class Credentials(BaseModel):
    """What a client of the network would have from it."""

    client_id: str
    api_key: str
    accounts: dict[str, str]
    """Per currency."""

    @classmethod
    def of(cls, desk: Desk) -> Credentials:
        """Those on the desk's shelf, or new ones."""
        kept = desk.shelf.get("secrets", "agent_network")
        if kept is None:
            made = cls(
                client_id=f"client-{secrets.token_hex(4)}",
                api_key=secrets.token_urlsafe(24),
                accounts={code: f"acc_{secrets.token_hex(6)}" for code in desk.assets},
            )
            desk.shelf.put(("secrets", "agent_network", made.model_dump()))
            return made
        return cls.model_validate(kept)


class Network(Course):
    """The simulated network."""

    def __init__(self, desk: Desk) -> None:
        self.credentials = Credentials.of(desk)
        super().__init__(desk, title="Agent network simulator")

    def settings(self, base_url: str) -> dict[str, Any]:
        """As an operator would write them, for both countries."""
        accounts = self.credentials.accounts
        return {
            "base_url": base_url,
            "client_id": self.credentials.client_id,
            "api_key": self.credentials.api_key,
            "counters": [{**each, "account": accounts[each["currency"]]} for each in COUNTERS],
            "where": "Any agent of the simulated network; bring a photo ID.",
        }

    async def finish(self, payment: Payment) -> None:
        """The recipient comes to a counter after the simulator's delay; without one only by `/_sim/claims`."""
        if self.desk.delay_s(payment.script) or Scenario.FAILED in payment.script:
            await super().finish(payment)

    # -- what is asked of every request --------------------------------------------------------------------------------

    def admit(self, request: Request, body: bytes | None = None) -> None:
        """Client, key, and the digest of what was sent. Raises `Refused`."""
        headers = request.headers
        known = headers.get("x-client-id") == self.credentials.client_id
        if not known or not same(headers.get("x-api-key", ""), self.credentials.api_key):
            raise Refused(Fault(401, "authorisation", "clientAuthorisationError"))
        if body is None:
            return
        if headers.get("content-type") != "application/json":
            raise Refused(FORMAT)
        if headers.get("x-content-hash") != hashlib.sha256(body).hexdigest():
            raise Refused(FORMAT)

    # -- codes ---------------------------------------------------------------------------------------------------------

    async def create(self, request: Request, account: str) -> Response:
        """POST /accounts/accountid/{account}/authorisationcodes."""
        body = await request.body()
        self.admit(request, body)
        correlation = request.headers.get("x-correlationid", "")
        if not UUID.fullmatch(correlation):
            raise Refused(FORMAT)
        try:
            wanted = Wanted.model_validate_json(body)
        except ValidationError:
            raise Refused(FORMAT) from None
        if self.credentials.accounts.get(wanted.currency) != account:
            raise Refused(NOT_FOUND)
        if self._found("correlation", correlation) or self.desk.find(wanted.facts()["reference"]):
            raise Refused(SCRIPTED[Scenario.DUPLICATE_ANSWER])
        payment = self._payment(wanted, account=account, correlation=correlation)
        names = [(kind, payment.rail[kind]) for kind in ("correlation", "reference", "withdrawal")]
        self.desk.shelf.put(*((kind, name, {"id": payment.id}) for kind, name in names))
        return await self.take(payment, refusal=self._refusal, accepted=self._created)

    def _created(self, payment: Payment) -> Response:
        return self._shown(payment, status=201, code=True)

    def _found(self, kind: str, name: str) -> Payment | None:
        """The payment that has this name, of those that were taken."""
        kept = self.desk.shelf.get(kind, name)
        return None if kept is None else self.desk.find(kept["id"])

    def _payment(self, wanted: Wanted, *, account: str, correlation: str) -> Payment:
        facts = wanted.facts()
        try:
            amount = Money.parse(wanted.amount, self.desk.assets[wanted.currency])
        except MoneyError:
            raise Refused(FORMAT) from None
        script = self.desk.script_for(id=facts["reference"], account=facts["recipientMsisdn"], amount=amount)
        return Payment(
            id=facts["reference"],
            account=facts["recipientMsisdn"],
            amount=amount.decimal(),
            currency=wanted.currency,
            receipt=f"W{secrets.randbelow(10**9):09}",
            at=self.desk.clock(),
            script=script,
            rail={
                "reference": f"cod_{secrets.token_hex(8)}",
                "correlation": correlation,
                "account": account,
                "code": _digits(),
                "lifetime": str(wanted.codeLifetime),
                "withdrawal": f"wdr_{secrets.token_hex(8)}",
                "name": facts["recipientName"],
            },
        )

    def _refusal(self, scenario: Scenario, script: Script) -> Response | None:
        if scenario is Scenario.REFUSED:
            return refusal_answer(Fault(400, "businessRule", script.code or "requestDeclined"))
        fault = SCRIPTED.get(scenario)
        return None if fault is None else refusal_answer(fault)

    def by_reference(self, reference: str, account: str) -> Payment:
        """The payment of a code. Raises `Refused`."""
        found = self._found("reference", reference)
        if found is None or found.rail["account"] != account:
            raise Refused(NOT_FOUND)
        return found

    def response_of(self, correlation: str) -> Response:
        """GET /responses/{clientCorrelationId}: this is the question that scripts count."""
        found = self._found("correlation", correlation)
        payment = None if found is None else self.asked(found.id)
        if payment is None or self.hides(payment):
            raise Refused(NOT_FOUND)
        if self.question_fails(payment):
            code = payment.script.code
            raise Refused(SCRIPTED[Scenario.ERROR_AFTER_ACCEPT] if code is None else Fault(400, "businessRule", code))
        path = f"/accounts/accountid/{payment.rail['account']}/authorisationcodes/{payment.rail['reference']}"
        return JSONResponse({"link": path})

    def state_of(self, payment: Payment) -> str:
        """CodeState."""
        if Scenario.UNLISTED_STATUS in payment.script:
            return payment.script.status
        if payment.status is State.FAILED:
            return "expired" if payment.code == "expired" else "cancelled"
        return "active" if payment.status is State.PENDING else "redeemed"

    def _shown(self, payment: Payment, *, status: int, code: bool = False) -> Response:
        facts = {
            "reference": payment.id,
            "recipientName": payment.rail["name"],
            "recipientMsisdn": payment.account,
        }
        metadata = {"codeReference": payment.rail["reference"]}
        if payment.status in (State.PAID, State.RETURNED):
            metadata["transactionReference"] = payment.rail["withdrawal"]
        if payment.code not in (None, "expired"):
            metadata["reason"] = str(payment.code)
        document = {
            "authorisationCode": payment.rail["code"] if code else HIDDEN,
            "codeState": "active" if code else self.state_of(payment),
            "amount": payment.amount,
            "currency": payment.currency,
            "amountType": "exact",
            "codeLifetime": int(payment.rail["lifetime"]),
            "holdFundsIndicator": True,
            "redemptionChannels": [{"channelType": "agent"}],
            "redemptionTransactionTypes": [{"transactionType": "withdrawal"}],
            "creationDate": payment.at.isoformat(),
            "customData": _pairs(facts),
            "metadata": _pairs(metadata),
        }
        return JSONResponse(document, status)

    def show(self, payment: Payment) -> Response:
        """GET …/authorisationcodes/{reference}: the digits are shown once, to whoever made the code."""
        return self._shown(payment, status=200)

    def renew(self, payment: Payment) -> Response:
        """POST …/renewals: other digits for a code that nobody has seen."""
        if payment.status is not State.PENDING or self.state_of(payment) != "active":
            raise Refused(STATE)
        payment.rail["code"] = _digits()
        self.keep(payment)
        return self._shown(payment, status=201, code=True)

    async def cancel(self, payment: Payment) -> Response:
        """PATCH codeState: what an agent has claimed or paid isn't cancelled."""
        if Scenario.CANCEL_TOO_LATE in payment.script:
            await self.settle(payment.id)
        payment = self.desk.find(payment.id) or payment
        if payment.status is not State.PENDING or payment.rail.get("claimed"):
            raise Refused(STATE)
        payment.status, payment.code, payment.final_at = State.FAILED, "cancelled", self.desk.clock()
        self.keep(payment)
        return Response(status_code=204)

    def transaction(self, reference: str) -> Response:
        """GET /transactions/{reference}: a withdrawal."""
        payment = self._found("withdrawal", reference)
        if payment is None or payment.status not in (State.PAID, State.RETURNED):
            raise Refused(NOT_FOUND)
        return JSONResponse(
            {
                "transactionReference": reference,
                "transactionStatus": "completed" if payment.status is State.PAID else "reversed",
                "transactionReceipt": payment.receipt,
                "type": "withdrawal",
                "amount": self.desk.amount_of(payment).decimal(),
                "currency": payment.currency,
            }
        )

    def balance(self, account: str) -> Response:
        """GET /accounts/accountid/{account}/balance."""
        currency = next((code for code, owner in self.credentials.accounts.items() if owner == account), None)
        if currency is None:
            raise Refused(NOT_FOUND)
        held = self.desk.held(currency).decimal()
        return JSONResponse(
            {"accountStatus": "available", "currency": currency, "currentBalance": held, "availableBalance": held}
        )

    # -- the counter ---------------------------------------------------------------------------------------------------

    def claim(self, claim: Claim) -> dict[str, Any]:
        """An agent claims: reserved for him, not yet given. Raises `Refused`."""
        waiting = [each for each in self.desk.payments() if each.status is State.PENDING and each.rail["code"] == claim.code]
        if not waiting or waiting[0].rail.get("claimed"):
            raise Refused(NOT_FOUND if not waiting else STATE)
        payment = waiting[0]
        amount = Money.parse(payment.amount, self.desk.assets[payment.currency])
        given = amount if claim.amount is None else Money.parse(claim.amount, amount.asset)
        if Scenario.CLAIM_OF_ANOTHER_AMOUNT in payment.script:
            for other in (Money(amount.units - 1, amount.asset), Money(amount.units + 1, amount.asset)):
                self.note_claim(payment, self.refusal(payment, other))
        if fault := self.refusal(payment, given):
            self.note_claim(payment, fault)
            raise Refused(fault)
        payment.rail["claimed"] = f"clm_{uuid4().hex[:12]}"
        self.keep(payment)
        self.note_claim(payment, None)
        return {
            "claim": payment.rail["claimed"],
            "name": payment.rail["name"],
            "msisdn": payment.account,
            "amount": amount.decimal(),
            "currency": payment.currency,
        }

    async def confirm(self, claim: str) -> dict[str, Any]:
        """The agent has given the cash. Once: a repeated confirmation is the same one. Raises `Refused`."""
        found = [each for each in self.desk.payments() if each.rail.get("claimed") == claim]
        if not found:
            raise Refused(NOT_FOUND)
        payment = found[0]
        if payment.status is State.PENDING:
            await self.settle(payment.id)
        return {"status": (self.desk.find(payment.id) or payment).status, "receipt": payment.receipt}

    def refusal(self, payment: Payment, given: Money) -> Fault | None:
        """Why this much isn't given: a code is paid whole, once."""
        amount = Money.parse(payment.amount, given.asset)
        if given == amount:
            return None
        return Fault(400, "businessRule", "underPaymentNotAllowed" if given < amount else "overPaymentNotAllowed")

    def note_claim(self, payment: Payment, fault: Fault | None) -> None:
        """Remember a claim for `/_sim/claims`."""
        number = len(self.desk.shelf.all("claim")) + 1
        said = {"payment": payment.id, "refused": None if fault is None else fault.code}
        self.desk.shelf.put(("claim", f"{number:09}", said))

    def keep(self, payment: Payment) -> None:
        """Write a payment down."""
        self.desk.shelf.put(("payment", payment.id, payment.model_dump(mode="json")))


def _digits() -> str:
    return f"{secrets.randbelow(10**10):010}"


def _pairs(facts: dict[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in facts.items()]
