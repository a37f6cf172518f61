"""Every decision about payouts that the console offers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from gateway.desk.case import read_case
from gateway.money import Money
from gateway.offramp import Fault, Method
from gateway.orders.recipients import GivenWay
from gateway.payouts.casework import read_attempt
from gateway.payouts.evidence import NAME_MOST, PLACE_MOST, SAID_MOST, BadEvidence, Evidence, Verdict
from gateway.payouts.holds import hold_order
from gateway.payouts.redirect import Channel, Redirect, redirect
from gateway.payouts.resolutions import approve, propose, refuse
from gateway.web.console.decide import Decision, Deed, Input
from gateway.web.console.looks import look_at_order
from gateway.web.console.payout_looks import FAULTS, VERDICTS, look_at_attempt, look_at_evidence, look_at_held

METHODS: Mapping[str, str] = {
    Method.MOBILE_MONEY: "Mobile money",
    Method.BANK: "Bank account",
    Method.CARD: "Card",
    Method.CASH: "Cash to collect",
    Method.EXCHANGE: "Exchange account",
}

SEEN = (
    Input(
        name="said",
        label="What the provider said",
        hint="In its own words, as in: SG632NMUAB Completed, KES 1,249.00 to …78",
        most=SAID_MOST,
        lines=4,
    ),
    Input(name="place", label="Where it was seen", hint="Which statement and line, whose letter", most=PLACE_MOST),
    Input(name="seen_at", label="When it was seen, in UTC", kind="datetime-local"),
)
REFERENCE = Input(name="provider_ref", label="The provider's reference of the payment", most=NAME_MOST, required=False)
RECEIPT = Input(name="receipt", label="Receipt that the recipient can show", most=NAME_MOST, required=False)
AMOUNT = Input(name="amount", label="Amount delivered", hint="As in 1249.00; only if something was", required=False)


async def _propose(deed: Deed, verdict: Verdict) -> None:
    case = await read_attempt(deed.connection, attempt_id=deed.subject)
    amount, fault = deed.fields.get("amount"), deed.fields.get("fault")
    await propose(
        deed.connection,
        attempt_id=deed.subject,
        evidence=Evidence(
            verdict=verdict,
            said=deed.fields["said"],
            place=deed.fields["place"],
            seen_at=_moment(deed.fields["seen_at"]),
            provider_ref=deed.fields.get("provider_ref") or None,
            receipt=deed.fields.get("receipt") or None,
            delivered=Money.parse(amount, case.ordered.asset) if amount else None,
            fault=Fault(fault) if fault else None,
        ),
        rules=deed.services.payouts,
        operator=deed.operator,
        reason=deed.reason,
        now=deed.now,
    )


async def _resolve(deed: Deed) -> None:
    await _propose(deed, Verdict(deed.fields["verdict"]))


async def _discharge(deed: Deed) -> None:
    await _propose(deed, Verdict.DISCHARGED)


async def _approve(deed: Deed) -> None:
    await approve(
        deed.connection,
        resolution_id=deed.subject,
        operator=deed.operator,
        reason=deed.reason,
        rules=deed.services.payouts,
        now=deed.now,
    )


async def _refuse(deed: Deed) -> None:
    await refuse(deed.connection, resolution_id=deed.subject, operator=deed.operator, reason=deed.reason, now=deed.now)


async def _hold(deed: Deed) -> None:
    await hold_order(deed.connection, order_id=deed.subject, operator=deed.operator, reason=deed.reason, now=deed.now)


async def _redirect(deed: Deed) -> None:
    method = deed.fields.get("method") or (await read_case(deed.connection, order_id=deed.subject)).method
    wish = Redirect(
        order_id=deed.subject,
        way=GivenWay(method, deed.fields["account"], deed.fields.get("institution") or None),
        channel=Channel.OPERATOR,
        name=deed.operator,
        reason=deed.reason,
    )
    await redirect(deed.connection, wish=wish, offer=deed.services.offer, now=deed.now)


def _moment(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise BadEvidence("write the time in UTC, as in 2026-11-20T14:03", field="seen_at") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


PAYOUT_DECISIONS: Mapping[str, Decision] = {
    "resolve": Decision(
        title="Say what became of a payment",
        effect="It counts as the rail's own answer would; above the configured amount once a second person agrees.",
        button="This is what became of it",
        look=look_at_attempt,
        carry_out=_resolve,
        inputs=(
            Input(
                name="verdict",
                label="What became of it",
                options={verdict: words for verdict, words in VERDICTS.items() if verdict is not Verdict.DISCHARGED},
            ),
            *SEEN,
            REFERENCE,
            RECEIPT,
            AMOUNT,
            Input(
                name="fault",
                label="Whose fault it was",
                hint="Of what failed or came back: it decides what is tried next.",
                options=FAULTS,
                required=False,
            ),
        ),
    ),
    "discharge": Decision(
        title="Say that the rest has been paid",
        effect="What is owed to the recipient is settled by it, and our account at the same rail has that much less.",
        button="The rest has been paid",
        look=look_at_attempt,
        carry_out=_discharge,
        inputs=(*SEEN, REFERENCE, RECEIPT, AMOUNT),
    ),
    "approve-evidence": Decision(
        title="Approve what another said became of a payment",
        effect="It is recorded now, as the rail's own answer would be. Approve what you have seen yourself.",
        button="I agree: record it",
        look=look_at_evidence,
        carry_out=_approve,
    ),
    "refuse-evidence": Decision(
        title="Refuse what was said of a payment",
        effect="Nothing is recorded. Somebody may say anew what became of it.",
        button="Refuse it",
        look=look_at_evidence,
        carry_out=_refuse,
    ),
    "hold": Decision(
        title="Hold an order before it is sent",
        effect="Nothing is sent until somebody releases it. If it is sent in this moment, you will be told.",
        button="Hold the order",
        look=look_at_order,
        carry_out=_hold,
    ),
    "redirect": Decision(
        title="Pay the recipient by another way",
        effect="The order goes on to the new account. Name and amount stay. Ask the recipient by a way that you know.",
        button="Pay there instead",
        look=look_at_held,
        carry_out=_redirect,
        inputs=(
            Input(name="account", label="Account", hint="Phone number, CLABE or IBAN, as the method has it"),
            Input(
                name="method", label="Method", hint="Leave it as it is for the order's own.", options=METHODS, required=False
            ),
        ),
    ),
}
"""By the last but one part of its address."""
