"""A simulator of Airtel's open API: token, disbursements, enquiry, balance, user look-up.

`app` makes the application; serve it with uvicorn. `/_sim/settings` shows the settings with which the adapter can use it. It
calls the address entered at `PUT /_sim/webhook` about every payment, unsigned, as Airtel does for collections.
"""

from __future__ import annotations

import base64
import json
import re
import secrets
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from fastapi import Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from adapters.airtel.places import PLACES, Place
from gateway.money import Money
from gateway.railsim import Codes, Course, Delivery, Desk, Options, Payment, RailApp, Scenario, Script, State

ABSENT: Mapping[Scenario, str] = {
    Scenario.QUOTE_EXPIRED: "Airtel quotes nothing",
    Scenario.PAID_THEN_RETURNED: "no answer for money that came back is published",
    Scenario.CALLBACK_UNSIGNED: "Airtel signs nothing",
    Scenario.CALLBACK_STALE: "Airtel signs nothing",
    Scenario.CANCEL_TOO_LATE: "Airtel cancels nothing",
    Scenario.CLAIM_OF_ANOTHER_AMOUNT: "it pays into wallets",
}
SERVED = ("ZM", "UG", "KE")
LIFE_S = 180
UNREGISTERED = "0000"
"""Numbers that end with it have no wallet."""
PAID, IN_PROCESS, DUPLICATE, NOT_FOUND, REFUSED = (f"DP00900001{each}" for each in ("001", "006", "017", "015", "013"))
WORDS: Mapping[str, str] = {PAID: "TS", IN_PROCESS: "TIP"}
BAD_TOKEN = {"error_description": "The access token is invalid or has expired", "error": "invalid_token"}
_FIELD = {"id": r"[A-Za-z0-9]{4,64}", "reference": r"[A-Za-z0-9]{4,64}", "type": "B2C"}


def app(options: Options | None = None) -> RailApp:
    """Make the simulator. Without options they are read from the environment (see `Options.from_environment`)."""
    desk = Desk(
        options=options or Options.from_environment(),
        floats=[Money(50_000_000 * 10**each.asset.decimals, each.asset) for each in map(PLACES.__getitem__, SERVED)],
        offers=frozenset(Scenario) - frozenset(ABSENT),
        codes=Codes(failed="DP00900001010", low_float="DP00900001007"),
    )
    return OpenApi(desk).app


class Credentials(BaseModel):
    """What the portal shows an application's owner, and the key that opens the PIN. Made once, kept with the state."""

    client_id: str
    client_secret: str
    pin: str
    private_key: str

    @classmethod
    def of(cls, desk: Desk) -> Credentials:
        """Those on the desk's shelf, or new ones."""
        kept = desk.shelf.get("secrets", "airtel")
        if kept is not None:
            return cls.model_validate(kept)
        key = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 - the portal's has 1024 bits
        made = cls(
            client_id=secrets.token_hex(18),
            client_secret=secrets.token_hex(18),
            pin=f"{secrets.randbelow(10_000):04}",
            private_key=key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        )
        desk.shelf.put(("secrets", "airtel", made.model_dump()))
        return made

    def key(self) -> rsa.RSAPrivateKey:
        """The private key."""
        key = load_pem_private_key(self.private_key.encode(), password=None)
        assert isinstance(key, rsa.RSAPrivateKey)
        return key


class OpenApi(Course):
    """The protocol of one application and disbursement account."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk, title="Airtel Money simulator")
        self.credentials = Credentials.of(desk)
        self.key = self.credentials.key()
        self._tokens: dict[str, Any] = {}
        self.app.post("/auth/oauth2/token")(self.token)
        self.app.post("/standard/v2/disbursements/")(self.pay)
        self.app.get("/standard/v2/disbursements/{id_}")(self.enquire)
        self.app.get("/standard/v1/users/balance")(self.balance)
        self.app.get("/standard/v1/users/{msisdn}")(self.user)

    def settings(self, base_url: str) -> dict[str, Any]:
        """The adapter's settings."""
        public = self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return {
            "base_url": base_url,
            **self.credentials.model_dump(exclude={"private_key"}),
            "public_key": base64.b64encode(public).decode(),
            "countries": list(SERVED),
            "calls_back": True,
        }

    # -- endpoints -------------------------------------------------------------------------------------------------------

    async def token(self, request: Request) -> Response:
        """POST /auth/oauth2/token."""
        known = self.credentials
        right = {
            "client_id": known.client_id,
            "client_secret": known.client_secret,
            "grant_type": "client_credentials",
        }
        if _object(await request.body()) != right:
            error = {"error_description": "Invalid client authentication", "error": "invalid_client"}
            return JSONResponse(error, status_code=400)
        token = secrets.token_urlsafe(24)
        self._tokens[token] = self.desk.clock() + timedelta(seconds=LIFE_S)
        return JSONResponse({"access_token": token, "expires_in": str(LIFE_S), "token_type": "bearer"})

    async def pay(self, request: Request) -> Response:
        """POST /standard/v2/disbursements/."""
        if (wrong := self._wrong_headers(request)) is not None:
            return wrong
        place = PLACES[request.headers["x-country"]]
        given = _object(await request.body())
        if (problem := _problem(given, place)) is not None:
            return _status(REFUSED, problem)
        if not self._is_pin(given["pin"]):
            return _status(REFUSED, "Incorrect Encrypted Pin")
        if self.desk.find(given["transaction"]["id"]) is not None:
            return _status(DUPLICATE, "Transaction id already used")
        payment = self._payment(given, place)
        return await self.take(payment, refusal=self._refusal, accepted=self._answer)

    async def enquire(self, request: Request, id_: str) -> Response:
        """GET /standard/v2/disbursements/{id}?transactionType=B2C."""
        if (wrong := self._wrong_headers(request)) is not None:
            return wrong
        if request.url.query != "transactionType=B2C":
            return _status(REFUSED, "Missing header/body params")
        payment = self.asked(id_)
        if payment is None or self.hides(payment):
            return _status(NOT_FOUND, "Transaction not found")
        if self.question_fails(payment):
            code = payment.script.code
            return _unavailable() if code is None else _status(code, "An error occurred")
        if Scenario.UNLISTED_STATUS in payment.script:
            return _status(payment.script.status, "No words for this", {"id": payment.id, "status": "TX"})
        return self._answer(payment)

    async def balance(self, request: Request) -> Response:
        """GET /standard/v1/users/balance."""
        if (wrong := self._wrong_headers(request)) is not None:
            return wrong
        currency = request.headers["x-currency"]
        data = {"balance": self.desk.held(currency).decimal(), "currency": currency, "account_status": "Active"}
        return JSONResponse({"data": data, "status": {"code": "200", "message": "SUCCESS", "success": True}})

    async def user(self, request: Request, msisdn: str) -> Response:
        """GET /standard/v1/users/{msisdn}."""
        if (wrong := self._wrong_headers(request)) is not None:
            return wrong
        account = f"+{PLACES[request.headers['x-country']].prefix}{msisdn}"
        last = "Otherperson" if self._plays_mismatch(account) else "Canary-Wallet"
        known = not msisdn.endswith(UNREGISTERED)
        data = {"first_name": "Wanjiku", "last_name": last, "is_barred": not known, "is_pin_set": known, "msisdn": msisdn}
        return JSONResponse({"data": data, "status": {"code": "200", "message": "SUCCESS", "success": True}})

    # -- hooks -----------------------------------------------------------------------------------------------------------

    def callback(self, payment: Payment) -> Delivery | None:
        """What is told of a payment, with the errors that its script asks for."""
        if self.desk.webhook is None:
            return None
        script = payment.script
        id_ = _other(payment.id) if Scenario.CALLBACK_WRONG_ID in script else payment.id
        amount = self.desk.amount_of(payment)
        if Scenario.CALLBACK_WRONG_AMOUNT in script:
            amount += Money(7 * 10**amount.asset.decimals, amount.asset)
        payee = _other(payment.account) if Scenario.CALLBACK_WRONG_PAYEE in script else payment.account
        paid = payment.status is State.PAID
        transaction = {
            "id": id_,
            "message": _sent(payee, amount) if paid else "Transaction failed",
            "status_code": "TS" if paid else "TF",
            "airtel_money_id": payment.rail["money_id"],
        }
        return Delivery(self.desk.webhook, json.dumps({"transaction": transaction}).encode())

    def forged(self, payment: Payment) -> Delivery | None:
        """A success that Airtel knows nothing of."""
        return self.callback(payment.model_copy(update={"status": State.PAID, "script": Script(scenarios=[])}))

    # -- parts -----------------------------------------------------------------------------------------------------------

    def _wrong_headers(self, request: Request) -> Response | None:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if token not in self._tokens or self.desk.clock() >= self._tokens[token]:
            return JSONResponse(BAD_TOKEN, status_code=403)
        country = request.headers.get("x-country", "")
        if country not in SERVED:
            partner = {"status_message": "Partner not found", "status_code": "ROUTER110"}
            return JSONResponse(partner, status_code=400)
        if request.headers.get("x-currency") != PLACES[country].asset.code:
            return _status(REFUSED, "Invalid/Missing Currency")
        return None

    def _is_pin(self, encrypted: str) -> bool:
        try:
            return self.key.decrypt(base64.b64decode(encrypted, validate=True), PKCS1v15()).decode() == self.credentials.pin
        except ValueError:
            return False

    def _payment(self, given: Mapping[str, Any], place: Place) -> Payment:
        id_, account = given["transaction"]["id"], f"+{place.prefix}{given['payee']['msisdn']}"
        amount = Money(given["transaction"]["amount"] * 10**place.asset.decimals, place.asset)
        now = self.desk.clock()
        return Payment(
            id=id_,
            account=account,
            amount=amount.decimal(),
            currency=place.asset.code,
            receipt=f"CI{now:%y%m%d.%H%M}.{secrets.token_hex(3).upper()}",
            at=now,
            script=self.desk.script_for(id=id_, account=account, amount=amount),
            rail={"money_id": f"disbursement-{secrets.token_hex(5).upper()}-{id_}"},
        )

    def _refusal(self, scenario: Scenario, script: Script) -> Response | None:
        match scenario:
            case Scenario.REFUSED:
                return _status(script.code or "ESB000008", "Refused by script")
            case Scenario.RATE_LIMITED:
                return JSONResponse({"status_message": "Too many requests"}, status_code=429)
            case Scenario.TOKEN_EXPIRED:
                self._tokens.clear()
                return JSONResponse(BAD_TOKEN, status_code=403)
            case Scenario.DUPLICATE_ANSWER:
                return _status(DUPLICATE, "Transaction id already used")
            case _:
                return _unavailable()

    def _answer(self, payment: Payment) -> Response:
        """To a request for payment that was taken, and to an enquiry."""
        if payment.status is State.FAILED:
            return _status(payment.code or "", "Transaction failed", {"id": payment.id, "status": "TF"})
        if payment.status is State.PENDING:
            return _status(IN_PROCESS, "Transaction in process", {"id": payment.id, "status": "TIP"})
        transaction = {
            "reference_id": payment.receipt,
            "airtel_money_id": payment.rail["money_id"],
            "id": payment.id,
            "status": "TS",
        }
        return _status(PAID, _sent(payment.account, self.desk.amount_of(payment)), transaction)

    def _plays_mismatch(self, account: str) -> bool:
        """Whether the next script is about the name of this account; it is used up then."""
        script = next(iter(self.desk.scripts), None)
        if script is None or Scenario.NAME_MISMATCH not in script:
            return False
        return Scenario.NAME_MISMATCH in self.desk.scripts.take({"account": account})


def _object(body: bytes) -> dict[str, Any]:
    try:
        given = json.loads(body)
    except ValueError:
        given = None
    return given if isinstance(given, dict) else {}


def _problem(given: Mapping[str, Any], place: Place) -> str | None:
    """What Airtel doesn't take in a disbursement's body."""
    payee, transaction = given.get("payee"), given.get("transaction")
    if given.keys() != {"payee", "reference", "pin", "transaction"}:
        return "Missing header/body params"
    if not isinstance(payee, dict) or not isinstance(transaction, dict) or not isinstance(given["pin"], str):
        return "Missing header/body params"
    if payee.keys() != {"currency", "msisdn"} or payee["currency"] != place.asset.code:
        return "Invalid/Missing Currency"
    if not re.fullmatch(rf"[1-9][0-9]{{{place.digits - 1}}}", str(payee["msisdn"])):
        return f"Invalid Msisdn Length. Msisdn Length should be {place.digits}"
    texts = {**transaction, "reference": given["reference"]}
    if transaction.keys() != {"amount", "id", "type"} or not all(re.fullmatch(_FIELD[k], str(texts[k])) for k in _FIELD):
        return "Missing header/body params"
    amount = transaction["amount"]
    return None if type(amount) is int and amount > 0 else "Invalid Amount"


def _status(code: str, message: str, transaction: Mapping[str, Any] | None = None) -> Response:
    """An answer as Airtel words it: HTTP 200, whatever it says."""
    good = code in WORDS
    names = {"response_code": code} if code.startswith("DP") else {}
    status = {
        "message": message,
        "code": "200" if good else "400",
        "success": good,
        "result_code": "ESB000010" if names else code,
        **names,
    }
    data = {} if transaction is None else {"data": {"transaction": transaction}}
    return JSONResponse({**data, "status": status})


def _unavailable() -> Response:
    return JSONResponse({"status_message": "Internal Server Error"}, status_code=503)


def _sent(payee: str, amount: Money) -> str:
    return f"You have sent {amount.asset.code} {amount.decimal()} to {payee[4:]} Wanjiku Canary-Wallet. Com 0"


def _other(text: str) -> str:
    """Another id or number of the same form."""
    return text[:-1] + ("1" if text[-1] != "1" else "2")
