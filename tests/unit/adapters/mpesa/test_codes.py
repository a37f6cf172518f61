"""The table of codes says what Safaricom's documents say, and nothing more."""

from __future__ import annotations

import pytest

from adapters.mpesa.codes import CODES, Place, meaning
from gateway.offramp import Fault
from gateway.railkit.meanings import Kind

FAILED = {
    "1": Fault.FLOAT,
    **dict.fromkeys(("2", "3", "4", "8", "2040", "SFC_IC0003"), Fault.RECIPIENT),
    **dict.fromkeys(("11", "21", "2001", "2006", "2028", "8006"), Fault.RAIL),
}
NOT_PROCESSED = {
    **dict.fromkeys(("26", "100000001", "100000002", "100000011", "500.003.02", "500.003.03"), Fault.TRANSIENT),
    **dict.fromkeys(("400.002.02", "404.001.01", "404.002.01", "405.001", "24", "25", "29"), Fault.RAIL),
    **dict.fromkeys(("400.008.01", "400.008.02"), Fault.RAIL),
}


def test_only_the_documented_results_mean_failed():
    listed = {
        code: means.fault for (place, code), means in CODES.items() if means.kind is Kind.FAILED and place is Place.RESULT
    }
    assert listed == FAILED
    assert not [code for (place, code), means in CODES.items() if means.kind is Kind.FAILED and place is Place.GATEWAY]


def test_only_the_documented_errors_mean_not_processed():
    listed = {code: means.fault for (_, code), means in CODES.items() if means.kind is Kind.NOT_PROCESSED}
    assert listed == NOT_PROCESSED
    assert {code for (_, code), means in CODES.items() if means.kind is Kind.BAD_TOKEN} == {
        "401.002.01",
        "404.001.03",
        "400.003.01",
    }


@pytest.mark.parametrize("code", ["17", "19", "100000000", "100000004", "9999", "", "26", "2002", "0.0", "00"])
def test_every_other_result_is_ambiguous(code: str):
    assert meaning(Place.RESULT, code).kind is Kind.AMBIGUOUS


@pytest.mark.parametrize("code", ["500.001.1001", "500.003.1001", "00.002.1001", "503", "2001", "0", "500.003.04"])
def test_every_other_gateway_error_is_ambiguous(code: str):
    assert meaning(Place.GATEWAY, code).kind is Kind.AMBIGUOUS


@pytest.mark.parametrize("code", ["500.002.1001", "00.002.1001", "400.002.02", "500.003.02", "1"])
def test_a_message_about_a_duplicate_outweighs_its_code(code: str):
    assert meaning(Place.GATEWAY, code, text="Duplicate OriginatorConversationID.").kind is Kind.DUPLICATE


def test_a_duplicate_detected_by_m_pesa_is_asked_about():
    assert meaning(Place.RESULT, "15").kind is Kind.DUPLICATE


def test_every_failure_says_whose_fault_it_is():
    assert all(means.fault is not None for means in CODES.values() if means.kind in (Kind.FAILED, Kind.NOT_PROCESSED))
