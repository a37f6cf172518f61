"""What the contract suite needs to know of this rail."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from adapters.mtn_momo.adapter import MtnMomo
from adapters.mtn_momo.simulator import app
from gateway.contract.requests import Expected, callback_address
from gateway.contract.suite import OfframpContract
from gateway.offramp import Corridor, Destination, Instruction
from gateway.railkit.keys import uuid4_of
from gateway.railsim import Scenario


class Contract(OfframpContract):
    """MTN MoMo keeps the contract, in Uganda, whose shilling has no smaller part."""

    factory = MtnMomo
    simulator = app
    absent: ClassVar[Mapping[Scenario, str]] = {
        Scenario.QUOTE_EXPIRED: "MTN quotes nothing",
        Scenario.PAID_THEN_RETURNED: "a successful transfer stays: the Disbursement API reverses nothing",
        Scenario.CALLBACK_UNSIGNED: "MTN signs nothing",
        Scenario.CALLBACK_STALE: "MTN signs nothing",
        Scenario.CANCEL_TOO_LATE: "MTN cancels nothing",
        Scenario.CLAIM_OF_ANOTHER_AMOUNT: "it pays into wallets",
    }
    answer_within_setting: ClassVar[Mapping[str, object]] = {"answer_within_s": 0.5}

    def account(self, number: int) -> str:
        """A Ugandan number."""
        return f"+25677{number:07}"

    def secrets(self, settings: Mapping[str, Any]) -> list[str]:
        """What may never show."""
        return [settings["subscription_key"], settings["api_key"]]

    def id_at_rail(self, attempt_id: str) -> str:
        """The reference id."""
        return uuid4_of(attempt_id)

    def unknown_account(self, corridor: Corridor) -> Destination:
        """A number without an account."""
        return replace(self.destination(corridor, 1), account="+256770000000")

    def requests(self, instruction: Instruction, settings: Mapping[str, Any]) -> Sequence[Expected]:
        """As MTN's pages print them."""
        attempt_id, number = instruction.attempt_id, instruction.to.account[1:]
        key = {"ocp-apim-subscription-key": settings["subscription_key"]}
        basic = base64.b64encode(f"{settings['api_user']}:{settings['api_key']}".encode()).decode()
        bearer = {**key, "authorization": r"Bearer [A-Za-z0-9_-]{54}", "x-target-environment": "mtnuganda"}
        paying = {
            **bearer,
            "content-type": "application/json",
            "x-reference-id": uuid4_of(attempt_id),
            "x-callback-url": callback_address(attempt_id, "result"),
        }
        body = (
            f'{{"amount":"500","currency":"UGX","externalId":"{attempt_id}",'
            f'"payee":{{"partyIdType":"MSISDN","partyId":"{number}"}},'
            f'"payerMessage":"Lastmile payout","payeeNote":"Lastmile payout"}}'
        )
        holder, product = f"/disbursement/v1_0/accountholder/msisdn/{number}", "/disbursement/v1_0"
        return (
            Expected(
                name="token",
                method="POST",
                target="/disbursement/token/",
                headers={**key, "authorization": re.escape(f"Basic {basic}")},
            ),
            Expected(
                name="transfer",
                method="POST",
                target=f"{product}/transfer",
                headers=paying,
                body=re.escape(body),
                moves_money=True,
            ),
            Expected(name="status", method="GET", target=f"{product}/transfer/{uuid4_of(attempt_id)}", headers=bearer),
            Expected(name="active", method="GET", target=f"{holder}/active", headers=bearer),
            Expected(name="name", method="GET", target=f"{holder}/basicuserinfo", headers=bearer),
            Expected(name="balance", method="GET", target=f"{product}/account/balance", headers=bearer),
        )
