"""Callback addresses can't be guessed, altered or exchanged."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.payouts.addresses import CallbackAddresses, Callee

ADDRESSES = CallbackAddresses(public_url="https://pay.example.org", key=b"k" * 32)
CALLEE = Callee("mpesa", "att_01JD0000000000000000000000", "result")


def token(addresses=ADDRESSES, callee=CALLEE):
    return addresses.address(callee).rpartition("/")[2]


def test_an_address_names_its_callee():
    assert ADDRESSES.address(CALLEE).startswith("https://pay.example.org/callbacks/")
    assert ADDRESSES.read(token()) == CALLEE


def test_no_word_that_a_rail_refuses_can_stand_in_it():
    assert re.fullmatch("[0-9a-f]+", token())


@given(st.integers(0, len(token()) - 1), st.sampled_from("0123456789abcdef"))
def test_no_digit_can_be_changed(place, digit):
    changed = token()[:place] + digit + token()[place + 1 :]
    assert ADDRESSES.read(changed) == (CALLEE if changed == token() else None)


@given(st.text(max_size=200))
def test_anything_else_is_nobodys(text):
    assert ADDRESSES.read(text) is None


def test_another_key_opens_nothing():
    assert CallbackAddresses(public_url="https://pay.example.org", key=b"j" * 32).read(token()) is None


def test_a_short_key_is_refused():
    with pytest.raises(ValueError, match="too short"):
        CallbackAddresses(public_url="https://pay.example.org", key=b"short")
