"""Airtel Money: disbursements by Airtel's open API, version 2.

A payment is answered at once, often with its result. Whatever isn't clear is asked about by our own id. Callbacks about
disbursements are not confirmed: where they come they are unsigned, and only make us ask.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

from adapters.airtel import wire
from adapters.airtel.codes import WORDS
from adapters.airtel.places import PLACES, corridor, msisdn
from adapters.airtel.settings import AirtelSettings, public_key
from gateway.money import Asset, Money
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
    Report,
    Resend,
)
from gateway.railkit.documents import document_or_empty, inner, money_of, text_of
from gateway.railkit.http import Answer, NoAnswer, NotAsked, RailHttp
from gateway.railkit.keys import event_id
from gateway.railkit.limits import corridor_of
from gateway.railkit.meanings import Kind, refuse_what_was_not_taken
from gateway.railkit.tokens import Token, TokenCache
from gateway.railkit.written import exact_json

WEBHOOK = "webhook"
REFUSED = (400, 401, 403)


class Airtel:
    """The adapter: one application and one disbursement account."""

    def __init__(self, context: AdapterContext) -> None:
        """Raises `BadSettings`."""
        settings = self._settings = AirtelSettings.read(context.settings)
        self._key = public_key(settings.public_key)
        self._http = RailHttp(base_url=settings.base_url, answer_within_s=settings.answer_within_s, provider="Airtel")
        self._tokens = TokenCache(fetch=self._fetch_token, clock=context.clock)
        self._country = {PLACES[country].asset: country for country in settings.countries}
        self._capabilities = Capabilities(
            name=context.name,
            corridors=tuple(corridor(each, limits=settings.limits.get(each)) for each in settings.countries),
            resend=Resend.DEDUPED,
            settles_within=settings.settles_within,
            resend_within=settings.resend_within,
            answer_within=settings.answer_within,
        )

    @property
    def capabilities(self) -> Capabilities:
        """Airtel refuses an id that it has seen, so that a repeated sending pays once."""
        return self._capabilities

    async def pay(self, instruction: Instruction) -> Report:
        """Disburse. Raises `NotSent` for answers that prove that nothing was taken, `OutsideLimits`, and `NoAnswer`."""
        country = corridor_of(self._capabilities, instruction).country
        number = msisdn(instruction.to.account, country=country)
        if number is None:
            raise OutsideLimits(f"Airtel needs a mobile number of {country} in E.164")
        body = wire.payment_body(settings=self._settings, instruction=instruction, msisdn=number, pin=self._encrypted_pin())
        answer = await self._call("POST", self._settings.disbursement_path, country=country, body=body)
        about = wire.said(answer)
        refuse_what_was_not_taken(about.means, reason=about.reason)
        return wire.report(about, attempt=instruction.attempt_id, ordered=instruction.deliver)

    async def status(self, attempt: AttemptRef) -> Report:
        """Ask by our own id. "Not found" is UNKNOWN. Raises `NotAsked`."""
        country = self._country_of(attempt.deliver.asset)
        target = f"{self._settings.disbursement_path}{wire.transaction_id(attempt.attempt_id)}?transactionType=B2C"
        about = wire.said(await self._ask(target, country=country))
        if about.means.fault is Fault.RAIL and not about.transaction:
            # "Refused" without the payment may be about the question: its country, its token.
            return Report(outcome=Outcome.UNKNOWN, reason=f"the question failed: {about.reason}", evidence=about.evidence)
        return wire.report(about, attempt=attempt.attempt_id, ordered=attempt.deliver)

    async def balance(self) -> tuple[Money, ...]:
        """What our account holds, per country. Raises `NotAsked`."""
        held = []
        for country in self._settings.countries:
            answer = await self._ask(self._settings.balance_path, country=country)
            data, asset = inner(document_or_empty(answer.body), "data"), PLACES[country].asset
            money = money_of(data.get("balance"), asset)
            if answer.status != wire.HTTP_OK or money is None or data.get("currency") not in (None, asset.code):
                raise NotAsked(f"no balance: {wire.said(answer).reason}")
            held.append(money)
        return tuple(held)

    async def look_up(self, to: Destination) -> Holder:
        """Whose number it is, and whether it can be paid. Raises `NotAsked`."""
        number = msisdn(to.account, country=to.country) if to.country in self._settings.countries else None
        if number is None:
            raise NotAsked("Airtel knows numbers of its own countries only")
        answer = await self._ask(f"{self._settings.name_path}{number}", country=to.country)
        given = document_or_empty(answer.body)
        data = inner(given, "data")
        if answer.status != wire.HTTP_OK or not data:
            raise NotAsked(f"no name: {wire.said(answer).reason}")
        return _holder(data)

    @property
    def webhooks(self) -> Mapping[str, str]:
        """One address, if the setting says that Airtel calls it."""
        place = "developers.airtel.africa: your application > Disbursement > callback URL"
        return {WEBHOOK: place} if self._settings.calls_back else {}

    def attempt_of(self, request: CallbackRequest) -> str | None:
        """Our id in an unsigned body: whatever it says only makes us ask."""
        return wire.called(request.body)[0]

    def read_callback(self, request: CallbackRequest) -> Callback:
        """Read what arrived, never as proof. Raises `ForgedCallback`."""
        if request.label not in self.webhooks:
            raise ForgedCallback("Airtel was given no such address")
        about, transaction = wire.called(request.body)
        if about != request.attempt_id:
            raise ForgedCallback("the callback names another payment")
        word = text_of(transaction.get("status_code")) or ""
        pending = WORDS.get(word) is Kind.ACCEPTED
        # It doesn't say how much, nor why not: the answer to our question will.
        report = Report(outcome=Outcome.PENDING if pending else Outcome.UNKNOWN, reason="Airtel called")
        return Callback(event_id=event_id(request), attempt_id=request.attempt_id, report=report)

    def callback_answer(self) -> tuple[int, Mapping[str, object]]:
        """What Airtel expects for a callback that we have stored is not published: HTTP 200."""
        return 200, {}

    async def close(self) -> None:
        """Close the connections to Airtel."""
        await self._http.close()

    def _encrypted_pin(self) -> str:
        pin = self._settings.pin.get_secret_value().encode()
        return base64.b64encode(self._key.encrypt(pin, PKCS1v15())).decode()

    def _country_of(self, asset: Asset) -> str:
        if asset not in self._country:
            raise NotAsked(f"{asset.code} is the currency of no configured country")
        return self._country[asset]

    async def _ask(self, target: str, *, country: str) -> Answer:
        """A question. Never raises `NotSent`, which speaks of payments."""
        try:
            return await self._call("GET", target, country=country)
        except (NotSent, NoAnswer) as error:
            raise NotAsked(f"no answer to the question: {error}") from None

    async def _call(self, method: str, target: str, *, country: str, body: Mapping[str, object] | None = None) -> Answer:
        """One request; once more, with a new token, if Airtel says that the token was wrong and so nothing was taken."""
        token = await self._tokens.current()
        answer = await self._send(method, target, country=country, token=token, body=body)
        if wire.said(answer).means.kind is not Kind.BAD_TOKEN:
            return answer
        token = await self._tokens.current(instead_of=token)
        return await self._send(method, target, country=country, token=token, body=body)

    async def _send(
        self, method: str, target: str, *, country: str, token: str, body: Mapping[str, object] | None
    ) -> Answer:
        headers = wire.headers(country, token)
        if body is None:
            return await self._http.call(method, target, headers=headers)
        headers["content-type"] = "application/json"
        return await self._http.call(method, target, headers=headers, content=exact_json(body))

    async def _fetch_token(self) -> Token:
        settings = self._settings
        body = {
            "client_id": settings.client_id.get_secret_value(),
            "client_secret": settings.client_secret.get_secret_value(),
            "grant_type": "client_credentials",
        }
        headers = {"content-type": "application/json", "accept": "*/*"}
        try:
            answer = await self._http.call("POST", wire.TOKEN_PATH, headers=headers, content=exact_json(body))
        except NoAnswer as error:
            raise NotSent(f"no access token: {error}") from None
        token = wire.token_of(answer)
        if token is None:
            fault = Fault.RAIL if answer.status in REFUSED else Fault.TRANSIENT
            raise NotSent(f"no access token from Airtel (HTTP {answer.status})", fault=fault)
        return token


def _holder(data: Mapping[str, object]) -> Holder:
    """Two shapes are known: full_name with is_barred, and user_name with is_airtel_money_user [?]."""
    parts = [text for key in ("first_name", "last_name") if (text := text_of(data.get(key))) is not None]
    name = text_of(data.get("full_name")) or text_of(data.get("user_name")) or " ".join(parts) or None
    barred, user = data.get("is_barred"), data.get("is_airtel_money_user")
    if isinstance(user, bool):
        return Holder(name=name, can_receive=user and barred is not True)
    return Holder(name=name, can_receive=not barred if isinstance(barred, bool) else None)


_offramp: type[Offramp] = Airtel
_names_attempt: type[NamesAttempt] = Airtel
_holds_balance: type[HoldsBalance] = Airtel
_looks_up_names: type[LooksUpNames] = Airtel
