"""What the contract suite needs to know of this rail."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, ClassVar

from adapters.mpesa.adapter import Mpesa
from adapters.mpesa.simulator import app
from gateway.contract.suite import OfframpContract
from gateway.offramp import Instruction
from gateway.railsim import Scenario


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

    def check_payment_request(
        self, request: Mapping[str, Any], instruction: Instruction, settings: Mapping[str, Any]
    ) -> None:
        """POST /mpesa/b2c/v3/paymentrequest, as page BusinessToCustomer prints it."""
        attempt_id, callback = instruction.attempt_id, r"http://127\.0\.0\.1:[0-9]+/" + instruction.attempt_id
        assert (request["method"], request["target"]) == ("POST", "/mpesa/b2c/v3/paymentrequest")
        headers = dict(request["headers"])
        assert headers["content-type"] == "application/json"
        assert re.fullmatch(r"Bearer [A-Za-z0-9_-]{28}", headers["authorization"])
        assert headers["content-length"] == str(len(request["body"]))
        expected = (
            rf'{{"OriginatorConversationID":"{attempt_id}","InitiatorName":"{settings["initiator_name"]}",'
            rf'"SecurityCredential":"[A-Za-z0-9+/]{{342}}==","CommandID":"BusinessPayment","Amount":"10",'
            rf'"PartyA":"{settings["short_code"]}","PartyB":"{instruction.to.account[1:]}","Remarks":"Lastmile payout",'
            rf'"QueueTimeOutURL":"{callback}/timeout","ResultURL":"{callback}/result"}}'
        )
        assert re.fullmatch(expected, request["body"])
        assert json.loads(request["body"])["OriginatorConversationID"] == attempt_id
