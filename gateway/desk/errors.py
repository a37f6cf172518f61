"""Why a resolution isn't carried out. Each sentence says what would be right."""

from __future__ import annotations

from datetime import datetime

from gateway.errors import Refusal
from gateway.money import Money
from gateway.orders.states import S


class UnknownAsset(Refusal):
    """The ledger has no such asset."""

    code = "unknown_asset_code"

    def __init__(self, asset: str) -> None:
        super().__init__(f'no asset is called "{asset}"; write it as `lastmile deposits unmatched` shows it')


class NothingThere(Refusal):
    """The money is gone, or never was."""

    code = "nothing_there"

    def __init__(self, order_id: str, asset: str) -> None:
        super().__init__(f"{order_id} has no {asset} that could be used for this; `lastmile deposits show` says what it has")


class NotHeld(Refusal):
    """There is no hold to lift."""

    code = "not_held"

    def __init__(self, order_id: str, state: S) -> None:
        super().__init__(f"{order_id} is {state}, not held, so there is nothing to release")


class TermsDoNotHold(Refusal):
    """The price that the order was made at doesn't fit what arrived."""

    code = "terms_do_not_hold"

    @classmethod
    def underpaid(cls, due: Money, has: Money) -> TermsDoNotHold:
        """Less than was asked for."""
        return cls(f"The quote asks for {due} and {has} are there. Offer a new price for what arrived, or send it back.")

    @classmethod
    def late(cls, expired_at: datetime) -> TermsDoNotHold:
        """After the quote's end."""
        when = expired_at.strftime("%H:%M UTC on %d %B %Y")
        return cls(f"The money arrived after the quote's end at {when}. Offer a new price, or send it back.")


class NotTaken(Refusal):
    """There is no price for a coin that isn't taken."""

    code = "not_taken"

    def __init__(self, asset: str) -> None:
        super().__init__(f"{asset} is not taken, so there is no price for it. Send it back, or recover it to the treasury.")


class RequoteNotFound(Refusal):
    """No such offer, or another order's."""

    code = "requote_not_found"

    def __init__(self) -> None:
        super().__init__("There is no such offer for this order. Look at what is offered now.")


class RequoteReplaced(Refusal):
    """A newer offer stands in its place."""

    code = "requote_replaced"

    def __init__(self) -> None:
        super().__init__("This offer was replaced by a newer one. Look at the new one first; the rate may differ.")


class RequoteExpired(Refusal):
    """The offer's time is over."""

    code = "requote_expired"

    def __init__(self, expired_at: datetime) -> None:
        when = expired_at.strftime("%H:%M UTC on %d %B %Y")
        super().__init__(f"This offer ended at {when}. Ask for a new one; the rate may differ. The money is safe.")


class OrderChanged(Refusal):
    """The offer was made for an order that has gone on since."""

    code = "order_changed"

    def __init__(self) -> None:
        super().__init__("The order has changed since this offer was made, so it no longer fits. Ask for a new one.")


class ConsentUnproven(Refusal):
    """Somebody says that the sender agreed, and doesn't say how."""

    code = "consent_unproven"

    def __init__(self) -> None:
        super().__init__(
            "Say what shows that the sender agreed (a letter, a call, by whom and when), so that others can check."
        )


class WorthSendingBack(Refusal):
    """Only what isn't worth its way back is written off."""

    code = "worth_sending_back"

    def __init__(self, money: Money, cost: Money) -> None:
        super().__init__(f"{money} are worth more than the {cost} that sending them back costs: refund them instead.")
