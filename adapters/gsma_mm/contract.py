"""What the contract suite needs to know of this rail."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from re import escape
from typing import Any, ClassVar

from adapters.gsma_mm.adapter import GsmaMm
from adapters.gsma_mm.simulator import app
from gateway.contract.ground import HOLDER
from gateway.contract.requests import Expected, callback_address
from gateway.contract.suite import OfframpContract
from gateway.offramp import Corridor, Destination, Instruction
from gateway.railkit.keys import uuid4_of
from gateway.railsim import Scenario

BASE = "/simulator/v1\\.2/passthrough/mm"
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"


class Contract(OfframpContract):
    """The GSMA adapter keeps the contract with the shipped profile "sandbox"."""

    factory = GsmaMm
    simulator = app
    absent: ClassVar[Mapping[Scenario, str]] = {
        Scenario.CALLBACK_UNSIGNED: "the API signs nothing",
        Scenario.CALLBACK_STALE: "the API signs nothing",
        Scenario.CANCEL_TOO_LATE: "a disbursement is reversed, not cancelled",
        Scenario.CLAIM_OF_ANOTHER_AMOUNT: "a disbursement pays into a wallet",
    }
    answer_within_setting: ClassVar[Mapping[str, object]] = {"answer_within_s": 0.5}

    def account(self, number: int) -> str:
        """A Rwandan number."""
        return f"+25078{number:06}1"

    def destination(self, corridor: Corridor, number: int) -> Destination:
        """A wallet in the corridor's country."""
        account = self.account(number) if corridor.country == "RW" else f"+23324{number:06}1"
        return Destination(
            country=corridor.country, method=corridor.method, account=account, holder=HOLDER, institution="mtn"
        )

    def unknown_account(self, corridor: Corridor) -> Destination | None:
        """The simulated operator has no accounts whose number ends with 000."""
        return Destination(
            country=corridor.country, method=corridor.method, account="+250781234000", holder=HOLDER, institution="mtn"
        )

    def id_at_rail(self, attempt_id: str) -> str:
        """The X-CorrelationID."""
        return uuid4_of(attempt_id)

    def secrets(self, settings: Mapping[str, Any]) -> list[str]:
        """What may never show; Mukamana is the holder's name in the operator's answers."""
        return [*(settings[key] for key in ("client_secret", "api_key", "account")), "Mukamana"]

    def requests(self, instruction: Instruction, settings: Mapping[str, Any]) -> Sequence[Expected]:
        """Everything that may be sent in a payment's life."""
        key = {"x-api-key": escape(settings["api_key"]), "x-date": r"20[0-9-]{8}T[0-9:]{8}\.[0-9]{3}Z"}
        asking = {**key, "authorization": r"Bearer [A-Za-z0-9_-]{32}"}
        attempt_id, payee = instruction.attempt_id, instruction.to.account
        posting = {
            **asking,
            "content-type": "application/json",
            "x-correlationid": uuid4_of(attempt_id),
            "x-callback-url": callback_address(attempt_id, "result"),
            "x-content-hash": "[0-9a-f]{64}",
        }
        body = (
            f'{{"amount":"{instruction.deliver.decimal()}","currency":"{instruction.deliver.asset.code}",'
            f'"debitParty":[{{"key":"accountid","value":"{settings["account"]}"}}],'
            f'"creditParty":[{{"key":"msisdn","value":"{payee}"}}],'
            f'"requestingOrganisationTransactionReference":"{attempt_id}","descriptionText":"Lastmile payout"}}'
        )
        form = {"content-type": "application/x-www-form-urlencoded", "authorization": "Basic [A-Za-z0-9+/=]+", **key}
        wallet = f"{BASE}/accounts/msisdn/{escape(payee.replace('+', '%2B'))}"
        return (
            Expected(
                name="token",
                method="POST",
                target="/v1/oauth/accesstoken",
                headers=form,
                body="grant_type=client_credentials",
            ),
            Expected(
                name="pay",
                method="POST",
                target=f"{BASE}/transactions/type/disbursement",
                headers=posting,
                body=escape(body),
                moves_money=True,
            ),
            Expected(name="link", method="GET", target=f"{BASE}/responses/{uuid4_of(attempt_id)}", headers=asking),
            Expected(name="state", method="GET", target=f"{BASE}/requeststates/{UUID}", headers=asking),
            Expected(name="transaction", method="GET", target=f"{BASE}/transactions/REF-[0-9]{{15}}", headers=asking),
            Expected(name="name", method="GET", target=f"{wallet}/accountname", headers=asking),
            Expected(name="account", method="GET", target=f"{wallet}/status", headers=asking),
            Expected(
                name="balance",
                method="GET",
                target=f"{BASE}/accounts/accountid/{settings['account']}/balance",
                headers=asking,
            ),
        )

    def check_payment_request(
        self, request: Mapping[str, Any], instruction: Instruction, settings: Mapping[str, Any]
    ) -> None:
        """X-Content-Hash is the body's."""
        sent = request["body"].encode("latin-1")
        assert dict(request["headers"])["x-content-hash"] == hashlib.sha256(sent).hexdigest()
        assert json.loads(sent)["debitParty"][0]["value"] == settings["account"]
        assert json.loads(sent)["requestingOrganisationTransactionReference"] == instruction.attempt_id
