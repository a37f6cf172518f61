"""Flutterwave transfers, version 3.

The reference is our own id, by which a transfer is found again: Flutterwave gives up on a request after 28 seconds with
HTTP 503 and may have taken it. Its webhook isn't signed but has a password in a header, so that it only makes us ask.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

from adapters.flutterwave import wire
from adapters.flutterwave.routes import ROUTES, route_of
from adapters.flutterwave.settings import FlutterwaveSettings
from gateway.money import Money
from gateway.offramp import (
    AdapterContext,
    AttemptRef,
    Callback,
    CallbackRequest,
    Capabilities,
    Destination,
    ForgedCallback,
    Holder,
    HoldsBalance,
    Instruction,
    LooksUpNames,
    Method,
    NamesAttempt,
    NotSent,
    Offramp,
    Outcome,
    OutsideLimits,
    Report,
    Resend,
)
from gateway.railkit.documents import money_of, text_of
from gateway.railkit.http import Answer, NoAnswer, NotAsked, RailHttp
from gateway.railkit.keys import event_id, same
from gateway.railkit.limits import corridor_of
from gateway.railkit.meanings import UNLISTED, refuse_what_was_not_taken, report_of
from gateway.railkit.written import exact_json

WEBHOOK = "webhook"
NO_SUCH_ACCOUNT = 400


class Flutterwave:
    """The adapter: one Flutterwave business."""

    def __init__(self, context: AdapterContext) -> None:
        """Raises `BadSettings`."""
        settings = self._settings = FlutterwaveSettings.read(context.settings)
        self._http = RailHttp(base_url=settings.base_url, answer_within_s=settings.answer_within_s, provider="Flutterwave")
        self._routes = tuple(route for route in ROUTES if route.country in settings.countries)
        self._capabilities = Capabilities(
            name=context.name,
            corridors=tuple(route.corridor(settings.limits) for route in self._routes),
            resend=Resend.DEDUPED,
            settles_within=settings.settles_within,
            resend_within=settings.resend_within,
            answer_within=settings.answer_within,
            returns_within=settings.returns_within,
        )

    @property
    def capabilities(self) -> Capabilities:
        """Flutterwave refuses a reference that it has seen, so that a repeated sending pays once."""
        return self._capabilities

    async def pay(self, instruction: Instruction) -> Report:
        """Make a transfer. Raises `NotSent` for errors that prove that nothing was taken, `OutsideLimits`, `NoAnswer`."""
        corridor_of(self._capabilities, instruction)
        route = route_of(instruction.to)
        if route is None or route.number(instruction.to.account) is None:
            raise OutsideLimits(f"Flutterwave needs another form of account in {instruction.to.country}")
        body = wire.transfer_body(settings=self._settings, instruction=instruction, route=route)
        answer = await self._call("POST", wire.TRANSFERS_PATH, body)
        if wire.is_good(answer):
            return wire.report(wire.data_of(answer), attempt=instruction.attempt_id)
        means, sentence = wire.refusal(answer, settings=self._settings)
        refuse_what_was_not_taken(means, reason=sentence)
        return report_of(means, reason=sentence, evidence={"http_status": str(answer.status)})

    async def status(self, attempt: AttemptRef) -> Report:
        """Ask by Flutterwave's id if we know it, else by our reference. "Not found" is UNKNOWN. Raises `NotAsked`."""
        known = attempt.provider_ref
        by = f"/{known}" if known and known.isdecimal() else f"?{urlencode({'reference': attempt.attempt_id})}"
        answer = await self._ask("GET", wire.TRANSFERS_PATH + by)
        if not wire.is_good(answer):
            return report_of(UNLISTED, reason=wire.refusal(answer, settings=self._settings)[1])
        ours = [each for each in wire.transfers_in(answer) if each.get("reference") == attempt.attempt_id]
        if len(ours) != 1:
            reason = "not found, which may change" if not ours else f"{len(ours)} transfers have our reference"
            return Report(outcome=Outcome.UNKNOWN, reason=reason)
        return wire.report(ours[0], attempt=attempt.attempt_id)

    async def balance(self) -> tuple[Money, ...]:
        """What can be transferred, per currency that is paid. Raises `NotAsked`."""
        held = []
        for asset in dict.fromkeys(route.asset for route in self._routes):
            answer = await self._ask("GET", f"/balances/{asset.code}")
            data = wire.data_of(answer) if wire.is_good(answer) else {}
            money = money_of(data.get("available_balance"), asset)
            if money is None or data.get("currency") != asset.code:
                raise NotAsked(f"no balance: {wire.refusal(answer, settings=self._settings)[1]}")
            held.append(money)
        return tuple(held)

    async def fee(self, instruction: Instruction) -> Money:
        """What a transfer costs, in the recipient's currency. Raises `NotAsked`."""
        kind = "mobilemoney" if instruction.to.method is Method.MOBILE_MONEY else "account"
        asset = instruction.deliver.asset
        query = urlencode({"amount": wire.number_of(instruction.deliver), "currency": asset.code, "type": kind})
        answer = await self._ask("GET", f"{wire.FEE_PATH}?{query}")
        told = [each for each in wire.transfers_in(answer) if each.get("currency") == asset.code]
        money = money_of(told[0].get("fee"), asset) if wire.is_good(answer) and len(told) == 1 else None
        if money is None:
            raise NotAsked(f"no fee: {wire.refusal(answer, settings=self._settings)[1]}")
        return money

    async def look_up(self, to: Destination) -> Holder:
        """Whose bank account it is. One that Flutterwave can't resolve now may be one all the same. Raises `NotAsked`."""
        route = route_of(to)
        if route is None or route.method is not Method.BANK or (to.institution or "") not in route.codes:
            raise NotAsked("Flutterwave tells whose account it is at banks only")
        body = {"account_number": to.account, "account_bank": route.codes[to.institution or ""].code}
        answer = await self._ask("POST", wire.RESOLVE_PATH, body)
        if answer.status == NO_SUCH_ACCOUNT:
            return Holder()
        name = text_of(wire.data_of(answer).get("account_name")) if wire.is_good(answer) else None
        if name is None:
            raise NotAsked(f"no name: {wire.refusal(answer, settings=self._settings)[1]}")
        return Holder(name=name, can_receive=True)

    @property
    def webhooks(self) -> Mapping[str, str]:
        """One address for all events."""
        return {WEBHOOK: "app.flutterwave.com: Settings > Webhooks > URL, with the secret hash of the settings beside it"}

    def attempt_of(self, request: CallbackRequest) -> str | None:
        """The attempt of an event with the right password; None for one about something else. Raises `ForgedCallback`."""
        self._check_hash(request.headers.get(wire.HASH_HEADER, ""))
        data = wire.event(request.body)
        return None if data is None else wire.attempt_id(data.get("reference"))

    def read_callback(self, request: CallbackRequest) -> Callback:
        """Read an event, never as proof. Raises `ForgedCallback`.

        The password is checked on arrival. It isn't stored with the event, so that a later reading goes without.
        """
        if request.label != WEBHOOK:
            raise ForgedCallback(f"we gave Flutterwave no address labelled {request.label}")
        if wire.HASH_HEADER in request.headers:
            self._check_hash(request.headers[wire.HASH_HEADER])
        data = wire.event(request.body)
        if data is None or wire.attempt_id(data.get("reference")) != request.attempt_id:
            raise ForgedCallback("the webhook is about another payment")
        report = wire.report(data, attempt=request.attempt_id)
        return Callback(event_id=event_id(request), attempt_id=request.attempt_id, report=report)

    def callback_answer(self) -> tuple[int, Mapping[str, object]]:
        """HTTP 200: anything else makes Flutterwave repeat it."""
        return 200, {}

    async def close(self) -> None:
        """Close the connections to Flutterwave."""
        await self._http.close()

    def _check_hash(self, given: str) -> None:
        if not same(given, self._settings.secret_hash.get_secret_value()):
            raise ForgedCallback("the webhook lacks the secret hash")

    async def _ask(self, method: str, target: str, body: Mapping[str, object] | None = None) -> Answer:
        """A question. Never raises `NotSent`, which speaks of payments."""
        try:
            return await self._call(method, target, body)
        except (NotSent, NoAnswer) as error:
            raise NotAsked(f"no answer to the question: {error}") from None

    async def _call(self, method: str, target: str, body: Mapping[str, object] | None = None) -> Answer:
        headers = {"authorization": f"Bearer {self._settings.secret_key.get_secret_value()}"}
        if body is None:
            return await self._http.call(method, target, headers=headers)
        headers["content-type"] = "application/json"
        return await self._http.call(method, target, headers=headers, content=exact_json(body))


_offramp: type[Offramp] = Flutterwave
_names_attempt: type[NamesAttempt] = Flutterwave
_holds_balance: type[HoldsBalance] = Flutterwave
_looks_up_names: type[LooksUpNames] = Flutterwave
