"""People and partners at work between the loops' steps, by the product's own functions: what they do meets every fault too.

A coin is frozen and thawed; who couldn't be paid is paid another way; one quote is accepted by several at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db.session import transaction
from gateway.desk.resolve import release_hold
from gateway.errors import Refusal
from gateway.ledger.freezes import AssetFrozen, FreezeKind, freeze_asset, lift_freezes
from gateway.offramp import Method
from gateway.orders.accept import Acceptance, Accepted, QuoteUsed, accept_quote
from gateway.orders.recipients import GivenWay, Recipient
from gateway.payouts.redirect import ANSWERABLE, Channel, Redirect, redirect
from gateway.pricing.consensus import NoRate
from gateway.simulation.chain import CHAIN_ID, USDC
from gateway.simulation.connections import RACING
from gateway.simulation.eye import Eye
from gateway.simulation.faults import Dice
from gateway.simulation.market import FACTORY, PARTNER, Deal, Market
from gateway.simulation.people import FIRST
from gateway.simulation.prices import BELOW, OFFER, PAR, Prices
from gateway.simulation.scheduler import Violation

REASON = "as the issuer told"
NUMBERS = {"KE": "+25471{:07d}", "UG": "+25677{:07d}", "TZ": "+25575{:07d}"}
"""Mobile numbers that nobody gave before."""
REDIRECTS_MOST = 5


@dataclass(kw_only=True)
class Desk:
    """Everybody whose work isn't a loop's."""

    engines: list[AsyncEngine]
    eye: Eye
    dice: Dice
    market: Market
    prices: Prices
    note: Callable[[str], None]
    thaws_s: float = 0
    recovers_s: float = 0
    _given: int = 0

    async def work(self, now: datetime, *, now_s: float, open_: bool) -> list[Deal]:
        """What happens now. The orders that were made by it, one at most, and only while it is `open_` to new ones."""
        self._price(now_s)
        await self._freeze(now, now_s=now_s)
        for order_id in self.eye.held(list(ANSWERABLE))[:REDIRECTS_MOST]:
            if self.dice.happens("redirect"):
                await self._redirect(order_id, now)
        raced = await self._race(now) if open_ and self.dice.happens("quote_raced") else None
        return [raced] if raced else []

    def _price(self, now_s: float) -> None:
        if self.dice.happens("coin_depegs"):
            self.prices.coin, self.recovers_s = BELOW, now_s + self.dice.between(60, 1200)
            self.note("the coin leaves its par")
        elif self.prices.coin != PAR and (self.dice.calm or now_s >= self.recovers_s):
            self.prices.coin = PAR
            self.note("the coin is at par again")

    async def _freeze(self, now: datetime, *, now_s: float) -> None:
        if self.market.frozen and (self.dice.calm or now_s >= self.thaws_s):
            self.note("the coin is taken again")
            async with transaction(self.engines[0]) as connection:
                await lift_freezes(connection, asset=USDC.code, operator=FIRST, now=now)
            self.market.frozen = False
            for order_id in self.eye.held(["frozen"]):
                await self._release(order_id, now)
        elif not self.market.frozen and self.dice.happens("coin_frozen"):
            self.note("the coin is frozen")
            self.thaws_s = now_s + self.dice.between(30, 600)
            async with transaction(self.engines[0]) as connection:
                await freeze_asset(connection, asset=USDC.code, kind=FreezeKind.PAUSED, reason=REASON, now=now)
            self.market.frozen = True

    async def _release(self, order_id: str, now: datetime) -> None:
        """Let it go on; what is short or late is refused."""
        try:
            async with transaction(self.engines[0]) as connection:
                await release_hold(connection, order_id=order_id, operator=FIRST, reason=REASON, now=now)
        except Refusal as refusal:
            self.note(f"{order_id} isn't released: {refusal.code}")

    async def _redirect(self, order_id: str, now: datetime) -> None:
        deal = self.market.deals[order_id]
        self._given += 1
        account = NUMBERS[deal.lane.country].format(self._given)
        channel, name = (Channel.PARTNER, PARTNER) if deal.extra else (Channel.TRACKER, "")
        wish = Redirect(order_id=order_id, way=GivenWay(Method.MOBILE_MONEY, account), channel=channel, name=name)
        try:
            async with transaction(self.engines[0]) as connection:
                await redirect(connection, wish=wish, offer=OFFER, now=now)
        except Refusal as refusal:
            self.note(f"{order_id} isn't redirected: {refusal.code}")
        else:
            self.note(f"{order_id} is redirected")
            self.market.accounts[order_id] = {account}

    async def _race(self, now: datetime) -> Deal | None:
        """One quote, accepted once by each machine at the same time: one makes the order, and none in a coin not taken."""
        deal, quote_id = self.market.quote(now=now)
        acceptance = Acceptance(
            quote_id=quote_id,
            partner_id=PARTNER if deal.extra else None,
            recipient=Recipient(name="Wanjiku Kamau", account=f"account of {quote_id}"),
        )

        async def accept(engine: AsyncEngine) -> Accepted | None:
            RACING.set(True)
            try:
                async with transaction(engine) as connection:
                    return await accept_quote(connection, acceptance=acceptance, factories={CHAIN_ID: FACTORY}, now=now)
            except (QuoteUsed, AssetFrozen, NoRate):
                return None

        tasks = [asyncio.create_task(accept(engine)) for engine in self.engines]
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        made = [answer for answer in answers if isinstance(answer, Accepted)]
        taken = not self.market.frozen and self.eye.stopped_since() is None
        if len(made) != taken or any(isinstance(answer, BaseException) for answer in answers):
            raise Violation(f"quote {quote_id} was accepted by {len(answers)} at once, and they were told: {answers}")
        if not taken:
            return None
        self.note(f"{made[0].order_id} is made of a raced quote")
        return self.market.accepted(deal, quote_id=quote_id, order_id=made[0].order_id)
