"""Why money isn't sent back. Each sentence says what would be right."""

from __future__ import annotations

from gateway.errors import Refusal
from gateway.money import Money
from gateway.orders.states import S


class OrderNotFound(Refusal):
    """No such order, or another partner's: one answer for both."""

    code = "order_not_found"

    def __init__(self) -> None:
        super().__init__("There is no such order. Check its id.")


class BadRefundAddress(Refusal):
    """Money can't or mustn't be sent to this address."""

    code = "bad_refund_address"

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence, field="address")


class AddressNotProven(Refusal):
    """Somebody names an address and nothing shows that it is the sender's."""

    code = "refund_address_not_proven"

    def __init__(self) -> None:
        super().__init__("An address is confirmed only with evidence of whose it is: say what shows it.")


class NoConfirmedAddress(Refusal):
    """Nobody has confirmed where the money should go."""

    code = "refund_address_missing"

    def __init__(self) -> None:
        super().__init__(
            "No refund address is confirmed for this order, and money never goes back to the sending address unasked: "
            "it may be an exchange's. Give an address that the sender confirmed.",
            field="address",
        )


_WHY_NOT = {
    S.AWAITING_DEPOSIT: "nothing has arrived for this order",
    S.CONFIRMING: "the deposit isn't final yet; wait until the network has confirmed it",
    S.EXPIRED: "nothing arrived in time for this order; what came otherwise is kept as unallocated and is refunded as that",
    S.PAYING: "a payout is on its way; wait for its outcome, a refund is possible once it has failed",
    S.UNCERTAIN: "the outcome of a payout is unknown, so the recipient may have the money; wait until the payment service "
    "has told it, a refund is possible once the payout has failed",
    S.PAID: "the recipient has been paid; what came beyond that is kept as unallocated and is refunded as that",
    S.REFUNDING: "a refund is already on its way",
    S.REFUNDED: "the money has already been sent back",
}


class RefundNotPossible(Refusal):
    """The order's state doesn't allow it."""

    code = "refund_not_possible"

    def __init__(self, state: S) -> None:
        super().__init__(f"This order can't be refunded: {_WHY_NOT[state]}.")


class RefundOpen(Refusal):
    """One refund at a time per order and asset."""

    code = "refund_open"

    def __init__(self, refund_id: str) -> None:
        super().__init__(f"Refund {refund_id} of this order in this asset is still open. Wait for its outcome.")


class NothingToRefund(Refusal):
    """The account is empty."""

    code = "nothing_to_refund"

    def __init__(self, of: str, asset: str) -> None:
        super().__init__(f"This order has no {asset} in its {of}, so there is nothing to send back.")


class BadRefundAmount(Refusal):
    """More than is there, or not all of the order's own money."""

    code = "bad_refund_amount"

    @classmethod
    def too_much(cls, asked: Money, there: Money) -> BadRefundAmount:
        """Asked for more than is there."""
        return cls(f"{asked} can't be sent back: the most is {there}.", field="amount")

    @classmethod
    def not_whole(cls, there: Money) -> BadRefundAmount:
        """A part of an order's own money would leave the rest behind in an order that is over."""
        return cls(f"An order's own money goes back whole: leave the amount out, or give {there.decimal()}.", field="amount")


class RefundsOff(Refusal):
    """The operator hasn't set refunds up for this chain or coin."""

    code = "refunds_off"

    @classmethod
    def on_chain(cls, asset: str) -> RefundsOff:
        """The chain has no wallet."""
        return cls(f"No refunds are sent on the chain of {asset}: the operator has to give it a [chains.refunds] table.")

    @classmethod
    def of_coin(cls, asset: str) -> RefundsOff:
        """The coin has no limit."""
        return cls(f"{asset} is not refunded: the operator has to give it a refund_per_day.")


class AssetFrozen(Refusal):
    """Something is wrong with the token."""

    code = "asset_frozen"

    def __init__(self, asset: str, reason: str) -> None:
        super().__init__(f"{asset} is frozen ({reason}), so nothing is sent in it. Order the refund when it has thawed.")


class OverDailyLimit(Refusal):
    """The day's refunds would come to more than the operator allows."""

    code = "refund_limit"

    def __init__(self, *, asked: Money, left: Money, per_day: Money) -> None:
        super().__init__(
            f"{asked} can't be sent back now: of {per_day} per 24 hours {left} are left. "
            "Try again later, or the operator raises refund_per_day."
        )
