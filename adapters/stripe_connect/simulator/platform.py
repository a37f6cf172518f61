"""The platform's balance, and the money that lies on connected accounts between two steps."""

from __future__ import annotations

from gateway.money import Money
from gateway.railsim import Desk, Payment, State


class PlatformDesk(Desk):
    """The platform's balance: a transfer takes from it at once, and nothing is paid before there is a payout."""

    def settle(self, payment: Payment, *, failure: str | None = None) -> bool:
        """Make a payout final: what it pays was taken when the transfer was made, and stays away if it fails."""
        if not payment.rail["payout"]:
            return False
        self.move(payment, +1)
        settled = super().settle(payment, failure=failure)
        if payment.status is not State.PAID:
            self.move(payment, -1)
        return settled

    def note_question(self, payment: Payment) -> None:
        """Count a question; what comes back by it lies on the connected account."""
        was_paid = payment.status is State.PAID
        super().note_question(payment)
        if was_paid and payment.status is State.RETURNED:
            self.move(payment, -1)

    def move(self, payment: Payment, sign: int) -> None:
        """Put a payment's amount on the platform's balance, or take it away."""
        amount = self.amount_of(payment)
        self.hold(Money(self.held(payment.currency).units + sign * amount.units, amount.asset))
