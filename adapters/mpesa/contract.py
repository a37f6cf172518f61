"""What the contract suite needs to know of this rail."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from adapters.mpesa.adapter import Mpesa
from adapters.mpesa.simulator import app
from gateway.contract.harness import Rail
from gateway.contract.requests import Expected, callback_address
from gateway.contract.suite import OfframpContract
from gateway.offramp import Instruction
from gateway.railsim import Scenario

CREDENTIAL = r"[A-Za-z0-9+/]{342}=="
"""A password under Safaricom's key: another text each time."""


class Contract(OfframpContract):
    """M-Pesa keeps the contract, and Daraja's own rules."""

    factory = Mpesa
    simulator = app
    absent: ClassVar[Mapping[Scenario, str]] = {
        Scenario.QUOTE_EXPIRED: "Daraja quotes nothing",
        Scenario.CALLBACK_UNSIGNED: "Daraja signs nothing",
        Scenario.CALLBACK_STALE: "Daraja signs nothing",
        Scenario.NAME_MISMATCH: "Daraja tells no names",
        Scenario.CANCEL_TOO_LATE: "Daraja cancels nothing",
        Scenario.CLAIM_OF_ANOTHER_AMOUNT: "it pays into wallets",
    }
    answer_within_setting: ClassVar[Mapping[str, object]] = {"answer_within_s": 0.5}

    def account(self, number: int) -> str:
        """A Safaricom number."""
        return f"+2547{number:08}"

    def secrets(self, settings: Mapping[str, Any]) -> list[str]:
        """What may never show; SONGOK is the holder's name in Daraja's answers."""
        keys = ("consumer_key", "consumer_secret", "initiator_password")
        return [*(settings[key] for key in keys), "SONGOK"]

    def statement_file(self, rail: Rail) -> bytes:
        """What the portal lets people download."""
        return rail.client.get("/_sim/statement.csv").content

    def requests(self, instruction: Instruction, settings: Mapping[str, Any]) -> Sequence[Expected]:
        """As pages Authorization, BusinessToCustomer and TransactionStatus print them."""
        attempt_id = instruction.attempt_id
        at = {each: callback_address(attempt_id, each) for each in ("result", "timeout", "status", "status_timeout")}
        basic = base64.b64encode(f"{settings['consumer_key']}:{settings['consumer_secret']}".encode()).decode()
        bearer = {"content-type": "application/json", "authorization": r"Bearer [A-Za-z0-9_-]{28}"}
        initiator, credential = settings["initiator_name"], rf'"SecurityCredential":"{CREDENTIAL}"'
        payment = (
            rf'{{"OriginatorConversationID":"{attempt_id}","InitiatorName":"{initiator}",{credential},'
            rf'"CommandID":"BusinessPayment","Amount":"10","PartyA":"{settings["short_code"]}",'
            rf'"PartyB":"{instruction.to.account[1:]}","Remarks":"Lastmile payout",'
            rf'"QueueTimeOutURL":"{at["timeout"]}","ResultURL":"{at["result"]}"}}'
        )
        question = (
            rf'{{"Initiator":"{initiator}",{credential},"CommandID":"TransactionStatusQuery",'
            rf'"OriginalConversationID":"{attempt_id}","PartyA":"{settings["short_code"]}","IdentifierType":"4",'
            rf'"ResultURL":"{at["status"]}","QueueTimeOutURL":"{at["status_timeout"]}",'
            rf'"Remarks":"OK","Occasion":"OK"}}'
        )
        return (
            Expected(
                name="token",
                method="GET",
                target=r"/oauth/v1/generate\?grant_type=client_credentials",
                headers={"authorization": re.escape(f"Basic {basic}")},
            ),
            Expected(
                name="payment",
                method="POST",
                target="/mpesa/b2c/v3/paymentrequest",
                headers=bearer,
                body=payment,
                moves_money=True,
            ),
            Expected(
                name="status", method="POST", target="/mpesa/transactionstatus/v1/query", headers=bearer, body=question
            ),
        )
