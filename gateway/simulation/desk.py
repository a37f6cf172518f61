"""People and partners at work between the loops' steps, by the product's own functions: what they do meets every fault too.

A coin is frozen and thawed; who couldn't be paid is paid another way; one quote is accepted by several at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.db.session import transaction
from gateway.desk.resolve import release_hold
from gateway.errors import Refusal
from gateway.ledger.freezes import FreezeKind, freeze_asset, lift_freezes
from gateway.offramp import Method
from gateway.orders.accept import Acceptance, Accepted, accept_quote
from gateway.orders.recipients import GivenWay, Recipient
from gateway.payouts.redirect import ANSWERABLE, Channel, Redirect, redirect
from gateway.pricing.consensus import NoRate
from gateway.simulation.chain import CHAIN_ID, USDC
from gateway.simulation.connections import at_once
from gateway.simulation.eye import Eye
from gateway.simulation.faults import Dice
from gateway.simulation.market import DROP_EVERY_S, FACTORY, PARTNER, QUOTE_TTL, Deal, Market
from gateway.simulation.offers import Offers
from gateway.simulation.people import FIRST
from gateway.simulation.prices import BELOW, OFFER, PAR, Prices
from gateway.simulation.scheduler import START_S, Violation

REASON = "as the issuer told"
NUMBERS = {"KE": "+25471{:07d}", "UG": "+25677{:07d}", "TZ": "+25575{:07d}"}
"""Mobile numbers that nobody gave before."""
REDIRECTS_MOST = 5
HELD = ("late", "underpaid", "frozen", "depegged", "refund_failed", "recipient_refused", "returned")


@dataclass(kw_only=True)
class Desk:
    """Everybody whose work isn't a loop's."""

    engines: list[AsyncEngine]
    eye: Eye
    dice: Dice
    market: Market
    prices: Prices
    note: Callable[[str], None]
    rest_s: Callable[[str, float], None]
    """Nobody looks at a loop for so many seconds."""
    complete: Callable[[str], bool]
    """Whether nothing more comes for an order."""
    checked: Counter[str]
    thaws_s: float = 0
    recovers_s: float = 0
    _given: int = 0
    _thawed: bool = False
    """There are orders to lead on as soon as the coin is taken."""

    def __post_init__(self) -> None:
        self._offers = Offers(
            engines=self.engines,
            eye=self.eye,
            dice=self.dice,
            market=self.market,
            complete=self.complete,
            note=self.note,
            checked=self.checked,
        )

    async def work(self, now: datetime, *, now_s: float, open_: bool) -> list[Deal]:
        """What happens now. The orders that were made by it, one at most, and only while it is `open_` to new ones."""
        self._price(now_s)
        await self._freeze(now, now_s=now_s)
        await self._offers.work(now, now_s=now_s)
        for order_id in self.eye.held(list(ANSWERABLE))[:REDIRECTS_MOST]:
            if self.dice.happens("redirect"):
                await self._redirect(order_id, now)
        if self.market.deals and self.dice.happens("asked_wrongly"):
            # Of any order, whatever it is held for, if it is: what may not be is refused.
            order_id = self.dice.pick([*self.eye.held(HELD), *self.dice.random.sample(list(self.market.deals), 1)])
            await self.dice.pick((self._release, self._redirect))(order_id, now)
        raced = await self._race(now) if open_ and self.dice.happens("quote_raced") else None
        return [raced] if raced else []

    def _price(self, now_s: float) -> None:
        if self.dice.happens("coin_depegs"):
            self.prices.coin, self.recovers_s = BELOW, now_s + self._lasts("depegged", now_s)
            self.note("the coin leaves its par")
        elif self.prices.coin != PAR and (self.dice.calm or now_s >= self.recovers_s):
            self.prices.coin = PAR
            self.note("the coin is at par again")

    async def _freeze(self, now: datetime, *, now_s: float) -> None:
        if self.market.frozen and (self.dice.calm or now_s >= self.thaws_s):
            self.note("the coin is taken again")
            async with transaction(self.engines[0]) as connection:
                await lift_freezes(connection, asset=USDC.code, operator=FIRST, now=now)
            self.market.frozen, self._thawed = False, True
        elif not self.market.frozen and self.dice.happens("coin_frozen"):
            self.note("the coin is frozen")
            self.thaws_s = now_s + self._lasts("frozen", now_s)
            async with transaction(self.engines[0]) as connection:
                await freeze_asset(connection, asset=USDC.code, kind=FreezeKind.PAUSED, reason=REASON, now=now)
            self.market.frozen = True
        if self._thawed and not self.market.frozen and self.eye.stopped_since() is None:
            self._thawed = False
            for order_id in self.eye.held(["frozen"]):
                await self._release(order_id, now)

    def _lasts(self, holder: str, now_s: float) -> float:
        """How long nothing new is done with the coin; often over a drop, and without `holder`, who would hold what waits."""
        to_drop = DROP_EVERY_S - (START_S + now_s) % DROP_EVERY_S if self.dice.happens("over_a_drop") else 0
        lasts_s = to_drop + self.dice.between(30, 600)
        if self.dice.happens("holder_rests"):
            self.rest_s(holder, lasts_s)
        return lasts_s

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
        old = self.dice.happens("quote_old")
        deal, quote_id = self.market.quote(now=now - QUOTE_TTL if old else now)
        acceptance = Acceptance(
            quote_id=quote_id,
            partner_id=PARTNER if deal.extra else None,
            recipient=Recipient(name="Wanjiku Kamau", account=f"account of {quote_id}"),
        )

        async def accept(connection: AsyncConnection) -> Accepted:
            return await accept_quote(connection, acceptance=acceptance, factories={CHAIN_ID: FACTORY}, now=now)

        answers = await at_once(self.engines, accept)
        made = [answer for answer in answers if isinstance(answer, Accepted)]
        taken = not old and not self.market.frozen and self.eye.stopped_since() is None
        if len(made) != taken or not all(isinstance(answer, Accepted | Refusal | NoRate) for answer in answers):
            raise Violation(f"quote {quote_id} was accepted by {len(answers)} at once, and they were told: {answers}")
        if not taken:
            return None
        self.note(f"{made[0].order_id} is made of a raced quote")
        return self.market.accepted(deal, quote_id=quote_id, order_id=made[0].order_id)
