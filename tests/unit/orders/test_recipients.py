"""Recipients: names and numbers are checked before an order exists."""

from __future__ import annotations

import pytest

from gateway.offramp import Method
from gateway.orders.recipients import BadRecipient, masked, read_recipient


def read(account="+254712345678", name="Wanjiku Kamau", country="KE"):
    return read_recipient(name=name, account=account, country=country, method=Method.MOBILE_MONEY)


@pytest.mark.parametrize("text", ["+254712345678", "0712345678", "0712 345 678", "254712345678", "+254 (712) 345-678"])
def test_a_mobile_number_is_read_however_it_is_written(text):
    assert read(text).account == "+254712345678"


@pytest.mark.parametrize(
    "text",
    [
        *("", "abc", "12345", "+254", "0712", "07123456789", "+44 7911 123456", "+254 20 2222222", "٠٧١٢٣٤٥٦٧٨"),
        *("+254712345678;ext=5", "0712345678 x9", "0" * 300, "+254712345678\x00"),
    ],
)
def test_another_number_is_refused_with_an_example(text):
    with pytest.raises(BadRecipient, match=r"Write it like \+254"):
        read(text)


@pytest.mark.parametrize("name", ["", "   ", "123", "x" * 101, "A\x00B", "A\u202eB", "\n"])
def test_a_name_that_cannot_be_one_is_refused(name):
    with pytest.raises(BadRecipient) as refusal:
        read(name=name)
    assert refusal.value.field == "name"


def test_names_of_the_world_pass():
    for name in ("José Ñandú", "Nguyễn Văn A", "O'Brien-Smith", "محمد", "李"):
        assert read(name=f"  {name} ").name == name


def test_neither_name_nor_number_shows():
    recipient = read()
    assert "Wanjiku" not in repr(recipient)
    assert "712" not in repr(recipient)
    assert masked(recipient.account) == "••••••••••678"
