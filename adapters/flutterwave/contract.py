"""What the contract suite needs to know of this rail."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from adapters.flutterwave.adapter import Flutterwave
from adapters.flutterwave.routes import route_of
from adapters.flutterwave.simulator import ABSENT, app
from adapters.flutterwave.wire import number_of
from gateway.contract.requests import Expected
from gateway.contract.suite import OfframpContract
from gateway.offramp import Corridor, Destination, Instruction
from gateway.railsim import Scenario

FORMS: Mapping[str, str] = {
    "NG": "3{:09}", "KE": "+25471{:07}", "GH": "+23324{:07}", "UG": "+25677{:07}", "RW": "+25078{:07}", "TZ": "+25575{:07}",
    "ZM": "+26097{:07}", "CM": "+23767{:07}", "CI": "+22507{:08}", "SN": "+22177{:07}", "ET": "+25191{:07}",
}  # fmt: skip


class Contract(OfframpContract):
    """Flutterwave keeps the contract, and its own rules."""

    factory = Flutterwave
    simulator = app
    absent: ClassVar[Mapping[Scenario, str]] = ABSENT
    answer_within_setting: ClassVar[Mapping[str, object]] = {"answer_within_s": 0.5}

    def account(self, number: int) -> str:
        """A Nigerian bank account number."""
        return FORMS["NG"].format(number)

    def destination(self, corridor: Corridor, number: int) -> Destination:
        """An account of the corridor's kind."""
        return replace(super().destination(corridor, number), account=FORMS[corridor.country].format(number))

    def secrets(self, settings: Mapping[str, Any]) -> list[str]:
        """What may never show; Canary-Wallet is in the names that Flutterwave tells."""
        return [settings["secret_key"], settings["secret_hash"], "Canary-Wallet"]

    def requests(self, instruction: Instruction, settings: Mapping[str, Any]) -> Sequence[Expected]:
        """As Flutterwave's documents of version 3 have them."""
        to, route = instruction.to, route_of(instruction.to)
        assert route is not None
        bank, number, currency = route.codes[to.institution or ""].code, route.number(to.account), route.asset.code
        key = {"authorization": f"Bearer {settings['secret_key']}"}
        written = {**key, "content-type": "application/json"}
        amount = re.escape(str(number_of(instruction.deliver)))
        return (
            Expected(
                name="transfer",
                method="POST",
                target="/v3/transfers",
                headers=written,
                body=rf'{{"account_bank":"{bank}","account_number":"{number}","amount":{amount},'
                rf'"narration":"Lastmile payout","currency":"{currency}","reference":"{instruction.attempt_id}",'
                rf'"debit_currency":"{currency}","beneficiary_name":"{to.holder}"}}',
                moves_money=True,
            ),
            Expected(
                name="by reference",
                method="GET",
                target=rf"/v3/transfers\?reference={instruction.attempt_id}",
                headers=key,
            ),
            Expected(name="by id", method="GET", target=r"/v3/transfers/[0-9]+", headers=key),
            Expected(name="balance", method="GET", target=r"/v3/balances/[A-Z]{3}", headers=key),
            Expected(
                name="resolve",
                method="POST",
                target="/v3/accounts/resolve",
                headers=written,
                body=rf'{{"account_number":"{number}","account_bank":"{bank}"}}',
            ),
        )
