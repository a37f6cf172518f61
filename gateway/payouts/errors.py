"""Why a person's decision about a payout isn't carried out. Each sentence says what is so, and what would be right."""

from __future__ import annotations

from datetime import datetime

from gateway.errors import Refusal
from gateway.orders.states import S


def _when(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M UTC")


class AttemptNotFound(Refusal):
    """No such attempt."""

    code = "attempt_not_found"

    def __init__(self) -> None:
        super().__init__("There is no such attempt; `lastmile payouts list` shows those that need a person.")


class AttemptClosed(Refusal):
    """What became of it is known already."""

    code = "attempt_closed"

    def __init__(self, attempt_id: str, *, outcome: str, at: datetime, reason: str | None) -> None:
        said = f" ({reason})" if reason else ""
        super().__init__(
            f"{attempt_id} is {outcome} since {_when(at)}{said}, so there is nothing to resolve. "
            "What contradicts that is for an incident: compare with the rail's statement."
        )


class StillRunning(Refusal):
    """The rail may say by itself what becomes of it."""

    code = "still_running"

    def __init__(self, attempt_id: str, *, outcome: str, until: datetime) -> None:
        super().__init__(f"{attempt_id} is {outcome}, and the rail has until {_when(until)} to settle it; look again then.")


class NothingOwed(Refusal):
    """Nothing is left to be discharged."""

    code = "nothing_owed"

    def __init__(self, order_id: str) -> None:
        super().__init__(f"Nothing is owed to the recipient of {order_id} after a payment in part.")


class ProposalOpen(Refusal):
    """Another proposal waits for its second person."""

    code = "proposal_open"

    def __init__(self, resolution_id: str, *, by: str) -> None:
        super().__init__(f"{resolution_id} by {by} waits for a second person; approve or refuse it first.")


class ProposalNotFound(Refusal):
    """No such proposal."""

    code = "proposal_not_found"

    def __init__(self) -> None:
        super().__init__("There is no such proposal; `lastmile payouts show ATTEMPT` lists an attempt's.")


class ProposalDecided(Refusal):
    """Somebody was first."""

    code = "proposal_decided"

    def __init__(self, resolution_id: str, *, outcome: str, by: str | None, at: datetime) -> None:
        who = "" if by is None else f" by {by}"
        super().__init__(f"{resolution_id} is {outcome}{who} since {_when(at)}; nothing was done a second time.")


class ProposalVoid(Refusal):
    """It was made about something that has changed since."""

    code = "proposal_void"

    def __init__(self, resolution_id: str, *, attempt_id: str, outcome: str, reason: str | None) -> None:
        said = f" ({reason})" if reason else ""
        super().__init__(
            f"{resolution_id} is void: there was news of {attempt_id} since it was made, which is {outcome} now{said}. "
            "Look again, and propose anew if it is still needed."
        )


class SamePerson(Refusal):
    """Four eyes are two persons'."""

    code = "same_person"

    def __init__(self, operator: str) -> None:
        super().__init__(f"{operator} proposed this; another operator has to approve it.")


class ProposerDisabled(Refusal):
    """Who proposed it may decide nothing any more, so there is only one person left."""

    code = "proposer_disabled"

    def __init__(self, operator: str) -> None:
        super().__init__(f"{operator}, who proposed this, is disabled. Refuse it, and let two others look at it anew.")


class NotRecorded(Refusal):
    """The same guards that judge a rail's answer didn't take this one."""

    code = "not_recorded"

    def __init__(self, attempt_id: str, *, outcome: str) -> None:
        super().__init__(f"This doesn't settle {attempt_id}, which stays {outcome}; nothing was written.")


class AlreadySent(Refusal):
    """Too late to hold: a rail has it."""

    code = "already_sent"

    def __init__(self, order_id: str, *, attempt_id: str, adapter: str) -> None:
        super().__init__(
            f"{order_id} was sent already: {attempt_id} is at {adapter}. "
            f"`lastmile payouts cancel {attempt_id}` asks the rail to stop it, where the rail can."
        )


class NothingToHold(Refusal):
    """Only what waits to be paid out can be held."""

    code = "nothing_to_hold"

    def __init__(self, order_id: str, state: S) -> None:
        super().__init__(f"{order_id} is {state}; only an order that waits to be paid out can be held.")


class HoldStands(Refusal):
    """What made the hold is still so, and would make it again."""

    code = "hold_stands"


class CannotCancel(Refusal):
    """The rail can't be asked to stop this."""

    code = "cannot_cancel"


class BadFile(Refusal):
    """Not a file that can be kept as evidence."""

    code = "bad_file"
