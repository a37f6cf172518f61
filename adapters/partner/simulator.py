"""The other side of the fill contract, and a partner who accepts what he is offered and fulfils it after a moment."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from datetime import timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.money import Asset, Money, MoneyError
from gateway.railkit.keys import same
from gateway.railsim import Codes, Course, Desk, Options, Payment, RailApp, Scenario, Script, State

KES, NGN, UGX = Asset("KES", 2), Asset("NGN", 2), Asset("UGX", 0)
HELD = (Money.parse("100000000", KES), Money.parse("1000000000", NGN), Money.parse("1000000000", UGX))
PLACES = (
    {"country": "KE", "method": "mobile_money", "currency": "KES", "least": "10", "most": "250000", "step": "1"},
    {
        "country": "NG",
        "method": "bank",
        "currency": "NGN",
        "least": "100",
        "most": "5000000",
        "step": "0.01",
        "institutions": {"058": "GTBank", "044": "Access Bank"},
    },
    {"country": "UG", "method": "mobile_money", "currency": "UGX", "least": "1000", "most": "5000000", "step": "1"},
)
FRESH_S = 300
AUTHORIZATION = re.compile(r"HMAC ([A-Za-z0-9_-]{1,64}):([0-9]{1,12}):([0-9a-f]{64})")
ABSENT = frozenset(
    {Scenario.TOKEN_EXPIRED, Scenario.QUOTE_EXPIRED, Scenario.NAME_MISMATCH, Scenario.CLAIM_OF_ANOTHER_AMOUNT}
    | {each for each in Scenario if each.value.startswith("callback_")}
)
"""What this contract can't have: each request is signed, nothing is quoted or looked up, and nobody is called back."""
SCRIPTED = {
    Scenario.RATE_LIMITED: (429, "rate_limited"),
    Scenario.ERROR_BEFORE_ACCEPT: (503, "unavailable"),
    Scenario.ERROR_AFTER_ACCEPT: (500, "internal_error"),
    Scenario.DUPLICATE_ANSWER: (409, "fill_reference_reused"),
}
ENDED = {"expired", "cancelled"}
"""Failures that are states of their own; all others are reasons of a partner who declines."""


class Refused(Exception):
    """The request breaks the contract: a status and a problem code."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code


class _Exact(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Recipient(_Exact):
    """Whom the partner has to pay."""

    country: Annotated[str, Field(pattern=r"^[A-Z]{2}$")]
    method: Literal["mobile_money", "bank", "card", "exchange"]
    account: Annotated[str, Field(min_length=1, max_length=100)]
    holder: Annotated[str, Field(min_length=1, max_length=100)]
    institution: Annotated[str, Field(min_length=1, max_length=64)] | None = None


class Offer(_Exact):
    """The body of POST /v1/fill-orders."""

    reference: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    partner_id: str
    amount: str
    currency: str
    destination: Recipient
    offered_for_s: Annotated[int, Field(ge=10, le=86_400)]
    fulfil_within_s: Annotated[int, Field(ge=60, le=604_800)]


class Credentials(BaseModel):
    """What the gateway's operator would have from the other side."""

    client_id: str
    client_secret: str
    partner_id: str

    @classmethod
    def of(cls, desk: Desk) -> Credentials:
        """Those on the desk's shelf, or new ones."""
        kept = desk.shelf.get("secrets", "partner")
        if kept is not None:
            return cls.model_validate(kept)
        made = cls(
            client_id=f"flc_{secrets.token_hex(6)}",
            client_secret=secrets.token_urlsafe(32),
            partner_id=f"par_{secrets.token_hex(6)}",
        )
        desk.shelf.put(("secrets", "partner", made.model_dump()))
        return made


class Partners(Course):
    """The simulated other side."""

    def __init__(self, desk: Desk) -> None:
        self.credentials = Credentials.of(desk)
        super().__init__(desk, title="Partner simulator")

    def settings(self, base_url: str) -> dict[str, Any]:
        """As an operator would write them."""
        return {"base_url": base_url, **self.credentials.model_dump(), "places": list(PLACES)}

    async def admit(self, request: Request) -> bytes:
        """The body of a request whose signature is right and fresh. Raises `Refused`."""
        body = await request.body()
        given = AUTHORIZATION.fullmatch(request.headers.get("authorization", ""))
        if given is None or given[1] != self.credentials.client_id:
            raise Refused(401, "invalid_signature")
        message = f"{given[2]}\n{request.method}\n{request.url.path}\n".encode() + body
        right = hmac.new(self.credentials.client_secret.encode(), message, hashlib.sha256).hexdigest()
        if not same(given[3], right):
            raise Refused(401, "invalid_signature")
        if abs(self.desk.clock().timestamp() - int(given[2])) > FRESH_S:
            raise Refused(401, "stale_signature")
        return body

    async def offer(self, request: Request) -> Response:
        """POST /v1/fill-orders: one fill per reference, however often it is sent."""
        body = await self.admit(request)
        if request.headers.get("content-type") != "application/json":
            raise Refused(415, "unsupported_media_type")
        try:
            offer = Offer.model_validate_json(body)
            amount = Money.parse(offer.amount, self.desk.assets[offer.currency])
        except (ValidationError, MoneyError, KeyError):
            raise Refused(422, "invalid_fields") from None
        if offer.partner_id != self.credentials.partner_id:
            raise Refused(404, "fill_partner_not_found")
        digest = hashlib.sha256(body).hexdigest()
        if (before := self.desk.find(offer.reference)) is not None:
            if before.rail["digest"] != digest:
                raise Refused(409, "fill_reference_reused")
            return self._shown(before)
        return await self.take(self._payment(offer, amount, digest), refusal=self._refusal, accepted=self._taken)

    def _payment(self, offer: Offer, amount: Money, digest: str) -> Payment:
        to, now = offer.destination, self.desk.clock()
        return Payment(
            id=offer.reference,
            account=to.account,
            amount=amount.decimal(),
            currency=offer.currency,
            receipt=f"PX{secrets.randbelow(10**10):010}",
            at=now,
            script=self.desk.script_for(id=offer.reference, account=to.account, amount=amount),
            rail={
                "id": f"fil_{secrets.token_hex(8)}",
                "digest": digest,
                "offered_until": (now + timedelta(seconds=offer.offered_for_s)).isoformat(),
                "fulfil_by": (now + timedelta(seconds=offer.fulfil_within_s)).isoformat(),
            },
        )

    def _refusal(self, scenario: Scenario, script: Script) -> Response | None:
        if scenario is Scenario.REFUSED:
            return problem(422, script.code or "invalid_fields")
        answer = SCRIPTED.get(scenario)
        return None if answer is None else problem(*answer)

    def _taken(self, payment: Payment) -> Response:
        return self._shown(payment, 201)

    def show(self, reference: str) -> Response:
        """GET /v1/fill-orders/{reference}."""
        payment = self.asked(reference)
        if payment is None or self.hides(payment):
            raise Refused(404, "fill_not_found")
        if self.question_fails(payment):
            code = payment.script.code
            raise Refused(500, "internal_error") if code is None else Refused(400, code)
        return self._shown(payment)

    async def cancel(self, reference: str) -> Response:
        """POST /v1/fill-orders/{reference}/cancel: before the partner accepts, and never after."""
        payment = self.desk.find(reference)
        if payment is None:
            raise Refused(404, "fill_not_found")
        if Scenario.CANCEL_TOO_LATE in payment.script:
            await self.settle(reference)
            payment = self.desk.find(reference) or payment
        if payment.status is not State.PENDING:
            raise Refused(409, "fill_not_cancellable")
        payment.status, payment.code, payment.final_at = State.FAILED, "cancelled", self.desk.clock()
        self.desk.shelf.put(("payment", payment.id, payment.model_dump(mode="json")))
        return self._shown(payment)

    def _shown(self, payment: Payment, status: int = 200) -> Response:
        state = {State.PENDING: "offered", State.PAID: "fulfilled", State.RETURNED: "returned"}.get(payment.status)
        if state is None:
            state = payment.code if payment.code in ENDED else "declined"
        if Scenario.UNLISTED_STATUS in payment.script and status != 201:  # noqa: PLR2004 - the answer to the offer itself
            state = payment.script.status
        paid = payment.status in (State.PAID, State.RETURNED)
        delivered = self.desk.amount_of(payment).decimal()
        document = {
            "id": payment.rail["id"],
            "reference": payment.id,
            "state": state,
            "amount": payment.amount,
            "currency": payment.currency,
            "offered_until": payment.rail["offered_until"],
            "fulfil_by": payment.rail["fulfil_by"],
            "reason": payment.code if state == "declined" else None,
            "delivered": {"amount": delivered, "currency": payment.currency} if paid else None,
            "proof": {"reference": payment.receipt} if paid else None,
            "overdue": False,
            "late": False,
        }
        return JSONResponse(document, status)


def problem(status: int, code: str) -> Response:
    """A problem document (RFC 9457), as the gateway's API makes them."""
    document = {"type": f"urn:lastmile:problem:{code}", "title": code, "status": status, "detail": code, "code": code}
    return JSONResponse(document, status, media_type="application/problem+json")


def _routes(partners: Partners) -> APIRouter:
    router = APIRouter(prefix="/v1/fill-orders")

    @router.post("")
    async def offer(request: Request) -> Response:
        return await partners.offer(request)

    @router.get("/{reference}")
    async def show(request: Request, reference: str) -> Response:
        await partners.admit(request)
        return partners.show(reference)

    @router.post("/{reference}/cancel")
    async def cancel(request: Request, reference: str) -> Response:
        await partners.admit(request)
        return await partners.cancel(reference)

    return router


def app(options: Options | None = None) -> RailApp:
    """The simulator as an application; served by uvicorn."""
    desk = Desk(
        options=options or Options.from_environment(),
        floats=HELD,
        offers=frozenset(Scenario) - ABSENT,
        codes=Codes(failed="recipient_rejected", low_float="no_liquidity"),
    )
    partners = Partners(desk)
    made = partners.app
    made.include_router(_routes(partners))

    async def refused(_request: Request, refusal: Exception) -> Response:
        assert isinstance(refusal, Refused)
        return problem(refusal.status, refusal.code)

    made.add_exception_handler(Refused, refused)
    return made
