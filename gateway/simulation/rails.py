"""Simulated rails: what they really did, whatever they say of it. Their books are the truth."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import NamedTuple, Protocol

from gateway.money import Asset, Money
from gateway.offramp import (
    AttemptRef,
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
from gateway.simulation.faults import Dice
from gateway.simulation.scheduler import START

KES, UGX, TZS = Asset("KES", 2), Asset("UGX", 0), Asset("TZS", 2)
ANSWER_WITHIN = timedelta(seconds=30)
WINDOW_S = 60
"""How old a request may be when it reaches a rail that looks at its time stamp."""
SURELY_GONE_S = 900
"""No lease and no request lives for so long after the attempt was made."""
DAY_S = 86_400
RETURNS_WITHIN_DAYS = 4
TOLD_AGAIN_S = (5, 600, 7200, DAY_S)
STATUS_BEHIND_S = 3600
SIGNATURE = "proof"
"""What the rails that sign their callbacks sign with: a stand-in for a key."""


class Kind(NamedTuple):
    """How a rail is."""

    name: str
    resend: Resend
    corridors: tuple[tuple[str, Method, Asset], ...]
    signs: bool
    """Its callbacks are proof."""
    returns: bool
    """Its payments may come back days later."""
    bulk_most: int = 0
    calls_per_s: int | None = None
    concurrency: int = 50


KINDS = (
    Kind(
        "alpha",
        Resend.DEDUPED,
        (("KE", Method.MOBILE_MONEY, KES), ("TZ", Method.MOBILE_MONEY, TZS)),
        signs=False,
        returns=True,
        calls_per_s=50,
    ),
    Kind(
        "bravo",
        Resend.FINDABLE,
        (("UG", Method.MOBILE_MONEY, UGX), ("KE", Method.MOBILE_MONEY, KES)),
        signs=True,
        returns=False,
    ),
    Kind("charlie", Resend.BLIND, (("TZ", Method.MOBILE_MONEY, TZS),), signs=True, returns=False, concurrency=100),
    Kind("delta", Resend.DEDUPED, (("KE", Method.BANK, KES),), signs=False, returns=True, bulk_most=50),
)


class Movement(NamedTuple):
    """Money that moved between our account and a recipient."""

    rail: str
    attempt_id: str
    units: int
    """Above zero: paid out. Below: came back."""
    wrong: bool
    """Paid although the rail had called the payment failed."""


@dataclass(slots=True)
class Payment:
    """One instruction as the rail has it."""

    instruction: Instruction
    arrived_s: float
    phase: str = "processing"
    """processing, paid, failed, returned."""
    fault: Fault | None = None
    paid_units: int = 0
    visible_s: float = 0
    """Before that, questions don't find it."""
    news: int = 0
    behind_s: float = 0
    """Before that, questions are answered as if it had not been paid after all."""


class Outside(Protocol):
    """What rails need of the world around them."""

    @property
    def now_s(self) -> float:
        """The true time."""

    def later(self, delay_s: float, what: str, act: Callable[[], None]) -> None:
        """Let something happen then."""

    def moved(self, movement: Movement) -> None:
        """Money has moved."""

    def call_back(self, rail: str, attempt_id: str, body: bytes, label: str) -> None:
        """Something arrives at the callback address of an attempt."""


@dataclass
class SimRail:
    """A rail, outside of all our processes."""

    kind: Kind
    dice: Dice
    outside: Outside
    balance: dict[str, int] = field(default_factory=dict)
    """What lies in our account there, in units by currency."""
    payments: dict[str, Payment] = field(default_factory=dict)
    statement: list[StatementLine] = field(default_factory=list)
    down_until_s: float = 0

    @property
    def assets(self) -> list[Asset]:
        """The currencies that it pays in."""
        return list(dict.fromkeys(asset for _, _, asset in self.kind.corridors))

    @property
    def down(self) -> bool:
        """Whether nobody reaches it at present."""
        return self.outside.now_s < self.down_until_s

    def capabilities(self) -> Capabilities:
        """The facts that its adapter tells."""
        return Capabilities(
            name=self.kind.name,
            corridors=tuple(_corridor(*each) for each in self.kind.corridors),
            resend=self.kind.resend,
            settles_within=timedelta(hours=1),
            resend_within=timedelta(days=2),
            answer_within=ANSWER_WITHIN,
            concurrency=self.kind.concurrency,
            calls_per_s=self.kind.calls_per_s,
            returns_within=timedelta(days=RETURNS_WITHIN_DAYS) if self.kind.returns else timedelta(0),
        )

    def arrive(self, instruction: Instruction) -> Payment:
        """An instruction reaches the rail. Where doubles aren't dropped, it acts again."""
        known = self.payments.get(instruction.attempt_id)
        if known is not None and self.kind.resend is Resend.DEDUPED:
            return known
        payment = Payment(instruction, self.outside.now_s)
        self.payments[instruction.attempt_id] = payment
        if self.dice.happens("not_found_yet"):
            payment.visible_s = self.outside.now_s + self.dice.between(5, 300)
        self._begin(payment)
        return payment

    def never_arrives(self, attempt: AttemptRef) -> bool:
        """Whether a payment that isn't here can't come any more, by this rail's own clock: what is too old is refused."""
        age_s = self.outside.now_s - (attempt.sent_at - START).total_seconds()
        return self.kind.resend is Resend.FINDABLE and attempt.attempt_id not in self.payments and age_s > SURELY_GONE_S

    def answer(self, payment: Payment) -> Report:
        """What the rail says when it is asked: now and then less than it has told by itself."""
        if payment.behind_s > self.outside.now_s:
            return self.report(replace(payment, phase="failed"))
        return self.report(payment)

    def report(self, payment: Payment) -> Report:
        """What the rail says of a payment."""
        reference = f"{self.kind.name}-{payment.instruction.attempt_id}"
        evidence = {"state": payment.phase}
        match payment.phase:
            case "paid":
                paid = Money(payment.paid_units, payment.instruction.deliver.asset)
                return Report(
                    outcome=Outcome.PAID,
                    provider_ref=reference,
                    receipt=reference[-10:],
                    delivered=paid,
                    evidence=evidence,
                )
            case "failed":
                return Report(
                    outcome=Outcome.FAILED,
                    provider_ref=reference,
                    fault=payment.fault,
                    reason=f"refused: {payment.fault}",
                    evidence=evidence,
                )
            case "returned":
                return Report(
                    outcome=Outcome.RETURNED,
                    provider_ref=reference,
                    fault=Fault.RECIPIENT,
                    reason="sent back",
                    evidence=evidence,
                )
        return Report(outcome=Outcome.PENDING, provider_ref=reference, evidence=evidence)

    def body(self, payment: Payment, *, signed: bool = True) -> bytes:
        """A callback's body."""
        payment.news += 1
        attempt_id = payment.instruction.attempt_id
        said = {
            "event": f"{attempt_id}-{payment.news}-{payment.phase}",
            "attempt": attempt_id,
            "state": payment.phase,
            "fault": payment.fault,
            "units": str(payment.paid_units),
        }
        return json.dumps(said | ({"signature": SIGNATURE} if self.kind.signs and signed else {})).encode()

    def _begin(self, payment: Payment) -> None:
        fate = self.dice.first(
            "refuses_recipient", "refuses_for_now", "refuses_account", "fails_then_pays", "fails_later", "pends"
        )
        match fate:
            case "refuses_recipient":
                self._fail(payment, Fault.RECIPIENT)
            case "refuses_for_now":
                self._fail(payment, Fault.TRANSIENT)
            case "refuses_account":
                self._fail(payment, Fault.RAIL)
            case "fails_then_pays":
                self._fail(payment, Fault.TRANSIENT)
                self._later(payment, self.dice.between(5, 4000), lambda: self._pay(payment, wrong=True))
            case "fails_later":
                fault = self.dice.pick((Fault.RECIPIENT, Fault.TRANSIENT))
                self._later(payment, self.dice.between(1, 900), lambda: self._fail(payment, fault))
            case "pends":
                self._later(payment, self.dice.between(1, 1800), lambda: self._pay(payment, wrong=False))
            case _:
                self._pay(payment, wrong=False)

    def _pay(self, payment: Payment, *, wrong: bool) -> None:
        deliver = payment.instruction.deliver
        units = deliver.units
        if not wrong and self.balance.get(deliver.asset.code, 0) < units:
            self._fail(payment, Fault.FLOAT)
            return
        if not wrong and self.dice.happens("pays_part"):
            units = units * self.dice.between(1, 9) // 10
        self.balance[deliver.asset.code] = self.balance.get(deliver.asset.code, 0) - units
        payment.phase, payment.paid_units = "paid", units
        self._moved(payment, Movement(self.kind.name, payment.instruction.attempt_id, units, wrong))
        self._tell(payment, surely=wrong)
        if self.kind.returns and self.dice.happens("returns"):
            self._later(payment, self.dice.between(600, (RETURNS_WITHIN_DAYS - 1) * DAY_S), lambda: self._return(payment))

    def _fail(self, payment: Payment, fault: Fault) -> None:
        payment.phase, payment.fault = "failed", fault
        self._tell(payment)

    def _return(self, payment: Payment) -> None:
        payment.phase = "returned"
        code = payment.instruction.deliver.asset.code
        self.balance[code] += payment.paid_units
        self._moved(payment, Movement(self.kind.name, payment.instruction.attempt_id, -payment.paid_units, wrong=False))
        self._tell(payment)

    def _moved(self, payment: Payment, movement: Movement) -> None:
        money = Money(abs(movement.units), payment.instruction.deliver.asset)
        self.write(LineKind.PAYOUT if movement.units > 0 else LineKind.RETURN, money, attempt_id=movement.attempt_id)
        self.outside.moved(movement)

    def write(self, kind: LineKind, money: Money, *, attempt_id: str | None = None, reference: str | None = None) -> None:
        """A line of the statement. `reference`: of who put money in."""
        line = StatementLine(
            line_id=f"line {len(self.statement)}",
            kind=kind,
            amount=money,
            at=START + timedelta(seconds=self.outside.now_s),
            attempt_id=attempt_id,
            provider_ref=reference,
        )
        self.statement.append(line)

    def _later(self, payment: Payment, delay_s: int, act: Callable[[], None]) -> None:
        self.outside.later(delay_s, f"{self.kind.name} decides {payment.instruction.attempt_id}", act)

    def _tell(self, payment: Payment, *, surely: bool = False) -> None:
        """Call back, as rails do: not at all, late, twice, in another order; and others in their name.

        `surely`: of what only the statement tells otherwise. Then it is told until somebody has listened.
        """
        attempt_id = payment.instruction.attempt_id
        body = self.body(payment)
        self._forge(payment)
        if surely:
            if self.dice.happens("status_behind"):
                payment.behind_s = self.outside.now_s + self.dice.between(60, STATUS_BEHIND_S)
            for delay_s in TOLD_AGAIN_S:
                self._send(attempt_id, body, delay_s)
            return
        if self.dice.happens("callback_dropped"):
            return
        delay_s = self.dice.between(60, 2 * DAY_S) if self.dice.happens("callback_late") else self.dice.between(0, 20)
        for _ in range(self.dice.between(2, 6) if self.dice.happens("callback_doubled") else 1):
            self._send(attempt_id, body, delay_s + self.dice.between(0, 3))
        if self.dice.happens("callback_out_of_order"):
            earlier = Payment(payment.instruction, payment.arrived_s, news=payment.news + 100)
            self._send(attempt_id, self.body(earlier), delay_s + 5)

    def _forge(self, payment: Payment) -> None:
        attempt_id = payment.instruction.attempt_id
        if self.dice.happens("callback_forged"):
            lie = Payment(payment.instruction, 0, news=payment.news + 200)
            lie.phase = self.dice.pick(("paid", "failed", "returned"))
            lie.fault = Fault.RECIPIENT if lie.phase == "failed" else None
            lie.paid_units = payment.instruction.deliver.units * self.dice.between(1, 3)
            self._send(attempt_id, self.body(lie, signed=False), self.dice.between(0, 30))
        if self.dice.happens("callback_replayed"):
            other = self.dice.pick(list(self.payments.values()))
            self._send(attempt_id, self.body(other), self.dice.between(0, 30))
        if self.dice.happens("callback_unreadable"):
            self._send(attempt_id, b"{", self.dice.between(0, 30))

    def _send(self, attempt_id: str, body: bytes, delay_s: int) -> None:
        def arrive() -> None:
            self.outside.call_back(self.kind.name, attempt_id, body, "result")

        self.outside.later(delay_s, f"{self.kind.name} calls back about {attempt_id}", arrive)


def _corridor(country: str, method: Method, asset: Asset) -> Corridor:
    whole = Money(10**asset.decimals, asset)
    return Corridor(
        country=country,
        method=method,
        asset=asset,
        least=whole,
        most=Money(10_000_000 * 10**asset.decimals, asset),
        step=whole,
    )
