"""A document is read exactly, or not at all."""

from __future__ import annotations

from decimal import Decimal

import pytest

from gateway.railkit.documents import DOCUMENT_MOST, Unreadable, document


def test_numbers_are_exact():
    assert document(b'{"a": 8959269.60, "b": 10}') == {"a": Decimal("8959269.60"), "b": 10}


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"a": 1}' + b" " * DOCUMENT_MOST, id="too long"),
        pytest.param(b'{"a":' * 10_000, id="too deep"),
        pytest.param(b'{"a": ' + b"9" * 5_000 + b"}", id="too many digits"),
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": 1e99999999999999999999}',
        b'{"a": "\xff"}',
        b"[]",
        b"7",
        b"",
    ],
)
def test_what_is_no_document_is_unreadable(body: bytes):
    with pytest.raises(Unreadable):
        document(body)
