"""What the contract suite needs to know of exchanges."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from typing import Any, ClassVar

from adapters.ccxt_exchange.adapter import CcxtExchange
from adapters.ccxt_exchange.simulator.bitso import ABSENT, app
from adapters.ccxt_exchange.simulator.coins import ABSENT as COINS_ABSENT
from adapters.ccxt_exchange.simulator.coins import app as coins_app
from adapters.ccxt_exchange.simulator.papers import USDC
from adapters.ccxt_exchange.spei import CLABE_DIGITS, is_clabe
from gateway.contract.harness import Inbox, Rail
from gateway.contract.legs import in_legs
from gateway.contract.requests import Expected
from gateway.contract.suite import OfframpContract
from gateway.legs import leg_id
from gateway.money import Money
from gateway.offramp import Corridor, Destination, Fault, Instruction, Method, Offramp, Outcome
from gateway.railsim import Scenario

import_module("ccxt")  # takes seconds, which no check should


class Contract(OfframpContract):
    """Bitso keeps the contract, and its own rules."""

    factory = CcxtExchange
    simulator = app
    absent: ClassVar[Mapping[Scenario, str]] = ABSENT
    answer_within_setting: ClassVar[Mapping[str, object]] = {"answer_within_s": 0.5}

    def wrap(self, made: Any) -> Offramp:
        """Its legs are driven in memory."""
        return in_legs(made)

    def account(self, number: int) -> str:
        """A CLABE."""
        start = f"0021{number:0{CLABE_DIGITS - 5}}"
        return next(start + str(digit) for digit in range(10) if is_clabe(start + str(digit)))

    def id_at_rail(self, attempt_id: str) -> str:
        """Its withdrawal is the second leg."""
        return leg_id(attempt_id, 2)

    def secrets(self, settings: Mapping[str, Any]) -> list[str]:
        return [settings["api_key"], settings["api_secret"]]

    def requests(self, instruction: Instruction, settings: Mapping[str, Any]) -> Sequence[Expected]:
        """As Bitso's pages Place an Order, Look Up Orders, List Order Trades, Create a withdrawal and Fundings have them."""
        signed = {"authorization": rf"Bitso {settings['api_key']}:[0-9]{{13,}}:[0-9a-f]{{64}}"}
        written = {**signed, "content-type": "application/json"}
        sale, withdrawal = leg_id(instruction.attempt_id, 1), leg_id(instruction.attempt_id, 2)
        to = instruction.to
        body = (
            rf'{{"currency":"mxn","protocol":"clabe","amount":"{re.escape(instruction.deliver.decimal())}",'
            rf'"beneficiary":"{re.escape(to.holder)}","clabe":"{to.account}","notes_ref":"Lastmile",'
            rf'"numeric_ref":"[0-9]{{7}}","origin_id":"{withdrawal}"}}'
        )
        order = rf'{{"book":"usdc_mxn","side":"sell","type":"market","major":"[0-9]+\.[0-9]{{6}}","origin_id":"{sale}"}}'
        return (
            Expected(name="order book", method="GET", target=r"/api/v3/order_book\?book=usdc_mxn"),
            Expected(name="sell", method="POST", target="/api/v3/orders", headers=written, body=order),
            Expected(name="sold?", method="GET", target=rf"/api/v3/orders\?origin_ids={sale}", headers=signed),
            Expected(name="trades", method="GET", target=rf"/api/v3/order_trades\?origin_id={sale}", headers=signed),
            Expected(
                name="withdraw",
                method="POST",
                target="/api/v3/withdrawals",
                headers=written,
                body=body,
                moves_money=True,
            ),
            Expected(name="sent?", method="GET", target="/api/v3/withdrawals/[0-9a-f]{32}", headers=signed),
            Expected(
                name="known?", method="GET", target=rf"/api/spei/v1/withdrawals\?origin_id={withdrawal}", headers=signed
            ),
            Expected(name="sent back?", method="GET", target=r"/api/v3/fundings\?limit=100", headers=signed),
            Expected(name="balance", method="GET", target="/api/v3/balance", headers=signed),
        )

    async def test_too_little_float_fails_and_a_new_id_pays_after_a_top_up(
        self, adapter: Offramp, rail: Rail, inbox: Inbox, corridor: Corridor
    ) -> None:
        """Pesos are sold for: what is missing is coins."""
        first, second = self.order(corridor, corridor.least), self.order(corridor, corridor.least)
        held = Money.parse(rail.balances()[USDC.code], USDC)
        rail.hold(Money(0, USDC))
        try:
            failed = await self.send(adapter, first)
            assert (failed.outcome, failed.fault) == (Outcome.FAILED, Fault.FLOAT)
        finally:
            rail.hold(held)
        await self.send(adapter, second)
        assert (await self.settle(adapter, inbox, second)).outcome is Outcome.PAID
        assert (self.times_paid(first), self.times_paid(second)) == (0, 1)


class CoinsContract(Contract):
    """Coins.ph keeps the contract, and its own rules."""

    simulator = coins_app
    absent: ClassVar[Mapping[Scenario, str]] = COINS_ABSENT

    def account(self, number: int) -> str:
        """A mobile number."""
        return f"+639{number:09}"

    def destination(self, corridor: Corridor, number: int) -> Destination:
        """A wallet, or an account at a bank."""
        to = super().destination(corridor, number)
        return replace(to, account=f"{number:012}") if corridor.method is Method.BANK else to

    def id_at_rail(self, attempt_id: str) -> str:
        """Its payment is the third leg."""
        return leg_id(attempt_id, 3)

    def requests(self, instruction: Instruction, settings: Mapping[str, Any]) -> Sequence[Expected]:
        """As its Open API has them; but for the payment all stands in the query."""
        key, end = {"x-coins-apikey": settings["api_key"]}, r"timestamp=[0-9]{13}&*signature=[0-9a-f]{64}"
        deliver, payment = re.escape(instruction.deliver.decimal()), leg_id(instruction.attempt_id, 3)
        number = f"0{instruction.to.account.removeprefix('+63')}"
        convert, fiat = "/openapi/convert/v1", "/openapi/fiat/v1"
        body = (
            rf'{{"internalOrderId":"{payment}","currency":"PHP","amount":"{deliver}","channelName":"INSTAPAY",'
            rf'"channelSubject":"gcash","extendInfo":{{"recipientName":"{re.escape(instruction.to.holder)}",'
            rf'"recipientAccountNumber":"{number}"}}}}'
        )
        quoted = rf"sourceCurrency=USDC&targetCurrency=PHP&targetAmount={deliver}&"

        def signed(name: str, method: str, target: str) -> Expected:
            return Expected(name=name, method=method, target=target + end, headers=key)

        return (
            Expected(name="ticker", method="GET", target=r"/openapi/quote/v1/ticker/bookTicker\?symbol=USDCPHP&?"),
            signed("quote", "POST", rf"{convert}/get-quote\?{quoted}"),
            signed("sell", "POST", rf"{convert}/accept-quote\?quoteId=[0-9a-f]{{32}}&"),
            signed("sold?", "POST", rf"{convert}/query-order-history\?page=1&size=100&"),
            Expected(
                name="pay",
                method="POST",
                target=rf"{fiat}/cash-out\?{end}",
                headers={**key, "content-type": "application/json"},
                body=body,
                moves_money=True,
            ),
            signed("paid?", "GET", rf"{fiat}/details\?internalOrderId={payment}&"),
            signed("balance", "GET", r"/openapi/v1/account\?"),
        )
