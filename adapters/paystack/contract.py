"""What the contract suite needs to know of this rail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from adapters.paystack.adapter import Paystack
from adapters.paystack.routes import Route, route_of
from adapters.paystack.simulator import ABSENT, app
from adapters.paystack.wire import reference
from gateway.contract.requests import Expected
from gateway.contract.suite import OfframpContract
from gateway.offramp import Corridor, Destination, Instruction
from gateway.railsim import Scenario

FORMS: Mapping[str, str] = {
    "NG.bank": "{:010}",
    "GH.bank": "{:013}",
    "GH.mobile_money": "+23324{:07}",
    "KE.bank": "{:013}",
    "KE.mobile_money": "+25471{:07}",
    "ZA.bank": "{:011}",
}


class Contract(OfframpContract):
    """Paystack keeps the contract, and its own rules."""

    factory = Paystack
    simulator = app
    absent: ClassVar[Mapping[Scenario, str]] = ABSENT
    answer_within_setting: ClassVar[Mapping[str, object]] = {"answer_within_s": 0.5}

    def account(self, number: int) -> str:
        """A Nigerian bank account number."""
        return FORMS["NG.bank"].format(3_000_000_000 + number)

    def destination(self, corridor: Corridor, number: int) -> Destination:
        """An account of the corridor's kind."""
        form = FORMS[f"{corridor.country}.{corridor.method}"]
        account = form.format(number) if form.startswith("+") else form.format(3_000_000_000 + number)
        return replace(super().destination(corridor, number), account=account)

    def id_at_rail(self, attempt_id: str) -> str:
        """In lower case."""
        return reference(attempt_id)

    def secrets(self, settings: Mapping[str, Any]) -> list[str]:
        """What may never show; Canary-Wallet is in the names that Paystack tells."""
        return [settings["secret_key"], "Canary-Wallet"]

    def requests(self, instruction: Instruction, settings: Mapping[str, Any]) -> Sequence[Expected]:
        """As Paystack's API reference has them."""
        to, route = instruction.to, _route(instruction)
        bank, number = route.banks[to.institution or ""].code, route.number(to.account)
        key = {"authorization": f"Bearer {settings['secret_key']}"}
        return (
            _recipient(instruction, settings),
            Expected(
                name="transfer",
                method="POST",
                target="/transfer",
                headers={**key, "content-type": "application/json"},
                body=rf'{{"source":"balance",{_transfer(instruction)},"currency":"{route.asset.code}"}}',
                moves_money=True,
            ),
            Expected(
                name="verify", method="GET", target=f"/transfer/verify/{reference(instruction.attempt_id)}", headers=key
            ),
            Expected(name="balance", method="GET", target="/balance", headers=key),
            Expected(
                name="resolve",
                method="GET",
                target=rf"/bank/resolve\?account_number={number}&bank_code={bank}",
                headers=key,
            ),
        )

    def bulk_requests(
        self,
        batch_id: str,  # noqa: ARG002 - each payment has its own reference
        orders: Sequence[Instruction],
        settings: Mapping[str, Any],
    ) -> Sequence[Expected]:
        """A recipient for each, then all of them in one."""
        currency = orders[0].deliver.asset.code
        transfers = ",".join(f"{{{_transfer(each)}}}" for each in orders)
        batch = Expected(
            name="batch",
            method="POST",
            target="/transfer/bulk",
            headers={"authorization": f"Bearer {settings['secret_key']}", "content-type": "application/json"},
            body=rf'{{"currency":"{currency}","source":"balance","transfers":\[{transfers}\]}}',
            moves_money=True,
        )
        return (*(_recipient(each, settings) for each in orders), batch)


def _route(instruction: Instruction) -> Route:
    route = route_of(instruction.to)
    assert route is not None
    return route


def _recipient(instruction: Instruction, settings: Mapping[str, Any]) -> Expected:
    to, route = instruction.to, _route(instruction)
    return Expected(
        name="recipient",
        method="POST",
        target="/transferrecipient",
        headers={"authorization": f"Bearer {settings['secret_key']}", "content-type": "application/json"},
        body=rf'{{"type":"{route.kind}","name":"{to.holder}","account_number":"{route.number(to.account)}",'
        rf'"bank_code":"{route.banks[to.institution or ""].code}","currency":"{route.asset.code}"}}',
    )


def _transfer(instruction: Instruction) -> str:
    """What is the same of a transfer by itself and in a batch."""
    return (
        rf'"amount":{instruction.deliver.units},"recipient":"RCP_[0-9a-f]{{16}}",'
        rf'"reference":"{reference(instruction.attempt_id)}","reason":"Lastmile payout"'
    )
