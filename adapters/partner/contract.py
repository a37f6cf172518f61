"""What the contract suite needs to know of this rail."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from adapters.partner.adapter import Partner
from adapters.partner.simulator import app
from gateway.contract.ground import HOLDER
from gateway.contract.requests import Expected
from gateway.contract.suite import OfframpContract
from gateway.offramp import Corridor, Destination, Instruction, Method
from gateway.railsim import Scenario

_NO_CALLBACK = "the other side calls nobody: fills are asked about"


class Contract(OfframpContract):
    """A partner keeps the contract."""

    factory = Partner
    simulator = app
    absent: ClassVar[Mapping[Scenario, str]] = {
        Scenario.TOKEN_EXPIRED: "every request is signed by itself",
        Scenario.QUOTE_EXPIRED: "nothing is quoted",
        Scenario.NAME_MISMATCH: "no names are looked up",
        Scenario.CLAIM_OF_ANOTHER_AMOUNT: "a partner pays out of his own means; nobody claims at a counter",
        **{each: _NO_CALLBACK for each in Scenario if each.value.startswith("callback_")},
    }
    answer_within_setting: ClassVar[Mapping[str, object]] = {"answer_within_s": 0.5}

    def account(self, number: int) -> str:
        """A Kenyan number."""
        return f"+2547{number:08}"

    def destination(self, corridor: Corridor, number: int) -> Destination:
        """A phone or a bank account, as the corridor has it."""
        return Destination(
            country=corridor.country,
            method=corridor.method,
            account=f"{number:010}" if corridor.method is Method.BANK else self.account(number),
            holder=HOLDER,
            institution=corridor.institutions[0].code if corridor.institutions else None,
        )

    def secrets(self, settings: Mapping[str, Any]) -> list[str]:
        """What may never show."""
        return [settings["client_secret"]]

    def requests(self, instruction: Instruction, settings: Mapping[str, Any]) -> Sequence[Expected]:
        """Every request in the life of a fill."""
        to, deliver = instruction.to, instruction.deliver
        path = "/v1/fill-orders"
        signed = {"authorization": rf"HMAC {settings['client_id']}:[0-9]{{10}}:[0-9a-f]{{64}}"}
        institution = "" if to.institution is None else rf',"institution":"{to.institution}"'
        body = (
            rf'\{{"reference":"{instruction.attempt_id}","partner_id":"{settings["partner_id"]}",'
            rf'"amount":"{deliver.decimal()}","currency":"{deliver.asset.code}",'
            rf'"destination":\{{"country":"{to.country}","method":"{to.method.value}","account":"\{to.account}",'
            rf'"holder":"{to.holder}"{institution}\}},"offered_for_s":300,"fulfil_within_s":3600\}}'
        )
        one = f"{path}/{instruction.attempt_id}"
        return (
            Expected(
                name="offer",
                method="POST",
                target=path,
                headers=signed | {"content-type": "application/json"},
                body=body,
                moves_money=True,
            ),
            Expected(name="asked", method="GET", target=one, headers=signed),
            Expected(name="cancelled", method="POST", target=f"{one}/cancel", headers=signed),
        )

    def check_payment_request(
        self,
        request: Mapping[str, Any],
        instruction: Instruction,  # noqa: ARG002 - the suite's signature
        settings: Mapping[str, Any],
    ) -> None:
        """The signature is that of time, method, path and body."""
        _, seconds, signature = dict(request["headers"])["authorization"].split(":")
        message = f"{seconds}\nPOST\n/v1/fill-orders\n".encode() + request["body"].encode("latin-1")
        assert signature == hmac.new(settings["client_secret"].encode(), message, hashlib.sha256).hexdigest()
