"""MTN MoMo in one country: transfers by the Disbursement API.

MTN's callbacks are unsigned and sent once: a doorbell. `status` asks by the reference id, a UUID made from the attempt's id,
and that answer counts.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime, timedelta

from adapters.mtn_momo import verdict, wire
from adapters.mtn_momo.client import Momo
from adapters.mtn_momo.settings import MtnMomoSettings
from adapters.mtn_momo.wire import Transfer
from gateway.money import Money
from gateway.offramp import (
    AdapterContext,
    AttemptRef,
    Callback,
    CallbackRequest,
    CallsBack,
    Capabilities,
    Destination,
    ForgedCallback,
    Holder,
    HoldsBalance,
    Instruction,
    LooksUpNames,
    NotSent,
    Offramp,
    OfframpError,
    Outcome,
    Report,
    Resend,
)
from gateway.railkit.documents import Unreadable, document_or_empty, money_of, text_of
from gateway.railkit.floats import WantsTopUps
from gateway.railkit.http import Answer, NoAnswer
from gateway.railkit.keys import event_id, uuid4_of
from gateway.railkit.limits import corridor_of

RESULT = "result"
"""The label of our callback addresses."""
HELD_MOST = 10_000
"""How many failures at MTN itself are remembered until the second question; one that is forgotten is held for longer."""


class NotAnswered(OfframpError):
    """MTN did not answer a question: we know as much as before."""


class MtnMomo:
    """The adapter: one API user of the product Disbursements."""

    def __init__(self, context: AdapterContext) -> None:
        """Raises `BadSettings`."""
        self._settings = MtnMomoSettings.read(context.settings)
        self._momo = Momo(settings=self._settings, clock=context.clock)
        self._address = context.callback_address
        self._clock = context.clock
        self._failed_at: OrderedDict[str, datetime] = OrderedDict()
        self._capabilities = Capabilities(
            name=context.name,
            corridors=(self._settings.corridor,),
            resend=Resend.DEDUPED,
            settles_within=self._settings.settles_within,
            resend_within=self._settings.resend_within,
            answer_within=self._settings.answer_within,
        )

    @property
    def capabilities(self) -> Capabilities:
        """One country's MTN wallets; MTN refuses a reference id that it has seen, so that a repeated sending pays once."""
        return self._capabilities

    async def pay(self, instruction: Instruction) -> Report:
        """Ask MTN to transfer. PENDING once it has taken the request."""
        corridor_of(self._capabilities, instruction)
        body = wire.transfer_body(self._settings, instruction)
        reference = uuid4_of(instruction.attempt_id)
        headers = {"x-reference-id": reference}
        if self._settings.call_back:
            headers["x-callback-url"] = self._address(instruction.attempt_id, RESULT)
        try:
            answer = await self._momo.call("POST", wire.TRANSFER_PATH, headers=headers, json=body)
        except NoAnswer as error:
            return Report(outcome=Outcome.UNKNOWN, reason=str(error))
        return verdict.of_payment(answer, reference=reference)

    async def status(self, attempt: AttemptRef) -> Report:
        """Ask by the reference id. Raises `NotAnswered`."""
        reference = uuid4_of(attempt.attempt_id)
        answer = await self._ask(f"{wire.TRANSFER_PATH}/{reference}")
        if answer.status == wire.NOT_FOUND and wire.code_of(answer) == wire.NO_SUCH_ID:
            return verdict.not_found(answer, failed=self._is_long_ago(attempt.sent_at))
        transfer = self._transfer(answer)
        asset = self._settings.target.asset
        report = verdict.of_transfer(transfer, reference=reference, attempt_id=attempt.attempt_id, asset=asset)
        return self._second_look(attempt.attempt_id, report, must_be_held=verdict.must_be_held(transfer))

    async def balance(self) -> tuple[Money, ...]:
        """What our account holds. Raises `NotAnswered`."""
        answer = await self._ask(wire.BALANCE_PATH)
        read, asset = document_or_empty(answer.body), self._settings.target.asset
        money = money_of(read.get("availableBalance"), asset) if read.get("currency") == asset.code else None
        if answer.status != wire.OK or money is None:
            raise NotAnswered(f"no balance in {asset.code}: {_sentence(answer)}")
        return (money,)

    @property
    def top_up_below(self) -> tuple[Money, ...]:
        """The setting of this name."""
        return self._settings.marks

    async def look_up(self, to: Destination) -> Holder:
        """Ask whether the number has an active account, and whose it is. Raises `NotAnswered` and `OutsideLimits`."""
        number = wire.HOLDER_PATH + wire.msisdn(to.account, self._settings)
        if not await self._is_active(number):
            return Holder(can_receive=False)
        answer = await self._ask(f"{number}/basicuserinfo")
        if answer.status != wire.OK:
            # Not every country tells names.
            return Holder(can_receive=True)
        read = document_or_empty(answer.body)
        names = [text_of(read.get("given_name")), text_of(read.get("family_name"))]
        return Holder(name=" ".join(filter(None, names)) or text_of(read.get("name")), can_receive=True)

    def read_callback(self, request: CallbackRequest) -> Callback:
        """Read what arrived at one of our addresses: never proof. Raises `ForgedCallback`."""
        if request.label != RESULT:
            raise ForgedCallback(f"we gave MTN no address labelled {request.label}")
        try:
            transfer = Transfer.read(request.body)
        except Unreadable as error:
            raise ForgedCallback(f"the callback is {error}") from None
        if transfer.external_id != request.attempt_id or not transfer.status:
            raise ForgedCallback("the callback doesn't name this attempt and its status")
        report = verdict.of_transfer(
            transfer,
            reference=uuid4_of(request.attempt_id),
            attempt_id=request.attempt_id,
            asset=self._settings.target.asset,
        )
        if verdict.must_be_held(transfer):
            report = verdict.held(report)
        return Callback(event_id=event_id(request), attempt_id=request.attempt_id, report=report)

    def callback_answer(self) -> tuple[int, Mapping[str, object]]:
        """MTN wants HTTP 200 and reads no body."""
        return 200, {}

    async def close(self) -> None:
        """Close the connections."""
        await self._momo.close()

    async def _ask(self, path: str) -> Answer:
        try:
            return await self._momo.call("GET", path)
        except (NoAnswer, NotSent) as error:
            # Not as NotSent: that speaks of a payment, and this one may well have been made.
            raise NotAnswered(f"the question was not answered: {error}") from None

    def _transfer(self, answer: Answer) -> Transfer:
        try:
            transfer = Transfer.read(answer.body) if answer.status == wire.OK else None
        except Unreadable:
            transfer = None
        if transfer is None:
            raise NotAnswered(f"no transfer in the answer: {_sentence(answer)}")
        return transfer

    async def _is_active(self, number: str) -> bool:
        """GET .../active: {"result": true}, or RESOURCE_NOT_FOUND for a number without an account."""
        answer = await self._ask(f"{number}/active")
        result = document_or_empty(answer.body).get("result")
        if answer.status == wire.NOT_FOUND and wire.code_of(answer) == wire.NO_SUCH_ID:
            return False
        if answer.status != wire.OK or not isinstance(result, bool):
            raise NotAnswered(f"MTN doesn't tell whether the number has an account: {_sentence(answer)}")
        return result

    def _is_long_ago(self, sent_at: datetime) -> bool:
        delay = self._settings.not_found_fails_after_s
        return delay is not None and self._clock() - sent_at >= timedelta(seconds=delay)

    def _second_look(self, attempt_id: str, report: Report, *, must_be_held: bool) -> Report:
        """Believe a failure at MTN itself only if it was told before, long enough ago, with nothing else told in between."""
        if not must_be_held:
            self._failed_at.pop(attempt_id, None)
            return report
        now = self._clock()
        first = self._failed_at.setdefault(attempt_id, now)
        while len(self._failed_at) > HELD_MOST:
            self._failed_at.popitem(last=False)
        return report if now - first >= self._settings.failure_held else verdict.held(report)


def _sentence(answer: Answer) -> str:
    return wire.code_of(answer) or f"HTTP {answer.status}"


_offramp: type[Offramp] = MtnMomo
_calls_back: type[CallsBack] = MtnMomo
_holds_balance: type[HoldsBalance] = MtnMomo
_looks_up_names: type[LooksUpNames] = MtnMomo
_wants_top_ups: type[WantsTopUps] = MtnMomo
