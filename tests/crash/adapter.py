"""The small rail's adapter, found by its entry point as any other."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import sha256

import httpx

from gateway.money import Asset, Money
from gateway.offramp import (
    AdapterContext,
    AttemptRef,
    Callback,
    CallbackAddress,
    CallbackRequest,
    Capabilities,
    Corridor,
    Fault,
    Instruction,
    LineKind,
    Method,
    Outcome,
    Report,
    Resend,
    StatementLine,
)

KES = Asset("KES", 2)
ANSWER_WITHIN_S = 5


class CrashRail:
    """Speaks the small rail's protocol."""

    def __init__(self, context: AdapterContext) -> None:
        corridor = Corridor(
            country="KE",
            method=Method.MOBILE_MONEY,
            asset=KES,
            least=Money(1_000, KES),
            most=Money(25_000_000, KES),
            step=Money(100, KES),
        )
        self._capabilities = Capabilities(
            name=context.name,
            corridors=(corridor,),
            resend=Resend.DEDUPED,
            settles_within=timedelta(hours=24),
            resend_within=timedelta(hours=24),
            answer_within=timedelta(seconds=ANSWER_WITHIN_S),
            concurrency=20,
            returns_within=timedelta(days=1),
        )
        self._clock = context.clock
        self._address: CallbackAddress = context.callback_address
        # Says who calls, so that the rail can kill him.
        headers = {"x-pid": str(os.getpid())}
        self._client = httpx.AsyncClient(base_url=str(context.settings["base_url"]), trust_env=False, headers=headers)

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    async def pay(self, instruction: Instruction) -> Report:
        body = {
            "id": instruction.attempt_id,
            "account": instruction.to.account,
            "units": instruction.deliver.units,
            "callback": self._address(instruction.attempt_id, "result"),
            "at": self._clock().isoformat(),
        }
        return _report((await self._client.post("/pay", json=body)).json())

    async def status(self, attempt: AttemptRef) -> Report:
        return _report((await self._client.get(f"/status/{attempt.attempt_id}")).json())

    async def cancel(self, attempt: AttemptRef) -> Report:
        return _report((await self._client.post("/stop", json={"id": attempt.attempt_id})).json())

    async def balance(self) -> tuple[Money, ...]:
        return (Money((await self._client.get("/balance")).json()["units"], KES),)

    async def statement(self, *, since: datetime, until: datetime) -> Sequence[StatementLine]:
        lines = (await self._client.get("/lines")).json()["lines"]
        found = [
            StatementLine(
                line_id=line["line"],
                kind=LineKind(line["kind"]),
                amount=Money(line["units"], KES),
                at=datetime.fromisoformat(line["at"]),
                attempt_id=line["id"],
                provider_ref=f"ref-{line['id']}",
            )
            for line in lines
        ]
        return [line for line in found if since <= line.at < until]

    def read_callback(self, request: CallbackRequest) -> Callback:
        told = json.loads(request.body)
        return Callback(
            event_id=sha256(request.body).hexdigest(),
            attempt_id=request.attempt_id,
            report=_report({**told, "ref": f"ref-{request.attempt_id}"}),
            proof=told["proof"],
        )

    def callback_answer(self) -> tuple[int, Mapping[str, object]]:
        return 200, {}

    async def close(self) -> None:
        await self._client.aclose()


def _report(told: Mapping[str, object]) -> Report:
    match told["status"]:
        case "paid":
            return Report(outcome=Outcome.PAID, provider_ref=str(told["ref"]), delivered=Money(int(str(told["units"])), KES))
        case "returned":
            return Report(outcome=Outcome.RETURNED, fault=Fault.RECIPIENT, reason="came back")
        case "stopped":
            return Report(outcome=Outcome.FAILED, fault=Fault.RAIL, reason="stopped")
        case "busy":
            return Report(outcome=Outcome.FAILED, fault=Fault.TRANSIENT, reason="busy")
        case "pending":
            return Report(outcome=Outcome.PENDING, provider_ref=str(told["ref"]))
    return Report(outcome=Outcome.UNKNOWN, reason="not found")


def make(context: AdapterContext) -> CrashRail:
    return CrashRail(context)
