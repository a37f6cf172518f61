"""The course of a payment at any rail: taken or not, answered or not, final after its delay, told by callback or not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from fastapi import Response

from gateway.railsim.desk import Desk, Payment
from gateway.railsim.scenario import Scenario, Script
from gateway.railsim.server import Cut, RailApp, post_later, rail_app, start


class Delivery(NamedTuple):
    """A callback as it goes out."""

    url: str
    body: bytes
    headers: Mapping[str, str] = {}
    method: str = "POST"


class Course:
    """A simulated rail's protocol. Subclass it, mount its endpoints on `self.app`, and override the hooks."""

    def __init__(self, desk: Desk, *, title: str) -> None:
        self.desk = desk
        self.app: RailApp = rail_app(desk, title=title, settings=self.settings, resume=self.finish)

    # -- hooks -----------------------------------------------------------------------------------------------------------

    def settings(self, base_url: str) -> dict[str, Any]:
        """The settings with which the adapter can use this simulator."""
        raise NotImplementedError

    def failure(self, payment: Payment) -> str | None:  # noqa: ARG002 - a hook
        """The rail's code if its own rules refuse the payment when it becomes final."""
        return None

    def callback(self, payment: Payment) -> Delivery | None:  # noqa: ARG002 - a hook
        """What is told of a payment that became final, with the errors that its script asks for; None: nothing."""
        return None

    def forged(self, payment: Payment) -> Delivery | None:  # noqa: ARG002 - a hook
        """A success that the rail knows nothing of, as somebody else would send it; None: it can't be had here."""
        return None

    # -- the course ------------------------------------------------------------------------------------------------------

    async def take(
        self,
        payment: Payment,
        *,
        refusal: Callable[[Scenario, Script], Response | None],
        accepted: Callable[[Payment], Response],
    ) -> Response:
        """Take a payment whose id is new, as its script says.

        `refusal` gives the answer for ERROR_BEFORE_ACCEPT, RATE_LIMITED, TOKEN_EXPIRED, REFUSED and QUOTE_EXPIRED (nothing
        is taken) and for ERROR_AFTER_ACCEPT and DUPLICATE_ANSWER (taken all the same); `accepted` the answer to a success.
        """
        script = payment.script
        if Scenario.CUT_BEFORE_ACCEPT in script:
            return Cut()
        for scenario in NOT_TAKEN:
            if scenario in script and (answer := refusal(scenario, script)) is not None:
                return answer
        self.desk.accept(payment)
        if Scenario.CALLBACK_FORGED in script and (forged := self.forged(payment)) is not None:
            await self.deliver(forged)
        if Scenario.CALLBACK_EARLY in script:
            await self.settle(payment.id)
        else:
            start(self.app, self.finish(payment))
        if Scenario.SLOW_ACCEPT in script:
            await asyncio.sleep(script.seconds)
        if Scenario.ANSWER_LOST in script:
            return Cut()
        for scenario in TAKEN_ALL_THE_SAME:
            if scenario in script and (answer := refusal(scenario, script)) is not None:
                return answer
        return accepted(self.desk.find(payment.id) or payment)

    def asked(self, id: str) -> Payment | None:  # noqa: A002 - the word on the wire
        """The payment that a question is about, counted as asked; one that waits for questions may become final by it."""
        payment = self.desk.find(id)
        if payment is None:
            return None
        self.desk.note_question(payment)
        if Scenario.PENDING_POLLS in payment.script and self.desk.settle(payment, failure=self.failure(payment)):
            start(self.app, self.call_back(payment))
        return self.desk.find(id)

    def hides(self, payment: Payment) -> bool:
        """Whether this question about the payment has to find nothing."""
        return Scenario.NOT_FOUND in payment.script and payment.asked <= payment.script.polls

    def question_fails(self, payment: Payment) -> bool:
        """Whether this question has to fail: with the script's `code` if it has one, else with an HTTP 5xx."""
        return Scenario.QUESTION_FAILS in payment.script and payment.asked <= payment.script.polls

    async def finish(self, payment: Payment) -> None:
        """Settle a payment after its delay, and call back."""
        await asyncio.sleep(self.desk.delay_s(payment.script))
        await self.settle(payment.id)

    async def settle(self, id: str) -> None:  # noqa: A002
        """Make a payment final now, unless its script keeps it pending, and call back."""
        payment = self.desk.find(id)
        if payment is not None and self.desk.settle(payment, failure=self.failure(payment)):
            await self.call_back(payment)

    async def call_back(self, payment: Payment) -> None:
        """Tell what became of a payment, as often as its script says."""
        delivery = None if Scenario.CALLBACK_LOST in payment.script else self.callback(payment)
        if delivery is not None:
            for _ in range(2 if Scenario.CALLBACK_TWICE in payment.script else 1):
                await self.deliver(delivery)

    async def deliver(self, delivery: Delivery) -> None:
        """Send one callback now."""
        await post_later(self.app, url=delivery.url, body=delivery.body, headers=delivery.headers, method=delivery.method)


NOT_TAKEN = (
    Scenario.REFUSED,
    Scenario.QUOTE_EXPIRED,
    Scenario.RATE_LIMITED,
    Scenario.TOKEN_EXPIRED,
    Scenario.ERROR_BEFORE_ACCEPT,
)
TAKEN_ALL_THE_SAME = (Scenario.ERROR_AFTER_ACCEPT, Scenario.DUPLICATE_ANSWER)
