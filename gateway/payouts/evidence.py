"""What people say became of a payment, and what shows it: evidence that is judged as a rail's own answer is.

Whether a second person has to agree is asked of the coins that were sent for the order, one dollar each where their peg is
the dollar. Coins of another peg always take two: their worth in dollars is an opinion, and no opinion may spare a person.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum, auto

from gateway.errors import Refusal
from gateway.money import Money
from gateway.offramp import Capabilities, Fault, Outcome, Report
from gateway.pricing.offer import Offer

SAID_MOST, PLACE_MOST, NAME_MOST = 2_000, 200, 100
"""Characters of a statement, of the place where it was seen, and of a provider's reference."""
AHEAD_MOST = timedelta(minutes=5)
"""How far a person's clock may be ahead of ours."""
_MINUTE, _DAY = timedelta(minutes=1), timedelta(days=1)
_NAME = re.compile(r"[!-~]+(?: [!-~]+)*")
_UNREADABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_DOLLAR = "USD"


class Verdict(StrEnum):
    """What became of an attempt, in a person's words."""

    PAID = auto()
    """The recipient has what was ordered."""
    PAID_IN_PART = auto()
    """They have less; the rest is still owed to them."""
    FAILED = auto()
    """The provider says that it was not and never will be paid."""
    RETURNED = auto()
    """It was paid, and the money came back to our account."""
    DISCHARGED = auto()
    """The rest of what was paid in part has been paid."""


PAYS = frozenset({Verdict.PAID, Verdict.PAID_IN_PART, Verdict.DISCHARGED})
"""Verdicts that name the provider's reference and an amount."""
LOSES = frozenset({Verdict.FAILED, Verdict.RETURNED})
"""Verdicts that say whose fault it was."""


class BadEvidence(Refusal):
    """The evidence doesn't say what it has to, or says what can't be."""

    code = "bad_evidence"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What became of an attempt, and what shows it. Never logged: people write names and numbers into such texts."""

    verdict: Verdict
    said: str = field(repr=False)
    """What the provider said, in its own words."""
    place: str = field(repr=False)
    """Where it was seen, as in "portal, statement of 20 November, line 14"."""
    seen_at: datetime
    provider_ref: str | None = None
    receipt: str | None = None
    """What the recipient can show."""
    delivered: Money | None = None
    fault: Fault | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolutionRules:
    """When a person may speak, and when one isn't enough. As made by default: late, and never."""

    above: Money | None = None
    """US dollars above which a second person has to agree; None: always."""
    dollars: Collection[str] = ()
    """Codes of the coins whose peg is the dollar."""
    capabilities: Mapping[str, Capabilities] = field(default_factory=dict[str, Capabilities])
    """The rails, by their names in the configuration."""

    @classmethod
    def of(cls, *, above: Money | None, offer: Offer, capabilities: Mapping[str, Capabilities]) -> ResolutionRules:
        """From the settings, with the pegs of the coins that are taken."""
        dollars = frozenset(token.asset.code for token in offer.tokens.values() if token.peg == _DOLLAR)
        return cls(above=above, dollars=dollars, capabilities=capabilities)

    def persons(self, sent: Money) -> int:
        """How many persons a decision takes about an order for which `sent` was sent."""
        if self.above is None or sent.asset.code not in self.dollars:
            return 2
        # Compared without a division: units of each, brought to the other's decimals.
        worth = sent.units * 10**self.above.asset.decimals
        return 2 if worth > self.above.units * 10**sent.asset.decimals else 1

    def settles_within(self, adapter: str) -> timedelta:
        """How long a rail may take to settle a payment; a rail that isn't configured any more: a day."""
        able = self.capabilities.get(adapter)
        return _DAY if able is None else able.settles_within


def check_evidence(evidence: Evidence, *, ordered: Money, sent_at: datetime, now: datetime) -> None:
    """Refuse evidence that can't be about this attempt, or misses what its verdict needs. Raises `BadEvidence`."""
    _check_text(evidence.said, most=SAID_MOST, field="said", what="what the provider said")
    _check_text(evidence.place, most=PLACE_MOST, field="place", what="where it was seen, as in a statement and its line")
    for name, value in (("provider_ref", evidence.provider_ref), ("receipt", evidence.receipt)):
        if value is not None and (len(value) > NAME_MOST or not _NAME.fullmatch(value)):
            raise BadEvidence(f"a reference has at most {NAME_MOST} of the characters on a keyboard", field=name)
    if evidence.seen_at > now + AHEAD_MOST:
        raise BadEvidence("it can't have been seen in the future; give the time in UTC", field="seen_at")
    # That it wasn't paid is seen after it was sent; what was paid may be dated by another clock, to the minute.
    if evidence.seen_at < sent_at - (timedelta(0) if evidence.verdict in LOSES else _MINUTE):
        raise BadEvidence(
            f"it was seen before this payment was sent at {sent_at:%Y-%m-%d %H:%M} UTC, so it is about another one",
            field="seen_at",
        )
    verdict = evidence.verdict
    if verdict in LOSES and evidence.fault is None:
        raise BadEvidence(f"say whose fault it was: one of {', '.join(Fault)}", field="fault")
    if verdict in PAYS:
        _check_payment(evidence, ordered=ordered)
    elif evidence.delivered is not None:
        raise BadEvidence(f"what was {verdict} delivered nothing: leave the amount out", field="amount")


def _check_payment(evidence: Evidence, *, ordered: Money) -> None:
    if evidence.provider_ref is None:
        raise BadEvidence("give the provider's reference of the payment", field="provider_ref")
    delivered = evidence.delivered
    if delivered is None or delivered.units <= 0:
        raise BadEvidence(f"give the amount that was delivered, in {ordered.asset.code}", field="amount")
    if evidence.verdict is Verdict.PAID and delivered < ordered:
        raise BadEvidence(f"{ordered} were ordered; less than that is paid in part", field="amount")
    if evidence.verdict is Verdict.PAID_IN_PART and ordered <= delivered:
        raise BadEvidence(f"{ordered} were ordered, so that is not a part but all of it", field="amount")


def _check_text(text: str, *, most: int, field: str, what: str) -> None:
    if not text.strip():
        raise BadEvidence(f"say {what}", field=field)
    if len(text) > most or _UNREADABLE.search(text):
        raise BadEvidence(f"say {what}, in text of at most {most} characters", field=field)


def report_of(evidence: Evidence, *, ordered: Money, resolution_id: str) -> Report:
    """The same as a rail would have said it. What was delivered beyond the order is not the order's."""
    outcomes: Mapping[Verdict, Outcome] = {
        Verdict.PAID: Outcome.PAID,
        Verdict.PAID_IN_PART: Outcome.PAID,
        Verdict.FAILED: Outcome.FAILED,
        Verdict.RETURNED: Outcome.RETURNED,
    }
    delivered = evidence.delivered
    return Report(
        outcome=outcomes[evidence.verdict],
        provider_ref=evidence.provider_ref,
        receipt=evidence.receipt,
        delivered=delivered and min(delivered, ordered),
        fault=evidence.fault,
        reason=f"evidence {resolution_id}",
        evidence={"resolution": resolution_id},
    )
