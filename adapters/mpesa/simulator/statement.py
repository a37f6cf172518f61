"""The CSV file that people download from the organisation portal."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence

from adapters.mpesa.settings import KES
from adapters.mpesa.simulator.bodies import NAIROBI
from gateway.money import Money
from gateway.railsim import Movement

COLUMNS = (
    "Receipt No.",
    "Completion Time",
    "Initiation Time",
    "Details",
    "Transaction Status",
    "Paid In",
    "Withdrawn",
    "Balance",
    "Balance Confirmed",
    "Reason Type",
    "Other Party Info",
    "Linked Transaction ID",
    "A/C No.",
)
REASONS: Mapping[str, str] = {
    "payout": "Business Payment to Customer via API",
    "return": "Business Payment to Customer Reversal",
    "top_up": "Organization Settlement of Funds",
}


def statement_csv(movements: Sequence[Movement], *, short_code: str, held: Money) -> str:
    """The account's movements as the portal writes them, the newest first, below some rows about the account."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerows([["Account Holder:", "Lastmile"], ["Short Code:", short_code], ["Account:", "Utility Account"], []])
    writer.writerow(COLUMNS)
    balance = held
    for movement in reversed(movements):
        amount = Money.parse(movement.amount, KES)
        writer.writerow(_row(movement, amount, balance))
        balance = balance + amount if movement.leaves else balance - amount
    return text.getvalue()


def _row(movement: Movement, amount: Money, balance: Money) -> list[str]:
    at = f"{movement.at.astimezone(NAIROBI):%d-%m-%Y %H:%M:%S}"
    party = "" if movement.account is None else f"{movement.account.removeprefix('+')} - NICHOLAS JOHN SONGOK"
    details = REASONS[movement.kind]
    if movement.payment_id is not None:
        details += f" to {party}. Original conversation ID is {movement.payment_id}."
    paid_in, withdrawn = ("", f"-{_grouped(amount)}") if movement.leaves else (_grouped(amount), "")
    amounts = [paid_in, withdrawn, _grouped(balance), "true"]
    return [movement.receipt, at, at, details, "Completed", *amounts, REASONS[movement.kind], party, "", ""]


def _grouped(money: Money) -> str:
    """With thousands apart: "1,249.00"."""
    whole, _, fraction = money.decimal().partition(".")
    return f"{int(whole):,}.{fraction}"
