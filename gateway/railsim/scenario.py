"""What can go wrong at a rail, in one vocabulary for all rails, and a queue of scripts that make it go wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class Scenario(StrEnum):
    """One thing that may happen to one payment. Several can be combined in a script."""

    HAPPY = "happy"
    # how the request for payment is answered
    ANSWER_LOST = "answer_lost"
    CUT_BEFORE_ACCEPT = "cut_before_accept"
    ERROR_BEFORE_ACCEPT = "error_before_accept"
    ERROR_AFTER_ACCEPT = "error_after_accept"
    DUPLICATE_ANSWER = "duplicate_answer"
    SLOW_ACCEPT = "slow_accept"
    RATE_LIMITED = "rate_limited"
    TOKEN_EXPIRED = "token_expired"  # noqa: S105 - the name of a fault
    REFUSED = "refused"
    QUOTE_EXPIRED = "quote_expired"
    # what becomes of the money
    PENDING_POLLS = "pending_polls"
    PENDING_FOREVER = "pending_forever"
    FAILED = "failed"
    LOW_FLOAT = "low_float"
    PAID_SHORT = "paid_short"
    PAID_THEN_RETURNED = "paid_then_returned"
    # what the rail's own account says of a payment that it calls paid
    MOVED_TWICE = "moved_twice"
    MOVED_NOTHING = "moved_nothing"
    MOVED_OTHER_AMOUNT = "moved_other_amount"
    # how questions are answered
    NOT_FOUND = "not_found"
    UNLISTED_STATUS = "unlisted_status"
    QUESTION_FAILS = "question_fails"
    # how the rail calls back
    CALLBACK_EARLY = "callback_early"
    CALLBACK_TWICE = "callback_twice"
    CALLBACK_LOST = "callback_lost"
    CALLBACK_FORGED = "callback_forged"
    CALLBACK_WRONG_AMOUNT = "callback_wrong_amount"
    CALLBACK_WRONG_ID = "callback_wrong_id"
    CALLBACK_WRONG_PAYEE = "callback_wrong_payee"
    CALLBACK_UNSIGNED = "callback_unsigned"
    CALLBACK_STALE = "callback_stale"
    # what else may happen where the rail knows it
    NAME_MISMATCH = "name_mismatch"
    CANCEL_TOO_LATE = "cancel_too_late"
    CLAIM_OF_ANOTHER_AMOUNT = "claim_of_another_amount"


SENTENCES: Mapping[Scenario, str] = {
    Scenario.HAPPY: "Nothing goes wrong.",
    Scenario.ANSWER_LOST: "The payment is taken, then the connection is cut without an answer.",
    Scenario.CUT_BEFORE_ACCEPT: "The request is read, nothing is taken, the connection is cut.",
    Scenario.ERROR_BEFORE_ACCEPT: "An HTTP 5xx, and nothing is taken.",
    Scenario.ERROR_AFTER_ACCEPT: "An HTTP 5xx, although the payment is taken.",
    Scenario.DUPLICATE_ANSWER: "The payment is taken, and answered as if its id had been seen before.",
    Scenario.SLOW_ACCEPT: "The payment is taken; the answer comes after `seconds`.",
    Scenario.RATE_LIMITED: "Too many requests; nothing is taken.",
    Scenario.TOKEN_EXPIRED: "The access token dies before this request; nothing is taken.",
    Scenario.REFUSED: "The request is refused with `code`; nothing is taken.",
    Scenario.QUOTE_EXPIRED: "The rate runs out between its lock and the confirmation; nothing is taken.",
    Scenario.PENDING_POLLS: "The payment stays pending until it has been asked about `polls` times.",
    Scenario.PENDING_FOREVER: "The payment stays pending.",
    Scenario.FAILED: "The payment fails with `code` and no money moves.",
    Scenario.LOW_FLOAT: "The payment finds too little float.",
    Scenario.PAID_SHORT: "Less than the ordered amount is paid.",
    Scenario.PAID_THEN_RETURNED: "The payment is paid; asked about more than `polls` times since then, it has come back.",
    Scenario.MOVED_TWICE: "The payment is paid twice, and only the statement says so.",
    Scenario.MOVED_NOTHING: "The payment is called paid, and no money moves: the statement has no line.",
    Scenario.MOVED_OTHER_AMOUNT: "The payment is called paid as ordered, and one whole unit more is taken.",
    Scenario.NOT_FOUND: "The first `polls` questions about the payment find nothing, although it is there.",
    Scenario.UNLISTED_STATUS: "Questions are answered with the word `status`, which is in no document.",
    Scenario.QUESTION_FAILS: "The first `polls` questions fail: with `code` if given, else with an HTTP 5xx.",
    Scenario.CALLBACK_EARLY: "The callback arrives before the request for payment is answered.",
    Scenario.CALLBACK_TWICE: "The callback arrives twice.",
    Scenario.CALLBACK_LOST: "No callback arrives.",
    Scenario.CALLBACK_FORGED: "A callback that reports success arrives before anything is paid.",
    Scenario.CALLBACK_WRONG_AMOUNT: "The callback names another amount.",
    Scenario.CALLBACK_WRONG_ID: "The callback names another payment.",
    Scenario.CALLBACK_WRONG_PAYEE: "The callback names another recipient.",
    Scenario.CALLBACK_UNSIGNED: "The callback lacks its signature.",
    Scenario.CALLBACK_STALE: "The callback's signature is right, and a day old.",
    Scenario.NAME_MISMATCH: "The name look-up tells another name than the sender believes.",
    Scenario.CANCEL_TOO_LATE: "The payment is paid in the moment in which it is cancelled.",
    Scenario.CLAIM_OF_ANOTHER_AMOUNT: "At the counter somebody claims a part of it, then more than it: both are refused.",
}


class Script(BaseModel):
    """What happens to the next payments that match. Posted to `/_sim/faults`."""

    model_config = ConfigDict(extra="forbid")

    scenarios: list[Scenario]
    times: int | None = Field(default=1, ge=1)
    """How many payments it applies to; null for all."""
    match: dict[str, str] = Field(default_factory=dict)
    """Only payments with this "id", "account" (E.164) or "amount" (decimal)."""
    code: str | None = None
    """The rail's own code, for `failed`, `refused` and `question_fails`."""
    status: str = "Parked"
    """The rail's word, for `unlisted_status`."""
    polls: int = Field(default=1, ge=0)
    seconds: float = Field(default=1.0, ge=0)
    delay_s: float | None = Field(default=None, ge=0)
    """Seconds until the payment is final and the rail calls back; the simulator's usual delay if absent."""

    def __contains__(self, scenario: Scenario) -> bool:
        return scenario in self.scenarios


class Scripts:
    """The scripts still to be played, oldest first."""

    def __init__(self) -> None:
        self._waiting: list[Script] = []

    def __iter__(self) -> Iterator[Script]:
        return iter(self._waiting)

    def add(self, script: Script) -> None:
        """Put a script at the end of the queue."""
        self._waiting.append(script)

    def clear(self) -> None:
        """Forget all that has not been played."""
        self._waiting.clear()

    def take(self, facts: Mapping[str, str]) -> Script:
        """The first script that matches a payment with these facts, used up by one; a happy one if none does."""
        script = next((each for each in self._waiting if each.match.items() <= facts.items()), None)
        if script is None:
            return Script(scenarios=[Scenario.HAPPY])
        if script.times is not None:
            script.times -= 1
            if script.times == 0:
                self._waiting.remove(script)
        return script.model_copy(update={"times": 1})
