"""What we send to Stripe and what we read: parameters of requests, keys, and the objects of v1 and v2 as plain values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from adapters.stripe_connect.currencies import money_at, to_wire
from gateway.money import Money
from gateway.offramp import Destination, Fault, Instruction, Method
from gateway.railkit.documents import inner, text_of

ATTEMPT, PAYEE, SPEED, REASON, FAULT = (
    "lastmile_attempt",
    "lastmile_payee",
    "lastmile_method",
    "lastmile_reason",
    "lastmile_fault",
)
"""Keys of the metadata by which we find our objects again, and know what has to follow on them."""
EVIDENCE = frozenset({
    "id", "object", "status", "amount", "amount_reversed", "reversed", "currency", "created", "arrival_date", "method",
    "type", "failure_code", "failure_balance_transaction", "balance_transaction", "expected_arrival_date", "cancelable",
})  # fmt: skip
"""What is kept of an object: ids of money movements, codes, amounts, times. No accounts, names and free text."""

_CONNECTED = re.compile(r"(?P<account>acct_[A-Za-z0-9]{6,64})/(?P<external>(?P<kind>ba|card)_[A-Za-z0-9_]{6,64})")
_RECIPIENT = re.compile(r"(?P<account>acct_[A-Za-z0-9]{6,64})/(?P<external>(?P<kind>[a-z]{2,12})_[A-Za-z0-9_]{6,96})")
_OUR_KEY = re.compile(r"(att_[0-9A-Z]{26})(?:-[a-z0-9-]+)?")
_SPEEDS: Mapping[Method, tuple[str, str]] = {Method.BANK: ("ba", "standard"), Method.CARD: ("card", "instant")}


class Payee(NamedTuple):
    """Where a payment goes: a connected account or a v2 recipient, and one of its bank accounts or cards."""

    account: str
    external: str


def connected_payee(to: Destination) -> Payee | None:
    """From "acct_.../ba_..." for banks and "acct_.../card_..." for cards; None for anything else."""
    match, (kind, _) = _CONNECTED.fullmatch(to.account), _SPEEDS.get(to.method, ("", ""))
    return Payee(match["account"], match["external"]) if match and match["kind"] == kind else None


def recipient_payee(to: Destination) -> Payee | None:
    """From "acct_.../<payout method>" of a v2 recipient: cards have card_..., banks any other prefix, such as usba_..."""
    match = _RECIPIENT.fullmatch(to.account)
    is_card = match is not None and match["kind"] == "card"
    fits = is_card if to.method is Method.CARD else to.method is Method.BANK and not is_card
    return Payee(match["account"], match["external"]) if match and fits else None


def payout_key(attempt_id: str) -> str:
    """The idempotency key of the second step. The first one's is the attempt id itself."""
    return f"{attempt_id}-payout"


def attempt_of_key(key: str | None) -> str | None:
    """The attempt that one of our idempotency keys was made for; None for anybody else's key."""
    match = _OUR_KEY.fullmatch(key or "")
    return match and match[1]


def transfer_params(instruction: Instruction, payee: Payee) -> dict[str, Any]:
    """POST /v1/transfers: from the platform's balance to the connected account's, with all that the payout will need."""
    _, speed = _SPEEDS[instruction.to.method]
    return {
        "amount": to_wire(instruction.deliver),
        "currency": instruction.deliver.asset.code.lower(),
        "destination": payee.account,
        "transfer_group": instruction.attempt_id,
        "metadata": {ATTEMPT: instruction.attempt_id, PAYEE: payee.external, SPEED: speed},
    }


def outbound_params(
    instruction: Instruction, payee: Payee, *, financial_account: str, statement_descriptor: str | None
) -> dict[str, Any]:
    """POST /v2/money_management/outbound_payments. The recipient hears of it from us, not from Stripe."""
    currency = instruction.deliver.asset.code.lower()
    described = {} if statement_descriptor is None else {"statement_descriptor": statement_descriptor}
    return {
        "from": {"financial_account": financial_account, "currency": currency},
        "to": {"recipient": payee.account, "payout_method": payee.external, "currency": currency},
        "amount": {"value": to_wire(instruction.deliver), "currency": currency},
        "recipient_notification": {"setting": "none"},
        "metadata": {ATTEMPT: instruction.attempt_id},
        **described,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """A transfer of ours, read from Stripe: the proof of the first step, and the plan of the second."""

    id: str
    payee: Payee
    speed: str
    amount: Money
    units: int
    """The amount as Stripe writes it."""
    created: datetime
    reversed_units: int
    back: bool
    """Whether all of it has come back to the platform's balance."""
    reason: str | None
    fault: Fault | None
    """Why we took it back, and whose matter that is, as we wrote on the reversal."""

    @classmethod
    def read(cls, values: Mapping[str, Any], *, attempt_id: str) -> Transfer | None:
        """None for anything that isn't a whole transfer of this attempt."""
        metadata = inner(values, "metadata")
        if values.get("object") != "transfer" or metadata.get(ATTEMPT) != attempt_id:
            return None
        texts = [
            text_of(each) for each in (values.get("id"), values.get("destination"), metadata.get(PAYEE), metadata.get(SPEED))
        ]
        amount, created = money_at(values), moment(values.get("created"))
        units, undone = values.get("amount"), values.get("amount_reversed")
        if None in texts or amount is None or created is None or not isinstance(units, int) or not isinstance(undone, int):
            return None
        id_, account, external, speed = (str(each) for each in texts)
        reversals = [each for each in inner(values, "reversals").get("data") or [] if isinstance(each, dict)]
        settled = all(each.get("status") in (None, "succeeded") for each in reversals)
        why = inner(reversals[0], "metadata") if reversals else {}
        return cls(
            id=id_,
            payee=Payee(account, external),
            speed=speed,
            amount=amount,
            units=units,
            created=created,
            reversed_units=undone,
            back=values.get("reversed") is True and undone == units and settled,
            reason=text_of(why.get(REASON)),
            fault=next((each for each in Fault if each.value == why.get(FAULT)), None),
        )

    def payout_params(self, attempt_id: str, *, statement_descriptor: str | None) -> dict[str, Any]:
        """POST /v1/payouts on the connected account: the second step, made of the proven first one."""
        described = {} if statement_descriptor is None else {"statement_descriptor": statement_descriptor}
        return {
            "amount": self.units,
            "currency": self.amount.asset.code.lower(),
            "method": self.speed,
            "destination": self.payee.external,
            "metadata": {ATTEMPT: attempt_id, PAYEE: self.payee.external},
            **described,
        }

    def reversal_params(self, attempt_id: str, *, reason: str, fault: Fault) -> dict[str, Any]:
        """POST /v1/transfers/{id}/reversals: all that is still there, with the reason why."""
        return {
            "amount": self.units - self.reversed_units,
            "metadata": {ATTEMPT: attempt_id, REASON: reason, FAULT: fault.value},
        }


def is_of(values: Mapping[str, Any], attempt_id: str) -> bool:
    """Whether an object carries the attempt's id."""
    return inner(values, "metadata").get(ATTEMPT) == attempt_id


def moment(value: object) -> datetime | None:
    """A time of v1: whole seconds since 1970."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 10**11:
        return None
    return datetime.fromtimestamp(value, tz=UTC)
