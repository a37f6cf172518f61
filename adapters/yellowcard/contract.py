"""What the contract suite needs to know of this rail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from adapters.yellowcard.adapter import YellowCard
from adapters.yellowcard.client import signature
from adapters.yellowcard.simulator import app
from adapters.yellowcard.simulator.server import ABSENT, NOBODY
from gateway.contract.ground import HOLDER
from gateway.contract.requests import Expected
from gateway.contract.suite import OfframpContract
from gateway.offramp import Corridor, Destination, Instruction, Method
from gateway.railsim import Scenario

FORMS = {"NG": "{:010}", "KE": "+2547{:08}", "UG": "+2567{:08}", "RW": "+2507{:08}"}
UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"


class Contract(OfframpContract):
    """Yellow Card keeps the contract, and its own rules."""

    factory = YellowCard
    simulator = app
    absent: ClassVar[Mapping[Scenario, str]] = ABSENT
    answer_within_setting: ClassVar[Mapping[str, object]] = {"answer_within_s": 0.5}

    def destination(self, corridor: Corridor, number: int) -> Destination:
        """An account number in Nigeria, a mobile number elsewhere."""
        return Destination(
            country=corridor.country,
            method=corridor.method,
            account=FORMS[corridor.country].format(number),
            holder=HOLDER,
            institution=corridor.institutions[0].code,
        )

    def unknown_account(self, corridor: Corridor) -> Destination | None:
        """An account that no bank knows."""
        return replace(self.destination(corridor, 1), account=NOBODY) if corridor.method is Method.BANK else None

    def secrets(self, settings: Mapping[str, Any]) -> list[str]:
        """What may never show; Ngozi Simulated is the holder's name in Yellow Card's answers."""
        return [settings["api_key"], settings["secret_key"], "Ngozi Simulated"]

    def requests(self, instruction: Instruction, settings: Mapping[str, Any]) -> Sequence[Expected]:
        """As docs.yellowcard.engineering/reference prints them. Only the acceptance pays."""
        signed = {
            "x-yc-timestamp": r"20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]\.[0-9]{3}Z",
            "authorization": rf"YcHmacV1 {settings['api_key']}:[A-Za-z0-9+/]{{43}}=",
            "accept": "application/json",
        }
        with_body = {**signed, "content-type": "application/json"}
        to = instruction.to
        submission = (
            rf'{{"channelId":"{UUID}","sequenceId":"{instruction.attempt_id}","localAmount":10000,"reason":"other",'
            r'"sender":{"businessName":"Lastmile Limited","businessId":"C-2026-1"},'
            rf'"destination":{{"accountName":"{to.holder}","accountNumber":"{to.account}","accountType":"bank",'
            rf'"networkId":"{UUID}"}},'
            r'"forceAccept":false,"customerType":"institution","customerUID":"lastmile"}'
        )
        by_id = rf"/business/payments/{UUID}"
        look_up = rf'{{"accountNumber":"{to.account}","networkId":"{UUID}"}}'
        by_sequence = f"/business/payments/sequence-id/{instruction.attempt_id}"
        return (
            Expected(name="channels", method="GET", target=r"/business/channels\?country=NG", headers=signed),
            Expected(name="networks", method="GET", target=r"/business/networks\?country=NG", headers=signed),
            Expected(name="name", method="POST", target="/business/details/bank", headers=with_body, body=look_up),
            Expected(name="submit", method="POST", target="/business/payments", headers=with_body, body=submission),
            Expected(name="accept", method="POST", target=rf"{by_id}/accept", headers=signed, moves_money=True),
            Expected(name="give up", method="POST", target=rf"{by_id}/fail-pending-liquidity", headers=signed),
            Expected(name="status", method="GET", target=by_sequence, headers=signed),
            Expected(name="balance", method="GET", target="/business/account", headers=signed),
        )

    def check_payment_request(
        self,
        request: Mapping[str, Any],
        instruction: Instruction,  # noqa: ARG002 - the path names Yellow Card's id
        settings: Mapping[str, Any],
    ) -> None:
        """The signature is over the timestamp, the path and the method; there is no body."""
        headers = dict(request["headers"])
        right = signature(
            secret=settings["secret_key"], at=headers["x-yc-timestamp"], path=request["target"], method="POST", body=b""
        )
        assert headers["authorization"] == f"YcHmacV1 {settings['api_key']}:{right}"
        assert request["body"] == ""
