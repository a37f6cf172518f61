"""An adapter that pays in legs: coins go to an address of the provider's on chain, then the small rail pays."""

from __future__ import annotations

import os
from datetime import timedelta

import httpx

from gateway.legs import CoinTransfer, Leg, LegPlan, LegReport
from gateway.money import Asset, Money
from gateway.offramp import AdapterContext, Capabilities, Corridor, Method, Outcome, Resend
from tests.crash.adapter import ANSWER_WITHIN_S, KES

FUND, PAY = "fund", "pay"
COINS = 10_000_000
"""What each payment costs, in millionths of the coin."""


class Relay:
    """Speaks the small rail's protocol, by the ids of legs."""

    legs = (LegPlan(name=FUND, on_chain=True), LegPlan(name=PAY, resend=Resend.DEDUPED))

    def __init__(self, context: AdapterContext) -> None:
        corridor = Corridor(
            country="KE",
            method=Method.MOBILE_MONEY,
            asset=KES,
            least=Money(1_000, KES),
            most=Money(25_000_000, KES),
            step=Money(100, KES),
        )
        self.capabilities = Capabilities(
            name=context.name,
            corridors=(corridor,),
            resend=Resend.FINDABLE,
            settles_within=timedelta(hours=24),
            resend_within=timedelta(hours=24),
            answer_within=timedelta(seconds=ANSWER_WITHIN_S),
            concurrency=20,
        )
        self._chain_id, self._token = int(str(context.settings["chain_id"])), str(context.settings["token"])
        self._to = str(context.settings["to"])
        self._clock = context.clock
        headers = {"x-pid": str(os.getpid())}
        self._client = httpx.AsyncClient(base_url=str(context.settings["base_url"]), trust_env=False, headers=headers)

    def coins(self, leg: Leg) -> CoinTransfer:  # noqa: ARG002 - the port's name
        amount = Money(COINS, Asset(f"USDC@{self._chain_id}", 6))
        return CoinTransfer(chain_id=self._chain_id, contract=self._token, to=self._to, amount=amount)

    async def pay_leg(self, leg: Leg) -> LegReport:
        deliver, to = leg.payment.deliver, leg.payment.to
        body = {"id": leg.leg_id, "account": to.account, "units": deliver.units, "at": self._clock().isoformat()}
        return _report((await self._client.post("/pay", json=body)).json())

    async def leg_status(self, leg: Leg) -> LegReport:
        return _report((await self._client.get(f"/status/{leg.leg_id}")).json())

    async def pay(self, *_: object) -> object:
        raise AssertionError("an adapter that pays in legs is never asked to pay")

    async def status(self, *_: object) -> object:
        raise AssertionError("nor for the status")

    async def close(self) -> None:
        await self._client.aclose()


def _report(told: dict[str, object]) -> LegReport:
    if told["status"] == "paid":
        units = Money(int(str(told["units"])), KES)
        return LegReport(outcome=Outcome.PAID, provider_ref=str(told["ref"]), gave=units, got=units)
    if told["status"] == "pending":
        return LegReport(outcome=Outcome.PENDING, provider_ref=str(told["ref"]))
    return LegReport(outcome=Outcome.UNKNOWN, reason="not found")


def make(context: AdapterContext) -> Relay:
    """The entry point."""
    return Relay(context)
