"""What the contract suite needs to know of this rail."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from re import escape
from typing import Any, ClassVar

from adapters.pawapay.adapter import PawaPay
from adapters.pawapay.places import PLACES
from adapters.pawapay.settings import private_key
from adapters.pawapay.signatures import Message, verify
from adapters.pawapay.simulator import app
from gateway.clock import system_clock
from gateway.contract.ground import HOLDER
from gateway.contract.requests import Expected
from gateway.contract.suite import OfframpContract
from gateway.offramp import Corridor, Destination, Instruction
from gateway.railkit.keys import uuid4_of
from gateway.railsim import Scenario

BYTES = ":[A-Za-z0-9+/]+={0,2}:"
COMPONENTS = escape('("@method" "@authority" "@path" "signature-date" "content-digest" "content-type")')


class Contract(OfframpContract):
    """pawaPay keeps the contract, with signed requests and signed callbacks."""

    factory = PawaPay
    simulator = app
    absent: ClassVar[Mapping[Scenario, str]] = {
        Scenario.RATE_LIMITED: "pawaPay documents no limit of requests, nor an answer that would say so",
        Scenario.TOKEN_EXPIRED: "the API token is made by a person and doesn't run out",
        Scenario.QUOTE_EXPIRED: "pawaPay quotes nothing",
        Scenario.PAID_THEN_RETURNED: "COMPLETED is documented as final",
        Scenario.NAME_MISMATCH: "pawaPay tells no names",
        Scenario.CLAIM_OF_ANOTHER_AMOUNT: "it pays into wallets",
    }
    answer_within_setting: ClassVar[Mapping[str, object]] = {"answer_within_s": 0.5}

    def account(self, number: int) -> str:
        """A Rwandan number."""
        return f"+25078{number:06}1"

    def destination(self, corridor: Corridor, number: int) -> Destination:
        """A number of the corridor's country."""
        prefix = next(each.prefix for each in PLACES if each.country == corridor.country)
        return Destination(
            country=corridor.country,
            method=corridor.method,
            account=f"{prefix}7{number:07}1",
            holder=HOLDER,
            institution=corridor.institutions[-1].code,
        )

    def id_at_rail(self, attempt_id: str) -> str:
        """The payoutId."""
        return uuid4_of(attempt_id)

    def secrets(self, settings: Mapping[str, Any]) -> list[str]:
        """What may never show: the token, and a line of the private key."""
        return [settings["api_token"], settings["signing_key"].splitlines()[1]]

    def requests(self, instruction: Instruction, settings: Mapping[str, Any]) -> Sequence[Expected]:
        """Everything that may be sent in a payment's life."""
        asking = {"authorization": f"Bearer {settings['api_token']}"}
        payout_id = uuid4_of(instruction.attempt_id)
        return (
            _paying("pay", "/v2/payouts", _body(instruction), settings),
            Expected(name="cancel", method="POST", target=f"/v2/payouts/fail-enqueued/{payout_id}", headers=asking),
            Expected(name="status", method="GET", target=f"/v2/payouts/{payout_id}", headers=asking),
            Expected(name="balances", method="GET", target="/v2/wallet-balances", headers=asking),
        )

    def bulk_requests(
        self,
        batch_id: str,  # noqa: ARG002 - pawaPay knows no id of a batch
        orders: Sequence[Instruction],
        settings: Mapping[str, Any],
    ) -> Sequence[Expected]:
        """One request with all of them."""
        body = r"\[" + ",".join(map(_body, orders)) + r"\]"
        return (_paying("bulk", "/v2/payouts/bulk", body, settings),)

    def check_payment_request(
        self, request: Mapping[str, Any], instruction: Instruction, settings: Mapping[str, Any]
    ) -> None:
        """The signature is ours, and covers the body."""
        headers = dict(request["headers"])
        keys = {"LASTMILE:1": private_key(settings["signing_key"]).public_key()}
        message = Message("POST", f"http://{headers['host']}{request['target']}", headers)
        body = request["body"].encode("latin-1")
        verify(message, body, keys=keys, now=system_clock(), fresh=timedelta(minutes=1))
        assert json.loads(body)["payoutId"] == uuid4_of(instruction.attempt_id)


def _paying(name: str, target: str, body: str, settings: Mapping[str, Any]) -> Expected:
    """A request that moves money, signed."""
    parameters = r'created=[0-9]{10};keyid="LASTMILE:1";alg="ecdsa-p256-sha256";expires=[0-9]{10}'
    headers = {
        "authorization": f"Bearer {settings['api_token']}",
        "content-type": "application/json",
        "content-digest": f"sha-512={BYTES}",
        "signature-date": r"20[0-9-]{8}T[0-9:]{8}\.[0-9]{6}Z",
        "signature-input": f"sig-pp={COMPONENTS};{parameters}",
        "signature": f"sig-pp={BYTES}",
    }
    return Expected(name=name, method="POST", target=target, headers=headers, body=body, moves_money=True)


def _body(instruction: Instruction) -> str:
    payout_id = uuid4_of(instruction.attempt_id)
    place = next(each for each in PLACES if each.country == instruction.to.country)
    whole = instruction.deliver.decimal().partition(".")[0]
    return (
        escape(
            f'{{"payoutId":"{payout_id}","amount":"{whole}","currency":"{place.currency}",'
            f'"recipient":{{"type":"MMO","accountDetails":{{"phoneNumber":"{instruction.to.account[1:]}",'
            f'"provider":"{place.providers[instruction.to.institution or ""]}"}}}},'
            f'"clientReferenceId":"{instruction.attempt_id}","customerMessage":"Lastmile payout",'
            f'"metadata":[{{"attemptId":"{instruction.attempt_id}"}},{{"seal":"'
        )
        + r'[0-9a-f]{32}"}\]\}'
    )
