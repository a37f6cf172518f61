"""What the contract suite needs to know of this rail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, ClassVar

from adapters.agent_network.adapter import AgentNetwork
from adapters.agent_network.simulator import app
from gateway.contract.ground import HOLDER
from gateway.contract.harness import Rail
from gateway.contract.requests import Expected
from gateway.contract.suite import OfframpContract
from gateway.offramp import Corridor, Destination, Instruction, Report
from gateway.railkit.keys import uuid4_of
from gateway.railsim import Scenario

_NO_CALLBACK = "the network calls nobody: codes are asked about"
_PHONES = {"KE": "+2547{:08}", "UG": "+2567{:08}"}


class Contract(OfframpContract):
    """The agent network keeps the contract, and the GSMA's own rules."""

    factory = AgentNetwork
    simulator = app
    absent: ClassVar[Mapping[Scenario, str]] = {
        Scenario.TOKEN_EXPIRED: "a client has a key, which doesn't run out",
        Scenario.QUOTE_EXPIRED: "nothing is quoted",
        Scenario.NAME_MISMATCH: "cash goes to whoever we name: there is no account to look up",
        **{each: _NO_CALLBACK for each in Scenario if each.value.startswith("callback_")},
    }
    answer_within_setting: ClassVar[Mapping[str, object]] = {"answer_within_s": 0.5}

    def account(self, number: int) -> str:
        """A Kenyan phone number."""
        return _PHONES["KE"].format(number)

    def destination(self, corridor: Corridor, number: int) -> Destination:
        """A phone number of the corridor's country."""
        account = _PHONES[corridor.country].format(number)
        return Destination(country=corridor.country, method=corridor.method, account=account, holder=HOLDER)

    def secrets(self, settings: Mapping[str, Any]) -> list[str]:
        """What may never show."""
        return [settings["api_key"]]

    async def collect(self, rail: Rail, instruction: Instruction, report: Report) -> None:  # noqa: ARG002
        """An agent pays it out. Of a code that was shown before only its recipient still knows the digits."""
        (waiting,) = self.payouts(instruction)
        claimed = rail.client.post("/_sim/claims", json={"code": waiting["rail"]["code"], "amount": waiting["amount"]})
        if claimed.status_code == 201:
            rail.client.post(f"/_sim/claims/{claimed.json()['claim']}/confirm").raise_for_status()

    def requests(self, instruction: Instruction, settings: Mapping[str, Any]) -> Sequence[Expected]:
        """Every request in the life of a code."""
        to, deliver = instruction.to, instruction.deliver
        counters = settings["counters"]
        account = next(each["account"] for each in counters if each["currency"] == deliver.asset.code)
        codes, one = f"/accounts/accountid/{account}/authorisationcodes", "/cod_[0-9a-f]{16}"
        key = {"x-client-id": settings["client_id"], "x-api-key": settings["api_key"]}
        body = (
            rf'\{{"amount":"{deliver.decimal()}","currency":"{deliver.asset.code}","amountType":"exact","codeLifetime":1209600,'
            r'"holdFundsIndicator":true,"redemptionChannels":\[\{"channelType":"agent"\}\],'
            r'"redemptionTransactionTypes":\[\{"transactionType":"withdrawal"\}\],'
            rf'"customData":\[\{{"key":"reference","value":"{instruction.attempt_id}"\}},'
            rf'\{{"key":"recipientName","value":"{to.holder}"\}},\{{"key":"recipientMsisdn","value":"\{to.account}"\}},'
            rf'\{{"key":"receivingCountry","value":"{to.country}"\}}\]\}}'
        )
        written = key | {"content-type": "application/json", "x-content-hash": "[0-9a-f]{64}"}
        cancelled = r'\[\{"op":"replace","path":"/codeState","value":"cancelled"\}\]'
        correlation = uuid4_of(instruction.attempt_id)
        return (
            Expected(
                name="code",
                method="POST",
                target=codes,
                headers=written | {"x-correlationid": correlation},
                body=body,
                moves_money=True,
            ),
            Expected(name="found", method="GET", target=f"/responses/{correlation}", headers=key),
            Expected(name="shown", method="GET", target=codes + one, headers=key),
            Expected(name="renewed", method="POST", target=f"{codes}{one}/renewals", headers=key),
            Expected(name="cancelled", method="PATCH", target=codes + one, headers=written, body=cancelled),
            Expected(name="withdrawal", method="GET", target="/transactions/wdr_[0-9a-f]{16}", headers=key),
            Expected(name="balance", method="GET", target="/accounts/accountid/acc_[0-9a-f]{12}/balance", headers=key),
        )

    def check_payment_request(
        self,
        request: Mapping[str, Any],
        instruction: Instruction,  # noqa: ARG002 - the suite's signature
        settings: Mapping[str, Any],  # noqa: ARG002
    ) -> None:
        """The digest is that of the body."""
        body = request["body"].encode("latin-1")
        assert dict(request["headers"])["x-content-hash"] == sha256(body).hexdigest()
