"""M-Pesa keeps the contract, and Daraja's own rules."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, ClassVar

import pytest

from adapters.mpesa import Mpesa
from adapters.mpesa.simulator import app
from gateway.offramp import Instruction

pytest.register_assert_rewrite("tests.contract.ground", "tests.contract.suite")

from tests.contract.ground import rail  # noqa: E402
from tests.contract.suite import OfframpContract  # noqa: E402

__all__ = ["rail"]


class TestMpesa(OfframpContract):
    factory = Mpesa
    simulator = app
    answer_within_setting: ClassVar[Mapping[str, object]] = {"answer_within_s": 0.5}

    def account(self, number: int) -> str:
        return f"+2547{number:08}"

    def secrets(self, settings: Mapping[str, Any]) -> list[str]:
        keys = ("consumer_key", "consumer_secret", "initiator_password")
        return [*(settings[key] for key in keys), "SONGOK"]

    def check_payment_request(
        self, request: Mapping[str, Any], instruction: Instruction, settings: Mapping[str, Any]
    ) -> None:
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
