"""Paystack transfers: a recipient for every account, then a transfer under our own reference, proved by a signed webhook.

To create a recipient moves nothing, and an account that Paystack knows already gives the recipient that it has. So nothing
has to be remembered: a process that does remember one spares itself a request.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict, defaultdict
from collections.abc import Mapping, Sequence
from datetime import timedelta
from urllib.parse import urlencode

from adapters.paystack import wire
from adapters.paystack.codes import OTP
from adapters.paystack.routes import ASSETS, ROUTES, route_of
from adapters.paystack.settings import PaystackSettings
from gateway.money import Money
from gateway.offramp import (
    AdapterContext,
    AttemptRef,
    Callback,
    CallbackRequest,
    Capabilities,
    Destination,
    Fault,
    ForgedCallback,
    Holder,
    HoldsBalance,
    Instruction,
    LooksUpNames,
    NamesAttempt,
    NotSent,
    Offramp,
    Outcome,
    OutsideLimits,
    PaysInBulk,
    Report,
    Resend,
)
from gateway.railkit.documents import text_of, units_of
from gateway.railkit.http import Answer, NoAnswer, NotAsked, RailHttp
from gateway.railkit.keys import event_id
from gateway.railkit.limits import corridor_of
from gateway.railkit.meanings import UNLISTED, refuse_what_was_not_taken, report_of
from gateway.railkit.written import exact_json

WEBHOOK = "webhook"
BULK_MOST = 100
"""Transfers in one batch: paystack.com/docs/transfers/bulk-transfers."""
REMEMBERED_MOST = 10_000
OTP_PAUSE = timedelta(minutes=5)
"""How long nothing is sent after a transfer that waits for a one-time password: each would wait as well."""
NO_SUCH_ACCOUNT = 422


class Paystack:
    """The adapter: one Paystack business."""

    def __init__(self, context: AdapterContext) -> None:
        """Raises `BadSettings`."""
        settings = self._settings = PaystackSettings.read(context.settings)
        self._clock = context.clock
        self._http = RailHttp(base_url=settings.base_url, answer_within_s=settings.answer_within_s, provider="Paystack")
        self._recipients: OrderedDict[str, str] = OrderedDict()
        self._paused_until = context.clock()
        self._capabilities = Capabilities(
            name=context.name,
            corridors=tuple(each.corridor(settings.limits) for each in ROUTES if each.country in settings.countries),
            resend=Resend.DEDUPED,
            settles_within=settings.settles_within,
            resend_within=settings.resend_within,
            answer_within=settings.answer_within,
            returns_within=settings.returns_within,
            callbacks_are_proof=True,
        )

    @property
    def capabilities(self) -> Capabilities:
        """Paystack makes one transfer of a reference, however often it is sent."""
        return self._capabilities

    async def pay(self, instruction: Instruction) -> Report:
        """Make a transfer. Raises `NotSent`, also for a recipient that Paystack refuses, `OutsideLimits` and `NoAnswer`."""
        self._refuse_while_paused()
        body = {
            "source": "balance",
            **await self._transfer(instruction),
            "currency": instruction.deliver.asset.code,
        }
        answer = await self._post(wire.TRANSFER_PATH, body)
        if not wire.is_good(answer):
            return _refused(answer)
        return self._noted(wire.report(wire.data_of(answer), attempt=instruction.attempt_id))

    @property
    def bulk_most(self) -> int:
        """As many as one batch takes."""
        return BULK_MOST

    async def pay_bulk(self, batch_id: str, instructions: Sequence[Instruction]) -> Mapping[str, Report]:  # noqa: ARG002 - port
        """One batch per currency; each payment has its own reference and status, so the batch needs no id."""
        self._refuse_while_paused()
        bodies = await asyncio.gather(*map(self._transfer, instructions), return_exceptions=True)
        reports: dict[str, Report] = {}
        batches: dict[str, list[dict[str, object]]] = defaultdict(list)
        for instruction, body in zip(instructions, bodies, strict=True):
            if isinstance(body, NotSent | OutsideLimits):
                reports[instruction.attempt_id] = _not_sent(body)
            elif isinstance(body, BaseException):
                raise body
            else:
                batches[instruction.deliver.asset.code].append(body)
        for currency, transfers in batches.items():
            reports |= await self._batch(currency, transfers)
        return reports

    async def status(self, attempt: AttemptRef) -> Report:
        """Verify by our own reference. "Not found" is UNKNOWN. Raises `NotAsked`."""
        answer = await self._ask(f"{wire.TRANSFER_PATH}/verify/{wire.reference(attempt.attempt_id)}")
        if wire.is_good(answer):
            return wire.report(wire.data_of(answer), attempt=attempt.attempt_id)
        # Whatever an error says, it is about the question.
        return report_of(UNLISTED, reason=wire.refusal(answer)[1])

    async def balance(self) -> tuple[Money, ...]:
        """What can be transferred, per currency. Raises `NotAsked`."""
        answer = await self._ask(wire.BALANCE_PATH)
        if not wire.is_good(answer):
            raise NotAsked(f"no balance: {wire.refusal(answer)[1]}")
        held = []
        for each in wire.listed(answer):
            asset = ASSETS.get(text_of(each.get("currency")) or "") if isinstance(each, dict) else None
            money = None if asset is None else units_of(each.get("balance"), asset)
            if money is not None:
                held.append(money)
        if not held:
            raise NotAsked("no balance: none of a currency that is paid")
        return tuple(held)

    async def look_up(self, to: Destination) -> Holder:
        """Whose account it is, where Paystack tells it. An account that it can't resolve now may be one all the same.

        Raises `NotAsked`.
        """
        route = route_of(to)
        number = route.number(to.account) if route and route.resolves else None
        bank = route.banks.get(to.institution or "") if route else None
        if number is None or bank is None:
            raise NotAsked("Paystack tells nobody's name in this country or at this bank")
        query = urlencode({"account_number": number, "bank_code": bank.code})
        answer = await self._ask(f"/bank/resolve?{query}")
        if answer.status == NO_SUCH_ACCOUNT:
            return Holder()
        name = text_of(wire.data_of(answer).get("account_name")) if wire.is_good(answer) else None
        if name is None:
            raise NotAsked(f"no name: {wire.refusal(answer)[1]}")
        return Holder(name=name, can_receive=True)

    @property
    def webhooks(self) -> Mapping[str, str]:
        """One address for all events."""
        return {WEBHOOK: "dashboard.paystack.com: Settings > API Keys & Webhooks > Live (or Test) Webhook URL"}

    def attempt_of(self, request: CallbackRequest) -> str | None:
        """The attempt of a verified event; None for one about something else. Raises `ForgedCallback`."""
        data = self._event(request)
        return None if data is None else wire.attempt_id(data.get("reference"))

    def read_callback(self, request: CallbackRequest) -> Callback:
        """Read a signed event as proof. Raises `ForgedCallback`."""
        if request.label != WEBHOOK:
            raise ForgedCallback(f"we gave Paystack no address labelled {request.label}")
        data = self._event(request)
        if data is None or wire.attempt_id(data.get("reference")) != request.attempt_id:
            raise ForgedCallback("the webhook is about another payment")
        report = wire.report(data, attempt=request.attempt_id)
        proof = report.outcome is not Outcome.UNKNOWN
        return Callback(event_id=event_id(request), attempt_id=request.attempt_id, report=report, proof=proof)

    def callback_answer(self) -> tuple[int, Mapping[str, object]]:
        """HTTP 200: anything else makes Paystack repeat it."""
        return 200, {}

    async def close(self) -> None:
        """Close the connections to Paystack."""
        await self._http.close()

    # -- parts -----------------------------------------------------------------------------------------------------------

    async def _transfer(self, instruction: Instruction) -> dict[str, object]:
        """A transfer to a recipient that Paystack knows. Raises `NotSent` and `OutsideLimits`: nothing is sent yet."""
        corridor_of(self._capabilities, instruction)
        recipient = await self._recipient(instruction)
        return wire.transfer(instruction, recipient=recipient, narration=self._settings.narration)

    async def _recipient(self, instruction: Instruction) -> str:
        to = instruction.to
        route = route_of(to)
        number = None if route is None else route.number(to.account)
        if route is None or number is None:
            raise OutsideLimits(f"Paystack needs another form of account in {to.country}")
        body = {
            "type": route.kind,
            "name": to.holder,
            "account_number": number,
            "bank_code": route.banks[to.institution or ""].code,
            "currency": route.asset.code,
        }
        known = hashlib.sha256(exact_json(body)).hexdigest()
        if known in self._recipients:
            self._recipients.move_to_end(known)
            return self._recipients[known]
        code = self._recipients[known] = await self._new_recipient(body)
        if len(self._recipients) > REMEMBERED_MOST:
            self._recipients.popitem(last=False)
        return code

    async def _new_recipient(self, body: Mapping[str, object]) -> str:
        try:
            answer = await self._post(wire.RECIPIENT_PATH, body)
        except NoAnswer as error:
            raise NotSent(f"no recipient: {error}") from None
        if not wire.is_good(answer):
            means, sentence = wire.refusal(answer)
            of_request = wire.HTTP_ERROR <= answer.status < 500  # noqa: PLR2004 - HTTP's
            unlisted = Fault.RECIPIENT if of_request else Fault.TRANSIENT
            raise NotSent(f"no recipient: {sentence}", fault=means.fault or unlisted)
        code = text_of(wire.data_of(answer).get("recipient_code"))
        if code is None:
            raise NotSent("no recipient: Paystack's answer names none")
        return code

    async def _batch(self, currency: str, transfers: Sequence[Mapping[str, object]]) -> dict[str, Report]:
        """Send a batch. Payments that the answer doesn't name are left out: UNKNOWN."""
        ids = {str(each["reference"]): wire.attempt_id(each["reference"]) or "" for each in transfers}
        try:
            answer = await self._post(
                wire.BULK_PATH, {"currency": currency, "source": "balance", "transfers": list(transfers)}
            )
            if not wire.is_good(answer):
                return dict.fromkeys(ids.values(), _refused(answer))
        except NotSent as error:
            return dict.fromkeys(ids.values(), _not_sent(error))
        except NoAnswer as error:
            return dict.fromkeys(ids.values(), Report(outcome=Outcome.UNKNOWN, reason=str(error)))
        named = [each for each in wire.listed(answer) if isinstance(each, dict) and each.get("reference") in ids]
        return {ids[each["reference"]]: wire.report(each, attempt=ids[each["reference"]]) for each in named}

    def _event(self, request: CallbackRequest) -> Mapping[str, object] | None:
        key = self._settings.secret_key.get_secret_value()
        return wire.event(request.body, signature=request.headers.get(wire.SIGNATURE), key=key)

    def _refuse_while_paused(self) -> None:
        if self._clock() < self._paused_until:
            raise NotSent(f"a transfer before this one {OTP}", fault=Fault.RAIL)

    def _noted(self, report: Report) -> Report:
        if report.evidence.get("status") == "otp":
            self._paused_until = self._clock() + OTP_PAUSE
        return report

    async def _ask(self, target: str) -> Answer:
        """A question. Never raises `NotSent`, which speaks of payments."""
        try:
            return await self._http.call("GET", target, headers=self._headers())
        except (NotSent, NoAnswer) as error:
            raise NotAsked(f"no answer to the question: {error}") from None

    async def _post(self, target: str, body: Mapping[str, object]) -> Answer:
        headers = {**self._headers(), "content-type": "application/json"}
        return await self._http.call("POST", target, headers=headers, content=exact_json(body))

    def _headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self._settings.secret_key.get_secret_value()}"}


def _not_sent(error: NotSent | OutsideLimits) -> Report:
    """Of one payment of a batch, what `pay` would have raised."""
    fault = error.fault if isinstance(error, NotSent) else Fault.RAIL
    return Report(outcome=Outcome.FAILED, fault=fault, reason=f"not sent: {error}")


def _refused(answer: Answer) -> Report:
    """What a refused transfer means. Raises `NotSent` if nothing was taken."""
    means, sentence = wire.refusal(answer)
    refuse_what_was_not_taken(means, reason=sentence)
    return report_of(means, reason=sentence, evidence={"http_status": str(answer.status)})


_offramp: type[Offramp] = Paystack
_names_attempt: type[NamesAttempt] = Paystack
_holds_balance: type[HoldsBalance] = Paystack
_looks_up_names: type[LooksUpNames] = Paystack
_pays_in_bulk: type[PaysInBulk] = Paystack
