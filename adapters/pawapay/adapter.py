"""Payouts to mobile wallets by pawaPay's merchant API, version 2.

pawaPay takes a payout (ACCEPTED) and says later what became of it: to the address that a person entered in its Dashboard,
signed if that is switched on there, and in answer to questions by our own id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from adapters.pawapay import verdict, wire
from adapters.pawapay.client import KeyRing, Merchant
from adapters.pawapay.facts import Standing, standings
from adapters.pawapay.settings import PawaPaySettings
from adapters.pawapay.signatures import Message, UnknownKey, Unproven, verify
from gateway.money import Money
from gateway.offramp import (
    RAILS_OWN,
    AdapterContext,
    AttemptRef,
    Callback,
    CallbackRequest,
    Cancels,
    Capabilities,
    ForgedCallback,
    HoldsBalance,
    Instruction,
    NamesAttempt,
    Offramp,
    Outcome,
    PaysInBulk,
    Report,
    Resend,
)
from gateway.railkit.documents import Unreadable, document, document_or_empty, money_of, read_json, text_of
from gateway.railkit.http import NoAnswer, NotAsked
from gateway.railkit.keys import event_id, same, uuid4_of
from gateway.railkit.limits import corridor_of

PAYOUTS = "payouts"
"""The label of our callback address."""
WEBHOOKS: Mapping[str, str] = {PAYOUTS: "Dashboard, System configuration, Callback URLs: Payouts"}


class PawaPay:
    """The adapter: one account at pawaPay."""

    def __init__(self, context: AdapterContext) -> None:
        """Raises `BadSettings`."""
        self._settings = PawaPaySettings.read(context.settings)
        self._places = {(each.country, each.currency): each for each in self._settings.places()}
        self._merchant = Merchant(self._settings, clock=context.clock)
        self._keys = KeyRing(self._settings, self._merchant, clock=context.clock)
        self._seal_key = self._settings.api_token.get_secret_value().encode()
        self._webhook = context.callback_address(RAILS_OWN, PAYOUTS)
        self._capabilities = Capabilities(
            name=context.name,
            corridors=self._settings.corridors(),
            resend=Resend.DEDUPED,
            settles_within=self._settings.settles_within,
            resend_within=self._settings.resend_within,
            answer_within=self._settings.answer_within,
            callbacks_are_proof=self._settings.signed_callbacks,
        )
        self._assets = {each.asset.code: each.asset for each in self._capabilities.corridors}

    @property
    def capabilities(self) -> Capabilities:
        """The countries of the settings, each with its wallets; a repeated id pays once; what is COMPLETED stays so."""
        return self._capabilities

    @property
    def webhooks(self) -> Mapping[str, str]:
        """One address for all payouts."""
        return WEBHOOKS

    @property
    def bulk_most(self) -> int:
        """How many payouts one request takes."""
        return wire.BULK_MOST

    async def pay(self, instruction: Instruction) -> Report:
        """Ask pawaPay to pay. PENDING once it has taken the payout; it says later what became of it."""
        body = wire.encoded(self._payout(instruction))
        try:
            answer = await self._merchant.send(wire.PAYOUTS, body)
        except NoAnswer as error:
            return Report(outcome=Outcome.UNKNOWN, reason=str(error))
        return verdict.of_payment(answer)

    async def pay_bulk(self, batch_id: str, instructions: Sequence[Instruction]) -> Mapping[str, Report]:  # noqa: ARG002
        """Up to 20 payouts in one request, each with an id and an answer of its own; pawaPay knows no id of the batch."""
        body = wire.encoded([self._payout(each) for each in instructions])
        try:
            answer = await self._merchant.send(wire.BULK, body)
        except NoAnswer:
            return {}
        if answer.status != wire.OK:
            report = verdict.of_payment(answer)
            return {each.attempt_id: report for each in instructions}
        try:
            listed = read_json(answer.body)
        except Unreadable:
            return {}
        items = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
        by_id = {str(each.get("payoutId")).lower(): each for each in items}
        found = {each.attempt_id: by_id.get(uuid4_of(each.attempt_id)) for each in instructions}
        return {id_: verdict.of_bulk_item(item) for id_, item in found.items() if item is not None}

    async def status(self, attempt: AttemptRef) -> Report:
        """Ask by our own id. Raises `NotAsked`."""
        await self._keys.renew()
        answer = await self._merchant.ask(f"{wire.PAYOUTS}/{uuid4_of(attempt.attempt_id)}")
        values = document_or_empty(answer.body)
        return verdict.of_status(values, attempt_id=attempt.attempt_id, asset=attempt.deliver.asset)

    async def cancel(self, attempt: AttemptRef) -> Report:
        """Ask pawaPay to fail a payout that waits for its wallet's operator, then what became of it. Raises `NotAsked`."""
        await self._merchant.ask(wire.CANCEL + uuid4_of(attempt.attempt_id), method="POST")
        return await self.status(attempt)

    async def resend_callback(self, attempt: AttemptRef) -> None:
        """Let pawaPay call back again about a payout that is final. Raises `NotAsked`."""
        await self._merchant.ask(wire.RESEND + uuid4_of(attempt.attempt_id), method="POST")

    def attempt_of(self, request: CallbackRequest) -> str | None:
        """Our id in a callback's metadata. Raises `ForgedCallback`."""
        return self._read(request)[0]

    def read_callback(self, request: CallbackRequest) -> Callback:
        """Verify and read. Proof if signed under a known key and about what we ordered; else a doorbell."""
        attempt_id, proven = self._read(request)
        if attempt_id is None or (request.attempt_id not in (attempt_id, RAILS_OWN)):
            raise ForgedCallback("the callback names another attempt")
        values = document(request.body)
        asset = self._assets.get(text_of(values.get("currency")) or "")
        report = verdict.of_payout(values, attempt_id=attempt_id, asset=asset)
        given = wire.metadata(values).get(wire.SEAL, "")
        as_ordered = same(given, wire.seal(values, attempt_id, key=self._seal_key))
        return Callback(
            event_id=event_id(replace(request, attempt_id=attempt_id)),
            attempt_id=attempt_id,
            report=report,
            proof=proven and as_ordered and report.outcome in (Outcome.PAID, Outcome.FAILED),
        )

    def callback_answer(self) -> tuple[int, Mapping[str, object]]:
        """HTTP 200; pawaPay looks at nothing else."""
        return wire.OK, {}

    async def balance(self) -> tuple[Money, ...]:
        """What our wallets in our countries hold, one sum per currency. Each wallet pays in its own country only."""
        listed = document_or_empty((await self._merchant.ask(wire.BALANCES)).body).get("balances")
        countries = {each.iso3 for each in self._places.values()}
        held = {code: Money(0, asset) for code, asset in self._assets.items()}
        if not isinstance(listed, list):
            raise NotAsked("pawaPay's answer has no balances")
        for each in listed:
            if not isinstance(each, dict) or each.get("country") not in countries or each.get("currency") not in held:
                continue
            money = money_of(each.get("balance"), self._assets[each["currency"]])
            if money is None:
                raise NotAsked("a balance in pawaPay's answer is no amount")
            held[each["currency"]] += money
        return tuple(held.values())

    async def availability(self) -> tuple[Standing, ...]:
        """How the operators of the wallets are doing: GET /v2/availability. Raises `NotAsked`."""
        return standings((await self._merchant.ask(wire.AVAILABILITY)).body)

    async def active_configuration(self) -> tuple[Standing, ...]:
        """What our account may pay, with the limits to put into the settings: GET /v2/active-conf. Raises `NotAsked`."""
        return standings((await self._merchant.ask(wire.CONFIGURATION)).body)

    async def close(self) -> None:
        """Close the connections."""
        await self._merchant.close()

    def _payout(self, instruction: Instruction) -> dict[str, Any]:
        corridor = corridor_of(self._capabilities, instruction)
        place = self._places[corridor.country, corridor.asset.code]
        message = self._settings.message
        return wire.payout(instruction, corridor=corridor, place=place, message=message, key=self._seal_key)

    def _read(self, request: CallbackRequest) -> tuple[str | None, bool]:
        """(our attempt, whether pawaPay's signature proves the callback). Raises `ForgedCallback`."""
        if request.label != PAYOUTS:
            raise ForgedCallback(f"we gave pawaPay no address labelled {request.label}")
        try:
            values = document(request.body)
        except Unreadable as error:
            raise ForgedCallback(f"the callback is {error}") from None
        id_, status = text_of(values.get("payoutId")), text_of(values.get("status"))
        if id_ is None or status is None:
            raise ForgedCallback("the callback is no payout")
        proven = self._is_proven(request)
        attempt_id = wire.metadata(values).get(wire.ATTEMPT)
        if attempt_id is not None and not same(id_.lower(), uuid4_of(attempt_id)):
            raise ForgedCallback("the callback's id isn't that of its attempt")
        return attempt_id, proven

    def _is_proven(self, request: CallbackRequest) -> bool:
        """False where callbacks aren't signed, or with a key that isn't known here. Raises `ForgedCallback`."""
        if not self._settings.signed_callbacks:
            return False
        message = Message("POST", self._webhook, dict(request.headers))
        fresh = timedelta(seconds=self._settings.callback_fresh_s)
        try:
            verify(message, request.body, keys=self._keys.keys, now=request.received_at, fresh=fresh)
        except UnknownKey:
            self._keys.want()
            return False
        except Unproven as error:
            raise ForgedCallback(f"the callback can't be believed: {error}") from None
        return True


_offramp: type[Offramp] = PawaPay
_names_attempt: type[NamesAttempt] = PawaPay
_cancels: type[Cancels] = PawaPay
_holds_balance: type[HoldsBalance] = PawaPay
_pays_in_bulk: type[PaysInBulk] = PawaPay
