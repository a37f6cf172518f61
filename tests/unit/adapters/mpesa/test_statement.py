"""The portal's CSV is read strictly: every row is what it says, or the file is refused with the row's number."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from adapters.mpesa.settings import ASSUMED_REASONS, ASSUMED_STATUSES
from adapters.mpesa.simulator.statement import COLUMNS, statement_csv
from adapters.mpesa.statement import read_statement
from gateway.money import Asset, Money
from gateway.offramp import BadStatement, LineKind
from gateway.railsim import Movement

KES = Asset("KES", 2)
HEAD = ",".join(COLUMNS)
PAYOUT = "Business Payment to Customer via API"


def row(**changes):
    cells = {
        "Receipt No.": "TKM1AB2CD3",
        "Completion Time": "22-11-2026 15:04:05",
        "Initiation Time": "22-11-2026 15:04:01",
        "Details": f"{PAYOUT} to 2547****5678 - W K. Original conversation ID is att_01JD.",
        "Transaction Status": "Completed",
        "Paid In": "",
        "Withdrawn": "-1,249.00",
        "Balance": "98,751.00",
        "Balance Confirmed": "true",
        "Reason Type": PAYOUT,
        "Other Party Info": "2547****5678 - W K",
        "Linked Transaction ID": "",
        "A/C No.": "",
    } | changes
    return ",".join(f'"{cells[name]}"' for name in COLUMNS)


def read(*rows, head=HEAD, above="Account Holder:,Lastmile\nShort Code:,600997\n\n"):
    content = above + "\n".join([head, *rows]) + "\n"
    return read_statement(content.encode(), reasons=ASSUMED_REASONS, statuses=ASSUMED_STATUSES)


def test_a_payment_is_read_with_its_time_in_kenya_and_without_its_recipient():
    [line] = read(row())
    assert (line.kind, line.amount, line.leaves) == (LineKind.PAYOUT, Money(124_900, KES), True)
    assert line.at == datetime(2026, 11, 22, 12, 4, 5, tzinfo=UTC)
    assert (line.attempt_id, line.provider_ref) == ("att_01JD", "TKM1AB2CD3")
    assert "W K" not in repr(line)
    assert "5678" not in repr(line)


@pytest.mark.parametrize(
    ("changes", "kind", "leaves"),
    [
        ({"Reason Type": "Fee For B2C Payment", "Withdrawn": "22.40"}, LineKind.FEE, True),
        ({"Reason Type": "B2C Payment Reversal", "Withdrawn": "", "Paid In": "1,249.00"}, LineKind.RETURN, False),
        ({"Reason Type": "Something new"}, LineKind.OTHER, True),
        ({"Reason Type": "Something new", "Withdrawn": "", "Paid In": "5"}, LineKind.OTHER, False),
        # A payment that comes in is none.
        ({"Withdrawn": "", "Paid In": "1249.0"}, LineKind.OTHER, False),
        ({"Completion Time": "2026-11-22 15:04:05"}, LineKind.PAYOUT, True),
        ({"Details": "no name"}, LineKind.PAYOUT, True),
    ],
)
def test_what_is_not_listed_is_other_with_its_direction(changes, kind, leaves):
    [line] = read(row(**changes))
    assert (line.kind, line.leaves) == (kind, leaves)


def test_rows_of_which_nothing_moved_are_left_out_and_pages_may_overlap():
    failed = row(**{"Receipt No.": "TKM1AB2CD9", "Transaction Status": "Failed"})
    charge = row(**{"Reason Type": "Fee For B2C Payment", "Withdrawn": "22.40"})
    lines = read(row(), charge, failed, row(), "", ",,,,,,,,,,,,")
    assert [line.line_id for line in lines] == [f"TKM1AB2CD3:{PAYOUT}", "TKM1AB2CD3:Fee For B2C Payment"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"Transaction Status": "Parked"}, 'row 5: "Transaction Status" is "Parked"; add the word to the setting'),
        ({"Receipt No.": "=cmd()"}, 'row 5: "Receipt No." is "=cmd()", which is no receipt number'),
        ({"Withdrawn": "1.249,00"}, 'row 5: "Withdrawn" is "1.249,00", which is no amount'),
        ({"Withdrawn": "1e9"}, 'row 5: "Withdrawn" is "1e9", which is no amount'),
        ({"Withdrawn": "12,49.00"}, "which is no amount"),
        ({"Withdrawn": "NaN"}, "which is no amount"),
        ({"Paid In": "-5", "Withdrawn": ""}, 'row 5: "Paid In" is "-5", which is no amount'),
        ({"Paid In": "5.00"}, 'row 5: either "Paid In" or "Withdrawn" should have an amount'),
        ({"Withdrawn": "0.00"}, 'row 5: either "Paid In" or "Withdrawn" should have an amount'),
        ({"Completion Time": "15:50"}, 'row 5: "Completion Time" is "15:50"; it should be as in'),
    ],
)
def test_a_row_that_cannot_be_read_refuses_the_file_by_its_number(changes, said):
    with pytest.raises(BadStatement) as refused:
        read(row(**changes))
    assert said in str(refused.value)


def test_a_receipt_that_says_two_things_is_refused():
    with pytest.raises(BadStatement, match=r"row 6: receipt TKM1AB2CD3 is there twice"):
        read(row(), row(Withdrawn="-1,250.00"))


def test_a_file_of_another_kind_is_refused():
    for content in (b"\xff\xfe", b"PK\x03\x04", b"", b"a,b\n1,2\n"):
        with pytest.raises(BadStatement):
            read_statement(content, reasons={}, statuses={})
    with pytest.raises(BadStatement, match=r"each of these columns should be there once: Withdrawn"):
        read(head=HEAD.replace("Withdrawn", "Taken"))
    with pytest.raises(BadStatement, match=r"row 5: 14 cells instead of 13"):
        read(row() + ",more")


def test_the_simulator_writes_what_the_adapter_reads():
    moved = {"account": "+254712345678", "currency": "KES", "at": datetime(2026, 11, 22, 12, tzinfo=UTC)}
    movements = [
        Movement(number=1, kind="top_up", payment_id=None, receipt="MOVE000001", amount="5000.00", leaves=False, **moved),
        Movement(number=2, kind="payout", payment_id="att_1", receipt="ABCDEF1234", amount="1249.00", leaves=True, **moved),
    ]
    content = statement_csv(movements, short_code="600997", held=Money(375_100, KES))
    lines = read_statement(content.encode(), reasons=ASSUMED_REASONS, statuses=ASSUMED_STATUSES)
    assert [(line.provider_ref, line.kind, line.amount.units, line.attempt_id) for line in lines] == [
        ("ABCDEF1234", LineKind.PAYOUT, 124_900, "att_1"),
        ("MOVE000001", LineKind.OTHER, 500_000, None),
    ]
    assert '"5,000.00"' in content
