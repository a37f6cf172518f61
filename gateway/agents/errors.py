"""What the network refuses. `gsma` is the errorCode of the GSMA's error object, `category` its errorCategory."""

from __future__ import annotations

from typing import ClassVar

from gateway.errors import Refusal


class NetworkRefusal(Refusal):
    """A request that the network understood and won't do."""

    gsma: ClassVar[str] = "genericError"
    category: ClassVar[str] = "businessRule"


class NotYours(NetworkRefusal):
    """No such code, account or claim, or not the asker's: one answer for both."""

    code = "pickup_not_found"
    gsma, category = "identifierError", "identification"

    def __init__(self) -> None:
        super().__init__("There is no such code, account or claim.")


class NoAccess(NetworkRefusal):
    """Unknown client or agent, wrong key, or disabled: one answer for all."""

    code = "pickup_no_access"
    gsma, category = "clientAuthorisationError", "authorisation"

    def __init__(self) -> None:
        super().__init__("The client id or the key is wrong, or access was revoked.")


class DuplicateCode(NetworkRefusal):
    """This correlation id or reference has made a code before."""

    code = "pickup_duplicate"
    gsma = "duplicateRequest"

    def __init__(self) -> None:
        super().__init__("A code was made under this id before. GET /responses/{X-CorrelationID} tells which.")


class TooLittle(NetworkRefusal):
    """The client's account has less than the code would hold."""

    code = "pickup_insufficient_funds"
    gsma = "insufficientFunds"

    def __init__(self) -> None:
        super().__init__("The account has too little for this code.")


class WrongState(NetworkRefusal):
    """The code or the claim is beyond this."""

    code = "pickup_wrong_state"
    gsma = "incorrectState"

    def __init__(self, state: str) -> None:
        super().__init__(f"This can't be done any more: it is {state}.")


class WrongCode(NetworkRefusal):
    """No code that can be claimed has these digits and this phone number: one answer for all that may be wrong."""

    code = "pickup_wrong_code"
    gsma, category = "identifierError", "identification"

    def __init__(self) -> None:
        super().__init__("This code and phone number don't belong to cash that waits. Ask the recipient to read both again.")


class CodeLocked(NetworkRefusal):
    """Wrong facts were given too often for this code."""

    code = "pickup_locked"
    gsma = "requestDeclined"

    def __init__(self) -> None:
        super().__init__(
            "This code is locked, because it was given with wrong facts too often. Pay nothing; tell the network."
        )


class TooManyWrong(NetworkRefusal):
    """The agent gave too many wrong codes."""

    code = "pickup_too_many_wrong"
    gsma = "rateLimitError"

    def __init__(self, minutes: int) -> None:
        super().__init__(f"Too many wrong codes. Wait {minutes} minutes, then try again.")


class LessThanWhole(NetworkRefusal):
    """A part of it was claimed."""

    code = "pickup_under"
    gsma = "underPaymentNotAllowed"

    def __init__(self) -> None:
        super().__init__("A code is paid out whole, and this is less.")


class MoreThanWhole(NetworkRefusal):
    """More than it was claimed."""

    code = "pickup_over"
    gsma = "overPaymentNotAllowed"

    def __init__(self) -> None:
        super().__init__("A code is paid out whole, and this is more.")


class FloatFull(NetworkRefusal):
    """We would owe the agent more than agreed, or nothing was agreed in this currency."""

    code = "pickup_float_full"
    gsma = "accountMaxTotalValueExceeded"

    def __init__(self) -> None:
        super().__init__("You have paid out as much as was agreed before we settle. Send the recipient to another shop.")


class ReferenceReused(NetworkRefusal):
    """The agent's own id stands for another claim."""

    code = "pickup_reference_reused"
    gsma = "duplicateRequest"

    def __init__(self) -> None:
        super().__init__("This transaction id was used for another claim. Use a new one for each.")


class DocumentMissing(NetworkRefusal):
    """Cash is given to a person who has shown who he is."""

    code = "pickup_document_missing"
    gsma, category = "mandatoryValueNotSupplied", "validation"

    def __init__(self) -> None:
        super().__init__("Write which document the recipient showed and its number: 4 to 100 printable characters.")


class LifetimeWrong(NetworkRefusal):
    """A code may not live that long or that short."""

    code = "pickup_lifetime"
    gsma, category = "formatError", "validation"

    def __init__(self, most_s: int) -> None:
        super().__init__(f"codeLifetime is from 60 to {most_s} seconds.")


class TooManyRenewals(NetworkRefusal):
    """New digits were asked for too often."""

    code = "pickup_renewals"
    gsma = "requestDeclined"

    def __init__(self) -> None:
        super().__init__("This code had new digits too often. Cancel it.")


class BadName(NetworkRefusal):
    """A name that is taken or can't be used."""

    code = "pickup_bad_name"

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)


class NothingToPay(NetworkRefusal):
    """A code for nothing."""

    code = "pickup_nothing"
    gsma = "lessThanTransactionMinValue"

    def __init__(self) -> None:
        super().__init__("A code is for more than 0.")
