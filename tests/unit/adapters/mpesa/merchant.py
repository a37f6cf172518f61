"""A merchant who speaks Daraja by hand: the simulator isn't judged by the adapter that it is made for."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import httpx
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

from gateway.contract.harness import Inbox, Rail, eventually

_numbers = count(1)


@dataclass
class Merchant:
    """One Daraja app at one simulator, with an inbox for callbacks."""

    rail: Rail
    inbox: Inbox
    settings: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.rail.forget_scripts()
        self.settings = self.rail.settings()

    def token(self) -> str:
        keys = (self.settings["consumer_key"], self.settings["consumer_secret"])
        answer = self.rail.client.get("/oauth/v1/generate", params={"grant_type": "client_credentials"}, auth=keys)
        assert answer.json()["expires_in"] == "3599"
        return answer.json()["access_token"]

    def credential(self, password: str | None = None) -> str:
        key = x509.load_pem_x509_certificate(self.settings["certificate"].encode()).public_key()
        return base64.b64encode(key.encrypt((password or self.settings["initiator_password"]).encode(), PKCS1v15())).decode()

    def payment(self, **changes: Any) -> dict[str, Any]:
        number = next(_numbers)
        id_ = changes.get("OriginatorConversationID", f"600997_Test_{number}")
        return {
            "OriginatorConversationID": id_,
            "InitiatorName": self.settings["initiator_name"],
            "SecurityCredential": self.credential(),
            "CommandID": "BusinessPayment",
            "Amount": "10",
            "PartyA": self.settings["short_code"],
            "PartyB": f"2541{number:08}",
            "Remarks": "remarked",
            "QueueTimeOutURL": self.inbox.address(id_, "timeout"),
            "ResultURL": self.inbox.address(id_, "result"),
            "Occassion": "ChristmasPay",
            **changes,
        }

    def question(self, path: str, command: str, **changes: Any) -> httpx.Response:
        id_ = f"question_{next(_numbers)}"
        return self.post(path, {
            "Initiator": self.settings["initiator_name"],
            "SecurityCredential": self.credential(),
            "CommandID": command,
            "PartyA": self.settings["short_code"],
            "IdentifierType": "4",
            "ResultURL": self.inbox.address(id_, "answer"),
            "QueueTimeOutURL": self.inbox.address(id_, "timeout"),
            "Remarks": "OK",
            **changes,
        })  # fmt: skip

    def post(self, path: str, body: object) -> httpx.Response:
        return self.rail.client.post(path, json=body, headers={"authorization": f"Bearer {self.token()}"})

    def pay(self, **changes: Any) -> httpx.Response:
        return self.post("/mpesa/b2c/v3/paymentrequest", self.payment(**changes))

    async def result(self, attempt_id: str, label: str = "result") -> dict[str, Any]:
        (first, *_) = await eventually(
            lambda: [each for each in self.inbox.of(attempt_id) if each.label == label], what=f"a callback at {label}"
        )
        return json.loads(first.body)["Result"]

    async def outcome(self, **changes: Any) -> dict[str, Any]:
        answer = self.pay(**changes)
        assert answer.status_code == 200
        return await self.result(answer.json()["OriginatorConversationID"])

    async def status_of(self, attempt_id: str) -> dict[str, Any]:
        """Ask about a payment, and the answer."""
        label = f"answer{next(_numbers)}"
        answer = self.question(
            "/mpesa/transactionstatus/v1/query",
            "TransactionStatusQuery",
            OriginalConversationID=attempt_id,
            ResultURL=self.inbox.address(attempt_id, label),
        )
        assert answer.status_code == 200
        return await self.result(attempt_id, label)
