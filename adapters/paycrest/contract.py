"""What the contract suite needs to know of this rail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import httpx

from adapters.paycrest.adapter import Paycrest
from adapters.paycrest.simulator import app
from adapters.paycrest.simulator.directory import NOBODY
from adapters.paycrest.simulator.server import ABSENT
from gateway.contract.ground import HOLDER
from gateway.contract.legs import in_legs
from gateway.contract.requests import Expected
from gateway.contract.suite import OfframpContract
from gateway.legs import CoinTransfer, leg_id
from gateway.offramp import Corridor, Destination, Instruction, Method, Offramp
from gateway.railsim import Scenario

ACCOUNTS = {
    ("NG", Method.BANK): "{:010}",
    ("KE", Method.BANK): "{:012}",
    ("KE", Method.MOBILE_MONEY): "+2547{:08}",
    ("UG", Method.MOBILE_MONEY): "+2567{:08}",
}
UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"


class Contract(OfframpContract):
    """Paycrest keeps the contract, and its own rules."""

    factory = Paycrest
    simulator = app
    absent: ClassVar[Mapping[Scenario, str]] = ABSENT
    answer_within_setting: ClassVar[Mapping[str, object]] = {"answer_within_s": 0.5}

    def wrap(self, made: Any) -> Offramp:
        """Its legs, driven; coins arrive at the simulator's receive addresses."""
        return in_legs(made, coins=self._send_coins)

    async def _send_coins(self, wanted: CoinTransfer) -> str:
        body = {"address": wanted.to, "amount": wanted.amount.decimal()}
        async with httpx.AsyncClient(base_url=self._rail.url, trust_env=False) as client:
            answer = await client.post("/_sim/deposits", json=body)
        tx_hash: str = answer.raise_for_status().json()["deposit"]
        return tx_hash

    def id_at_rail(self, attempt_id: str) -> str:
        """The id of the first leg is the order's reference."""
        return leg_id(attempt_id, 1)

    def destination(self, corridor: Corridor, number: int) -> Destination:
        """An account number of a bank, or a mobile number."""
        return Destination(
            country=corridor.country,
            method=corridor.method,
            account=ACCOUNTS[corridor.country, corridor.method].format(number),
            holder=HOLDER,
            institution=corridor.institutions[0].code,
        )

    def unknown_account(self, corridor: Corridor) -> Destination | None:
        """An account that no bank knows."""
        return replace(self.destination(corridor, 1), account=NOBODY)

    def secrets(self, settings: Mapping[str, Any]) -> list[str]:
        """What may never show; NGOZI SIMULATED is the holder's name in Paycrest's answers."""
        return [settings["api_key"], settings["api_secret"], "NGOZI SIMULATED"]

    def requests(self, instruction: Instruction, settings: Mapping[str, Any]) -> Sequence[Expected]:
        """As openapi-v2.yaml has them. The order pays nobody before it is funded, and funding is the core's."""
        keyed = {"api-key": settings["api_key"], "accept": "application/json"}
        with_body = {**keyed, "content-type": "application/json"}
        to, refund = instruction.to, settings["refund_address"]
        order = (
            rf'{{"amount":"1000.00","amountIn":"fiat","reference":"{leg_id(instruction.attempt_id, 1)}",'
            rf'"source":{{"type":"crypto","currency":"USDC","network":"base","refundAddress":"{refund}"}},'
            r'"destination":{"type":"fiat","currency":"NGN","recipient":{"institution":"ABNGNGLA",'
            rf'"accountIdentifier":"{to.account}","accountName":"{to.holder}","memo":"Family support"}}}}}}'
        )
        name = rf'{{"institution":"ABNGNGLA","accountIdentifier":"{to.account}"}}'
        return (
            Expected(name="name", method="POST", target="/v2/verify-account", headers=with_body, body=name),
            Expected(
                name="order", method="POST", target="/v2/sender/orders", headers=with_body, body=order, moves_money=True
            ),
            Expected(name="status", method="GET", target=rf"/v2/sender/orders/{UUID}", headers=keyed),
        )
