"""The digits of a code: random, checked, and kept only as a keyed hash."""

from __future__ import annotations

import pytest

from gateway.agents.digits import digest, grouped, new_digits, read_digits
from gateway.agents.rules import PickupRules
from gateway.fills.clients import FillKey


def test_digits_are_all_different_and_each_reads_as_itself():
    drawn = {new_digits() for _ in range(500)}
    assert len(drawn) == 500
    assert all(read_digits(each) == each == read_digits(grouped(each)) for each in drawn)


def test_one_wrong_digit_or_two_swapped_are_found_without_looking_anything_up():
    for digits in (new_digits() for _ in range(50)):
        for place in range(10):
            other = (int(digits[place]) + 1) % 10
            assert read_digits(f"{digits[:place]}{other}{digits[place + 1 :]}") is None
        for place in range(9):
            pair = digits[place : place + 2]
            if pair[0] != pair[1]:
                assert read_digits(digits[:place] + pair[::-1] + digits[place + 2 :]) is None


@pytest.mark.parametrize("text", ["", "12345", "12345678901", "abcdefghij", "٠١٢٣٤٥٦٧٨٩", "1" * 1000, "-" * 10])
def test_what_is_no_code_is_none(text):
    assert read_digits(text) is None


def test_the_hash_needs_its_key_and_tells_nothing_without_it():
    digits = new_digits()
    assert digest(digits, key=b"one") == digest(digits, key=b"one") != digest(digits, key=b"two")
    with pytest.raises(ValueError, match="key"):
        digest(digits, key=b"")


def test_no_key_shows():
    assert "secret" not in repr(PickupRules(key=b"secret-key")) + repr(FillKey(key=b"secret-key" * 4))
    with pytest.raises(ValueError, match="32 bytes"):
        FillKey(key=b"short")
