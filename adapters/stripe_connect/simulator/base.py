"""What the simulator's two APIs share: key, signing secret, webhooks, the steps of a request that a script can break."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from itertools import chain, count
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse

from adapters.stripe_connect.simulator.errors import FAILURE, IN_USE, THROTTLED, Refused, missing, not_done
from adapters.stripe_connect.simulator.keys import Keys, Store
from adapters.stripe_connect.simulator.objects import CANCELED, signature
from adapters.stripe_connect.simulator.requests import check_headers
from gateway.railsim import Course, Cut, Delivery, Desk, Payment, Scenario, Script, State, start

NOT_TAKEN = (Scenario.REFUSED, Scenario.RATE_LIMITED, Scenario.ERROR_BEFORE_ACCEPT)
STALE = timedelta(days=1)
STRANGER = "att_01BX5ZZKBKACTAV9WEVGEMMVS1"
"""An attempt of somebody else's."""


class StripeApi(Course):
    """Subclass it once per API."""

    refused: str
    """The code of a refusal if the script names none."""

    def __init__(self, desk: Desk, *, title: str) -> None:
        super().__init__(desk, title=title)
        self.keys = Keys(desk)
        self.credentials = _credentials(desk)
        self.page_most = 100
        """Objects per page at most; tests make it smaller."""
        self.app.state.stripe = self
        self.app.add_exception_handler(Refused, _refusal)
        self.app.add_exception_handler(404, _no_such_path)

    def settings(self, base_url: str) -> dict[str, Any]:
        """What both adapters need."""
        key, secret = self.credentials["secret_key"], self.credentials["webhook_secret"]
        return {"base_url": base_url, "secret_key": key, "webhook_secrets": [secret]}

    def event(self, payment: Payment) -> dict[str, Any] | None:
        """The event about a payment as it is now, with the errors that its script asks for; None: there is none."""
        raise NotImplementedError

    def callback(self, payment: Payment) -> Delivery | None:
        """The signed event, to the address that was entered."""
        event = self.event(payment)
        if self.desk.webhook is None or event is None:
            return None
        script, body = payment.script, json.dumps(event).encode()
        if Scenario.CALLBACK_UNSIGNED in script:
            return Delivery(self.desk.webhook, body)
        at = self.desk.clock() - (STALE if Scenario.CALLBACK_STALE in script else timedelta(0))
        return Delivery(
            self.desk.webhook,
            body,
            {"stripe-signature": signature(body, secret=self.credentials["webhook_secret"], at=at)},
        )

    def forged(self, payment: Payment) -> Delivery | None:
        """A success signed by somebody who doesn't know the secret."""
        event = self.event(payment.model_copy(update={"status": State.PAID, "final_at": self.desk.clock()}))
        if self.desk.webhook is None or event is None:
            return None
        body = json.dumps(event).encode()
        header = signature(body, secret="whsec_guessed", at=self.desk.clock())  # noqa: S106 - a wrong one
        return Delivery(self.desk.webhook, body, {"stripe-signature": header})

    def check(self, request: Request) -> None:
        """Refuse what Stripe refuses before it looks at anything."""
        check_headers(request, key=self.credentials["secret_key"])

    async def post(self, request: Request, work: Callable[[Store], Awaitable[Response]]) -> Response:
        """One POST under its idempotency key."""
        self.check(request)
        return await self.keys.once(request, work)

    async def step(
        self,
        script: Script,
        store: Store,
        *,
        act: Callable[[], None],
        answer: Callable[[], Mapping[str, Any]],
        tell: Callable[[], Awaitable[None]] | None = None,
    ) -> Response:
        """One step of a payment, as its script says. `act` does it, `tell` calls back before the answer."""
        if Scenario.CUT_BEFORE_ACCEPT in script:
            return Cut()
        for scenario in NOT_TAKEN:
            if scenario in script:
                raise self._not_taken(scenario, script)
        act()
        fails = Scenario.ERROR_AFTER_ACCEPT in script
        document = answer()
        failure = Refused(*FAILURE, retry=False)
        store(failure.status if fails else 200, failure.document() if fails else document)
        if tell is not None:
            await tell()
        if Scenario.SLOW_ACCEPT in script:
            await asyncio.sleep(script.seconds)
        if Scenario.ANSWER_LOST in script:
            return Cut()
        if fails:
            raise failure
        if Scenario.DUPLICATE_ANSWER in script:
            raise Refused(*IN_USE, retry=True)
        return JSONResponse(document)

    async def tell_early(self, payment: Payment) -> None:
        """What is told of a payment before its request is answered; then it runs its course."""
        if Scenario.CALLBACK_FORGED in payment.script and (forged := self.forged(payment)) is not None:
            await self.deliver(forged)
        if Scenario.CALLBACK_EARLY in payment.script:
            await self.settle(payment.id)
        else:
            start(self.app, self.finish(payment))

    async def cancelled(self, payment: Payment) -> None:
        """Cancel a pending payment; one whose script says so is paid in that moment."""
        if Scenario.CANCEL_TOO_LATE in payment.script:
            await self.settle(payment.id)
        found = self.desk.find(payment.id)
        if found is None or found.status is not State.PENDING:
            raise not_done("not_cancelable")
        found.status, found.code, found.final_at = State.FAILED, CANCELED, self.desk.clock()
        self.desk.shelf.put(("payment", found.id, found.model_dump(mode="json")))
        start(self.app, self.call_back(found))

    def unused(self, id_: str) -> str:
        """An id for a new payment. Metadata is no key: what carries the same again is another payment, "…~2"."""
        names = chain([id_], (f"{id_}~{number}" for number in count(2)))
        return next(name for name in names if self.desk.find(name) is None)

    def scripted(self, scenario: Scenario, account: str) -> bool:
        """Whether a script for this account plays a scenario on a question about the account; it is used up by that."""
        waiting = next((each for each in self.desk.scripts if scenario in each and each.match == {"account": account}), None)
        return waiting is not None and scenario in self.desk.scripts.take(waiting.match)

    def _not_taken(self, scenario: Scenario, script: Script) -> Refused:
        if scenario is Scenario.REFUSED:
            return not_done(script.code or self.refused)
        return Refused(*THROTTLED) if scenario is Scenario.RATE_LIMITED else Refused(503, "api_error", retry=True)


def trace(bank: str) -> str:
    """A bank's reference of a payment."""
    return f"{bank}{secrets.randbelow(10**12):012}"


def new_id(prefix: str) -> str:
    """An id as Stripe makes them."""
    return f"{prefix}_{secrets.token_hex(12)}"


def _credentials(desk: Desk) -> dict[str, str]:
    """Key and signing secret: on the shelf, or made now."""
    kept = desk.shelf.get("secrets", "stripe")
    if kept is None:
        kept = {
            "secret_key": f"sk_test_{secrets.token_hex(24)}",
            "webhook_secret": f"whsec_{secrets.token_hex(16)}",
            "financial_account": f"fa_test_{secrets.token_hex(8)}",
        }
        desk.shelf.put(("secrets", "stripe", kept))
    return kept


async def _refusal(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return error.answer()


async def _no_such_path(_request: Request, _error: Exception) -> Response:
    return missing("url").answer()
