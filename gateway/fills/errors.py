"""What the fill contract refuses."""

from __future__ import annotations

from gateway.errors import Refusal


class InvalidSignature(Refusal):
    """Unknown client, wrong secret, other bytes than were signed, or access revoked: one answer for all."""

    code = "invalid_signature"

    def __init__(self) -> None:
        super().__init__("The signature is not that of this request, or the client is not known here.")


class StaleSignature(Refusal):
    """Signed too long ago, or in the future."""

    code = "stale_signature"

    def __init__(self) -> None:
        super().__init__("The signature's time is more than five minutes from ours. Set your clock, sign anew.")


class FillNotFound(Refusal):
    """No such fill, or not the asker's: one answer for both."""

    code = "fill_not_found"

    def __init__(self) -> None:
        super().__init__("There is no such fill.")


class FillPartnerNotFound(Refusal):
    """Nobody can be offered this."""

    code = "fill_partner_not_found"

    def __init__(self) -> None:
        super().__init__("There is no such partner, or it is disabled.", field="partner_id")


class FillReferenceReused(Refusal):
    """The reference stands for another offer."""

    code = "fill_reference_reused"

    def __init__(self) -> None:
        super().__init__("This reference stands for another offer. The first one stays as it is.", field="reference")


class FillNotCancellable(Refusal):
    """The partner has accepted it, or it has ended."""

    code = "fill_not_cancellable"

    def __init__(self, state: str) -> None:
        super().__init__(f"Only an offer that nobody has accepted is cancelled; this one is {state}.")


class FillEnded(Refusal):
    """It can't be answered like this any more."""

    code = "fill_ended"

    def __init__(self, state: str) -> None:
        super().__init__(f"This fill is {state}; it can't be answered like this any more.")


class FillTooLate(Refusal):
    """The offer had ended before it was accepted, so nobody was to pay it. What was claimed is kept for a person."""

    code = "fill_too_late"

    def __init__(self, state: str) -> None:
        super().__init__(
            f"This fill is {state}, and somebody else may have paid it since. We have noted that you say you paid; "
            "our people will be in touch. Pay nothing more."
        )


class FillAmount(Refusal):
    """Another amount was paid than was offered."""

    code = "fill_amount"

    def __init__(self, right: str) -> None:
        super().__init__(f"A fill is paid whole: {right}. Tell our people what you paid instead.", field="delivered.amount")


class BadAmount(Refusal):
    """The amount is none, or nothing."""

    code = "bad_amount"

    def __init__(self, field: str) -> None:
        super().__init__("Write the amount as text, more than 0, with at most the currency's decimals.", field=field)


class BadFill(Refusal):
    """A client's name that is taken or can't be used."""

    code = "bad_fill_client"

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
